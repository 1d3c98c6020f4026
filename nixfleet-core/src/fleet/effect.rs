//! What the fleet wants done, in order: persist, then send, then publish, then answer.

use std::sync::Arc;

use serde::Serialize;

use super::input::{Reply, RequestId};
use super::settings::FleetSettings;
use super::snapshot::HostRecord;
use crate::desired::RemoteWatch;
use crate::ids::{CommandId, ConnectionId, HostId, StateVersion};
use crate::lifecycle::Command;
use crate::notice::Notice;
use crate::order::ServerOrder;
use crate::rollout::Rollout;
use crate::sync::{Delta, EventView};
use crate::update::{ForgeCall, UpdateRecord};

/// One thing to do. All [`Effect::Persist`] of one call belong into one transaction, and nothing
/// after them may be done before it is durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Store a record.
    Persist(Box<Record>),
    /// Tell an agent something. If it starts a command and cannot be sent, say so with
    /// `Input::SendFailed`.
    Send {
        /// The connection.
        connection: ConnectionId,
        /// The command it starts, if it does.
        command: Option<CommandId>,
        /// What to tell it.
        order: Box<ServerOrder>,
    },
    /// Close a connection with a code and a reason (RFC 6455, 7.4).
    Close {
        /// The connection.
        connection: ConnectionId,
        /// The code.
        code: u16,
        /// The reason.
        reason: &'static str,
    },
    /// Publish a change to clients.
    Publish(Arc<Delta>),
    /// Answer a client.
    Reply {
        /// Whose question.
        request: RequestId,
        /// The answer.
        reply: Reply,
    },
    /// Read the remote now.
    ReadRemote,
    /// Tell people.
    Notify(Box<Notice>),
    /// Ask the forge, and bring its answer back as `Input::Forge`.
    Forge(ForgeCall),
}

/// A row to be stored, replacing the one with the same key.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A host.
    Host(HostRecord),
    /// A host is gone, with everything that belongs to it except history and audit.
    HostRemoved(HostId),
    /// A command.
    Command(Command),
    /// What is known of the remote.
    Remote(RemoteWatch),
    /// Something happened.
    Event(EventView),
    /// Somebody asked for something that changes state.
    Audit(AuditRecord),
    /// The version of the synchronised state.
    Version(StateVersion),
    /// A rollout.
    Rollout(Box<Rollout>),
    /// The settings of the fleet as a whole.
    Settings(Box<FleetSettings>),
    /// What is known of updates.
    Update(UpdateRecord),
}

/// Who asked for what, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// When.
    pub at: crate::time::Timestamp,
    /// Who.
    pub actor: crate::host::Actor,
    /// What, as a stable code (`dispatch.switch`, `stop`, `hold`).
    pub action: String,
    /// On which host.
    pub host: Option<HostId>,
    /// The command it led to.
    pub command: Option<CommandId>,
    /// Why, in the actor's words.
    pub reason: Option<String>,
    /// What came of it, as a stable code.
    pub outcome: String,
    /// What was changed, as it was before, in JSON.
    pub before: Option<String>,
    /// The same, as it is now.
    pub after: Option<String>,
    /// From which address, where an adapter knows it.
    pub peer: Option<String>,
}

impl AuditRecord {
    /// A row about the fleet as a whole.
    #[must_use]
    pub fn new(
        at: crate::time::Timestamp,
        actor: &crate::host::Actor,
        action: &str,
        outcome: &str,
    ) -> Self {
        Self {
            at,
            actor: actor.clone(),
            action: action.to_owned(),
            host: None,
            command: None,
            reason: None,
            outcome: outcome.to_owned(),
            before: None,
            after: None,
            peer: None,
        }
    }

    /// The same, about a host.
    #[must_use]
    pub fn on(mut self, host: &HostId) -> Self {
        self.host = Some(host.clone());
        self
    }

    /// The same, with a reason.
    #[must_use]
    pub fn because(mut self, reason: Option<&str>) -> Self {
        self.reason = reason.map(str::to_owned);
        self
    }

    /// The same, with what was changed from what into what.
    #[must_use]
    pub fn changed(mut self, before: &impl Serialize, after: &impl Serialize) -> Self {
        self.before = serde_json::to_string(before).ok();
        self.after = serde_json::to_string(after).ok();
        self
    }
}
