//! What is in the cloud, and what a test does to it.

use std::collections::{BTreeMap, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::super::demo::PEOPLE;
use super::{Action, Flavor, REGION, Server, State};

impl State {
    pub(super) fn new() -> Self {
        let flavor = |id: &str, name: &str, vcpus, ram, disk| Flavor {
            id: id.to_owned(),
            name: name.to_owned(),
            vcpus,
            ram,
            disk,
        };
        Self {
            clock: None,
            max_limit: 1000,
            minor: 93,
            regions: vec![REGION.to_owned()],
            token_life: 3600,
            member: false,
            users_hidden: false,
            users: BTreeMap::new(),
            flavors: vec![
                flavor("1", "m1.tiny", 1, 512, 1),
                flavor("2", "m1.small", 2, 2048, 20),
                flavor("3", "m1.large", 8, 8192, 80),
            ],
            link_base: None,
            address: None,
            servers: Vec::new(),
            places: HashMap::new(),
            tokens: HashMap::new(),
            validator: None,
            pages: 0,
            logins: 0,
            serial: 0,
            meddler: None,
        }
    }

    pub fn now(&self) -> i64 {
        let real = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        self.clock.unwrap_or_else(|| i64::try_from(real()).unwrap())
    }

    pub fn pass(&mut self, seconds: i64) {
        self.clock = Some(self.now() + seconds);
    }

    /// A server that runs since now. Its owner is `creator`, where there is one.
    pub fn boot(&mut self, creator: Option<&str>, flavor: usize) -> String {
        self.boot_in(REGION, creator, flavor)
    }

    pub fn boot_in(&mut self, region: &str, creator: Option<&str>, flavor: usize) -> String {
        let now = self.now();
        self.serial += 1;
        let n = self.serial;
        let id =
            format!("{n:08x}-0000-4000-8000-{:012x}", n.wrapping_mul(0x9e37_79b9) & 0xffff_ffff);
        let user = creator.map_or_else(|| "u-shared".to_owned(), |name| format!("u-{name}"));
        let name = creator.unwrap_or("shared").to_owned();
        self.users.entry(user.clone()).or_insert(name);
        let own = format!("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255);
        let address = self.address.clone().unwrap_or(own);
        let addresses = json!({"private": [{
            "version": 4, "addr": address, "OS-EXT-IPS:type": "fixed",
            "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:00:00:01",
        }]});
        let server = Server {
            id: id.clone(),
            region: region.to_owned(),
            name: format!("vm-{n}"),
            status: "ACTIVE".to_owned(),
            task: None,
            user,
            metadata: creator
                .map(|name| ("creator".to_owned(), name.to_owned()))
                .into_iter()
                .collect(),
            flavor: self.flavors[flavor].clone(),
            created: now,
            updated: now,
            launched: now,
            terminated: None,
            addresses,
            actions: Vec::new(),
        };
        self.places.insert(id.clone(), self.servers.len());
        self.servers.push(server);
        self.act(&id, "create");
        id
    }

    pub fn server(&mut self, id: &str) -> &mut Server {
        let place = self.places[id];
        &mut self.servers[place]
    }

    pub fn living(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().filter(|server| server.terminated.is_none())
    }

    fn act(&mut self, id: &str, name: &str) {
        let now = self.now();
        let server = self.server(id);
        server.updated = now;
        server.actions.push(Action { name: name.to_owned(), start: now, end: now, failed: false });
    }

    fn change(&mut self, id: &str, action: &str, status: &str) {
        status.clone_into(&mut self.server(id).status);
        self.act(id, action);
    }

    pub fn stop(&mut self, id: &str) {
        self.change(id, "stop", "SHUTOFF");
    }

    pub fn power_on(&mut self, id: &str) {
        self.change(id, "start", "ACTIVE");
    }

    /// As it is after confirmResize; `launched_at` moves.
    pub fn resize(&mut self, id: &str, flavor: usize) {
        let (now, flavor) = (self.now(), self.flavors[flavor].clone());
        let server = self.server(id);
        (server.flavor, server.launched) = (flavor, now);
        self.act(id, "resize");
        self.act(id, "confirmResize");
    }

    pub fn delete(&mut self, id: &str) {
        let now = self.now();
        self.change(id, "delete", "DELETED");
        let server = self.server(id);
        server.terminated = Some(now);
        server.metadata.clear();
        server.addresses = json!({});
    }

    /// Without a trace, as after the purge of Nova's old rows.
    pub fn forget(&mut self, id: &str) {
        let place = self.places[id];
        self.servers.remove(place);
        self.places =
            self.servers.iter().enumerate().map(|(at, server)| (server.id.clone(), at)).collect();
    }

    /// Some come, go, stop, start and grow; about `fleet` stay.
    pub fn churn(&mut self, fleet: usize) {
        self.serial = self.serial.wrapping_add(1);
        let mut dice = self.serial.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995;
        let mut roll = |sides: usize| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            usize::try_from(dice % sides as u64).unwrap()
        };
        let living: Vec<_> =
            self.living().map(|server| (server.id.clone(), server.status.clone())).collect();
        if living.len() < fleet {
            for _ in 0..(fleet - living.len()).min(3) {
                self.boot(Some(PEOPLE[roll(PEOPLE.len())]), roll(3));
            }
        }
        let Some((id, status)) = living.get(roll(living.len().max(1))) else { return };
        match (roll(4), status.as_str()) {
            (0, _) if living.len() >= fleet / 2 => self.delete(id),
            (1, "ACTIVE") => self.resize(id, roll(3)),
            (2, "ACTIVE") => self.stop(id),
            (_, "SHUTOFF") => self.power_on(id),
            _ => (),
        }
    }
}
