//! Attentions: what a person should know beside a status, never instead of one (spec 01).

use serde::{Deserialize, Serialize};

use crate::compartment::render::text::clean;
use crate::compartment::{Compartment, Situation};
use crate::desired::{DesiredState, Remote};
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

/// The kind of an [`Attention`], without parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttentionCode {
    /// See [`Attention::UpdatePending`].
    UpdatePending,
    /// See [`Attention::RebootRequired`].
    RebootRequired,
    /// See [`Attention::LastDeployFailed`].
    LastDeployFailed,
    /// See [`Attention::Degraded`].
    Degraded,
    /// See [`Attention::LastTestsFailed`].
    LastTestsFailed,
    /// See [`Attention::WorktreeDirty`].
    WorktreeDirty,
    /// See [`Attention::RemoteRewritten`].
    RemoteRewritten,
    /// See [`Attention::Offline`].
    Offline,
    /// See [`Attention::Held`].
    Held,
    /// See [`Attention::RemoteStale`].
    RemoteStale,
    /// See [`Attention::Quarantined`].
    Quarantined,
    /// See [`Attention::IdentityConflict`].
    IdentityConflict,
}

impl AttentionCode {
    /// Every code, in the order in which attentions are told.
    pub const ALL: [AttentionCode; 12] = [
        AttentionCode::UpdatePending,
        AttentionCode::RebootRequired,
        AttentionCode::LastDeployFailed,
        AttentionCode::Degraded,
        AttentionCode::LastTestsFailed,
        AttentionCode::WorktreeDirty,
        AttentionCode::RemoteRewritten,
        AttentionCode::Offline,
        AttentionCode::Held,
        AttentionCode::RemoteStale,
        AttentionCode::Quarantined,
        AttentionCode::IdentityConflict,
    ];
}

/// Which attentions a host has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AttentionSet(u16);

impl AttentionSet {
    /// Whether there is this one.
    #[must_use]
    pub const fn has(self, code: AttentionCode) -> bool {
        self.0 & Self::bit(code) != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those of both.
    #[must_use]
    pub const fn and(self, other: AttentionSet) -> AttentionSet {
        AttentionSet(self.0 | other.0)
    }

    /// All of them, in the order in which they are told.
    pub fn codes(self) -> impl Iterator<Item = AttentionCode> {
        AttentionCode::ALL
            .into_iter()
            .filter(move |code| self.has(*code))
    }

    const fn bit(code: AttentionCode) -> u16 {
        1 << code as u32
    }

    fn of(each: impl IntoIterator<Item = (AttentionCode, bool)>) -> Self {
        let bits = each
            .into_iter()
            .map(|(code, there)| if there { Self::bit(code) } else { 0 });
        Self(bits.fold(0, |all, bit| all | bit))
    }

    /// Those that a host has whatever is desired.
    pub(super) fn of_host(situation: &Situation<'_>) -> Self {
        let seen = situation.observation;
        Self::of([
            (
                AttentionCode::RebootRequired,
                seen.system.as_ref().is_some_and(|one| one.reboot_required),
            ),
            (
                AttentionCode::LastDeployFailed,
                situation.deploy.outcome == DeployOutcome::Failed,
            ),
            (
                AttentionCode::Degraded,
                seen.failed_units
                    .as_ref()
                    .is_some_and(|all| !all.is_empty()),
            ),
            (AttentionCode::LastTestsFailed, tests_failed(situation)),
            (
                AttentionCode::WorktreeDirty,
                seen.repo.as_ref().is_some_and(|repo| repo.dirty),
            ),
            (
                AttentionCode::Offline,
                matches!(situation.presence, Presence::Offline { .. }),
            ),
            (AttentionCode::Held, situation.hold.is_some()),
            (AttentionCode::Quarantined, situation.quarantined),
            (AttentionCode::IdentityConflict, situation.identity_conflict),
        ])
    }

    /// Those that every host has because of what is desired.
    pub(super) fn of_remote(desired: &DesiredState, in_grace: bool) -> Self {
        let last_known = desired.remote.last_known();
        let verified = matches!(desired.remote, Remote::Verified(_));
        Self::of([
            (AttentionCode::UpdatePending, desired.pending_pr.is_some()),
            (
                AttentionCode::RemoteRewritten,
                last_known.is_some_and(|snapshot| snapshot.rewritten),
            ),
            (AttentionCode::RemoteStale, in_grace && verified),
        ])
    }
}

/// Every attention of a host, in the order of [`Attention`].
#[must_use]
pub fn collect(situation: &Situation<'_>) -> Vec<Attention> {
    let remote = AttentionSet::of_remote(situation.desired, situation.remote_in_grace);
    fill_in(AttentionSet::of_host(situation).and(remote), situation)
}

/// Attentions with their parameters: looked up here, decided before.
pub(super) fn fill_in(attentions: AttentionSet, situation: &Situation<'_>) -> Vec<Attention> {
    if attentions.is_empty() {
        return Vec::new();
    }
    let each = attentions.codes();
    each.filter_map(|code| with_parameters(code, situation))
        .collect()
}

fn with_parameters(code: AttentionCode, situation: &Situation<'_>) -> Option<Attention> {
    Some(match code {
        AttentionCode::UpdatePending => Attention::UpdatePending {
            pr: situation.desired.pending_pr.as_ref()?.number,
        },
        AttentionCode::RebootRequired => Attention::RebootRequired,
        AttentionCode::LastDeployFailed => Attention::LastDeployFailed,
        AttentionCode::Degraded => degraded(situation.observation.failed_units.as_deref()?),
        AttentionCode::LastTestsFailed => Attention::LastTestsFailed {
            failed: count(situation.tests?.failed.len()),
        },
        AttentionCode::WorktreeDirty => Attention::WorktreeDirty,
        AttentionCode::RemoteRewritten => Attention::RemoteRewritten,
        AttentionCode::Offline => match situation.presence {
            Presence::Offline { since } => Attention::Offline { since },
            Presence::NeverSeen | Presence::Online => return None,
        },
        AttentionCode::Held => {
            let hold = situation.hold?;
            Attention::Held {
                by: clean(&hold.by, 80),
                why: clean(&hold.why, 200),
                until: hold.until,
            }
        }
        AttentionCode::RemoteStale => Attention::RemoteStale {
            verified_at: situation.desired.verified_at,
        },
        AttentionCode::Quarantined => Attention::Quarantined,
        AttentionCode::IdentityConflict => Attention::IdentityConflict,
    })
}

fn degraded(units: &[String]) -> Attention {
    let named = units.iter().take(MAX_UNITS).map(|unit| clean(unit, 128));
    Attention::Degraded {
        units: named.collect(),
        total: count(units.len()),
    }
}

fn tests_failed(situation: &Situation<'_>) -> bool {
    let Some(tests) = situation.tests.filter(|_| situation.tests_enabled) else {
        return false;
    };
    match tests.verdict {
        TestVerdict::Fail | TestVerdict::Stopped => true,
        TestVerdict::Pass | TestVerdict::Empty => !tests.failed.is_empty(),
        TestVerdict::Void => false,
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
