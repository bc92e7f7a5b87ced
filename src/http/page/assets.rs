//! The files beside the markup. Their names hold a digest of what is in them,
//! so that a browser may keep them for good.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::{Fault, Path};
use crate::http::problem::Problem;

struct Asset {
    stem: &'static str,
    kind: &'static str,
    mime: &'static str,
    text: &'static str,
}

const STYLE: Asset = Asset {
    stem: "style",
    kind: "css",
    mime: "text/css; charset=utf-8",
    text: include_str!("style.css"),
};
const SCRIPT: Asset = Asset {
    stem: "script",
    kind: "js",
    mime: "text/javascript; charset=utf-8",
    text: include_str!("script.js"),
};
const ICON: Asset = Asset {
    stem: "icon",
    kind: "svg",
    mime: "image/svg+xml; charset=utf-8",
    text: include_str!("icon.svg"),
};

impl Asset {
    fn name(&self) -> String {
        let digest = Sha256::digest(self.text);
        let head: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("{}.{head}.{}", self.stem, self.kind)
    }
}

/// Where each is found.
pub(super) struct Names {
    pub(super) style: String,
    pub(super) script: String,
    pub(super) icon: String,
}

pub(super) static NAMES: LazyLock<Names> =
    LazyLock::new(|| Names { style: STYLE.name(), script: SCRIPT.name(), icon: ICON.name() });

pub(super) async fn asset(Path(name): Path<String>) -> Result<Response, Fault> {
    let asset = match name {
        name if name == NAMES.style => STYLE,
        name if name == NAMES.script => SCRIPT,
        name if name == NAMES.icon => ICON,
        _ => return Err(Problem::not_found("this version of the page has no such file").into()),
    };
    let headers = [
        (header::CONTENT_TYPE, asset.mime),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Ok((headers, asset.text).into_response())
}
