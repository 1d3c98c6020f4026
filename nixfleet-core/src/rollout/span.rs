//! Who waits for what in a simulation, and for how long.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::state::{Rollout, Wait};
use crate::ids::HostId;
use crate::time::Timestamp;

/// A time in which one host waits for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitSpan {
    /// The host.
    pub host: HostId,
    /// Since when.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// Why, as it was said at the beginning.
    pub wait: Wait,
}

/// Notes who waits for what, and since when.
#[derive(Default)]
pub(crate) struct Waits {
    open: BTreeMap<HostId, (Timestamp, Wait)>,
    spans: Vec<WaitSpan>,
    last: Timestamp,
}

impl Waits {
    /// A rollout was looked at.
    pub(crate) fn look_at(&mut self, rollout: &Rollout, now: Timestamp) {
        self.last = now;
        for (host, run) in &rollout.hosts {
            let known = self.open.get(host).map(|(_, wait)| wait.code);
            if known == run.wait.as_ref().map(|wait| wait.code) {
                continue;
            }
            self.close(host);
            if let Some(wait) = &run.wait {
                self.open.insert(host.clone(), (now, wait.clone()));
            }
        }
    }

    /// A wait that ends at the moment at which it began is none.
    fn close(&mut self, host: &HostId) {
        let to = self.last;
        if let Some((from, wait)) = self.open.remove(host).filter(|(from, _)| *from < to) {
            let host = host.clone();
            self.spans.push(WaitSpan {
                host,
                from,
                to,
                wait,
            });
        }
    }

    /// All of them, in the order in which they began.
    pub(crate) fn over(mut self) -> Vec<WaitSpan> {
        let open: Vec<HostId> = self.open.keys().cloned().collect();
        for host in &open {
            self.close(host);
        }
        // Stable: those of one host stay in order.
        self.spans
            .sort_by(|one, other| (one.from, &one.host).cmp(&(other.from, &other.host)));
        self.spans
    }
}
