//! The connection: when to connect, register, beat and resend.

use std::time::Duration;

use super::{AgentConfig, AgentCore, AgentEffect, AgentObservation, backoff, frames};
use crate::ids::CommandId;
use crate::op::Op;
use crate::order::{Misread, ServerOrder, Welcome};
use crate::time::Timestamp;
use crate::wire::Field;
use crate::wire::agent::AgentFrame;

/// How long the server may take to answer a registration.
pub const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(30);
/// How often an unconfirmed result is sent again on a connection that stands.
pub const RESEND_EVERY: Duration = Duration::from_secs(30);

/// A connection that ends sooner counts as a failed attempt, so that two agents with one name, each
/// replacing the other, do not do so every second.
pub const STABLE_AFTER: Duration = Duration::from_secs(60);

/// Where the connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// No connection; the next attempt is at `retry_at`.
    Down { attempt: u32, retry_at: Timestamp },
    /// An attempt is under way.
    Connecting { attempt: u32 },
    /// `register` was sent then; `registered` has not come.
    Registering { attempt: u32, sent: Timestamp },
    /// Registered.
    Ready {
        /// The attempts before, forgotten once the connection has proved to be of some use.
        attempt: u32,
        /// When the registration was answered.
        since: Timestamp,
        /// Server time minus local time in milliseconds, where the server tells its time.
        offset: Option<i64>,
        /// Whether the server confirms results.
        confirms: bool,
    },
}

impl Link {
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match self {
            Link::Down { retry_at, .. } => Some(*retry_at),
            Link::Registering { sent, .. } => Some(*sent + REGISTRATION_TIMEOUT),
            Link::Connecting { .. } | Link::Ready { .. } => None,
        }
    }
}

impl AgentCore {
    pub(super) fn connect(&mut self) -> Vec<AgentEffect> {
        let Link::Down { attempt, .. } = self.link else {
            return Vec::new();
        };
        self.link = Link::Connecting { attempt };
        vec![AgentEffect::Connect]
    }

    pub(super) fn connected(
        &mut self,
        observation: AgentObservation,
        now: Timestamp,
    ) -> Vec<AgentEffect> {
        let attempt = match self.link {
            Link::Down { attempt, .. }
            | Link::Connecting { attempt }
            | Link::Registering { attempt, .. }
            | Link::Ready { attempt, .. } => attempt,
        };
        self.observation = observation;
        self.link = Link::Registering { attempt, sent: now };
        let running = self.running.as_ref();
        let register = frames::register(&self.config, &self.observation, &self.journal, running);
        self.sent_generations = register.facts.generations.clone();
        let told = self.journal.unconfirmed();
        self.told_results = told.into_iter().map(|(id, _)| id).collect();
        vec![send(AgentFrame::Register(Box::new(register)))]
    }

    pub(super) fn disconnected(&mut self, now: Timestamp) -> Vec<AgentEffect> {
        let attempt = match self.link {
            Link::Down { attempt, retry_at } => {
                self.link = Link::Down { attempt, retry_at };
                return Vec::new();
            }
            Link::Connecting { attempt } | Link::Registering { attempt, .. } => attempt,
            Link::Ready { since, .. } if now.since(since) >= STABLE_AFTER => 0,
            Link::Ready { attempt, .. } => attempt,
        };
        self.next_heartbeat = None;
        self.next_resend = None;
        let retry_at = now + backoff::delay(attempt, self.config.seed);
        self.link = Link::Down {
            attempt: attempt.saturating_add(1),
            retry_at,
        };
        Vec::new()
    }

    pub(super) fn link_timeout(&mut self, now: Timestamp) -> Vec<AgentEffect> {
        if self.link.deadline().is_none_or(|due| due > now) {
            return Vec::new();
        }
        match self.link {
            Link::Down { .. } => self.connect(),
            Link::Registering { .. } => {
                let mut effects = vec![AgentEffect::Close];
                effects.extend(self.disconnected(now));
                effects
            }
            Link::Connecting { .. } | Link::Ready { .. } => Vec::new(),
        }
    }

    pub(super) fn order(
        &mut self,
        order: Result<ServerOrder, Misread>,
        fresh_id: CommandId,
        now: Timestamp,
    ) -> Vec<AgentEffect> {
        match order {
            Ok(ServerOrder::Registered(welcome)) => self.registered(&welcome, now),
            Ok(ServerOrder::Start(order)) => self.start_command(order, fresh_id, now),
            Ok(ServerOrder::Stop {
                command, signal, ..
            }) => self.stop(Some(command), signal, now),
            Ok(ServerOrder::StopRunning(signal)) => self.stop(None, signal, now),
            Ok(ServerOrder::Confirm {
                command,
                server_time,
            }) => self.confirm(command, server_time, now),
            Err(misread) => self.refuse_misread(&misread),
        }
    }

    fn registered(&mut self, welcome: &Welcome, now: Timestamp) -> Vec<AgentEffect> {
        // The server read its clock after `register` was sent, so counting from there is never
        // behind it, however long the answer took: a late frame cannot outlive its lease. A
        // repeated answer tells nothing new.
        let Link::Registering { attempt, sent } = self.link else {
            return Vec::new();
        };
        let offset = welcome
            .server_time
            .map(|server| server.as_millis().saturating_sub(sent.as_millis()));
        let confirms = welcome.protocol.is_some();
        self.link = Link::Ready {
            attempt,
            since: now,
            offset,
            confirms,
        };
        self.next_heartbeat = Some(now + self.config.interval);
        self.next_resend = (!self.journal.unconfirmed().is_empty()).then(|| now + RESEND_EVERY);
        let mut effects = self.untold_results(confirms);
        effects.push(self.heartbeat());
        if !confirms {
            effects.extend(self.forget_reported());
        }
        effects
    }

    /// The results that the server cannot know from the registration: those of commands that ended
    /// since it was sent; from an existing dashboard, which reads none there, all but those it
    /// expects none of.
    fn untold_results(&self, confirms: bool) -> Vec<AgentEffect> {
        let untold = |id: &CommandId| {
            if confirms {
                return !self.told_results.contains(id);
            }
            let op = self.journal.commands.get(id).map(|record| record.op);
            !matches!(op, Some(Op::Restart | Op::Reboot))
        };
        self.journal
            .unconfirmed()
            .into_iter()
            .filter(|(id, _)| untold(id))
            .map(|(_, result)| send(AgentFrame::Status(Box::new(result.clone()))))
            .collect()
    }

    fn confirm(
        &mut self,
        command: CommandId,
        server_time: Option<Timestamp>,
        now: Timestamp,
    ) -> Vec<AgentEffect> {
        if let (Link::Ready { offset, .. }, Some(server)) = (&mut self.link, server_time) {
            // A confirm may have been long on its way: it only ever moves the clock forward.
            let told = server.as_millis().saturating_sub(now.as_millis());
            *offset = (*offset).max(Some(told));
        }
        let known = self.journal.commands.get(&command);
        if !known.is_some_and(|record| record.result.is_some() && !record.confirmed) {
            return Vec::new();
        }
        vec![self.journal_entry(super::JournalEntry::Confirmed { command })]
    }

    /// The server's time as far as it can be known here; it is never behind the true one.
    pub(super) fn server_time(&self, now: Timestamp) -> Option<Timestamp> {
        let Link::Ready {
            offset: Some(offset),
            ..
        } = self.link
        else {
            return None;
        };
        Some(Timestamp::from_millis(
            now.as_millis().saturating_add(offset),
        ))
    }

    pub(super) fn peer_confirms(&self) -> bool {
        matches!(self.link, Link::Ready { confirms: true, .. })
    }

    pub(super) fn observed(&mut self, observation: AgentObservation) -> Vec<AgentEffect> {
        self.observation = observation;
        if self.is_registered() {
            vec![self.heartbeat()]
        } else {
            Vec::new()
        }
    }

    /// A heartbeat with the generations only if they differ from those sent before on this
    /// connection.
    pub(super) fn heartbeat(&mut self) -> AgentEffect {
        let running = self.running.as_ref();
        let mut frame = frames::heartbeat(&self.observation, &self.journal, running);
        if self.sent_generations == frame.facts.generations {
            frame.facts.generations = Field::Absent;
        } else {
            self.sent_generations = frame.facts.generations.clone();
        }
        send(AgentFrame::Heartbeat(Box::new(frame)))
    }

    pub(super) fn resend_results(&mut self, now: Timestamp) -> Vec<AgentEffect> {
        self.next_resend = None;
        if !self.is_registered() {
            return Vec::new();
        }
        let open = self.journal.unconfirmed();
        let frames: Vec<_> = open
            .iter()
            .map(|(_, result)| send(AgentFrame::Status(Box::new((*result).clone()))))
            .collect();
        if !frames.is_empty() {
            self.next_resend = Some(now + RESEND_EVERY);
        }
        frames
    }

    /// An existing dashboard confirms nothing: what was reported once is done with.
    pub(super) fn forget_reported(&mut self) -> Vec<AgentEffect> {
        let open: Vec<_> = self
            .journal
            .unconfirmed()
            .iter()
            .map(|(id, _)| *id)
            .collect();
        open.into_iter()
            .map(|command| self.journal_entry(super::JournalEntry::Confirmed { command }))
            .collect()
    }

    #[must_use]
    pub(super) fn config(&self) -> &AgentConfig {
        &self.config
    }
}

pub(super) fn send(frame: AgentFrame) -> AgentEffect {
    AgentEffect::Send(Box::new(frame))
}
