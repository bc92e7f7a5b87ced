//! Two sites with an appliance and a real Nagios each, and between them a
//! PostgreSQL and a fake OpenStack, every one reached by a cable of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::book::{Book, Stretch};
use super::common::appliance::Appliance;
use super::common::cloud::{QUICK, write_password, write_secret};
use super::common::hosts_file::Whole;
use super::common::keeper;
use super::common::nagios::{Nagios, Settings, wait_until};
use super::common::network::{Cable, Network};
use super::common::openstack::OpenStack;
use super::common::postgres::{self, Postgres};
use super::common::rounds::Dice;

const CLOUD: &str = "east";
/// The usual number of instances.
const FLEET: usize = 12;

pub struct Site {
    pub ledger: Cable,
    pub cloud: Cable,
    pub appliance: Appliance,
    nagios: Nagios,
    pub paused: bool,
}

pub struct Sites {
    pub both: [Site; 2],
    pub book: Book,
    pub dice: Dice,
    fake: Option<OpenStack>,
    postgres: Postgres,
    database: String,
    middle: Network,
    /// As the ledger names the first one.
    first: String,
}

/// One run of the ledger as a trigger wrote it down in the run's own
/// transaction, and the lease at that moment.
#[derive(Debug)]
struct Kept {
    at: f64,
    run: String,
    listing: i64,
    epoch: i64,
    holder: String,
}

/// The tables are the test's, and the program knows nothing of them.
const AUDIT: &str = "
    CREATE TABLE audit_run (seq BIGSERIAL, at TIMESTAMPTZ DEFAULT clock_timestamp(),
        run TEXT, listing BIGINT, epoch BIGINT, holder TEXT);
    CREATE TABLE audit_lease (seq BIGSERIAL, epoch BIGINT, holder TEXT, before TEXT,
        epoch_before BIGINT, left_ms BIGINT);
    CREATE FUNCTION audit_run() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        INSERT INTO audit_run (run, listing, epoch, holder)
            SELECT NEW.id, NEW.listing, epoch, holder FROM lease;
        RETURN NULL; END $$;
    CREATE FUNCTION audit_lease() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        INSERT INTO audit_lease (epoch, holder, before, epoch_before, left_ms)
            VALUES (NEW.epoch, NEW.holder, OLD.holder, OLD.epoch,
                OLD.expires - extract(epoch FROM clock_timestamp()) * 1000);
        RETURN NULL; END $$;
    CREATE TABLE audit_pause (seconds DOUBLE PRECISION);
    INSERT INTO audit_pause VALUES (0);
    CREATE FUNCTION audit_pause() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        PERFORM pg_sleep(seconds) FROM audit_pause WHERE seconds > 0;
        RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER audit_pause AFTER INSERT ON run DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION audit_pause();
    CREATE TRIGGER audit AFTER INSERT ON run FOR EACH ROW EXECUTE FUNCTION audit_run();
    CREATE TRIGGER audit AFTER UPDATE ON lease FOR EACH ROW WHEN (OLD.epoch <> NEW.epoch)
        EXECUTE FUNCTION audit_lease();";

/// Each look at the database is a process of its own.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    wait_until(what, || {
        let found = look();
        if found.is_none() {
            std::thread::sleep(Duration::from_millis(150));
        }
        found
    })
}

impl Sites {
    /// None where this process may make no networks.
    pub fn start(seed: u64) -> Option<Self> {
        let networks = (Network::new(), Network::new(), Network::new());
        let (Ok(middle), Ok(one), Ok(two)) = networks else {
            eprintln!("passed by: this process may make no network of its own");
            return None;
        };
        let cable = |end: &Network, number| Cable::new(&middle, end, number);
        let ledgers = [cable(&one, 1), cable(&two, 2)];
        let clouds = [cable(&one, 3), cable(&two, 4)];
        let addresses = ledgers.iter().map(Cable::middle_address).collect();
        let postgres = Postgres::start_on(&middle, addresses);
        let database = postgres.database();
        let fake = middle.run(|| OpenStack::start_at("0.0.0.0:0"));
        let port = fake.url().rsplit(':').next().unwrap().to_owned();
        let mut networks = [one, two].into_iter();
        let mut cables = ledgers.into_iter().zip(clouds);
        let both = [(); 2].map(|()| {
            let (network, (ledger, cloud)) = (networks.next().unwrap(), cables.next().unwrap());
            let nagios = Nagios::start_new(Settings::default());
            let mut appliance = Appliance::new(&nagios, QUICK, "");
            appliance.network = Some(network);
            let password = write_password(&appliance);
            let secret = write_secret(&appliance, "ledger-password", postgres::PASSWORD);
            let more = format!(
                "[store]\nurl = \"postgresql://weather@{}:{}/{database}\"\npassword_file = \"{}\"\n\
                 tls = \"off\"\n\
                 [[cloud]]\nname = \"{CLOUD}\"\nkind = \"openstack\"\ninterval = \"2s\"\n\
                 timeout = \"10s\"\nauth_url = \"http://{}:{port}/identity\"\n\
                 username = \"weatherballoon\"\npassword_file = \"{}\"\nproject = \"admin\"\n",
                ledger.middle_address(),
                postgres.port,
                secret.display(),
                cloud.middle_address(),
                password.display()
            );
            appliance.configure(&nagios, QUICK, &more);
            Site { ledger, cloud, appliance, nagios, paused: false }
        });
        let (book, dice, first) = (Book::default(), Dice::new(seed), String::new());
        let fake = Some(fake);
        let mut sites = Self { both, book, dice, fake, postgres, database, middle, first };
        sites.set_up();
        Some(sites)
    }

    /// The first makes the tables and polls first. Nothing is billed from
    /// before a cloud's first listing, so the fleet comes after that.
    fn set_up(&mut self) {
        self.both[0].appliance.start();
        wait_for("the ledger's tables", || {
            let made = "SELECT count(*) FROM pg_class WHERE relname IN ('run', 'segment')";
            (self.sql(made).trim() == "2").then_some(())
        });
        self.sql(AUDIT);
        wait_for("a first run", || (self.runs() > 0).then_some(()));
        self.first = self.sql("SELECT holder FROM lease");
        let fake = self.fake.as_ref().unwrap();
        for _ in 0..FLEET {
            self.book.boot(fake, &mut self.dice);
        }
        self.both[1].appliance.start();
    }

    pub fn sql(&self, statement: &str) -> String {
        self.postgres.sql(&self.database, statement)
    }

    fn number(&self, statement: &str) -> i64 {
        self.sql(statement).trim().parse().unwrap()
    }

    pub fn runs(&self) -> i64 {
        self.number("SELECT count(*) FROM audit_run")
    }

    pub fn epoch(&self) -> i64 {
        self.number("SELECT epoch FROM lease")
    }

    /// Which of the two has the lease, or had it last.
    pub fn holder(&self) -> usize {
        usize::from(self.sql("SELECT holder FROM lease") != self.first)
    }

    pub fn change(&mut self) {
        let fake = self.fake.as_ref().unwrap();
        self.book.change(fake, &mut self.dice, FLEET);
    }

    /// Lets the fleet change for a while, about every so often.
    pub fn go_on(&mut self, time: Duration, every: Duration) {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.change();
            std::thread::sleep(every.min(left));
        }
    }

    pub fn heal(&mut self) {
        for site in &mut self.both {
            site.ledger.heal();
            site.cloud.heal();
            site.resume();
        }
    }

    /// Waits until a listing that began after all was well is kept and both
    /// watch what runs; returns after how long the first was.
    pub fn settle(&mut self, healed: Instant) -> Duration {
        let before = self.runs();
        wait_for("a listing that is kept", || (self.runs() > before).then_some(()));
        let kept = healed.elapsed();
        wait_for("a listing of all that happened", || (self.runs() >= before + 3).then_some(()));
        self.book.seen();
        let wanted: BTreeSet<_> =
            self.book.running().iter().map(|id| format!("{CLOUD}_{id}")).collect();
        for site in &mut self.both {
            wait_until("the fleet in a hosts file", || {
                assert!(!site.appliance.has_ended(), "an appliance has ended");
                let whole = Whole::at(&site.nagios.hosts_file())?;
                (whole.ids == wanted).then_some(())
            });
        }
        kept
    }

    /// What no trouble may have broken, as the database has it.
    pub fn assert_sound(&self) {
        let kept = self.kept();
        for (at, one) in kept.iter().enumerate() {
            // Holder, epoch, cloud, number.
            let words: Vec<&str> = one.run.rsplitn(4, ' ').collect();
            assert_eq!(words[3], one.holder, "a run of another holder: {one:?}");
            let before = at.checked_sub(1).map(|at| &kept[at]);
            // A run whose commit was in doubt is brought up again with the next
            // lease of its own holder, as long as nobody wrote between.
            let named: i64 = words[2].parse().unwrap();
            let again = named < one.epoch && before.is_none_or(|before| before.epoch <= named);
            assert!(named == one.epoch || again, "a run of another epoch: {one:?}");
            if let Some(before) = before {
                assert_eq!(one.listing, before.listing + 1, "{before:?} and then {one:?}");
                assert!(one.epoch >= before.epoch, "{before:?} and then {one:?}");
            }
        }
        let names: BTreeSet<&str> = kept.iter().map(|one| one.run.as_str()).collect();
        assert_eq!(names.len(), kept.len(), "a run was kept twice");
        let odd = "SELECT * FROM audit_lease WHERE epoch <> epoch_before + 1
                   OR (holder <> before AND left_ms > 0)";
        assert_eq!(self.sql(odd), "", "the lease went before its time");
        let double = "SELECT a.*, b.* FROM segment a JOIN segment b ON a.instance = b.instance
            AND a.id < b.id AND NOT a.deleted AND NOT b.deleted
            AND a.begins < coalesce(b.ends, 1::bigint << 60)
            AND b.begins < coalesce(a.ends, 1::bigint << 60)";
        assert_eq!(self.sql(double), "", "segments that overlap");
        let twins = "SELECT cloud, key, count(*) FROM instance WHERE gone_at IS NULL
            GROUP BY 1, 2 HAVING count(*) > 1";
        assert_eq!(self.sql(twins), "", "one instance twice");
        for site in &self.both {
            assert!(!site.appliance.log().contains("panicked"), "{}", site.appliance.log());
        }
    }

    /// Once all is well: the ledger has every life as the cloud had it, to the
    /// second, and both Nagios run what runs.
    pub fn assert_true(&self) {
        assert_eq!(self.billed(), self.book.lives());
        for site in &self.both {
            site.appliance.wait_in_step();
            let prefix = format!("{CLOUD}_");
            let hosts = site.nagios.hosts();
            let own = hosts.keys().filter_map(|id| id.strip_prefix(&prefix));
            let own: BTreeSet<_> = own.map(str::to_owned).collect();
            assert_eq!(own, self.book.running());
        }
    }

    fn kept(&self) -> Vec<Kept> {
        let rows = self.sql(
            "SELECT extract(epoch FROM at), run, listing, epoch, holder FROM audit_run ORDER BY seq",
        );
        rows.lines()
            .map(|row| {
                let mut words = row.split('|');
                let mut word = || words.next().unwrap().to_owned();
                Kept {
                    at: word().parse().unwrap(),
                    run: word(),
                    listing: word().parse().unwrap(),
                    epoch: word().parse().unwrap(),
                    holder: word(),
                }
            })
            .collect()
    }

    /// Owner and stretches of each instance. Two that touch and differ in
    /// nothing are one.
    fn billed(&self) -> BTreeMap<String, (String, Vec<Stretch>)> {
        let rows = self.sql(
            "SELECT i.key, a.name, s.begins, s.ends, s.vcpus FROM segment s
             JOIN instance i ON i.id = s.instance JOIN account a ON a.id = s.account
             WHERE s.counted AND NOT s.deleted ORDER BY i.key, s.begins",
        );
        let mut billed: BTreeMap<String, (String, Vec<Stretch>)> = BTreeMap::new();
        for row in rows.lines() {
            let words: Vec<&str> = row.split('|').collect();
            let number = |at: usize| words[at].parse::<i64>().ok();
            let (from, to, vcpus) = (number(2).unwrap(), number(3), number(4).unwrap());
            let fresh = || (words[1].to_owned(), Vec::new());
            let (owner, stretches) = billed.entry(words[0].to_owned()).or_insert_with(fresh);
            assert_eq!(owner, words[1], "{row}");
            match stretches.last_mut() {
                Some(last) if last.1 == Some(from) && last.2 == vcpus => last.1 = to,
                _ => stretches.push((from, to, vcpus)),
            }
        }
        billed
    }

    /// Runs of each of the two, take-overs, and the longest time between runs.
    pub fn told(&self) -> (Vec<usize>, usize, f64) {
        let kept = self.kept();
        let mut by: BTreeMap<&str, usize> = BTreeMap::new();
        for one in &kept {
            *by.entry(one.holder.as_str()).or_default() += 1;
        }
        let overs = kept.windows(2).filter(|pair| pair[0].holder != pair[1].holder).count();
        let gaps = kept.windows(2).map(|pair| pair[1].at - pair[0].at);
        (by.into_values().collect(), overs, gaps.fold(0.0, f64::max))
    }

    /// Both stop when they are asked to.
    pub fn stop(&mut self) {
        for site in &mut self.both {
            let (ended, _) = site.appliance.stop();
            assert!(ended.success(), "{ended}");
        }
    }

    /// Keeps everybody from writing to the ledger, until it is dropped.
    pub fn hold(&self) -> Hold {
        let mut command = self.postgres.psql(&self.database);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut session = keeper::spawn(command).unwrap();
        let order = b"BEGIN; SELECT revision FROM ledger FOR UPDATE;\n";
        session.stdin.as_mut().unwrap().write_all(order).unwrap();
        let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND granted
            AND mode = 'RowShareLock' AND relation = 'ledger'::regclass
            AND pid IN (SELECT pid FROM pg_stat_activity WHERE usename = 'postgres'
                AND state = 'idle in transaction')";
        wait_for("the ledger's lock", || (self.number(held) == 1).then_some(()));
        Hold(session)
    }

    /// How many of this site's statements wait for another's.
    pub fn waiting(&self, site: usize) -> i64 {
        let address = self.both[site].ledger.end_address();
        self.number(&format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE wait_event_type = 'Lock' AND client_addr = '{address}'"
        ))
    }

    /// So long each commit of a run takes from now on.
    pub fn delay_commits(&self, seconds: u32) {
        self.sql(&format!("UPDATE audit_pause SET seconds = {seconds}"));
    }

    /// Whether a commit of this site's is under way and delayed.
    pub fn is_committing(&self, site: usize) -> bool {
        let address = self.both[site].ledger.end_address();
        let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        self.number(&format!("{sleeps} AND client_addr = '{address}'")) > 0
    }

    /// As after a minute without a word of that epoch's holder.
    pub fn expire_lease(&self, epoch: i64) {
        self.sql(&format!("UPDATE lease SET expires = 0 WHERE epoch = {epoch}"));
    }
}

pub struct Hold(Child);

impl Drop for Hold {
    fn drop(&mut self) {
        // psql ends with its input, and the transaction with psql.
        drop(self.0.stdin.take());
        keeper::stop(&mut self.0);
    }
}

impl Site {
    pub fn pause(&mut self) {
        self.appliance.pause();
        self.paused = true;
    }

    pub fn resume(&mut self) {
        if std::mem::take(&mut self.paused) {
            self.appliance.signal(nix::sys::signal::Signal::SIGCONT);
        }
    }
}

impl Drop for Sites {
    fn drop(&mut self) {
        for site in &mut self.both {
            site.resume();
        }
        // It wakes its own threads by a call to itself.
        let fake = self.fake.take();
        self.middle.run(move || drop(fake));
    }
}
