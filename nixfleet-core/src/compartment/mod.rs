//! The five compartments: facts → decision table → assessment (spec 01).
//!
//! Reading order: [`HostFacts`] and [`RemoteFacts`] (what is known, as values of a fixed size),
//! [`facts`] (these, compared), [`mod@rules`] (the tables, nothing else), [`table`] and [`ruleset`]
//! (how a table is read), [`Verdict`] (what was decided), [`reason`] (with the evidence), [`remedy`],
//! [`render`] (texts, made from reasons), [`mod@explain`] (why a colour is what it is).

pub mod attention;
mod compare;
pub mod explain;
pub mod fact;
pub mod facts;
mod known;
pub mod parameter;
mod parameters;
pub mod reason;
pub mod remedy;
pub mod render;
pub mod rules;
pub mod ruleset;
pub mod table;
mod verdict;
pub mod version;

use serde::{Deserialize, Serialize};

use crate::desired::DesiredState;
use crate::host::{DeployEvidence, Hold, HostObservation, Presence, TestEvidence};
use crate::op::Op;

pub use attention::{Attention, AttentionCode, AttentionSet};
pub use explain::{Trace, explain};
pub use facts::Facts;
pub use known::{HostFacts, RemoteFacts};
pub use reason::{Reason, ReasonCode};
pub use remedy::{Click, ManualStep, Remedy, Step, click_for};
pub use render::text::cause_with_detail as remote_sentence;
pub use render::{Tooltip, details, message};
pub use ruleset::{RuleHit, rules};
pub use verdict::Verdict;

/// One of the five questions about a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compartment {
    /// Is the agent the version this server expects?
    Agent,
    /// Is the host's config checkout at the desired commit?
    Git,
    /// Is the host's `flake.lock` the desired one, byte for byte?
    Lock,
    /// Is the running system the desired one?
    System,
    /// Does the deployed system work?
    Tests,
}

impl Compartment {
    /// All five, in the order in which they are shown.
    pub const ALL: [Compartment; 5] = [
        Compartment::Agent,
        Compartment::Git,
        Compartment::Lock,
        Compartment::System,
        Compartment::Tests,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Compartment::Agent => "agent",
            Compartment::Git => "git",
            Compartment::Lock => "lock",
            Compartment::System => "system",
            Compartment::Tests => "tests",
        }
    }
}

/// The answer of one compartment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Gray: we have not been told yet.
    Unknown,
    /// Green: current against the remote, and proven so.
    Ok,
    /// Yellow: act, or it cannot be verified.
    Outdated,
    /// Red: a real problem; also when the remote cannot be read.
    Error,
    /// Blue: a command is at work.
    Working,
}

impl Status {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Status::Unknown => "unknown",
            Status::Ok => "ok",
            Status::Outdated => "outdated",
            Status::Error => "error",
            Status::Working => "working",
        }
    }
}

/// Everything an assessment of one host may depend on. There is no clock in it: presence and the
/// freshness of the remote are small machines of their own.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What the host last said about itself.
    pub observation: &'a HostObservation,
    /// What the repository says should run.
    pub desired: &'a DesiredState,
    /// What the server remembers of the last deploy-class command.
    pub deploy: &'a DeployEvidence,
    /// The last test result.
    pub tests: Option<&'a TestEvidence>,
    /// Whether tests are switched on for this host.
    pub tests_enabled: bool,
    /// The active command, from `EXECUTING` to the end of `VERIFYING`.
    pub working: Option<Working>,
    /// Whether the agent is connected.
    pub presence: Presence,
    /// The hold on this host.
    pub hold: Option<&'a Hold>,
    /// Whether automation gave up on this host.
    pub quarantined: bool,
    /// Whether two machines claim to be this host.
    pub identity_conflict: bool,
    /// Whether the last reading of the remote failed while the last good one is still in force.
    pub remote_in_grace: bool,
}

/// What the active command of a host is doing: it is laid over the statuses, it never changes
/// what lies below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Working {
    /// The operation.
    pub op: Op,
    /// Which half of a `pull-switch` is running; `None` where that is not known or not apt.
    #[serde(default)]
    pub half: Option<PullSwitchHalf>,
    /// Whether the operation took the agent down and its return is awaited.
    #[serde(default)]
    pub awaiting_reconnect: bool,
}

/// The half of a `pull-switch` that is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PullSwitchHalf {
    /// Bringing the checkout to the desired commit.
    Pull,
    /// Building and activating.
    Switch,
}

/// The answer of one compartment and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Assessment {
    /// Which of the five.
    pub compartment: Compartment,
    /// What is shown.
    pub status: Status,
    /// The status before the active command was laid over it.
    pub base: Status,
    /// Why `status` is what it is.
    pub reason: Reason,
    /// Why `base` is what it is; the same as `reason` unless a command is at work.
    pub base_reason: Reason,
}

/// The five answers and the attentions beside them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAssessment {
    /// The five answers, in the order of [`Compartment::ALL`].
    pub compartments: [Assessment; 5],
    /// What else a person should know, in a fixed order.
    pub attentions: Vec<Attention>,
}

impl HostAssessment {
    /// The answer of one compartment.
    #[must_use]
    pub const fn of(&self, compartment: Compartment) -> &Assessment {
        let [agent, git, lock, system, tests] = &self.compartments;
        match compartment {
            Compartment::Agent => agent,
            Compartment::Git => git,
            Compartment::Lock => lock,
            Compartment::System => system,
            Compartment::Tests => tests,
        }
    }

    /// The statuses as shown, in the order of [`Compartment::ALL`].
    #[must_use]
    pub fn statuses(&self) -> [Status; 5] {
        self.compartments.each_ref().map(|one| one.status)
    }

    /// The statuses below the overlay of the active command.
    #[must_use]
    pub fn base_statuses(&self) -> [Status; 5] {
        self.compartments.each_ref().map(|one| one.base)
    }

    /// Whether the host is current: all five are `ok`, its agent is connected (a host that is
    /// away keeps its values but never counts), and nobody else claims to be this host.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let all_ok = self.compartments.iter().all(|one| one.status == Status::Ok);
        let doubted = |one: &Attention| {
            matches!(one, Attention::Offline { .. } | Attention::IdentityConflict)
        };
        all_ok && !self.attentions.iter().any(doubted)
    }

    /// Whether the host counts as plain green in totals: current, and no update waits to be merged.
    #[must_use]
    pub fn counts_as_green(&self) -> bool {
        let pending = |one: &Attention| matches!(one, Attention::UpdatePending { .. });
        self.is_current() && !self.attentions.iter().any(pending)
    }

    /// What a click on a compartment does (spec 01, "Click behaviour").
    #[must_use]
    pub fn click(&self, compartment: Compartment) -> Click {
        remedy::click(self, compartment)
    }
}

/// Judges one host. Pure and total: the same situation gives the same answer, byte for byte. This
/// is its [`Verdict`], with the evidence for it looked up.
#[must_use]
pub fn assess(situation: &Situation<'_>) -> HostAssessment {
    let remote = RemoteFacts::of(situation.desired, situation.remote_in_grace);
    assess_beside(situation, &remote)
}

/// The same where what is desired is ready for comparing: for many hosts at once.
#[must_use]
pub fn assess_beside(situation: &Situation<'_>, remote: &RemoteFacts<'_>) -> HostAssessment {
    let verdict = HostFacts::of(situation).judge(remote);
    HostAssessment {
        compartments: Compartment::ALL.map(|one| assessment(one, situation, &verdict)),
        attentions: attention::fill_in(verdict.attentions, situation),
    }
}

#[inline]
fn assessment(
    compartment: Compartment,
    situation: &Situation<'_>,
    verdict: &Verdict,
) -> Assessment {
    let base_reason = Reason::build(verdict.reason_of(compartment), situation, verdict);
    let overlay = table::overlay(compartment, situation.working);
    Assessment {
        compartment,
        status: verdict.status_of(compartment),
        base: verdict.base_of(compartment),
        reason: overlay.map_or(base_reason, |(_, working)| Reason::from(working)),
        base_reason,
    }
}
