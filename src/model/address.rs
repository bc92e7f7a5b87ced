use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// Where a host is checked: an IP address in its canonical form (an IPv6
/// link-local one may name its zone), or a DNS name in ASCII form.
///
/// Nagios puts it on a plugin's command line without any cleaning, so it holds
/// no character that a shell reads and never begins with `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(Arc<str>);

impl Address {
    const MAX_NAME_BYTES: usize = 253;

    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("is empty; give an IP address or a DNS name");
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self(ip.to_string().into()));
        }
        if let Some((address, zone)) = text.split_once('%') {
            return Self::zoned(address, zone);
        }
        Self::name(text)
    }

    fn zoned(address: &str, zone: &str) -> Result<Self, &'static str> {
        let address: Ipv6Addr =
            address.parse().map_err(|_| "has a zone but is not an IPv6 address")?;
        let fits = (1..=15).contains(&zone.len())
            && zone.starts_with(|c: char| c.is_ascii_alphanumeric())
            && zone.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if !fits {
            return Err("has a zone that is not an interface name (1 to 15 of A-Z a-z 0-9 . _ -)");
        }
        Ok(Self(format!("{address}%{zone}").into()))
    }

    fn name(text: &str) -> Result<Self, &'static str> {
        const FAULT: &str = "is neither an IP address nor a DNS name";
        // An IDN of 253 ASCII bytes never needs more than this many UTF-8 bytes.
        if text.len() > 4 * Self::MAX_NAME_BYTES {
            return Err("is longer than a DNS name can be (253 bytes)");
        }
        let ascii = if text.is_ascii() {
            text.to_owned()
        } else {
            idna::domain_to_ascii(text).map_err(|_| FAULT)?
        };
        if ascii.len() > Self::MAX_NAME_BYTES {
            return Err("is longer than a DNS name can be (253 bytes)");
        }
        if !ascii.split('.').all(is_dns_label) {
            return Err(FAULT);
        }
        // "10.0.0.300" is a mistyped IP address; a resolver would guess at it.
        let last = ascii.rsplit('.').next().unwrap_or_default();
        if last.bytes().all(|b| b.is_ascii_digit()) {
            return Err("looks like an IPv4 address but is not one");
        }
        Ok(Self(ascii.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_dns_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_and_canonicalises() {
        for (given, kept) in [
            ("127.0.0.1", "127.0.0.1"),
            ("2001:DB8:0::1", "2001:db8::1"),
            ("FE80::1%eth0", "fe80::1%eth0"),
            ("vm-1.example.org", "vm-1.example.org"),
            ("bücher.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(Address::parse(given).unwrap().as_str(), kept);
        }
    }

    #[test]
    fn refuses_what_a_shell_or_a_plugin_would_read() {
        for bad in [
            "",
            "-oEvil",
            "$(id)",
            "`id`",
            "a b",
            "a;b",
            "a|b",
            "127.0.0.1\n",
            "10.0.0.300",
            "fe80::1%",
            "a..b",
            "1.2.3.4%eth0",
            "fe80::1%e;x",
            "a_b",
            "a.-b",
            "x\0",
            "127.0.0.1 ",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad:?} was taken for an address");
        }
        assert!(Address::parse(&format!("{}.example", "a".repeat(64))).is_err());
        assert!(Address::parse(&"a.".repeat(127)).is_err());
    }
}
