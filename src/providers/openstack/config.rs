use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use super::address::Preference;
use crate::settings::ByteSize;

/// The keys of a `[[cloud]]` of kind "openstack".
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Of Keystone, with or without `/v3`.
    pub auth_url: String,
    /// Empty: the only one that the catalog has.
    pub region: String,
    /// Instead of `region`, where several are one cloud here.
    pub regions: Vec<String>,
    pub interface: Interface,
    pub username: String,
    /// By name.
    pub user_domain: String,
    pub password_file: PathBuf,
    /// By name; the user needs a role there that may list all projects' servers.
    pub project: String,
    /// Instead of `project`.
    pub project_id: String,
    /// By name.
    pub project_domain: String,
    pub application_credential_id: String,
    pub application_credential_secret_file: PathBuf,
    /// A file as the openstack command reads; `cloud` names the entry. It
    /// stands for all keys above.
    pub clouds_yaml: PathBuf,
    pub cloud: String,
    /// The authorities that sign the cloud's certificates, in PEM; empty: the
    /// system's.
    pub ca_file: PathBuf,
    /// Metadata keys that name an instance's owner, best first.
    pub owner_keys: Vec<String>,
    /// Which of an instance's addresses is checked, best first.
    pub addresses: Vec<Preference>,
    /// In which states an instance's time counts.
    pub counted_states: Vec<String>,
    #[serde(with = "crate::settings::duration")]
    pub connect_timeout: Duration,
    /// For one answer, from the connection to its last byte.
    #[serde(with = "crate::settings::duration")]
    pub request_timeout: Duration,
    /// A cloud that wants to be asked again within this time is waited for.
    #[serde(with = "crate::settings::duration")]
    pub max_wait: Duration,
    /// What changed is asked for from this long before the last listing.
    #[serde(with = "crate::settings::duration")]
    pub overlap: Duration,
    /// Servers asked for at a time; the cloud may give fewer.
    pub page_size: usize,
    /// Of one answer.
    pub max_body: ByteSize,
    /// Of one list.
    pub max_pages: usize,
    pub max_instances: usize,
    /// Questions about single users, single servers and single servers'
    /// actions: of each kind, in one listing.
    pub max_lookups: usize,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Interface {
    #[default]
    Public,
    Internal,
    Admin,
}

impl Interface {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Admin => "admin",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        /// The guest holds a processor in these.
        const COUNTED: [&str; 9] = [
            "ACTIVE",
            "PASSWORD",
            "REBOOT",
            "HARD_REBOOT",
            "RESIZE",
            "VERIFY_RESIZE",
            "REBUILD",
            "MIGRATING",
            "RESCUE",
        ];
        Self {
            auth_url: String::new(),
            region: String::new(),
            regions: Vec::new(),
            interface: Interface::default(),
            username: String::new(),
            user_domain: "Default".to_owned(),
            password_file: PathBuf::new(),
            project: String::new(),
            project_id: String::new(),
            project_domain: "Default".to_owned(),
            application_credential_id: String::new(),
            application_credential_secret_file: PathBuf::new(),
            clouds_yaml: PathBuf::new(),
            cloud: String::new(),
            ca_file: PathBuf::new(),
            owner_keys: vec!["creator".to_owned()],
            addresses: Preference::defaults(),
            counted_states: COUNTED.map(str::to_owned).into(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(120),
            max_wait: Duration::from_secs(30),
            overlap: Duration::from_secs(300),
            page_size: 1000,
            max_body: ByteSize::mib(64),
            max_pages: 5_000,
            max_instances: 500_000,
            max_lookups: 2_000,
        }
    }
}

type Faults = Vec<(&'static str, String)>;

impl Config {
    /// Every fault, as key and reason.
    pub fn check(&self) -> Faults {
        let mut faults = Faults::new();
        if self.clouds_yaml.as_os_str().is_empty() {
            self.check_own_access(&mut faults);
        } else {
            self.check_clouds_yaml(&mut faults);
        }
        if !self.region.is_empty() && !self.regions.is_empty() {
            faults.push(("regions", "give region or regions, not both".to_owned()));
        }
        let mut sorted = self.regions.clone();
        sorted.sort();
        sorted.dedup();
        if sorted.len() < self.regions.len() || sorted.first().is_some_and(String::is_empty) {
            faults.push(("regions", "each must be a name and be there once".to_owned()));
        }
        self.check_reading(&mut faults);
        self.check_bounds(&mut faults);
        faults
    }

    fn check_own_access(&self, faults: &mut Faults) {
        let mut fault = |key, reason: &str| faults.push((key, reason.to_owned()));
        if let Err(reason) = base(&self.auth_url) {
            fault("auth_url", &reason);
        }
        if !self.cloud.is_empty() {
            fault("cloud", "names an entry of clouds_yaml, which is not set");
        }
        let no_secret = self.application_credential_secret_file.as_os_str().is_empty();
        if !self.application_credential_id.is_empty() {
            if no_secret {
                fault("application_credential_secret_file", "is needed with the id");
            }
            if !self.username.is_empty() || !self.password_file.as_os_str().is_empty() {
                fault("username", "give a user or an application credential, not both");
            }
            if !self.project.is_empty() || !self.project_id.is_empty() {
                fault("project", "an application credential has its own; leave it out");
            }
            return;
        }
        if !no_secret {
            fault("application_credential_id", "is needed with its secret");
            return;
        }
        if self.username.is_empty() {
            fault("username", "is needed, or application_credential_id, or clouds_yaml");
        }
        if self.password_file.as_os_str().is_empty() {
            fault("password_file", "is needed with username");
        }
        match (self.project.is_empty(), self.project_id.is_empty()) {
            (true, true) => fault("project", "is needed with username"),
            (false, false) => fault("project_id", "give project or project_id, not both"),
            _ => (),
        }
        for (key, domain) in
            [("user_domain", &self.user_domain), ("project_domain", &self.project_domain)]
        {
            if domain.is_empty() {
                fault(key, "must have a name");
            }
        }
    }

    fn check_clouds_yaml(&self, faults: &mut Faults) {
        if self.cloud.is_empty() {
            faults.push(("cloud", "is needed: the entry of clouds_yaml to use".to_owned()));
        }
        let files = [
            ("password_file", &self.password_file),
            ("application_credential_secret_file", &self.application_credential_secret_file),
        ];
        let texts = [
            ("auth_url", &self.auth_url),
            ("username", &self.username),
            ("project", &self.project),
            ("project_id", &self.project_id),
            ("application_credential_id", &self.application_credential_id),
        ];
        let given = texts.iter().filter(|(_, text)| !text.is_empty()).map(|(key, _)| *key);
        let given_files =
            files.iter().filter(|(_, path)| !path.as_os_str().is_empty()).map(|(key, _)| *key);
        for key in given.chain(given_files) {
            faults.push((key, "stands in clouds_yaml; give it in one place".to_owned()));
        }
    }

    fn check_reading(&self, faults: &mut Faults) {
        let mut fault = |key, reason: &str| faults.push((key, reason.to_owned()));
        if self.owner_keys.iter().any(String::is_empty) {
            fault("owner_keys", "must not be empty texts");
        }
        if self.addresses.is_empty() {
            fault("addresses", "must name at least one kind, such as \"fixed\"");
        }
        let word = |state: &String| {
            !state.is_empty() && state.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        };
        if self.counted_states.is_empty() || !self.counted_states.iter().all(word) {
            fault("counted_states", "must be Nova's words for states, such as \"ACTIVE\"");
        }
    }

    fn check_bounds(&self, faults: &mut Faults) {
        const HOUR: Duration = Duration::from_secs(3600);
        let times = [
            ("connect_timeout", self.connect_timeout, Duration::from_millis(1), HOUR),
            ("request_timeout", self.request_timeout, Duration::from_millis(1), HOUR),
            ("max_wait", self.max_wait, Duration::ZERO, HOUR),
            ("overlap", self.overlap, Duration::ZERO, 24 * HOUR),
        ];
        for (key, given, least, most) in times {
            if !(least..=most).contains(&given) {
                let most = humantime::format_duration(most);
                faults.push((key, format!("must be more than nothing and at most {most}")));
            }
        }
        let numbers = [
            ("page_size", self.page_size as u64),
            ("max_body", self.max_body.as_u64()),
            ("max_pages", self.max_pages as u64),
            ("max_instances", self.max_instances as u64),
            ("max_lookups", self.max_lookups as u64),
        ];
        for (key, number) in numbers {
            if number == 0 {
                faults.push((key, "must be more than 0".to_owned()));
            }
        }
    }
}

/// Keystone's URL up to and with `v3`, without a slash at its end.
pub(super) fn base(text: &str) -> Result<Url, String> {
    let mut url = web_url(text)?;
    let path = url.path().trim_end_matches('/').to_owned();
    if path.ends_with("/v2.0") {
        return Err("is that of Keystone's version 2, which is gone; give version 3's".to_owned());
    }
    let path = if path.ends_with("/v3") { path } else { format!("{path}/v3") };
    url.set_path(&path);
    Ok(url)
}

/// An http or https URL without a log-in, a query or a fragment.
pub(super) fn web_url(text: &str) -> Result<Url, String> {
    // The URL itself is not shown where it may hold a password.
    let url: Url = text.parse().map_err(|fault| {
        format!("is not a URL ({fault}); give one such as \"https://keystone.example:5000/v3\"")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("begins with \"{}:\"; give an http or https URL", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user name or a password in it; they have keys of their own".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a \"?\" or \"#\" in it".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(text: &str) -> Vec<&'static str> {
        let config: Config = toml::from_str(text).unwrap();
        config.check().into_iter().map(|(key, _)| key).collect()
    }

    const PASSWORD: &str = "auth_url = 'http://k/identity'\nusername = 'u'\npassword_file = '/p'\n\
                            project = 'p'\n";

    #[test]
    fn the_ways_in() {
        assert_eq!(faults_of(PASSWORD), [""; 0]);
        let credential = "auth_url = 'https://k:5000/v3/'\napplication_credential_id = 'i'\n\
                          application_credential_secret_file = '/s'";
        assert_eq!(faults_of(credential), [""; 0]);
        assert_eq!(faults_of("clouds_yaml = '/c'\ncloud = 'x'"), [""; 0]);
    }

    #[test]
    fn every_fault_is_told_at_once() {
        assert_eq!(faults_of(""), ["auth_url", "username", "password_file", "project"]);
        assert_eq!(faults_of("clouds_yaml = '/c'\nusername = 'u'"), ["cloud", "username"]);
        let mixed = format!("{PASSWORD}application_credential_id = 'i'\n");
        assert_eq!(
            faults_of(&mixed),
            ["application_credential_secret_file", "username", "project"]
        );
        let bounds = format!(
            "{PASSWORD}owner_keys = ['']\naddresses = []\ncounted_states = ['active']\n\
             request_timeout = '0s'\noverlap = '2d'\npage_size = 0\nmax_pages = 0\n\
             region = 'a'\nregions = ['b', 'b']"
        );
        let told = faults_of(&bounds);
        let expected = [
            "regions",
            "regions",
            "owner_keys",
            "addresses",
            "counted_states",
            "request_timeout",
            "overlap",
            "page_size",
            "max_pages",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn unknown_keys_and_words_are_refused() {
        for bad in ["usrname = 'x'", "interface = 'secret'", "addresses = ['floating v5']"] {
            assert!(toml::from_str::<Config>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keystones_urls() {
        for given in ["http://k:5000", "http://k:5000/", "http://k:5000/v3", "http://k:5000/v3/"] {
            assert_eq!(base(given).unwrap().as_str(), "http://k:5000/v3", "{given}");
        }
        assert_eq!(base("https://h/identity").unwrap().as_str(), "https://h/identity/v3");
        for bad in ["", "k:5000", "ftp://k", "http://u:secret@k", "http://k/?a", "http://k/v2.0/"] {
            let reason = base(bad).unwrap_err();
            assert!(!reason.contains("secret"), "{reason}");
        }
    }
}
