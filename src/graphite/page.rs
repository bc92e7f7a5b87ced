//! What came instead of an answer, told in a few words.

const SHOWN_CHARS: usize = 160;

/// `: "..."` with the first words of a page, or nothing where it has none.
pub(super) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut words = String::new();
    let mut count = 0;
    let mut space = false;
    for c in Prose::of(&text) {
        if c.is_whitespace() || c.is_control() {
            space = count > 0;
            continue;
        }
        if count >= SHOWN_CHARS {
            words.push_str("...");
            break;
        }
        if std::mem::take(&mut space) {
            words.push(' ');
            count += 1;
        }
        words.push(if c == '"' { '\'' } else { c });
        count += 1;
    }
    if words.is_empty() { words } else { format!(": \"{words}\"") }
}

/// A page without its tags, styles and scripts. What is not HTML passes whole.
struct Prose<'a> {
    rest: &'a str,
}

impl<'a> Prose<'a> {
    fn of(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// Past the element that begins at `rest`, if it is one of no prose.
    fn skip_element(&mut self) {
        for name in ["style", "script"] {
            let is_it =
                self.rest.get(1..=name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name));
            if is_it {
                let end = self.rest.find("</").unwrap_or(self.rest.len());
                self.rest = &self.rest[end..];
                return;
            }
        }
    }
}

impl Iterator for Prose<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        let tag = c == '<'
            && self.rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c));
        if !tag {
            self.rest = &self.rest[c.len_utf8()..];
            return Some(c);
        }
        self.skip_element();
        let end = self.rest.find('>').map_or(self.rest.len(), |at| at + 1);
        self.rest = &self.rest[end..];
        Some(' ')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_a_page_says() {
        for (page, told) in [
            ("", ""),
            (" \n", ""),
            ("plain  text\n", ": \"plain text\""),
            (
                "<!doctype html><html><head><STYLE>p {}</STYLE><title>Server Error (500)</title></head><body>\n<p>no \"luck\"</p>",
                ": \"Server Error (500) no 'luck'\"",
            ),
            ("<script>if (a<b) {}</script>x", ": \"x\""),
            ("a < b <", ": \"a < b <\""),
            ("<style>never closed", ""),
            ("<p", ""),
            ("\u{1b}[31mred\0", ": \"[31mred\""),
        ] {
            assert_eq!(excerpt(page.as_bytes()), told, "{page:?}");
        }
        assert_eq!(excerpt(b"\x89PNG\r\n"), ": \"\u{fffd}PNG\"");
    }

    #[test]
    fn is_short() {
        assert!(excerpt("x y".repeat(10_000).as_bytes()).chars().count() < SHOWN_CHARS + 10);
        assert!(excerpt("é".repeat(10_000).as_bytes()).chars().count() < SHOWN_CHARS + 10);
    }
}
