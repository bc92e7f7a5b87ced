use crate::model::Sample;

/// Points on their way into the archive, in order of arrival.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    paths: String,
    points: Vec<Point>,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    /// Where its path ends in `paths`; it begins where the one before ends.
    end: usize,
    time: i64,
    value: f64,
}

impl Batch {
    /// A batch of so many points is to be taken in before more are added.
    pub const FULL: usize = 100_000;

    /// `path` is a whole name: parts of A-Z a-z 0-9 _ - between dots. `time` is
    /// UTC seconds since 1970.
    pub fn push(&mut self, path: &str, time: i64, value: f64) {
        self.paths.push_str(path);
        self.points.push(Point { end: self.paths.len(), time, value });
    }

    pub fn push_sample(&mut self, sample: Sample<'_>) {
        self.push(sample.path().as_str(), sample.time(), sample.value());
    }

    pub fn len(&self) -> usize {
        self.points.len()
    }

    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.points.len() >= Self::FULL
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.paths.clear();
        self.points.clear();
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, i64, f64)> {
        let mut start = 0;
        self.points.iter().map(move |point| {
            let path = &self.paths[start..point.end];
            start = point.end;
            (path, point.time, point.value)
        })
    }
}

impl<'p> FromIterator<(&'p str, i64, f64)> for Batch {
    fn from_iter<T: IntoIterator<Item = (&'p str, i64, f64)>>(points: T) -> Self {
        let mut batch = Self::default();
        for (path, time, value) in points {
            batch.push(path, time, value);
        }
        batch
    }
}

/// How far a spool file is taken in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Tells the file from all others, also from a later one of its name; at
    /// most [`Position::MAX_FILE_BYTES`].
    pub file: String,
    /// The bytes up to here need not be read again.
    pub offset: u64,
}

impl Position {
    pub const MAX_FILE_BYTES: usize = 1_024;
}

/// The points are durable and will be answered.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    pub kept: usize,
    /// Of series for which there is no room.
    pub refused: usize,
    /// Older than what is kept, more than a step in the future, or no number.
    pub untimely: usize,
}
