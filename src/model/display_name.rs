use std::fmt;
use std::sync::Arc;

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use super::HostId;

/// A host's name for people. Tenants choose it freely, so it is never refused:
/// what Nagios, a shell or a browser would read is replaced by a look-alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DisplayName(Arc<str>);

impl DisplayName {
    const MAX_BYTES: usize = 255;

    /// The safe form of `given`, or the host's id where nothing is left of it.
    /// `null` is what Nagios takes for "no value".
    pub(super) fn tame(given: &str, id: &HostId) -> Self {
        // An id is tame by its grammar.
        if given == id.as_str() {
            return Self(id.shared());
        }
        let mut kept = String::with_capacity(given.len().min(Self::MAX_BYTES));
        let mut pending_space = false;
        for c in given.nfc().map(tame_char) {
            if c.is_whitespace() {
                pending_space = !kept.is_empty();
                continue;
            }
            let needed = c.len_utf8() + usize::from(pending_space);
            if kept.len() + needed > Self::MAX_BYTES {
                break;
            }
            if std::mem::take(&mut pending_space) {
                kept.push(' ');
            }
            kept.push(c);
        }
        if kept.is_empty() || kept == "null" {
            return Self(id.shared());
        }
        Self(kept.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn tame_char(c: char) -> char {
    match c {
        '<' => '‹',
        '>' => '›',
        '"' => '”',
        '\'' => '’',
        // The full-width form of an ASCII character stands 0xFEE0 above it.
        ';' | '\\' | '`' | '$' | '|' | '&' | '(' | ')' | '{' | '}' | '*' | '?' | '~' | '!'
        | '#' | '%' | '^' | '=' | '[' | ']' => char::from_u32(c as u32 + 0xFEE0).unwrap_or(' '),
        _ => match c.general_category() {
            GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::Surrogate
            | GeneralCategory::PrivateUse
            | GeneralCategory::Unassigned
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator => ' ',
            _ => c,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tame(given: &str) -> String {
        DisplayName::tame(given, &HostId::parse("i-1").unwrap()).to_string()
    }

    #[test]
    fn leaves_plain_names_alone() {
        assert_eq!(tame("my web server"), "my web server");
        assert_eq!(tame("Größe 東京 🎈"), "Größe 東京 🎈");
    }

    #[test]
    fn disarms_what_others_read() {
        assert_eq!(tame("a\n}\ndefine host{"), "a ｝ define host｛");
        assert_eq!(tame("x\\"), "x＼");
        assert_eq!(tame("a;b"), "a；b");
        assert_eq!(tame("`id` $(id)"), "｀id｀ ＄（id）");
        assert_eq!(tame("<b>\"x\"</b>"), "‹b›”x”‹/b›");
        assert_eq!(tame("safe\u{202E}evil\u{2028}\0end"), "safe evil end");
    }

    #[test]
    fn never_empty_and_never_long() {
        for nothing in ["", "  ", "\n\t", "null", "\u{200B}"] {
            assert_eq!(tame(nothing), "i-1");
        }
        assert_eq!(tame(&"é".repeat(1000)).len(), 254);
        assert_eq!(tame(&"a".repeat(1_000_000)).len(), 255);
    }

    #[test]
    fn taming_twice_changes_nothing() {
        for text in ["a;b", "  x  y ", "\u{202E}q", "ｅ＼", "e\u{301}"] {
            assert_eq!(tame(&tame(text)), tame(text));
        }
    }
}
