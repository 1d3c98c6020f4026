//! The life of a command, told once more from the prose of the specification: no table, no armed
//! deadline. It looks at the clock every second and asks, sentence by sentence, what is due.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "prose names the cases it is about, and is silent on the others"
)]

use nixfleet_core::Op;
use nixfleet_core::lifecycle::{Phase, Signal, Withdrawal};
use nixfleet_core::op::Performer;
use nixfleet_core::report::ResultKind;

use crate::lifecycle::play::{Facts, Process, Word};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const NEVER: i64 = i64::MIN;

/// Everything one needs to remember about a command. Times are seconds since it was asked for.
#[derive(Clone)]
pub struct Story {
    op: Op,
    /// The agent speaks ids.
    ours: bool,
    /// Nobody is there to decide.
    robot: bool,
    pub phase: Phase,
    phase_began: i64,
    sent: i64,
    copies: i64,
    next_copy: Option<i64>,
    acknowledged: bool,
    pid: bool,
    lost_by_agent: bool,
    warn: Option<i64>,
    hard: Option<i64>,
    extended: i64,
    strongest: Option<Signal>,
    kill_by: i64,
    come_back_by: i64,
    giving_up: bool,
    verify_by: i64,
    exit: Option<(ResultKind, i32)>,
    returned: bool,
    away: bool,
    server_restarted: i64,
    /// What the agent's own binary comes to after a switch that worked: `SUCCESS` if it is the
    /// one it should be, else `STALE_BINARY` or `SUSPICIOUS`.
    pub agent: Phase,
    waits_for_agent: bool,
}

impl Story {
    pub fn queued(op: Op, ours: bool, robot: bool) -> Self {
        Self {
            op,
            ours,
            robot,
            phase: Phase::Pending,
            phase_began: 0,
            sent: NEVER,
            copies: 0,
            next_copy: None,
            acknowledged: false,
            pid: false,
            lost_by_agent: false,
            warn: None,
            hard: None,
            extended: 0,
            strongest: None,
            kill_by: NEVER,
            come_back_by: NEVER,
            giving_up: false,
            verify_by: NEVER,
            exit: None,
            returned: false,
            away: true,
            server_restarted: NEVER,
            agent: Phase::Success,
            waits_for_agent: false,
        }
    }

    /// How often it was given to a connection.
    pub fn copies(&self) -> i64 {
        self.copies
    }

    fn by_server(&self) -> bool {
        self.op.spec().performer == Performer::Server
    }

    fn restarts_something(&self) -> bool {
        matches!(self.op, Op::Restart | Op::Reboot)
    }

    fn go(&mut self, phase: Phase, t: i64) {
        self.phase = phase;
        self.phase_began = t;
    }

    fn running(&self) -> bool {
        matches!(
            self.phase,
            Phase::Executing | Phase::RunningWarning | Phase::TimeoutPending
        )
    }

    fn undecided(&self) -> bool {
        self.running() || matches!(self.phase, Phase::Killing | Phase::AwaitingReconnect)
    }

    /// "Lease + 2 × skew."
    fn can_start_until(&self) -> i64 {
        self.sent + 70
    }

    fn may_still_start(&self, t: i64) -> bool {
        self.ours && !self.by_server() && !self.acknowledged && t < self.can_start_until()
    }

    fn start_clock(&mut self, t: i64) {
        let spec = self.op.spec();
        let seconds = |d: std::time::Duration| i64::try_from(d.as_secs()).unwrap();
        self.warn = spec.warn.map(|warn| t + seconds(warn));
        self.hard = Some(t + seconds(spec.hard));
    }

    fn acknowledge(&mut self, t: i64) {
        self.acknowledged = true;
        self.lost_by_agent = false;
        if self.hard.is_none() {
            self.start_clock(t);
        }
    }

    /// "Deadlines that passed while the server was down fire no earlier than 2 minutes after."
    fn due(&self, t: i64, at: i64) -> bool {
        if at <= self.server_restarted {
            t >= self.server_restarted + 2 * MINUTE
        } else {
            t >= at
        }
    }

    /// One second of the clock; several things may be due at once.
    pub fn second(&mut self, t: i64) {
        while self.something_due(t) {}
    }

    fn something_due(&mut self, t: i64) -> bool {
        match self.phase {
            Phase::Pending if self.due(t, 24 * HOUR) => self.go(Phase::Expired, t),
            Phase::Validating if self.due(t, self.phase_began + 5) => self.go(Phase::Blocked, t),
            Phase::Executing if !self.acknowledged && self.ours && !self.by_server() => {
                return self.unacknowledged(t);
            }
            Phase::Executing if self.lost_by_agent => {
                if !self.due(t, self.can_start_until()) {
                    return false;
                }
                self.go(Phase::Error, t);
            }
            Phase::Executing if self.warn.is_some_and(|warn| self.due(t, warn)) => {
                self.go(Phase::RunningWarning, t);
            }
            Phase::Executing if self.warn.is_some() => return false,
            Phase::Executing | Phase::RunningWarning
                if self.hard.is_some_and(|hard| self.due(t, hard)) =>
            {
                if self.by_server() || (self.op.is_deploy() && self.robot) {
                    self.go(Phase::Error, t);
                } else if self.op.is_deploy() {
                    self.go(Phase::TimeoutPending, t);
                } else {
                    self.kill(Signal::Term, t);
                }
            }
            Phase::TimeoutPending
                if self.hard.is_some_and(|hard| self.due(t, hard + 24 * HOUR)) =>
            {
                self.go(Phase::Error, t);
            }
            Phase::Killing if self.due(t, self.kill_by) => self.go(Phase::Error, t),
            Phase::AwaitingReconnect if self.giving_up => {
                if !self.due(t, self.can_start_until()) {
                    return false;
                }
                self.go(Phase::Skipped, t);
            }
            Phase::AwaitingReconnect if self.due(t, self.come_back_by) => {
                if !self.away && self.exit.is_some() && self.op.is_deploy() {
                    self.verify(t);
                } else {
                    self.go(Phase::Timeout, t);
                }
            }
            Phase::Verifying if self.due(t, self.verify_by) => {
                let failed = self.exit.is_some_and(|(kind, _)| kind == ResultKind::Error);
                let phase = match (failed, self.waits_for_agent) {
                    (true, _) => Phase::Error,
                    (false, true) => self.agent,
                    (false, false) => Phase::Partial,
                };
                self.go(phase, t);
            }
            _ => return false,
        }
        true
    }

    fn unacknowledged(&mut self, t: i64) -> bool {
        if let Some(next) = self.next_copy {
            if !self.due(t, next) {
                return false;
            }
            if t >= self.can_start_until() {
                self.go(Phase::Error, t);
                return true;
            }
            if self.away || t >= self.sent + 60 {
                self.next_copy = None;
                return true;
            }
            self.copies += 1;
            self.plan_copy(t);
            return true;
        }
        let over = self.due(t, self.can_start_until());
        if over {
            self.go(Phase::Error, t);
        }
        over
    }

    /// "Same id resent at 5 s, 10 s, 15 s": late ones keep their distance, none after the lease.
    fn plan_copy(&mut self, t: i64) {
        let next = (self.sent + 5 * self.copies).max(t + 5);
        let useful = self.copies <= 3 && next < self.sent + 60;
        self.next_copy = useful.then_some(next);
    }

    fn kill(&mut self, signal: Signal, t: i64) {
        self.strongest = self.strongest.max(Some(signal));
        self.go(Phase::Killing, t);
        self.set_kill_deadline(t);
    }

    fn set_kill_deadline(&mut self, t: i64) {
        let last = self.phase_began + 10 * MINUTE;
        self.kill_by = if self.away { last } else { last.min(t + 40) };
        if self.ours && !self.acknowledged {
            self.kill_by = self.kill_by.max(self.can_start_until());
        }
    }

    fn verify(&mut self, t: i64) {
        self.go(Phase::Verifying, t);
        self.verify_by = t + 5 * MINUTE;
    }

    fn await_return(&mut self, t: i64) {
        self.go(Phase::AwaitingReconnect, t);
        self.giving_up = false;
        let hard = match self.hard {
            Some(hard) => hard,
            None => t + i64::try_from(self.op.spec().hard.as_secs()).unwrap(),
        };
        self.come_back_by = if self.op == Op::Reboot {
            t + 15 * MINUTE
        } else if self.exit.is_some() {
            t + 5 * MINUTE
        } else {
            hard.max(t + 5 * MINUTE)
        };
    }

    /// What happens now.
    pub fn word(&mut self, word: &Word, t: i64) {
        if self.phase.is_terminal() {
            return;
        }
        match word {
            Word::Start if self.phase == Phase::Pending => self.go(Phase::Validating, t),
            Word::Admit if self.phase == Phase::Validating => self.send(t),
            Word::Refuse if self.phase == Phase::Validating => self.go(Phase::Blocked, t),
            Word::Cancel(how) if self.sent == NEVER => {
                let phase = match how {
                    Withdrawal::Cancelled => Phase::Cancelled,
                    Withdrawal::Superseded => Phase::Superseded,
                    Withdrawal::StageFailed => Phase::Skipped,
                };
                self.go(phase, t);
            }
            Word::Restart => {
                self.away = true;
                self.server_restarted = t;
                if self.phase == Phase::Killing {
                    self.set_kill_deadline(t);
                }
            }
            _ if self.sent == NEVER => {}
            Word::SendFail { nothing_left: true }
                if self.copies == 1
                    && !self.acknowledged
                    && matches!(
                        self.phase,
                        Phase::Executing | Phase::Killing | Phase::AwaitingReconnect
                    ) =>
            {
                self.go(Phase::Error, t);
            }
            Word::Accepted => self.sign(true, t),
            Word::Started | Word::Output | Word::Progress(_) | Word::BeatNaming => {
                self.sign(false, t);
                if *word == Word::BeatNaming && self.phase == Phase::Verifying {
                    self.judge(Facts::Silent, t);
                }
            }
            Word::Exit(kind, code) => self.exited(*kind, *code, t),
            Word::Rejected if self.undecided() && !self.acknowledged => self.go(Phase::Error, t),
            Word::Kill(signal) => self.kill_request(*signal, t),
            Word::Extend(minutes) => self.extend(i64::try_from(*minutes).unwrap() * MINUTE, t),
            Word::Ignore => match self.phase {
                Phase::RunningWarning | Phase::TimeoutPending if !self.may_still_start(t) => {
                    self.go(Phase::Skipped, t);
                }
                Phase::AwaitingReconnect => self.stop_waiting(t),
                _ => {}
            },
            Word::Disconnect => {
                self.away = true;
                if self.running() && self.op.is_switch_like() {
                    self.await_return(t);
                } else if self.phase == Phase::Killing {
                    self.set_kill_deadline(t);
                }
            }
            Word::Hello(process, held) => self.hello(*process, held.as_deref(), t),
            Word::Beat(facts) if self.phase == Phase::Verifying => self.judge(*facts, t),
            _ => {}
        }
    }

    fn send(&mut self, t: i64) {
        self.go(Phase::Executing, t);
        self.sent = t;
        self.copies = 1;
        self.away = false;
        if self.by_server() {
            self.acknowledge(t);
        } else if self.ours {
            self.plan_copy(t);
        } else {
            self.start_clock(t);
        }
    }

    fn sign(&mut self, with_pid: bool, t: i64) {
        if !self.undecided() {
            return;
        }
        let news = !self.acknowledged || (with_pid && !self.pid);
        if news {
            self.acknowledge(t);
            self.pid |= with_pid;
        }
    }

    fn exited(&mut self, kind: ResultKind, code: i32, t: i64) {
        if !self.undecided() || self.exit.is_some() {
            return;
        }
        let deploy = self.op.is_deploy();
        self.acknowledge(t);
        self.exit = Some((kind, code));
        match kind {
            ResultKind::Stopped => self.go(Phase::Killed, t),
            ResultKind::Interrupted if !self.restarts_something() => self.go(Phase::Error, t),
            ResultKind::Interrupted => self.await_return(t),
            ResultKind::Error if code == 4 && deploy && self.ours => self.verify(t),
            ResultKind::Error => self.go(Phase::Error, t),
            ResultKind::Ok if self.by_server() || self.op == Op::RefreshSystem => {
                self.go(Phase::Success, t);
            }
            ResultKind::Ok if self.restarts_something() => self.await_return(t),
            ResultKind::Ok if deploy && !self.ours => self.await_return(t),
            ResultKind::Ok => self.verify(t),
        }
    }

    fn kill_request(&mut self, signal: Signal, t: i64) {
        if self.by_server() {
            return;
        }
        if self.running() {
            self.kill(signal, t);
        } else if self.phase == Phase::AwaitingReconnect {
            self.stop_waiting(t);
        }
    }

    fn stop_waiting(&mut self, t: i64) {
        if self.may_still_start(t) {
            self.giving_up = true;
        } else {
            self.go(Phase::Skipped, t);
        }
    }

    fn extend(&mut self, by: i64, t: i64) {
        let overdue = matches!(self.phase, Phase::RunningWarning | Phase::TimeoutPending);
        if !overdue || by < MINUTE || self.extended + by > 4 * HOUR {
            return;
        }
        self.extended += by;
        let spec = self.op.spec();
        let hard = self.hard.unwrap().max(t) + by;
        self.hard = Some(hard);
        if let Some(warn) = spec.warn {
            let usual = i64::try_from((spec.hard - warn).as_secs()).unwrap();
            self.warn = Some(hard - usual.min(by / 2));
        }
        self.go(Phase::Executing, t);
    }

    fn hello(&mut self, process: Process, held: Option<&[(ResultKind, i32)]>, t: i64) {
        for (kind, code) in held.unwrap_or_default() {
            if !self.phase.is_terminal() {
                self.exited(*kind, *code, t);
            }
        }
        if self.phase.is_terminal() || self.by_server() {
            return;
        }
        if self.phase == Phase::Verifying {
            self.away = false;
            self.returned |= !self.restarts_something();
        } else if self.ours {
            self.hello_ours(process, t);
        } else {
            self.hello_existing(t);
        }
        if self.phase == Phase::Verifying && self.ours {
            self.judge(Facts::Right, t);
        }
    }

    fn hello_ours(&mut self, process: Process, t: i64) {
        let new_process = matches!(process, Process::New | Process::Rebooted);
        self.returned |= new_process && !self.restarts_something();
        let renewed = match self.op {
            Op::Restart => matches!(process, Process::New | Process::Rebooted),
            Op::Reboot => process == Process::Rebooted,
            _ => false,
        };
        if renewed {
            self.away = false;
            self.returned = true;
            self.acknowledge(t);
            self.verify(t);
        } else if process == Process::Running && self.exit.is_none() {
            self.away = false;
            self.acknowledge(t);
            match self.phase {
                Phase::AwaitingReconnect => self.go(Phase::Executing, t),
                Phase::Killing => self.set_kill_deadline(t),
                _ => {}
            }
        } else if self.restarts_something() && self.acknowledged {
            self.away = false;
            if self.phase == Phase::Killing {
                self.set_kill_deadline(t);
            }
        } else if t >= self.can_start_until() {
            self.go(Phase::Error, t);
        } else {
            self.away = false;
            if self.phase == Phase::Killing {
                self.set_kill_deadline(t);
            } else {
                self.go(Phase::Executing, t);
                self.lost_by_agent = self.acknowledged;
                self.plan_copy(t);
            }
        }
    }

    fn hello_existing(&mut self, t: i64) {
        if self.restarts_something() {
            self.go(Phase::Partial, t);
            return;
        }
        if self.phase == Phase::AwaitingReconnect && self.exit.is_none() {
            self.go(Phase::Partial, t);
            return;
        }
        self.away = false;
        if self.phase == Phase::AwaitingReconnect {
            self.verify(t);
        } else if self.phase == Phase::Killing {
            self.set_kill_deadline(t);
        }
    }

    /// What the facts of the test world say about each operation.
    fn judge(&mut self, facts: Facts, t: i64) {
        let failed = self.exit.is_some_and(|(kind, _)| kind == ResultKind::Error);
        let unproven = if failed { Phase::Error } else { Phase::Partial };
        if self.restarts_something() {
            if self.returned {
                self.look_at_agent(t);
            } else {
                self.go(Phase::Partial, t);
            }
            return;
        }
        if !self.ours && self.op == Op::Test {
            self.go(Phase::Success, t);
            return;
        }
        // An existing agent reports no running path, so a rollback cannot be proven; a pull moves
        // its checkout, so nothing can be inferred from a pull-switch.
        let blind = !self.ours && self.op == Op::Rollback;
        let moved = !self.ours && self.op == Op::PullSwitch;
        match facts {
            // What was proven before is gone again: the last report counts.
            Facts::Silent => self.waits_for_agent = false,
            Facts::Right | Facts::Wrong if blind => {}
            Facts::Right if moved => self.go(Phase::Partial, t),
            Facts::Right if failed => self.go(Phase::Degraded, t),
            Facts::Right => self.look_at_agent(t),
            Facts::Wrong => self.go(unproven, t),
        }
    }

    /// "Freshness verdict": an old agent may still be replaced, until it has registered again. A
    /// rollback goes back on purpose.
    fn look_at_agent(&mut self, t: i64) {
        let fresh = self.agent == Phase::Success || self.op == Op::Rollback;
        if fresh || !self.op.is_switch_like() {
            self.go(Phase::Success, t);
        } else if self.returned {
            self.go(self.agent, t);
        } else {
            self.waits_for_agent = true;
        }
    }
}
