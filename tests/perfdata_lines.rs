//! What plugins print, what tenants could print, and what becomes of it.
mod common;

use std::collections::HashSet;

use proptest::prelude::*;

use common::perfdata::{line_of_2014, our_line, parse};
use weather_balloon::perfdata::{Config, Parser};

/// `\t`, `\r`, `\\` and `\xNN` of the corpus.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (kind, behind) = rest.split_first().unwrap();
        rest = behind;
        bytes.push(match kind {
            b't' => b'\t',
            b'r' => b'\r',
            b'\\' => b'\\',
            b'x' => {
                let (digits, behind) = rest.split_at(2);
                rest = behind;
                u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()
            }
            other => panic!("no escape: {other}"),
        });
    }
    bytes
}

#[test]
fn the_corpus_gives_the_expected_samples() {
    let corpus = include_str!("data/perfdata.tsv");
    let mut cases = 0;
    let mut wrong = Vec::new();
    for row in corpus.lines().filter(|row| !row.starts_with('#')) {
        let columns = row.split('\t').collect::<Vec<_>>();
        let [_, perfdata, expected] = columns[..] else { panic!("not three columns: {row}") };
        let expected = expected
            .split_whitespace()
            .map(|sample| {
                let (label, value) = sample.split_once('=').unwrap();
                (format!("nagios.h1.svc.{label}"), value.parse::<f64>().unwrap())
            })
            .collect::<Vec<_>>();
        let (samples, _) = parse(&our_line("h1", &unescape(perfdata))).unwrap();
        if samples != expected {
            wrong.push(format!("{row}\n  gave {samples:?}"));
        }
        cases += 1;
    }
    assert!(wrong.is_empty(), "{} of {cases}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases >= 200, "only {cases} cases");
}

const FRAGMENTS: &[&str] = &[
    "\t",
    "\t",
    "::",
    "HOSTNAME::victim",
    "\tHOSTNAME::victim\tSERVICEDESC::x",
    "\tTIMET::1",
    "\tDATATYPE::HOSTPERFDATA",
    "\tDATATYPE::SERVICEPERFDATA\tTIMET::1767225600\tHOSTNAME::victim\tSERVICEDESC::x\t",
    "\tSERVICEPERFDATA::stolen=1",
    "\tHOSTPERFDATA::stolen=1",
    "\tGRAPHITEPREFIX::nagios.victim",
    "\tGRAPHITEPOSTFIX::nagios.victim",
    "\tGRAPHITEPREFIX::$_X$",
    "\tHOSTSTATE::UP",
    "\tUNKNOWN::x",
    "\tlower::x=1",
    "\nHOSTNAME::victim",
    "\r",
    "\u{b}",
    "\u{2028}",
    "'",
    "''",
    "=",
    "load=1",
    "nagios.victim.load=1",
    "'../victim'=1",
    "'a;host=victim'=1",
    " ",
    "|",
    "\0",
    "\u{1b}",
    "$HOSTNAME$",
];

/// Nagios itself turns newlines of plugin output into spaces.
fn as_nagios_writes(fragments: &[&str]) -> Vec<u8> {
    fragments.concat().replace('\n', " ").into_bytes()
}

fn assert_own_series_only(line: &[u8]) -> usize {
    let Ok((samples, _)) = parse(line) else { return 0 };
    for (path, _) in &samples {
        let parts = path.split('.').collect::<Vec<_>>();
        assert!(
            matches!(parts[..], ["nagios", "attacker", "svc", label] if !label.is_empty()),
            "forged {path} by {}",
            line.escape_ascii()
        );
    }
    samples.len()
}

#[test]
fn no_pair_of_fragments_forges_a_series() {
    let mut taken = 0;
    for first in FRAGMENTS {
        for second in FRAGMENTS {
            for third in ["", "load=1", "\tSERVICESTATE::OK"] {
                let perfdata = as_nagios_writes(&["load=1", first, second, third]);
                taken += assert_own_series_only(&our_line("attacker", &perfdata));
                taken += assert_own_series_only(&line_of_2014("attacker", &perfdata));
            }
        }
    }
    assert!(taken > 1000, "the corpus shows nothing: {taken} samples");
}

/// A template that has no Graphite keys lets a tenant make them up. Even then
/// the names stay away from where the readers of another host look.
#[test]
fn keys_that_a_template_lacks_name_no_other_host() {
    let start = "DATATYPE::SERVICEPERFDATA\tTIMET::1767225600\tHOSTNAME::attacker\t\
                 SERVICEPERFDATA::load=1";
    for prefix in ["nagios.victim", "nagios.victim.svc", "nagios.", ".nagios", "a.b"] {
        let line = format!("{start}\tGRAPHITEPREFIX::{prefix}\tGRAPHITEPOSTFIX::x");
        assert!(parse(line.as_bytes()).is_err(), "{prefix} was taken");
    }
    assert!(parse(start.as_bytes()).is_err());
}

/// A label and a value, as a plugin may have them.
fn metric() -> impl Strategy<Value = (String, f64)> {
    let label = prop_oneof!["[a-zA-Z0-9_/.-]{1,20}", "[ -~äß°€]{1,20}"];
    let value = prop_oneof![
        any::<f64>().prop_filter("finite", |value| value.is_finite()),
        (-1_000_000_i32..1_000_000).prop_map(|value| f64::from(value) / 1000.0),
    ];
    (label, value)
}

fn render(metrics: &[(String, f64)], rests: &[&str]) -> String {
    let mut text = String::new();
    for (at, (label, value)) in metrics.iter().enumerate() {
        let quoted = format!("'{}'", label.replace('\'', "''"));
        let rest = rests[at % rests.len()];
        text.push_str(&format!("{quoted}={value}{rest} "));
    }
    text
}

fn cleaned(label: &str) -> String {
    label
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rendered_samples_are_read_back(metrics in prop::collection::vec(metric(), 0..12)) {
        let mut names = HashSet::new();
        let metrics = metrics
            .into_iter()
            .filter(|(label, _)| names.insert(cleaned(label)))
            .collect::<Vec<_>>();
        let text = render(&metrics, &["", "s;1;2;0;9", "%", "KB;;;0", "c;@1:2;~:3"]);
        let expected = metrics
            .iter()
            .map(|(label, value)| (format!("nagios.h1.svc.{}", cleaned(label)), *value))
            .collect::<Vec<_>>();
        let (samples, counts) = parse(&our_line("h1", text.as_bytes())).unwrap();
        prop_assert_eq!(&samples, &expected);
        prop_assert_eq!((counts.bad_values, counts.renamed, counts.repeated), (0, 0, 0));
        if !text.contains("::") {
            prop_assert_eq!(parse(&line_of_2014("h1", text.as_bytes())).unwrap().0, expected);
        }
    }

    #[test]
    fn different_labels_never_share_a_series(
        labels in prop::collection::hash_set("[a_ /.é-]{1,4}", 1..20),
        seed in any::<u64>(),
    ) {
        let mut metrics = labels.into_iter().map(|label| (label, 1.0)).collect::<Vec<_>>();
        let count = metrics.len();
        let paths = |metrics: &[(String, f64)]| {
            let (samples, counts) =
                parse(&our_line("h1", render(metrics, &[""]).as_bytes())).unwrap();
            assert_eq!(counts.repeated, 0);
            let labels = metrics.iter().map(|(label, _)| label.clone());
            labels.zip(samples.into_iter().map(|(path, _)| path)).collect::<HashSet<_>>()
        };
        let before = paths(&metrics);
        let distinct = before.iter().map(|(_, path)| path).collect::<HashSet<_>>();
        prop_assert_eq!(distinct.len(), count);
        // Names do not depend on the order.
        metrics.sort_by_key(|(label, _)| {
            label.bytes().fold(seed, |hash, b| hash.rotate_left(9) ^ u64::from(b) ^ (hash >> 3))
        });
        prop_assert_eq!(paths(&metrics), before);
    }

    #[test]
    fn fragments_never_forge_a_series(
        picks in prop::collection::vec(prop::sample::select(FRAGMENTS), 0..12),
    ) {
        let perfdata = as_nagios_writes(&picks);
        assert_own_series_only(&our_line("attacker", &perfdata));
        assert_own_series_only(&line_of_2014("attacker", &perfdata));
    }

    #[test]
    fn no_bytes_panic(
        line in prop::collection::vec(any::<u8>(), 0..400),
        perfdata in prop::collection::vec(prop_oneof![
            any::<u8>(), prop::sample::select(&b"'\"=;| \t.,-+eEU0123456789:ab"[..])
        ], 0..400),
    ) {
        let mut parser = Parser::new(&Config { scale_units: true, ..Config::default() });
        for line in [line, our_line("h", &perfdata), line_of_2014("h", &perfdata)] {
            let mut samples = 0;
            let outcome = parser.line(&line, |_| true, |sample| {
                assert!(sample.value().is_finite());
                samples += 1;
            });
            prop_assert_eq!(outcome.map_or(0, |counts| counts.samples), samples);
        }
    }
}
