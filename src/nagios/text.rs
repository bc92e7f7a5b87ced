//! How Nagios reads lines, in its main configuration and in object files.

use std::borrow::Cow;

/// One line as Nagios sees it, without the spaces round it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub text: Cow<'a, str>,
    /// How many lines of the file it is made of.
    pub height: usize,
}

/// Joins continued lines: one that ends in a single `\` goes on in the next,
/// whose leading spaces are dropped; one that ends in `\\` ends in `\`. That
/// holds in comments, too. Measured with 4.4.6.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut rest = text.lines();
    std::iter::from_fn(move || {
        let first = rest.next()?;
        let mut height = 1;
        let Some(mut head) = first.strip_suffix('\\') else {
            return Some(Line { text: Cow::Borrowed(first.trim_matches(BLANK)), height });
        };
        let mut joined = String::new();
        loop {
            joined.push_str(head);
            if head.ends_with('\\') {
                break;
            }
            let Some(next) = rest.next() else { break };
            height += 1;
            let next = next.trim_start_matches(BLANK);
            match next.strip_suffix('\\') {
                Some(more) => head = more,
                None => {
                    joined.push_str(next);
                    break;
                }
            }
        }
        Some(Line { text: Cow::Owned(joined.trim_matches(BLANK).to_owned()), height })
    })
}

pub(super) const BLANK: [char; 4] = [' ', '\t', '\r', '\n'];

/// A line of Nagios's for people: one line, no control characters, not long.
pub(super) fn clean(line: &str) -> String {
    const MAX_BYTES: usize = 1000;
    let line = line.trim();
    let end = line.floor_char_boundary(MAX_BYTES);
    let mut clean: String =
        line[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if end < line.len() {
        clean.push_str("...");
    }
    clean
}

/// Whether a line names the cause of a refusal. Duplicates are printed as
/// warnings and are fatal all the same.
pub(super) fn names_a_cause(line: &str) -> bool {
    line.starts_with("Error") || line.starts_with("Warning: Duplicate definition")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, usize)> {
        lines(text).map(|line| (line.text.into_owned(), line.height)).collect()
    }

    #[test]
    fn lines_are_joined_as_nagios_joins_them() {
        assert_eq!(
            read(" a = b \n# c \\\n  d=e\nx\\\n  y\\\n\tz\nq\\\\\nlast\\"),
            [
                ("a = b".to_owned(), 1),
                ("# c d=e".to_owned(), 2),
                ("xyz".to_owned(), 3),
                ("q\\".to_owned(), 1),
                ("last".to_owned(), 1),
            ]
        );
        assert_eq!(read(""), []);
    }

    #[test]
    fn what_is_shown_is_one_short_line() {
        assert_eq!(clean(" a\x1b[1m\tb\r\n"), "a [1m b");
        assert_eq!(clean(&"é".repeat(1000)).len(), 1003);
    }
}
