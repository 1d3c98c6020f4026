//! Attentions: what a person should know beside a status, never instead of one (spec 01).

use serde::{Deserialize, Serialize};

use crate::compartment::render::text::clean;
use crate::compartment::{Compartment, Situation};
use crate::desired::Remote;
use crate::host::{DeployOutcome, Presence, TestVerdict};
use crate::time::Timestamp;

/// The most names of failed units that an attention carries.
pub const MAX_UNITS: usize = 16;

/// What a person should know beside the statuses. On the wire: an object with a `code` and the
/// parameters; texts in it have no control characters and are bounded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Attention {
    /// An update pull request waits to be merged.
    UpdatePending {
        /// Its number.
        pr: u64,
    },
    /// The booted kernel is not the current one.
    RebootRequired,
    /// The last deployment failed.
    LastDeployFailed,
    /// Units failed.
    Degraded {
        /// The first [`MAX_UNITS`] of them.
        units: Vec<String>,
        /// How many failed in all.
        total: u32,
    },
    /// The last test run failed or was stopped.
    LastTestsFailed {
        /// Number of failed tests.
        failed: u32,
    },
    /// The checkout has local changes.
    WorktreeDirty,
    /// The tracked branch was rewritten.
    RemoteRewritten,
    /// The agent is not connected; the values are the last known ones.
    Offline {
        /// When it was last heard of.
        since: Timestamp,
    },
    /// Automation keeps away from the host.
    Held {
        /// Who placed the hold.
        by: String,
        /// Why.
        why: String,
        /// When it ends by itself.
        until: Option<Timestamp>,
    },
    /// The last reading of the remote failed; the last good one is still in force.
    RemoteStale {
        /// When the remote was last read.
        verified_at: Option<Timestamp>,
    },
    /// Automation gave up on the host.
    Quarantined,
    /// Two machines claim to be this host.
    IdentityConflict,
}

impl Attention {
    /// The compartment it is shown at; `None` for the host as a whole.
    #[must_use]
    pub const fn compartment(&self) -> Option<Compartment> {
        match self {
            Attention::UpdatePending { .. } => Some(Compartment::Lock),
            Attention::RebootRequired
            | Attention::LastDeployFailed
            | Attention::Degraded { .. } => Some(Compartment::System),
            Attention::LastTestsFailed { .. } => Some(Compartment::Tests),
            Attention::WorktreeDirty | Attention::RemoteRewritten => Some(Compartment::Git),
            Attention::Offline { .. }
            | Attention::Held { .. }
            | Attention::RemoteStale { .. }
            | Attention::Quarantined
            | Attention::IdentityConflict => None,
        }
    }
}

/// Every attention of a host, in the order of [`Attention`].
#[must_use]
pub fn collect(situation: &Situation<'_>) -> Vec<Attention> {
    let mut found = Vec::new();
    if let Some(pr) = &situation.desired.pending_pr {
        found.push(Attention::UpdatePending { pr: pr.number });
    }
    let running = situation.observation.system.as_ref();
    if running.is_some_and(|system| system.reboot_required) {
        found.push(Attention::RebootRequired);
    }
    if situation.deploy.outcome == DeployOutcome::Failed {
        found.push(Attention::LastDeployFailed);
    }
    found.extend(degraded(situation));
    found.extend(tests_failed(situation));
    if situation.observation.repo.is_some_and(|repo| repo.dirty) {
        found.push(Attention::WorktreeDirty);
    }
    let last_known = situation.desired.remote.last_known();
    if last_known.is_some_and(|snapshot| snapshot.rewritten) {
        found.push(Attention::RemoteRewritten);
    }
    if let Presence::Offline { since } = situation.presence {
        found.push(Attention::Offline { since });
    }
    if let Some(hold) = situation.hold {
        found.push(Attention::Held {
            by: clean(&hold.by, 80),
            why: clean(&hold.why, 200),
            until: hold.until,
        });
    }
    let verified = matches!(situation.desired.remote, Remote::Verified(_));
    if situation.remote_in_grace && verified {
        found.push(Attention::RemoteStale {
            verified_at: situation.desired.verified_at,
        });
    }
    if situation.quarantined {
        found.push(Attention::Quarantined);
    }
    if situation.identity_conflict {
        found.push(Attention::IdentityConflict);
    }
    found
}

fn degraded(situation: &Situation<'_>) -> Option<Attention> {
    let units = situation.observation.failed_units.as_deref()?;
    if units.is_empty() {
        return None;
    }
    let named = units.iter().take(MAX_UNITS).map(|unit| clean(unit, 128));
    Some(Attention::Degraded {
        units: named.collect(),
        total: count(units.len()),
    })
}

fn tests_failed(situation: &Situation<'_>) -> Option<Attention> {
    let tests = situation.tests.filter(|_| situation.tests_enabled)?;
    let failed = match tests.verdict {
        TestVerdict::Fail | TestVerdict::Stopped => true,
        TestVerdict::Pass | TestVerdict::Empty => !tests.failed.is_empty(),
        TestVerdict::Void => false,
    };
    failed.then(|| Attention::LastTestsFailed {
        failed: count(tests.failed.len()),
    })
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
