//! What can happen to a command.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::exit::ExitReport;
use crate::admission::{Admitted, Refusal};
use crate::compartment::PullSwitchHalf;
use crate::host::HostObservation;
use crate::ids::{CommandId, Sequence, Token};
use crate::op::Op;
use crate::report::{ProgressStage, ResultKind};

/// A signal for the process group of a running command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Ask it to end; the agent escalates to SIGKILL after 3 s by itself.
    Term,
    /// End it at once.
    Kill,
}

/// Why a command leaves the queue without having been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Withdrawal {
    /// A person cancelled it.
    Cancelled,
    /// A newer intent replaced it.
    Superseded,
    /// An earlier stage of its pipeline or rollout failed on this host.
    StageFailed,
}

/// Which command a message of an agent speaks of. Ours name the id; existing agents can only be
/// matched by operation, or not at all (spec 02 rule 13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// The id, from an agent that speaks command ids.
    pub id: Option<CommandId>,
    /// The operation the message names, if it names one.
    pub op: Option<Op>,
}

impl Address {
    /// The address of a message with a command id.
    #[must_use]
    pub const fn of(id: CommandId) -> Self {
        Self {
            id: Some(id),
            op: None,
        }
    }

    /// The address of a message of an existing agent.
    #[must_use]
    pub const fn op(op: Option<Op>) -> Self {
        Self { id: None, op }
    }
}

/// The half of a `pull-switch` that a stage of progress belongs to, if it tells.
#[must_use]
pub const fn half_of(stage: ProgressStage) -> Option<PullSwitchHalf> {
    match stage {
        ProgressStage::Pull => Some(PullSwitchHalf::Pull),
        ProgressStage::System => Some(PullSwitchHalf::Switch),
        ProgressStage::Lock | ProgressStage::Tests => None,
    }
}

/// A new connection of an agent, with what it runs and still holds.
#[derive(Clone, Copy, Debug)]
pub struct Hello<'a> {
    /// The agent process.
    pub instance_id: Option<&'a Token>,
    /// The boot.
    pub boot_id: Option<&'a Token>,
    /// The command it is running.
    pub running: Option<CommandId>,
    /// Results the server has not confirmed yet, oldest first.
    pub results: &'a [ExitReport],
    /// The host after taking in the facts of this registration.
    pub observation: &'a HostObservation,
}

/// What happened to a command. Messages of an agent carry an [`Address`]; one for another
/// command changes nothing.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// Its turn has come: leave the queue and check the preconditions.
    Start,
    /// Admission said yes; `seq` is the next sequence number of the host.
    ValidateOk {
        /// The proof.
        admitted: Box<Admitted>,
        /// The sequence number to send it with.
        seq: Sequence,
    },
    /// Admission said no.
    ValidateFail(Refusal),
    /// The frame was handed to the socket.
    Sent,
    /// Handing the frame to the socket failed.
    SendFail {
        /// Whether it is certain that no byte left.
        nothing_left: bool,
        /// Why, for the record.
        why: String,
    },
    /// The agent has journaled the command and is about to run it.
    Accepted {
        /// Which command.
        to: Address,
        /// Its process, if already known.
        pid: Option<i64>,
    },
    /// The agent says that it runs.
    Started {
        /// Which command.
        to: Address,
        /// Its process.
        pid: Option<i64>,
    },
    /// A line of output.
    Output {
        /// Which command.
        to: Address,
    },
    /// A progress report.
    Progress {
        /// Which command.
        to: Address,
        /// The furthest half begun, where the report tells.
        half: Option<PullSwitchHalf>,
    },
    /// It ended (`result_ok`, `result_fail`, or `kill_ack` when it was stopped).
    Exited(Box<ExitReport>),
    /// The agent refuses to run it.
    Rejected {
        /// Which command.
        to: Address,
        /// The agent's reason.
        reason: String,
        /// What it runs instead, if it said so.
        current: Option<String>,
    },
    /// A person or policy wants it stopped.
    KillRequest(Signal),
    /// A person gives it more time.
    Extend(Duration),
    /// A person stops tracking it.
    Ignore,
    /// It shall not start.
    Cancel(Withdrawal),
    /// The agent's connection is gone.
    Disconnect,
    /// The agent registered.
    Hello(Hello<'a>),
    /// The agent reported facts.
    Heartbeat {
        /// What it says it is running, if anything.
        running: Option<Address>,
        /// The host after taking in the facts.
        observation: &'a HostObservation,
    },
    /// The server was restarted and has read this command back from its store.
    ServerRestart,
}

/// The kinds of event that rows of the table are about: those of [`Event`], the six kinds of
/// deadline, and the judgement of facts that follows heartbeats and registrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// [`Event::Start`].
    Start,
    /// [`Event::ValidateOk`].
    ValidateOk,
    /// [`Event::ValidateFail`].
    ValidateFail,
    /// [`Event::Sent`].
    Sent,
    /// [`Event::SendFail`].
    SendFail,
    /// [`Event::Accepted`].
    Accepted,
    /// [`Event::Started`].
    Started,
    /// [`Event::Output`].
    Output,
    /// [`Event::Progress`].
    Progress,
    /// [`Event::Exited`] that went well.
    ResultOk,
    /// [`Event::Exited`] that did not.
    ResultFail,
    /// [`Event::Rejected`].
    Rejected,
    /// [`Event::KillRequest`].
    KillRequest,
    /// [`Event::Exited`] after a stop.
    KillAck,
    /// [`Event::Extend`].
    Extend,
    /// [`Event::Ignore`].
    Ignore,
    /// [`Event::Cancel`].
    Cancel,
    /// The warning timeout of the operation has passed.
    DeadlineWarn,
    /// The hard timeout of the operation has passed.
    DeadlineHard,
    /// Time to resend, or the lease is over.
    DeadlineAck,
    /// The agent did not confirm a kill in time.
    DeadlineKill,
    /// The agent did not come back in time.
    DeadlineReconnect,
    /// Nobody took it further in time: queue, validation, decision, verification.
    DeadlineAbandon,
    /// [`Event::Disconnect`].
    Disconnect,
    /// [`Event::Hello`], after the results it carries.
    Hello,
    /// [`Event::Heartbeat`].
    Heartbeat,
    /// [`Event::ServerRestart`].
    ServerRestart,
    /// The facts of a heartbeat or registration, judged against the goal.
    Facts,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [EventKind; 28] = [
        EventKind::Start,
        EventKind::ValidateOk,
        EventKind::ValidateFail,
        EventKind::Sent,
        EventKind::SendFail,
        EventKind::Accepted,
        EventKind::Started,
        EventKind::Output,
        EventKind::Progress,
        EventKind::ResultOk,
        EventKind::ResultFail,
        EventKind::Rejected,
        EventKind::KillRequest,
        EventKind::KillAck,
        EventKind::Extend,
        EventKind::Ignore,
        EventKind::Cancel,
        EventKind::DeadlineWarn,
        EventKind::DeadlineHard,
        EventKind::DeadlineAck,
        EventKind::DeadlineKill,
        EventKind::DeadlineReconnect,
        EventKind::DeadlineAbandon,
        EventKind::Disconnect,
        EventKind::Hello,
        EventKind::Heartbeat,
        EventKind::ServerRestart,
        EventKind::Facts,
    ];
}

impl Event<'_> {
    /// The kind of event.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Event::Start => EventKind::Start,
            Event::ValidateOk { .. } => EventKind::ValidateOk,
            Event::ValidateFail(_) => EventKind::ValidateFail,
            Event::Sent => EventKind::Sent,
            Event::SendFail { .. } => EventKind::SendFail,
            Event::Accepted { .. } => EventKind::Accepted,
            Event::Started { .. } => EventKind::Started,
            Event::Output { .. } => EventKind::Output,
            Event::Progress { .. } => EventKind::Progress,
            Event::Exited(report) => match report.kind {
                ResultKind::Ok => EventKind::ResultOk,
                ResultKind::Error | ResultKind::Interrupted => EventKind::ResultFail,
                ResultKind::Stopped => EventKind::KillAck,
            },
            Event::Rejected { .. } => EventKind::Rejected,
            Event::KillRequest(_) => EventKind::KillRequest,
            Event::Extend(_) => EventKind::Extend,
            Event::Ignore => EventKind::Ignore,
            Event::Cancel(_) => EventKind::Cancel,
            Event::Disconnect => EventKind::Disconnect,
            Event::Hello(_) => EventKind::Hello,
            Event::Heartbeat { .. } => EventKind::Heartbeat,
            Event::ServerRestart => EventKind::ServerRestart,
        }
    }

    /// Which command it speaks of, if it is a message about one.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        match self {
            Event::Accepted { to, .. }
            | Event::Started { to, .. }
            | Event::Output { to }
            | Event::Progress { to, .. }
            | Event::Rejected { to, .. } => Some(*to),
            Event::Exited(report) => Some(report.address()),
            Event::Start
            | Event::ValidateOk { .. }
            | Event::ValidateFail(_)
            | Event::Sent
            | Event::SendFail { .. }
            | Event::KillRequest(_)
            | Event::Extend(_)
            | Event::Ignore
            | Event::Cancel(_)
            | Event::Disconnect
            | Event::Hello(_)
            | Event::Heartbeat { .. }
            | Event::ServerRestart => None,
        }
    }
}
