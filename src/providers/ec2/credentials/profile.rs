use super::{Keys, fault};
use crate::providers::Error;

/// The keys of one profile in a file of the form of `~/.aws/credentials`;
/// nothing where it has none.
pub(super) fn keys(text: &str, name: &str) -> Result<Option<Keys>, Error> {
    let mut inside = false;
    let (mut id, mut secret, mut token, mut other) = (None, None, None, None);
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = line.strip_prefix('[') {
            let section = section.split(']').next().unwrap_or_default().trim();
            let section = section.strip_prefix("profile ").map_or(section, str::trim);
            inside = section == name;
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| inside) else { continue };
        let value = value.trim();
        match key.trim() {
            "aws_access_key_id" => id = Some(value),
            "aws_secret_access_key" => secret = Some(value),
            "aws_session_token" => token = Some(value.to_owned()),
            key @ ("source_profile" | "credential_process" | "credential_source"
            | "sso_session") => {
                other = Some(key);
            }
            _ => (),
        }
    }
    match (id, secret, other) {
        (Some(id), Some(secret), _) if !id.is_empty() && !secret.is_empty() => {
            Ok(Some(Keys::new(id, secret, token.filter(|token| !token.is_empty()))))
        }
        (None, None, None) => Ok(None),
        (None, None, Some(other)) => Err(fault(format!(
            "the profile {name:?} has {other}, which is not supported; give it aws_access_key_id and aws_secret_access_key, or use role_arn and web_identity_token_file"
        ))),
        _ => Err(fault(format!(
            "the profile {name:?} must have both aws_access_key_id and aws_secret_access_key"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# ours\n[default]\naws_access_key_id = AKIDDEFAULT\naws_secret_access_key=s/e=c\n\n[profile other]\n; comment\naws_access_key_id=AKIDOTHER\naws_secret_access_key = x\naws_session_token = t\n[half]\naws_access_key_id = A\n[role]\nsource_profile = default\n[none]\nregion = r\n";

    #[test]
    fn profiles() {
        assert_eq!(keys(FILE, "default").unwrap(), Some(Keys::new("AKIDDEFAULT", "s/e=c", None)));
        let other = keys(FILE, "other").unwrap().unwrap();
        assert_eq!(
            (other.id.as_str(), other.secret(), other.token()),
            ("AKIDOTHER", "x", Some("t"))
        );
        assert_eq!(keys(FILE, "none").unwrap(), None);
        assert_eq!(keys(FILE, "missing").unwrap(), None);
        assert_eq!(keys("", "default").unwrap(), None);
        for bad in ["half", "role"] {
            assert!(keys(FILE, bad).is_err(), "{bad}");
        }
    }
}
