//! The one vocabulary in which all parts are told of.

use super::Range;

/// What of the appliance a finding is about, in the order in which an operator
/// reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Nagios,
    Hosts,
    Sync,
    Brake,
    Perfdata,
    Carbon,
    Graphite,
    Archive,
    Store,
    Clouds,
    Directory,
    Clock,
    Disk,
}

impl Part {
    pub const ALL: [Self; 13] = [
        Self::Nagios,
        Self::Hosts,
        Self::Sync,
        Self::Brake,
        Self::Perfdata,
        Self::Carbon,
        Self::Graphite,
        Self::Archive,
        Self::Store,
        Self::Clouds,
        Self::Directory,
        Self::Clock,
        Self::Disk,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Nagios => "nagios",
            Self::Hosts => "hosts",
            Self::Sync => "sync",
            Self::Brake => "brake",
            Self::Perfdata => "perfdata",
            Self::Carbon => "carbon",
            Self::Graphite => "graphite",
            Self::Archive => "archive",
            Self::Store => "store",
            Self::Clouds => "clouds",
            Self::Directory => "directory",
            Self::Clock => "clock",
            Self::Disk => "disk",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// A figure with the thresholds that hold unless the caller has others.
#[derive(Clone, Debug, PartialEq)]
pub struct Number {
    /// `a-z` and `_`.
    pub label: String,
    pub value: f64,
    /// As in perfdata: "", "s", "B", "%" or "c" for a counter.
    pub unit: String,
    pub warn: Option<Range>,
    pub fail: Option<Range>,
}

impl Number {
    pub fn new(label: &str, value: f64, unit: &str) -> Self {
        Self { label: label.to_owned(), value, unit: unit.to_owned(), warn: None, fail: None }
    }

    pub fn count(label: &str, value: u64) -> Self {
        Self::new(label, value as f64, "")
    }

    #[must_use]
    pub fn limits(self, warn: Range, fail: Range) -> Self {
        Self { warn: Some(warn), fail: Some(fail), ..self }
    }

    pub fn verdict(&self) -> Verdict {
        let alerts = |range: &Option<Range>| range.is_some_and(|range| range.alerts(self.value));
        match (alerts(&self.fail), alerts(&self.warn)) {
            (true, _) => Verdict::Fail,
            (false, true) => Verdict::Warn,
            (false, false) => Verdict::Ok,
        }
    }
}

/// What was found at one hop.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// A part's name; the command line adds findings of its own.
    pub part: String,
    pub hop: String,
    /// Apart from what the numbers say.
    pub verdict: Verdict,
    pub what: String,
    /// What to do, in the operator's words.
    pub fix: Option<String>,
    pub numbers: Vec<Number>,
}

impl Finding {
    pub fn new(part: &str, hop: &str, verdict: Verdict, what: impl Into<String>) -> Self {
        let (part, hop, what) = (part.to_owned(), hop.to_owned(), what.into());
        Self { part, hop, verdict, what, fix: None, numbers: Vec::new() }
    }

    pub fn ok(part: Part, hop: &str, what: impl Into<String>) -> Self {
        Self::new(part.name(), hop, Verdict::Ok, what)
    }

    pub fn warn(part: Part, hop: &str, what: impl Into<String>) -> Self {
        Self::new(part.name(), hop, Verdict::Warn, what)
    }

    pub fn fail(part: Part, hop: &str, what: impl Into<String>) -> Self {
        Self::new(part.name(), hop, Verdict::Fail, what)
    }

    #[must_use]
    pub fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }

    #[must_use]
    pub fn number(mut self, number: Number) -> Self {
        self.numbers.push(number);
        self
    }

    /// With what the numbers say.
    pub fn overall(&self) -> Verdict {
        self.numbers.iter().map(Number::verdict).fold(self.verdict, Verdict::max)
    }
}
