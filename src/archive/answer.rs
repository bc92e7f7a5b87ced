//! Answering a question: from memory first, then from the file.

use super::block::{Decoder, Malformed};
use super::grid::Grid;
use super::store::{Memory, Store};
use super::tables::{self, Broken, Home, Range, Sealed};
use super::window::{self, Bands, Slots};
use super::{Error, MAX_POINTS, MAX_SERIES, Nodes, Pattern};
use crate::model::{MetricKey, MetricPart, Series, Window};

/// Slots that are looked at for one answer; more than come out of it where
/// they are averaged.
const MAX_READ: usize = 20_000_000;
/// Slots in memory at a time.
const SLOTS_A_GROUP: usize = 1_000_000;

/// A series that is asked for.
struct Wanted {
    name: String,
    place: u32,
    id: u32,
}

/// The values of some series in a window, one a slot; NaN is none. The newest
/// is written first and stays.
struct Sheet<'w> {
    slots: Slots,
    grid: Grid,
    /// By id.
    wanted: &'w [Wanted],
    values: Vec<f64>,
}

impl Store {
    pub fn answer(
        &self,
        pattern: &Pattern,
        window: Option<Window>,
        max_points: Option<u32>,
        now: i64,
    ) -> Result<Vec<Series>, Error> {
        let Some(slots) = window::slots(window, self.grid, self.keep, now) else {
            return Ok(Vec::new());
        };
        let mut wanted = find(&self.memory(), pattern)?;
        let bands = window::bands(slots, max_points);
        if wanted.len().saturating_mul(bands.count()) > MAX_POINTS {
            return Err(Error::TooManyPoints { max: MAX_POINTS });
        }
        if wanted.len().saturating_mul(slots.len()) > MAX_READ {
            return Err(Error::TooMuchToRead { max: MAX_READ });
        }
        wanted.sort_unstable_by_key(|one| one.id);
        let mut answer = Vec::with_capacity(wanted.len());
        let mut decoder = Decoder::default();
        for wanted in wanted.chunks((SLOTS_A_GROUP / slots.len()).max(1)) {
            let mut sheet = Sheet {
                slots,
                grid: self.grid,
                wanted,
                values: vec![f64::NAN; wanted.len() * slots.len()],
            };
            self.fill(&mut sheet, &mut decoder)?;
            answer.extend(sheet.series(&bands));
        }
        answer.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(answer)
    }

    fn fill(&self, sheet: &mut Sheet<'_>, decoder: &mut Decoder) -> Result<(), Error> {
        {
            let memory = self.memory();
            for (row, one) in sheet.wanted.iter().enumerate() {
                let chain = memory.index.get(one.place).filter(|member| member.id == one.id);
                if let Some(member) = chain {
                    sheet.take(row, memory.head.walk(member.chain));
                }
                if let Some(frozen) = &memory.frozen {
                    sheet.take(row, frozen.walk(one.id));
                }
            }
        }
        // Points leave memory only after the file shows them, so none is
        // missed in between.
        self.read(|db| {
            let sealed = tables::sealed(db)?;
            let (first, last) = (sheet.slots.first, sheet.slots.end - 1);
            for block in self.grid.block(first)..=self.grid.block(last) {
                let numbers = sealed.iter().rev().filter(|Sealed { block: of, .. }| *of == block);
                let homes = numbers.map(|sealed| Home::Segment(sealed.number));
                for home in homes.chain([Home::Block]) {
                    self.fill_from(db, home, block, sheet, decoder)?;
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    fn fill_from(
        &self,
        db: &rusqlite::Connection,
        home: Home,
        block: u32,
        sheet: &mut Sheet<'_>,
        decoder: &mut Decoder,
    ) -> rusqlite::Result<()> {
        // Series of one host are neighbours; so few rows between that are not
        // asked for cost less than one more search.
        const MAX_GAP: u32 = 8;
        let wanted = sheet.wanted;
        let base = self.grid.first_slot(block);
        let mut row = 0;
        for run in wanted.chunk_by(|a, b| b.id - a.id <= MAX_GAP) {
            let (first, last) = (run[0].id, run[run.len() - 1].id);
            let range = Range { block, first, last, limit: usize::MAX };
            let end = row + run.len();
            tables::each_points(db, home, range, |series, data| {
                while row < end && wanted[row].id < series {
                    row += 1;
                }
                if row == end || wanted[row].id != series {
                    return;
                }
                match data {
                    Ok(data) => match decoder.read(data) {
                        Ok(points) => {
                            let points = points.map(|(at, value)| (base + u32::from(at), value));
                            sheet.take(row, points);
                        }
                        Err(Malformed) => self.counts.broke("points"),
                    },
                    Err(Broken) => self.counts.broke("points"),
                }
            })?;
            row = end;
        }
        Ok(())
    }
}

impl Sheet<'_> {
    fn take(&mut self, row: usize, points: impl Iterator<Item = (u32, f64)>) {
        let Slots { first, end } = self.slots;
        let width = self.slots.len();
        let values = &mut self.values[row * width..(row + 1) * width];
        for (slot, value) in points.filter(|(slot, _)| (first..end).contains(slot)) {
            let kept = &mut values[(slot - first) as usize];
            if kept.is_nan() {
                *kept = value;
            }
        }
    }

    fn series(&self, bands: &Bands) -> impl Iterator<Item = Series> {
        let rows = self.values.chunks(self.slots.len());
        self.wanted.iter().zip(rows).map(|(one, values)| Series {
            name: one.name.clone(),
            points: bands.average(values, self.grid),
        })
    }
}

fn find(memory: &Memory, pattern: &Pattern) -> Result<Vec<Wanted>, Error> {
    let mut found = Vec::new();
    let mut look = |node: &str, members: &[u32], with_node: bool| {
        for place in members {
            let Some(member) = memory.index.get(*place) else { continue };
            let Some(below) = memory.index.below_prefix(&member.path) else { continue };
            let name = below.get(node.len() + 1..).unwrap_or_default();
            if !matches(&pattern.key, name) {
                continue;
            }
            if found.len() == MAX_SERIES {
                return Err(Error::TooManySeries { max: MAX_SERIES });
            }
            let name = if with_node { below } else { name }.to_owned();
            found.push(Wanted { name, place: *place, id: member.id });
        }
        Ok(())
    };
    match &pattern.nodes {
        Nodes::One(node) => look(node.as_str(), memory.index.of_node(node.as_str()), false)?,
        Nodes::All => {
            for (node, members) in memory.index.nodes() {
                look(node, members, true)?;
            }
        }
    }
    Ok(found)
}

fn matches(key: &MetricKey, name: &str) -> bool {
    let mut parts = name.split('.');
    let all = key.parts().iter().all(|part| match (part, parts.next()) {
        (_, None) => false,
        (MetricPart::Any, Some(_)) => true,
        (MetricPart::Named(wanted), Some(there)) => &**wanted == there,
    });
    all && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_match_whole_names() {
        let key = |text: &str| MetricKey::parse(text).unwrap();
        for (pattern, name, expected) in [
            ("*.*", "load.load1", true),
            ("load.*", "load.load1", true),
            ("*.load1", "load.load1", true),
            ("load.load1", "load.load1", true),
            ("load", "load.load1", false),
            ("*", "load.load1", false),
            ("*.*.*", "load.load1", false),
            ("load.*", "loads.load1", false),
            ("x", "x", true),
        ] {
            assert_eq!(matches(&key(pattern), name), expected, "{pattern} {name}");
        }
    }
}
