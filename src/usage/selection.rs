use super::columns::Columns;
use super::names::Names;
use super::query::Filter;

/// What a second of a segment counts for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    Known,
    /// For uptime, but its vCPUs are unknown.
    Unknown,
    /// For nothing: the filter leaves it out.
    Not,
}

#[derive(Clone, Copy)]
pub(super) struct Rate {
    /// 0 unless known.
    pub(super) vcpus: u32,
    pub(super) counts: Counts,
}

/// What a filter leaves in.
pub(super) struct Selection {
    /// By number; absent: everybody.
    users: Option<Vec<bool>>,
    /// By number.
    rates: Vec<Rate>,
}

impl Selection {
    pub(super) fn new(columns: &Columns, filter: &Filter) -> Self {
        let named = |names: &Names, number: u32, wanted: &Option<Box<str>>| {
            wanted.as_deref().is_none_or(|wanted| *names.label(number).name == *wanted)
        };
        let users = (filter.user.is_some() || filter.staff.is_some()).then(|| {
            let names = columns.users();
            let wanted = |number| {
                let is_staff = names.label(number).is_staff;
                named(names, number, &filter.user)
                    && filter.staff.is_none_or(|staff| is_staff == staff)
            };
            (0..names.len()).map(wanted).collect()
        });
        let rates = columns.shapes().iter().map(|shape| {
            let wanted = named(columns.clouds(), shape.cloud, &filter.cloud)
                && named(columns.flavors(), shape.flavor, &filter.flavor);
            match (wanted, shape.vcpus) {
                (true, Some(vcpus)) => Rate { vcpus, counts: Counts::Known },
                (true, None) => Rate { vcpus: 0, counts: Counts::Unknown },
                (false, _) => Rate { vcpus: 0, counts: Counts::Not },
            }
        });
        let rates = rates.collect();
        Self { users, rates }
    }

    pub(super) fn picks_users(&self) -> bool {
        self.users.is_some()
    }

    #[inline]
    pub(super) fn has_user(&self, user: u32) -> bool {
        let Some(users) = &self.users else { return true };
        users.get(user as usize).is_some_and(|wanted| *wanted)
    }

    /// By the shape's number.
    pub(super) fn rates(&self) -> &[Rate] {
        &self.rates
    }

    #[inline]
    pub(super) fn rate(&self, user: u32, shape: u32) -> Rate {
        let rate = self.rates.get(shape as usize).filter(|_| self.has_user(user));
        rate.copied().unwrap_or(Rate { vcpus: 0, counts: Counts::Not })
    }
}
