//! Bars beside a table's rows, where the terminal has room for them.

use std::io::IsTerminal;

/// What a terminal can show.
pub struct Screen {
    pub width: usize,
    /// Draws in characters beyond ASCII.
    pub unicode: bool,
    pub colour: bool,
}

const NARROWEST: usize = 8;
const WIDEST: usize = 40;
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

impl Screen {
    /// Absent where stdout is no terminal that can draw.
    #[expect(clippy::disallowed_methods, reason = "cli is the reader of the environment")]
    pub fn of_stdout() -> Option<Self> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if !std::io::stdout().is_terminal() || set("TERM").is_none_or(|term| term == "dumb") {
            return None;
        }
        let width = terminal_size::terminal_size_of(std::io::stdout())
            .map_or(80, |(width, _)| usize::from(width.0));
        // The order in which setlocale(3) looks.
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
        let unicode = locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        // As no-color.org asks.
        Some(Self { width, unicode, colour: set("NO_COLOR").is_none() })
    }
}

/// The table with a bar behind each row: the greatest share fills the room.
/// `table` has a heading and then a line for each share.
pub fn beside(table: &str, shares: &[i64], screen: &Screen) -> String {
    let longest = table.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    let room = screen.width.saturating_sub(longest + 3).min(WIDEST);
    let greatest = shares.iter().copied().max().unwrap_or(0);
    if room < NARROWEST || greatest <= 0 {
        return table.to_owned();
    }
    let mut lines = table.lines();
    let mut drawn: Vec<String> = lines.next().map(str::to_owned).into_iter().collect();
    for (line, share) in lines.zip(shares) {
        let bar = bar(*share, greatest, room, screen.unicode);
        let padding = " ".repeat(longest + 2 - line.chars().count());
        let bar = if screen.colour && !bar.is_empty() {
            format!("\u{1b}[36m{bar}\u{1b}[0m")
        } else {
            bar
        };
        drawn.push(format!("{line}{padding}{bar}").trim_end().to_owned());
    }
    drawn.join("\n")
}

fn bar(share: i64, greatest: i64, room: usize, unicode: bool) -> String {
    let steps = if unicode { 8 } else { 1 };
    let whole = i128::try_from(room * steps).unwrap_or(0);
    let filled = i128::from(share.max(0)) * whole / i128::from(greatest);
    let filled = usize::try_from(filled).unwrap_or(0);
    if !unicode {
        return "#".repeat(filled);
    }
    let mut bar = "█".repeat(filled / 8);
    bar.extend((filled % 8).checked_sub(1).map(|eighth| EIGHTHS[eighth]));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_shares() {
        let table = "USER  CPU\nada   100\nbob    50\ncyd     1\ndee     0";
        let screen = |width, unicode| Screen { width, unicode, colour: false };
        let drawn = beside(table, &[100, 50, 1, 0], &screen(22, false));
        assert_eq!(
            drawn,
            "USER  CPU\nada   100  ##########\nbob    50  #####\ncyd     1\ndee     0"
        );
        let drawn = beside(table, &[100, 50, 7, 0], &screen(20, true));
        assert_eq!(
            drawn,
            "USER  CPU\nada   100  ████████\nbob    50  ████\ncyd     1  ▌\ndee     0"
        );
        assert_eq!(beside(table, &[100, 50, 1, 0], &screen(19, true)), table);
        assert_eq!(beside(table, &[0, 0, 0, 0], &screen(100, true)), table);
        let colours = Screen { colour: true, ..screen(22, false) };
        assert!(
            beside(table, &[i64::MAX, 0, 0, 0], &colours).contains("\u{1b}[36m##########\u{1b}[0m")
        );
    }
}
