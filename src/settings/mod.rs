//! Types that configuration sections are made of. Durations are written as
//! people write them ("10m", "1h 30m"), sizes likewise ("16MiB"), times too.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub mod when;

pub use bytesize::ByteSize;
pub use humantime_serde as duration;

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("cannot read the secret file {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("the secret file {path} can be read by others (mode {mode:o}); make it 0600 or 0640")]
    Exposed { path: PathBuf, mode: u32 },
    #[error("the secret file {path} is longer than {MAX_SECRET_BYTES} bytes")]
    TooLong { path: PathBuf },
}

const MAX_SECRET_BYTES: u64 = 1024 * 1024;

/// Reads a file that only its owner and group may read.
pub fn read_secret(path: &Path) -> Result<Vec<u8>, SecretError> {
    let wrap = |source| SecretError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(wrap)?;
    let mode = file.metadata().map_err(wrap)?.mode() & 0o7777;
    if mode & 0o007 != 0 {
        return Err(SecretError::Exposed { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.take(MAX_SECRET_BYTES + 1).read_to_end(&mut bytes).map_err(wrap)?;
    if bytes.len() as u64 > MAX_SECRET_BYTES {
        return Err(SecretError::TooLong { path: path.to_owned() });
    }
    Ok(bytes)
}
