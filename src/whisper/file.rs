//! One file: the newest of what it has, in even steps.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::Error;

const HEADER: usize = 16;
const ARCHIVE: usize = 12;
const POINT: usize = 12;
/// Of one file; ten seconds for a year are far below.
const MAX_BYTES: u64 = 512 * 1024 * 1024;
const MAX_ARCHIVES: usize = 64;
/// Of one answer.
const MAX_VALUES: i64 = 5_000_000;

/// A series in even steps; NaN where there is no value.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    /// Of the first value, a multiple of the step that was asked for.
    pub start: i64,
    pub values: Vec<f64>,
}

#[derive(Clone, Copy, Debug)]
struct Archive {
    offset: u64,
    step: u32,
    points: u32,
}

/// Reads what lies after `oldest` and up to `now`, one value for each `step`:
/// of several in one step the newest of the finest archive. None where there
/// is no value at all. Blocks.
pub fn read(path: &Path, step: i64, oldest: i64, now: i64) -> Result<Option<Values>, Error> {
    let cannot = |source| Error::Read { path: path.to_owned(), source };
    let malformed = |reason| Error::Malformed { path: path.to_owned(), reason };
    let file = File::open(path).map_err(cannot)?;
    let size = file.metadata().map_err(cannot)?.len();
    if size > MAX_BYTES {
        return Err(malformed("it is longer than 512 MiB"));
    }
    let mut archives = archives(&file, size).map_err(cannot)?.map_err(malformed)?;
    // The finest is the last word.
    archives.sort_by_key(|archive| std::cmp::Reverse(archive.step));
    let mut slots = BTreeMap::new();
    for archive in archives {
        let mut bytes = vec![0; archive.points as usize * POINT];
        file.read_exact_at(&mut bytes, archive.offset).map_err(cannot)?;
        gather(archive, &bytes, step, oldest, now, &mut slots);
    }
    let (Some((first, _)), Some((last, _))) = (slots.first_key_value(), slots.last_key_value())
    else {
        return Ok(None);
    };
    let (first, last) = (*first, *last);
    if last - first >= MAX_VALUES {
        return Err(malformed("it has more points than can be taken"));
    }
    let value = |slot| slots.get(&slot).map_or(f64::NAN, |(_, value)| *value);
    let values = (first..=last).map(value).collect();
    Ok(Some(Values { start: first * step, values }))
}

type Checked<T> = Result<T, &'static str>;

fn archives(file: &File, size: u64) -> std::io::Result<Checked<Vec<Archive>>> {
    if size < HEADER as u64 {
        return Ok(Err("it has no header"));
    }
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0)?;
    let count = number(&header, 12) as usize;
    if !(1..=MAX_ARCHIVES).contains(&count) || size < (HEADER + count * ARCHIVE) as u64 {
        return Ok(Err("its header has an impossible number of archives"));
    }
    let mut table = vec![0; count * ARCHIVE];
    file.read_exact_at(&mut table, HEADER as u64)?;
    let read = |row: &[u8]| {
        let archive =
            Archive { offset: number(row, 0).into(), step: number(row, 4), points: number(row, 8) };
        let end = archive.offset + u64::from(archive.points) * POINT as u64;
        if archive.step == 0 || archive.points == 0 || end > size {
            return Err("an archive of it lies outside of the file");
        }
        Ok(archive)
    };
    Ok(table.chunks_exact(ARCHIVE).map(read).collect())
}

/// Points that a ring still has of an earlier round are older than what it
/// keeps; times that are no multiples of its step were never written.
fn gather(
    archive: Archive,
    bytes: &[u8],
    step: i64,
    oldest: i64,
    now: i64,
    slots: &mut BTreeMap<i64, (i64, f64)>,
) {
    let keeps = i64::from(archive.step) * i64::from(archive.points);
    let oldest = oldest.max(now - keeps);
    // Of the coarser archives: what a finer one says goes before.
    let mut fresh = BTreeMap::<i64, (i64, f64)>::new();
    for point in bytes.chunks_exact(POINT) {
        let time = i64::from(number(point, 0));
        let value = f64::from_bits(u64::from(number(point, 4)) << 32 | u64::from(number(point, 8)));
        let is_there = time % i64::from(archive.step) == 0 && time > oldest && time <= now;
        if time == 0 || !is_there || !value.is_finite() {
            continue;
        }
        let kept = fresh.entry(time.div_euclid(step)).or_insert((time, value));
        if time >= kept.0 {
            *kept = (time, value);
        }
    }
    slots.extend(fresh);
}

/// A big-endian u32 at this place; 0 past the end.
fn number(bytes: &[u8], at: usize) -> u32 {
    let place = bytes.get(at..at + 4).and_then(|place| place.try_into().ok());
    place.map_or(0, u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_400;

    /// Archives of (step, points of (time, value)).
    fn whisper(archives: &[(u32, &[(u32, f64)])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [1, 86_400, 0.5_f32.to_bits(), archives.len() as u32] {
            bytes.extend(number.to_be_bytes());
        }
        let mut offset = (HEADER + archives.len() * ARCHIVE) as u32;
        for (step, points) in archives {
            for number in [offset, *step, points.len() as u32] {
                bytes.extend(number.to_be_bytes());
            }
            offset += (points.len() * POINT) as u32;
        }
        for (time, value) in archives.iter().flat_map(|(_, points)| *points) {
            bytes.extend(time.to_be_bytes());
            bytes.extend(value.to_bits().to_be_bytes());
        }
        bytes
    }

    fn read_bytes(bytes: &[u8]) -> Result<Option<Values>, Error> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
        read(file.path(), 600, NOW - 7_200, NOW)
    }

    #[test]
    fn the_finest_and_newest_wins() {
        let t = 1_699_999_200;
        let coarse = [(t, 1.0), (t + 600, 2.0), (t - 600, f64::NAN), (t - 6_000_000, 9.0)];
        let fine = [(t + 660, 4.0), (t + 600, 3.0), (t + 601, 7.0), (0, 8.0)];
        // Points are few, so each ring keeps little: a whole one for the coarse.
        let mut coarse = coarse.to_vec();
        coarse.resize(20, (0, 0.0));
        let mut fine = fine.to_vec();
        fine.resize(60, (0, 0.0));
        let found = read_bytes(&whisper(&[(60, &fine), (600, &coarse)])).unwrap().unwrap();
        assert_eq!(found, Values { start: i64::from(t), values: vec![1.0, 4.0] });
    }

    #[test]
    fn what_is_no_whisper_file_is_refused() {
        let good = whisper(&[(600, &[(1_699_999_800, 1.0), (0, 0.0)])]);
        assert!(read_bytes(&good).unwrap().is_some());
        for cut in [0, 15, 16, 27, good.len() - 1] {
            assert!(read_bytes(&good[..cut]).is_err(), "{cut}");
        }
        for (at, byte) in [(12, 0xff), (15, 0), (16, 0xff), (24, 0xff)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert!(read_bytes(&bad).is_err(), "{at}");
        }
        let mut no_step = good.clone();
        no_step[20..24].fill(0);
        assert!(read_bytes(&no_step).is_err());
        assert_eq!(read_bytes(&whisper(&[(600, &[(0, 0.0)])])).unwrap(), None);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = read_bytes(&bytes);
        }
    }
}
