//! The circumstances that decide between the rows for one phase and one kind of event. Each kind
//! of event has its own partition: exactly one of its guards holds, whatever the phase.

use serde::{Deserialize, Serialize};

use super::event::EventKind;

/// A circumstance under which an event is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guard {
    /// There is nothing to tell apart.
    Always,
    /// The agent speaks command ids.
    AgentWithIds,
    /// An existing agent, without ids.
    ExistingAgent,
    /// The server itself does the work.
    ByServer,
    /// First attempt, unacknowledged, and certainly no byte left.
    NothingLeft,
    /// Some of it may have reached the agent, now or earlier.
    MayHaveLeft,
    /// Tells something new: the agent has the command, or its process id.
    News,
    /// Tells nothing new.
    Known,
    /// An exit is already on record.
    AlreadyRecorded,
    /// Exit 0, and exit 0 is all that is asked for.
    NeedsNothing,
    /// Facts reported after the exit decide.
    NeedsFacts,
    /// The agent has to register again before anything is decided.
    NeedsReturn,
    /// The exit code says that it failed.
    Failed,
    /// The agent knows that it does not know how it ended.
    Interrupted,
    /// Not acknowledged.
    Unacknowledged,
    /// Acknowledged.
    Acknowledged,
    /// Not acknowledged, and the agent may still start it.
    MayStillStart,
    /// A stronger signal than the one already sent.
    StrongerSignal,
    /// The signal was already sent.
    RepeatedSignal,
    /// Nothing special.
    Plain,
    /// All extensions together stay within the bound.
    WithinBound,
    /// Too short, or together above the bound.
    BeyondBound,
    /// A person cancels it.
    Cancelled,
    /// A newer intent replaces it.
    Superseded,
    /// An earlier stage failed.
    StageFailed,
    /// A deploy with a person behind it.
    AttendedDeploy,
    /// A deploy of an automation: there is nobody to decide.
    UnattendedDeploy,
    /// Neither a deploy nor the server's own work.
    OtherOp,
    /// Connected, unacknowledged, attempts left, lease not over.
    ResendDue,
    /// Nothing to resend, but it may still start.
    WaitForLease,
    /// Not acknowledged, and it cannot start any more.
    LeaseOver,
    /// Acknowledged once, but the agent came back without it, and it cannot start any more.
    LostByAgent,
    /// An existing agent whose exit 0 was seen is connected: it did not need to reconnect.
    StayedConnected,
    /// The agent is not back.
    StillAway,
    /// An operation that may take the agent down.
    SwitchLike,
    /// The agent says it runs this command.
    Running,
    /// It came back as a new process or boot, as it should.
    CameBack,
    /// A restart or reboot whose agent shows the old process or boot.
    SameProcess,
    /// The agent does not know the command, but it may still start.
    MissingMayStart,
    /// The agent does not know the command, and it cannot start any more.
    Missing,
    /// An existing agent, after an exit 0 on record.
    ExistingAfterExit,
    /// An existing agent that restarted or rebooted, as far as anyone can tell.
    ExistingRestarted,
    /// An existing agent, with no exit on record.
    ExistingNoExit,
    /// The facts show the goal reached.
    Reached,
    /// Reached, but units failed.
    UnitsFailed,
    /// Reached, but the agent is the old one.
    AgentUnchanged,
    /// Reached, but only the agent's source changed.
    OnlySourceChanged,
    /// Not reached.
    NotReached,
    /// Neither confirmed nor denied, for good.
    Unverified,
    /// The exit code was a failure, and the facts do not show otherwise.
    FailedAfterAll,
    /// Not settled yet.
    NotYet,
}

/// The partition of circumstances for a kind of event: exactly one of them holds.
#[must_use]
pub const fn guards(kind: EventKind) -> &'static [Guard] {
    use Guard as G;
    match kind {
        EventKind::Start
        | EventKind::ValidateFail
        | EventKind::Sent
        | EventKind::DeadlineWarn
        | EventKind::DeadlineKill
        | EventKind::ServerRestart => &[G::Always],
        EventKind::ValidateOk => &[G::AgentWithIds, G::ExistingAgent, G::ByServer],
        EventKind::SendFail => &[G::NothingLeft, G::MayHaveLeft],
        EventKind::Accepted
        | EventKind::Started
        | EventKind::Output
        | EventKind::Progress
        | EventKind::Heartbeat => &[G::News, G::Known],
        EventKind::ResultOk => &[
            G::AlreadyRecorded,
            G::NeedsNothing,
            G::NeedsFacts,
            G::NeedsReturn,
        ],
        EventKind::ResultFail => &[
            G::AlreadyRecorded,
            G::NeedsFacts,
            G::NeedsReturn,
            G::Failed,
            G::Interrupted,
        ],
        EventKind::KillAck => &[G::AlreadyRecorded, G::Plain],
        EventKind::Rejected => &[G::Unacknowledged, G::Acknowledged],
        EventKind::KillRequest => &[
            G::ByServer,
            G::StrongerSignal,
            G::RepeatedSignal,
            G::MayStillStart,
            G::Plain,
        ],
        EventKind::Extend => &[G::WithinBound, G::BeyondBound],
        EventKind::Ignore => &[G::MayStillStart, G::Plain],
        EventKind::Cancel => &[G::Cancelled, G::Superseded, G::StageFailed],
        EventKind::DeadlineHard => &[
            G::ByServer,
            G::AttendedDeploy,
            G::UnattendedDeploy,
            G::OtherOp,
        ],
        EventKind::DeadlineAck => &[G::ResendDue, G::WaitForLease, G::LeaseOver, G::LostByAgent],
        EventKind::DeadlineReconnect => &[G::StayedConnected, G::StillAway],
        EventKind::DeadlineAbandon => &[
            G::FailedAfterAll,
            G::AgentUnchanged,
            G::OnlySourceChanged,
            G::Unverified,
        ],
        EventKind::Disconnect => &[G::SwitchLike, G::OtherOp],
        EventKind::Hello => &[
            G::ByServer,
            G::Running,
            G::CameBack,
            G::SameProcess,
            G::MissingMayStart,
            G::Missing,
            G::ExistingAfterExit,
            G::ExistingRestarted,
            G::ExistingNoExit,
        ],
        EventKind::Facts => &[
            G::Reached,
            G::UnitsFailed,
            G::AgentUnchanged,
            G::OnlySourceChanged,
            G::NotReached,
            G::Unverified,
            G::FailedAfterAll,
            G::NotYet,
        ],
    }
}
