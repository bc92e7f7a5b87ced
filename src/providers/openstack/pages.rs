use std::collections::HashSet;

use reqwest::Url;

use super::answers;
use super::session::{Poll, Session};
use crate::providers::{Blame, Error};

/// One page of a list, and the link to the next.
pub(super) struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

pub(super) type Read<T> = dyn Fn(&[u8]) -> serde_json::Result<Page<T>> + Send + Sync;

/// A list that is read to its end.
pub(super) struct List<'a> {
    pub session: &'a Session,
    pub poll: &'a Poll,
    /// Its first page.
    pub start: Url,
    pub version: Option<&'a str>,
    /// As an error names it.
    pub what: &'a str,
    pub max_pages: usize,
}

/// How a list ended.
#[derive(Debug)]
pub(super) enum End {
    /// As it should, or when enough was read.
    Whole,
    /// The cloud does not know where we were in it.
    LostMarker,
    /// There is no such list.
    Absent,
    /// It is not for this user.
    Forbidden(Error),
}

/// The way through a list's pages.
struct Way {
    start: Url,
    seen: HashSet<String>,
}

impl List<'_> {
    /// Every page in turn, until there is no next link (a full last page still
    /// has one) or `take` has enough.
    pub(super) async fn walk<T: Send + 'static>(
        &self,
        read: &std::sync::Arc<Read<T>>,
        mut take: impl FnMut(Vec<T>) -> Result<bool, Error> + Send,
    ) -> Result<End, Error> {
        let mut way = Way { start: self.start.clone(), seen: HashSet::new() };
        let mut url = self.start.clone();
        for page in 0..self.max_pages {
            let answer = self.session.get(self.poll, &url, self.version, self.what).await?;
            if page > 0 && answers::is_lost_marker(&answer) {
                return Ok(End::LostMarker);
            }
            if page == 0 && answers::is_not_found(&answer) {
                return Ok(End::Absent);
            }
            if !answer.status.is_success() {
                let refusal = self.session.refusal(&answer, self.what).await;
                return match answer.status.as_u16() {
                    403 => Ok(End::Forbidden(refusal)),
                    _ => Err(refusal),
                };
            }
            let page = self.read(read, answer.body).await?;
            let more = take(page.items)?;
            match page.next {
                Some(link) if more => url = way.follow(&link, self.what)?,
                _ => return Ok(End::Whole),
            }
        }
        Err(Error::new(
            Blame::Trouble,
            format!(
                "the cloud's list of {} has more than max_pages ({}) pages; raise it if that is right",
                self.what, self.max_pages
            ),
        ))
    }

    async fn read<T: Send + 'static>(
        &self,
        read: &std::sync::Arc<Read<T>>,
        body: Vec<u8>,
    ) -> Result<Page<T>, Error> {
        /// About a millisecond's work.
        const LONG_BYTES: usize = 256 * 1024;
        let page = if body.len() < LONG_BYTES {
            read(&body)
        } else {
            let read = std::sync::Arc::clone(read);
            tokio::task::spawn_blocking(move || read(&body)).await.map_err(|source| {
                Error::new(Blame::Trouble, "the work on a page was cut short").because(source)
            })?
        };
        page.map_err(|source| answers::malformed(self.what, source))
    }
}

impl Way {
    /// Where a next link leads: always to the list itself. Behind a proxy a
    /// link may come with another scheme, port or path, so only its query is
    /// taken; one to another host is refused.
    fn follow(&mut self, link: &str, what: &str) -> Result<Url, Error> {
        let fault = |reason: &str| {
            Error::new(Blame::Trouble, format!("the next link in the list of {what} {reason}"))
        };
        let link = self.start.join(link).map_err(|_| fault("is not a URL"))?;
        if link.host_str() != self.start.host_str() {
            return Err(fault("leads to another host"));
        }
        let query = link.query().unwrap_or_default().to_owned();
        let mut next = self.start.clone();
        next.set_query(Some(&query));
        if next == self.start || !self.seen.insert(query) {
            return Err(fault("leads in a circle"));
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        let start: Url = "https://h:1/compute/v2.1/servers/detail?all_tenants=1".parse().unwrap();
        let mut way = Way { start: start.clone(), seen: HashSet::new() };
        let next = way.follow("http://h:2/servers/detail?all_tenants=1&marker=a", "x").unwrap();
        assert_eq!(next.as_str(), "https://h:1/compute/v2.1/servers/detail?all_tenants=1&marker=a");
        let next = way.follow("?marker=b", "x").unwrap();
        assert_eq!(next.as_str(), "https://h:1/compute/v2.1/servers/detail?marker=b");
        let seen = "?all_tenants=1&marker=a";
        for bad in ["https://other:1/?marker=c", seen, start.as_str(), "http://", "//o/"] {
            assert!(way.follow(bad, "x").is_err(), "{bad}");
        }
    }
}
