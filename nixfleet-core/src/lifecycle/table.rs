//! The transition table of a command, and beside it the list of what deliberately does nothing.
//! Together they cover every (phase, kind of event, circumstance) exactly once; a test proves it.
//! What an ending does to the host stands in `outcome.rs`, what a late result does in `late.rs`.
//! No rule of the lifecycle stands anywhere else: code only tells circumstances apart
//! (`classify.rs`), carries out what rows name (`perform.rs`) and judges goals (`goal.rs`).

use serde::{Deserialize, Serialize};

use super::Phase;
use super::ending::{EndingKind, UnknownCause, UnverifiedCause};
use super::event::EventKind;
use super::guard::Guard;
use super::outcome::EndingSpec;

/// Where a row leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum To {
    /// The same phase.
    Stay,
    /// Another live phase.
    Go(Phase),
    /// The end; [`super::ENDINGS`] names the terminal phase.
    End(EndingKind),
    /// `ERROR`, outcome unknown, for this cause.
    Unknown(UnknownCause),
    /// `PARTIAL`, unverified, for this cause.
    Unverified(UnverifiedCause),
}

/// Which deadline a row arms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arm {
    /// The one that is armed already.
    Keep,
    /// The one that is armed already; if it passed while the server was down, 2 minutes later.
    Resume,
    /// None: the command has ended.
    Nothing,
    /// For checking the preconditions.
    Validation,
    /// The next resend, or the end of the lease.
    Acknowledge,
    /// The end of the lease.
    LeaseEnd,
    /// The warning timeout, or the hard one where the operation has no warning.
    Run,
    /// The hard timeout.
    Hard,
    /// For a person to decide.
    Decision,
    /// For the confirmation of a kill.
    Kill,
    /// For the agent to come back.
    Reconnect,
    /// For facts reported after the exit.
    Verify,
}

/// What a row does beside moving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Do {
    /// Pin target, baseline, sequence number and lease.
    Admit,
    /// Give it to the agent for the first time.
    Send,
    /// Give it to the agent again, with the same id.
    Resend,
    /// Do the work on the server.
    Perform,
    /// Say that it started.
    SayStarted,
    /// Note that the agent has it; the clock of its timeouts starts.
    Acknowledge,
    /// Note how far a `pull-switch` has come.
    NoteHalf,
    /// Note the exit.
    RecordExit,
    /// Let the agent forget its result.
    Confirm,
    /// Send the requested signal, or SIGTERM.
    Kill,
    /// Send the last signal again.
    KillAgain,
    /// Move both timeouts.
    Extend,
    /// Note that the agent is away.
    Away,
    /// Note that the agent is connected again.
    Back,
    /// Note the restart of the server.
    NoteRestart,
    /// Note what the facts say.
    NoteVerdict,
}

/// One row: in these phases, on these events, under these circumstances.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Stable name, found in traces, audit, goldens and documents.
    pub id: &'static str,
    /// The phases it is about.
    pub from: &'static [Phase],
    /// The kinds of event it is about.
    pub on: &'static [EventKind],
    /// The circumstances it is about; empty means all that the events have.
    pub when: &'static [Guard],
    /// Where it leads.
    pub to: To,
    /// Which deadline it arms.
    pub arm: Arm,
    /// What it does first, in order.
    pub then: &'static [Do],
    /// Why, in half a sentence.
    pub why: &'static str,
}

impl Row {
    /// Whether the row is about this case.
    #[must_use]
    pub fn covers(&self, phase: Phase, kind: EventKind, guard: Guard) -> bool {
        self.from.contains(&phase)
            && self.on.contains(&kind)
            && (self.when.is_empty() || self.when.contains(&guard))
    }
}

use Do::{
    Acknowledge, Admit, Away, Back, Confirm, Extend, Kill, KillAgain, NoteHalf, NoteRestart,
    NoteVerdict, Perform, RecordExit, Resend, SayStarted, Send,
};
use EventKind as On;
use Guard as G;
use Phase::{
    AwaitingReconnect, Blocked, Cancelled, Degraded, Error, Executing, Expired, Killed, Killing,
    Partial, Pending, RunningWarning, Skipped, StaleBinary, Success, Superseded, Suspicious,
    Timeout, TimeoutPending, Validating, Verifying,
};
use To::{End, Go, Stay, Unknown};

/// Before anything is sent.
const UNSENT: &[Phase] = &[Pending, Validating];
/// The agent works, as far as is known.
const RUNNING: &[Phase] = &[Executing, RunningWarning, TimeoutPending];
/// No exit is known, or it does not decide yet.
const OPEN: &[Phase] = &[
    Executing,
    RunningWarning,
    TimeoutPending,
    Killing,
    AwaitingReconnect,
];
/// Sent, and not terminal.
const SENT: &[Phase] = &[
    Executing,
    RunningWarning,
    TimeoutPending,
    Killing,
    AwaitingReconnect,
    Verifying,
];
/// Not terminal.
const LIVE: &[Phase] = &[
    Pending,
    Validating,
    Executing,
    RunningWarning,
    TimeoutPending,
    Killing,
    AwaitingReconnect,
    Verifying,
];
const TERMINAL: &[Phase] = &[
    Blocked,
    Killed,
    Success,
    Error,
    Partial,
    Degraded,
    Timeout,
    StaleBinary,
    Suspicious,
    Skipped,
    Cancelled,
    Expired,
    Superseded,
];
/// Messages by which an agent shows that it has the command.
const SIGNS: &[EventKind] = &[
    On::Accepted,
    On::Started,
    On::Output,
    On::Progress,
    On::Heartbeat,
];
const RESULTS: &[EventKind] = &[On::ResultOk, On::ResultFail, On::KillAck];

/// Everything that happens.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    // Queue and validation.
    Row { id: "start-validates",        from: &[Pending],    on: &[On::Start],           when: &[],                  to: Go(Validating),                      arm: Arm::Validation,  then: &[], why: "its turn has come: the preconditions are checked now, whatever they were before" },
    Row { id: "cancel-unsent",          from: UNSENT,        on: &[On::Cancel],          when: &[G::Cancelled],      to: End(EndingKind::Cancelled),          arm: Arm::Nothing,     then: &[], why: "a person withdrew it before it was sent" },
    Row { id: "supersede-unsent",       from: UNSENT,        on: &[On::Cancel],          when: &[G::Superseded],     to: End(EndingKind::Superseded),         arm: Arm::Nothing,     then: &[], why: "a newer intent replaced it before it was sent" },
    Row { id: "skip-unsent",            from: UNSENT,        on: &[On::Cancel],          when: &[G::StageFailed],    to: End(EndingKind::StageFailed),        arm: Arm::Nothing,     then: &[], why: "an earlier stage failed on this host" },
    Row { id: "queue-expires",          from: &[Pending],    on: &[On::DeadlineAbandon], when: &[],                  to: End(EndingKind::Expired),            arm: Arm::Nothing,     then: &[], why: "an old intent is not carried out by surprise" },
    Row { id: "validated-sends",        from: &[Validating], on: &[On::ValidateOk],      when: &[G::AgentWithIds],   to: Go(Executing),                       arm: Arm::Acknowledge, then: &[Admit, Send, SayStarted], why: "admitted: sent with id, sequence number and lease" },
    Row { id: "validated-sends-existing", from: &[Validating], on: &[On::ValidateOk],    when: &[G::ExistingAgent],  to: Go(Executing),                       arm: Arm::Run,         then: &[Admit, Send, SayStarted], why: "an existing agent acknowledges nothing, so its timeouts run from the sending" },
    Row { id: "validated-performs",     from: &[Validating], on: &[On::ValidateOk],      when: &[G::ByServer],       to: Go(Executing),                       arm: Arm::Run,         then: &[Admit, Perform, Acknowledge, SayStarted], why: "admitted: the server does it itself" },
    Row { id: "refused",                from: &[Validating], on: &[On::ValidateFail],    when: &[],                  to: End(EndingKind::Refused),            arm: Arm::Nothing,     then: &[], why: "a precondition failed; nothing was sent" },
    Row { id: "validation-hangs",       from: &[Validating], on: &[On::DeadlineAbandon], when: &[],                  to: End(EndingKind::Refused),            arm: Arm::Nothing,     then: &[], why: "checking must not take long; nothing was sent" },

    // Sending and acknowledgement.
    Row { id: "not-sent",               from: &[Executing, Killing, AwaitingReconnect], on: &[On::SendFail], when: &[G::NothingLeft], to: End(EndingKind::NotSent), arm: Arm::Nothing,     then: &[], why: "no byte left, so the agent cannot have it" },
    Row { id: "sign-of-life",           from: &[Executing],  on: SIGNS,                  when: &[G::News],           to: Stay,                                arm: Arm::Run,         then: &[Acknowledge, NoteHalf], why: "the agent has it: its timeouts run" },
    Row { id: "sign-while-running",     from: &[RunningWarning, TimeoutPending], on: SIGNS, when: &[G::News],        to: Stay,                                arm: Arm::Keep,        then: &[Acknowledge, NoteHalf], why: "noted; its deadline stays" },
    Row { id: "sign-while-killing",     from: &[Killing],    on: SIGNS,                  when: &[G::News],           to: Stay,                                arm: Arm::Keep,        then: &[Acknowledge, NoteHalf, KillAgain], why: "the kill may have overtaken the command" },
    Row { id: "sign-while-away",        from: &[AwaitingReconnect], on: SIGNS,           when: &[G::News],           to: Stay,                                arm: Arm::Keep,        then: &[Acknowledge], why: "it has the command, but only a registration tells what became of it" },
    Row { id: "resend",                 from: &[Executing],  on: &[On::DeadlineAck],     when: &[G::ResendDue],      to: Stay,                                arm: Arm::Acknowledge, then: &[Resend], why: "the same id again: the agent never runs it twice" },
    Row { id: "wait-for-lease",         from: &[Executing],  on: &[On::DeadlineAck],     when: &[G::WaitForLease],   to: Stay,                                arm: Arm::LeaseEnd,    then: &[], why: "it may still start until the lease is over" },
    Row { id: "never-acknowledged",     from: &[Executing],  on: &[On::DeadlineAck],     when: &[G::LeaseOver],      to: Unknown(UnknownCause::NotAcknowledged), arm: Arm::Nothing,  then: &[], why: "nothing can start any more, and nobody knows whether something did" },
    Row { id: "lost-by-agent",          from: &[Executing],  on: &[On::DeadlineAck],     when: &[G::LostByAgent],    to: Unknown(UnknownCause::UnknownToAgent), arm: Arm::Nothing,   then: &[], why: "the agent came back without it, and it cannot start any more" },
    Row { id: "tracking-stops",         from: &[AwaitingReconnect], on: &[On::DeadlineAck], when: &[G::LeaseOver, G::LostByAgent], to: End(EndingKind::StoppedTracking),    arm: Arm::Nothing,     then: &[], why: "a person stopped waiting, and it cannot start any more" },
    Row { id: "rejected",               from: OPEN,          on: &[On::Rejected],        when: &[G::Unacknowledged], to: End(EndingKind::Rejected),           arm: Arm::Nothing,     then: &[], why: "the agent refuses it, and says what it runs instead" },

    // Timeouts.
    Row { id: "warning",                from: &[Executing],  on: &[On::DeadlineWarn],    when: &[],                  to: Go(RunningWarning),                  arm: Arm::Hard,        then: &[], why: "it takes longer than usual" },
    Row { id: "deploy-overdue",         from: &[Executing, RunningWarning], on: &[On::DeadlineHard], when: &[G::AttendedDeploy], to: Go(TimeoutPending), arm: Arm::Decision,    then: &[], why: "a deploy is never killed by itself: a person decides" },
    Row { id: "deploy-overdue-alone",   from: &[Executing, RunningWarning], on: &[On::DeadlineHard], when: &[G::UnattendedDeploy], to: Unknown(UnknownCause::HardTimeout), arm: Arm::Nothing, then: &[], why: "in a rollout nobody is there to decide" },
    Row { id: "server-overdue",         from: &[Executing, RunningWarning], on: &[On::DeadlineHard], when: &[G::ByServer], to: Unknown(UnknownCause::HardTimeout), arm: Arm::Nothing, then: &[], why: "the server's own work has no process to stop" },
    Row { id: "overdue-is-killed",      from: &[Executing, RunningWarning], on: &[On::DeadlineHard], when: &[G::OtherOp], to: Go(Killing),               arm: Arm::Kill,        then: &[Kill], why: "stopping it half way does no harm" },
    Row { id: "nobody-decided",         from: &[TimeoutPending], on: &[On::DeadlineAbandon], when: &[],              to: Unknown(UnknownCause::NoDecision),   arm: Arm::Nothing,     then: &[], why: "the host must not stay occupied for ever" },
    Row { id: "extended",               from: &[RunningWarning, TimeoutPending], on: &[On::Extend], when: &[G::WithinBound], to: Go(Executing),           arm: Arm::Run,         then: &[Extend], why: "a person gave it more time" },
    Row { id: "tracking-given-up",      from: &[RunningWarning, TimeoutPending, AwaitingReconnect], on: &[On::Ignore], when: &[G::Plain], to: End(EndingKind::StoppedTracking), arm: Arm::Nothing, then: &[], why: "a person stopped tracking it; the host stays busy until its agent reports idle" },
    Row { id: "tracking-given-up-later", from: &[AwaitingReconnect], on: &[On::Ignore],  when: &[G::MayStillStart],  to: Stay,                                arm: Arm::LeaseEnd,    then: &[], why: "it ends once it can no longer start" },

    // Kill.
    Row { id: "kill",                   from: RUNNING,       on: &[On::KillRequest],     when: &[G::StrongerSignal, G::RepeatedSignal, G::MayStillStart, G::Plain], to: Go(Killing), arm: Arm::Kill, then: &[Kill], why: "the agent escalates, and confirms an empty process group" },
    Row { id: "kill-harder",            from: &[Killing],    on: &[On::KillRequest],     when: &[G::StrongerSignal], to: Stay,                                arm: Arm::Keep,        then: &[Kill], why: "a stronger signal, within the same deadline" },
    Row { id: "stop-waiting",           from: &[AwaitingReconnect], on: &[On::KillRequest], when: &[G::StrongerSignal, G::RepeatedSignal, G::Plain], to: End(EndingKind::StoppedTracking), arm: Arm::Nothing, then: &[], why: "nobody is there to be killed: it means to stop waiting" },
    Row { id: "stop-waiting-later",     from: &[AwaitingReconnect], on: &[On::KillRequest], when: &[G::MayStillStart], to: Stay,                              arm: Arm::LeaseEnd,    then: &[], why: "it ends once it can no longer start" },
    Row { id: "stopped",                from: OPEN,          on: &[On::KillAck],         when: &[G::Plain],          to: End(EndingKind::Stopped),            arm: Arm::Nothing,     then: &[Acknowledge, RecordExit, Confirm], why: "the agent confirms that nothing of it runs any more" },
    Row { id: "kill-unconfirmed",       from: &[Killing],    on: &[On::DeadlineKill],    when: &[],                  to: Unknown(UnknownCause::KillNotConfirmed), arm: Arm::Nothing, then: &[], why: "without confirmation nobody may say that it was stopped" },

    // Results.
    Row { id: "done",                   from: OPEN,          on: &[On::ResultOk],        when: &[G::NeedsNothing],   to: End(EndingKind::Reached),            arm: Arm::Nothing,     then: &[Acknowledge, RecordExit, Confirm], why: "exit 0 is all that was asked for" },
    Row { id: "exit-to-verify",         from: OPEN,          on: &[On::ResultOk, On::ResultFail], when: &[G::NeedsFacts], to: Go(Verifying),              arm: Arm::Verify,      then: &[Acknowledge, RecordExit, Confirm], why: "an exit code is not proof: facts reported after it are" },
    Row { id: "exit-awaits-return",     from: OPEN,          on: &[On::ResultOk, On::ResultFail], when: &[G::NeedsReturn],    to: Go(AwaitingReconnect),               arm: Arm::Reconnect,   then: &[Acknowledge, RecordExit, Confirm], why: "the agent has to come back first" },
    Row { id: "failed",                 from: OPEN,          on: &[On::ResultFail],      when: &[G::Failed],         to: End(EndingKind::ExitCode),           arm: Arm::Nothing,     then: &[Acknowledge, RecordExit, Confirm], why: "it said so itself" },
    Row { id: "interrupted",            from: OPEN,          on: &[On::ResultFail],      when: &[G::Interrupted],    to: Unknown(UnknownCause::Interrupted),  arm: Arm::Nothing,     then: &[Acknowledge, RecordExit, Confirm], why: "the agent says that it does not know" },
    Row { id: "result-again",           from: SENT,          on: RESULTS,                when: &[G::AlreadyRecorded], to: Stay,                               arm: Arm::Keep,        then: &[Confirm], why: "the agent missed the confirmation" },

    // The connection.
    Row { id: "taken-down",             from: RUNNING,       on: &[On::Disconnect],      when: &[G::SwitchLike],     to: Go(AwaitingReconnect),               arm: Arm::Reconnect,   then: &[Away], why: "it may have taken its own agent down; what that reports on return decides" },
    Row { id: "agent-lost",             from: RUNNING,       on: &[On::Disconnect],      when: &[G::OtherOp],        to: Stay,                                arm: Arm::Keep,        then: &[Away], why: "its deadlines stay, and it waits for the agent" },
    Row { id: "lost-while-killing",     from: &[Killing],    on: &[On::Disconnect],      when: &[],                  to: Stay,                                arm: Arm::Kill,        then: &[Away], why: "an agent that is away gets longer to confirm" },
    Row { id: "lost-while-waiting",     from: &[AwaitingReconnect, Verifying], on: &[On::Disconnect], when: &[],     to: Stay,                                arm: Arm::Keep,        then: &[Away], why: "that was to be expected" },
    Row { id: "runs-on",                from: &[Executing],  on: &[On::Hello],           when: &[G::Running],        to: Stay,                                arm: Arm::Run,         then: &[Acknowledge, Back], why: "it was only the connection" },
    Row { id: "runs-on-late",           from: &[RunningWarning, TimeoutPending], on: &[On::Hello], when: &[G::Running], to: Stay,                             arm: Arm::Keep,        then: &[Back], why: "it was only the connection" },
    Row { id: "resumes",                from: &[AwaitingReconnect], on: &[On::Hello],    when: &[G::Running],        to: Go(Executing),                       arm: Arm::Run,         then: &[Acknowledge, Back], why: "a blip in the middle of a switch is not its end" },
    Row { id: "runs-on-while-killing",  from: &[Killing],    on: &[On::Hello],           when: &[G::Running],        to: Stay,                                arm: Arm::Kill,        then: &[Acknowledge, Back, KillAgain], why: "the kill may have been lost with the connection" },
    Row { id: "still-to-be-killed",     from: &[Killing],    on: &[On::Hello],           when: &[G::MissingMayStart, G::SameProcess, G::ExistingNoExit, G::ExistingAfterExit], to: Stay, arm: Arm::Kill, then: &[Back, KillAgain], why: "it may still start, or be running unseen" },
    Row { id: "came-back",              from: OPEN,          on: &[On::Hello],           when: &[G::CameBack],       to: Go(Verifying),                       arm: Arm::Verify,      then: &[Acknowledge, Back], why: "a new process or boot is what was wanted" },
    Row { id: "not-restarted-yet",      from: &[Executing, RunningWarning, TimeoutPending, AwaitingReconnect], on: &[On::Hello], when: &[G::SameProcess], to: Stay, arm: Arm::Keep, then: &[Back], why: "only the connection was lost; the restart may still come" },
    Row { id: "never-arrived",          from: &[Executing, RunningWarning, TimeoutPending, AwaitingReconnect], on: &[On::Hello], when: &[G::MissingMayStart], to: Go(Executing), arm: Arm::Acknowledge, then: &[Back], why: "the agent does not have it, and may still get it within the lease" },
    Row { id: "unknown-to-agent",       from: OPEN,          on: &[On::Hello],           when: &[G::Missing],        to: Unknown(UnknownCause::UnknownToAgent), arm: Arm::Nothing,   then: &[], why: "the agent has no record of it, and it cannot start any more" },
    Row { id: "existing-returns-after-exit", from: &[AwaitingReconnect], on: &[On::Hello], when: &[G::ExistingAfterExit], to: Go(Verifying),                  arm: Arm::Verify,      then: &[Back], why: "exit 0 was seen, and the agent is back: its facts decide" },
    Row { id: "existing-only-came-back", from: &[AwaitingReconnect], on: &[On::Hello],   when: &[G::ExistingNoExit], to: To::Unverified(UnverifiedCause::OnlyCameBack), arm: Arm::Nothing, then: &[], why: "an existing agent keeps no record of what it did" },
    Row { id: "existing-restarted",     from: OPEN,          on: &[On::Hello],           when: &[G::ExistingRestarted], to: To::Unverified(UnverifiedCause::OnlyCameBack), arm: Arm::Nothing, then: &[], why: "it registered again, but nothing proves that it restarted" },
    Row { id: "existing-goes-on",       from: RUNNING,       on: &[On::Hello],           when: &[G::ExistingNoExit, G::ExistingAfterExit], to: Stay,           arm: Arm::Keep,        then: &[Back], why: "its result may still come" },
    Row { id: "back-while-verifying",   from: &[Verifying],  on: &[On::Hello],           when: &[G::Running, G::CameBack, G::SameProcess, G::MissingMayStart, G::Missing, G::ExistingAfterExit, G::ExistingRestarted, G::ExistingNoExit], to: Stay, arm: Arm::Keep, then: &[Back], why: "its facts are judged next" },
    Row { id: "never-returned",         from: &[AwaitingReconnect], on: &[On::DeadlineReconnect], when: &[G::StillAway], to: End(EndingKind::NeverReturned), arm: Arm::Nothing,     then: &[], why: "the agent had its time" },
    Row { id: "never-left",             from: &[AwaitingReconnect], on: &[On::DeadlineReconnect], when: &[G::StayedConnected], to: Go(Verifying),            arm: Arm::Verify,      then: &[], why: "exit 0 was seen and the agent did not need to reconnect: its facts decide" },
    Row { id: "server-restarted",       from: LIVE,          on: &[On::ServerRestart],   when: &[],                  to: Stay,                                arm: Arm::Resume,      then: &[NoteRestart], why: "resumed with its deadlines; one that passed meanwhile waits 2 minutes for the agent" },

    // Verification.
    Row { id: "goal-reached",           from: &[Verifying],  on: &[On::Facts],           when: &[G::Reached],        to: End(EndingKind::Reached),            arm: Arm::Nothing,     then: &[NoteVerdict], why: "facts reported after the exit show it" },
    Row { id: "units-failed",           from: &[Verifying],  on: &[On::Facts],           when: &[G::UnitsFailed],    to: End(EndingKind::UnitsFailed),        arm: Arm::Nothing,     then: &[NoteVerdict], why: "it runs, with units that failed" },
    Row { id: "agent-unchanged",        from: &[Verifying],  on: &[On::Facts, On::DeadlineAbandon], when: &[G::AgentUnchanged], to: End(EndingKind::AgentUnchanged), arm: Arm::Nothing, then: &[NoteVerdict], why: "the system is new, its agent is not" },
    Row { id: "only-source-changed",    from: &[Verifying],  on: &[On::Facts, On::DeadlineAbandon], when: &[G::OnlySourceChanged], to: End(EndingKind::OnlySourceChanged), arm: Arm::Nothing, then: &[NoteVerdict], why: "the agent names a new commit, with the old binary" },
    Row { id: "goal-missed",            from: &[Verifying],  on: &[On::Facts],           when: &[G::NotReached],     to: End(EndingKind::GoalNotReached),     arm: Arm::Nothing,     then: &[NoteVerdict], why: "exit 0, but the facts show something else" },
    Row { id: "unverifiable",           from: &[Verifying],  on: &[On::Facts, On::DeadlineAbandon], when: &[G::Unverified], to: End(EndingKind::Unverified), arm: Arm::Nothing,    then: &[NoteVerdict], why: "no facts came that could prove it" },
    Row { id: "failed-after-all",       from: &[Verifying],  on: &[On::Facts, On::DeadlineAbandon], when: &[G::FailedAfterAll], to: End(EndingKind::ExitCode), arm: Arm::Nothing,  then: &[NoteVerdict], why: "its exit code was a failure, and nothing shows that it switched" },
    Row { id: "not-settled-yet",        from: &[Verifying],  on: &[On::Facts],           when: &[G::NotYet],         to: Stay,                                arm: Arm::Keep,        then: &[NoteVerdict], why: "more facts may come until the deadline" },
];

/// Everything that deliberately does nothing.
#[rustfmt::skip]
pub const IGNORED: &[Row] = &[
    ignored("terminal-is-final", TERMINAL, &EventKind::ALL, &[], "late events never change a command; a late result is noted elsewhere"),
    ignored("already-started", &[Validating, Executing, RunningWarning, TimeoutPending, Killing, AwaitingReconnect, Verifying], &[On::Start], &[], "it has left the queue"),
    ignored("validation-is-over", &[Pending, Executing, RunningWarning, TimeoutPending, Killing, AwaitingReconnect, Verifying], &[On::ValidateOk, On::ValidateFail], &[], "it is not being validated"),
    ignored("withdrawn-too-late", SENT, &[On::Cancel], &[], "it was sent: it can be stopped, not withdrawn"),
    ignored("handed-over", LIVE, &[On::Sent], &[], "only the agent's word counts as arrival"),
    ignored("not-sent-yet", UNSENT, &[On::SendFail, On::Accepted, On::Started, On::Output, On::Progress, On::Heartbeat, On::ResultOk, On::ResultFail, On::KillAck, On::Rejected], &[], "nothing was sent: it cannot be about this command"),
    ignored("no-agent-needed-yet", UNSENT, &[On::Disconnect, On::Hello], &[], "whether the agent is there is asked when it starts"),
    ignored("nothing-to-stop-yet", UNSENT, &[On::KillRequest, On::Extend, On::Ignore], &[], "it does not run: it can be cancelled"),
    ignored("may-have-arrived", &[Executing, Killing, AwaitingReconnect], &[On::SendFail], &[G::MayHaveLeft], "the agent may have it: acknowledgement or lease decide"),
    ignored("send-outcome-is-old", &[RunningWarning, TimeoutPending, Verifying], &[On::SendFail], &[], "it has been heard of since"),
    ignored("nothing-new", OPEN, SIGNS, &[G::Known], "already known"),
    ignored("sign-after-exit", &[Verifying], SIGNS, &[], "it has ended; only facts matter now"),
    ignored("rejects-what-it-has", OPEN, &[On::Rejected], &[G::Acknowledged], "the agent has it: the refusal is about a copy"),
    ignored("rejection-after-exit", &[Verifying], &[On::Rejected], &[], "it has ended"),
    ignored("server-cannot-be-killed", OPEN, &[On::KillRequest], &[G::ByServer], "the server's own work is short and bounded by its timeout"),
    ignored("kill-is-under-way", &[Killing], &[On::KillRequest], &[G::RepeatedSignal, G::MayStillStart, G::Plain], "the signal was sent"),
    ignored("kill-after-exit", &[Verifying], &[On::KillRequest], &[], "it has ended; only its goal is being checked"),
    ignored("extend-beyond-bound", &[RunningWarning, TimeoutPending], &[On::Extend], &[G::BeyondBound], "extensions are at least a minute, and four hours together"),
    ignored("extend-out-of-place", &[Executing, Killing, AwaitingReconnect, Verifying], &[On::Extend], &[], "only a running command past its warning is extended"),
    ignored("ignore-out-of-place", &[Executing, Killing, Verifying], &[On::Ignore], &[], "there is nothing to decide"),
    ignored("ignore-before-start", &[RunningWarning, TimeoutPending], &[On::Ignore], &[G::MayStillStart], "it cannot be overdue before it has started"),
    ignored("warning-out-of-place", &[Pending, Validating, RunningWarning, TimeoutPending, Killing, AwaitingReconnect, Verifying], &[On::DeadlineWarn], &[], "not armed in this phase"),
    ignored("hard-out-of-place", &[Pending, Validating, TimeoutPending, Killing, AwaitingReconnect, Verifying], &[On::DeadlineHard], &[], "not armed in this phase"),
    ignored("ack-out-of-place", &[Pending, Validating, RunningWarning, TimeoutPending, Killing, Verifying], &[On::DeadlineAck], &[], "not armed in this phase"),
    ignored("lease-still-runs", &[AwaitingReconnect], &[On::DeadlineAck], &[G::ResendDue, G::WaitForLease], "while the agent is away only the end of the lease is armed"),
    ignored("exit-without-record", &[Verifying], RESULTS, &[G::NeedsNothing, G::NeedsFacts, G::NeedsReturn, G::Failed, G::Interrupted, G::Plain], "a command that is verified has its exit on record, or is judged at once"),
    ignored("kill-out-of-place", &[Pending, Validating, Executing, RunningWarning, TimeoutPending, AwaitingReconnect, Verifying], &[On::DeadlineKill], &[], "not armed in this phase"),
    ignored("reconnect-out-of-place", &[Pending, Validating, Executing, RunningWarning, TimeoutPending, Killing, Verifying], &[On::DeadlineReconnect], &[], "not armed in this phase"),
    ignored("abandon-out-of-place", &[Executing, RunningWarning, Killing, AwaitingReconnect], &[On::DeadlineAbandon], &[], "not armed in this phase"),
    ignored("server-needs-no-agent", SENT, &[On::Hello], &[G::ByServer], "the server does it itself"),
    ignored("facts-before-exit", &[Pending, Validating, Executing, RunningWarning, TimeoutPending, Killing, AwaitingReconnect], &[On::Facts], &[], "only facts reported after the exit count"),
];

const fn ignored(
    id: &'static str,
    from: &'static [Phase],
    on: &'static [EventKind],
    when: &'static [Guard],
    why: &'static str,
) -> Row {
    Row {
        id,
        from,
        on,
        when,
        to: To::Stay,
        arm: Arm::Keep,
        then: &[],
        why,
    }
}

/// What a command is played by.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// Its transitions, and what is ignored.
    pub rows: &'a [&'a [Row]],
    /// The row of each ending.
    pub endings: &'a dyn Fn(EndingKind) -> &'a EndingSpec,
}

impl Rules<'static> {
    /// [`TABLE`], [`IGNORED`] and [`super::ENDINGS`].
    pub const IN_FORCE: Self = Rules {
        rows: &[TABLE, IGNORED],
        endings: &EndingKind::spec,
    };
}

impl<'a> Rules<'a> {
    pub(super) fn row(&self, phase: Phase, kind: EventKind, guard: Guard) -> Option<&'a Row> {
        let mut rows = self.rows.iter().copied().flatten();
        rows.find(|row| row.covers(phase, kind, guard))
    }
}

/// The row for a case. There is exactly one; a test proves it.
#[must_use]
pub fn row(phase: Phase, kind: EventKind, guard: Guard) -> Option<&'static Row> {
    Rules::IN_FORCE.row(phase, kind, guard)
}
