//! Which circumstance holds: reduces a command and an event to one [`Guard`]. Nothing is decided
//! here; what follows from a circumstance stands in the table.

use super::command::Command;
use super::event::{Address, Event, EventKind, Hello, Signal, Withdrawal};
use super::exit::ExitReport;
use super::goal::{Verdict, Waiting};
use super::guard::Guard;
use super::timing;
use crate::host::{Actor, AgentProtocol};
use crate::ids::Token;
use crate::op::{EXIT_DEGRADED, Goal, Op, OpClass};
use crate::report::ResultKind;
use crate::time::Timestamp;

const fn either(condition: bool, yes: Guard, no: Guard) -> Guard {
    if condition { yes } else { no }
}

/// The circumstance of a deadline of this kind.
pub(super) fn of_deadline(command: &Command, kind: EventKind, now: Timestamp) -> Guard {
    match kind {
        EventKind::DeadlineHard if command.by_server() => Guard::ByServer,
        EventKind::DeadlineHard if command.op.is_deploy() => match command.actor {
            Actor::Person(_) => Guard::AttendedDeploy,
            Actor::Automation(_) => Guard::UnattendedDeploy,
        },
        EventKind::DeadlineHard => Guard::OtherOp,
        EventKind::DeadlineAck => acknowledgement(command, now),
        EventKind::DeadlineReconnect => either(
            command.connected && command.exit.is_some() && command.op.is_deploy(),
            Guard::StayedConnected,
            Guard::StillAway,
        ),
        EventKind::DeadlineAbandon => abandoned(command),
        EventKind::DeadlineWarn
        | EventKind::DeadlineKill
        | EventKind::Start
        | EventKind::ValidateOk
        | EventKind::ValidateFail
        | EventKind::Sent
        | EventKind::SendFail
        | EventKind::Accepted
        | EventKind::Started
        | EventKind::Output
        | EventKind::Progress
        | EventKind::ResultOk
        | EventKind::ResultFail
        | EventKind::Rejected
        | EventKind::KillRequest
        | EventKind::KillAck
        | EventKind::Extend
        | EventKind::Ignore
        | EventKind::Cancel
        | EventKind::Disconnect
        | EventKind::Hello
        | EventKind::Heartbeat
        | EventKind::ServerRestart
        | EventKind::Facts => Guard::Always,
    }
}

fn acknowledgement(command: &Command, now: Timestamp) -> Guard {
    if !command.lease_runs(now) {
        either(
            command.acknowledged_at.is_none(),
            Guard::LeaseOver,
            Guard::LostByAgent,
        )
    } else if command.connected
        && command.acknowledged_at.is_none()
        && command.attempts <= timing::MAX_RESENDS
        && command.not_after.is_some_and(|end| now < end)
    {
        Guard::ResendDue
    } else {
        Guard::WaitForLease
    }
}

fn abandoned(command: &Command) -> Guard {
    if command.exited_badly() {
        return Guard::FailedAfterAll;
    }
    match command.verdict {
        Some(Verdict::Waiting(Waiting::AgentUnchanged)) => Guard::AgentUnchanged,
        Some(Verdict::Waiting(Waiting::OnlySourceChanged)) => Guard::OnlySourceChanged,
        Some(
            Verdict::Waiting(Waiting::Facts(_))
            | Verdict::Reached
            | Verdict::UnitsFailed(_)
            | Verdict::AgentUnchanged
            | Verdict::OnlySourceChanged
            | Verdict::NotReached(_)
            | Verdict::Unverified(_),
        )
        | None => Guard::Unverified,
    }
}

/// The circumstance of judged facts.
pub(super) fn of_facts(command: &Command, verdict: &Verdict) -> Guard {
    let failed = command.exited_badly();
    match verdict {
        Verdict::Reached => Guard::Reached,
        Verdict::UnitsFailed(_) => Guard::UnitsFailed,
        Verdict::AgentUnchanged => Guard::AgentUnchanged,
        Verdict::OnlySourceChanged => Guard::OnlySourceChanged,
        Verdict::NotReached(_) | Verdict::Unverified(_) if failed => Guard::FailedAfterAll,
        Verdict::NotReached(_) => Guard::NotReached,
        Verdict::Unverified(_) => Guard::Unverified,
        Verdict::Waiting(_) => Guard::NotYet,
    }
}

/// The circumstance of an event.
pub(super) fn of_event(command: &Command, event: &Event<'_>, now: Timestamp) -> Guard {
    match event {
        Event::Start | Event::ValidateFail(_) | Event::Sent | Event::ServerRestart => Guard::Always,
        Event::ValidateOk { .. } if command.by_server() => Guard::ByServer,
        Event::ValidateOk { admitted, .. } => match admitted.protocol() {
            AgentProtocol::Commands => Guard::AgentWithIds,
            AgentProtocol::Existing => Guard::ExistingAgent,
        },
        Event::SendFail { nothing_left, .. } => either(
            *nothing_left && command.attempts <= 1 && command.acknowledged_at.is_none(),
            Guard::NothingLeft,
            Guard::MayHaveLeft,
        ),
        Event::Accepted { pid, .. } | Event::Started { pid, .. } => either(
            command.acknowledged_at.is_none() || (pid.is_some() && command.pid.is_none()),
            Guard::News,
            Guard::Known,
        ),
        Event::Output { .. } => {
            either(command.acknowledged_at.is_none(), Guard::News, Guard::Known)
        }
        Event::Progress { half, .. } => either(
            command.acknowledged_at.is_none() || *half > command.half,
            Guard::News,
            Guard::Known,
        ),
        Event::Heartbeat { running, .. } => {
            let names_this = |address: &Address| command.concerns(*address);
            let new = command.acknowledged_at.is_none();
            either(
                new && running.as_ref().is_some_and(names_this),
                Guard::News,
                Guard::Known,
            )
        }
        Event::Exited(report) => exited(command, report),
        Event::Rejected { .. } => either(
            command.acknowledged_at.is_none(),
            Guard::Unacknowledged,
            Guard::Acknowledged,
        ),
        Event::KillRequest(signal) => kill_request(command, *signal, now),
        Event::Extend(by) => either(
            *by >= timing::MIN_EXTENSION
                && command.extended.saturating_add(*by) <= timing::MAX_EXTENSION,
            Guard::WithinBound,
            Guard::BeyondBound,
        ),
        Event::Ignore => either(
            command.may_still_start(now),
            Guard::MayStillStart,
            Guard::Plain,
        ),
        Event::Cancel(Withdrawal::Cancelled) => Guard::Cancelled,
        Event::Cancel(Withdrawal::Superseded) => Guard::Superseded,
        Event::Cancel(Withdrawal::StageFailed) => Guard::StageFailed,
        Event::Disconnect => either(
            command.op.is_switch_like(),
            Guard::SwitchLike,
            Guard::OtherOp,
        ),
        Event::Hello(registration) => hello(command, registration, now),
    }
}

fn exited(command: &Command, report: &ExitReport) -> Guard {
    let spec = command.op.spec();
    let existing = command.protocol == AgentProtocol::Existing;
    let deploy = spec.class == OpClass::Deploy;
    if command.exit.is_some() {
        Guard::AlreadyRecorded
    } else {
        let disruptive = spec.class == OpClass::Disruptive;
        match report.kind {
            ResultKind::Stopped => Guard::Plain,
            // Being interrupted is what a restart or a reboot does to its own command.
            ResultKind::Interrupted if disruptive => Guard::NeedsReturn,
            ResultKind::Interrupted => Guard::Interrupted,
            ResultKind::Error if report.code == EXIT_DEGRADED && deploy && !existing => {
                Guard::NeedsFacts
            }
            ResultKind::Error => Guard::Failed,
            ResultKind::Ok if command.by_server() || spec.goal == Goal::None => Guard::NeedsNothing,
            ResultKind::Ok if disruptive || (existing && deploy) => Guard::NeedsReturn,
            ResultKind::Ok => Guard::NeedsFacts,
        }
    }
}

fn kill_request(command: &Command, signal: Signal, now: Timestamp) -> Guard {
    match command.signal {
        _ if command.by_server() => Guard::ByServer,
        Some(sent) if sent < signal => Guard::StrongerSignal,
        Some(_) => Guard::RepeatedSignal,
        None if command.may_still_start(now) => Guard::MayStillStart,
        None => Guard::Plain,
    }
}

fn hello(command: &Command, registration: &Hello<'_>, now: Timestamp) -> Guard {
    let disruptive = command.op.spec().class == OpClass::Disruptive;
    if command.by_server() {
        return Guard::ByServer;
    }
    if command.protocol == AgentProtocol::Existing {
        return if disruptive {
            Guard::ExistingRestarted
        } else if command.exit.is_some() {
            Guard::ExistingAfterExit
        } else {
            Guard::ExistingNoExit
        };
    }
    if disruptive && came_back(command, registration) {
        return Guard::CameBack;
    }
    if registration.running == Some(command.id) && command.exit.is_none() {
        return Guard::Running;
    }
    if disruptive && command.acknowledged_at.is_some() {
        return Guard::SameProcess;
    }
    either(
        command.lease_runs(now),
        Guard::MissingMayStart,
        Guard::Missing,
    )
}

/// Whether a registration proves that a restart or reboot happened.
pub(super) fn came_back(command: &Command, registration: &Hello<'_>) -> bool {
    let changed = |before: &Option<Token>, now: Option<&Token>| {
        before
            .as_ref()
            .zip(now)
            .is_some_and(|(before, now)| before != now)
    };
    let rebooted = changed(&command.baseline.boot_id, registration.boot_id);
    let restarted = changed(&command.baseline.instance_id, registration.instance_id);
    if command.op == Op::Reboot {
        rebooted
    } else {
        rebooted || restarted
    }
}
