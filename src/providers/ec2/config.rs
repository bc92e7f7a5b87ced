use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use crate::model::Size;
use crate::settings::ByteSize;

/// What a `[[cloud]]` of kind "ec2" says beside what all clouds do.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Empty: that of the environment.
    pub region: String,
    /// More regions of the same account; all of them are one cloud, and are
    /// listed wholly or not at all.
    pub regions: Vec<String>,
    /// Where EC2 is, with `{region}` where the region goes; empty: Amazon's.
    pub endpoint: String,
    /// The same of STS, for `web_identity_token_file`.
    pub sts_endpoint: String,
    /// Where the instance metadata service is; empty: that of the environment,
    /// or Amazon's.
    pub metadata_endpoint: String,
    pub access_key_id: String,
    pub secret_access_key_file: PathBuf,
    pub session_token_file: PathBuf,
    /// Of `credentials_file`.
    pub profile: String,
    /// In the form of `~/.aws/credentials`.
    pub credentials_file: PathBuf,
    pub role_arn: String,
    pub web_identity_token_file: PathBuf,
    /// The tags that name an instance's owner, best first; without one it is
    /// the account.
    pub owner_tags: Vec<String>,
    /// The states whose time counts.
    pub counted_states: Vec<String>,
    /// Which addresses are taken, best first.
    pub addresses: Vec<AddressKind>,
    /// vCPUs of types that the endpoint does not know.
    pub vcpus: BTreeMap<String, u32>,
    /// Reservations or instances that are asked for in a page; 0: the server
    /// is not asked to page.
    pub page_size: u32,
    /// The authorities that sign the endpoints' certificates, in PEM; empty:
    /// the system's.
    pub ca_file: PathBuf,
    /// For one answer.
    #[serde(with = "crate::settings::duration")]
    pub request_timeout: Duration,
    /// Before the second attempt where EC2 has too much to do; doubled before
    /// each further one.
    #[serde(with = "crate::settings::duration")]
    pub backoff: Duration,
    /// Of one answer.
    pub max_body: ByteSize,
    /// In one listing.
    pub max_instances: usize,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum AddressKind {
    Public,
    Private,
    Ipv6,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            region: String::new(),
            regions: Vec::new(),
            endpoint: String::new(),
            sts_endpoint: String::new(),
            metadata_endpoint: String::new(),
            access_key_id: String::new(),
            secret_access_key_file: PathBuf::new(),
            session_token_file: PathBuf::new(),
            profile: String::new(),
            credentials_file: PathBuf::new(),
            role_arn: String::new(),
            web_identity_token_file: PathBuf::new(),
            owner_tags: vec!["creator".to_owned()],
            counted_states: vec!["running".to_owned()],
            addresses: vec![AddressKind::Public, AddressKind::Private, AddressKind::Ipv6],
            vcpus: BTreeMap::new(),
            page_size: 1000,
            ca_file: PathBuf::new(),
            request_timeout: Duration::from_secs(60),
            backoff: Duration::from_millis(500),
            max_body: ByteSize::mib(32),
            max_instances: 200_000,
        }
    }
}

/// EC2's words (API reference, InstanceState).
const STATES: [&str; 6] =
    ["pending", "running", "shutting-down", "terminated", "stopping", "stopped"];

impl Config {
    /// Every fault, as key and reason.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let mut fault = |key, reason: &str| faults.push((key, reason.to_owned()));
        if !self.region.is_empty() && !is_region(&self.region) {
            fault("region", "is not the name of a region, such as \"us-east-1\"");
        }
        if !self.regions.iter().all(|region| is_region(region)) {
            fault("regions", "are not names of regions, such as \"us-east-1\"");
        }
        let urls = [
            ("endpoint", &self.endpoint),
            ("sts_endpoint", &self.sts_endpoint),
            ("metadata_endpoint", &self.metadata_endpoint),
        ];
        for (key, url) in urls {
            if let Some(Err(reason)) = (!url.is_empty()).then(|| place(url, "region")) {
                fault(key, &reason);
            }
        }
        let together = [
            (
                "access_key_id",
                !self.access_key_id.is_empty(),
                "secret_access_key_file",
                !self.secret_access_key_file.as_os_str().is_empty(),
            ),
            (
                "role_arn",
                !self.role_arn.is_empty(),
                "web_identity_token_file",
                !self.web_identity_token_file.as_os_str().is_empty(),
            ),
        ];
        for (one, is_there, other, other_is_there) in together {
            match (is_there, other_is_there) {
                (true, false) => fault(other, &format!("is missing beside {one}")),
                (false, true) => fault(one, &format!("is missing beside {other}")),
                _ => (),
            }
        }
        let paths = [
            ("secret_access_key_file", &self.secret_access_key_file),
            ("session_token_file", &self.session_token_file),
            ("credentials_file", &self.credentials_file),
            ("web_identity_token_file", &self.web_identity_token_file),
            ("ca_file", &self.ca_file),
        ];
        for (key, path) in paths {
            if !path.as_os_str().is_empty() && !path.is_absolute() {
                fault(key, "is not an absolute path");
            }
        }
        if !self.counted_states.iter().all(|state| STATES.contains(&&**state)) {
            fault("counted_states", &format!("must be of: {}", STATES.join(", ")));
        }
        if self.counted_states.iter().any(|state| state == "terminated") {
            fault("counted_states", "must not have \"terminated\"");
        }
        if self.vcpus.values().any(|vcpus| *vcpus == 0 || *vcpus > Size::MAX_VCPUS) {
            fault("vcpus", "must be at least 1 for each type, and what a machine has");
        }
        // Amazon's bounds of MaxResults.
        if self.page_size != 0 && !(5..=1000).contains(&self.page_size) {
            fault("page_size", "must be from 5 to 1000, or 0");
        }
        for (key, time, least) in
            [("request_timeout", self.request_timeout, 100), ("backoff", self.backoff, 1)]
        {
            if time < Duration::from_millis(least) || time > Duration::from_secs(3600) {
                fault(key, &format!("must be at least {least}ms and at most an hour"));
            }
        }
        if self.max_body.as_u64() == 0 {
            fault("max_body", "must be more than 0");
        }
        if self.max_instances == 0 {
            fault("max_instances", "must be more than 0");
        }
        faults
    }

    /// Each once, in order; none where none is configured.
    pub(super) fn all_regions(&self) -> Vec<String> {
        let mut regions: Vec<String> = Vec::new();
        let first = (!self.region.is_empty()).then_some(&self.region);
        for region in first.into_iter().chain(&self.regions) {
            if !regions.contains(region) {
                regions.push(region.clone());
            }
        }
        regions
    }
}

fn is_region(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Where a service is in a region. The URL itself is not shown where it may
/// hold a password.
pub(super) fn place(template: &str, region: &str) -> Result<Url, String> {
    let url: Url = template.replace("{region}", region).parse().map_err(|fault| {
        format!("is not a URL ({fault}); give one such as \"https://ec2.example.org:8773/services/compute\"")
    })?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("begins with \"{}:\"; give an http or https URL", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user name or a password in it; this file can be read by everybody: use access_key_id and secret_access_key_file".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a \"?\" or \"#\" in it; give only the part before".to_owned());
    }
    Ok(url)
}

/// Where Amazon has a service.
pub(super) fn amazons(service: &str, region: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://{service}.{region}.{domain}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold() {
        assert_eq!(Config::default().check(), []);
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let config = Config {
            region: "us east".to_owned(),
            regions: vec![String::new()],
            endpoint: "https://u:secret@x/".to_owned(),
            sts_endpoint: "x".to_owned(),
            metadata_endpoint: "ftp://x".to_owned(),
            access_key_id: "AKIA".to_owned(),
            web_identity_token_file: "t".into(),
            credentials_file: "c".into(),
            counted_states: vec!["terminated".to_owned(), "up".to_owned()],
            vcpus: BTreeMap::from([("m1".to_owned(), 0)]),
            page_size: 1,
            ca_file: "ca".into(),
            request_timeout: Duration::ZERO,
            backoff: Duration::ZERO,
            max_body: ByteSize::b(0),
            max_instances: 0,
            ..Config::default()
        };
        let faults = config.check();
        let keys: Vec<_> = faults.iter().map(|(key, _)| *key).collect();
        let all = [
            "region",
            "regions",
            "endpoint",
            "sts_endpoint",
            "metadata_endpoint",
            "secret_access_key_file",
            "role_arn",
            "credentials_file",
            "web_identity_token_file",
            "ca_file",
            "counted_states",
            "counted_states",
            "vcpus",
            "page_size",
            "request_timeout",
            "backoff",
            "max_body",
            "max_instances",
        ];
        assert_eq!(keys, all);
        assert!(!format!("{faults:?}").contains("secret@"), "{faults:?}");
    }

    #[test]
    fn endpoints() {
        let at = |template: &str| place(template, "eu-west-1").unwrap().to_string();
        assert_eq!(at(&amazons("ec2", "eu-west-1")), "https://ec2.eu-west-1.amazonaws.com/");
        assert_eq!(amazons("sts", "cn-north-1"), "https://sts.cn-north-1.amazonaws.com.cn/");
        let eucalyptus = "http://10.0.0.1:8773/services/compute";
        assert_eq!(at(eucalyptus), eucalyptus);
        assert_eq!(at("https://{region}.x.org"), "https://eu-west-1.x.org/");
    }
}
