//! For fuzzing only: what reads EC2's answers, given any bytes.

use reqwest::header::HeaderMap;
use reqwest::{StatusCode, Url};

use super::answer;
use super::api::Told;
use super::config::Config;
use super::walk::Shown;
use crate::providers::http::Answer;

/// A body, as that of an answer and of a refusal.
pub fn body(bytes: &[u8]) {
    let Ok(url) = Url::parse("http://127.0.0.1:1/") else { return };
    for status in [StatusCode::OK, StatusCode::BAD_REQUEST, StatusCode::SERVICE_UNAVAILABLE] {
        let answer = Answer { status, headers: HeaderMap::new(), body: bytes.to_vec() };
        match answer::read(&answer, "DescribeInstances", &url) {
            Ok(document) => {
                let mut shown = Shown::default();
                let told = Told { document, at: 1_795_348_800 };
                if shown.take(&told, &Config::default()).is_ok() {
                    assert!(shown.records.len() + shown.skipped.len() <= bytes.len() / 8);
                }
            }
            Err(fault) => {
                answer::refusal(&fault);
                let told = crate::telemetry::sentence(&fault);
                assert!(!told.chars().any(char::is_control), "{told:?}");
            }
        }
    }
}
