//! The archive as a sink. Its receipts are in metrics.db, in one transaction
//! with the points: what it has it has once.

use std::time::{Duration, Instant};

use crate::archive::{Archive, Batch, Error, Position};
use crate::model::Sample;
use crate::state::{Shipped, ShippedFile};
use crate::telemetry::sentence;

use super::Cursor;
use super::load::Load;
use super::sink::{Failed, Sink, Taken};

const PAUSE: Duration = Duration::from_secs(2);
const PAUSE_AT_START: Duration = Duration::from_millis(100);

pub struct ToArchive {
    archive: Archive,
    /// [`Archive::openings`] when the cursor was last brought in line with it.
    known: u64,
}

impl ToArchive {
    pub(super) fn new(archive: Archive) -> Self {
        Self { archive, known: 0 }
    }

    async fn positions(&self) -> Result<Vec<Shipped>, Failed> {
        let found = self.archive.positions().await.map_err(|fault| failed(&fault))?;
        Ok(found.iter().filter_map(shipped).collect())
    }
}

impl Sink for ToArchive {
    type Batch = Batch;

    fn push(batch: &mut Batch, sample: &Sample<'_>) {
        batch.push_sample(*sample);
    }

    fn clear(batch: &mut Batch) {
        batch.clear();
    }

    fn max_points(&self) -> usize {
        Batch::FULL
    }

    /// What the file says stands: another one has less.
    async fn resume(&mut self, cursor: &Cursor) -> Result<(), Failed> {
        let known = self.archive.openings();
        let kept = self.positions().await?;
        cursor.progress().replace(kept);
        self.known = known;
        Ok(())
    }

    fn in_doubt(&self) -> bool {
        self.archive.openings() != self.known
    }

    async fn take(
        &mut self,
        batch: &mut Batch,
        load: &mut Load,
        receipts: &[Shipped],
    ) -> Result<Taken, Failed> {
        // A file whose end was reached without a point needs no new position:
        // the old one is behind its last line.
        if load.points == 0 && load.lines == 0 && load.bad_lines == 0 {
            return Ok(Taken::default());
        }
        let positions = receipts.iter().map(position).collect();
        let taken = self.archive.ingest(std::mem::take(batch), positions).await;
        let receipt = taken.map_err(|fault| failed(&fault))?;
        Ok(Taken { points: receipt.kept as u64, trouble: None })
    }

    async fn forget(&mut self, gone: Vec<Shipped>) -> Result<(), String> {
        let files = gone.iter().map(|receipt| position(receipt).file).collect();
        self.archive.forget_positions(files).await.map_err(|fault| sentence(&fault))
    }
}

fn failed(fault: &Error) -> Failed {
    match fault {
        Error::Opening => Failed {
            told: sentence(fault),
            again: Instant::now() + PAUSE_AT_START,
            is_starting: true,
        },
        _ => Failed::after(PAUSE, sentence(fault)),
    }
}

/// The file's own name comes last, as it may hold anything.
fn position(receipt: &Shipped) -> Position {
    let ShippedFile { name, inode, modified } = &receipt.file;
    Position { file: format!("{inode} {modified} {name}"), offset: receipt.received }
}

fn shipped(position: &Position) -> Option<Shipped> {
    let mut parts = position.file.splitn(3, ' ');
    let (inode, modified) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let file = ShippedFile { name: parts.next()?.to_owned(), inode, modified };
    // The end of the file is found when it is read on from there.
    Some(Shipped { file, received: position.offset, done: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_says_which_file_it_is_of() {
        let file =
            ShippedFile { name: "service-perfdata.1 2".to_owned(), inode: u64::MAX, modified: -5 };
        let receipt = Shipped { file, received: 77, done: None };
        assert_eq!(shipped(&position(&receipt)), Some(receipt));
        for other in ["", "1 2", "x 2 name", "1 y name"] {
            assert_eq!(shipped(&Position { file: other.to_owned(), offset: 1 }), None);
        }
    }
}
