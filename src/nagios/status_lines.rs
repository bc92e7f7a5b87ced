//! The status file, line by line. Nagios replaces it by a rename, so what is
//! open is one whole state.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

pub(super) enum Line<'a> {
    /// A block of this kind begins.
    Begin(&'a [u8]),
    Value(&'a [u8], &'a [u8]),
    /// The block is over.
    End,
    Other,
}

/// Longer than any that Nagios writes; the rest of a longer one is dropped.
const MAX_LINE_BYTES: u64 = 64 * 1024;

pub(super) struct Lines<R> {
    file: R,
    line: Vec<u8>,
}

impl Lines<BufReader<File>> {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(|file| Self::of(BufReader::with_capacity(256 * 1024, file)))
    }
}

impl<R: BufRead> Lines<R> {
    pub(super) fn of(file: R) -> Self {
        Self { file, line: Vec::new() }
    }

    /// None at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let Self { file, line } = self;
        if file.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', line)? == 0 {
            return Ok(None);
        }
        if !line.ends_with(b"\n") {
            file.skip_until(b'\n')?;
        }
        Ok(Some(read(line)))
    }
}

/// What a plugin wrote stands behind a `=`, so it begins and ends no block.
fn read(line: &[u8]) -> Line<'_> {
    let text = line.trim_ascii();
    if let Some(at) = memchr::memchr(b'=', text) {
        return Line::Value(&text[..at], &text[at + 1..]);
    }
    match text.strip_suffix(b" {") {
        Some(kind) => Line::Begin(kind),
        None if text == b"}" => Line::End,
        None => Line::Other,
    }
}

/// 0 where it is no number.
pub(super) fn number(value: &[u8]) -> i64 {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Of a time; None for never.
pub(super) fn moment(value: &[u8]) -> Option<i64> {
    Some(number(value)).filter(|&time| time > 0)
}
