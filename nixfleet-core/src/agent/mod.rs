//! The agent's decisions: what to start, what to refuse, what to report, when to reconnect
//! (specs 02 and 03). Adapters observe, run and send; they decide nothing.

pub mod backoff;
mod frames;
mod input;
pub(crate) mod jobs;
mod journal;
pub(crate) mod link;

pub use input::{
    AgentConfig, AgentEffect, AgentInput, AgentObservation, JobExit, JobReport, RecordedExit,
    Sighting, TestOutcome,
};
pub use journal::{CommandRecord, Deployment, Journal, JournalEntry};

use crate::ids::CommandId;
use crate::op::Op;
use crate::time::Timestamp;
use crate::wire::Field;
use crate::wire::agent::GenerationFacts;
use jobs::RunningJob;
use link::Link;

/// The agent as a value: inputs in, ordered effects out.
///
/// The order of effects means something: a [`AgentEffect::Journal`] is durable before anything
/// after it is performed.
#[derive(Clone, Debug)]
pub struct AgentCore {
    config: AgentConfig,
    journal: Journal,
    link: Link,
    running: Option<RunningJob>,
    observation: AgentObservation,
    next_heartbeat: Option<Timestamp>,
    next_resend: Option<Timestamp>,
    /// The commands whose results were part of the last registration.
    told_results: Vec<CommandId>,
    /// The generations last sent on this connection.
    sent_generations: Field<Vec<GenerationFacts>>,
    /// The latest moment seen: time never runs backwards in here.
    clock: Timestamp,
}

impl AgentCore {
    /// An agent that has just started, with the journal it left behind, and its first effects:
    /// attach to a command that may still be running, settle a restart, connect.
    #[must_use]
    pub fn start(
        config: AgentConfig,
        journal: Journal,
        now: Timestamp,
    ) -> (Self, Vec<AgentEffect>) {
        let mut core = Self {
            config,
            journal,
            link: Link::Down {
                attempt: 0,
                retry_at: now,
            },
            running: None,
            observation: AgentObservation::default(),
            next_heartbeat: None,
            next_resend: None,
            told_results: Vec::new(),
            sent_generations: Field::Absent,
            clock: now,
        };
        let mut effects = core.settle_restarts(now);
        effects.extend(core.attach_unfinished());
        effects.extend(core.connect());
        (core, effects)
    }

    /// Takes in one input. Due deadlines fire first.
    #[must_use]
    pub fn handle(&mut self, input: AgentInput, now: Timestamp) -> Vec<AgentEffect> {
        let mut effects = self.handle_timeout(now);
        let now = self.clock;
        effects.extend(match input {
            AgentInput::Connected(observation) => self.connected(observation, now),
            AgentInput::Disconnected => self.disconnected(now),
            AgentInput::Order { order, fresh_id } => self.order(order, fresh_id, now),
            AgentInput::Observed(observation) => self.observed(observation),
            AgentInput::JobStarted { command, pid } => self.job_started(command, pid),
            AgentInput::JobFinished { command, report } => self.job_finished(command, *report, now),
            AgentInput::Progress {
                command,
                stage,
                current,
                total,
            } => self.progress(command, stage, current, total),
        });
        effects
    }

    /// The next moment at which [`AgentCore::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let kill = self.running.as_ref().and_then(RunningJob::kill_at);
        let still_up = self.running.as_ref().and_then(RunningJob::still_up_at);
        [
            self.link.deadline(),
            self.next_heartbeat,
            self.next_resend,
            kill,
            still_up,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Fires what is due. A spurious call does nothing.
    #[must_use]
    pub fn handle_timeout(&mut self, now: Timestamp) -> Vec<AgentEffect> {
        self.clock = self.clock.max(now);
        let now = self.clock;
        let mut effects = self.escalate_kill(now);
        effects.extend(self.give_up_reboot(now));
        effects.extend(self.link_timeout(now));
        if self.next_heartbeat.is_some_and(|due| due <= now) {
            self.next_heartbeat = Some(now + self.config.interval);
            effects.push(AgentEffect::Observe);
        }
        if self.next_resend.is_some_and(|due| due <= now) {
            effects.extend(self.resend_results(now));
        }
        effects
    }

    /// The journal, for the adapter's compaction and for `status`.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The command at work, for `status` and the log.
    #[must_use]
    pub fn running(&self) -> Option<(CommandId, Op)> {
        self.running.as_ref().map(|job| (job.command, job.op))
    }

    /// Whether the server has answered the registration.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        matches!(self.link, Link::Ready { .. })
    }

    /// Writes an entry: into the value now, on disk before any later effect.
    fn journal_entry(&mut self, entry: JournalEntry) -> AgentEffect {
        self.journal.apply(&entry);
        AgentEffect::Journal(entry)
    }
}

#[cfg(test)]
mod tests;
