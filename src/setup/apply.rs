//! Makes a plan real: proved, noted, made, proved once more.

use crate::nagios::{Changed, Config, MainText, prove};

use super::place::{make, put, put_back};
use super::{Directory, Edit, Error, Journal, Kind, Plan};

/// `own` judges our own configuration file's new text.
pub async fn apply(
    plan: &Plan,
    nagios: &Config,
    journal: &mut Journal,
    own: impl Fn(&str) -> Result<(), String>,
) -> Result<(), Error> {
    for edit in plan.edits.iter().filter(|edit| edit.kind == Kind::Own) {
        let text = edit.after.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        own(&text).map_err(Error::Own)?;
    }
    // Nagios refuses a cfg_dir that is not there, and leaves empty ones be.
    let made: Vec<_> = plan.directories.iter().filter(|one| !one.path.exists()).collect();
    journal_directories(plan, journal)?;
    for directory in &plan.directories {
        make(directory)?;
    }
    if let Err(fault) = prove_the_way(&plan.edits, nagios, journal).await {
        for directory in made.into_iter().rev() {
            // One that somebody uses by now stays, and the journal knows it.
            if std::fs::remove_dir(&directory.path).is_ok() {
                journal.forget_directory(&directory.path)?;
            }
        }
        return Err(fault);
    }
    journal.note(plan)?;
    for (done, edit) in plan.edits.iter().enumerate() {
        if let Err(fault) = put(edit) {
            take_back(&plan.edits[..done], journal)?;
            return Err(fault);
        }
    }
    if plan.edits.iter().any(is_nagios) {
        let main = MainText::read(&nagios.config)?;
        if let Err(fault) = prove(nagios, &main, &Changed::new(), &journal.scratch()).await {
            take_back(&plan.edits, journal)?;
            return Err(Error::PutBack(fault));
        }
    }
    Ok(())
}

fn journal_directories(plan: &Plan, journal: &mut Journal) -> Result<(), Error> {
    let directories: Vec<Directory> = plan.directories.clone();
    journal.note(&Plan { directories, edits: Vec::new() })
}

fn is_nagios(edit: &Edit) -> bool {
    matches!(edit.kind, Kind::NagiosObjects | Kind::NagiosMain)
}

/// Each state on the way has to pass, not only the last: a cut may leave any.
/// Where Nagios is broken already, only the last one counts.
pub(super) async fn prove_the_way(
    edits: &[Edit],
    nagios: &Config,
    journal: &Journal,
) -> Result<(), Error> {
    let edits: Vec<&Edit> = edits.iter().filter(|edit| is_nagios(edit)).collect();
    if edits.is_empty() {
        return Ok(());
    }
    let now = MainText::read(&nagios.config)?;
    let sound = prove(nagios, &now, &Changed::new(), &journal.scratch()).await.is_ok();
    let first = if sound { 1 } else { edits.len() };
    for length in first..=edits.len() {
        let mut main = now.clone();
        let mut changed = Changed::new();
        for edit in &edits[..length] {
            match edit.kind {
                Kind::NagiosMain => {
                    let text = edit.after.as_deref().map(String::from_utf8_lossy);
                    main = now.with_text(&text.unwrap_or_default());
                }
                _ => drop(changed.insert(edit.path.clone(), edit.after.clone())),
            }
        }
        prove(nagios, &main, &changed, &journal.scratch()).await.map_err(Error::Refused)?;
    }
    Ok(())
}

/// The last edit first.
fn take_back(edits: &[Edit], journal: &mut Journal) -> Result<(), Error> {
    for edit in edits.iter().rev() {
        put_back(edit)?;
        journal.forget(&edit.path)?;
    }
    Ok(())
}
