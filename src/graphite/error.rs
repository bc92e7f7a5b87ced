use std::time::Duration;

use crate::settings::ByteSize;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("[graphite] {key} {reason}")]
    Config { key: &'static str, reason: String },
    #[error("cannot set up TLS for [graphite] url and ca_file")]
    Tls(#[from] crate::tls::Error),
    #[error("cannot set up the HTTP client for [graphite] url")]
    Http(#[from] reqwest::Error),
}

/// Why a question has no answer. `url` is that of the render API, without the
/// question.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "cannot connect to Graphite at {url}; check that graphite-web runs there and that [graphite] url is right"
    )]
    Unreachable { url: String, source: reqwest::Error },
    #[error(
        "what listens at {url} gave no HTTP answer; check that it is graphite-web, and look into its log"
    )]
    NotHttp { url: String, source: reqwest::Error },
    #[error(
        "Graphite at {url} did not answer within {timeout:?}; it is down, stuck or has too much to do: look after graphite-web, ask for less, or raise [graphite] timeout"
    )]
    Late { url: String, timeout: Duration },
    #[error(
        "Graphite at {url} had sent only {received} bytes of its answer after {timeout:?}; ask for fewer series or a shorter window, or raise [graphite] timeout"
    )]
    Unfinished { url: String, timeout: Duration, received: usize },
    #[error(
        "{requests} questions to Graphite at {url} are under way and none ended within {timeout:?}; try again later, look after graphite-web, or raise [graphite] max_requests"
    )]
    Crowded { url: String, timeout: Duration, requests: usize },
    #[error(
        "the connection to Graphite at {url} broke off after {received} bytes of the answer; try again, and look into the logs of graphite-web and of a proxy before it"
    )]
    BrokenOff { url: String, received: usize, source: reqwest::Error },
    #[error("Graphite at {url} answered with HTTP status {status}{page}; {advice}")]
    Status { url: String, status: reqwest::StatusCode, page: String, advice: String },
    #[error(
        "Graphite at {url} answered with {kind} instead of JSON{page}; check that [graphite] url is that of graphite-web"
    )]
    NotJson { url: String, kind: String, page: String },
    #[error(
        "the answer of Graphite at {url} is not what its render API gives; try again, and check that [graphite] url is that of graphite-web"
    )]
    Malformed { url: String, source: super::Malformed },
    #[error(
        "the answer of Graphite at {url} is larger than [graphite] max_body ({max}); ask with a narrower key, a shorter window or fewer points"
    )]
    TooLarge { url: String, max: ByteSize },
    #[error(
        "the answer of Graphite at {url} has more than {max} series, the limit of [graphite] max_series; ask with a narrower key"
    )]
    TooManySeries { url: String, max: usize },
    #[error(
        "the answer of Graphite at {url} has more than {max} points, the limit of [graphite] max_points; ask with a narrower key, a shorter window or a smaller max_points"
    )]
    TooManyPoints { url: String, max: usize },
    #[error(
        "large answers of Graphite already fill [graphite] max_buffered ({max}); try again later or ask for less"
    )]
    NoRoom { max: ByteSize },
    #[error("the work on an answer of Graphite was cut short; try again")]
    CutShort { source: tokio::task::JoinError },
}

impl Error {
    /// Another question can be answered, and this one will not be by asking
    /// again.
    pub fn blames_question(&self) -> bool {
        match self {
            Self::TooLarge { .. } | Self::TooManySeries { .. } | Self::TooManyPoints { .. } => true,
            Self::Status { status, .. } => *status == reqwest::StatusCode::BAD_REQUEST,
            _ => false,
        }
    }
}
