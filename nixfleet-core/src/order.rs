//! What a server tells an agent, as domain values: the counterpart of [`crate::report`]. Frames are
//! made of them, and they of frames, in [`crate::wire`].

use crate::ids::{CommandId, IdError, Sequence};
use crate::lifecycle::{CommandArgs, Signal, Target};
use crate::op::Op;
use crate::time::Timestamp;

/// One thing that a server tells an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerOrder {
    /// The registration is accepted.
    Registered(Welcome),
    /// Carry out a command.
    Start(StartOrder),
    /// End this command.
    Stop {
        /// The command; no other one is ever hit.
        command: CommandId,
        /// How.
        signal: Signal,
        /// Its process id, where the server knows it.
        pid: Option<i64>,
    },
    /// End whatever runs: all that a peer without command ids can say.
    StopRunning(Signal),
    /// A result is stored: the agent may forget it.
    Confirm {
        /// The command.
        command: CommandId,
        /// The server's time, which leases are measured by.
        server_time: Option<Timestamp>,
    },
}

/// The answer to a registration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Welcome {
    /// The host's name in the server's words.
    pub host: String,
    /// Version of the server.
    pub server_version: Option<String>,
    /// Version of our extension of the protocol; `None` from an existing dashboard.
    pub protocol: Option<u32>,
    /// What the server can do.
    pub capabilities: Vec<String>,
    /// The server's time, which leases are measured by.
    pub server_time: Option<Timestamp>,
}

/// A command, as it is given to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartOrder {
    /// Its id; `None` to or from a peer without command ids.
    pub command: Option<CommandId>,
    /// What to run.
    pub op: Op,
    /// Its sequence number.
    pub seq: Option<Sequence>,
    /// End of the lease, in the server's time.
    pub not_after: Option<Timestamp>,
    /// Its arguments.
    pub args: CommandArgs,
    /// The pinned target.
    pub target: Option<Target>,
}

impl StartOrder {
    /// All that an existing agent understands: the operation.
    #[must_use]
    pub fn of(op: Op) -> Self {
        Self {
            command: None,
            op,
            seq: None,
            not_after: None,
            args: CommandArgs::default(),
            target: None,
        }
    }
}

/// A frame of a server that is no order. Nothing is done about it; if it asked for a command, the
/// server is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Misread {
    /// The command that it asked for; `None` for other frames, and if the id itself is no id.
    pub asked: Option<Asked>,
    /// What is wrong with it.
    pub cause: MisreadCause,
}

/// Which command a frame asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Its id; `None` from a peer without command ids.
    pub command: Option<CommandId>,
    /// Its sequence number.
    pub seq: Option<Sequence>,
}

/// What is wrong with a frame of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MisreadCause {
    /// The operation is none that this version knows.
    #[error("this agent does not know the operation {0:?}")]
    UnknownOp(String),
    /// A field has a value that it may not have.
    #[error("field `{field}`: {source}")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// What was expected.
        source: IdError,
    },
}
