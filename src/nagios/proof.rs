//! `nagios -v` on a configuration as it would be after some edits.

use std::collections::BTreeMap;
use std::fs::{Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::main_text::MainText;
use super::object_files::Tree;
use super::text;
use super::verify::Said;
use super::{Config, Error, VerifyError};
use crate::disk;

/// Object files that would be other than they are: their bytes, or None for
/// one that would be gone. By paths with links resolved.
pub type Changed = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// Lets Nagios judge `main` with the changed object files. Nothing that a
/// running Nagios reads is touched: what would be new lies in `scratch`, a
/// directory that only the caller may write, and the main configuration
/// beside the real one, under a name that nobody reads, for the relative
/// paths in it. Nagios started by root gives root up before it reads object
/// files, so that what is staged is for all to read.
pub async fn prove(
    config: &Config,
    main: &MainText,
    changed: &Changed,
    scratch: &Path,
) -> Result<(), VerifyError> {
    let candidate = proof_name(main.path());
    let names = write(main, changed, scratch, &candidate)?;
    let judged = run(config, &candidate).await;
    // It is hidden from Nagios, and the next proof writes it anew.
    let _ = std::fs::remove_file(&candidate);
    let said = match judged? {
        None => return Ok(()),
        Some(said) => said,
    };
    let mut said = said.replace(&*candidate.to_string_lossy(), &main.path().to_string_lossy());
    for (staged, real) in names {
        said = said.replace(&*staged.to_string_lossy(), &real.to_string_lossy());
    }
    Err(VerifyError::Refused(text::clean(&said)))
}

fn proof_name(main: &Path) -> PathBuf {
    let name = main.file_name().unwrap_or_default().to_string_lossy();
    main.with_file_name(format!(".{name}.proof"))
}

/// The staged files, each with the name that it stands for. Blocks, for as
/// long as a few small files take.
fn write(
    main: &MainText,
    changed: &Changed,
    scratch: &Path,
    candidate: &Path,
) -> Result<Vec<(PathBuf, PathBuf)>, Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Write { path, source }
    };
    std::fs::create_dir_all(scratch).map_err(failed(scratch))?;
    let mut staged = BTreeMap::new();
    for (number, (path, bytes)) in changed.iter().enumerate() {
        if let Some(bytes) = bytes {
            let place = scratch.join(format!("{number}.cfg"));
            stage(&place, bytes, None).map_err(failed(&place))?;
            staged.insert(path.clone(), place);
        }
    }
    let text = expand(main, changed, &staged)?;
    let like = main.path().metadata().map_err(failed(candidate))?;
    stage(candidate, text.as_bytes(), Some(&like)).map_err(failed(candidate))?;
    Ok(staged.into_iter().map(|(real, staged)| (staged, real)).collect())
}

/// With the mode and owner of the file that it stands for.
fn stage(path: &Path, bytes: &[u8], like: Option<&Metadata>) -> io::Result<()> {
    disk::stage(path, bytes, |file| {
        if let Some(like) = like {
            fchown(file, Some(like.uid()), Some(like.gid()))?;
        }
        let mode = like.map_or(0o644, |like| like.mode() & 0o777);
        file.set_permissions(Permissions::from_mode(mode))
    })
}

/// The text, with every include of a changed file taken apart.
fn expand(
    main: &MainText,
    changed: &Changed,
    staged: &BTreeMap<PathBuf, PathBuf>,
) -> Result<String, Error> {
    let parsed = main.parsed();
    let mut text = String::new();
    let mut includes = String::new();
    let mut include = |path: &Path| includes.push_str(&format!("cfg_file={}\n", path.display()));
    for entry in parsed.entries() {
        let mut line = entry.text.as_str();
        match entry.setting() {
            Some(("cfg_file", value)) => {
                let path = parsed.absolute(value);
                let real = path.canonicalize().unwrap_or(path);
                if changed.contains_key(&real) {
                    staged.get(&real).into_iter().for_each(|place| include(place));
                    line = "#";
                }
            }
            Some(("cfg_dir", value)) if parsed.absolute(value).is_dir() => {
                let tree = Tree::walk(&parsed.absolute(value), &parsed)?;
                let below = |path: &Path| path.parent().is_some_and(|dir| tree.dirs.contains(dir));
                if changed.keys().any(|path| below(path)) {
                    for file in &tree.files {
                        let real = file.canonicalize().unwrap_or_else(|_| file.clone());
                        if !changed.contains_key(&real) {
                            include(file);
                        }
                    }
                    staged.iter().filter(|(real, _)| below(real)).for_each(|(_, at)| include(at));
                    line = "#";
                }
            }
            _ => {}
        }
        text.push_str(line);
        text.push_str(&"\n".repeat(entry.height));
    }
    text.push_str(&includes);
    Ok(text)
}

/// None: accepted.
async fn run(config: &Config, candidate: &Path) -> Result<Option<String>, Error> {
    let cannot_run = |source| Error::Run { binary: config.binary.clone(), source };
    let mut child = Command::new(&config.binary)
        .arg("-v")
        .arg(candidate)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(cannot_run)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut said, mut aside) = (Said::default(), Said::default());
    let finished =
        async { tokio::join!(said.listen(stdout), aside.listen(stderr), child.wait()).2 };
    let Ok(status) = tokio::time::timeout(config.verify_timeout, finished).await else {
        let binary = config.binary.clone();
        return Err(Error::TooSlow { binary, limit: config.verify_timeout });
    };
    let status = status.map_err(cannot_run)?;
    if status.success() {
        return Ok(None);
    }
    match said.first() {
        Some(first) if status.code().is_some() => Ok(Some(first)),
        _ => Err(Error::NoVerdict {
            binary: config.binary.clone(),
            status: status.to_string(),
            said: text::clean(&aside.last()),
        }),
    }
}
