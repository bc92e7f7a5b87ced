//! Who used how much, for any window, exact to the second.
//!
//! The ledger's segments lie in memory as compact columns. Before each answer
//! a refresh lays the rows that changed in the store over a copy that shares
//! all the rest, and publishes it whole; whoever is reading keeps what he began
//! with.

mod answer;
mod batch;
mod board;
mod by_name;
mod chunk;
mod columns;
mod days;
mod draft;
mod error;
mod instances;
mod names;
mod query;
mod refresher;
mod scan;
mod selection;
mod sums;

pub use batch::Batch;
pub use board::{Rhythms, Usage};
pub use columns::Columns;
pub use draft::Draft;
pub use error::Error;
pub use query::{Filter, Gap, Group, GroupBy, Order, Query, Report, TooManyDays};
pub use refresher::Refresher;
