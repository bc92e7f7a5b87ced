//! What Nagios last saw of a host.

/// How Nagios's own check of a host ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostState {
    /// Not checked yet.
    #[default]
    Pending,
    Up,
    Down,
    /// What stands between it and Nagios is down.
    Unreachable,
}

impl HostState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Up => "up",
            Self::Down => "down",
            Self::Unreachable => "unreachable",
        }
    }
}

/// In the order of a plugin's exit codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceState {
    /// Not checked yet.
    #[default]
    Pending,
    Ok,
    Warning,
    Critical,
    Unknown,
}

impl ServiceState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        }
    }
}

/// One host and its services. What plugins wrote is one line each, without
/// control characters and not long; it is a tenant's text all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostSeen {
    pub state: HostState,
    /// UTC seconds; None: not checked yet.
    pub last_check: Option<i64>,
    pub output: String,
    /// Has its last result performance data?
    pub measured: bool,
    /// Sorted by description.
    pub services: Vec<ServiceSeen>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceSeen {
    pub description: String,
    pub state: ServiceState,
    /// UTC seconds; None: not checked yet.
    pub last_check: Option<i64>,
    /// When a check last ended OK.
    pub last_ok: Option<i64>,
    pub output: String,
    pub measured: bool,
}

/// One host of many, at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub host: HostState,
    pub services: ServiceCounts,
}

/// How many services are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceCounts {
    pub pending: u32,
    pub ok: u32,
    pub warning: u32,
    pub critical: u32,
    pub unknown: u32,
}

impl ServiceCounts {
    pub fn add(&mut self, state: ServiceState) {
        let count = match state {
            ServiceState::Pending => &mut self.pending,
            ServiceState::Ok => &mut self.ok,
            ServiceState::Warning => &mut self.warning,
            ServiceState::Critical => &mut self.critical,
            ServiceState::Unknown => &mut self.unknown,
        };
        *count = count.saturating_add(1);
    }
}

impl Standing {
    /// Something of it was checked, and was not as it should be.
    pub fn is_trouble(&self) -> bool {
        let ServiceCounts { warning, critical, unknown, .. } = self.services;
        matches!(self.host, HostState::Down | HostState::Unreachable)
            || [warning, critical, unknown].into_iter().any(|count| count > 0)
    }
}
