//! The manual pages and the completions, made from what they describe: the
//! commands from clap's own tree, the keys from the documented file that the
//! packages ship.

use std::io::{self, Write};

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::args::{Cli, ManPage};

/// Every key with its default, and above each a comment that says what it is.
const SHIPPED: &str = include_str!("../../packaging/weather-balloon.toml");

const MANUAL: &str = "Weather Balloon";

pub fn completions(shell: Shell, to: &mut dyn Write) -> io::Result<()> {
    let mut made = Vec::new();
    clap_complete::generate(shell, &mut command(), "weather-balloon", &mut made);
    to.write_all(&made)
}

pub fn page(page: ManPage, to: &mut dyn Write) -> io::Result<()> {
    match page {
        ManPage::Command => command_page(to),
        ManPage::Configuration => configuration_page(to),
    }
}

/// The tree with what clap adds to it, without its "help", which says the same
/// as this page.
fn command() -> Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

fn command_page(to: &mut dyn Write) -> io::Result<()> {
    let command = command();
    let man = Man::new(command.clone()).manual(MANUAL).section("1");
    man.render_title(to)?;
    man.render_name_section(to)?;
    man.render_synopsis_section(to)?;
    man.render_description_section(to)?;
    man.render_options_section(to)?;
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    for sub in command.get_subcommands() {
        describe(sub, &mut roff);
    }
    roff.control("SH", ["EXIT STATUS"]);
    for line in command.get_after_help().map(ToString::to_string).unwrap_or_default().lines() {
        match line.trim().split_once("  ") {
            Some((code, means)) => {
                roff.control("TP", []).text([bold(code)]).text([roman(means.trim())]);
            }
            None if line.ends_with(':') => {}
            None => {
                roff.control("PP", []).text([roman(line)]);
            }
        }
    }
    roff.control("SH", ["FILES"]);
    for (file, what) in FILES {
        roff.control("TP", []).text([italic(file)]).text([roman(what)]);
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("weather-balloon.toml"), roman("(5), "), bold("nagios4"), roman("(8)")]);
    roff.to_writer(to)
}

const FILES: [(&str, &str); 4] = [
    (
        "/etc/weather-balloon/weather-balloon.toml",
        "The configuration, see weather-balloon.toml(5).",
    ),
    (
        "/etc/weather-balloon/setup/",
        "What setup has changed, and the files as they were before: setup --undo reads it.",
    ),
    ("/var/lib/weather-balloon/", "The state: generations, receipts, measurements, usage."),
    ("/var/spool/weather-balloon/perfdata/", "Where Nagios puts its performance data."),
];

/// The command and those below it, each under its whole name.
fn describe(command: &Command, roff: &mut Roff) {
    let below: Vec<_> = command.get_subcommands().collect();
    if below.is_empty() {
        let usage = command.clone().render_usage().to_string();
        roff.control("SS", [usage.trim_start_matches("Usage: ")]);
        let about = command.get_long_about().or(command.get_about());
        roff.text([roman(about.map(ToString::to_string).unwrap_or_default())]);
        // Options that go with every command stand in a section of their own.
        for arg in command.get_arguments().filter(|arg| !arg.is_global_set()) {
            if !["help", "version"].contains(&arg.get_id().as_str()) {
                argument(arg, roff);
            }
        }
    }
    for sub in below {
        describe(sub, roff);
    }
}

fn argument(arg: &clap::Arg, roff: &mut Roff) {
    let mut head: Vec<Inline> = Vec::new();
    if let Some(short) = arg.get_short() {
        head.extend([bold(format!("-{short}")), roman(", ")]);
    }
    let values = arg.get_value_names().unwrap_or_default().join(" ");
    match arg.get_long() {
        Some(long) => {
            head.push(bold(format!("--{long}")));
            if arg.get_action().takes_values() {
                head.extend([roman(" "), italic(values)]);
            }
        }
        None => head.push(italic(values)),
    }
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string);
    let mut text = help.unwrap_or_default();
    if !text.is_empty() && !text.ends_with('.') {
        text.push('.');
    }
    let choices: Vec<_> =
        arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if arg.get_action().takes_values() && !choices.is_empty() {
        text.push_str(&format!(" One of: {}.", choices.join(", ")));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
    if arg.get_action().takes_values() && !defaults.is_empty() {
        text.push_str(&format!(" Default: {}.", defaults.join(" ")));
    }
    roff.control("TP", []).text(head).text([roman(text)]);
}

fn configuration_page(to: &mut dyn Write) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("TH", ["weather-balloon.toml", "5", "", "", MANUAL]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("weather-balloon.toml - the configuration of weather-balloon")]);
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([italic("/etc/weather-balloon/weather-balloon.toml")]);
    roff.control("SH", ["DESCRIPTION"]);
    let file = Documented::read(SHIPPED);
    for paragraph in file.head {
        roff.control("PP", []).text([roman(paragraph)]);
    }
    for section in file.sections {
        roff.control("SH", [section.name.as_str()]);
        if !section.text.is_empty() {
            roff.text([roman(section.text)]);
        }
        for (keys, text) in section.keys {
            roff.control("TP", []);
            for (place, key) in keys.iter().enumerate() {
                if place > 0 {
                    roff.control("TQ", []);
                }
                roff.text([bold(key.as_str())]);
            }
            roff.text([roman(text)]);
        }
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("weather-balloon"), roman("(1)")]);
    roff.to_writer(to)
}

/// The shipped file, taken apart.
struct Documented {
    /// Paragraphs before the first section.
    head: Vec<String>,
    sections: Vec<Section>,
}

#[derive(Default)]
struct Section {
    name: String,
    text: String,
    /// Keys with their defaults or, commented out, with an example; several
    /// where one text is for all.
    keys: Vec<(Vec<String>, String)>,
}

impl Documented {
    fn read(file: &str) -> Self {
        let mut read = Self { head: Vec::new(), sections: Vec::new() };
        let mut text: Vec<&str> = Vec::new();
        for line in file.lines() {
            let bare = line.trim_start_matches('#').trim();
            if bare.is_empty() {
                // A paragraph ends; before a section it is the file's own.
                if read.sections.is_empty() && !text.is_empty() {
                    read.head.push(text.join(" "));
                }
                text.clear();
            } else if let Some(name) = section_name(bare) {
                let section = Section { name, text: text.join(" "), ..Section::default() };
                read.sections.push(section);
                text.clear();
            } else if is_setting(bare)
                && let Some(section) = read.sections.last_mut()
            {
                match section.keys.last_mut() {
                    Some((keys, _)) if text.is_empty() => keys.push(bare.to_owned()),
                    _ => section.keys.push((vec![bare.to_owned()], text.join(" "))),
                }
                text.clear();
            } else {
                text.push(bare);
            }
        }
        read
    }
}

fn section_name(line: &str) -> Option<String> {
    let inside = line.strip_prefix('[')?.strip_suffix(']')?;
    let name = inside.trim_matches(['[', ']']);
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (!name.is_empty() && name.chars().all(plain)).then(|| line.to_owned())
}

fn is_setting(line: &str) -> bool {
    line.split_once(" = ").is_some_and(|(key, _)| {
        !key.is_empty()
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_is_taken_apart() {
        let file = Documented::read(SHIPPED);
        assert!(file.head[0].starts_with("The configuration of weather-balloon."));
        let named = |name: &str| file.sections.iter().find(|one| one.name == name).unwrap();
        assert_eq!(named("[rpc]").text, "The Thrift service.");
        let (keys, text) = named("[rpc]").keys.iter().find(|(keys, _)| keys.len() == 2).unwrap();
        assert_eq!(keys[0], "max_message = \"16MiB\"");
        assert_eq!(text, "The longest message, and the longest string in it.");
        let every: usize =
            SHIPPED.lines().filter(|line| is_setting(line.trim_start_matches('#').trim())).count();
        let found: usize =
            file.sections.iter().flat_map(|one| &one.keys).map(|(keys, _)| keys.len()).sum();
        assert_eq!(found, every);
        assert!(every > 50);
    }
}
