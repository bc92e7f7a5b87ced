use std::path::PathBuf;

use reqwest::Url;

use super::{Keys, fault, secret_text, time};
use crate::providers::Error;
use crate::providers::ec2::answer;
use crate::providers::ec2::config::{Config, amazons, place};
use crate::providers::ec2::environment::Environment;
use crate::providers::ec2::sign::form;
use crate::providers::http::Client;

/// A token of somebody that the cloud believes, for the keys of a role.
pub(super) struct WebIdentity {
    http: Client,
    sts: Url,
    role: String,
    session: String,
    token_file: PathBuf,
}

impl WebIdentity {
    pub(super) fn new(
        config: &Config,
        environment: &Environment,
        region: &str,
        http: &Client,
    ) -> Result<Self, Error> {
        let template = match config.sts_endpoint.as_str() {
            "" => &amazons("sts", region),
            own => own,
        };
        let sts =
            place(template, region).map_err(|reason| fault(format!("sts_endpoint {reason}")))?;
        let (role, token_file) = match config.role_arn.as_str() {
            "" => (environment.role_arn.clone(), environment.web_identity_token_file.clone()),
            role => (Some(role.to_owned()), Some(config.web_identity_token_file.clone())),
        };
        let session = environment.role_session_name.clone();
        Ok(Self {
            http: http.clone(),
            sts,
            role: role.unwrap_or_default(),
            session: session.unwrap_or_else(|| "weather-balloon".to_owned()),
            token_file: token_file.unwrap_or_default(),
        })
    }

    pub(super) async fn keys(&self) -> Result<Keys, Error> {
        let token = secret_text(&self.token_file).await?;
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let request = form(
            &self.sts,
            &[
                pair("Action", "AssumeRoleWithWebIdentity"),
                pair("Version", "2011-06-15"),
                pair("RoleArn", &self.role),
                pair("RoleSessionName", &self.session),
                pair("WebIdentityToken", &token),
            ],
        );
        let answer = self.http.ask(request).await?;
        let document = answer::read(&answer, "AssumeRoleWithWebIdentity", &self.sts)?;
        let found = document
            .at(&["AssumeRoleWithWebIdentityResult", "Credentials"])
            .ok_or_else(|| fault("STS answered without credentials".to_owned()))?;
        let part = |name: &str| {
            found.text_at(&[name]).ok_or_else(|| fault(format!("STS answered without {name}")))
        };
        let keys = Keys::new(
            part("AccessKeyId")?,
            part("SecretAccessKey")?,
            Some(part("SessionToken")?.to_owned()),
        );
        Ok(keys.until(time(part("Expiration")?)?))
    }
}
