use super::*;
use proptest::prelude::*;

const LIMITS: Limits = Limits { series: 20, points: 1_000 };
const HEAD: &str = "nagios.h.";

fn read_all(body: &str) -> Vec<Series> {
    read(body.as_bytes(), HEAD, LIMITS).unwrap().series
}

fn series(name: &str, points: &[(i64, Option<f64>)]) -> Series {
    let points = points.iter().map(|&(time, value)| Datapoint { time, value }).collect();
    Series { name: name.to_owned(), points }
}

#[test]
fn reads_what_graphite_web_writes() {
    let body = r#"[{"target": "nagios.h.load.load1", "tags": {"name": "nagios.h.load.load1"},
        "datapoints": [[null, 600], [1.5, 1200]]}]"#;
    assert_eq!(read_all(body), [series("load.load1", &[(600, None), (1200, Some(1.5))])]);
    assert_eq!(read_all("[]"), []);
}

#[test]
fn reads_what_its_relatives_write() {
    // The order of the members is free, escapes are legal, others may be there.
    let body = r#"[{"datapoints":[[1,2]],"xFilesFactor":0.5,"target":"nagios.h.\u0061\"b"}]"#;
    assert_eq!(read_all(body), [series("a\"b", &[(2, Some(1.0))])]);
}

#[test]
fn what_is_no_number_is_absent() {
    for word in ["1e9999", "-1e9999", "NaN", "Infinity", "-Infinity", "null"] {
        let body = format!(
            r#"[{{"target":"nagios.h.NaN \\","tags":{{"x":"{word}"}},"datapoints":[[{word}, 1],[2,2]]}}]"#
        );
        assert_eq!(read_all(&body), [series("NaN \\", &[(1, None), (2, Some(2.0))])], "{word}");
    }
}

#[test]
fn only_series_of_the_host_are_kept() {
    let targets = [
        "nagios.h.a.b",
        "nagios.h",
        "nagios.h.",
        "nagios.h2.a",
        "nagios.hh.a",
        "xnagios.h.a",
        "carbon.nagios.h.a",
        "",
        "alias(nagios.h.a)",
        "Nagios.h.a",
    ];
    let body = targets.map(|target| format!(r#"{{"target":"{target}","datapoints":[[1,1]]}}"#));
    let answer = read(format!("[{}]", body.join(",")).as_bytes(), HEAD, LIMITS).unwrap();
    assert_eq!(answer.series, [series("a.b", &[(1, Some(1.0))])]);
    assert_eq!(answer.foreign, targets.len() - 1);
}

#[test]
fn names_are_sorted_and_once_and_times_ascend() {
    let body = r#"[
        {"target":"nagios.h.b","datapoints":[[1,20],[null,10]]},
        {"target":"nagios.h.a","datapoints":[[5,10],[null,20]]},
        {"target":"nagios.h.a","datapoints":[[6,10],[7,20],[8,30]]}]"#;
    assert_eq!(
        read_all(body),
        [
            series("a", &[(10, Some(5.0)), (20, Some(7.0)), (30, Some(8.0))]),
            series("b", &[(10, None), (20, Some(1.0))]),
        ]
    );
}

#[test]
fn the_caps_hold_and_are_told_apart() {
    let limits = Limits { series: 2, points: 3 };
    let one = |points: usize| {
        format!(r#"{{"target":"nagios.h.a","datapoints":[{}]}}"#, vec!["[1,1]"; points].join(","))
    };
    let ask = |items: &[String]| read(format!("[{}]", items.join(",")).as_bytes(), HEAD, limits);
    assert!(ask(&[one(1), one(2)]).is_ok());
    assert!(matches!(ask(&[one(0), one(0), one(0)]), Err(Fault::TooManySeries)));
    assert!(matches!(ask(&[one(4)]), Err(Fault::TooManyPoints)));
    assert!(matches!(ask(&[one(2), one(2)]), Err(Fault::TooManyPoints)));
}

#[test]
fn what_is_no_answer_is_refused() {
    for body in [
        "",
        "[",
        "{}",
        "null",
        "[{}]",
        "[1]",
        "[null]",
        "[] x",
        "[][]",
        "[]]",
        r#"[{"target":"nagios.h.a"}]"#,
        r#"[{"datapoints":[]}]"#,
        r#"[{"target":7,"datapoints":[]}]"#,
        r#"[{"target":"nagios.h.a","datapoints":{}}]"#,
        r#"[{"target":"nagios.h.a","datapoints":[[1]]}]"#,
        r#"[{"target":"nagios.h.a","datapoints":[[1,2,3]]}]"#,
        r#"[{"target":"nagios.h.a","datapoints":[[1,2],]}]"#,
        r#"[{"target":"nagios.h.a","datapoints":[[1,2]3]}]"#,
        r#"[{"target":"nagios.h.a","datapoints":[[1 2]]}]"#,
        r#"[{"target":"nagios.h.a","datapoints":[[1,null]]}]"#,
        r#"[{"target":"nagios.h.a","datapoints":[["1",2]]}]"#,
        r#"[{"target":"nagios.h.a","datapoints":[[true,2]]}]"#,
        r#"[{"target":"nagios.h.a","datapoints":[[[1],2]]}]"#,
        r#"[{"target":"nagios.h.a","datapoints":[]"#,
        r#"[{"target":"nagios.h.a","datapoints":[],}]"#,
        r#"[{"target":"nagios.h.a" "datapoints":[]}]"#,
        r#"[{"target" "nagios.h.a","datapoints":[]}]"#,
        r#"[{target:"nagios.h.a","datapoints":[]}]"#,
        r#"[{"target":"nagios.h.a","x":,"datapoints":[]}]"#,
        r#"[{"target":"nagios.h.a","target":"nagios.h.b","datapoints":[]}]"#,
        r#"[{"target":"nagios.h.a","datapoints":[[1,1]]},]"#,
        "<html>NaN</html>",
        "NaN",
        "[\"NaN\" NaN",
    ] {
        assert!(
            matches!(read(body.as_bytes(), HEAD, LIMITS), Err(Fault::Malformed(_))),
            "{body:?} was taken for an answer"
        );
    }
    for body in [&b"\xff\xfe"[..], b"[{\"target\":\"nagios.h.\xff\",\"datapoints\":[]}]"] {
        assert!(matches!(read(body, HEAD, LIMITS), Err(Fault::Malformed(_))));
    }
}

#[test]
fn a_fault_is_told_by_its_place() {
    let told = |body: &str| match read(body.as_bytes(), HEAD, LIMITS) {
        Err(Fault::Malformed(fault)) => fault.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(told("<html>"), "expected a list of series at byte 0");
    assert_eq!(told("[] []"), "expected the end at byte 3");
    assert_eq!(
        told(r#"[{"target":"x","datapoints":[[1,2],[x,3]]}]"#),
        "expected a value at byte 36"
    );
}

#[test]
fn depth_cannot_exhaust_the_stack() {
    let deep = "[".repeat(1_000_000);
    for body in [
        deep.clone(),
        format!(r#"[{{"target":"nagios.h.a","tags":{deep}"#),
        format!(r#"[{{"target":"nagios.h.a","datapoints":{deep}"#),
        format!(r#"[{{"target":"nagios.h.a","datapoints":{deep}{}}}]"#, "]".repeat(1_000_000)),
    ] {
        assert!(matches!(read(body.as_bytes(), HEAD, LIMITS), Err(Fault::Malformed(_))));
    }
}

fn any_series() -> impl Strategy<Value = Vec<Series>> {
    let value = prop_oneof![
        Just(None),
        any::<f64>().prop_filter("JSON has finite numbers only", |v| v.is_finite()).prop_map(Some),
        (0_u32..100_000).prop_map(|n| Some(f64::from(n) / 1000.0)),
    ];
    let points = (0_i64..2_000_000_000, proptest::collection::vec(value, 0..20)).prop_map(
        |(start, values)| {
            let at = |(n, value)| Datapoint { time: start + 600 * n as i64, value };
            values.into_iter().enumerate().map(at).collect::<Vec<_>>()
        },
    );
    proptest::collection::btree_map("[A-Za-z0-9_.é\"\\\\-]{1,12}", points, 0..6).prop_map(|map| {
        map.into_iter().map(|(name, points)| Series { name, points }).collect::<Vec<_>>()
    })
}

/// In graphite-web's shape: Python's json.dumps with its spaces.
fn as_json(series: &[Series]) -> String {
    let items = series.iter().map(|one| {
        let target = serde_json::to_string(&format!("{HEAD}{}", one.name)).unwrap();
        let points = one.points.iter().map(|point| match point.value {
            Some(value) => format!("[{value:?}, {}]", point.time),
            None => format!("[null, {}]", point.time),
        });
        let points = points.collect::<Vec<_>>().join(", ");
        format!(r#"{{"target": {target}, "tags": {{"name": {target}}}, "datapoints": [{points}]}}"#)
    });
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

proptest! {
    #[test]
    fn what_was_written_is_read(series in any_series()) {
        prop_assert_eq!(read_all(&as_json(&series)), series);
    }

    #[test]
    fn no_cut_is_taken_for_the_whole(series in any_series(), place: prop::sample::Index) {
        let body = as_json(&series);
        let cut = &body.as_bytes()[..place.index(body.len())];
        prop_assert!(matches!(read(cut, HEAD, LIMITS), Err(Fault::Malformed(_))));
    }

    #[test]
    fn any_bytes_are_survived(series in any_series(), place: prop::sample::Index, byte: u8) {
        let mut body = as_json(&series).into_bytes();
        let at = place.index(body.len());
        body[at] = byte;
        let _ = read(&body, HEAD, LIMITS);
    }
}
