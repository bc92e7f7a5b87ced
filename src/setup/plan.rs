//! What is to be done, and nothing else. Blocks.

use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User};

use crate::carbon::LocalFiles;
use crate::nagios::{EditError, MainText, object_files, perfdata_settings};

use super::{Directory, Edit, Error, Kind, Plan, Subject, read};

/// Those that would take the performance data somewhere else.
const OTHERS: [&str; 4] = [
    "service_perfdata_command",
    "host_perfdata_command",
    "service_perfdata_file_processing_command",
    "host_perfdata_file_processing_command",
];

pub fn plan(subject: &Subject) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    let old = MainText::read(&subject.nagios.config)?;
    let mut new = old.clone();
    object_edits(subject, &old, &mut plan)?;
    if !old.covers(&resolved(&subject.nagios.hosts_file)).map_err(EditError::from)? {
        new.include(subject.nagios.hosts_file.parent().unwrap_or(Path::new("/")));
    }
    if old.get("check_external_commands").is_some() {
        new.set("check_external_commands", "1")?;
    }
    if let Some(spool) = &subject.spool {
        spool_directory(spool, &old, &mut plan);
        perfdata(spool, &mut new)?;
    }
    if new != old {
        plan.edits.push(Edit {
            path: old.path().to_owned(),
            before: Some(old.as_str().into()),
            after: Some(new.as_str().into()),
            kind: Kind::NagiosMain,
        });
    }
    carbon(subject, &mut plan)?;
    own(subject, &mut plan)?;
    Ok(plan)
}

/// Templates that are not there; those that are belong to the administrator.
fn object_edits(subject: &Subject, main: &MainText, plan: &mut Plan) -> Result<(), Error> {
    let hosts_file = resolved(&subject.nagios.hosts_file);
    let dir = hosts_file.parent().unwrap_or(Path::new("/")).to_owned();
    if !dir.exists() {
        let owner = User::from_name("weather-balloon").ok().flatten().map(|user| user.uid);
        plan.directories.push(Directory {
            path: dir.clone(),
            mode: 0o2755,
            owner: owner.map(Uid::as_raw),
            group: nagios_group(main).map(Gid::as_raw),
        });
    }
    let spool = subject.spool.as_deref();
    for (name, text) in object_files(&subject.nagios, spool, &subject.check) {
        let path = dir.join(name);
        match (read(&path)?, spool) {
            (None, _) => plan.edits.push(Edit {
                path,
                before: None,
                after: Some(text.into_bytes()),
                kind: Kind::NagiosObjects,
            }),
            (Some(bytes), Some(spool)) if name == "perfdata.cfg" => {
                if !String::from_utf8_lossy(&bytes).contains(&*spool.to_string_lossy()) {
                    return Err(Error::Odd(format!(
                        "{} moves performance data to another place than [perfdata] spool {}; make them agree",
                        path.display(),
                        spool.display()
                    )));
                }
            }
            (Some(_), _) => {}
        }
    }
    Ok(())
}

fn perfdata(spool: &Path, main: &mut MainText) -> Result<(), Error> {
    let wanted = perfdata_settings(spool);
    let elsewhere = |key: &str, main: &MainText| -> Result<(), Error> {
        let Some(value) = main.get(key) else { return Ok(()) };
        let ours = wanted.iter().any(|(name, wanted)| name == key && *wanted == value);
        let line = main.line_of(key).unwrap_or_default();
        if ours || value.is_empty() {
            return Ok(());
        }
        let (path, key) = (main.path().to_owned(), key.to_owned());
        Err(EditError::Elsewhere { path, key, line, value }.into())
    };
    for key in OTHERS.into_iter().chain(["service_perfdata_file", "host_perfdata_file"]) {
        elsewhere(key, main)?;
    }
    let said = "# Performance data for Weather Balloon (weather-balloon setup)";
    if wanted.iter().any(|(key, _)| main.get(key).is_none()) && !main.as_str().contains(said) {
        main.append(&format!("\n{said}"));
    }
    for (key, value) in &wanted {
        // The pace and the order of fields are the administrator's.
        let free = key.ends_with("_interval") || key.ends_with("_template");
        if !(free && main.get(key).is_some()) {
            main.set(key, value)?;
        }
    }
    Ok(())
}

fn spool_directory(spool: &Path, main: &MainText, plan: &mut Plan) {
    if spool.exists() {
        return;
    }
    let parent = spool.parent().filter(|parent| !parent.exists());
    if let Some(parent) = parent {
        let path = parent.to_owned();
        plan.directories.push(Directory { path, mode: 0o755, owner: None, group: None });
    }
    plan.directories.push(Directory {
        path: spool.to_owned(),
        mode: 0o2770,
        owner: nagios_user(main).map(Uid::as_raw),
        group: nagios_group(main).map(Gid::as_raw),
    });
}

fn carbon(subject: &Subject, plan: &mut Plan) -> Result<(), Error> {
    let Some(files) = LocalFiles::find(&subject.carbon_directory) else { return Ok(()) };
    let mut edit = |file: &crate::carbon::TextFile, new: Option<String>| {
        if let Some(new) = new {
            plan.edits.push(Edit {
                path: file.path.clone(),
                before: Some(file.text.clone().into_bytes()),
                after: Some(new.into_bytes()),
                kind: Kind::Carbon,
            });
        }
    };
    edit(&files.schemas, files.with_our_retention().map_err(Error::Odd)?);
    edit(&files.conf, files.without_create_limit().map_err(Error::Odd)?);
    Ok(())
}

fn own(subject: &Subject, plan: &mut Plan) -> Result<(), Error> {
    let Some((path, keys)) = &subject.own else { return Ok(()) };
    if keys.values.is_empty() {
        return Ok(());
    }
    let path = path.canonicalize().map_err(|source| Error::Read { path: path.clone(), source })?;
    let before = read(&path)?.unwrap_or_default();
    let text = String::from_utf8(before.clone())
        .map_err(|_| Error::Odd(format!("{} is not UTF-8", path.display())))?;
    let after = keys.write_into(&text).map_err(Error::Own)?;
    if after != text {
        let (before, after) = (Some(before), Some(after.into_bytes()));
        plan.edits.push(Edit { path, before, after, kind: Kind::Own });
    }
    Ok(())
}

/// The path with the links of its directory resolved as far as it is there.
pub(super) fn resolved(path: &Path) -> PathBuf {
    for dir in path.ancestors().skip(1) {
        if let (Ok(real), Ok(rest)) = (dir.canonicalize(), path.strip_prefix(dir)) {
            return real.join(rest);
        }
    }
    path.to_owned()
}

fn nagios_user(main: &MainText) -> Option<Uid> {
    let name = main.get("nagios_user").unwrap_or_else(|| "nagios".to_owned());
    User::from_name(&name).ok().flatten().map(|user| user.uid)
}

fn nagios_group(main: &MainText) -> Option<Gid> {
    let name = main.get("nagios_group").unwrap_or_else(|| "nagios".to_owned());
    Group::from_name(&name).ok().flatten().map(|group| group.gid)
}
