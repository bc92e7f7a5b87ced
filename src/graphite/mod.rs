//! The client of Graphite's render API.
