//! Lists of hosts as people and scripts keep them: JSON or CSV.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::model::GivenHost;

/// As much as the Thrift door takes in one message by default.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    #[serde(default)]
    display_name: String,
    address: String,
}

/// Reads a list; "-" is standard input. A text that begins with `[` is JSON,
/// anything else is CSV with a first line that names the columns.
pub fn read(path: &Path) -> anyhow::Result<Vec<GivenHost>> {
    let (source, name): (Box<dyn Read>, String) = if path == Path::new("-") {
        (Box::new(std::io::stdin()), "standard input".to_owned())
    } else {
        let file =
            std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        (Box::new(file), path.display().to_string())
    };
    let mut text = String::new();
    source
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {name}"))?;
    if text.len() as u64 > MAX_BYTES {
        bail!("{name} is longer than {MAX_BYTES} bytes");
    }
    parse(&text).with_context(|| format!("{name} is no list of hosts"))
}

fn parse(text: &str) -> anyhow::Result<Vec<GivenHost>> {
    let rows: Vec<Row> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text)?
    } else {
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        for wanted in ["id", "address"] {
            if !reader.headers()?.iter().any(|column| column == wanted) {
                bail!(
                    "its first line names no column {wanted:?}; expected id,display_name,address, or a JSON list"
                );
            }
        }
        reader.deserialize().collect::<Result<_, _>>()?
    };
    Ok(rows
        .into_iter()
        .map(|Row { id, display_name, address }| GivenHost { id, display_name, address })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_csv_say_the_same() {
        let json = r#" [{"id": "a", "display_name": "x, \"y\"", "address": "::1"}, {"id": "b", "address": "::2"}]"#;
        let csv = "id, address, display_name\na, ::1, \"x, \"\"y\"\"\"\nb, ::2,\n";
        assert_eq!(parse(json).unwrap(), parse(csv).unwrap());
        assert_eq!(parse("[]").unwrap(), []);
    }

    #[test]
    fn what_is_no_list_is_told_apart() {
        for (bad, told) in [
            ("", "names no column \"id\""),
            ("{\"a\": 1}", "names no column \"id\""),
            ("id,name\na,b\n", "names no column \"address\""),
            ("id,address,colour\na,::1,red\n", "unknown field `colour`"),
            ("[{\"id\": \"a\"}]", "missing field `address`"),
            ("[{\"id\": \"a\", \"address\": \"::1\"}", "EOF"),
        ] {
            let fault = format!("{:#}", parse(bad).unwrap_err());
            assert!(fault.contains(told), "{fault:?} does not say {told:?}");
        }
    }
}
