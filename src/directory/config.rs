use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use super::dn;

/// The section `[directory]`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `ldap://HOST[:PORT]` or `ldaps://HOST[:PORT]`; empty: there is no
    /// directory, and nobody is staff.
    pub url: String,
    /// Where the people are, also below it.
    pub people_base: String,
    /// Where the groups are, also below it.
    pub groups_base: String,
    /// The name of the group whose members are staff.
    pub staff_group: String,
    /// Who asks; empty: anybody.
    pub bind_dn: String,
    pub bind_password_file: PathBuf,
    /// Encrypts an `ldap:` connection before anything else is said.
    pub starttls: bool,
    /// The authorities that sign the directory's certificate, in PEM; empty:
    /// the system's.
    pub ca_file: PathBuf,
    /// For connecting, and for each question.
    #[serde(with = "crate::settings::duration")]
    pub timeout: Duration,
    /// A person's attribute that holds the user name.
    pub user_attribute: String,
    /// A group's attribute that holds its name.
    pub group_attribute: String,
    /// A group's attribute that holds user names.
    pub member_uid_attribute: String,
    /// A group's attributes that hold the DNs of people.
    pub member_dn_attributes: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: String::new(),
            people_base: String::new(),
            groups_base: String::new(),
            staff_group: "staff".to_owned(),
            bind_dn: String::new(),
            bind_password_file: PathBuf::new(),
            starttls: false,
            ca_file: PathBuf::new(),
            timeout: Duration::from_secs(10),
            user_attribute: "uid".to_owned(),
            group_attribute: "cn".to_owned(),
            member_uid_attribute: "memberUid".to_owned(),
            member_dn_attributes: vec!["member".to_owned(), "uniqueMember".to_owned()],
        }
    }
}

/// Where the directory is.
pub(super) struct Place {
    pub host: String,
    pub port: u16,
    pub ldaps: bool,
}

impl Config {
    /// Every fault, as key and reason.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        if self.url.is_empty() {
            return Vec::new();
        }
        let mut faults = Vec::new();
        let mut fault = |key, reason: &str| faults.push((key, reason.to_owned()));
        match self.place() {
            Err(reason) => fault("url", &reason),
            Ok(place) if place.ldaps && self.starttls => {
                fault("starttls", "is for ldap: URLs; an ldaps: connection is encrypted as it is");
            }
            Ok(place) => {
                let bare = !place.ldaps && !self.starttls && !is_loopback(&place.host);
                if bare && !self.bind_dn.is_empty() {
                    fault(
                        "bind_dn",
                        "would send its password over the network unencrypted; use an ldaps: url or starttls = true",
                    );
                }
            }
        }
        for (key, base) in [("people_base", &self.people_base), ("groups_base", &self.groups_base)]
        {
            if !dn::is_dn(base) {
                fault(key, "is not a DN; give one such as \"ou=People,dc=example,dc=org\"");
            }
        }
        if self.staff_group.is_empty() || self.staff_group.contains('\0') {
            fault("staff_group", "must be the name of a group");
        }
        match (self.bind_dn.is_empty(), self.bind_password_file.as_os_str().is_empty()) {
            (true, false) => fault("bind_dn", "is missing beside bind_password_file"),
            // Without a password a server takes it for nobody and says yes.
            (false, true) => fault("bind_password_file", "is missing beside bind_dn"),
            (false, false) if !dn::is_dn(&self.bind_dn) => fault("bind_dn", "is not a DN"),
            _ => (),
        }
        for (key, path) in
            [("bind_password_file", &self.bind_password_file), ("ca_file", &self.ca_file)]
        {
            if !path.as_os_str().is_empty() && !path.is_absolute() {
                fault(key, "is not an absolute path");
            }
        }
        if self.timeout < Duration::from_millis(100) || self.timeout > Duration::from_secs(3600) {
            fault("timeout", "must be at least 100ms and at most an hour");
        }
        let attributes = [
            ("user_attribute", &self.user_attribute),
            ("group_attribute", &self.group_attribute),
            ("member_uid_attribute", &self.member_uid_attribute),
        ];
        let more = self.member_dn_attributes.iter().map(|name| ("member_dn_attributes", name));
        for (key, name) in attributes.into_iter().chain(more) {
            if !is_attribute(name) {
                fault(key, "is not the name of an attribute (A-Z a-z 0-9 -)");
            }
        }
        faults
    }

    pub(super) fn place(&self) -> Result<Place, String> {
        // The URL itself is not shown where it may hold a password.
        let url: Url = self.url.parse().map_err(|fault| {
            format!("is not a URL ({fault}); give one such as \"ldaps://ldap.example.org\"")
        })?;
        let ldaps = match url.scheme() {
            "ldap" => false,
            "ldaps" => true,
            other => {
                return Err(format!("begins with \"{other}:\"; give an ldap or ldaps URL"));
            }
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("has a user name or a password in it; this file can be read by everybody: use bind_dn and bind_password_file".to_owned());
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(
                "has more than a host and a port; use people_base and groups_base".to_owned()
            );
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("names no host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port().unwrap_or(if ldaps { 636 } else { 389 });
        Ok(Place { host, port, ldaps })
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_attribute(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Config {
        Config {
            url: "ldap://127.0.0.1:3890".to_owned(),
            people_base: "ou=People,dc=example,dc=org".to_owned(),
            groups_base: "ou=Groups,dc=example,dc=org".to_owned(),
            ..Config::default()
        }
    }

    fn faults_of(config: &Config) -> Vec<&'static str> {
        config.check().into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn the_defaults_and_a_plain_one_hold() {
        assert_eq!(Config::default().check(), []);
        assert_eq!(sound().check(), []);
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let config = Config {
            url: "http://x".to_owned(),
            staff_group: String::new(),
            bind_password_file: "secret".into(),
            ca_file: "ca.pem".into(),
            timeout: Duration::ZERO,
            user_attribute: "uid)(x=*".to_owned(),
            group_attribute: String::new(),
            member_uid_attribute: "1".to_owned(),
            member_dn_attributes: vec!["a b".to_owned()],
            ..Config::default()
        };
        let all = [
            "url",
            "people_base",
            "groups_base",
            "staff_group",
            "bind_dn",
            "bind_password_file",
            "ca_file",
            "timeout",
            "user_attribute",
            "group_attribute",
            "member_uid_attribute",
            "member_dn_attributes",
        ];
        assert_eq!(faults_of(&config), all);
    }

    #[test]
    fn urls() {
        let of = |url: &str| Config { url: url.to_owned(), ..sound() };
        for (url, host, port) in [
            ("ldap://l.example", "l.example", 389),
            ("ldaps://l.example/", "l.example", 636),
            ("ldap://[::1]:3890", "::1", 3890),
        ] {
            assert_eq!(of(url).check(), [], "{url}");
            let place = of(url).place().ok().unwrap();
            assert_eq!((place.host.as_str(), place.port), (host, port));
        }
        for bad in ["ldap.example", "ldap:", "ldap://", "ldap://u:secret@x", "ldap://x/dc=x?uid"] {
            let faults = of(bad).check();
            assert_eq!(faults.len(), 1, "{bad}: {faults:?}");
            assert!(!faults[0].1.contains("secret"), "{faults:?}");
        }
    }

    #[test]
    fn no_password_travels_unencrypted() {
        let bound = |url: &str, starttls| Config {
            url: url.to_owned(),
            starttls,
            bind_dn: "cn=reader,dc=example,dc=org".to_owned(),
            bind_password_file: "/etc/secret".into(),
            ..sound()
        };
        assert_eq!(faults_of(&bound("ldap://l.example", false)), ["bind_dn"]);
        assert_eq!(faults_of(&bound("ldaps://l.example", true)), ["starttls"]);
        for (url, starttls) in
            [("ldap://l.example", true), ("ldaps://l.example", false), ("ldap://[::1]", false)]
        {
            assert_eq!(faults_of(&bound(url, starttls)), [""; 0], "{url}");
        }
    }
}
