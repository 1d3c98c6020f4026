//! One command without a fleet: its beginning and what happens to it as JSON, and what is to be
//! done about it (spec 02). What an agent says are its frames, as they travel (spec 03).
//!
//! ```
//! use nixfleet_core::Timestamp;
//! use nixfleet_core::wire::command::{CommandEvent, CommandFacts, TrackedCommand};
//! let facts: CommandFacts = serde_json::from_str(r#"{
//!     "command_id": "01939b0a-7c1e-7000-8000-000000000001",
//!     "request": {"op": "test"},
//!     "conditions": {"host": {"agent_version": "4.0.0", "capabilities": ["commands"]}}
//! }"#).unwrap();
//! let mut command = TrackedCommand::queue(facts, Timestamp::EPOCH).unwrap();
//! for event in [r#"{"event": "start"}"#, r#"{"event": "validate", "seq": 1}"#] {
//!     let event: CommandEvent = serde_json::from_str(event).unwrap();
//!     let _ = command.handle(event, Timestamp::EPOCH).unwrap();
//! }
//! let report = command.handle_timeout(Timestamp::from_seconds(1));
//! assert_eq!(serde_json::to_value(report).unwrap()["phase"], "EXECUTING");
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::admission::{ConditionFacts, OwnedConditions, RequestFacts};
use super::agent::{AgentFrame, Output};
use super::convert::{WireError, agent_message, optional, parse};
use crate::admission::{Refusal, admit, admit_to_queue};
use crate::host::{AgentProtocol, ObservationUpdate, Presence};
use crate::ids::{CommandId, Sequence};
use crate::lifecycle::{
    Address, Command, Deadline, Ending, Event, ExitReport, Hello, Phase, Signal, Step, Transcript,
    Withdrawal, half_of, late_result,
};
use crate::report::{AgentReport, CommandResult, HeartbeatReport, Registration};
use crate::time::Timestamp;

/// How a command begins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CommandFacts {
    /// Its id, a UUID.
    pub command_id: String,
    /// What somebody wants.
    pub request: RequestFacts,
    /// The host as it is.
    pub conditions: ConditionFacts,
}

/// What can happen to a command. The names are those of the transition table where it has one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum CommandEvent {
    /// Its turn has come: leave the queue.
    Start,
    /// Check the preconditions, and send it if they hold.
    Validate {
        /// The next sequence number of the host.
        seq: u64,
    },
    /// A precondition that is not known here failed.
    ValidateFail {
        /// Which.
        refusal: Refusal,
    },
    /// The frame was handed to the socket.
    Sent,
    /// Handing the frame to the socket failed.
    SendFail {
        /// Whether it is certain that no byte left.
        nothing_left: bool,
        /// Why.
        #[serde(default)]
        why: String,
    },
    /// The server has done the work of this operation itself.
    Performed {
        /// 0 if it worked.
        exit_code: i32,
    },
    /// A frame of the agent.
    Agent {
        /// As it travels: `{"type": …, "payload": {…}}`.
        frame: AgentFrame,
    },
    /// A person or policy wants it stopped.
    KillRequest {
        /// How.
        signal: Signal,
    },
    /// A person gives it more time.
    Extend {
        /// How much, in milliseconds.
        ms: u64,
    },
    /// A person stops tracking it.
    Ignore,
    /// It shall not start.
    Cancel {
        /// Why.
        how: Withdrawal,
    },
    /// The agent's connection is gone.
    Disconnect,
    /// The server was restarted. Until this event nothing was due while it was down.
    ServerRestart,
}

/// Why a command does not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A field cannot be read.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// It may not even wait.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// A command, and what is known of its host.
#[derive(Clone, Debug)]
pub struct TrackedCommand {
    command: Command,
    conditions: OwnedConditions,
}

/// Where a command is after something happened, and what is to be done about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CommandReport {
    /// Where it is.
    pub phase: Phase,
    /// The next moment at which it wants to be called; none when it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Deadline>,
    /// Why it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// The same as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What is to be done, in order, after the command was stored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Step>,
    /// Ids of the rows of the transition table that were used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<&'static str>,
}

impl TrackedCommand {
    /// A command in the queue.
    ///
    /// # Errors
    /// [`StartError`] if a field cannot be read, or the command may not even wait.
    pub fn queue(facts: CommandFacts, now: Timestamp) -> Result<Self, StartError> {
        let id: CommandId = parse("command_id", &facts.command_id)?;
        let request = facts.request.try_into()?;
        let conditions = OwnedConditions::try_from(facts.conditions)?;
        let queueable = admit_to_queue(&request, &conditions.as_conditions())?;
        Ok(Self {
            command: Command::queue(&queueable, id, now),
            conditions,
        })
    }

    /// The command itself.
    #[must_use]
    pub const fn command(&self) -> &Command {
        &self.command
    }

    /// The next moment at which it wants to be called, and why; none when it has ended.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Deadline> {
        self.command.poll_timeout()
    }

    /// Lets time pass.
    #[must_use]
    pub fn handle_timeout(&mut self, now: Timestamp) -> CommandReport {
        let done = self.command.handle_timeout_traced(now);
        self.report(done)
    }

    /// Takes in what happened. Deadlines that are due fire first.
    ///
    /// # Errors
    /// [`WireError`] if the event cannot be read; then nothing has changed.
    pub fn handle(
        &mut self,
        event: CommandEvent,
        now: Timestamp,
    ) -> Result<CommandReport, WireError> {
        let done = match event {
            CommandEvent::Agent { frame } => self.agent(frame, now)?,
            CommandEvent::Validate { seq } => self.validate(Sequence(seq), now),
            CommandEvent::Disconnect => {
                self.conditions.situation.presence = Presence::Offline { since: now };
                self.command.handle_traced(&Event::Disconnect, now)
            }
            CommandEvent::Performed { exit_code } => {
                let (id, op) = (self.command.id, self.command.op);
                let report = ExitReport::new(Some(id), Some(op), exit_code);
                self.happens(Event::Exited(Box::new(report)), now)
            }
            CommandEvent::Start => self.happens(Event::Start, now),
            CommandEvent::ValidateFail { refusal } => {
                self.happens(Event::ValidateFail(refusal), now)
            }
            CommandEvent::Sent => self.happens(Event::Sent, now),
            CommandEvent::SendFail { nothing_left, why } => {
                self.happens(Event::SendFail { nothing_left, why }, now)
            }
            CommandEvent::KillRequest { signal } => self.happens(Event::KillRequest(signal), now),
            CommandEvent::Extend { ms } => {
                self.happens(Event::Extend(Duration::from_millis(ms)), now)
            }
            CommandEvent::Ignore => self.happens(Event::Ignore, now),
            CommandEvent::Cancel { how } => self.happens(Event::Cancel(how), now),
            CommandEvent::ServerRestart => self.happens(Event::ServerRestart, now),
        };
        Ok(self.report(done))
    }

    fn report(&self, done: Transcript) -> CommandReport {
        CommandReport {
            phase: self.command.phase,
            deadline: self.command.poll_timeout(),
            ending: self.command.ending.clone(),
            message: self.command.ending_text(),
            effects: done.steps,
            rows: done.rows,
        }
    }

    fn happens(&mut self, event: Event<'_>, now: Timestamp) -> Transcript {
        self.command.handle_traced(&event, now)
    }

    fn validate(&mut self, seq: Sequence, now: Timestamp) -> Transcript {
        let conditions = self.conditions.as_conditions();
        let event = match admit(&self.command.request(), &conditions) {
            Ok(admitted) => Event::ValidateOk {
                admitted: Box::new(admitted),
                seq,
            },
            Err(refusal) => Event::ValidateFail(refusal),
        };
        self.command.handle_traced(&event, now)
    }

    fn agent(&mut self, frame: AgentFrame, now: Timestamp) -> Result<Transcript, WireError> {
        if let AgentFrame::Output(output) = frame {
            let to = self.address_of(output)?;
            return Ok(self.happens(Event::Output { to }, now));
        }
        let identity = &self.conditions.situation.identity;
        let Some(report) = agent_message(frame, identity)? else {
            return Ok(self.command.handle_timeout_traced(now));
        };
        Ok(match report {
            AgentReport::Registered(registration) => self.registered(*registration, now),
            AgentReport::Heartbeat(beat) => self.heartbeat(*beat, now),
            AgentReport::Result(result) => self.result(&result, now),
            AgentReport::Accepted { command, pid } => {
                let to = Address::of(command);
                self.happens(Event::Accepted { to, pid }, now)
            }
            AgentReport::Rejected(rejection) => {
                let event = Event::Rejected {
                    to: rejection.command.map_or_else(Address::default, Address::of),
                    reason: rejection.reason,
                    current: rejection.current.map(|op| op.name().to_owned()),
                };
                self.happens(event, now)
            }
            AgentReport::Progress(progress) => {
                let to = progress.command.map_or_else(Address::default, Address::of);
                let half = half_of(progress.stage);
                self.happens(Event::Progress { to, half }, now)
            }
        })
    }

    fn address_of(&self, output: Output) -> Result<Address, WireError> {
        let id = optional("command_id", output.command_id)?;
        Ok(id.map_or_else(Address::default, Address::of))
    }

    fn take_in(&mut self, facts: ObservationUpdate) {
        self.conditions.situation.observation.apply(facts);
        self.conditions.observed();
    }

    fn registered(&mut self, registration: Registration, now: Timestamp) -> Transcript {
        self.conditions.situation.presence = Presence::Online;
        self.conditions.situation.identity = registration.identity;
        self.take_in(registration.facts);
        let results = registration.results.iter();
        let results: Vec<_> = results.map(|it| ExitReport::from_result(it, now)).collect();
        let situation = &self.conditions.situation;
        if self.command.phase.is_terminal() {
            let mut done = Transcript::default();
            for report in &results {
                done.steps.extend(late_result(&self.command, report, true));
            }
            return done;
        }
        let hello = Hello {
            instance_id: situation.identity.instance_id.as_ref(),
            boot_id: situation.identity.boot_id.as_ref(),
            running: registration.running.map(|running| running.command),
            results: &results,
            observation: &situation.observation,
        };
        self.command.handle_traced(&Event::Hello(hello), now)
    }

    fn heartbeat(&mut self, beat: HeartbeatReport, now: Timestamp) -> Transcript {
        self.take_in(beat.facts);
        let situation = &self.conditions.situation;
        let existing = situation.identity.protocol == AgentProtocol::Existing;
        let named = beat.pending_op.filter(|_| existing);
        let event = Event::Heartbeat {
            running: beat
                .command
                .map(Address::of)
                .or_else(|| named.map(|op| Address::op(Some(op)))),
            observation: &situation.observation,
        };
        self.command.handle_traced(&event, now)
    }

    /// A result carries facts seen after the exit. Of an existing agent only the heartbeat that
    /// follows does.
    fn result(&mut self, result: &CommandResult, now: Timestamp) -> Transcript {
        let report = ExitReport::from_result(result, now);
        self.take_in(result.facts.clone());
        if self.command.phase.is_terminal() {
            return Transcript {
                rows: Vec::new(),
                steps: late_result(&self.command, &report, true),
            };
        }
        let concerned = report.id.is_some() && self.command.concerns(report.address());
        let mut done = self.happens(Event::Exited(Box::new(report)), now);
        if concerned {
            let event = Event::Heartbeat {
                running: None,
                observation: &self.conditions.situation.observation,
            };
            let seen = self.command.handle_traced(&event, now);
            done.rows.extend(seen.rows);
            done.steps.extend(seen.steps);
        }
        done
    }
}
