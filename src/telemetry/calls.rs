use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// How many calls a door had and how long they took, by method and outcome.
/// Clones count together.
#[derive(Clone)]
pub struct Calls {
    took: Family<CallLabels, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    method: &'static str,
    outcome: &'static str,
}

/// From what memory answers to what a slow disk or Graphite takes.
const SECONDS: [f64; 12] =
    [0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0];

impl Calls {
    /// `method` is one of ours, never a caller's text: each is kept for good.
    pub fn note(&self, method: &'static str, succeeded: bool, took: Duration) {
        let outcome = if succeeded { "ok" } else { "error" };
        self.took.get_or_create(&CallLabels { method, outcome }).observe(took.as_secs_f64());
    }

    pub fn register(&self, registry: &mut Registry, name: &str, help: &str) {
        registry.register(name, help, self.took.clone());
    }
}

impl Default for Calls {
    fn default() -> Self {
        Self { took: Family::new_with_constructor(|| Histogram::new(SECONDS)) }
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Calls")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;

    #[test]
    fn calls_are_counted_by_method_and_outcome() {
        let calls = Calls::default();
        calls.note("set_hosts", true, Duration::from_millis(2));
        calls.clone().note("set_hosts", false, Duration::from_secs(100));
        let mut registry = Registry::default();
        calls.register(&mut registry, "calls_seconds", "Calls");
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "calls_seconds_bucket{le=\"0.003\",method=\"set_hosts\",outcome=\"ok\"} 1",
            "calls_seconds_bucket{le=\"60.0\",method=\"set_hosts\",outcome=\"error\"} 0",
            "calls_seconds_count{method=\"set_hosts\",outcome=\"error\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
