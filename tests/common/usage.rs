//! A ledger that makes up histories, and the leaderboard worked out from it in
//! the plainest way: from edge to edge, looking at every segment each time.
#![allow(clippy::unwrap_used, reason = "a rig of tests")]

use std::collections::{BTreeMap, BTreeSet};

use weather_balloon::model::{CloudRow, FlavorRow, SegmentRow, UserRow};
use weather_balloon::usage::{Batch, Filter, Group, GroupBy, Order, Query};

const DAY: i64 = 86_400;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    Start,
    Stop,
    /// Ends and begins again in the same second.
    Flap,
    Resize {
        flavor: i64,
        vcpus: Option<u32>,
    },
    /// A better source names the owner of the whole incarnation.
    Owner(i64),
    /// The ledger finds that the instance's last segment ended earlier.
    Correct {
        earlier: i64,
    },
    Uncount,
    Delete,
    Rename {
        user: i64,
        name: usize,
        is_staff: Option<bool>,
    },
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    user: i64,
    flavor: i64,
    vcpus: Option<u32>,
}

/// How the ledger numbers things and when it begins.
#[derive(Clone, Copy, Debug)]
pub struct Numbering {
    pub epoch: i64,
    pub first_segment: i64,
    pub segment_step: i64,
    pub first_instance: i64,
}

pub const NAMES: [&str; 4] = ["ada", "bob", "cyd", "dee"];
pub const CLOUDS: [&str; 2] = ["east", "west"];
pub const FLAVORS: [&str; 3] = ["large", "small", "small"];

pub struct Ledger {
    numbering: Numbering,
    pub now: i64,
    revision: i64,
    pub segments: BTreeMap<i64, SegmentRow>,
    pub users: BTreeMap<i64, UserRow>,
    shapes: BTreeMap<i64, Shape>,
    changed: BTreeSet<i64>,
    changed_users: BTreeSet<i64>,
}

impl Ledger {
    pub fn new(numbering: Numbering) -> Self {
        let users = (1..=4).map(|id| {
            let name = NAMES[id as usize - 1].to_owned();
            (id, UserRow { id, revision: 1, name, is_staff: (id == 2).then_some(true) })
        });
        Self {
            numbering,
            now: numbering.epoch,
            revision: 1,
            segments: BTreeMap::new(),
            users: users.collect(),
            shapes: BTreeMap::new(),
            changed: BTreeSet::new(),
            changed_users: (1..=4).collect(),
        }
    }

    pub fn happen(&mut self, after: i64, instance: i64, event: Event) {
        self.now += after;
        self.revision += 1;
        let instance = self.numbering.first_instance + instance;
        match event {
            Event::Start => self.start(instance),
            Event::Stop => self.stop(instance),
            Event::Flap => {
                self.stop(instance);
                self.start(instance);
            }
            Event::Resize { flavor, vcpus } => {
                let running = self.last(instance).is_some_and(|row| row.to.is_none());
                self.stop(instance);
                let shape = self.shape(instance);
                self.shapes.insert(instance, Shape { flavor, vcpus, ..shape });
                if running {
                    self.start(instance);
                }
            }
            Event::Owner(user) => {
                let shape = self.shape(instance);
                self.shapes.insert(instance, Shape { user, ..shape });
                self.change(|row| row.instance == instance, |row| row.user = user);
            }
            Event::Correct { earlier } => {
                let last = self.last(instance).map(|row| row.id);
                let now = self.now;
                self.change(
                    |row| Some(row.id) == last,
                    |row| row.to = Some(row.to.unwrap_or(now).saturating_sub(earlier)),
                );
            }
            Event::Uncount | Event::Delete => {
                let last = self.last(instance).map(|row| row.id);
                self.change(
                    |row| Some(row.id) == last,
                    |row| match event {
                        Event::Delete => row.deleted = !row.deleted,
                        _ => row.counted = !row.counted,
                    },
                );
            }
            Event::Rename { user, name, is_staff } => {
                let row = self.users.get_mut(&user).unwrap();
                (row.name, row.is_staff) = (NAMES[name].to_owned(), is_staff);
                row.revision = self.revision;
                self.changed_users.insert(user);
            }
        }
    }

    fn shape(&self, instance: i64) -> Shape {
        let first = Shape { user: 1 + instance.rem_euclid(3), flavor: 0, vcpus: Some(4) };
        self.shapes.get(&instance).copied().unwrap_or(first)
    }

    fn last(&self, instance: i64) -> Option<&SegmentRow> {
        self.segments.values().rev().find(|row| row.instance == instance)
    }

    fn start(&mut self, instance: i64) {
        if self.last(instance).is_some_and(|row| row.to.is_none()) {
            return;
        }
        let Shape { user, flavor, vcpus } = self.shape(instance);
        let id =
            self.numbering.first_segment + self.segments.len() as i64 * self.numbering.segment_step;
        let row = SegmentRow {
            id,
            revision: self.revision,
            instance,
            user,
            cloud: instance.rem_euclid(2),
            flavor,
            vcpus,
            from: self.now,
            to: None,
            counted: true,
            deleted: false,
        };
        self.segments.insert(id, row);
        self.changed.insert(id);
    }

    fn stop(&mut self, instance: i64) {
        let now = self.now;
        self.change(|row| row.instance == instance && row.to.is_none(), |row| row.to = Some(now));
    }

    fn change(&mut self, which: impl Fn(&SegmentRow) -> bool, change: impl Fn(&mut SegmentRow)) {
        for row in self.segments.values_mut().filter(|row| which(row)) {
            change(row);
            row.revision = self.revision;
            self.changed.insert(row.id);
        }
    }

    /// What changed since the last time.
    pub fn batch(&mut self) -> Batch {
        let changed = std::mem::take(&mut self.changed);
        let users = std::mem::take(&mut self.changed_users);
        let numbered = |names: &[&str]| -> Vec<(i64, String)> {
            (0..).zip(names.iter().map(|name| (*name).to_owned())).collect()
        };
        let clouds = numbered(&CLOUDS).into_iter();
        let flavors = numbered(&FLAVORS).into_iter();
        Batch {
            segments: changed.iter().map(|id| self.segments[id]).collect(),
            users: users.iter().map(|id| self.users[id].clone()).collect(),
            clouds: clouds.map(|(id, name)| CloudRow { id, revision: 1, name }).collect(),
            flavors: flavors
                .map(|(id, name)| FlavorRow { id, revision: 1, cloud: id % 2, name })
                .collect(),
            through: Some(self.revision),
        }
    }

    /// Every moment at which an answer may change.
    pub fn edges(&self) -> BTreeSet<i64> {
        let ends = self.segments.values().filter_map(|row| row.to);
        self.segments.values().map(|row| row.from).chain(ends).chain([self.now]).collect()
    }

    fn is_staff(&self, name: &str) -> bool {
        self.users.values().any(|user| user.name == name && user.is_staff == Some(true))
    }

    fn wanted(&self, row: &SegmentRow, filter: &Filter) -> bool {
        let user = self.users[&row.user].name.as_str();
        let is = |wanted: &Option<Box<str>>, name: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == name)
        };
        row.counted
            && !row.deleted
            && is(&filter.user, user)
            && is(&filter.cloud, CLOUDS[row.cloud as usize])
            && is(&filter.flavor, FLAVORS[row.flavor as usize])
            && filter.staff.is_none_or(|staff| self.is_staff(user) == staff)
    }

    pub fn leaderboard(&self, query: &Query, now: i64) -> Vec<Group> {
        let (start, end) = (query.window.start(), query.window.end().min(now));
        let rows: Vec<_> =
            self.segments.values().filter(|row| self.wanted(row, &query.filter)).collect();
        let mut edges: BTreeSet<i64> = rows.iter().map(|row| row.from).collect();
        edges.extend(rows.iter().filter_map(|row| row.to));
        edges.extend([start, end]);
        if query.group_by == GroupBy::Day {
            let first = rows.iter().map(|row| row.from.max(start)).min().unwrap_or(end);
            let mut midnight = first - first.rem_euclid(DAY);
            while midnight < end {
                edges.insert(midnight);
                midnight += DAY;
            }
        }
        let edges: Vec<i64> = edges.range(start..).take_while(|e| **e <= end).copied().collect();
        let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
        for span in edges.windows(2) {
            let seconds = i128::from(span[1]) - i128::from(span[0]);
            let covers =
                |row: &SegmentRow| row.from <= span[0] && row.to.is_none_or(|to| span[1] <= to);
            let day = match query.group_by {
                // No segment of a history is so old that its days are many.
                GroupBy::Day if rows.iter().any(|row| covers(row)) => date(span[0].div_euclid(DAY)),
                _ => String::new(),
            };
            for row in rows.iter().filter(|row| covers(row)) {
                let group = match query.group_by {
                    GroupBy::User => self.users[&row.user].name.as_str(),
                    GroupBy::Cloud => CLOUDS[row.cloud as usize],
                    GroupBy::Flavor => FLAVORS[row.flavor as usize],
                    GroupBy::Day => &day,
                };
                if !tallies.contains_key(group) {
                    tallies.insert(group.to_owned(), Tally::default());
                }
                let tally = tallies.get_mut(group).unwrap();
                tally.uptime += seconds;
                tally.cpu += seconds * i128::from(row.vcpus.unwrap_or(0));
                tally.unknown += if row.vcpus.is_none() { seconds } else { 0 };
                tally.instances.insert(row.instance);
            }
        }
        let mut groups: Vec<Group> =
            tallies.into_iter().map(|(name, tally)| self.shown(name, &tally, query)).collect();
        if query.order == Order::CpuTime {
            groups.sort_by_key(|group| std::cmp::Reverse(group.cpu_seconds));
        }
        groups.truncate(query.limit.map_or(usize::MAX, |limit| limit.get()));
        groups
    }

    fn shown(&self, name: String, tally: &Tally, query: &Query) -> Group {
        let stop = |sum: i128| i64::try_from(sum).unwrap_or(i64::MAX);
        Group {
            is_staff: (query.group_by == GroupBy::User).then(|| self.is_staff(&name)),
            name: name.into(),
            cpu_seconds: stop(tally.cpu),
            uptime_seconds: stop(tally.uptime),
            unknown_vcpu_seconds: stop(tally.unknown),
            instance_count: tally.instances.len() as i64,
        }
    }
}

#[derive(Default)]
struct Tally {
    cpu: i128,
    uptime: i128,
    unknown: i128,
    instances: BTreeSet<i64>,
}

/// Counts the days one year and one month after the other.
fn date(mut day: i64) -> String {
    let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let mut year = 1970;
    while day < 0 {
        year -= 1;
        day += 365 + i64::from(leap(year));
    }
    while day >= 365 + i64::from(leap(year)) {
        day -= 365 + i64::from(leap(year));
        year += 1;
    }
    let february = 28 + i64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", day + 1)
}
