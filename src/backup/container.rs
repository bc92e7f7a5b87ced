//! The file: members, then `manifest.json`, then `seal`. The seal is the
//! SHA-256 of all bytes before it, and the rest of the file follows from it: no
//! bit of it can change unseen.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub(super) const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
const SEAL: &str = "seal";
const MAX_MANIFEST: u64 = 1024 * 1024;
/// Tar's header and the block of the seal, and two empty blocks.
const TAIL: u64 = 4 * 512;

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Manifest {
    pub format: u32,
    /// The version of the program that made it.
    pub program: String,
    /// UTC seconds since 1970.
    pub made_at: i64,
    pub members: Vec<Member>,
    /// What keeps the ledger; absent: none was kept.
    pub ledger: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
    pub schema: i32,
}

pub(super) struct Writer {
    tar: tar::Builder<Hashed<BufWriter<File>>>,
}

impl Writer {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(path)?;
        Ok(Self { tar: tar::Builder::new(Hashed::new(BufWriter::new(file))) })
    }

    pub(super) fn add(
        &mut self,
        name: &str,
        path: &Path,
        schema: i32,
        made_at: i64,
    ) -> io::Result<Member> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut reader = Hashed::new(BufReader::new(file));
        self.tar.append_data(&mut header(bytes, made_at), name, &mut reader)?;
        Ok(Member { name: name.to_owned(), bytes, sha256: hex(&reader.digest), schema })
    }

    /// Writes the rest and makes the file durable.
    pub(super) fn finish(mut self, manifest: &Manifest) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(manifest)?;
        let mut header = header(text.len() as u64, manifest.made_at);
        self.tar.append_data(&mut header, MANIFEST, text.as_slice())?;
        let seal = hex(&self.tar.get_ref().digest);
        append_seal(&mut self.tar, &seal)?;
        let file = self.tar.into_inner()?.inner.into_inner().map_err(io::Error::from)?;
        file.sync_all()
    }
}

fn header(bytes: u64, at: i64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(at.unsigned_abs());
    header
}

fn append_seal(tar: &mut tar::Builder<impl Write>, seal: &str) -> io::Result<()> {
    tar.append_data(&mut header(seal.len() as u64, 0), SEAL, seal.as_bytes())
}

/// Proves every bit of the file and gives its manifest, or says what is wrong
/// with it. `read` is told the bytes so far.
pub(super) fn verify(file: &mut File, read: impl Fn(u64)) -> io::Result<Result<Manifest, String>> {
    let length = file.metadata()?.len();
    let Some(body) = length.checked_sub(TAIL) else {
        return Ok(Err("it is too short".to_owned()));
    };
    file.seek(SeekFrom::Start(0))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    let mut left = body;
    while left > 0 {
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let Some(part) = buffer.get_mut(..wanted) else { break };
        file.read_exact(part)?;
        digest.update(part);
        left -= wanted as u64;
        read(body - left);
    }
    let mut wanted = tar::Builder::new(Vec::new());
    append_seal(&mut wanted, &hex(&digest))?;
    let mut found = Vec::new();
    file.take(TAIL + 1).read_to_end(&mut found)?;
    if found != wanted.into_inner()? {
        return Ok(Err("it is damaged or cut off".to_owned()));
    }
    manifest(file)
}

fn manifest(file: &mut File) -> io::Result<Result<Manifest, String>> {
    file.seek(SeekFrom::Start(0))?;
    let mut tar = tar::Archive::new(file);
    for entry in tar.entries_with_seek()? {
        let entry = entry?;
        if *entry.path_bytes() == *MANIFEST.as_bytes() {
            let mut text = Vec::new();
            entry.take(MAX_MANIFEST).read_to_end(&mut text)?;
            return Ok(serde_json::from_slice(&text).map_err(|fault| fault.to_string()));
        }
    }
    Ok(Err("it has no manifest".to_owned()))
}

/// Hands each member of the manifest to `take`, in the file's order.
pub(super) fn members<E: From<io::Error>>(
    file: &mut File,
    manifest: &Manifest,
    mut take: impl FnMut(&Member, &mut dyn Read) -> Result<(), E>,
) -> Result<usize, E> {
    file.seek(SeekFrom::Start(0))?;
    let mut taken = 0;
    let mut tar = tar::Archive::new(file);
    for entry in tar.entries()? {
        let mut entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if let Some(member) = manifest.members.iter().find(|member| member.name == name) {
            take(member, &mut entry)?;
            taken += 1;
        }
    }
    Ok(taken)
}

/// Knows the digest of what went through it.
pub(super) struct Hashed<T> {
    inner: T,
    digest: Sha256,
}

impl<T> Hashed<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, digest: Sha256::new() }
    }

    pub(super) fn sha256(&self) -> String {
        hex(&self.digest)
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.digest.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.digest.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn hex(digest: &Sha256) -> String {
    digest.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
