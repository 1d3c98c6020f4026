//! Load and last sign of life of hosts: kept beside the fleet, never stored with it, told to
//! browsers in one batch at most once a second (spec 04).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nixfleet_core::sync::Telemetry as Row;
use nixfleet_core::wire::agent::Metrics;
use nixfleet_core::{HostId, Timestamp};

/// The latest telemetry of every host.
#[derive(Debug, Default)]
pub struct Telemetry(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    rows: BTreeMap<HostId, Row>,
    /// Hosts that were heard of since the last batch.
    fresh: BTreeSet<HostId>,
}

impl Telemetry {
    /// Notes a sign of life; a message without metrics leaves the last ones.
    pub fn note(&self, host: &HostId, at: Timestamp, metrics: Option<Metrics>) {
        let mut state = self.state();
        let row = state.rows.entry(host.clone()).or_insert_with(|| Row {
            id: host.clone(),
            last_seen: at,
            metrics: None,
        });
        row.last_seen = row.last_seen.max(at);
        row.metrics = metrics.or(row.metrics);
        state.fresh.insert(host.clone());
    }

    /// What is known of a host.
    #[must_use]
    pub fn of(&self, host: &HostId) -> Option<Row> {
        self.state().rows.get(host).cloned()
    }

    /// What is known of every host.
    #[must_use]
    pub fn all(&self) -> Vec<Row> {
        self.state().rows.values().cloned().collect()
    }

    /// The hosts that were heard of since the last call.
    #[must_use]
    pub fn take_fresh(&self) -> Vec<Row> {
        let mut state = self.state();
        let fresh = std::mem::take(&mut state.fresh);
        let rows = fresh.iter().filter_map(|host| state.rows.get(host));
        rows.cloned().collect()
    }

    /// Forgets a removed host.
    pub fn forget(&self, host: &HostId) {
        let mut state = self.state();
        state.rows.remove(host);
        state.fresh.remove(host);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_each_host_once_and_only_those_heard_of() {
        let telemetry = Telemetry::default();
        let [a, b] = ["a", "b"].map(|id| id.parse::<HostId>().unwrap());
        let load = Metrics {
            cpu: 5.0,
            ..Metrics::default()
        };
        telemetry.note(&a, Timestamp::from_seconds(1), Some(load));
        telemetry.note(&a, Timestamp::from_seconds(2), None);
        telemetry.note(&b, Timestamp::from_seconds(2), None);
        let batch = telemetry.take_fresh();
        assert_eq!(batch.len(), 2);
        assert_eq!(batch[0].last_seen, Timestamp::from_seconds(2));
        assert_eq!(batch[0].metrics, Some(load), "silence is not zero");
        assert!(telemetry.take_fresh().is_empty());
        telemetry.forget(&a);
        assert!(telemetry.of(&a).is_none() && telemetry.of(&b).is_some());
    }
}
