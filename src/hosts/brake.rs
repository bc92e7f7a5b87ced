//! The brake: how much of a source's set may vanish at once. Pure.

use serde::Deserialize;

/// Both limits must be passed to hold a change; an emptying always holds.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct BrakeConfig {
    pub max_removed_percent: u32,
    pub max_removed_hosts: u32,
    /// Whether the callers of the Thrift door are held too.
    pub rpc: bool,
}

impl Default for BrakeConfig {
    fn default() -> Self {
        Self { max_removed_percent: 20, max_removed_hosts: 5, rpc: false }
    }
}

impl BrakeConfig {
    /// Every fault, as (key, reason).
    pub fn check(&self) -> Vec<(&'static str, String)> {
        if self.max_removed_percent <= 100 {
            Vec::new()
        } else {
            let reason = format!("{} is more than 100 percent", self.max_removed_percent);
            vec![("max_removed_percent", reason)]
        }
    }

    /// Whether taking `removed` of `current` hosts away is to be held.
    pub fn holds(&self, removed: usize, current: usize) -> bool {
        let emptied = current > 0 && removed == current;
        let over_count = removed > self.max_removed_hosts as usize;
        let over_share =
            removed as u128 * 100 > current as u128 * u128::from(self.max_removed_percent);
        emptied || (over_count && over_share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_must_be_passed() {
        let brake = BrakeConfig::default();
        assert!(!brake.holds(5, 10), "five hosts are never too many");
        assert!(brake.holds(6, 10));
        assert!(!brake.holds(20, 100), "a fifth is not too much");
        assert!(brake.holds(21, 100));
        assert!(!brake.holds(0, 0));
        assert!(!brake.holds(0, 10));
    }

    #[test]
    fn an_emptying_always_holds() {
        let lax = BrakeConfig { max_removed_percent: 100, max_removed_hosts: 1000, rpc: false };
        assert!(lax.holds(1, 1));
        assert!(lax.holds(10, 10));
        assert!(!lax.holds(9, 10));
    }
}
