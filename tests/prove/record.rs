//! The changes of files that a run of the program made, in order.

use std::fs;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Write {
        inode: u64,
        offset: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        inode: u64,
        length: usize,
    },
    Create {
        inode: u64,
        path: PathBuf,
    },
    Rename {
        inode: u64,
        from: PathBuf,
        to: PathBuf,
    },
    Link {
        inode: u64,
        to: PathBuf,
    },
    Unlink {
        path: PathBuf,
    },
    Directory {
        path: PathBuf,
    },
    /// Of a file or a directory.
    Sync {
        inode: u64,
        path: PathBuf,
    },
}

#[derive(Clone, Debug)]
pub struct Recorded {
    pub change: Change,
    /// Where the record ends in the file of all.
    pub end: u64,
}

/// Those below these directories, without what a reboot takes away: shared
/// memory, sockets and locks.
pub fn read(file: &Path, roots: &[&Path]) -> Vec<Recorded> {
    let bytes = fs::read(file).unwrap();
    let (mut at, mut found) = (0, Vec::new());
    while at < bytes.len() {
        let Some(line) = bytes[at..].iter().position(|byte| *byte == b'\n') else { break };
        let text = String::from_utf8(bytes[at..at + line].to_vec()).unwrap();
        let fields: Vec<_> = text.split('\t').collect();
        let [call, inode, one, two, offset, length] = fields[..] else { panic!("{text:?}") };
        let number = |text: &str| -> usize { text.parse().unwrap() };
        let (offset, length) = (number(offset), number(length));
        at += line + 1;
        let data = bytes[at..at + length].to_vec();
        at += length;
        let inode = inode.parse().unwrap();
        let (one, two) = (PathBuf::from(one), PathBuf::from(two));
        let kept = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let volatile = name.ends_with("-shm") || name.ends_with(".sock") || name == "lock";
            !volatile && roots.iter().any(|root| path.starts_with(root))
        };
        if !kept(&one) && !kept(&two) {
            continue;
        }
        let change = match call {
            "write" => Change::Write { inode, offset, bytes: data },
            "truncate" => Change::Truncate { inode, length: offset },
            "create" => Change::Create { inode, path: one },
            "rename" => Change::Rename { inode, from: one, to: two },
            "link" => Change::Link { inode, to: two },
            "unlink" => Change::Unlink { path: one },
            "mkdir" => Change::Directory { path: one },
            "sync" => Change::Sync { inode, path: one },
            other => panic!("{other}"),
        };
        found.push(Recorded { change, end: at as u64 });
    }
    found
}
