//! Keys in our own configuration file, as text: its comments are the manual.

use toml::{Table, Value};

/// What setup found out that the file is to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnKeys {
    /// Section, key, value.
    pub values: Vec<(&'static str, &'static str, String)>,
}

impl OwnKeys {
    pub fn put(&mut self, section: &'static str, key: &'static str, value: impl Into<String>) {
        self.values.push((section, key, value.into()));
    }

    /// The file with these keys; a reason where that cannot be done by line.
    pub(super) fn write_into(&self, text: &str) -> Result<String, String> {
        let mut text = text.to_owned();
        for (section, key, value) in &self.values {
            text = set(&text, section, key, value);
            let read: Table = toml::from_str(&text).map_err(|fault| fault.message().to_owned())?;
            let found = read.get(*section).and_then(|table| table.get(*key));
            if found != Some(&Value::String(value.clone())) {
                return Err(format!(
                    "[{section}] {key} stands there in a form that is not edited by guess; set it to {value:?} by hand"
                ));
            }
        }
        Ok(text)
    }
}

/// In the line that it has, a commented one too, or in a new one.
fn set(text: &str, section: &str, key: &str, value: &str) -> String {
    // A JSON string is a basic string of TOML, too.
    let new = format!("{key} = {}", serde_json::Value::from(value));
    let header = format!("[{section}]");
    let lines: Vec<&str> = text.lines().collect();
    let Some(start) = lines.iter().position(|line| line.trim() == header) else {
        let gap = if text.is_empty() || text.ends_with("\n\n") { "" } else { "\n" };
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        return format!("{text}{end}{gap}{header}\n{new}\n");
    };
    let after = &lines[start + 1..];
    let length =
        after.iter().position(|line| line.trim_start().starts_with('[')).unwrap_or(after.len());
    let names_key = |line: &str| line.split_once('=').is_some_and(|(name, _)| name.trim() == key);
    let live = after[..length].iter().position(|line| names_key(line));
    let commented =
        || after[..length].iter().position(|line| names_key(line.trim_start_matches('#')));
    let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    match live.or_else(commented) {
        Some(at) => lines[start + 1 + at] = new,
        None => lines.insert(start + 1, new),
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(section: &'static str, key: &'static str, value: &str) -> OwnKeys {
        let mut keys = OwnKeys::default();
        keys.put(section, key, value);
        keys
    }

    #[test]
    fn a_key_is_set_where_it_stands() {
        let shipped =
            "# head\n[carbon]\n# Carbon.\naddress = \"\"\nprotocol = \"pickle\"\n[state]\n";
        let written = keys("carbon", "address", "127.0.0.1:2004").write_into(shipped).unwrap();
        assert_eq!(written, shipped.replace("address = \"\"", "address = \"127.0.0.1:2004\""));
        let commented = keys("carbon", "url", "x").write_into("[carbon]\n# url = \"\"\n").unwrap();
        assert_eq!(commented, "[carbon]\nurl = \"x\"\n");
        let absent = keys("graphite", "url", "x").write_into("[carbon]\na = 1\n").unwrap();
        assert_eq!(absent, "[carbon]\na = 1\n\n[graphite]\nurl = \"x\"\n");
    }

    #[test]
    fn an_odd_form_is_left_alone() {
        for odd in [
            "carbon = { address = '' }\n",
            "[carbon]\naddress = [\n'a:1',\n]\n",
            "carbon.address = ''\n",
        ] {
            assert!(keys("carbon", "address", "h:1").write_into(odd).is_err(), "{odd}");
        }
    }
}
