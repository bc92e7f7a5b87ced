//! Tables for people.

use comfy_table::{ContentArrangement, Table};

/// Rows under a heading, without lines.
pub fn table<const N: usize>(
    heading: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table
        .load_preset(comfy_table::presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(heading);
    for row in rows {
        table.add_row(row.map(|cell| printable(&cell)));
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim().to_owned()).collect();
    lines.join("\n")
}

/// What a terminal would act on becomes a space.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_cannot_move_the_cursor() {
        let shown = table(["ID", "NAME"], [["a".into(), "x\u{1b}[2Jy\n".into()]]);
        assert_eq!(shown.lines().count(), 2);
        assert!(!shown.contains('\u{1b}'));
    }
}
