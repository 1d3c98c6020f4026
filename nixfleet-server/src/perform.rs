//! Performs what the fleet wants done, in the order that makes a crash harmless: store, send,
//! publish, answer.

use std::collections::HashMap;
use std::sync::Arc;

use nixfleet_core::CommandId;
use nixfleet_core::fleet::{Effect, Input, Record, Reply, RequestId};
use nixfleet_core::order::ServerOrder;
use nixfleet_core::update::ForgeCall;
use nixfleet_core::wire::agent::ServerFrame;
use nixfleet_core::{ConnectionId, HostId};
use tokio::sync::{mpsc, oneshot};

use crate::agents::{Agents, Farewell, Outgoing};
use crate::keyed::Taken;
use crate::live::Feed;
use crate::notify::{Notifier, Owed};
use crate::output::Output;
use crate::persist::{Persist, PersistError};
use crate::sources::Poller;
use crate::telemetry::Telemetry;

/// Everything effects go to.
pub struct Performer {
    /// The journal.
    pub journal: Arc<dyn Persist>,
    /// The agents.
    pub agents: Arc<Agents>,
    /// The browsers.
    pub feed: Arc<Feed>,
    /// Output of commands; wants to know which command belongs to which host.
    pub output: Arc<Output>,
    /// Telemetry; forgets hosts that are gone.
    pub telemetry: Arc<Telemetry>,
    /// The polling of the remote, if there is one.
    pub remote: Option<Poller>,
    /// Where questions to the forge go, if one is configured.
    pub forge: Option<mpsc::UnboundedSender<ForgeCall>>,
    /// Who tells people.
    pub notifier: Notifier,
    /// Who waits for which answer.
    pub waiting: HashMap<RequestId, oneshot::Sender<Reply>>,
    /// Keyed requests that the next effects carry out.
    pub taken: Vec<Taken>,
}

impl Performer {
    /// Somebody waits for the answer to this request.
    pub fn expect(&mut self, request: RequestId, reply: oneshot::Sender<Reply>) {
        self.waiting.insert(request, reply);
    }

    /// Performs effects; answers what could not be sent, as inputs for the fleet.
    ///
    /// # Errors
    /// [`PersistError`]; then nothing was sent, published or answered.
    pub async fn perform(&mut self, effects: Vec<Effect>) -> Result<Vec<Input>, PersistError> {
        let mut records = Vec::new();
        let mut owed = Vec::new();
        let mut later = Vec::with_capacity(effects.len());
        for effect in effects {
            match effect {
                Effect::Persist(record) => records.push(*record),
                Effect::Notify(notice) => owed.extend(self.notifier.owed(&notice)),
                Effect::Send { .. }
                | Effect::Close { .. }
                | Effect::Publish(_)
                | Effect::Reply { .. }
                | Effect::ReadRemote
                | Effect::Forge(_) => later.push(effect),
            }
        }
        let owed: Vec<Owed> = owed.into_iter().flatten().collect();
        let taken = std::mem::take(&mut self.taken);
        if !records.is_empty() || !owed.is_empty() || !taken.is_empty() {
            self.journal.commit(&records, &owed, &taken).await?;
            self.note(&records);
        }
        let failed = self.after_commit(later);
        let left = self.notifier.hand_over(owed);
        if !left.is_empty() {
            let notices = left.len();
            tracing::warn!(
                notices,
                "too much is to be told at once; this is told when there is room"
            );
        }
        Ok(failed)
    }

    /// Effects of one input come in the right order; those of a batch are sorted by kind, so that
    /// no client sees or hears of anything before every agent has been told.
    fn after_commit(&mut self, effects: Vec<Effect>) -> Vec<Input> {
        let mut failed = Vec::new();
        let mut deltas = Vec::new();
        let mut replies = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send {
                    connection,
                    command,
                    order,
                } => failed.extend(self.send(connection, command, *order)),
                Effect::Close {
                    connection,
                    code,
                    reason,
                } => self.agents.close(connection, Farewell { code, reason }),
                Effect::ReadRemote => {
                    if let Some(poller) = &self.remote {
                        poller.poke();
                    }
                }
                Effect::Publish(delta) => deltas.push(delta),
                Effect::Reply { request, reply } => replies.push((request, reply)),
                Effect::Forge(call) => {
                    if let Some(forge) = &self.forge {
                        // It ends only with the server; what was not answered is asked again then.
                        forge.send(call).ok();
                    }
                }
                Effect::Persist(_) | Effect::Notify(_) => {}
            }
        }
        self.feed.publish(deltas);
        for (request, reply) in replies {
            if let Some(waiting) = self.waiting.remove(&request) {
                waiting.send(reply).ok();
            }
        }
        failed
    }

    fn send(
        &self,
        connection: ConnectionId,
        command: Option<CommandId>,
        order: ServerOrder,
    ) -> Option<Input> {
        let greets = matches!(order, ServerOrder::Registered(_));
        let text = match serde_json::to_string(&ServerFrame::from(order)) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "a frame could not be written as JSON");
                return command.map(|command| not_sent(command, &error));
            }
        };
        let outgoing = Outgoing {
            command,
            greets,
            text: text.into(),
        };
        match self.agents.send(connection, outgoing) {
            Ok(()) => None,
            Err(why) => {
                tracing::debug!(connection = connection.0, %why, "a frame could not be sent");
                command.map(|command| not_sent(command, &why))
            }
        }
    }

    fn note(&self, records: &[Record]) {
        for record in records {
            match record {
                Record::Command(command) => {
                    let active = !command.phase.is_terminal();
                    self.output.note_command(&command.host, command.id, active);
                }
                Record::HostRemoved(host) => self.forget(host),
                Record::Host(_)
                | Record::Remote(_)
                | Record::Event(_)
                | Record::Audit(_)
                | Record::Version(_)
                | Record::Rollout(_)
                | Record::Settings(_)
                | Record::Update(_) => {}
            }
        }
    }

    fn forget(&self, host: &HostId) {
        self.output.forget(host);
        self.telemetry.forget(host);
    }
}

fn not_sent(command: CommandId, why: &dyn std::error::Error) -> Input {
    Input::SendFailed {
        command,
        nothing_left: true,
        why: why.to_string(),
    }
}
