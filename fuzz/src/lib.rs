//! What the fuzz targets have in common.

#![forbid(unsafe_code)]

pub mod bound;
