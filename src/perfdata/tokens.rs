//! Cuts perfdata into metrics. The grammar is that of the plugin guidelines,
//! `'label'=value[unit];[warn];[crit];[min];[max]` between spaces; what Nagios
//! joins to it (tabs, plain text, a second `|` of long output) is passed over.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Metric {
        label: &'a [u8],
        /// Of a label in single quotes, where `''` stands for one quote.
        doubled_quotes: bool,
        /// Up to the first `;`.
        value: &'a [u8],
    },
    /// A word without a value.
    Text,
    /// A metric without a label, or with a quote that does not close.
    Broken,
}

/// A quote that has not closed by then is not one. It also bounds the work
/// that unclosed quotes can make.
const MAX_LABEL_BYTES: usize = 1024;

pub(super) struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    pub(super) fn new(perfdata: &'a [u8]) -> Self {
        Self { rest: perfdata }
    }

    fn quoted(&mut self, quote: u8) -> Token<'a> {
        let Some(quoted) = Quoted::read(&self.rest[1..], quote) else {
            self.skip_word();
            return Token::Broken;
        };
        let label = &self.rest[1..=quoted.bytes];
        // Past the closing quote and `=`.
        self.rest = &self.rest[quoted.bytes + 3..];
        let value = self.value();
        if label.is_empty() {
            return Token::Broken;
        }
        Token::Metric { label, doubled_quotes: quoted.doubled && quote == b'\'', value }
    }

    fn unquoted(&mut self) -> Token<'a> {
        let end = self.rest.iter().position(|byte| *byte == b'=' || is_separator(*byte));
        match end {
            Some(end) if self.rest[end] == b'=' => {
                let label = &self.rest[..end];
                self.rest = &self.rest[end + 1..];
                let value = self.value();
                if label.is_empty() {
                    return Token::Broken;
                }
                Token::Metric { label, doubled_quotes: false, value }
            }
            _ => {
                self.rest = &self.rest[end.unwrap_or(self.rest.len())..];
                Token::Text
            }
        }
    }

    fn value(&mut self) -> &'a [u8] {
        let word = self.skip_word();
        let end = word.iter().position(|byte| *byte == b';').unwrap_or(word.len());
        &word[..end]
    }

    fn skip_word(&mut self) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| is_separator(*byte));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let start = self.rest.iter().position(|byte| !is_separator(*byte))?;
        self.rest = &self.rest[start..];
        Some(match self.rest[0] {
            quote @ (b'\'' | b'"') => self.quoted(quote),
            _ => self.unquoted(),
        })
    }
}

struct Quoted {
    bytes: usize,
    doubled: bool,
}

impl Quoted {
    /// `text` begins behind the opening quote. None unless a closing one with
    /// `=` behind it is found.
    fn read(text: &[u8], quote: u8) -> Option<Self> {
        let window = &text[..text.len().min(MAX_LABEL_BYTES)];
        let mut doubled = false;
        let mut at = 0;
        loop {
            at += window.get(at..)?.iter().position(|byte| *byte == quote)?;
            match text.get(at + 1) {
                Some(b'=') => return Some(Self { bytes: at, doubled }),
                Some(next) if *next == quote => {
                    doubled = true;
                    at += 2;
                }
                _ => return None,
            }
        }
    }
}

fn is_separator(byte: u8) -> bool {
    byte <= b' ' || byte == b'|' || byte == 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(perfdata: &str) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Tokens::new(perfdata.as_bytes())
            .filter_map(|token| match token {
                Token::Metric { label, value, .. } => Some((text(label), text(value))),
                Token::Text | Token::Broken => None,
            })
            .collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(l, v)| ((*l).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn quotes() {
        for (perfdata, expected) in [
            ("'a b'=1;2;3 c=4", &[("a b", "1"), ("c", "4")][..]),
            ("'=x'=4", &[("=x", "4")]),
            ("'it''s'=3s", &[("it''s", "3s")]),
            ("\"C: used\"=5", &[("C: used", "5")]),
            ("''=5 a=1", &[("a", "1")]),
            ("'open a=1 b=2", &[("a", "1"), ("b", "2")]),
            ("'tis a=1 'b c'=2", &[("a", "1"), ("b c", "2")]),
            ("'a'", &[]),
            ("'", &[]),
            ("'a'=", &[("a", "")]),
        ] {
            assert_eq!(metrics(perfdata), pairs(expected), "{perfdata}");
        }
    }

    #[test]
    fn joined_output() {
        let perfdata = "a=1\tb=2 c=3  d=4 long | e=5 more text|f=6";
        let expected = [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("e", "5"), ("f", "6")];
        assert_eq!(metrics(perfdata), pairs(&expected));
    }

    #[test]
    fn unclosed_quotes_cost_a_bounded_amount() {
        let hostile = "'x ''".repeat(13_000);
        let start = std::time::Instant::now();
        assert!(metrics(&hostile).is_empty());
        assert!(start.elapsed() < std::time::Duration::from_secs(2));
    }
}
