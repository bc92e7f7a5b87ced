//! For fuzzing only: what reads a cloud's answers, given any bytes.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use super::config::Config;
use super::record::Reader;
use super::{actions, answers, flavors, names};
use crate::providers::http::Answer;

/// A body, as that of every kind of answer.
pub fn body(bytes: &[u8]) {
    let reader = Reader::new(&Config::default());
    if let Ok(page) = reader.page(bytes) {
        // A record takes more than an id's few bytes.
        assert!(page.items.len() <= bytes.len() / 8);
    }
    let single = reader.single(bytes);
    drop(single);
    if let Ok(page) = actions::page(bytes) {
        let dated = page.items.iter().filter_map(actions::Action::at).count();
        assert!(dated <= bytes.len() / 8);
    }
    drop((flavors::page(bytes), names::page(bytes)));
    for status in [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND, StatusCode::UNAUTHORIZED] {
        let answer = Answer { status, headers: HeaderMap::new(), body: bytes.to_vec() };
        answers::is_not_found(&answer);
        answers::is_lost_marker(&answer);
        let told = answers::refusal(&answer, "servers", &[]).to_string();
        assert!(!told.chars().any(char::is_control), "{told:?}");
    }
}
