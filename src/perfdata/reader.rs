//! A spool file, read in pieces of whole lines.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use memchr::{memchr, memrchr};

/// Whole lines of a file, and where in the file they end: an offset from which
/// reading may go on later.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    lines: &'a [u8],
    /// Offset behind the chunk.
    pub end: u64,
    /// Lines that were passed over since the chunk before because they do not
    /// fit into memory.
    pub overlong: u64,
    /// What stands behind the last line end of the file: a line that was cut,
    /// and with it perhaps a number.
    pub torn: Option<&'a [u8]>,
}

impl<'a> Chunk<'a> {
    /// Without their line ends.
    pub fn lines(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.lines;
        std::iter::from_fn(move || {
            let end = memchr(b'\n', rest)?;
            let line = &rest[..end];
            rest = &rest[end + 1..];
            Some(line)
        })
    }
}

#[derive(Debug)]
pub struct Reader {
    file: File,
    buffer: Vec<u8>,
    filled: usize,
    consumed: usize,
    /// Of `buffer[0]` in the file.
    offset: u64,
    at_end: bool,
    /// Within a line that is passed over.
    skipping: bool,
    overlong: u64,
}

impl Reader {
    /// Memory that a reader takes at most.
    pub const CHUNK_BYTES: usize = 1024 * 1024;

    /// `from` is 0 or the end of a chunk. Where it is not behind a line end,
    /// the rest of that line is passed over: half a line is never taken for a
    /// line.
    pub(super) fn new(mut file: File, size: u64, from: u64) -> io::Result<Self> {
        let mut skipping = false;
        if from > 0 {
            file.seek(SeekFrom::Start(from - 1))?;
            let mut before = [0];
            skipping = file.read(&mut before)? == 1 && before[0] != b'\n';
        }
        let room = usize::try_from(size.saturating_sub(from)).unwrap_or(usize::MAX);
        // One byte more, so that the end is seen without a second round.
        let buffer = vec![0; room.saturating_add(1).min(Self::CHUNK_BYTES)];
        let (filled, consumed, at_end) = (0, 0, false);
        Ok(Self { file, buffer, filled, consumed, offset: from, at_end, skipping, overlong: 0 })
    }

    /// None at the end of the file.
    pub fn next_chunk(&mut self) -> io::Result<Option<Chunk<'_>>> {
        loop {
            self.fill()?;
            if self.skipping {
                self.skip();
            }
            let held = &self.buffer[self.consumed..self.filled];
            if let Some(last) = memrchr(b'\n', held) {
                let start = self.consumed;
                self.consumed += last + 1;
                return Ok(Some(self.chunk(start, None)));
            }
            if self.at_end {
                if held.is_empty() && self.overlong == 0 {
                    return Ok(None);
                }
                let start = self.consumed;
                self.consumed = self.filled;
                return Ok(Some(self.chunk(self.filled, (start < self.filled).then_some(start))));
            }
            if self.filled - self.consumed == self.buffer.len() {
                self.grow_or_skip();
            }
        }
    }

    fn chunk(&mut self, start: usize, torn: Option<usize>) -> Chunk<'_> {
        Chunk {
            lines: &self.buffer[start..self.consumed],
            end: self.offset + self.consumed as u64,
            overlong: std::mem::take(&mut self.overlong),
            torn: torn.map(|start| &self.buffer[start..self.filled]),
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.consumed..self.filled, 0);
        self.filled -= self.consumed;
        self.offset += self.consumed as u64;
        self.consumed = 0;
        while self.filled < self.buffer.len() && !self.at_end {
            match self.file.read(&mut self.buffer[self.filled..]) {
                Ok(0) => self.at_end = true,
                Ok(count) => self.filled += count,
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    fn skip(&mut self) {
        match memchr(b'\n', &self.buffer[self.consumed..self.filled]) {
            Some(end) => {
                self.consumed += end + 1;
                self.skipping = false;
            }
            None => self.consumed = self.filled,
        }
    }

    /// The buffer is full and has no line end.
    fn grow_or_skip(&mut self) {
        if self.buffer.len() < Self::CHUNK_BYTES {
            // The file has grown since its size was taken.
            self.buffer.resize(Self::CHUNK_BYTES, 0);
        } else {
            self.skipping = true;
            self.overlong += 1;
            self.consumed = self.filled;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn reader(bytes: &[u8], from: u64) -> Reader {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        Reader::new(file, bytes.len() as u64, from).unwrap()
    }

    /// Lines, ends, count of the overlong and what was torn.
    fn read(bytes: &[u8], from: u64) -> (Vec<Vec<u8>>, Vec<u64>, u64, Option<Vec<u8>>) {
        let mut reader = reader(bytes, from);
        let (mut lines, mut ends, mut overlong, mut torn) = (vec![], vec![], 0, None);
        while let Some(chunk) = reader.next_chunk().unwrap() {
            lines.extend(chunk.lines().map(<[u8]>::to_vec));
            ends.push(chunk.end);
            overlong += chunk.overlong;
            torn = torn.or(chunk.torn.map(<[u8]>::to_vec));
        }
        (lines, ends, overlong, torn)
    }

    #[test]
    fn lines_and_offsets() {
        assert_eq!(read(b"", 0), (vec![], vec![], 0, None));
        let two = vec![b"one".to_vec(), b"two".to_vec()];
        assert_eq!(read(b"one\ntwo\n", 0), (two.clone(), vec![8], 0, None));
        assert_eq!(read(b"one\ntwo\n", 4), (two[1..].to_vec(), vec![8], 0, None));
        assert_eq!(read(b"one\ntwo\n", 8), (vec![], vec![], 0, None));
        assert_eq!(read(b"one\ntwo\n", 99), (vec![], vec![], 0, None));
        assert_eq!(read(b"one\ntw", 0), (two[..1].to_vec(), vec![4, 6], 0, Some(b"tw".to_vec())));
    }

    #[test]
    fn half_a_line_is_never_a_line() {
        assert_eq!(read(b"one\ntwo\n", 2), (vec![b"two".to_vec()], vec![8], 0, None));
        assert_eq!(read(b"one\ntwo\n", 6), (vec![], vec![], 0, None));
    }

    #[test]
    fn big_files_come_in_pieces_and_lose_nothing() {
        let line = [b'x'; 700];
        let mut bytes = Vec::new();
        for _ in 0..5_000 {
            bytes.extend_from_slice(&line);
            bytes.push(b'\n');
        }
        let (lines, ends, overlong, torn) = read(&bytes, 0);
        assert_eq!((lines.len(), overlong, torn), (5_000, 0, None));
        assert!(ends.len() > 3 && ends.windows(2).all(|pair| pair[0] < pair[1]));
        let (rest, ..) = read(&bytes, ends[1]);
        assert_eq!(rest.len() as u64, (bytes.len() as u64 - ends[1]) / 701);
    }

    #[test]
    fn a_line_that_does_not_fit_is_passed_whole() {
        let mut bytes = b"one\n".to_vec();
        bytes.extend(vec![b'x'; 3 * Reader::CHUNK_BYTES]);
        bytes.extend_from_slice(b"DATATYPE::tail\ntwo\n");
        let (lines, _, overlong, torn) = read(&bytes, 0);
        assert_eq!((lines, overlong, torn), (vec![b"one".to_vec(), b"two".to_vec()], 1, None));

        let endless = vec![b'x'; 2 * Reader::CHUNK_BYTES + 5];
        let (lines, ends, overlong, torn) = read(&endless, 0);
        assert_eq!((lines.len(), overlong, torn), (0, 1, None));
        assert_eq!(ends.last(), Some(&(endless.len() as u64)));
    }

    #[test]
    fn a_file_that_grew_is_read_on() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[b'x'; 5_000]).unwrap();
        file.write_all(b"\n").unwrap();
        file.rewind().unwrap();
        let mut reader = Reader::new(file, 10, 0).unwrap();
        assert_eq!(reader.next_chunk().unwrap().unwrap().end, 5_001);
        assert_eq!(reader.next_chunk().unwrap(), None);
    }
}
