//! What reaches the fleet.

use std::sync::Arc;
use std::time::Duration;

use super::holds::{HoldError, SelectorHold};
use crate::admission::{Check, Refusal};
use crate::credential::Credential;
use crate::desired::{RemoteHistory, Snapshot, Unavailable};
use crate::host::{Actor, Hold, HostSettings};
use crate::ids::{CommandId, CommitId, ConnectionId, HostId, PlanId, RolloutId};
use crate::lifecycle::{CommandArgs, Signal, Target};
use crate::op::Op;
use crate::report::AgentReport;
use crate::rollout::{Ask, Plan, PlanError, Verb, VerbError};
use crate::selector::Selector;
use crate::time::Timestamp;
use crate::update::{Deploy, ForgeAnswer, PrNumber, RevertKind, UpdateRefusal};
use crate::window::{Window, WindowError, Zone};

/// Names one question of a client, so that the answer finds its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Something that happened outside.
#[derive(Clone, Debug)]
pub enum Input {
    /// An agent said something. The first report on a connection is a registration; `bound` is
    /// the only host this connection's credential may speak for, if it is bound to one.
    Agent {
        /// The connection.
        connection: ConnectionId,
        /// The host its credential is bound to.
        bound: Option<HostId>,
        /// What it said.
        report: AgentReport,
    },
    /// A connection of an agent is gone.
    Disconnected {
        /// The connection.
        connection: ConnectionId,
    },
    /// Handing a command's frame to its connection failed.
    SendFailed {
        /// The command.
        command: CommandId,
        /// Whether it is certain that no byte left.
        nothing_left: bool,
        /// Why.
        why: String,
    },
    /// A reading of the remote finished.
    Read(Box<Result<Reading, Unavailable>>),
    /// A client wants something.
    Request {
        /// For the answer.
        id: RequestId,
        /// Who asks.
        actor: Actor,
        /// What.
        request: Request,
    },
    /// The forge answered a call.
    Forge(ForgeAnswer),
    /// The forge said by itself that something changed. Only a hint: the truth is asked for.
    ForgeHint,
    /// A credential ends at a moment, or not by itself.
    Credential {
        /// Which.
        credential: Credential,
        /// When it ends.
        ends: Option<Timestamp>,
        /// When it was made, where that is known.
        made: Option<Timestamp>,
    },
}

/// What one good reading of the remote brought.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The desired state.
    pub snapshot: Snapshot,
    /// The past of the branch, where the source knows it.
    pub history: Option<Arc<RemoteHistory>>,
}

/// What a client can ask for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Run an operation on hosts. If one of the hosts is not known, nothing at all is started.
    Dispatch(Dispatch),
    /// Stop the running command of a host.
    Stop {
        /// The host.
        host: HostId,
        /// The command; `None` is whatever is active.
        command: Option<CommandId>,
        /// How hard.
        signal: Signal,
    },
    /// Decide about a command past its timeout.
    Decide {
        /// The command.
        command: CommandId,
        /// What.
        decision: Decision,
    },
    /// Add a host that has not connected yet.
    AddHost {
        /// The host.
        host: HostId,
    },
    /// Place or replace a hold.
    Hold {
        /// The host.
        host: HostId,
        /// The hold.
        hold: Hold,
    },
    /// End a hold.
    Release {
        /// The host.
        host: HostId,
    },
    /// Switch the tests of a host on or off.
    SetTests {
        /// The host.
        host: HostId,
        /// On or off.
        enabled: bool,
    },
    /// Change the colour of a host.
    SetColor {
        /// The host.
        host: HostId,
        /// `#rrggbb`.
        color: String,
    },
    /// Start a rollout or pipeline. Nothing is half-started: it is planned anew, and refused whole
    /// if that fails or is not the plan that was confirmed.
    StartRollout {
        /// A new unique id.
        id: RolloutId,
        /// What.
        ask: Box<Ask>,
        /// The plan that a person has seen and confirmed.
        confirm: Option<PlanId>,
        /// Why.
        reason: Option<String>,
    },
    /// Do something with a rollout.
    Rollout {
        /// Which.
        id: RolloutId,
        /// What.
        verb: Verb,
    },
    /// Replace what the server knows about how automation treats a host.
    SetHostSettings {
        /// The host.
        host: HostId,
        /// The settings.
        settings: Box<HostSettings>,
    },
    /// Add a maintenance window, or replace the one with its id.
    SetWindow {
        /// The window.
        window: Box<Window>,
        /// The data of its time zone.
        zone: Zone,
    },
    /// Remove a maintenance window.
    RemoveWindow {
        /// Its id.
        id: String,
    },
    /// Let automation deploy a quarantined commit again.
    LiftQuarantine {
        /// The commit.
        commit: CommitId,
        /// Why.
        reason: String,
    },
    /// List the update pull requests now.
    CheckUpdates,
    /// Merge an update pull request, and with `deploy` roll exactly the merge commit out.
    MergePr {
        /// Which.
        number: PrNumber,
        /// The head that the person saw; `None` is the one that was last read.
        head: Option<CommitId>,
        /// Why it is merged although a condition does not hold that a reason can override.
        override_reason: Option<String>,
        /// The rollout that follows.
        deploy: Option<Box<Deploy>>,
        /// The plan of that rollout that the person has seen and confirmed; see
        /// [`Fleet::plan_deploy`](super::Fleet::plan_deploy).
        confirm: Option<PlanId>,
    },
    /// Revert the merge of an update.
    RevertPr {
        /// Which.
        number: PrNumber,
        /// How.
        kind: RevertKind,
        /// Why.
        reason: Option<String>,
    },
    /// Keep every automation away from the hosts that a selector matches, now or later.
    HoldBySelector {
        /// Which hosts.
        selector: Selector,
        /// Why.
        why: String,
        /// When it ends by itself.
        until: Option<Timestamp>,
    },
    /// End a hold by selector.
    ReleaseSelector {
        /// Its number.
        id: u64,
    },
}

impl Request {
    /// Whether all there is to it is to be kept: with a store that keeps nothing it would be lost.
    /// The others say so by themselves, or concern what runs right now.
    pub(super) const fn settles(&self) -> bool {
        match self {
            Request::AddHost { .. }
            | Request::Hold { .. }
            | Request::Release { .. }
            | Request::SetTests { .. }
            | Request::SetColor { .. }
            | Request::SetHostSettings { .. }
            | Request::SetWindow { .. }
            | Request::RemoveWindow { .. }
            | Request::LiftQuarantine { .. }
            | Request::HoldBySelector { .. }
            | Request::ReleaseSelector { .. } => true,
            Request::Dispatch(_)
            | Request::Stop { .. }
            | Request::Decide { .. }
            | Request::StartRollout { .. }
            | Request::Rollout { .. }
            | Request::CheckUpdates
            | Request::MergePr { .. }
            | Request::RevertPr { .. } => false,
        }
    }
}

/// Run an operation on hosts.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// The operation.
    pub op: Op,
    /// The hosts, each with a new unique id for its command.
    pub hosts: Vec<(HostId, CommandId)>,
    /// Arguments.
    pub args: CommandArgs,
    /// Bypass what spec 02 rule 1 allows to bypass.
    pub force: bool,
    /// The caller confirmed explicitly.
    pub confirmed: bool,
    /// Reboot although another command is active.
    pub override_busy: bool,
    /// Wait in the queue if only time or the host stand in the way.
    pub queue: bool,
    /// Why.
    pub reason: Option<String>,
    /// The second factor of this request.
    pub second_factor: Check,
    /// A pinned target instead of the remote's state.
    pub target: Option<Target>,
}

impl Dispatch {
    /// A plain request: nothing forced, nothing queued.
    #[must_use]
    pub fn new(op: Op, hosts: Vec<(HostId, CommandId)>) -> Self {
        Self {
            op,
            hosts,
            args: CommandArgs::default(),
            force: false,
            confirmed: false,
            override_busy: false,
            queue: false,
            reason: None,
            second_factor: Check::NotRequired,
            target: None,
        }
    }
}

/// What a person decides about a command past its timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// More time.
    Extend(Duration),
    /// Stop tracking it.
    Ignore,
    /// Take it out of the queue.
    Cancel,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// One outcome for each host, in the order of the request.
    Dispatched(Vec<Dispatched>),
    /// Done.
    Done,
    /// There is no such host; nothing was started.
    UnknownHost(HostId),
    /// There is no such command.
    UnknownCommand,
    /// A rule said no.
    Refused(Refusal),
    /// The rollout was started, by this plan.
    RolloutStarted(Box<Plan>),
    /// No plan can be made; nothing was started.
    NotPlanned(PlanError),
    /// The plan is another one than the one confirmed; nothing was started. This is the new one.
    PlanChanged(Box<Plan>),
    /// There is no such rollout.
    UnknownRollout(RolloutId),
    /// The rollout cannot do that now.
    VerbRefused(VerbError),
    /// The settings cannot be taken; what is wrong with which field.
    BadSettings(String),
    /// The window cannot be taken.
    BadWindow(WindowError),
    /// There is no such window.
    UnknownWindow(String),
    /// The commit is not quarantined.
    NotQuarantined(CommitId),
    /// A job on an update was started, or had nothing to do; its number.
    JobStarted {
        /// See [`crate::update::Job::id`].
        job: u64,
    },
    /// Nothing was done about an update.
    UpdateRefused(UpdateRefusal),
    /// The hold by selector that was placed.
    HeldBySelector(Box<SelectorHold>),
    /// The hold by selector cannot be placed.
    BadHold(HoldError),
    /// There is no such hold by selector.
    UnknownHold(u64),
}

/// What became of a request on one host.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatched {
    /// The host.
    pub host: HostId,
    /// Its command, if one was made, or why not.
    pub outcome: Result<Accepted, Refusal>,
}

/// How a request on one host was taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// A command was journaled and sent.
    Started(CommandId),
    /// A command waits in the queue.
    Queued(CommandId),
    /// The server did it at once.
    Done,
}
