use std::fmt;
use std::path::PathBuf;

/// What the process's environment says about credentials. Whoever reads the
/// environment hands it down.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<String>,
    pub session_token: Option<String>,
    pub region: Option<String>,
    pub profile: Option<String>,
    pub credentials_file: Option<PathBuf>,
    pub role_arn: Option<String>,
    pub role_session_name: Option<String>,
    pub web_identity_token_file: Option<PathBuf>,
    pub metadata_endpoint: Option<String>,
    pub metadata_disabled: bool,
    pub home: Option<PathBuf>,
}

impl Environment {
    /// `get` gives a variable's value.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        Self {
            access_key_id: get("AWS_ACCESS_KEY_ID"),
            secret_access_key: get("AWS_SECRET_ACCESS_KEY"),
            session_token: get("AWS_SESSION_TOKEN"),
            region: get("AWS_REGION").or_else(|| get("AWS_DEFAULT_REGION")),
            profile: get("AWS_PROFILE"),
            credentials_file: get("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from),
            role_arn: get("AWS_ROLE_ARN"),
            role_session_name: get("AWS_ROLE_SESSION_NAME"),
            web_identity_token_file: get("AWS_WEB_IDENTITY_TOKEN_FILE").map(PathBuf::from),
            metadata_endpoint: get("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
            metadata_disabled: get("AWS_EC2_METADATA_DISABLED")
                .is_some_and(|value| value.eq_ignore_ascii_case("true")),
            home: get("HOME").map(PathBuf::from),
        }
    }
}

/// Says what is there, never what it is.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("access_key_id", &self.access_key_id.is_some())
            .field("secret_access_key", &self.secret_access_key.is_some())
            .field("session_token", &self.session_token.is_some())
            .field("region", &self.region)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}
