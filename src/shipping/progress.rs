//! How far a sink is with the files of the spool. Pure.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use crate::perfdata::SpoolFile;
use crate::state::{Shipped, ShippedFile};

/// The name under which a file's receipts are kept.
pub(super) fn key(file: &SpoolFile) -> ShippedFile {
    ShippedFile { name: file.name.clone(), inode: file.id.inode, modified: file.id.modified }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark {
    received: u64,
    done: Option<SystemTime>,
    /// It had more than this once: what goes out again is a repetition.
    before: u64,
}

/// The receipts of one sink, file by file: files do not come in order, so no
/// single mark could stand for all.
#[derive(Debug, Default)]
pub(super) struct Progress {
    marks: HashMap<ShippedFile, Mark>,
}

impl Progress {
    pub(super) fn load(kept: Vec<Shipped>) -> Self {
        let marks = kept
            .into_iter()
            .map(|one| (one.file, Mark { received: one.received, done: one.done, before: 0 }))
            .collect();
        Self { marks }
    }

    /// Nothing stands but this.
    pub(super) fn replace(&mut self, kept: Vec<Shipped>) {
        *self = Self::load(kept);
    }

    /// The files that this sink still needs, in their order, each with the
    /// offset from which on.
    pub(super) fn wanted<'a>(
        &'a self,
        files: &'a [SpoolFile],
    ) -> impl Iterator<Item = (&'a SpoolFile, u64)> + 'a {
        files.iter().filter_map(|file| match self.marks.get(&key(file)) {
            None => Some((file, 0)),
            Some(mark) if mark.done.is_none() => Some((file, mark.received)),
            Some(_) => None,
        })
    }

    /// Whether the sink had this part of the file before.
    pub(super) fn is_repetition(&self, file: &SpoolFile, from: u64) -> bool {
        self.marks.get(&key(file)).is_some_and(|mark| from < mark.before)
    }

    pub(super) fn received(&mut self, receipt: &Shipped) {
        let mark = self.marks.entry(receipt.file.clone()).or_default();
        mark.received = receipt.received;
        mark.done = receipt.done;
    }

    /// After a lost connection: what was received within the window may be
    /// lost with the memory of the process that had read it. It is wanted
    /// again, from the start of each file.
    pub(super) fn rewind(&mut self, window: Duration, now: SystemTime) {
        for mark in self.marks.values_mut() {
            // A mark from the future is one from before a step of the clock.
            let old = mark
                .done
                .is_some_and(|done| now.duration_since(done).is_ok_and(|age| age > window));
            if !old {
                mark.before = mark.before.max(mark.received);
                mark.received = 0;
                mark.done = None;
            }
        }
    }

    /// Whether the sink has the file and will not want it again.
    pub(super) fn lets_go(&self, file: &SpoolFile, window: Duration, now: SystemTime) -> bool {
        let done = self.marks.get(&key(file)).and_then(|mark| mark.done);
        done.is_some_and(|done| {
            window.is_zero() || now.duration_since(done).is_ok_and(|age| age >= window)
        })
    }

    pub(super) fn has(&self, file: &SpoolFile) -> bool {
        self.marks.get(&key(file)).is_some_and(|mark| mark.done.is_some())
    }

    pub(super) fn forget(&mut self, file: &ShippedFile) {
        self.marks.remove(file);
    }

    /// Files whose receipts are kept and which are not in the spool.
    pub(super) fn missing(&self, files: &[SpoolFile]) -> Vec<Shipped> {
        let there: HashSet<ShippedFile> = files.iter().map(key).collect();
        let gone = self.marks.iter().filter(|(file, _)| !there.contains(*file));
        gone.map(|(file, mark)| Shipped {
            file: file.clone(),
            received: mark.received,
            done: mark.done,
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perfdata::FileId;

    const WINDOW: Duration = Duration::from_secs(3600);

    fn file(name: &str, inode: u64) -> SpoolFile {
        let id = FileId { inode, modified: 1 };
        SpoolFile { name: name.into(), rotated: 1, size: 100, disk_bytes: 4096, id }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn wanted(progress: &Progress, files: &[SpoolFile]) -> Vec<(String, u64)> {
        progress.wanted(files).map(|(file, from)| (file.name.clone(), from)).collect()
    }

    fn receipt(file: &SpoolFile, received: u64, done: Option<SystemTime>) -> Shipped {
        Shipped { file: key(file), received, done }
    }

    #[test]
    fn a_late_file_is_wanted_whatever_its_name() {
        let (late, done) = (file("service-perfdata.100", 2), file("service-perfdata.200", 1));
        let mut progress = Progress::default();
        progress.received(&receipt(&done, 100, Some(at(300))));
        assert_eq!(wanted(&progress, &[late, done]), [("service-perfdata.100".into(), 0)]);
    }

    #[test]
    fn a_file_of_the_same_name_is_another_one() {
        let (old, new) = (file("a", 1), file("a", 2));
        let mut progress = Progress::default();
        progress.received(&receipt(&old, 100, Some(at(1))));
        assert_eq!(wanted(&progress, &[new]), [("a".into(), 0)]);
    }

    #[test]
    fn a_lost_connection_brings_back_the_window_and_no_more() {
        let files = [file("a", 1), file("b", 2), file("c", 3)];
        let mut progress = Progress::default();
        progress.received(&receipt(&files[0], 100, Some(at(1_000))));
        progress.received(&receipt(&files[1], 100, Some(at(5_000))));
        progress.received(&receipt(&files[2], 40, None));
        progress.rewind(WINDOW, at(5_001));
        assert_eq!(wanted(&progress, &files), [("b".into(), 0), ("c".into(), 0)]);
        assert!(progress.is_repetition(&files[1], 50));
        assert!(progress.is_repetition(&files[2], 39));
        assert!(!progress.is_repetition(&files[2], 40));
    }

    #[test]
    fn a_file_goes_when_nobody_will_want_it_again() {
        let one = file("a", 1);
        let mut progress = Progress::default();
        assert!(!progress.lets_go(&one, WINDOW, at(9_999)));
        progress.received(&receipt(&one, 100, Some(at(1_000))));
        assert!(!progress.lets_go(&one, WINDOW, at(4_599)));
        assert!(progress.lets_go(&one, WINDOW, at(4_600)));
        // The clock was set back: it stays.
        assert!(!progress.lets_go(&one, WINDOW, at(10)));
        assert!(progress.lets_go(&one, Duration::ZERO, at(10)));
        assert_eq!(progress.missing(&[]), [receipt(&one, 100, Some(at(1_000)))]);
        progress.forget(&key(&one));
        assert_eq!(progress.missing(&[]), []);
    }
}
