//! What the words of the tables mean: each [`Do`], each [`Arm`], the details of each ending. Which
//! of them apply, and what an ending does to the host, is said by the tables alone.

use std::time::Duration;

use super::command::Command;
use super::deadline::{Deadline, DeadlineReason};
use super::ending::{Ending, EndingKind, GoalGap, UnverifiedCause};
use super::event::{Event, Hello, Signal};
use super::goal::{self, Verdict, Waiting};
use super::machine::Cause;
use super::outcome::Trace;
use super::table::{Arm, Do, Rules};
use super::{Step, classify, timing};
use crate::admission::{Refusal, RefusalCode};
use crate::compartment::PullSwitchHalf;
use crate::host::{AgentProtocol, TestEvidence, TestVerdict};
use crate::op::{Op, OpClass};
use crate::report::ResultKind;
use crate::time::Timestamp;

impl Command {
    pub(super) fn perform(&mut self, what: Do, cause: Cause<'_>, now: Timestamp) -> Option<Step> {
        match (what, cause) {
            (Do::Admit, Cause::Event(Event::ValidateOk { admitted, seq })) => {
                self.record_admission(admitted, *seq, now);
                if self.protocol == AgentProtocol::Existing {
                    self.start_clock(now);
                }
            }
            (Do::Send, _) => return Some(Step::SendCommand { resend: false }),
            (Do::Resend, _) => {
                self.attempts = self.attempts.saturating_add(1);
                return Some(Step::SendCommand { resend: true });
            }
            (Do::Perform, _) => return Some(Step::PerformOnServer),
            (Do::SayStarted, _) => return Some(Step::Started),
            (Do::Acknowledge, cause) => self.acknowledge(cause, now),
            // A frame that outlived its connection may be followed by others that were lost.
            (Do::NoteHalf, Cause::Event(Event::Progress { half, .. })) if self.connected => {
                self.half = self.half.max(*half);
            }
            (Do::RecordExit, Cause::Event(Event::Exited(report))) => self.record_exit(report, now),
            // Only agents that speak ids keep a result until it is confirmed.
            (Do::Confirm, _) => {
                return (self.protocol == AgentProtocol::Commands && !self.by_server())
                    .then_some(Step::Confirm);
            }
            (Do::Kill, cause) => {
                let signal = match cause {
                    Cause::Event(Event::KillRequest(signal)) => *signal,
                    Cause::Event(_) | Cause::Due(_) | Cause::Facts(..) => Signal::Term,
                };
                self.signal = self.signal.max(Some(signal));
                return Some(Step::SendKill { signal });
            }
            (Do::KillAgain, _) => {
                let signal = self.signal.unwrap_or(Signal::Term);
                return Some(Step::SendKill { signal });
            }
            (Do::Extend, Cause::Event(Event::Extend(by))) => self.extend(*by, now),
            (Do::Away, _) => self.away(),
            (Do::Back, Cause::Event(Event::Hello(registration))) => self.back(registration),
            (Do::NoteRestart, _) => {
                self.away();
                self.resumed_at = Some(now);
            }
            (Do::NoteVerdict, Cause::Facts(observation, verdict)) => {
                let first = self.verdict.replace(verdict.clone()).is_none();
                self.activated |= goal::activation_on_record(self, observation);
                return self.inferred_record(observation, first);
            }
            // These words speak of a kind of event that their rows do not have.
            (
                Do::Admit | Do::NoteHalf | Do::RecordExit | Do::Extend | Do::Back | Do::NoteVerdict,
                Cause::Event(_) | Cause::Due(_) | Cause::Facts(..),
            ) => {}
        }
        None
    }

    fn acknowledge(&mut self, cause: Cause<'_>, now: Timestamp) {
        self.acknowledged_at.get_or_insert(now);
        if self.hard_at.is_none() {
            self.start_clock(now);
        }
        if let Cause::Event(Event::Accepted { pid, .. } | Event::Started { pid, .. }) = cause {
            self.pid = self.pid.or(*pid);
        }
    }

    fn start_clock(&mut self, now: Timestamp) {
        let spec = self.op.spec();
        self.warn_at = spec.warn.map(|warn| now + warn);
        self.hard_at = Some(now + spec.hard);
    }

    /// The hard timeout moves by the extension. The warning comes again before it, as long
    /// before as usual, but at the earliest half way through the extension.
    fn extend(&mut self, by: Duration, now: Timestamp) {
        let spec = self.op.spec();
        let hard = self.hard_at.unwrap_or(now).max(now) + by;
        let usual = spec.hard.saturating_sub(spec.warn.unwrap_or(spec.hard));
        self.warn_at = spec.warn.map(|_| hard - usual.min(by / 2));
        self.hard_at = Some(hard);
        self.extended = self.extended.saturating_add(by);
    }

    /// Progress may have been missed, so "only pulling" is no longer certain.
    fn away(&mut self) {
        self.connected = false;
        self.half = self.half.filter(|half| *half == PullSwitchHalf::Switch);
    }

    fn back(&mut self, registration: &Hello<'_>) {
        self.connected = true;
        let new_process = classify::came_back(self, registration);
        let after_exit = self.exit.is_some() && self.op.spec().class != OpClass::Disruptive;
        self.returned |= new_process || after_exit;
    }

    /// Existing agents keep no deployment record; the server keeps one for them (spec 03).
    fn inferred_record(
        &self,
        observation: &crate::host::HostObservation,
        first: bool,
    ) -> Option<Step> {
        if self.protocol != AgentProtocol::Existing || !self.op.is_deploy() {
            return None;
        }
        if self.op == Op::Rollback {
            return first.then_some(Step::RecordDeployment(None));
        }
        let record = goal::infer_deployment(self, observation)?;
        Some(Step::RecordDeployment(Some(record)))
    }

    /// The details of an ending.
    pub(super) fn ending(&self, kind: EndingKind, cause: Cause<'_>) -> Ending {
        match kind {
            EndingKind::Reached => Ending::Reached,
            EndingKind::UnitsFailed => Ending::UnitsFailed(match &self.verdict {
                Some(Verdict::UnitsFailed(units)) => units.clone(),
                _ => Vec::new(),
            }),
            EndingKind::AgentUnchanged => Ending::AgentUnchanged,
            EndingKind::OnlySourceChanged => Ending::OnlySourceChanged,
            EndingKind::ExitCode => {
                Ending::ExitCode(self.exit.as_ref().map_or(-1, |exit| exit.code))
            }
            EndingKind::Rejected => match cause {
                Cause::Event(Event::Rejected {
                    reason, current, ..
                }) => Ending::Rejected {
                    reason: reason.clone(),
                    current: current.clone(),
                },
                Cause::Event(_) | Cause::Due(_) | Cause::Facts(..) => Ending::Rejected {
                    reason: String::new(),
                    current: None,
                },
            },
            EndingKind::NotSent => Ending::NotSent(match cause {
                Cause::Event(Event::SendFail { why, .. }) => why.clone(),
                Cause::Event(_) | Cause::Due(_) | Cause::Facts(..) => String::new(),
            }),
            EndingKind::OutcomeUnknown => {
                Ending::OutcomeUnknown(super::UnknownCause::UnknownToAgent)
            }
            EndingKind::GoalNotReached => Ending::GoalNotReached(match &self.verdict {
                Some(Verdict::NotReached(gap)) => *gap,
                _ => GoalGap::NoDeploymentRecord,
            }),
            EndingKind::Unverified => Ending::Unverified(match &self.verdict {
                Some(Verdict::Unverified(cause) | Verdict::Waiting(Waiting::Facts(cause))) => {
                    *cause
                }
                _ => UnverifiedCause::NoFacts,
            }),
            EndingKind::Stopped => Ending::Stopped,
            EndingKind::NeverReturned => Ending::NeverReturned,
            EndingKind::StoppedTracking => Ending::StoppedTracking,
            EndingKind::StageFailed => Ending::StageFailed,
            EndingKind::Refused => Ending::Refused(match cause {
                Cause::Event(Event::ValidateFail(refusal)) => refusal.clone(),
                Cause::Event(_) | Cause::Due(_) | Cause::Facts(..) => {
                    Refusal::new(RefusalCode::ValidationTimedOut)
                }
            }),
            EndingKind::Cancelled => Ending::Cancelled,
            EndingKind::Expired => Ending::Expired,
            EndingKind::Superseded => Ending::Superseded,
        }
    }

    /// Makes the command terminal and says what that means for the host.
    pub(super) fn finish(
        &mut self,
        rules: &Rules<'_>,
        ending: Ending,
        now: Timestamp,
    ) -> Vec<Step> {
        let spec = (rules.endings)(ending.kind());
        let mut steps = Vec::new();
        if self.op.is_deploy() {
            let detail = format!("{}: {}", self.op.name(), self.told(&ending));
            steps.extend(spec.effect(self.trace()).step(detail));
        }
        if self.op == Op::Test {
            steps.extend(self.test_evidence(now).map(Step::TestResult));
        }
        steps.push(Step::Finished);
        self.phase = spec.phase;
        self.phase_since = now;
        self.ending = Some(ending);
        steps
    }

    fn trace(&self) -> Trace {
        if self.activated {
            Trace::Activated
        } else if self.op == Op::PullSwitch && self.half == Some(PullSwitchHalf::Pull) {
            Trace::PullOnly
        } else {
            Trace::Touched
        }
    }

    /// What the agent reported about its tests; of an existing agent only the exit code is known,
    /// which is that of its last script; it tells no count.
    fn test_evidence(&self, now: Timestamp) -> Option<TestEvidence> {
        let exit = self.exit.as_ref()?;
        if let Some(evidence) = &exit.tests {
            return Some(evidence.clone());
        }
        let verdict = match exit.kind {
            ResultKind::Ok => TestVerdict::Pass,
            ResultKind::Error => TestVerdict::Fail,
            ResultKind::Stopped => TestVerdict::Stopped,
            ResultKind::Interrupted => return None,
        };
        Some(TestEvidence {
            key: self.baseline.test_key.clone(),
            verdict,
            per_script: false,
            ran: 0,
            failed: Vec::new(),
            skipped: 0,
            at: now,
        })
    }

    /// The deadline that a row arms; one that passed while the server was down waits for its
    /// agents.
    pub(super) fn armed(&self, arm: Arm, now: Timestamp) -> Option<Deadline> {
        let (at, reason) = match arm {
            Arm::Nothing => return None,
            Arm::Keep => return self.deadline,
            Arm::Resume if self.phase == super::Phase::Killing => self.kill_deadline(now),
            Arm::Resume => {
                let deadline = self.deadline?;
                (deadline.at, deadline.reason)
            }
            Arm::Validation => (now + timing::VALIDATION, DeadlineReason::Validation),
            Arm::Acknowledge => self.acknowledge_deadline(now),
            Arm::LeaseEnd => self.lease_deadline(now),
            Arm::Run => match self.warn_at {
                Some(at) => (at, DeadlineReason::Warning),
                None => (self.hard_at.unwrap_or(now), DeadlineReason::Hard),
            },
            Arm::Hard => (self.hard_at.unwrap_or(now), DeadlineReason::Hard),
            Arm::Decision => (
                self.hard_at.unwrap_or(now) + timing::DECISION,
                DeadlineReason::Decision,
            ),
            Arm::Kill => self.kill_deadline(now),
            Arm::Reconnect => (self.reconnect_by(now), DeadlineReason::Reconnect),
            Arm::Verify => (now + timing::VERIFICATION, DeadlineReason::Verification),
        };
        let floor = self
            .resumed_at
            .filter(|resumed| at <= *resumed)
            .map_or(at, |resumed| resumed + timing::RESTART_GRACE);
        Some(Deadline { at: floor, reason })
    }

    fn lease_deadline(&self, now: Timestamp) -> (Timestamp, DeadlineReason) {
        let end = self.lease_end().unwrap_or(now);
        (end, DeadlineReason::Acknowledgement)
    }

    /// Resends at 5, 10 and 15 s after the first sending; late ones keep their distance.
    fn acknowledge_deadline(&self, now: Timestamp) -> (Timestamp, DeadlineReason) {
        let sent = self.sent_at.unwrap_or(now);
        let next = (sent + timing::RESEND * self.attempts).max(now + timing::RESEND);
        let useful = self.attempts <= timing::MAX_RESENDS
            && self.acknowledged_at.is_none()
            && self.not_after.is_some_and(|end| next < end);
        if useful {
            (next, DeadlineReason::Acknowledgement)
        } else {
            self.lease_deadline(now)
        }
    }

    /// 40 s while the agent is connected, 10 minutes in all while it is away; for a command that
    /// may still start not before it no longer can.
    fn kill_deadline(&self, now: Timestamp) -> (Timestamp, DeadlineReason) {
        let last = self.phase_since + timing::KILL_AWAY;
        let at = if self.connected {
            last.min(now + timing::KILL_CONNECTED)
        } else {
            last
        };
        let lease = self
            .lease_end()
            .filter(|_| self.acknowledged_at.is_none())
            .unwrap_or(at);
        (at.max(lease), DeadlineReason::Kill)
    }

    fn reconnect_by(&self, now: Timestamp) -> Timestamp {
        if self.op == Op::Reboot {
            return now + timing::REBOOT;
        }
        let soon = now + timing::RECONNECT;
        if self.exit.is_some() {
            return soon;
        }
        let hard = self.hard_at.unwrap_or(now + self.op.spec().hard);
        soon.max(hard)
    }
}
