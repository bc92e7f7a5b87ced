use super::config::Config;

/// What a message may be.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) message: usize,
    pub(super) string: usize,
    pub(super) container: u32,
    pub(super) depth: usize,
    pub(super) non_strict: bool,
}

/// The longest method name, its service's name included.
pub(super) const MAX_NAME_BYTES: usize = 256;

impl Limits {
    pub(super) fn of(config: &Config) -> Self {
        // `Config::check` keeps the sizes far below usize::MAX.
        let bytes = |size: crate::settings::ByteSize| size.as_u64() as usize;
        Self {
            message: bytes(config.max_message),
            string: bytes(config.max_string),
            container: config.max_container,
            depth: config.max_depth,
            non_strict: config.non_strict,
        }
    }
}

#[cfg(test)]
impl Default for Limits {
    fn default() -> Self {
        Self::of(&Config::default())
    }
}

/// Why a connection is closed without an answer. The place of the next message
/// is not known after such bytes, and guessing at it would let a web page's
/// request be read as a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it speaks HTTP; this door speaks Thrift")]
    Http,
    #[error("it speaks TLS on an address without TLS")]
    Tls,
    #[error("it uses the header protocol (THeader); use the framed or buffered transport")]
    THeader,
    #[error("its binary protocol has an unknown version")]
    BinaryVersion,
    #[error("its compact protocol has an unknown version")]
    CompactVersion,
    #[error("it uses the binary protocol without a version, which [rpc] non_strict would allow")]
    NonStrict,
    #[error("its first bytes are no Thrift message")]
    UnknownProtocol,
    #[error("a frame of {0} bytes is longer than [rpc] max_message")]
    FrameTooLong(u32),
    #[error("a frame is empty")]
    EmptyFrame,
    #[error("a frame does not hold exactly one message")]
    FrameMismatch,
    #[error("a message is longer than [rpc] max_message")]
    MessageTooLong,
    #[error("a message is of type {0}, not a call")]
    NotACall(u8),
    #[error("a method name of {0} bytes is too long")]
    NameTooLong(u64),
    #[error("a string of {0} bytes is longer than [rpc] max_string")]
    StringTooLong(u64),
    #[error("a container of {0} elements is larger than [rpc] max_container")]
    ContainerTooLarge(u64),
    #[error("a size is negative")]
    NegativeSize,
    #[error("a value is nested deeper than [rpc] max_depth")]
    TooDeep,
    #[error("{0} is not the type of a value")]
    UnknownType(u8),
    #[error("a number has no end")]
    EndlessNumber,
}
