//! A file system of its own, as small as a test needs it. Only root may mount.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a rig fails the test by panicking, and writes plain files"
)]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

pub struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// `size` as in "512k".
    pub fn mount(at: &'a Path, size: &str) -> Self {
        let options = format!("size={size},mode=0777");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "none"]).arg(at);
        assert!(mount.status().unwrap().success(), "no tmpfs at {}", at.display());
        Self(at)
    }

    pub fn fill(&self) {
        let mut filler = fs::File::create(self.0.join("filler")).unwrap();
        while filler.write_all(&[b'x'; 4096]).is_ok() {}
    }

    pub fn empty(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}
