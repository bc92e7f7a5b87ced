//! Made-up series, always the same but for the time they end at.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use weather_balloon::model::{Datapoint, Series};

pub const HOST: &str = "atmo_i-0000002a";
const STEP: i64 = 600;

/// Points every ten minutes up to now; by turns of a series whole numbers and
/// such with three decimals, one in fifty absent.
pub fn series(count: usize, points: i64) -> anyhow::Result<Vec<Series>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().cast_signed();
    let last = now / STEP * STEP;
    let mut state = 3;
    Ok((0..count)
        .map(|number| Series {
            name: format!("load.metric_{number}"),
            points: (0..points)
                .map(|at| {
                    let random = next(&mut state);
                    let value = if number % 2 == 0 {
                        (random % 10_000_000) as f64
                    } else {
                        (random % 100_000) as f64 / 1000.0
                    };
                    let value = (!next(&mut state).is_multiple_of(50)).then_some(value);
                    Datapoint { time: last - STEP * (points - 1 - at), value }
                })
                .collect(),
        })
        .collect())
}

/// As graphite-web 1.1.8 writes it.
pub fn render_json(series: &[Series]) -> anyhow::Result<String> {
    let mut json = String::from("[");
    for (at, Series { name, points }) in series.iter().enumerate() {
        let target = format!("nagios.{HOST}.{name}");
        let comma = if at > 0 { ", " } else { "" };
        write!(
            json,
            "{comma}{{\"target\": \"{target}\", \"tags\": {{\"name\": \"{target}\"}}, \"datapoints\": ["
        )?;
        for (at, Datapoint { time, value }) in points.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            match value {
                Some(value) => write!(json, "{comma}[{value:?}, {time}]")?,
                None => write!(json, "{comma}[null, {time}]")?,
            }
        }
        json.push_str("]}");
    }
    json.push(']');
    Ok(json)
}

/// Knuth's 64-bit generator; the upper bits are the better ones.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}
