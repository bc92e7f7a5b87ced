use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use super::wire::Malformed;
use crate::model::Label;
use crate::settings::SecretError;

/// Why a directory was not asked, or has not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("[directory] {key} {reason}")]
    Config { key: &'static str, reason: String },
    #[error("cannot set up TLS for [directory] url")]
    Tls(#[source] crate::tls::Error),
    #[error("cannot take the password for [directory] bind_dn")]
    Password(#[source] SecretError),
    #[error("the secret file {path} holds no password; put the one of [directory] bind_dn there")]
    NoPassword { path: PathBuf },
    #[error(
        "cannot connect to the directory at {url}; check that it runs there and that [directory] url is right"
    )]
    Unreachable { url: String, source: io::Error },
    #[error(
        "the TLS handshake with the directory at {url} failed; check its certificate and [directory] ca_file"
    )]
    Handshake { url: String, source: io::Error },
    #[error(
        "the directory at {url} refused StartTLS (LDAP result {code}); set it up there, or use an ldaps: url"
    )]
    NoStartTls { url: String, code: u8 },
    #[error(
        "the directory at {url} did not answer within {timeout:?}; look after it, or raise [directory] timeout"
    )]
    Late { url: String, timeout: Duration },
    #[error("what the directory at {url} sent cannot be read; check that [directory] url is right")]
    Malformed { url: String, source: Malformed },
    #[error("the connection to the directory at {url} ended in the middle of a question")]
    Ended { url: String, source: Box<ldap3::LdapError> },
    #[error(
        "the directory at {url} does not take [directory] bind_dn and its password (LDAP result {code}: {text})"
    )]
    Credentials { url: String, code: u32, text: Label },
    #[error(
        "the directory at {url} refused to search {base} (LDAP result {code}: {text}); {advice}"
    )]
    Refused { url: String, base: String, code: u32, text: Label, advice: &'static str },
    #[error(
        "the directory at {url} has no group {group} below {base}, so who is staff stays as it was; check [directory] staff_group and groups_base, and what bind_dn may read"
    )]
    NoGroup { url: String, group: String, base: String },
    #[error(
        "the directory at {url} has more than one group {group} below {base}; narrow [directory] groups_base"
    )]
    ManyGroups { url: String, group: String, base: String },
    #[error(
        "the directory at {url} shows no member of the group {group}, so who is staff stays as it was; check the member attributes of [directory], and what bind_dn may read"
    )]
    NoMembers { url: String, group: String },
    #[error(
        "the directory at {url} shows only a part of the members of the group {group}; raise its limit of values (Active Directory: MaxValRange)"
    )]
    PartOfGroup { url: String, group: String },
}
