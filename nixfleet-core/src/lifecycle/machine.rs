//! The engine: fire due deadlines, find the row, do what it says.

use super::command::Command;
use super::deadline::{Deadline, DeadlineReason};
use super::ending::Ending;
use super::event::{Address, Event, EventKind};
use super::goal::{self, Verdict};
use super::guard::Guard;
use super::table::{self, Rules, To};
use super::{Step, classify};
use crate::host::{AgentProtocol, HostObservation};
use crate::time::Timestamp;

/// One thing to be judged: an event or a result that a registration carries, a deadline, or facts.
#[derive(Clone, Copy)]
pub(super) enum Cause<'a> {
    Event(&'a Event<'a>),
    Due(DeadlineReason),
    Facts(&'a HostObservation, &'a Verdict),
}

/// What a call did: the rows used, and the steps to perform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// Ids of the rows used, in order, those of [`super::IGNORED`] included.
    pub rows: Vec<&'static str>,
    /// The steps to perform, in order.
    pub steps: Vec<Step>,
}

impl Command {
    /// Takes in an event. Deadlines that are due fire first; the steps are to be performed in
    /// order, after the command was persisted. A terminal command yields nothing, for ever.
    #[must_use]
    pub fn handle(&mut self, event: &Event<'_>, now: Timestamp) -> Vec<Step> {
        self.handle_traced(event, now).steps
    }

    /// Lets time pass: fires every deadline that is due. A spurious call does nothing.
    #[must_use]
    pub fn handle_timeout(&mut self, now: Timestamp) -> Vec<Step> {
        self.handle_timeout_traced(now).steps
    }

    /// [`Command::handle`], and the rows of the table that were used, for traces and audits.
    #[must_use]
    pub fn handle_traced(&mut self, event: &Event<'_>, now: Timestamp) -> Transcript {
        self.handle_by(&Rules::IN_FORCE, event, now)
    }

    /// [`Command::handle_traced`] by other rules than those in force: for tests that ask whether
    /// a changed rule would be noticed.
    #[must_use]
    pub fn handle_by(
        &mut self,
        rules: &Rules<'_>,
        event: &Event<'_>,
        now: Timestamp,
    ) -> Transcript {
        let mut trace = Transcript::default();
        // What passed while the server was down must not fire before it has seen its agents.
        if event.kind() == EventKind::ServerRestart {
            self.notice(now);
        } else {
            self.fire_due(rules, now, &mut trace);
        }
        let now = self.latest;
        if event.address().is_some_and(|to| !self.concerns(to)) {
            return trace;
        }
        if let Event::Hello(hello) = event {
            for report in hello.results {
                if self.concerns(report.address()) {
                    let result = Event::Exited(Box::new(report.clone()));
                    self.apply(rules, Cause::Event(&result), now, &mut trace);
                }
            }
        }
        self.apply(rules, Cause::Event(event), now, &mut trace);
        if let Some(observation) = self.facts_after_exit(event) {
            let verdict = goal::goal_verdict(self, observation);
            self.apply(rules, Cause::Facts(observation, &verdict), now, &mut trace);
        }
        trace
    }

    /// [`Command::handle_timeout`], and the rows of the table that were used.
    #[must_use]
    pub fn handle_timeout_traced(&mut self, now: Timestamp) -> Transcript {
        self.handle_timeout_by(&Rules::IN_FORCE, now)
    }

    /// [`Command::handle_timeout_traced`] by other rules than those in force.
    #[must_use]
    pub fn handle_timeout_by(&mut self, rules: &Rules<'_>, now: Timestamp) -> Transcript {
        let mut trace = Transcript::default();
        self.fire_due(rules, now, &mut trace);
        trace
    }

    /// The next moment at which it wants to be called, and why; none when terminal.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Deadline> {
        self.deadline
    }

    /// Whether a message with this address is about this command. Agents that speak ids must name
    /// it; an existing agent's message is matched by operation (spec 02 rule 13).
    #[must_use]
    pub fn concerns(&self, to: Address) -> bool {
        match to.id {
            Some(id) => id == self.id,
            None => {
                (self.protocol == AgentProtocol::Existing || self.by_server())
                    && self.was_sent()
                    && to.op.is_none_or(|op| op == self.op)
            }
        }
    }

    /// The id of the row that would handle a case, for explanations.
    #[must_use]
    pub fn explain(&self, event: &Event<'_>, now: Timestamp) -> Option<&'static table::Row> {
        let guard = classify::of_event(self, event, now.max(self.latest));
        table::row(self.phase, event.kind(), guard)
    }

    /// Facts count only while verifying. An existing agent's registration repeats only part of
    /// them, so the heartbeat that follows it decides.
    fn facts_after_exit<'a>(&self, event: &Event<'a>) -> Option<&'a HostObservation> {
        if self.phase != super::Phase::Verifying {
            return None;
        }
        match event {
            Event::Heartbeat { observation, .. } => Some(observation),
            Event::Hello(registration) if self.protocol == AgentProtocol::Commands => {
                Some(registration.observation)
            }
            Event::Hello(_)
            | Event::Start
            | Event::ValidateOk { .. }
            | Event::ValidateFail(_)
            | Event::Sent
            | Event::SendFail { .. }
            | Event::Accepted { .. }
            | Event::Started { .. }
            | Event::Output { .. }
            | Event::Progress { .. }
            | Event::Exited(_)
            | Event::Rejected { .. }
            | Event::KillRequest(_)
            | Event::Extend(_)
            | Event::Ignore
            | Event::Cancel(_)
            | Event::Disconnect
            | Event::ServerRestart => None,
        }
    }

    fn classify(&self, cause: Cause<'_>, now: Timestamp) -> (EventKind, Guard) {
        match cause {
            Cause::Event(event) => (event.kind(), classify::of_event(self, event, now)),
            Cause::Due(reason) => {
                let kind = reason.event();
                (kind, classify::of_deadline(self, kind, now))
            }
            Cause::Facts(_, verdict) => (EventKind::Facts, classify::of_facts(self, verdict)),
        }
    }

    /// Time never runs backwards, and stands still for a command that has ended.
    fn notice(&mut self, now: Timestamp) {
        if !self.phase.is_terminal() {
            self.latest = self.latest.max(now);
        }
    }

    fn fire_due(&mut self, rules: &Rules<'_>, now: Timestamp, trace: &mut Transcript) {
        self.notice(now);
        // Every firing arms a later deadline or moves on; the bound is a second belt.
        for _ in 0..16 {
            let Some(due) = self.deadline.filter(|due| due.at <= self.latest) else {
                break;
            };
            self.apply(rules, Cause::Due(due.reason), self.latest, trace);
        }
    }

    fn apply(
        &mut self,
        rules: &Rules<'_>,
        cause: Cause<'_>,
        now: Timestamp,
        trace: &mut Transcript,
    ) {
        let (kind, guard) = self.classify(cause, now);
        let Some(row) = rules.row(self.phase, kind, guard) else {
            return;
        };
        trace.rows.push(row.id);
        for action in row.then {
            trace.steps.extend(self.perform(*action, cause, now));
        }
        let ending = match row.to {
            To::Stay => None,
            To::Go(phase) => {
                self.phase = phase;
                self.phase_since = now;
                None
            }
            To::End(kind) => Some(self.ending(kind, cause)),
            To::Unknown(why) => Some(Ending::OutcomeUnknown(why)),
            To::Unverified(why) => Some(Ending::Unverified(why)),
        };
        if let Some(ending) = ending {
            trace.steps.extend(self.finish(rules, ending, now));
        }
        self.deadline = self.armed(row.arm, now);
    }
}
