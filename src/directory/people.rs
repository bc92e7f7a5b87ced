use std::collections::HashMap;
use std::time::Duration;

use ldap3::ldap_escape;
use tokio::time::Instant;

use super::config::Config;
use super::error::Error;
use super::group::{Members, values};
use super::session::{Ending, Server, Session};

/// The names of one look-up, asked for over one connection.
pub(super) struct Round<'a> {
    session: Session<'a>,
    config: &'a Config,
    staff: Members,
}

impl<'a> Round<'a> {
    pub(super) async fn open(server: &'a Server, config: &'a Config) -> Result<Self, Error> {
        let mut session = Session::open(server, config).await?;
        let staff = Members::read(&mut session, config).await?;
        Ok(Self { session, config, staff })
    }

    /// What was answered before the time was up or the directory went away.
    pub(super) async fn ask(
        mut self,
        names: &[String],
        time: Duration,
    ) -> Result<HashMap<String, bool>, Error> {
        let deadline = Instant::now() + time;
        let mut known = HashMap::with_capacity(names.len());
        for name in names {
            if Instant::now() > deadline {
                tracing::warn!(
                    answered = known.len(),
                    asked = names.len(),
                    "the directory is slow: the others stay as they were until the next look-up"
                );
                break;
            }
            match self.is_staff(name).await {
                Ok(Some(staff)) => drop(known.insert(name.clone(), staff)),
                Ok(None) => (),
                Err(fault) if known.is_empty() => return Err(fault),
                Err(fault) => {
                    tracing::warn!(
                        answered = known.len(),
                        asked = names.len(),
                        fault = &fault as &dyn std::error::Error,
                        "a look-up of people broke off: the others stay as they were"
                    );
                    break;
                }
            }
        }
        Ok(known)
    }

    /// Nothing where the directory leaves it open.
    async fn is_staff(&mut self, name: &str) -> Result<Option<bool>, Error> {
        const MAX_BYTES: usize = 256;
        if name.is_empty() || name.len() > MAX_BYTES || name.contains('\0') {
            return Ok(None);
        }
        let attribute = &self.config.user_attribute;
        let filter = format!("({attribute}={})", ldap_escape(name));
        // Names that differ in case or spaces only are one to the directory.
        const LIMIT: i32 = 16;
        let base = &self.config.people_base;
        let ending = self.session.search(base, &filter, &[attribute], LIMIT).await?;
        let Ending::Whole(found) = ending else { return Ok(None) };
        let mut unnamed = false;
        let mut own = Vec::new();
        for entry in &found.entries {
            let mut values = values(entry, attribute).peekable();
            unnamed |= values.peek().is_none();
            if values.any(|value| value == name.as_bytes()) {
                own.push(entry);
            }
        }
        Ok(match own.as_slice() {
            [entry] => Some(self.staff.contain(name, &entry.dn)),
            // Whoever it is may be on another server, or may not show a name.
            [] if found.elsewhere || unnamed => None,
            [] => Some(false),
            _ => None,
        })
    }
}
