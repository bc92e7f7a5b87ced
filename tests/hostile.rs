//! Text that tenants choose, from the wire to the command lines of a running
//! Nagios: it changes no directive, runs no command and ends nothing.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking and write plain files"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::appliance::{Appliance, given};
use common::nagios::{Account, Nagios, Settings, names_in, wait_until};
use common::thrift::{connect, raw_call};
use weather_balloon::model::{GivenHost, SENTINEL_HOST};
use weather_balloon::rpc::client::Error;

const QUICK: &str = "min_restart_interval = \"1s\"";

/// Ids and addresses that are sound and look odd.
const ODD: [(&str, &str); 12] = [
    ("a.b", "127.0.0.1"),
    ("a_c", "127.0.0.2"),
    ("a@d", "127.0.0.3"),
    ("a:e", "::1"),
    ("a+f", "2001:DB8:0::1"),
    ("a-g", "fe80::1%lo"),
    ("h1", "localhost"),
    ("H1", "b\u{fc}cher.example"),
    ("0", "xn--bcher-kva.example"),
    ("nul", "127.0.0.4"),
    ("i-00000000-ffff", "a.b-c.d"),
    ("define", "127.0.0.5"),
];

/// Each with what Nagios is to show; {M} is a directory to leave a mark in.
const NAMES: [(&str, &str); 24] = [
    ("plain", "plain"),
    ("Gr\u{f6}\u{df}e \u{6771}\u{4eac} \u{1f388}", "Gr\u{f6}\u{df}e \u{6771}\u{4eac} \u{1f388}"),
    ("x\n    check_command evil", "x check_command evil"),
    (
        "x\n}\ndefine command {\n command_name e\n command_line /bin/touch {M}/1\n}\ndefine host {",
        "x \u{ff5d} define command \u{ff5b} command_name e command_line /bin/touch \u{ff5b}M\u{ff5d}/1 \u{ff5d} define host \u{ff5b}",
    ),
    ("}", "\u{ff5d}"),
    ("a;b", "a\u{ff1b}b"),
    ("ends in \\", "ends in \u{ff3c}"),
    ("`touch {M}/2`", "\u{ff40}touch \u{ff5b}M\u{ff5d}/2\u{ff40}"),
    ("$(touch {M}/3)", "\u{ff04}\u{ff08}touch \u{ff5b}M\u{ff5d}/3\u{ff09}"),
    ("'; touch {M}/4 #", "\u{2019}\u{ff1b} touch \u{ff5b}M\u{ff5d}/4 \u{ff03}"),
    ("\" | touch {M}/5 & \"", "\u{201d} \u{ff5c} touch \u{ff5b}M\u{ff5d}/5 \u{ff06} \u{201d}"),
    (
        "$USER1$ $HOSTNAME$ $ARG1$",
        "\u{ff04}USER1\u{ff04} \u{ff04}HOSTNAME\u{ff04} \u{ff04}ARG1\u{ff04}",
    ),
    ("tab\tand\rreturn", "tab and return"),
    ("nul\0here", "nul here"),
    ("right\u{202e}to\u{2066}left", "right to left"),
    ("line\u{2028}and\u{2029}paragraph", "line and paragraph"),
    ("", "{ID}"),
    ("null", "{ID}"),
    (" \u{200b} ", "{ID}"),
    ("+x, !y", "+x, \u{ff01}y"),
    ("include_file=/etc/passwd", "include_file\u{ff1d}/etc/passwd"),
    (
        "<script>alert(1)</script>",
        "\u{2039}script\u{203a}alert\u{ff08}1\u{ff09}\u{2039}/script\u{203a}",
    ),
    ("# comment", "\u{ff03} comment"),
    ("* ? [a] ~ ^ %", "\u{ff0a} \u{ff1f} \u{ff3b}a\u{ff3d} \u{ff5e} \u{ff3e} \u{ff05}"),
];

fn hostile(marks: &Path) -> (Vec<GivenHost>, BTreeMap<String, String>) {
    let mut shown = BTreeMap::new();
    let mut hosts = Vec::new();
    let ids = ODD.iter().map(|(id, _)| (*id).to_owned());
    let ids = ids.chain((0..).map(|n| format!("more-{n}")));
    for (id, (name, tamed)) in ids.zip(NAMES) {
        let address = ODD.iter().find(|(odd, _)| *odd == id).map_or("127.0.0.9", |(_, a)| a);
        let name = name.replace("{M}", &marks.display().to_string());
        let mark = format!("{}", marks.display());
        let tamed = tamed.replace("\u{ff5b}M\u{ff5d}", &mark).replace("{ID}", &id);
        shown.insert(id.clone(), tamed);
        hosts.push(GivenHost { display_name: name, ..given(&id, address) });
    }
    // As long as a message's string may be, and longer than a line should be.
    for (id, letter) in [("long", "a"), ("wide", "\u{e9}")] {
        let name = letter.repeat(1_000_000 / letter.len());
        shown.insert(id.to_owned(), letter.repeat(255 / letter.len()));
        hosts.push(GivenHost { display_name: name, ..given(id, "127.0.0.9") });
    }
    (hosts, shown)
}

/// Every object that the running Nagios has: kind and directives.
fn objects(nagios: &Nagios) -> Vec<(String, BTreeMap<String, String>)> {
    let cache = fs::read_to_string(nagios.path("var/objects.cache")).unwrap();
    let mut objects: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    for line in cache.lines() {
        if let Some(kind) = line.strip_prefix("define ") {
            objects.push((kind.trim_end_matches(" {").to_owned(), BTreeMap::new()));
        } else if let Some((key, value)) = line.trim_start().split_once('\t') {
            let known = objects.last_mut().unwrap().1.insert(key.to_owned(), value.to_owned());
            assert_eq!(known, None, "{key} is there twice");
        }
    }
    objects
}

/// The same with names that nobody could object to.
fn plain(hosts: &[GivenHost]) -> Vec<GivenHost> {
    let plain = |host: &GivenHost| GivenHost { display_name: "p".into(), ..host.clone() };
    hosts.iter().map(plain).collect()
}

/// A plugin that notes its arguments, one file a run, and commands that hand
/// it every macro with a tenant's text: quoted, unquoted, half an option.
struct Plugin {
    dir: tempfile::TempDir,
}

/// A shell would put the home directory in the place of this.
const CANARY: &str = "~nagios";

impl Plugin {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("wbp-").tempdir_in("/tmp").unwrap();
        Account::of_nagios().give(dir.path());
        let plugin = Self { dir };
        for name in ["runs", "marks"] {
            fs::create_dir(plugin.path(name)).unwrap();
            Account::of_nagios().give(&plugin.path(name));
        }
        let runs = plugin.path("runs").display().to_string();
        let text = format!(
            "#!/bin/sh\nprintf '%s\\0' \"$@\" > {runs}/.$$ && mv {runs}/.$$ {runs}/$1.$$\necho ok\n"
        );
        fs::write(plugin.path("plugin"), text).unwrap();
        fs::set_permissions(plugin.path("plugin"), Permissions::from_mode(0o755)).unwrap();
        plugin
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// In the place of what our templates run.
    fn install(&self, nagios: &Nagios) {
        let plugin = self.path("plugin").display().to_string();
        let line = |kind: &str| {
            format!(
                "{plugin} {kind} {CANARY} '$HOSTADDRESS$' -H$HOSTADDRESS$ $HOSTNAME$ $HOSTALIAS$ \"$HOSTDISPLAYNAME$\" end $HOSTDISPLAYNAME$"
            )
        };
        let command = |name: &str, line: &str| {
            format!("define command {{\n command_name {name}\n command_line {line}\n}}\n")
        };
        let commands = command("wb_check_host_alive", &line("host"))
            + &command("wb_check_nrpe", &line("service"));
        fs::write(nagios.conf_d().join("commands.cfg"), commands).unwrap();
        // The control: a command line that does go through a shell.
        nagios.edit("etc/conf.d/weather-balloon/sentinel.cfg", |text| {
            text.replace("/bin/true check", &format!("{plugin} control {CANARY} x?y"))
        });
    }

    /// The arguments of every run so far.
    fn runs(&self) -> Vec<Vec<String>> {
        let mut runs = names_in(&self.path("runs"));
        runs.retain(|name| !name.starts_with('.'));
        runs.iter()
            .map(|name| {
                let said = fs::read_to_string(self.path("runs").join(name)).unwrap();
                said.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
            })
            .collect()
    }
}

fn canonical(address: &str) -> &str {
    match address {
        "2001:DB8:0::1" => "2001:db8::1",
        "b\u{fc}cher.example" => "xn--bcher-kva.example",
        same => same,
    }
}

#[test]
fn hostile_names_change_no_directive_and_run_no_shell() {
    let plugin = Plugin::new();
    let nagios = Nagios::new(Settings { checks: true, ..Settings::default() });
    plugin.install(&nagios);
    let mut nagios = nagios;
    nagios.start();
    let appliance =
        Appliance::start_new(&nagios, &format!("{QUICK}\nfirst_checks_per_second = 100"), "");
    let pid = nagios.pid();
    let (hosts, shown) = hostile(&plugin.path("marks"));
    let mut client = appliance.client_of_2014();

    client.set_hosts(&plain(&hosts)).unwrap();
    appliance.wait_in_step();
    let mut expected = objects(&nagios);
    client.set_hosts(&hosts).unwrap();
    let status = appliance.wait_in_step();
    assert_eq!(status.watched_count, Some(hosts.len() as i32));
    for (kind, directives) in &mut expected {
        if kind == "host" && directives["host_name"] != SENTINEL_HOST {
            let tamed = shown[&directives["host_name"]].clone();
            assert_eq!(directives.insert("display_name".into(), tamed).as_deref(), Some("p"));
            assert_eq!(directives["alias"], directives["host_name"]);
        }
    }
    let found = objects(&nagios);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }

    // Host checks and service checks with these names on their lines.
    let line = |kind: &str, host: &GivenHost| -> Vec<String> {
        let (id, name) = (host.id.clone(), shown[&host.id].clone());
        let address = canonical(&host.address).to_owned();
        let mut line = vec![kind.to_owned(), CANARY.to_owned(), address.clone()];
        line.extend([format!("-H{address}"), id.clone(), id, name.clone(), "end".to_owned()]);
        line.extend(name.split(' ').map(str::to_owned));
        line
    };
    let wanted: BTreeSet<_> = hosts.iter().map(|host| line("service", host)).collect();
    let old: BTreeSet<_> = plain(&hosts)
        .iter()
        .flat_map(|host| {
            ["service", "host"].map(|kind| {
                let mut line = line(kind, host);
                line.truncate(6);
                line.extend(["p", "end", "p"].map(str::to_owned));
                line
            })
        })
        .collect();
    let host_lines: BTreeSet<_> = hosts.iter().map(|host| line("host", host)).collect();
    // By its own schedule, Nagios checks hosts each minute at most.
    let mut fifo = OpenOptions::new().write(true).open(nagios.fifo()).unwrap();
    for host in &hosts {
        let now = nagios.program_start().unwrap();
        writeln!(fifo, "[{now}] SCHEDULE_FORCED_HOST_CHECK;{};{now}", host.id).unwrap();
    }
    let runs = wait_until("every check of every host", || {
        let runs = plugin.runs();
        let seen: BTreeSet<_> = runs.iter().collect();
        wanted.iter().chain(&host_lines).all(|line| seen.contains(line)).then_some(runs)
    });
    for run in runs.iter().filter(|run| run[0] != "control") {
        let known = wanted.contains(run) || host_lines.contains(run) || old.contains(run);
        assert!(known, "unexpected arguments {run:?}");
    }
    let control =
        wait_until("the control", || plugin.runs().into_iter().find(|run| run[0] == "control"));
    assert_ne!(control[1], CANARY, "this canary does not show a shell");
    assert_eq!(names_in(&plugin.path("marks")), Vec::<String>::new());
    assert_eq!(nagios.pid(), pid);

    // What was given is kept for people to see.
    let view = appliance.client().get_hosts().unwrap().hosts.unwrap();
    let given: Vec<_> = hosts.iter().filter(|host| host.display_name == "a;b").collect();
    let one = view.iter().find(|one| one.id.as_ref() == Some(&given[0].id)).unwrap();
    assert_eq!(one.given_name.as_deref(), Some("a;b"));
}

#[test]
fn bad_ids_and_addresses_are_refused_with_every_fault_named() {
    let nagios = Nagios::new(Settings::default());
    let local = nagios.path("etc/conf.d/local.cfg");
    fs::write(&local, "define host {\n use atmo_vm\n host_name localhost\n address 127.0.0.1\n}\n")
        .unwrap();
    let mut nagios = nagios;
    nagios.start();
    let appliance = Appliance::start_new(&nagios, QUICK, "");
    let sound = vec![given("sound", "127.0.0.1")];
    appliance.client_of_2014().set_hosts(&sound).unwrap();
    let before = appliance.wait_in_step();
    let live = fs::read(nagios.hosts_file()).unwrap();

    let long = "a".repeat(1_000_000);
    let ids = [
        "",
        " ",
        "a b",
        "a;b",
        "a\nb",
        "}",
        "a\\",
        "`id`",
        "$(id)",
        "a\tb",
        "a\0b",
        "\u{202e}a",
        "\u{e9}",
        "-oEvil",
        ".hidden",
        "../../etc/x",
        "a/b",
        "+a",
        "a|b",
        "a&b",
        "a'b",
        "a\"b",
        "a,b",
        "a=b",
        "null",
        SENTINEL_HOST,
        &long,
    ];
    let addresses = [
        "",
        " ",
        "127.0.0.1\n",
        "127.0.0.1 -x",
        "$(id)",
        "`id`",
        "-oEvil",
        "a;b",
        "a|b",
        "a&b",
        "a\\",
        "127.0.0.1\n}\ndefine command{",
        "10.0.0.300",
        "fe80::1%",
        "fe80::1%$(id)",
        "a..b",
        "a\0b",
        "\u{202e}a",
        "a_b",
        &long,
    ];
    let mut bad: Vec<_> = ids.iter().map(|id| given(id, "127.0.0.1")).collect();
    bad.extend(addresses.iter().enumerate().map(|(n, address)| given(&format!("x{n}"), address)));
    bad.extend([
        given("a.b", "::1"),
        given("a_b", "::1"),
        given("twice", "::1"),
        given("twice", "::1"),
    ]);
    let faults = match appliance.client().replace_hosts(bad.clone(), true) {
        Err(Error::InvalidHosts { faults, message }) => {
            assert!(message.starts_with(&format!("{} faults", bad.len() - 2)), "{message}");
            assert!(message.len() < 5_000);
            faults
        }
        other => panic!("{other:?}"),
    };
    let named: BTreeSet<usize> = faults
        .iter()
        .map(|fault| {
            fault.strip_prefix("host ").unwrap().split_once(':').unwrap().0.parse().unwrap()
        })
        .collect();
    let (first, last) = (bad.len() - 4, bad.len() - 2);
    let expected: BTreeSet<_> = (0..bad.len()).filter(|at| ![first, last].contains(at)).collect();
    assert_eq!(named, expected);
    assert!(faults.iter().all(|fault| fault.len() < 500 && !fault.contains(char::is_control)));

    // One bad host is enough, for callers of 2014 too.
    for one in bad.iter().take(ids.len() + addresses.len()) {
        let both = [sound.clone(), vec![one.clone()]].concat();
        let told = appliance.client_of_2014().set_hosts(&both).unwrap_err();
        assert!(
            told.starts_with("1 fault in the list of hosts; nothing was changed; host 1: "),
            "{told}"
        );
    }
    let told = appliance.client_of_2014().set_hosts(&[given("localhost", "::1")]).unwrap_err();
    assert!(told.contains("id \"localhost\" is defined already in"), "{told}");
    assert!(told.contains("local.cfg"), "{told}");

    assert_eq!(fs::read(nagios.hosts_file()).unwrap(), live);
    let after = appliance.status();
    assert_eq!((after.restarts, after.live_generation), (before.restarts, before.live_generation));
    assert_eq!(appliance.client().get_history(0).unwrap().len(), 1);
}

/// set_hosts with raw bytes for id, display name and address; what came back.
fn set_raw(appliance: &Appliance, hosts: &[[&[u8]; 3]]) -> String {
    let mut list = b"\x0f\0\x01\x0c".to_vec();
    list.extend((hosts.len() as u32).to_be_bytes());
    for host in hosts {
        for (id, bytes) in (1_u8..).zip(host) {
            list.extend([0x0b, 0, id]);
            list.extend((bytes.len() as u32).to_be_bytes());
            list.extend_from_slice(bytes);
        }
        list.push(0);
    }
    list.push(0);
    let mut stream = connect(appliance.address.parse().unwrap());
    stream.write_all(&raw_call("set_hosts", &list)).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn bytes_that_are_no_text_are_faults_or_replaced() {
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, QUICK, "");
    let told = set_raw(
        &appliance,
        &[
            [b"ok", b"ok", b"127.0.0.1"],
            [b"a\xff", b"x", b"127.0.0.1"],
            [b"b", b"x", b"127.0.0.1\xc3"],
            [b"\xed\xa0\x80", b"x", b"\xc0\x80"],
        ],
    );
    for part in
        ["4 faults", "host 1: id \"a\u{fffd}\"", "host 2: address", "host 3: id", "host 3: address"]
    {
        assert!(told.contains(part), "{part:?} is not in {told:?}");
    }
    assert!(!nagios.hosts_file().exists());

    let told = set_raw(&appliance, &[[b"a", b"B\xfcro \xed\xa0\x80;\x80", b"127.0.0.1"]]);
    assert!(told.contains("\0\x02\0\0\0\tset_hosts"), "{told:?}");
    appliance.wait_in_step();
    assert_eq!(
        nagios.hosts()["a"]["display_name"],
        "B\u{fffd}ro \u{fffd}\u{fffd}\u{fffd}\u{ff1b}\u{fffd}"
    );
}
