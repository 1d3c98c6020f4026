//! May this operation run on this host now? The only way to a command that is sent leads through
//! [`admit`], so that no route can skip a right, a hold or a second factor (spec 02 rule 12).

mod check;
mod refusal;

use serde::{Deserialize, Serialize};

pub use check::UNLISTED_PREVIOUS;
pub use refusal::{Refusal, RefusalCode};

use crate::compartment::Status;
use crate::desired::Remote;
use crate::host::{
    Actor, AgentProtocol, Generation, Hold, HostIdentity, HostObservation, Presence, TestKey,
};
use crate::ids::{CommandId, HostId};
use crate::lifecycle::{Baseline, CommandArgs, Target};
use crate::op::{Need, Op};
use crate::time::Timestamp;

/// A check that is made where commands enter the lifecycle, and not by this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// Not configured for this operation or host.
    NotRequired,
    /// Made, and passed.
    Passed,
    /// Required, and missing or failed.
    Missing,
}

/// What somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// On which host.
    pub host: HostId,
    /// Which operation.
    pub op: Op,
    /// With which arguments.
    pub args: CommandArgs,
    /// Who asks.
    pub actor: Actor,
    /// Whether the actor has the right, by role.
    pub permitted: bool,
    /// The second factor of this request.
    pub second_factor: Check,
    /// Bypass already-current, outdated or unknown git and lock, and dirty; nothing else.
    pub force: bool,
    /// The caller confirmed explicitly.
    pub confirmed: bool,
    /// Reboot although another command is active.
    pub override_busy: bool,
    /// Why, in the caller's words; needed on a held host.
    pub reason: Option<String>,
    /// What "desired" means: a rollout pins its own target; `None` is the remote's state now.
    pub target: Option<Target>,
}

impl Request {
    /// A plain request of a permitted actor, with nothing overridden.
    #[must_use]
    pub fn new(host: HostId, op: Op, actor: Actor) -> Self {
        Self {
            host,
            op,
            args: CommandArgs::default(),
            actor,
            permitted: true,
            second_factor: Check::NotRequired,
            force: false,
            confirmed: false,
            override_busy: false,
            reason: None,
            target: None,
        }
    }
}

/// What occupies a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occupant {
    /// The command; `None` for work that nobody tracks any more but the agent still does.
    pub id: Option<CommandId>,
    /// Its operation.
    pub op: Op,
}

/// Whether a maintenance window allows automations now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WindowState {
    /// No window is configured, or it is open.
    Open,
    /// Closed.
    Closed {
        /// The next opening, where one is known.
        opens: Option<Timestamp>,
    },
}

/// The update pull request, as far as merging or reverting it goes (spec 05).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrState {
    /// There is none.
    NotKnown,
    /// Known, and its checks verdict (or an explicit override) allows it.
    Eligible,
    /// Known, but not now; the text says why.
    NotEligible(String),
}

/// Everything about a host that admission looks at. Statuses are those before the `working`
/// overlay, computed against the request's own target.
#[derive(Clone, Copy, Debug)]
pub struct Conditions<'a> {
    /// Whether the agent is connected.
    pub presence: Presence,
    /// What the agent said at registration.
    pub identity: &'a HostIdentity,
    /// What the host last said about itself.
    pub observation: &'a HostObservation,
    /// The active command, other than one in the restart lane.
    pub active: Option<Occupant>,
    /// The active command in the restart lane.
    pub restarting: Option<Occupant>,
    /// Status of compartment `agent`.
    pub agent: Status,
    /// Status of compartment `git`.
    pub git: Status,
    /// Status of compartment `lock`.
    pub lock: Status,
    /// The desired state.
    pub remote: &'a Remote,
    /// What a test would be about now.
    pub test_key: Option<&'a TestKey>,
    /// The hold in force, if any.
    pub hold: Option<&'a Hold>,
    /// Whether the target is quarantined (spec 05).
    pub quarantined: bool,
    /// Whether the desired commit is signed as configured.
    pub signature: Check,
    /// Maintenance window for this kind of operation.
    pub window: WindowState,
    /// Whether the host-driven update strategy is on for this host.
    pub host_driven: bool,
    /// The update pull request.
    pub pr: &'a PrState,
}

/// Which of the two places on a host a command takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    /// One command at a time.
    #[default]
    Main,
    /// Beside the main lane: a restart of the agent, or a reboot that overrides a busy host.
    Restart,
    /// The server's own short work, which occupies no host.
    Server,
}

/// The proof that admission said yes. Only [`admit`] makes one; sending a command requires it.
#[derive(Clone, Debug)]
pub struct Admitted {
    request: Request,
    lane: Lane,
    target: Option<Target>,
    rollback: Option<Generation>,
    baseline: Baseline,
    protocol: AgentProtocol,
}

impl Admitted {
    /// What was asked for.
    #[must_use]
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// Which place on the host the command takes.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        self.lane
    }

    /// The desired state pinned for this command, where it has one.
    #[must_use]
    pub const fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// The generation a rollback goes to; `None` is the previous one as the agent finds it.
    #[must_use]
    pub const fn rollback(&self) -> Option<&Generation> {
        self.rollback.as_ref()
    }

    /// The facts before the start.
    #[must_use]
    pub const fn baseline(&self) -> &Baseline {
        &self.baseline
    }

    /// The protocol of the agent that will get it.
    #[must_use]
    pub const fn protocol(&self) -> AgentProtocol {
        self.protocol
    }
}

/// The proof that a command may wait in the queue: its actor has the right, its arguments are
/// valid, and nothing but time stands in its way. Everything is checked again when it starts.
#[derive(Clone, Debug)]
pub struct Queueable {
    request: Request,
    waits_for: Option<Refusal>,
}

impl Queueable {
    /// What was asked for.
    #[must_use]
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// What it waits for; `None` if it could start at once.
    #[must_use]
    pub const fn waits_for(&self) -> Option<&Refusal> {
        self.waits_for.as_ref()
    }
}

/// Rules that hold for every operation, checked before its own needs, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// The actor has the right.
    Right,
    /// The arguments are valid for the operation.
    Arguments,
    /// A configured signature of the desired commit is valid (operations that build it).
    Signature,
    /// A hold keeps automations away; a person who changes a held host gives a reason.
    Hold,
    /// No automation deploys a quarantined target.
    Quarantine,
    /// Automations act on hosts only inside their window.
    Window,
    /// The agent is not being restarted.
    NotRestarting,
}

/// Every gate, in the order in which they are checked.
pub const GATES: &[Gate] = &[
    Gate::Right,
    Gate::Arguments,
    Gate::Signature,
    Gate::Hold,
    Gate::Quarantine,
    Gate::Window,
    Gate::NotRestarting,
];

/// May this operation run on this host now?
///
/// # Errors
/// The first [`Refusal`] among the [`GATES`] and the needs of the operation in [`crate::OPS`],
/// in that order.
pub fn admit(request: &Request, conditions: &Conditions<'_>) -> Result<Admitted, Refusal> {
    if let Some(refusal) = refusals(request, conditions).into_iter().next() {
        return Err(refusal);
    }
    let rollback = if request.op == Op::Rollback {
        check::rollback_target(request, conditions)?
    } else {
        None
    };
    Ok(Admitted {
        request: request.clone(),
        lane: check::lane(request, conditions),
        target: request
            .target
            .or_else(|| Target::desired(conditions.remote)),
        rollback,
        baseline: Baseline::of(conditions),
        protocol: conditions.identity.protocol,
    })
}

/// May this operation wait in the queue, because only time or the host stand in its way?
///
/// # Errors
/// The first [`Refusal`] that waiting cannot lift.
pub fn admit_to_queue(
    request: &Request,
    conditions: &Conditions<'_>,
) -> Result<Queueable, Refusal> {
    let mut all = refusals(request, conditions);
    if let Some(position) = all.iter().position(|refusal| !refusal.code.may_wait()) {
        return Err(all.swap_remove(position));
    }
    Ok(Queueable {
        request: request.clone(),
        waits_for: all.into_iter().next(),
    })
}

/// Every rule that says no, in the order in which they are checked; empty if it may run.
#[must_use]
pub fn refusals(request: &Request, conditions: &Conditions<'_>) -> Vec<Refusal> {
    refusals_by(GATES, request.op.spec().needs, request, conditions)
}

/// The same by other lists: tests change them to see whether anybody would notice.
#[must_use]
pub fn refusals_by(
    gates: &[Gate],
    needs: &[Need],
    request: &Request,
    conditions: &Conditions<'_>,
) -> Vec<Refusal> {
    let gates = gates
        .iter()
        .filter_map(|gate| check::gate(*gate, request, conditions));
    let mut all: Vec<Refusal> = gates
        .chain(
            needs
                .iter()
                .filter_map(|need| check::need(*need, request, conditions)),
        )
        .filter(|refusal| !(request.force && refusal.code.bypassed_by_force()))
        .collect();
    // Local changes fail two needs of a switch, and are said once.
    all.dedup();
    all
}
