//! A client that misses nothing: every delta reaches it as text, and after every call of the fleet
//! it must hold exactly what a client holds that gets the full state.

use std::sync::Arc;

use nixfleet_core::fleet::{Effect, Fleet};
use nixfleet_core::sync::{
    Change, Delta, Replica, ReplicaStep, ServerMessage, StatusUpdate, frame, parts,
};

#[derive(Default)]
pub struct Witness {
    replica: Replica,
    /// Statuses that came in few bytes.
    pub compact: usize,
    /// Statuses that came whole.
    pub whole: usize,
}

impl Witness {
    /// A server has started: the full state.
    pub fn connect(&mut self, fleet: &Fleet) {
        self.replica = full(fleet);
    }

    /// A call of the fleet had these effects: the client must hold what the server holds.
    pub fn see(&mut self, effects: &[Effect], fleet: &Fleet) {
        self.follow(effects);
        assert_eq!(self.replica.version(), Some(fleet.version()));
        assert_eq!(self.replica.state(), fleet.sync().state());
    }

    /// It must hold, byte for byte, what a client holds that comes now.
    pub fn compare(&self, fleet: &Fleet) {
        let new = full(fleet);
        assert_eq!(self.replica.version(), new.version());
        let [ours, theirs] =
            [&self.replica, &new].map(|one| serde_json::to_string(one.state()).unwrap());
        assert_eq!(ours, theirs);
    }

    /// What it holds.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Takes in what a call of the fleet published.
    pub fn follow(&mut self, effects: &[Effect]) -> Vec<Arc<Delta>> {
        let published = effects.iter().filter_map(|effect| match effect {
            Effect::Publish(delta) => Some(delta.clone()),
            Effect::Persist(_)
            | Effect::Send { .. }
            | Effect::Close { .. }
            | Effect::Reply { .. }
            | Effect::ReadRemote
            | Effect::Notify(_) => None,
        });
        let published: Vec<Arc<Delta>> = published.collect();
        if let Some(message) = frame(&published) {
            let message = over_the_wire(&message);
            assert_eq!(self.replica.apply(message), ReplicaStep::Changed);
        }
        for delta in &published {
            match &delta.change {
                Change::StatusUpdated(StatusUpdate::Compact(_)) => self.compact += 1,
                Change::StatusUpdated(StatusUpdate::Whole(_)) => self.whole += 1,
                Change::HostAdded(_)
                | Change::HostUpdated(_)
                | Change::HostRemoved(_)
                | Change::CommandStarted(_)
                | Change::CommandProgress(_)
                | Change::CommandFinished(_)
                | Change::UpdatePrChanged(_)
                | Change::DesiredChanged(_)
                | Change::Event(_)
                | Change::RolloutUpdated(_) => {}
            }
        }
        published
    }
}

fn full(fleet: &Fleet) -> Replica {
    let mut replica = Replica::new();
    for part in parts(fleet.version(), fleet.sync().state()) {
        replica.apply(over_the_wire(&ServerMessage::FullState(Box::new(part))));
    }
    replica
}

/// The message as a client reads it.
pub fn over_the_wire(message: &ServerMessage) -> ServerMessage {
    let text = serde_json::to_string(message).unwrap();
    let read = serde_json::from_str(&text).unwrap();
    assert_eq!(message, &read, "{text}");
    read
}
