use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Who owns a set of hosts. Each source replaces its own set only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The callers of the Thrift door, together.
    Rpc,
    /// One cloud, by its name in the configuration.
    Cloud(Arc<str>),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Rpc => f.write_str("rpc"),
            Source::Cloud(name) => write!(f, "cloud:{name}"),
        }
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a source of hosts: expected \"rpc\" or \"cloud:NAME\"")]
pub struct SourceFault(String);

impl FromStr for Source {
    type Err = SourceFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "rpc" => Ok(Source::Rpc),
            Some(("cloud", name)) if !name.is_empty() => Ok(Source::Cloud(name.into())),
            _ => Err(SourceFault(text.to_owned())),
        }
    }
}
