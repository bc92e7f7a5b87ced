//! Distinguished names (RFC 4514), as far as it takes to know that two that
//! one directory gave are the same.

/// A DN in a form that two spellings of it share: attribute names and values
/// in lower case, spaces squeezed, escapes undone.
pub(super) type Key = Vec<Vec<(String, Vec<u8>)>>;

/// Nothing where it is no DN.
pub(super) fn key(dn: &str) -> Option<Key> {
    let mut parts = vec![Vec::new()];
    let mut rest = dn;
    loop {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
        {
            return None;
        }
        let (value, end) = value(after)?;
        parts.last_mut()?.push((name, value));
        rest = match after.get(end..)?.chars().next() {
            None => break,
            Some('+') => after.get(end + 1..)?,
            Some(_) => {
                parts.push(Vec::new());
                after.get(end + 1..)?
            }
        };
    }
    parts.iter_mut().for_each(|part| part.sort());
    Some(parts)
}

pub(super) fn is_dn(text: &str) -> bool {
    key(text).is_some()
}

/// The value that the text begins with, and where its separator is.
fn value(text: &str) -> Option<(Vec<u8>, usize)> {
    let bytes = text.as_bytes();
    let mut plain = Vec::new();
    // Spaces at the ends do not count, unless they are escaped.
    let mut kept = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b',' | b';' | b'+' => break,
            b'\\' => {
                let pair = bytes.get(at + 1..at + 3);
                let hex = pair
                    .and_then(|pair| std::str::from_utf8(pair).ok())
                    .filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()))
                    .and_then(|pair| u8::from_str_radix(pair, 16).ok());
                let (byte, length) = match hex {
                    Some(byte) => (byte, 3),
                    None => (*bytes.get(at + 1)?, 2),
                };
                plain.push(byte);
                kept = plain.len();
                at += length;
            }
            b' ' if plain.is_empty() => at += 1,
            _ => {
                plain.push(byte);
                if byte != b' ' {
                    kept = plain.len();
                }
                at += 1;
            }
        }
    }
    plain.truncate(kept);
    if plain.is_empty() {
        return None;
    }
    Some((folded(plain), at))
}

fn folded(bytes: Vec<u8>) -> Vec<u8> {
    let mut folded = match String::from_utf8(bytes) {
        Ok(text) => text.to_lowercase().into_bytes(),
        Err(fault) => fault.into_bytes(),
    };
    folded.dedup_by(|a, b| *a == b' ' && *b == b' ');
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name() {
        for (one, other) in [
            ("uid=alice,ou=People,dc=x", "UID=Alice, OU=people , dc=X"),
            ("cn=a\\,b,dc=x", "cn=a\\2Cb,dc=x"),
            ("cn=a+uid=b,dc=x", "uid=b+cn=a;dc=x"),
            ("cn=jos\\c3\\a9", "cn=JOSÉ"),
            ("cn=a  b", "cn=a b"),
        ] {
            assert_eq!(key(one), key(other), "{one}");
            assert!(is_dn(one));
        }
    }

    #[test]
    fn different_names() {
        for (one, other) in [
            ("uid=alice,ou=People", "uid=alice,ou=Staff"),
            ("uid=a,uid=b", "uid=a+uid=b"),
            ("uid=a\\,uid=b", "uid=a,uid=b"),
            ("uid=a\\ ", "uid=a"),
            ("uid=a,dc=x", "uid=a"),
        ] {
            assert!(is_dn(one) && is_dn(other));
            assert_ne!(key(one), key(other), "{one}");
        }
    }

    #[test]
    fn what_is_none() {
        for bad in ["", "x", "=x", "uid=", "uid=a,", "uid=a,,dc=x", "u id=a", "uid=a\\", "a,b=c"] {
            assert!(!is_dn(bad), "{bad:?} was taken for a DN");
        }
    }
}
