use std::collections::BTreeMap;

/// What is wrong in the tables of 2014, by what it means for the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    DoubleCount,
    UnknownReturn,
    OpenTwice,
    EndsBeforeItBegins,
    Empty,
    Future,
    NoTime,
    BadInstanceId,
    NoCloud,
    NoUserName,
    VcpusUnknown,
    CloudTwice,
    UserTwice,
    KnownAnyway,
}

impl Wrong {
    /// A word for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::DoubleCount => "double_count",
            Self::UnknownReturn => "unknown_return",
            Self::OpenTwice => "open_twice",
            Self::EndsBeforeItBegins => "ends_before_it_begins",
            Self::Empty => "empty",
            Self::Future => "future",
            Self::NoTime => "no_time",
            Self::BadInstanceId => "bad_instance_id",
            Self::NoCloud => "no_cloud",
            Self::NoUserName => "no_user_name",
            Self::VcpusUnknown => "vcpus_unknown",
            Self::CloudTwice => "cloud_twice",
            Self::UserTwice => "user_twice",
            Self::KnownAnyway => "known_anyway",
        }
    }

    /// What it is, and what the import does about it.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::DoubleCount => {
                "a row that was made when an instance came back begins at its creation again, over time that an earlier row counts; that time is taken once"
            }
            Self::UnknownReturn => {
                "when an instance came back is not on record; the time in which it may have been away is not counted"
            }
            Self::OpenTwice => "several rows of an instance have no end; one is taken",
            Self::EndsBeforeItBegins => "the end lies before the beginning; nothing is taken",
            Self::Empty => "it begins and ends in the same second; nothing is taken",
            Self::Future => "a time lies in the future; what is ahead of now is not taken",
            Self::NoTime => "a time is infinite or before 1970; nothing is taken",
            Self::BadInstanceId => "the instance's id cannot be one; nothing is taken",
            Self::NoCloud => "the cloud is missing or has no name; nothing is taken",
            Self::NoUserName => "the user is missing or has no name; a made-up name stands for it",
            Self::VcpusUnknown => "the type has no usable number of vCPUs; they are unknown, not 0",
            Self::CloudTwice => "several clouds have one name; they are one",
            Self::UserTwice => "several users have one name; they are one",
            Self::KnownAnyway => "the ledger has seen that time itself; its own record stands",
        }
    }
}

/// What no table of 2014 says.
pub const UNKNOWABLE: [&str; 4] = [
    "Beginnings are when the cloud was asked for the instance, not when it ran.",
    "Ends are when the poll noticed, up to ten minutes late; pauses between two polls are not on record.",
    "Resizes were never recorded: each row has the type of its first sight.",
    "Instances without an address or the metadata key \"creator\" were never recorded.",
];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    pub rows: u64,
    /// That it bears on.
    pub seconds: i128,
    /// Row ids, the first few.
    pub examples: Vec<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportedCloud {
    pub name: String,
    /// It was imported before, at this time; nothing was done.
    pub before: Option<i64>,
    pub rows: u64,
    pub instances: u64,
    pub segments: u64,
    /// Of the segments, with open ones until the last sign of life in the
    /// tables; the vCPUs as far as they are known.
    pub seconds: i128,
    pub cpu_seconds: i128,
    /// The seconds that the query of 2014 would count.
    pub claimed_seconds: i128,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub dry_run: bool,
    pub clouds: Vec<ImportedCloud>,
    pub findings: BTreeMap<Wrong, Finding>,
}

impl Imported {
    const EXAMPLES: usize = 10;

    pub(super) fn note(&mut self, wrong: Wrong, row: i64, seconds: i64) {
        let finding = self.findings.entry(wrong).or_default();
        finding.rows += 1;
        finding.seconds += i128::from(seconds);
        if finding.examples.len() < Self::EXAMPLES {
            finding.examples.push(row);
        }
    }
}
