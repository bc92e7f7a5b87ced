use super::Shape;

/// How the time of a cut is known; the greater one knows better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimeSource {
    /// It lies somewhere before or after: nobody looked at the time.
    Estimate,
    /// The first listing that showed it.
    Listing,
    /// The cloud told the time.
    Event,
}

impl TimeSource {
    pub const ALL: [Self; 3] = [Self::Estimate, Self::Listing, Self::Event];
}

/// UTC seconds since 1970, and how they are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub at: i64,
    pub by: TimeSource,
}

/// A stretch of an instance's life with one shape and one state. It goes on or
/// ends after it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub shape: Shape,
    pub counted: bool,
    from: Moment,
    to: Option<Moment>,
}

impl Segment {
    pub fn open(shape: Shape, counted: bool, from: Moment) -> Self {
        Self { shape, counted, from, to: None }
    }

    pub fn from(&self) -> Moment {
        self.from
    }

    pub fn to(&self) -> Option<Moment> {
        self.to
    }

    /// The segment with this end; absent where nothing would be left of it.
    pub fn ended(self, to: Moment) -> Option<Self> {
        (to.at > self.from.at).then_some(Self { to: Some(to), ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_segment_is_empty_or_negative() {
        let at = |at| Moment { at, by: TimeSource::Event };
        let open = Segment::open(Shape::default(), true, at(10));
        assert_eq!(open.clone().ended(at(11)).unwrap().to(), Some(at(11)));
        assert_eq!(open.clone().ended(at(10)), None);
        assert_eq!(open.ended(at(i64::MIN)), None);
    }
}
