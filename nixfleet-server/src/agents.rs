//! The open connections of agents, and the way to each of them: a bounded queue that never makes
//! the sender wait.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nixfleet_core::{CommandId, ConnectionId};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Frames that may wait for one agent; far more than the protocol ever has under way.
const QUEUE: usize = 256;

/// A frame on its way to an agent.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The command it starts, if it does.
    pub command: Option<CommandId>,
    /// Whether it is the answer to the registration, from which on the peer counts as its host.
    pub greets: bool,
    /// The frame.
    pub text: Utf8Bytes,
}

/// A close frame for an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// The code (RFC 6455, 7.4).
    pub code: u16,
    /// The reason.
    pub reason: &'static str,
}

/// Why a frame was not even queued; no byte of it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotQueued {
    /// The connection is gone.
    #[error("the agent's connection is gone")]
    Gone,
    /// The agent does not take its frames; it is being disconnected.
    #[error("the agent does not read what is sent to it")]
    Overflow,
}

/// Every open connection of an agent.
#[derive(Debug, Default)]
pub struct Agents {
    last: AtomicU64,
    lines: Mutex<HashMap<ConnectionId, Line>>,
}

#[derive(Debug)]
struct Line {
    frames: mpsc::Sender<Outgoing>,
    farewell: Option<oneshot::Sender<Farewell>>,
}

/// The connection's own end.
#[derive(Debug)]
pub struct Peer {
    /// Its number.
    pub connection: ConnectionId,
    /// What is to be sent.
    pub frames: mpsc::Receiver<Outgoing>,
    /// How it is to end.
    pub farewell: oneshot::Receiver<Farewell>,
}

impl Agents {
    /// Adds a connection.
    pub fn open(&self) -> Peer {
        let connection = ConnectionId(self.last.fetch_add(1, Ordering::Relaxed) + 1);
        let (frames, frames_out) = mpsc::channel(QUEUE);
        let (farewell, farewell_out) = oneshot::channel();
        let line = Line {
            frames,
            farewell: Some(farewell),
        };
        self.lines().insert(connection, line);
        Peer {
            connection,
            frames: frames_out,
            farewell: farewell_out,
        }
    }

    /// Queues a frame. A full queue ends the connection: the agent will come back and resume.
    ///
    /// # Errors
    /// [`NotQueued`].
    pub fn send(&self, connection: ConnectionId, frame: Outgoing) -> Result<(), NotQueued> {
        let mut lines = self.lines();
        let line = lines.get_mut(&connection).ok_or(NotQueued::Gone)?;
        match line.frames.try_send(frame) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(NotQueued::Gone),
            Err(mpsc::error::TrySendError::Full(_)) => {
                let overflow = Farewell {
                    code: 1013,
                    reason: "too slow",
                };
                end(line, overflow);
                Err(NotQueued::Overflow)
            }
        }
    }

    /// Ends a connection after what is queued for it.
    pub fn close(&self, connection: ConnectionId, farewell: Farewell) {
        if let Some(line) = self.lines().get_mut(&connection) {
            end(line, farewell);
        }
    }

    /// Removes a connection that has ended.
    pub fn forget(&self, connection: ConnectionId) {
        self.lines().remove(&connection);
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lines().len()
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<ConnectionId, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(line: &mut Line, farewell: Farewell) {
    if let Some(sender) = line.farewell.take() {
        sender.send(farewell).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Outgoing {
        Outgoing {
            command: None,
            greets: false,
            text: text.into(),
        }
    }

    #[test]
    fn frames_reach_their_own_connection_in_order_and_no_other() {
        let agents = Agents::default();
        let (mut a, mut b) = (agents.open(), agents.open());
        assert_ne!(a.connection, b.connection);
        for text in ["1", "2"] {
            agents.send(a.connection, frame(text)).unwrap();
        }
        assert_eq!(a.frames.try_recv().unwrap().text, "1");
        assert_eq!(a.frames.try_recv().unwrap().text, "2");
        assert!(b.frames.try_recv().is_err());
        agents.forget(a.connection);
        assert_eq!(agents.send(a.connection, frame("3")), Err(NotQueued::Gone));
        assert_eq!(agents.count(), 1);
    }

    #[test]
    fn an_agent_that_does_not_read_is_ended_and_nobody_waits_for_it() {
        let agents = Agents::default();
        let mut peer = agents.open();
        for _ in 0..QUEUE {
            agents.send(peer.connection, frame("x")).unwrap();
        }
        assert_eq!(
            agents.send(peer.connection, frame("x")),
            Err(NotQueued::Overflow)
        );
        assert_eq!(peer.farewell.try_recv().unwrap().code, 1013);
    }
}
