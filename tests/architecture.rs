//! Holds the code to the floors that src/lib.rs lists. It reads text, not the
//! compiler's tree: paths that macros put together pass it unseen.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const MAX_LINES: usize = 500;
/// Files that may be longer, each with the reason.
const LONG_FILES: &[(&str, &str)] = &[("rpc/gen/", "written by the Thrift compiler")];
/// Files with unsafe code, each with the reason.
const UNSAFE_FILES: &[(&str, &str)] = &[(
    "tests/common/keeper.rs",
    "the kernel is told between fork and exec to end a child with its test, as nothing safe can",
)];
/// Names under which anything could be put, and so in time everything is.
const NAMELESS: &[&str] = &["common", "helper", "helpers", "manager", "misc", "util", "utils"];

type Floors = BTreeMap<String, usize>;

struct Source {
    /// Below the directory that was read, with slashes.
    path: String,
    text: String,
}

#[test]
fn the_code_keeps_to_its_floors() {
    let sources = read_sources("src").unwrap();
    let lib = sources.iter().find(|source| source.path == "lib.rs").unwrap();
    let (floors, mut faults) = read_floors(&lib.text);
    assert!(floors.len() > 5, "src/lib.rs lists only {floors:?}");
    for source in &sources {
        let module = source.path.split('/').next().unwrap_or_default().trim_end_matches(".rs");
        if !floors.contains_key(module) && !["lib", "main"].contains(&module) {
            faults.push(format!("src/{}: {module} has no floor in src/lib.rs", source.path));
        }
        faults.extend(path_faults(source, &floors));
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn files_are_short_and_named_after_something() {
    let sources = read_sources("src").unwrap();
    let mut faults = Vec::new();
    for Source { path, text } in &sources {
        let lines = text.lines().count();
        if lines > MAX_LINES && !LONG_FILES.iter().any(|(long, _)| path.starts_with(long)) {
            faults.push(format!("src/{path} has {lines} lines, more than {MAX_LINES}: split it"));
        }
        for name in path.trim_end_matches(".rs").split('/').filter(|name| NAMELESS.contains(name)) {
            faults.push(format!("src/{path}: \"{name}\" says nothing about what is in it"));
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// The compiler holds src to it by `forbid`, which nothing inside can lift, and
/// the rest by `deny`, which each of these files lifts for itself.
#[test]
fn unsafe_code_is_only_where_a_reason_is_given() {
    let mut faults = Vec::new();
    for root in ["src/lib.rs", "src/main.rs"] {
        let text = std::fs::read_to_string(Path::new(ROOT).join(root)).unwrap();
        if !text.lines().any(|line| line == "#![forbid(unsafe_code)]") {
            faults.push(format!("{root} does not forbid unsafe code"));
        }
    }
    for below in ["benches", "demo", "fuzz/fuzz_targets", "src", "tests"] {
        for Source { path, text } in read_sources(below).unwrap() {
            let path = format!("{below}/{path}");
            let listed = UNSAFE_FILES.iter().any(|(known, _)| *known == path);
            if listed != words(&text).iter().any(|word| word == "unsafe") {
                faults.push(format!("{path}: unsafe code, or UNSAFE_FILES, without the other"));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn read_sources(below: &str) -> io::Result<Vec<Source>> {
    fn walk(dir: &Path, below: &str, found: &mut Vec<Source>) -> io::Result<()> {
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                walk(&path, &format!("{below}{name}/"), found)?;
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(&path)?;
                found.push(Source { path: format!("{below}{name}"), text });
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(&Path::new(ROOT).join(below), "", &mut found)?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// `// floor N: ...` opens a floor; the `mod` lines below stand on it.
fn read_floors(lib: &str) -> (Floors, Vec<String>) {
    let (mut floors, mut faults, mut current) = (Floors::new(), Vec::new(), None);
    for line in lib.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("// floor ") {
            let number = rest.split(':').next().and_then(|number| number.parse::<usize>().ok());
            if number.is_none() || number <= current {
                faults.push(format!("src/lib.rs: floors go upwards, but here is {line:?}"));
            }
            current = number.or(current);
        }
        let name = line.strip_suffix(';').and_then(|line| line.rsplit_once("mod "));
        match (name, current) {
            (Some((_, name)), Some(floor)) => drop(floors.insert(name.to_owned(), floor)),
            (Some((_, name)), None) => faults.push(format!("src/lib.rs: {name} has no floor")),
            (None, _) => (),
        }
    }
    (floors, faults)
}

fn path_faults(source: &Source, floors: &Floors) -> Vec<String> {
    let Source { path, text } = source;
    let own = path.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    let own_floor = floors.get(own).copied();
    let (mut faults, words) = (Vec::new(), words(text));
    for used in used_modules(&words) {
        match (floors.get(used.as_str()), own_floor) {
            _ if used == own => (),
            (None, _) => faults.push(format!("src/{path}: crate::{used} has no floor")),
            (Some(there), Some(here)) if *there < here => (),
            (Some(there), here) => {
                let here = here.map_or("outside".to_owned(), |here| format!("on floor {here}"));
                faults.push(format!("src/{path} ({here}) uses crate::{used} on floor {there}"));
            }
        }
    }
    if words.windows(3).any(|three| three == ["super", "::", "super"]) {
        faults.push(format!("src/{path}: super::super hides which module is meant; use crate::"));
    }
    let deep = path.split('/').count() > 2 || (path.contains('/') && !path.ends_with("/mod.rs"));
    if !deep && supers_outside_inline_modules(&words) {
        faults.push(format!("src/{path}: super:: reaches the crate's root here; use crate::"));
    }
    faults
}

/// The first names after each `crate::`, also those inside its group.
fn used_modules(words: &[String]) -> Vec<String> {
    let mut used = Vec::new();
    for (at, word) in words.iter().enumerate().filter(|(_, word)| *word == "crate") {
        let rest = words.get(at + 1..).unwrap_or_default();
        match (rest.first().map(String::as_str), rest.get(1).map(String::as_str)) {
            (Some("::"), Some("{")) => {
                let (mut depth, mut first) = (0, false);
                for word in &rest[1..] {
                    match word.as_str() {
                        "{" => (depth, first) = (depth + 1, depth == 0),
                        "}" => depth -= 1,
                        "," => first = depth == 1,
                        name if first => {
                            used.push(name.to_owned());
                            first = false;
                        }
                        _ => (),
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            (Some("::"), Some(name)) => used.push(name.to_owned()),
            (Some("as"), _) => used.push(format!("{word} as")),
            _ => (),
        }
    }
    used.sort();
    used.dedup();
    used
}

fn supers_outside_inline_modules(words: &[String]) -> bool {
    let mut braces = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let path = words.get(at + 1).is_some_and(|next| next == "::");
        match word.as_str() {
            "{" => braces.push(at >= 2 && words[at - 2] == "mod"),
            "}" => drop(braces.pop()),
            "super" if path && !braces.contains(&true) => return true,
            _ => (),
        }
    }
    false
}

/// Names and punctuation, without comments, characters and strings. A string
/// that begins with `crate::` is kept: serde reads such a one as a path.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut rest) = (Vec::new(), text);
    while let Some(c) = rest.chars().next() {
        let taken = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some((length, inner)) = string(rest) {
            if inner.starts_with("crate::") {
                words.extend(self::words(inner));
            }
            length
        } else if c == '\'' {
            character(rest)
        } else if c.is_alphanumeric() || c == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            words.push(rest[..end].to_owned());
            end
        } else if c.is_whitespace() {
            c.len_utf8()
        } else {
            let length = if rest.starts_with("::") { 2 } else { c.len_utf8() };
            words.push(rest[..length].to_owned());
            length
        };
        rest = &rest[taken..];
    }
    words
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                break;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length of the string literal at the head of the text, and its inside.
fn string(text: &str) -> Option<(usize, &str)> {
    let prefix = text.len() - text.trim_start_matches(['b', 'c', 'r']).len();
    let hashes = text[prefix..].len() - text[prefix..].trim_start_matches('#').len();
    let start = prefix + hashes + 1;
    let raw = text[..prefix].ends_with('r');
    if prefix > 2 || (hashes > 0 && !raw) || !text[prefix + hashes..].starts_with('"') {
        return None;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let mut at = start;
    while at < text.len() && !text[at..].starts_with(&close) {
        let escape = usize::from(!raw && text[at..].starts_with('\\'));
        at += escape + text[at + escape..].chars().next().map_or(1, char::len_utf8);
    }
    Some(((at + close.len()).min(text.len()), &text[start..at]))
}

/// A character literal's length; 1 for the quote of a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((after, c))) => {
            let from = after + c.len_utf8();
            text[from..].find('\'').map_or(1, |end| from + end + 1)
        }
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 1,
    }
}

#[cfg(test)]
mod planted {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let lib = "// floor 0: values\npub mod model;\n// floor 2: outside\npub mod graphite;\n\
                   pub mod nagios;\n// floor 4: polls\npub mod cloud;\n";
        let (floors, faults) = read_floors(lib);
        assert_eq!(faults, [""; 0]);
        path_faults(&Source { path: path.to_owned(), text: text.to_owned() }, &floors)
    }

    fn names_one(path: &str, text: &str, sentence: &str) {
        assert_eq!(found(path, text), [sentence], "in {text:?}");
    }

    #[test]
    fn a_sideways_import_is_named() {
        let sentence = "src/nagios/verify.rs (on floor 2) uses crate::graphite on floor 2";
        names_one("nagios/verify.rs", "use crate::graphite::Client;", sentence);
        names_one("nagios/verify.rs", "fn f() { crate :: graphite::ask() }", sentence);
        names_one("nagios/verify.rs", "#[serde(with = \"crate::graphite::x\")]", sentence);
        names_one(
            "nagios/verify.rs",
            "fn f<'a>(c: char) { c == '\"' && crate::graphite::ask() }",
            sentence,
        );
        names_one(
            "nagios.rs",
            "use crate::graphite;",
            "src/nagios.rs (on floor 2) uses crate::graphite on floor 2",
        );
    }

    #[test]
    fn an_upward_import_in_a_group_over_lines_is_named() {
        let text = "use crate::{\n    model::{self, Host},\n    // cloud::Poll,\n    cloud::{\n        Poll,\n    },\n};";
        names_one(
            "nagios/mod.rs",
            text,
            "src/nagios/mod.rs (on floor 2) uses crate::cloud on floor 4",
        );
    }

    #[test]
    fn a_module_without_a_floor_is_named() {
        names_one(
            "cloud/mod.rs",
            "use crate::attic::Box;",
            "src/cloud/mod.rs: crate::attic has no floor",
        );
        names_one("cloud/mod.rs", "use crate::*;", "src/cloud/mod.rs: crate::* has no floor");
        let (_, faults) = read_floors("pub mod attic;\n// floor 0: values\npub mod model;");
        assert_eq!(faults, ["src/lib.rs: attic has no floor"]);
        let (_, faults) = read_floors("// floor 2: a\npub mod a;\n// floor 1: b\npub mod b;");
        assert_eq!(faults, ["src/lib.rs: floors go upwards, but here is \"// floor 1: b\""]);
    }

    #[test]
    fn the_ways_around_are_named() {
        names_one(
            "cloud/poll/mod.rs",
            "use super::super::nagios;",
            "src/cloud/poll/mod.rs: super::super hides which module is meant; use crate::",
        );
        let sentence = "src/nagios.rs: super:: reaches the crate's root here; use crate::";
        names_one("nagios.rs", "use super::graphite;", sentence);
        let sentence = "src/nagios/mod.rs: super:: reaches the crate's root here; use crate::";
        names_one("nagios/mod.rs", "fn f() { super::graphite::ask() }", sentence);
        names_one(
            "main.rs",
            "use crate::cloud;",
            "src/main.rs (outside) uses crate::cloud on floor 4",
        );
        names_one(
            "cloud/mod.rs",
            "use crate as up;",
            "src/cloud/mod.rs: crate::crate as has no floor",
        );
    }

    #[test]
    fn what_is_allowed_passes() {
        for text in [
            "use crate::{model::Host, nagios::{Nagios, Error}};",
            "use crate::cloud::Poll;",
            "// use crate::attic;\n/* crate::attic /* nested */ crate::attic */",
            "const A: &str = \"see crate::attic\"; const B: &str = r#\"\"crate::attic\"#;",
            "mod tests { use super::*; }",
            "pub(crate) fn f(c: char) -> bool { c == '\\'' || c == '\\u{7f}' }",
        ] {
            assert_eq!(found("cloud/mod.rs", text), [""; 0], "in {text:?}");
        }
        assert_eq!(found("cloud/poll.rs", "use super::ledger;"), [""; 0]);
    }
}
