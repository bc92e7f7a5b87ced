//! What we ship for Nagios to read: the object files and the settings of its
//! performance data.

use std::path::Path;

use super::Config;

/// In an order in which each file needs only those before it, so that Nagios
/// takes every part of the way.
const OBJECTS: [(&str, &str); 5] = [
    ("commands.cfg", include_str!("../../nagios-templates/commands.cfg")),
    (PERFDATA, include_str!("../../nagios-templates/perfdata.cfg")),
    ("atmo-vms.cfg", include_str!("../../nagios-templates/atmo-vms.cfg")),
    ("atmo-services.cfg", include_str!("../../nagios-templates/atmo-services.cfg")),
    ("sentinel.cfg", include_str!("../../nagios-templates/sentinel.cfg")),
];
const PERFDATA: &str = "perfdata.cfg";
const SETTINGS: &str = include_str!("../../nagios-templates/nagios.cfg.snippet");

/// As the shipped files have them.
const SPOOL: &str = "/var/spool/weather-balloon/perfdata";
const CHECK: &str = "/usr/bin/weather-balloon check";

/// Name and text of each object file. Without a spool the commands that move
/// perfdata are left out. `check` is how the sentinel asks for our own state.
pub fn object_files(
    config: &Config,
    spool: Option<&Path>,
    check: &str,
) -> Vec<(&'static str, String)> {
    let defaults = Config::default();
    OBJECTS
        .into_iter()
        .filter(|(name, _)| spool.is_some() || *name != PERFDATA)
        .map(|(name, text)| {
            let text = text
                .replace(&defaults.hostgroup, &config.hostgroup)
                .replace(&defaults.host_template, &config.host_template)
                .replace(CHECK, check);
            (name, with_spool(&text, spool))
        })
        .collect()
}

/// Key and value of each setting of the main configuration that performance
/// data needs.
pub fn perfdata_settings(spool: &Path) -> Vec<(String, String)> {
    let lines = SETTINGS.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), with_spool(value, Some(spool))))
        .collect()
}

fn with_spool(text: &str, spool: Option<&Path>) -> String {
    match spool {
        Some(spool) => text.replace(SPOOL, &spool.display().to_string()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shipped_names_our_paths() {
        let config = Config { hostgroup: "vms".to_owned(), ..Config::default() };
        let spool = Path::new("/spool");
        let files = object_files(&config, Some(spool), "/opt/wb check --config /c.toml");
        let text = |name: &str| files.iter().find(|(file, _)| *file == name).unwrap().1.clone();
        assert!(
            text("sentinel.cfg")
                .contains("command_line            /opt/wb check --config /c.toml\n")
        );
        assert!(text("atmo-vms.cfg").contains("hostgroup_name          vms\n"));
        assert!(text("atmo-vms.cfg").contains("name                    atmo_vm\n"));
        assert!(
            text(PERFDATA)
                .contains("/bin/mv -n /spool/service-perfdata /spool/service-perfdata.$TIMET$\n")
        );
        assert_eq!(object_files(&config, None, "x").len(), 4);
        let settings = perfdata_settings(spool);
        assert_eq!(settings[0], ("process_performance_data".to_owned(), "1".to_owned()));
        assert_eq!(settings[1].1, "/spool/service-perfdata");
        assert_eq!(settings.len(), 11);
    }
}
