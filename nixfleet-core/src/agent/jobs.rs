//! Commands on the host: start at most once, stop, report (spec 02 rules 2, 3 and 9).

use std::time::Duration;

use super::link::{RESEND_EVERY, send};
use super::{AgentCore, AgentEffect, CommandRecord, JobExit, JobReport, JournalEntry, frames};
use crate::host::Deployed;
use crate::ids::{CommandId, CommitRef, LockHash, Sequence};
use crate::lifecycle::Signal;
use crate::op::{EXIT_DEGRADED, Op};
use crate::order::{Misread, MisreadCause, StartOrder};
use crate::report::ProgressStage;
use crate::time::Timestamp;
use crate::wire::agent::{
    Accepted, AgentFrame, CommandRejected, OperationProgress, Stage, StageProgress,
};

/// Time between SIGTERM and SIGKILL.
pub const KILL_AFTER: Duration = Duration::from_secs(3);

/// A machine that is still up so long after its reboot command ended with 0 does not reboot.
/// Shorter than the operation's hard timeout, so that the agent's own word comes first.
pub const STILL_UP_AFTER: Duration = Duration::from_secs(600);

/// The code and reason with which an agent that has lost a part of its memory refuses commands.
const DAMAGED: (&str, &str) = (
    "journal-damaged",
    "the journal of this agent was damaged, so it might run a command twice; on the host, \
     `nixfleet-agent status` says what to do",
);

/// The command whose process group is alive, or is being looked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RunningJob {
    pub(super) command: CommandId,
    pub(super) op: Op,
    pub(super) seq: Sequence,
    pub(super) pid: Option<i64>,
    pub(super) started_at: Timestamp,
    stopping: Option<Stopping>,
    going_down: Option<GoingDown>,
}

/// The reboot command ended with 0: now the machine goes down, or the command has failed.
#[derive(Clone, Debug, PartialEq)]
struct GoingDown {
    until: Timestamp,
    report: Box<JobReport>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopping {
    Terminating { kill_at: Timestamp },
    Killing,
}

/// How a command ended, beyond the exit of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its process ended, however.
    ByItself,
    /// It was stopped, and its process group is empty.
    OnRequest,
    /// The reboot command ended with 0, but the machine did not go down.
    StillUp,
}

impl RunningJob {
    pub(super) fn kill_at(&self) -> Option<Timestamp> {
        match self.stopping? {
            Stopping::Terminating { kill_at } => Some(kill_at),
            Stopping::Killing => None,
        }
    }

    /// When the command fails because the machine is still up.
    pub(super) fn still_up_at(&self) -> Option<Timestamp> {
        Some(self.going_down.as_ref()?.until)
    }
}

impl AgentCore {
    /// A new process proves a restart; a new boot proves a reboot.
    pub(super) fn settle_restarts(&mut self, now: Timestamp) -> Vec<AgentEffect> {
        let open: Vec<_> = self
            .journal
            .unfinished()
            .into_iter()
            .map(|(id, r)| (id, r.clone()))
            .collect();
        let mut effects = Vec::new();
        for (command, record) in open {
            let new_boot =
                self.config().boot_id.is_some() && record.boot_id != self.config().boot_id;
            let done = record.op == Op::Restart || (record.op == Op::Reboot && new_boot);
            if !done && record.op != Op::Reboot {
                continue;
            }
            let result = frames::restart_result(command, &record, done, now);
            effects.push(self.journal_entry(JournalEntry::Finished {
                command,
                result: Box::new(result),
                deployed: None,
            }));
        }
        effects
    }

    pub(super) fn attach_unfinished(&mut self) -> Vec<AgentEffect> {
        let open: Vec<_> = self
            .journal
            .unfinished()
            .into_iter()
            .map(|(id, r)| (id, r.clone()))
            .collect();
        let mut effects = Vec::new();
        for (command, record) in open {
            self.running = Some(RunningJob {
                command,
                op: record.op,
                seq: record.seq,
                pid: None,
                started_at: record.started_at,
                stopping: None,
                going_down: None,
            });
            effects.push(AgentEffect::Attach {
                command,
                op: record.op,
            });
        }
        effects
    }

    pub(super) fn start_command(
        &mut self,
        order: StartOrder,
        fresh_id: CommandId,
        now: Timestamp,
    ) -> Vec<AgentEffect> {
        let seq = match self.fresh_number(order.command, order.seq) {
            Ok(seq) => seq,
            Err(answer) => return answer,
        };
        if let Some((code, reason)) = self.refusal(&order, now) {
            return self.refuse_number(seq, order.command, code, reason);
        }
        self.start_job(order.command.unwrap_or(fresh_id), seq, order, now)
    }

    /// A command that cannot be read is answered like any other that cannot be started; whatever
    /// else cannot be read does nothing.
    pub(super) fn refuse_misread(&mut self, misread: &Misread) -> Vec<AgentEffect> {
        let Some(asked) = misread.asked else {
            return Vec::new();
        };
        let code = match misread.cause {
            MisreadCause::UnknownOp(_) => "unknown-op",
            MisreadCause::Field { .. } => "malformed",
        };
        match self.fresh_number(asked.command, asked.seq) {
            Ok(seq) => self.refuse_number(seq, asked.command, code, &misread.to_string()),
            Err(answer) => answer,
        }
    }

    /// The number of a command that may still be started; otherwise the answer to it.
    fn fresh_number(
        &self,
        command: Option<CommandId>,
        seq: Option<Sequence>,
    ) -> Result<Sequence, Vec<AgentEffect>> {
        if let Some(id) = command
            && let Some(record) = self.journal.commands.get(&id)
        {
            return Err(self.answer_again(id, record.clone()));
        }
        let seq = seq.unwrap_or_else(|| self.journal.high_water.next());
        if seq <= self.journal.high_water {
            let reason = "a later command was already seen";
            return Err(vec![refuse(command, "stale", reason, None)]);
        }
        Ok(seq)
    }

    fn refuse_number(
        &mut self,
        seq: Sequence,
        command: Option<CommandId>,
        code: &str,
        reason: &str,
    ) -> Vec<AgentEffect> {
        let current = self.running.as_ref().map(|job| (job.op, job.pid));
        vec![
            self.journal_entry(JournalEntry::Refused { seq }),
            refuse(command, code, reason, current),
        ]
    }

    fn refusal(&self, order: &StartOrder, now: Timestamp) -> Option<(&'static str, &'static str)> {
        if self.journal.damaged {
            return Some(DAMAGED);
        }
        // Without the server's time a lease cannot be judged, and then it counts as over.
        let in_time = |not_after| self.server_time(now).is_some_and(|time| time <= not_after);
        if !order.not_after.is_none_or(in_time) {
            return Some(("lease", "the lease of the command ended before it arrived"));
        }
        if order.op != Op::Restart && self.running.is_some() {
            return Some(("busy", "another command is running"));
        }
        None
    }

    fn start_job(
        &mut self,
        id: CommandId,
        seq: Sequence,
        order: StartOrder,
        now: Timestamp,
    ) -> Vec<AgentEffect> {
        let op = order.op;
        let record = CommandRecord {
            op,
            seq,
            started_at: now,
            boot_id: self.config().boot_id.clone(),
            result: None,
            confirmed: false,
        };
        let mut effects = vec![
            self.journal_entry(JournalEntry::Intent {
                command: id,
                record,
            }),
            accepted(id, None),
        ];
        if op == Op::Restart {
            effects.push(AgentEffect::RestartSelf);
            return effects;
        }
        self.running = Some(RunningJob {
            command: id,
            op,
            seq,
            pid: None,
            started_at: now,
            stopping: None,
            going_down: None,
        });
        if op == Op::Reboot {
            effects.push(AgentEffect::Reboot(id));
            return effects;
        }
        effects.push(AgentEffect::Spawn {
            command: id,
            op,
            args: order.args,
            target: order.target,
        });
        effects
    }

    /// A redelivered id is answered with its recorded state and never run again.
    fn answer_again(&self, id: CommandId, record: CommandRecord) -> Vec<AgentEffect> {
        match record.result {
            Some(result) => vec![send(AgentFrame::Status(result))],
            None => vec![accepted(id, self.running.as_ref().and_then(|job| job.pid))],
        }
    }

    pub(super) fn stop(
        &mut self,
        named: Option<CommandId>,
        signal: Signal,
        now: Timestamp,
    ) -> Vec<AgentEffect> {
        let Some(job) = self
            .running
            .as_mut()
            .filter(|job| named.is_none_or(|id| id == job.command))
        else {
            return named.map_or_else(Vec::new, |id| self.answer_stop_of_another(id));
        };
        let command = job.command;
        if let Some(going_down) = job.going_down.take() {
            // Its process has ended: there is nothing left to signal, and nothing to wait for.
            return self.still_up(*going_down.report, now);
        }
        if signal == Signal::Kill {
            job.stopping = Some(Stopping::Killing);
            return vec![AgentEffect::Kill(command)];
        }
        if job.stopping.is_some() {
            return Vec::new();
        }
        job.stopping = Some(Stopping::Terminating {
            kill_at: now + KILL_AFTER,
        });
        vec![AgentEffect::Terminate(command)]
    }

    fn answer_stop_of_another(&self, id: CommandId) -> Vec<AgentEffect> {
        if let Some(record) = self.journal.commands.get(&id) {
            return self.answer_again(id, record.clone());
        }
        let reason = "this agent does not run that command";
        vec![refuse(Some(id), "not-running", reason, None)]
    }

    pub(super) fn escalate_kill(&mut self, now: Timestamp) -> Vec<AgentEffect> {
        let Some(job) = self.running.as_mut() else {
            return Vec::new();
        };
        if job.kill_at().is_none_or(|due| due > now) {
            return Vec::new();
        }
        job.stopping = Some(Stopping::Killing);
        vec![AgentEffect::Kill(job.command)]
    }

    pub(super) fn give_up_reboot(&mut self, now: Timestamp) -> Vec<AgentEffect> {
        let due = |going_down: &mut GoingDown| going_down.until <= now;
        let Some(job) = self.running.as_mut() else {
            return Vec::new();
        };
        match job.going_down.take_if(due) {
            Some(going_down) => self.still_up(*going_down.report, now),
            None => Vec::new(),
        }
    }

    /// The reboot command ended with 0, and nobody waits any longer for the machine to go down.
    fn still_up(&mut self, mut report: JobReport, now: Timestamp) -> Vec<AgentEffect> {
        let Some(job) = self.running.take() else {
            return Vec::new();
        };
        // The host was looked at since.
        report.after = self.observation.clone();
        self.conclude(&job, &report, Ended::StillUp, now)
    }

    pub(super) fn job_started(&mut self, command: CommandId, pid: i64) -> Vec<AgentEffect> {
        match self.running.as_mut().filter(|job| job.command == command) {
            None => Vec::new(),
            Some(job) => {
                job.pid = Some(pid);
                if self.is_registered() {
                    vec![accepted(command, Some(pid))]
                } else {
                    Vec::new()
                }
            }
        }
    }

    pub(super) fn job_finished(
        &mut self,
        command: CommandId,
        report: JobReport,
        now: Timestamp,
    ) -> Vec<AgentEffect> {
        let Some(job) = self.running.as_mut().filter(|job| job.command == command) else {
            return Vec::new();
        };
        let stop_asked = job.stopping.is_some() || report.stop_asked;
        if job.op == Op::Reboot && report.exit == JobExit::Code(0) {
            // An exit code is not proof: the new boot is, or that there is none.
            self.observation = report.after.clone();
            if stop_asked {
                return self.still_up(report, now);
            }
            job.pid = None;
            job.going_down.get_or_insert(GoingDown {
                until: now + STILL_UP_AFTER,
                report: Box::new(report),
            });
            return Vec::new();
        }
        let stopped = stop_asked && report.group_empty && report.exit != JobExit::Code(0);
        let ended = if stopped {
            Ended::OnRequest
        } else {
            Ended::ByItself
        };
        let Some(job) = self.running.take() else {
            return Vec::new();
        };
        self.conclude(&job, &report, ended, now)
    }

    /// Writes down and reports how a command ended.
    fn conclude(
        &mut self,
        job: &RunningJob,
        report: &JobReport,
        ended: Ended,
        now: Timestamp,
    ) -> Vec<AgentEffect> {
        let activated = job.op.is_deploy() && is_active(&report.exit) && ended == Ended::ByItself;
        let deployed = activated
            .then(|| self.deployed_after(job, report))
            .flatten();
        self.observation = report.after.clone();
        let known = deployed.as_ref().or(self.journal.deployed.as_ref());
        let result = frames::result(job, report, ended, known, &self.journal);
        let frame = AgentFrame::Status(Box::new(result.clone()));
        let mut effects = vec![self.journal_entry(JournalEntry::Finished {
            command: job.command,
            result: Box::new(result),
            deployed,
        })];
        if self.is_registered() {
            effects.push(send(frame));
            effects.push(self.heartbeat());
            self.next_resend = Some(now + RESEND_EVERY);
            if !self.peer_confirms() {
                effects.extend(self.forget_reported());
                if activated {
                    // An existing dashboard learns from the new connection that the switch is over.
                    effects.push(AgentEffect::Close);
                }
            }
        }
        effects
    }

    /// What is deployed after a deploy-class command, if it activated something. The inputs are
    /// known only if they were the same, and clean, when the build started and when its activation
    /// was seen.
    fn deployed_after(&self, job: &RunningJob, report: &JobReport) -> Option<Deployed> {
        let path = report.after.system.path.clone();
        let inputs = if job.op == Op::Rollback {
            let earlier = path
                .as_ref()
                .and_then(|path| self.journal.deployment_of(path));
            earlier.and_then(|deployed| Some((deployed.commit?, deployed.lock)))
        } else {
            let clean = report.unchanged_checkout().filter(|repo| !repo.dirty);
            clean.map(|repo| (repo.commit, repo.lock.hash()))
        };
        let commit = inputs.map(|(commit, _)| commit);
        if !self.activation_is_seen(report, commit, inputs.and_then(|(_, lock)| lock)) {
            return None;
        }
        Some(Deployed {
            commit,
            lock: inputs.and_then(|(_, lock)| lock),
            store_path: path,
            clean: inputs.is_some(),
            command: Some(job.command),
            inferred: false,
        })
    }

    /// Whether something was activated, not only exit code 0 seen: the running system moved, or it
    /// is known to be what these inputs give (a store path, the same inputs as before, or the
    /// system itself claims the commit).
    fn activation_is_seen(
        &self,
        report: &JobReport,
        commit: Option<CommitRef>,
        lock: Option<LockHash>,
    ) -> bool {
        let after = &report.after.system;
        let start = report.at_start.as_ref();
        let before = start.and_then(|start| start.system.as_ref());
        let Some(path) = after.path.as_ref() else {
            return true;
        };
        if before.is_some_and(|before| before != path) || path.is_content_addressed() {
            return true;
        }
        let earlier = self.journal.deployed.as_ref();
        let same = earlier.is_some_and(|d| {
            (d.commit, d.lock, d.store_path.as_ref()) == (commit, lock, Some(path))
        });
        same || (commit.is_some() && after.claimed_commit() == commit)
    }

    pub(super) fn progress(
        &mut self,
        command: CommandId,
        stage: ProgressStage,
        current: u32,
        total: u32,
    ) -> Vec<AgentEffect> {
        if !self.is_registered()
            || self
                .running
                .as_ref()
                .is_none_or(|job| job.command != command)
        {
            return Vec::new();
        }
        let step = Some(Stage {
            current,
            total,
            status: "working".to_owned(),
        });
        let mut progress = StageProgress::default();
        match stage {
            ProgressStage::Pull => progress.pull = step,
            ProgressStage::Lock => progress.lock = step,
            ProgressStage::System => progress.system = step,
            ProgressStage::Tests => progress.tests = step,
        }
        let command_id = Some(command.to_string());
        vec![send(AgentFrame::OperationProgress(OperationProgress {
            progress,
            command_id,
        }))]
    }
}

/// Whether a deploy-class command ended with a new system running.
fn is_active(exit: &JobExit) -> bool {
    matches!(exit, JobExit::Code(0 | EXIT_DEGRADED))
}

fn accepted(command: CommandId, pid: Option<i64>) -> AgentEffect {
    send(AgentFrame::Accepted(Accepted {
        command_id: command.to_string(),
        pid,
    }))
}

fn refuse(
    command: Option<CommandId>,
    code: &str,
    reason: &str,
    current: Option<(Op, Option<i64>)>,
) -> AgentEffect {
    send(AgentFrame::CommandRejected(CommandRejected {
        reason: reason.to_owned(),
        current_command: current.map(|(op, _)| op.name().to_owned()),
        current_pid: current.and_then(|(_, pid)| pid),
        command_id: command.map(|id| id.to_string()),
        code: Some(code.to_owned()),
    }))
}
