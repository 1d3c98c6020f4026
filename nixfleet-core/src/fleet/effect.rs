//! What the fleet wants done, in order: persist, then send, then publish, then answer.

use std::sync::Arc;

use super::input::{Reply, RequestId};
use super::snapshot::HostRecord;
use crate::desired::RemoteWatch;
use crate::ids::{CommandId, ConnectionId, HostId, StateVersion};
use crate::lifecycle::Command;
use crate::notice::Notice;
use crate::order::ServerOrder;
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
    /// Ask the forge, and bring its answer back as `Input::Forge`.
    Forge(ForgeCall),
    /// Tell people.
    Notify(Notice),
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
    /// How what it changed was before, in one line.
    pub before: Option<String>,
    /// How it is now, in one line.
    pub after: Option<String>,
}
