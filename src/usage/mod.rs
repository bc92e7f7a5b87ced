//! Who used how much, for any window, exact to the second.
//!
//! The ledger's segments lie in memory as compact columns. A refresh lays the
//! rows that changed in the store over a copy that shares all the rest, and
//! publishes it whole; whoever is reading keeps what he began with.

mod answer;
mod board;
mod by_name;
mod chunk;
mod columns;
mod days;
mod instances;
mod names;
mod query;
mod rows;
mod scan;
mod selection;
mod sums;

pub use board::{Refresh, Usage};
pub use columns::Columns;
pub use query::{Error, Filter, Gap, Group, GroupBy, Order, Query, Report};
pub use rows::{Batch, GapRow, NameRow, SegmentRow, UserRow};
