//! The data set of all figures: made up, the same in every run.

use std::sync::Arc;

use weather_balloon::model::{CloudRow, FlavorRow, SegmentRow, UserRow};
use weather_balloon::usage::Batch;

use crate::{CPUS, DAY, NOW, RUNNING, YEARS};

/// Instances by creation. Their place is their id.
pub struct Cloud {
    pub created: Vec<u32>,
    pub ended: Vec<u32>,
    pub user: Vec<u32>,
    pub cpu: Vec<u8>,
    pub users: usize,
}

impl Cloud {
    /// Arrivals grow linearly; users follow Zipf; lifetimes are log-normal
    /// about 6 h; one in twenty runs, about 30 days old.
    pub fn invent(size: usize, users: usize) -> Self {
        let mut random = Random(42);
        let weights = (1..=users).map(|rank| 1.0 / (rank as f64).powf(1.05));
        let zipf = cumulated(weights);
        let flavors = cumulated(CPUS.iter().map(|(_, share)| *share));
        let mut shuffled: Vec<u32> = (0..users as u32).collect();
        for at in (1..users).rev() {
            shuffled.swap(at, random.below(at + 1));
        }
        let mut rows: Vec<(u32, u32, u32, u8)> = (0..size)
            .map(|_| {
                let (created, ended) = random.life();
                let user = shuffled[random.pick(&zipf)];
                (created, ended, user, CPUS[random.pick(&flavors)].0)
            })
            .collect();
        rows.sort_unstable();
        Self {
            created: rows.iter().map(|row| row.0).collect(),
            ended: rows.iter().map(|row| row.1).collect(),
            user: rows.iter().map(|row| row.2).collect(),
            cpu: rows.iter().map(|row| row.3).collect(),
            users,
        }
    }

    pub fn empty(&self) -> usize {
        self.created.iter().zip(&self.ended).filter(|(created, ended)| ended <= created).count()
    }

    pub fn names(&self) -> Batch {
        let users = (0..self.users).map(|id| UserRow {
            id: id as i64,
            revision: 1,
            name: format!("user{id}"),
            is_staff: Some(id % 50 == 0),
        });
        let flavor = |(cpu, _): &(u8, f64)| FlavorRow {
            id: (*cpu).into(),
            revision: 1,
            cloud: 1,
            name: format!("m{cpu}"),
        };
        Batch {
            users: users.collect(),
            clouds: vec![CloudRow { id: 1, revision: 1, name: "east".into() }],
            flavors: CPUS.iter().map(flavor).collect(),
            ..Batch::default()
        }
    }

    pub fn segment(&self, at: usize, instance: i64) -> SegmentRow {
        SegmentRow {
            id: at as i64,
            revision: 1,
            instance,
            user: self.user[at].into(),
            cloud: 1,
            flavor: self.cpu[at].into(),
            vcpus: Some(self.cpu[at].into()),
            from: self.created[at].into(),
            to: (self.ended[at] != RUNNING).then_some(self.ended[at].into()),
            counted: true,
            deleted: false,
        }
    }
}

fn cumulated(weights: impl Iterator<Item = f64>) -> Arc<[f64]> {
    let mut sum = 0.0;
    weights
        .map(|weight| {
            sum += weight;
            sum
        })
        .collect()
}

/// SplitMix64: the same numbers everywhere.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// In [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn pick(&mut self, cumulated: &[f64]) -> usize {
        let at = self.uniform() * cumulated[cumulated.len() - 1];
        cumulated.partition_point(|sum| *sum <= at).min(cumulated.len() - 1)
    }

    fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        let (radius, turn) = (1.0 - self.uniform(), self.uniform());
        let normal = (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos();
        median * (sigma * normal).exp()
    }

    /// Start and end of one instance.
    fn life(&mut self) -> (u32, u32) {
        if self.uniform() < 0.05 {
            let age = self.log_normal(30.0 * DAY as f64, 1.0).min(YEARS as f64);
            return ((NOW - age as i64) as u32, RUNNING);
        }
        let created = NOW - YEARS + (YEARS as f64 * self.uniform().sqrt()) as i64;
        let mut ended = created + self.log_normal(6.0 * 3600.0, 2.0).min(1e12) as i64;
        if ended > NOW {
            ended = created + ((NOW - created) as f64 * self.uniform()) as i64;
        }
        (created as u32, ended as u32)
    }
}
