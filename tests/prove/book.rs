//! What a fake cloud's fleet did and when: what the ledger must hold of it.

use std::collections::{BTreeMap, BTreeSet};

use super::common::openstack::OpenStack;
use super::common::rounds::Dice;

/// From, to and vCPUs: a stretch in which it ran.
pub type Stretch = (i64, Option<i64>, i64);

struct Life {
    owner: &'static str,
    stretches: Vec<Stretch>,
    /// Of the flavor, which it keeps while it is stopped.
    vcpus: i64,
    /// When something was last done to it.
    touched: i64,
    /// The flavor of a stretch that no listing saw is on nobody's record.
    may_grow: bool,
    deleted: bool,
}

impl Life {
    fn runs(&self) -> bool {
        self.stretches.last().is_some_and(|(_, to, _)| to.is_none())
    }

    fn end(&mut self, at: i64) {
        if let Some((_, to, _)) = self.stretches.last_mut().filter(|(_, to, _)| to.is_none()) {
            *to = Some(at);
        }
    }
}

#[derive(Default)]
pub struct Book {
    lives: BTreeMap<String, Life>,
    pub happened: usize,
}

const VCPUS: [i64; 3] = [1, 2, 8];
const OWNERS: [&str; 3] = ["carol", "dave", "erin"];

impl Book {
    pub fn boot(&mut self, fake: &OpenStack, dice: &mut Dice) {
        let (owner, flavor) = (OWNERS[dice.roll(3) as usize], dice.roll(3) as usize);
        let mut cloud = fake.state();
        let id = cloud.boot(Some(owner), flavor);
        let (now, vcpus) = (cloud.now(), VCPUS[flavor]);
        let stretches = vec![(now, None, vcpus)];
        let life = Life { owner, stretches, vcpus, touched: now, may_grow: false, deleted: false };
        self.lives.insert(id, life);
        self.happened += 1;
    }

    /// What runs or is stopped now was seen by a listing as it is.
    pub fn seen(&mut self) {
        for life in self.lives.values_mut() {
            life.may_grow = true;
        }
    }

    /// One of the fleet, of about `size`, is stopped, started, resized or
    /// deleted, or another one comes.
    pub fn change(&mut self, fake: &OpenStack, dice: &mut Dice, size: usize) {
        let living: Vec<_> = self.lives.iter().filter(|(_, life)| !life.deleted).collect();
        if living.len() < size || dice.one_in(5) {
            return self.boot(fake, dice);
        }
        let id = living[dice.roll(living.len() as u64) as usize].0.clone();
        let life = self.lives.get_mut(&id).unwrap();
        let mut cloud = fake.state();
        let now = cloud.now();
        // A cloud tells whole seconds, and two things of one have no order.
        if now <= life.touched + 1 {
            return;
        }
        match dice.roll(4) {
            0 => {
                cloud.delete(&id);
                life.end(now);
                life.deleted = true;
            }
            1 if life.runs() && life.may_grow => {
                let flavor = dice.roll(3) as usize;
                if VCPUS[flavor] == life.vcpus {
                    return;
                }
                cloud.resize(&id, flavor);
                life.end(now);
                (life.vcpus, life.may_grow) = (VCPUS[flavor], false);
                life.stretches.push((now, None, life.vcpus));
            }
            _ if life.runs() => {
                cloud.stop(&id);
                life.end(now);
            }
            _ => {
                cloud.power_on(&id);
                life.stretches.push((now, None, life.vcpus));
            }
        }
        life.touched = now;
        self.happened += 1;
    }

    pub fn running(&self) -> BTreeSet<String> {
        let running = self.lives.iter().filter(|(_, life)| life.runs());
        running.map(|(id, _)| id.clone()).collect()
    }

    /// Owner and stretches of each.
    pub fn lives(&self) -> BTreeMap<String, (String, Vec<Stretch>)> {
        let all = self.lives.iter();
        all.map(|(id, life)| (id.clone(), (life.owner.to_owned(), life.stretches.clone())))
            .collect()
    }
}
