//! From files to one batch for a sink. Blocks: files are read.

use std::io;

use crate::model::Sample;
use crate::perfdata::{self, BadLines, Dropped, Parser, Spool, SpoolFile};
use crate::state::{Shipped, State};

use super::LiveNodes;
use super::progress::key;
use super::read_back::Probe;

/// Makes batches.
pub(super) struct Loader {
    spool: Spool,
    parser: Parser,
    live: LiveNodes,
    bad_lines: Option<BadLines>,
}

/// A file that is wanted, from where on, and whether it goes out again.
pub(super) struct Wanted {
    pub(super) file: SpoolFile,
    pub(super) from: u64,
    pub(super) again: bool,
}

/// What is in the batch.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Receipts that the sink will have given when it has the batch; `done`
    /// is set where the file ends in it.
    pub(super) files: Vec<(Shipped, bool)>,
    pub(super) points: usize,
    pub(super) lines: u64,
    pub(super) bad_lines: u64,
    pub(super) resent: u64,
    pub(super) probe: Option<Probe>,
    /// The first file that could not be read.
    pub(super) trouble: Option<perfdata::Error>,
}

impl Loader {
    pub(super) fn new(
        config: &perfdata::Config,
        live: LiveNodes,
        keeps_bad_lines: bool,
        state: &State,
    ) -> Self {
        let max_bad = config.max_bad_lines.as_u64();
        let path = state.directory().join("bad-perfdata");
        Self {
            spool: Spool::new(config),
            parser: Parser::new(config),
            live,
            bad_lines: (keeps_bad_lines && max_bad > 0).then(|| BadLines::new(path, max_bad)),
        }
    }

    /// Hands on at least one whole line, and at most about `max_points`, of
    /// these files in their order.
    pub(super) fn fill(
        &mut self,
        wanted: &[Wanted],
        max_points: usize,
        push: &mut impl FnMut(&Sample<'_>),
    ) -> Load {
        let mut load = Load::default();
        for one in wanted {
            if load.points >= max_points {
                break;
            }
            let before = load.points;
            match self.take(one, max_points, &mut load, push) {
                Ok(()) => {}
                // Dropped to make room, or replaced: the next listing knows.
                Err(perfdata::Error::Changed { .. }) => {}
                Err(perfdata::Error::Read { source, .. })
                    if source.kind() == io::ErrorKind::NotFound => {}
                Err(fault) => {
                    load.trouble.get_or_insert(fault);
                }
            }
            if one.again {
                load.resent += (load.points - before) as u64;
            }
        }
        if let Some(Err(fault)) = self.bad_lines.as_mut().map(BadLines::flush) {
            tracing::debug!(%fault, "bad perfdata lines were not kept");
        }
        load
    }

    fn take(
        &mut self,
        wanted: &Wanted,
        max_points: usize,
        load: &mut Load,
        push: &mut impl FnMut(&Sample<'_>),
    ) -> Result<(), perfdata::Error> {
        let Wanted { file, from, again } = wanted;
        let live = self.live.borrow().clone();
        let mut reader = self.spool.reader(file, *from)?;
        let mut received = *from;
        let mut bad_lines = self.bad_lines.as_mut().filter(|_| !again);
        let mut bad = |load: &mut Load, reason: Dropped, line: &[u8]| {
            load.bad_lines += 1;
            if let Some(kept) = &mut bad_lines {
                kept.keep(&file.name, &reason.to_string(), line);
            }
        };
        let mut ended = true;
        'file: loop {
            let chunk = match reader.next_chunk() {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(source) => {
                    load.files.push((receipt(file, received), false));
                    return Err(perfdata::Error::Read { path: file.name.clone().into(), source });
                }
            };
            let bytes: u64 = chunk.lines().map(|line| line.len() as u64 + 1).sum();
            received = chunk.end - bytes - chunk.torn.map_or(0, |torn| torn.len() as u64);
            for line in chunk.lines() {
                if load.points >= max_points {
                    ended = false;
                    break 'file;
                }
                match self.parser.line(
                    line,
                    |node| live.contains(node),
                    |sample| {
                        push(&sample);
                        load.points += 1;
                        // Rarely, and mostly from the batch's second half: which
                        // one is chance enough, as checks spread over time.
                        if load.points.is_power_of_two() {
                            load.probe = Some(Probe::of(&sample));
                        }
                    },
                ) {
                    Ok(_) => load.lines += 1,
                    // A setting, not a fault.
                    Err(Dropped::NotLive) => load.lines += 1,
                    Err(reason) => bad(load, reason, line),
                }
                received += line.len() as u64 + 1;
            }
            for _ in 0..chunk.overlong {
                bad(load, Dropped::TooLong, b"");
            }
            if let Some(torn) = chunk.torn {
                bad(load, Dropped::Torn, torn);
            }
            received = chunk.end;
        }
        load.files.push((receipt(file, received), ended));
        Ok(())
    }
}

fn receipt(file: &SpoolFile, received: u64) -> Shipped {
    Shipped { file: key(file), received, done: None }
}
