//! Groups that have a name: users, clouds, flavors.

use std::collections::HashMap;
use std::sync::Arc;

use super::chunk::{Row, Rows};
use super::columns::Columns;
use super::instances::Distinct;
use super::names::{Label, Names, Shape};
use super::query::Group;
use super::scan::{Piece, Tally, scan};
use super::selection::{Counts, Selection};
use super::sums::Sums;

pub(super) fn by_user(
    columns: &Columns,
    selection: &Selection,
    start: i64,
    end: i64,
) -> Vec<Group> {
    let users = columns.users();
    let mut tally =
        ByNumber::new(columns, selection, users.groups(), Row::user, |piece| piece.user);
    scan(columns, start, end, &mut tally);
    tally.groups(|number| {
        let Label { name, is_staff } = users.label(number);
        (Arc::clone(name), Some(*is_staff))
    })
}

/// `table`: the one whose names make the groups, and its number in a shape.
pub(super) fn by_shape(
    columns: &Columns,
    selection: &Selection,
    start: i64,
    end: i64,
    table: (&Names, fn(&Shape) -> u32),
) -> Vec<Group> {
    let (names, part) = table;
    let name = |shape: &Shape| &names.label(part(shape)).name;
    let mut known = HashMap::new();
    let numbers: Vec<u32> = (0..)
        .zip(columns.shapes())
        .map(|(number, shape)| *known.entry(name(shape)).or_insert(number))
        .collect();
    let mut tally = ByNumber::new(columns, selection, &numbers, Row::shape, |piece| piece.shape);
    scan(columns, start, end, &mut tally);
    tally.groups(|number| (Arc::clone(name(&columns.shapes()[number as usize])), None))
}

/// Sums up by what has one number, and joins those of one group in the end.
struct ByNumber<'a, R, P> {
    selection: &'a Selection,
    /// By number: the one that stands for its group.
    groups: &'a [u32],
    of_row: R,
    of_piece: P,
    sums: Sums,
    distinct: Distinct<'a>,
    /// The rows of a block whose users the filter leaves in.
    picked: Vec<Row>,
}

impl<'a, R: Fn(&Row) -> u32, P: Fn(&Piece) -> u32> ByNumber<'a, R, P> {
    fn new(
        columns: &'a Columns,
        selection: &'a Selection,
        groups: &'a [u32],
        of_row: R,
        of_piece: P,
    ) -> Self {
        let (sums, picked) = (Sums::new(groups.len()), Vec::new());
        let distinct = Distinct::new(columns.instances(), groups);
        Self { selection, groups, of_row, of_piece, sums, distinct, picked }
    }

    fn add_rows(&mut self, Rows { rows, instances }: Rows<'_>, start: u32, end: u32) {
        let (rates, window, distinct) = (self.selection.rates(), (start, end), &mut self.distinct);
        // Nearly always so, and then there is nothing to look up for each row.
        if distinct.are_alone(instances) {
            return self.sums.add_rows(rows, window, rates, &self.of_row, |_, _| true);
        }
        self.sums.add_rows(rows, window, rates, &self.of_row, |row, number| {
            distinct.is_new(row.instance.into(), number)
        });
    }

    fn groups(mut self, label: impl Fn(u32) -> (Arc<str>, Option<bool>)) -> Vec<Group> {
        self.sums.join(self.groups);
        for group in self.distinct.others() {
            self.sums.count(group);
        }
        let used = self.sums.used();
        used.into_iter()
            .map(|number| {
                let (name, is_staff) = label(number);
                self.sums.take(number).group(name, is_staff)
            })
            .collect()
    }
}

impl<R: Fn(&Row) -> u32, P: Fn(&Piece) -> u32> Tally for ByNumber<'_, R, P> {
    fn rows(&mut self, rows: Rows<'_>, start: u32, end: u32) {
        if self.selection.picks_users() {
            let mut picked = std::mem::take(&mut self.picked);
            picked.clear();
            picked.extend(rows.rows.iter().filter(|row| self.selection.has_user(row.user())));
            self.add_rows(Rows { rows: &picked, ..rows }, start, end);
            self.picked = picked;
        } else {
            self.add_rows(rows, start, end);
        }
    }

    fn piece(&mut self, piece: &Piece) {
        let rate = self.selection.rate(piece.user, piece.shape);
        if rate.counts != Counts::Not {
            let number = (self.of_piece)(piece);
            self.sums.add_wide(number, piece.seconds(), rate);
            if self.distinct.is_new(piece.instance, number) {
                self.sums.count(number);
            }
        }
    }
}
