use super::*;

const TIME: i64 = 1_767_225_600;

fn parse_with(config: &Config, line: &str) -> Result<(Vec<String>, LineCounts), Dropped> {
    let mut samples = Vec::new();
    let counts = Parser::new(config).line(
        line.as_bytes(),
        |node| node == "live",
        |sample| samples.push(format!("{}={}", sample.path(), sample.value())),
    )?;
    Ok((samples, counts))
}

fn parse(line: &str) -> Result<Vec<String>, Dropped> {
    parse_with(&Config::default(), line).map(|(samples, _)| samples)
}

fn ours(perfdata: &str) -> String {
    format!(
        "DATATYPE::SERVICEPERFDATA\tTIMET::{TIME}\tHOSTNAME::h1\tSERVICEDESC::s\t\
         GRAPHITEPREFIX::nagios\tGRAPHITEPOSTFIX::load\tSERVICEPERFDATA::{perfdata}"
    )
}

fn of_2014(perfdata: &str) -> String {
    format!(
        "DATATYPE::SERVICEPERFDATA\tTIMET::{TIME}\tHOSTNAME::h1\tSERVICEDESC::s\t\
         SERVICEPERFDATA::{perfdata}\tSERVICECHECKCOMMAND::c!a::b\tHOSTSTATE::UP\t\
         HOSTSTATETYPE::HARD\tSERVICESTATE::OK\tSERVICESTATETYPE::HARD\tGRAPHITEPREFIX::nagios\t\
         GRAPHITEPOSTFIX::load"
    )
}

#[test]
fn both_orders_and_both_kinds() {
    let expected = vec!["nagios.h1.load.load1=0.5".to_owned()];
    assert_eq!(parse(&ours("load1=0.5;1;2;0;")), Ok(expected.clone()));
    assert_eq!(parse(&of_2014("load1=0.5;1;2;0;")), Ok(expected));
    let host = "DATATYPE::HOSTPERFDATA\tTIMET::1795354941\tHOSTNAME::h23\t\
                HOSTPERFDATA::rta=0.376000ms;5000.000000;5000.000000;0.000000 pl=0%;100;100;0;\t\
                HOSTCHECKCOMMAND::check-host-alive\tHOSTSTATE::UP\tHOSTSTATETYPE::HARD\t\
                GRAPHITEPREFIX::nagios\tGRAPHITEPOSTFIX::ping";
    let expected = vec!["nagios.h23.ping.rta=0.376".to_owned(), "nagios.h23.ping.pl=0".to_owned()];
    assert_eq!(parse(host), Ok(expected));
}

#[test]
fn unset_macros_are_left_out() {
    let line = |prefix: &str, postfix: &str| {
        ours("a=1")
            .replace("GRAPHITEPREFIX::nagios", &format!("GRAPHITEPREFIX::{prefix}"))
            .replace("GRAPHITEPOSTFIX::load", &format!("GRAPHITEPOSTFIX::{postfix}"))
    };
    for (prefix, postfix, path) in [
        ("$_SERVICEGRAPHITEPREFIX$", "load", "h1.load.a=1"),
        ("nagios", "$_SERVICEGRAPHITEPOSTFIX$", "nagios.h1.a=1"),
        ("", "", "h1.a=1"),
        ("site.nagios", "disk.root", "site.nagios.h1.disk.root.a=1"),
    ] {
        assert_eq!(parse(&line(prefix, postfix)), Ok(vec![path.to_owned()]));
    }
}

#[test]
fn reasons() {
    let good = of_2014("a=1");
    let time = format!("TIMET::{TIME}");
    let cases = [
        (good.replace("HOSTSTATE::", "HOSTNAME::"), Dropped::RepeatedKey),
        (good.replace("HOSTSTATE::", "SERVICEOUTPUT::"), Dropped::UnknownKey),
        (good.replace("HOSTSTATE::", "HOSTSTATE:"), Dropped::NoKey),
        (good.replace("HOSTNAME::h1\t", ""), Dropped::MissingKey),
        (good.replace("\tGRAPHITEPREFIX::nagios", ""), Dropped::MissingKey),
        (good.replace("DATATYPE::SERVICEPERFDATA\t", ""), Dropped::MissingKey),
        (good.replace("DATATYPE::SERVICE", "DATATYPE::OTHER"), Dropped::DataType),
        (good.replace("DATATYPE::SERVICE", "DATATYPE::HOST"), Dropped::MissingKey),
        (good.replace("::nagios", "::nagios.victim"), Dropped::DeepPrefix),
        (good.replace(&time, "TIMET::"), Dropped::Time),
        (good.replace(&time, "TIMET::0"), Dropped::Time),
        (good.replace(&time, "TIMET::-5"), Dropped::Time),
        (good.replace(&time, "TIMET::4294967296"), Dropped::Time),
        (good.replace(&time, "TIMET::$TIMET$"), Dropped::Time),
        (good.replace("HOSTNAME::h1", "HOSTNAME::"), Dropped::Name(PathFault::Host)),
        (ours(&"x".repeat(MAX_LINE_BYTES)), Dropped::TooLong),
        ("nonsense".to_owned(), Dropped::NoKey),
        ("\0\u{1}\u{2}".to_owned(), Dropped::NoKey),
        ("DATATYPE::SERVICEPERFDATA".to_owned(), Dropped::MissingKey),
    ];
    for (line, reason) in cases {
        assert_eq!(parse(&line), Err(reason), "{line}");
    }
    assert!(parse(&good.replace(&time, "TIMET::4294967295")).is_ok());
    assert_eq!(parse(""), Ok(vec![]));
}

#[test]
fn a_line_that_ran_into_another_gives_nothing() {
    let (ours, of_2014) = (ours("load1=0.5;1;2;0;"), of_2014("load1=0.5;1;2;0;"));
    let victim = |line: &str| line.replace("HOSTNAME::h1", "HOSTNAME::other");
    for line in [&ours, &of_2014] {
        for cut in 1..=line.len() {
            let joined = format!("{}{}", &line[..cut], victim(line));
            if let Ok(samples) = parse(&joined) {
                panic!("cut at {cut}: {samples:?} of {joined}");
            }
        }
    }
}

#[test]
fn tabs_of_plugins_are_read_in_both_orders() {
    let expected = Ok(vec!["nagios.h1.load.a=1".to_owned(), "nagios.h1.load.b=2".to_owned()]);
    assert_eq!(parse(&ours("a=1\tb=2")), expected);
    assert_eq!(parse(&of_2014("a=1\tb=2")), expected);
    assert_eq!(parse(&of_2014("a=1\tx::y\tb=2")), expected);
    assert_eq!(parse(&of_2014("a=1\tX::y\tb=2")), Err(Dropped::UnknownKey));
}

#[test]
fn look_alikes_get_names_of_their_own() {
    let parse = |perfdata: &str| {
        let (samples, counts) = parse_with(&Config::default(), &ours(perfdata)).unwrap();
        let labels = samples
            .iter()
            .map(|sample| sample.trim_start_matches("nagios.h1.load.").to_owned())
            .collect::<Vec<_>>();
        (labels, counts.renamed)
    };
    assert_eq!(parse("'a b'=1 c=2"), (vec!["a_b=1".to_owned(), "c=2".to_owned()], 0));
    // sha256("a b") and sha256("a/b") begin so.
    let (spaced, slashed) = ("a_b_c8687a08=1".to_owned(), "a_b_c14cddc0=2".to_owned());
    assert_eq!(parse("'a b'=1 a/b=2"), (vec![spaced.clone(), slashed.clone()], 2));
    assert_eq!(parse("a/b=2 'a b'=1"), (vec![slashed.clone(), spaced.clone()], 2));
    let plain = "a_b=3".to_owned();
    assert_eq!(parse("'a b'=1 a_b=3"), (vec![spaced.clone(), plain.clone()], 1));
    assert_eq!(parse("'a b'=9 a_b=3 a/b=2 'a b'=1"), (vec![plain, slashed, spaced], 2));
}

#[test]
fn of_a_label_that_repeats_the_last_value_counts() {
    let (samples, counts) = parse_with(&Config::default(), &ours("a=1 b=2 a=3")).unwrap();
    assert_eq!(samples, ["nagios.h1.load.b=2", "nagios.h1.load.a=3"]);
    assert_eq!((counts.samples, counts.repeated, counts.renamed), (2, 1, 0));
}

#[test]
fn outcomes_are_counted() {
    let (_, counts) =
        parse_with(&Config::default(), &ours("a=1 b=U c=0x1F ''=2 text d=nan")).unwrap();
    let expected = LineCounts { samples: 1, unknown: 1, bad_values: 3, repeated: 0, renamed: 0 };
    assert_eq!(counts, expected);
}

#[test]
fn metrics_of_one_line_are_bounded() {
    let perfdata = (0..2000).map(|n| format!("m{n}={n} ")).collect::<String>();
    let (samples, counts) = parse_with(&Config::default(), &ours(&perfdata)).unwrap();
    assert_eq!((samples.len(), counts.bad_values), (MAX_METRICS, 2000 - MAX_METRICS as u32));
}

#[test]
fn hosts_that_are_not_live_follow_the_setting() {
    let dropping = Config { unknown_hosts: UnknownHosts::Drop, ..Config::default() };
    let live = ours("a=1").replace("::h1", "::live");
    assert_eq!(parse_with(&dropping, &ours("a=1")), Err(Dropped::NotLive));
    assert!(parse_with(&dropping, &live).is_ok());
    assert!(parse(&ours("a=1")).is_ok());
}

#[test]
fn labels_too_long_for_a_path_are_counted() {
    let deep = vec!["p".repeat(120); 8].join(".");
    let line = ours(&format!("{}=1 b=2", "x".repeat(128)))
        .replace("GRAPHITEPOSTFIX::load", &format!("GRAPHITEPOSTFIX::{deep}"));
    let (samples, counts) = parse_with(&Config::default(), &line).unwrap();
    assert_eq!((samples.len(), counts.bad_values), (1, 1));
}
