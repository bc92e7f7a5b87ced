//! A request as the cloud understands it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Request;

/// A request, taken apart.
pub(super) struct Asked<'a> {
    pub(super) request: &'a Request,
    pub(super) method: &'a str,
    pub(super) path: Vec<&'a str>,
    pub(super) query: BTreeMap<String, String>,
    /// The query as it came.
    pub(super) raw: &'a str,
    pub(super) base: String,
}

impl<'a> Asked<'a> {
    pub(super) fn of(request: &'a Request, link_base: Option<&String>) -> Self {
        let mut line = request.line.split(' ');
        let (method, target) = (line.next().unwrap(), line.next().unwrap());
        let (path, raw) = target.split_once('?').unwrap_or((target, ""));
        let url: reqwest::Url = format!("http://x{target}").parse().unwrap();
        let query = url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
        let here = || format!("http://{}", request.header("host").unwrap_or_default());
        Self {
            request,
            method,
            path: path.split('/').filter(|part| !part.is_empty()).collect(),
            query,
            raw,
            base: link_base.cloned().unwrap_or_else(here),
        }
    }

    /// The same question with another marker.
    pub(super) fn link(&self, marker: &str) -> Value {
        let kept =
            self.raw.split('&').filter(|part| !part.is_empty() && !part.starts_with("marker="));
        let query: Vec<_> = kept.map(str::to_owned).chain([format!("marker={marker}")]).collect();
        let href = format!("{}/{}?{}", self.base, self.path.join("/"), query.join("&"));
        json!([{"rel": "next", "href": href}])
    }
}
