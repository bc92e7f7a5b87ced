//! Holds the dependency tree to deny.toml by cargo's own metadata: licences,
//! banned crates, one version of each crate, one registry.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

/// The part of deny.toml that is checked here.
#[derive(Deserialize)]
struct Deny {
    graph: Graph,
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Named>,
    skip: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

struct Package {
    name: String,
    version: String,
    license: String,
    source: String,
}

#[test]
fn the_tree_is_what_deny_toml_allows() {
    let root = env!("CARGO_MANIFEST_DIR");
    let deny = std::fs::read_to_string(format!("{root}/deny.toml")).unwrap();
    let deny = toml::from_str::<Deny>(&deny).unwrap();
    let mut packages = BTreeMap::new();
    for target in &deny.graph.targets {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version=1", "--locked", "--filter-platform", target])
            .current_dir(root)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        packages.extend(shipped(&serde_json::from_slice(&output.stdout).unwrap()));
    }
    assert!(packages.len() > 50, "only {} packages were found", packages.len());
    let packages = packages.into_values().collect::<Vec<_>>();
    let faults = faults(&packages, &deny);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// The fuzz targets are a workspace of their own, with a lock file of its own.
#[test]
fn what_is_fuzzed_is_what_is_shipped() {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Locked>,
    }
    #[derive(Deserialize)]
    struct Locked {
        name: String,
        version: String,
        source: Option<String>,
    }
    let read = |path: &str| {
        let text = std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR")));
        toml::from_str::<Lock>(&text.unwrap()).unwrap().package
    };
    let shipped = read("Cargo.lock");
    let mut same = 0;
    for Locked { name, version, source } in read("fuzz/Cargo.lock") {
        let mut ours = shipped.iter().filter(|package| package.name == name).peekable();
        if source.is_some() && ours.peek().is_some() {
            assert!(
                ours.any(|package| package.version == version),
                "fuzz/Cargo.lock has {name} {version}, unlike Cargo.lock: copy that file there \
                 and run `cargo +nightly fuzz build`"
            );
            same += 1;
        }
    }
    assert!(same > 50, "only {same} packages are in both");
}

/// What the binary is built from: normal and build dependencies from the root
/// on, by package id. Test-only crates are left out, as cargo-deny does.
fn shipped(metadata: &Value) -> BTreeMap<String, Package> {
    let resolve = &metadata["resolve"];
    let nodes = array(&resolve["nodes"])
        .iter()
        .map(|node| (text(&node["id"]), node))
        .collect::<BTreeMap<_, _>>();
    let root = text(&resolve["root"]);
    let (mut seen, mut open) = (BTreeSet::new(), vec![root]);
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        for dependency in array(&nodes[id]["deps"]) {
            if array(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"] != "dev") {
                open.push(text(&dependency["pkg"]));
            }
        }
    }
    array(&metadata["packages"])
        .iter()
        .filter(|package| text(&package["id"]) != root && seen.contains(text(&package["id"])))
        .map(|package| {
            let part = |key: &str| text(&package[key]).to_owned();
            let shown = Package {
                name: part("name"),
                version: part("version"),
                license: part("license"),
                source: part("source"),
            };
            (part("id"), shown)
        })
        .collect()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn faults(packages: &[Package], deny: &Deny) -> Vec<String> {
    let mut faults = Vec::new();
    let mut versions = BTreeMap::<&str, BTreeSet<&str>>::new();
    for Package { name, version, license, source } in packages {
        if !License::new(license, &deny.licenses.allow).allowed() {
            faults.push(format!("{name} {version}: licence {license:?} is not one we may ship"));
        }
        if !source.starts_with("registry+") {
            faults.push(format!("{name} {version} comes from {source:?}, not from crates.io"));
        }
        if let Some(ban) = deny.bans.deny.iter().find(|ban| ban.name == *name) {
            faults.push(format!("{name} {version} is banned: {}", ban.reason));
        }
        let skipped = deny.bans.skip.iter().any(|skip| {
            skip.name.split_once('@').is_some_and(|(skip, head)| {
                skip == name && (version == head || version.starts_with(&format!("{head}.")))
            })
        });
        if !skipped {
            versions.entry(name).or_default().insert(version);
        }
    }
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        faults.push(format!("{name} is there in {} versions: {versions:?}", versions.len()));
    }
    faults
}

/// An SPDX expression, also with the old slash for OR.
struct License<'a> {
    words: Vec<String>,
    at: usize,
    allow: &'a BTreeSet<String>,
}

impl<'a> License<'a> {
    fn new(expression: &str, allow: &'a BTreeSet<String>) -> Self {
        let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        Self { words: spaced.split_whitespace().map(str::to_owned).collect(), at: 0, allow }
    }

    fn allowed(mut self) -> bool {
        let verdict = self.any();
        verdict && self.at == self.words.len()
    }

    fn any(&mut self) -> bool {
        let mut verdict = self.all();
        while self.take("OR") {
            verdict |= self.all();
        }
        verdict
    }

    fn all(&mut self) -> bool {
        let mut verdict = self.one();
        while self.take("AND") {
            verdict &= self.one();
        }
        verdict
    }

    fn one(&mut self) -> bool {
        if self.take("(") {
            let verdict = self.any();
            return self.take(")") && verdict;
        }
        let Some(mut name) = self.words.get(self.at).cloned() else { return false };
        self.at += 1;
        if self.take("WITH") {
            name.push_str(" WITH ");
            name.push_str(self.words.get(self.at).map_or("", String::as_str));
            self.at += 1;
        }
        self.allow.contains(&name)
    }

    fn take(&mut self, word: &str) -> bool {
        let here = self.words.get(self.at).is_some_and(|next| next == word);
        self.at += usize::from(here);
        here
    }
}

#[cfg(test)]
mod planted {
    use super::*;

    fn named(name: &str, reason: &str) -> Named {
        Named { name: name.to_owned(), reason: reason.to_owned() }
    }

    fn package(name: &str, version: &str, license: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            license: license.to_owned(),
            source: "registry+here".to_owned(),
        }
    }

    #[test]
    fn each_kind_of_fault_is_named() {
        let deny = Deny {
            graph: Graph { targets: vec![] },
            licenses: Licenses { allow: BTreeSet::from(["MIT".to_owned(), "ISC".to_owned()]) },
            bans: Bans { deny: vec![named("evil", "it is")], skip: vec![named("twin@2", "old")] },
        };
        let mut stray = package("stray", "1.0.0", "MIT");
        stray.source = "git+there".to_owned();
        let packages = [
            package("good", "1.0.0", "(GPL-3.0 OR MIT) AND ISC"),
            package("slash", "1.0.0", "GPL-3.0/MIT"),
            package("twin", "2.1.0", "MIT"),
            package("twin", "3.0.0", "MIT"),
            package("copyleft", "1.0.0", "MIT AND GPL-3.0"),
            package("exception", "1.0.0", "MIT WITH odd-exception"),
            package("silent", "1.0.0", ""),
            package("evil", "1.0.0", "MIT"),
            package("pair", "1.0.0", "MIT"),
            package("pair", "2.0.0", "MIT"),
            stray,
        ];
        assert_eq!(
            faults(&packages, &deny),
            [
                "copyleft 1.0.0: licence \"MIT AND GPL-3.0\" is not one we may ship",
                "exception 1.0.0: licence \"MIT WITH odd-exception\" is not one we may ship",
                "silent 1.0.0: licence \"\" is not one we may ship",
                "evil 1.0.0 is banned: it is",
                "stray 1.0.0 comes from \"git+there\", not from crates.io",
                "pair is there in 2 versions: {\"1.0.0\", \"2.0.0\"}",
            ]
        );
    }
}
