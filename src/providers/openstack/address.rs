use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

use super::record::Text;
use crate::model::Address;

/// A kind of address that may be checked: "floating", "fixed", "any" or
/// "network:NAME", and with " v4" or " v6" only those of that version.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Preference {
    kind: Kind,
    version: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Any,
    Floating,
    Fixed,
    Network(String),
}

impl Preference {
    pub(super) fn defaults() -> Vec<Self> {
        let of = |kind, version| Self { kind, version };
        vec![of(Kind::Floating, None), of(Kind::Fixed, Some(4)), of(Kind::Fixed, None)]
    }

    fn takes(&self, network: &str, floating: bool, ip: IpAddr) -> bool {
        let version = if ip.is_ipv4() { 4 } else { 6 };
        let kind = match &self.kind {
            Kind::Any => true,
            Kind::Floating => floating,
            Kind::Fixed => !floating,
            Kind::Network(name) => name == network,
        };
        kind && self.version.is_none_or(|wanted| wanted == version)
    }
}

impl TryFrom<String> for Preference {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (kind, version) = match text.rsplit_once(' ') {
            Some((kind, "v4")) => (kind, Some(4)),
            Some((kind, "v6")) => (kind, Some(6)),
            _ => (text.as_str(), None),
        };
        let kind = match (kind, kind.strip_prefix("network:")) {
            ("any", _) => Kind::Any,
            ("floating", _) => Kind::Floating,
            ("fixed", _) => Kind::Fixed,
            (_, Some(name)) if !name.is_empty() => Kind::Network(name.to_owned()),
            _ => {
                return Err(format!(
                    "{text:?} is no kind of address; give \"floating\", \"fixed\", \"any\" or \
                     \"network:NAME\", with \" v4\" or \" v6\" behind it where wanted"
                ));
            }
        };
        Ok(Self { kind, version })
    }
}

/// Nova's `addresses`, by network. What is not there is `null` to some clouds.
pub(super) type Networks<'a> = BTreeMap<Text<'a>, Vec<Port<'a>>>;

#[derive(Debug, Deserialize)]
pub(super) struct Port<'a> {
    #[serde(borrow)]
    addr: Cow<'a, str>,
    #[serde(borrow, rename = "OS-EXT-IPS:type", default)]
    kind: Option<Cow<'a, str>>,
}

/// What the preferences take, best first; an address is there once.
pub(super) fn choose(networks: &Networks<'_>, preferences: &[Preference]) -> Vec<Address> {
    let mut chosen = Vec::new();
    for preference in preferences {
        for (network, ports) in networks {
            for port in ports {
                let Ok(ip) = port.addr.parse::<IpAddr>() else { continue };
                let floating = port.kind.as_deref() == Some("floating");
                if !preference.takes(network, floating, ip) {
                    continue;
                }
                if let Ok(address) = Address::parse(&port.addr)
                    && !chosen.contains(&address)
                {
                    chosen.push(address);
                }
                if chosen.len() >= crate::model::Details::MAX_ADDRESSES {
                    return chosen;
                }
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(preferences: &[&str]) -> Vec<String> {
        let networks = serde_json::from_str(
            r#"{"public": [{"addr": "203.0.113.7", "version": 4}],
                "net": [{"addr": "10.0.0.4", "version": 4, "OS-EXT-IPS:type": "fixed"},
                        {"addr": "fd00::4", "version": 6, "OS-EXT-IPS:type": "fixed"},
                        {"addr": "198.51.100.9", "version": 4, "OS-EXT-IPS:type": "floating"},
                        {"addr": "; rm -rf /", "version": 4, "OS-EXT-IPS:type": "floating"}]}"#,
        )
        .unwrap();
        let preferences: Vec<_> = preferences
            .iter()
            .map(|text| Preference::try_from((*text).to_owned()).unwrap())
            .collect();
        choose(&networks, &preferences).iter().map(|one| one.as_str().to_owned()).collect()
    }

    #[test]
    fn by_preference() {
        assert_eq!(chosen(&["floating", "fixed v6"]), ["198.51.100.9", "fd00::4"]);
        assert_eq!(chosen(&["network:public", "floating"]), ["203.0.113.7", "198.51.100.9"]);
        assert_eq!(chosen(&["any v6"]), ["fd00::4"]);
        assert_eq!(chosen(&["network:net v4"]), ["10.0.0.4", "198.51.100.9"]);
        assert_eq!(chosen(&["any", "any"]).len(), 4);
        assert_eq!(chosen(&["network:absent"]), [""; 0]);
    }

    #[test]
    fn words() {
        for bad in ["", "floating v5", "network:", "Fixed", "v4"] {
            assert!(Preference::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
        assert!(Preference::try_from("network:my net v4".to_owned()).is_ok());
    }
}
