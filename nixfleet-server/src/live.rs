//! The live feed of browsers: deltas, coalesced per tick and serialised once for all of them, the
//! beacon behind them on the same channel, and telemetry.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use nixfleet_core::StateVersion;
use nixfleet_core::sync::{self, Delta, ServerMessage, SyncState};
use serde::Serialize;
use tokio::sync::{Notify, broadcast};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;

use crate::hub::{Hub, HubGone};
use crate::telemetry::Telemetry;

/// Changes within this time travel in one frame; the first one after quiet goes at once.
const TICK: Duration = Duration::from_millis(100);
const BEACON: Duration = Duration::from_secs(30);
const TELEMETRY: Duration = Duration::from_secs(1);
/// Frames a browser may lag behind before it is skipped to a fresh full state.
const FRAMES: usize = 64;
/// Changes in one frame.
const CHANGES: usize = 512;
/// Changes that may wait for one tick; beyond that every browser gets the full state instead.
const PENDING: usize = 65_536;

/// One message for all browsers.
#[derive(Clone, Debug)]
pub enum Frame {
    /// Consecutive changes.
    Deltas {
        /// The version after the first one.
        first: StateVersion,
        /// The version after the last one.
        last: StateVersion,
        /// The message.
        text: Utf8Bytes,
    },
    /// A beacon or telemetry: makes sense at any version.
    Plain(Utf8Bytes),
    /// Changes were left out: everybody needs the full state.
    Skip,
}

/// The source of frames.
pub struct Feed {
    waiting: Mutex<Waiting>,
    wake: Notify,
    frames: broadcast::Sender<Frame>,
}

struct Waiting {
    version: StateVersion,
    deltas: Vec<Arc<Delta>>,
    skipped: bool,
}

impl Feed {
    /// A feed that goes on from `version`.
    #[must_use]
    pub fn new(version: StateVersion) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                version,
                deltas: Vec::new(),
                skipped: false,
            }),
            wake: Notify::new(),
            frames: broadcast::Sender::new(FRAMES),
        }
    }

    /// Takes in changes that are durable. Never waits.
    pub fn publish(&self, deltas: Vec<Arc<Delta>>) {
        let Some(last) = deltas.last().map(|delta| delta.version) else {
            return;
        };
        let mut waiting = self.waiting();
        waiting.version = last;
        if waiting.deltas.len() + deltas.len() > PENDING {
            waiting.deltas.clear();
            waiting.skipped = true;
        } else {
            waiting.deltas.extend(deltas);
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// Every frame from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Frame> {
        self.frames.subscribe()
    }

    /// Sends frames until `stop`.
    pub async fn run(&self, telemetry: &Telemetry, stop: CancellationToken) {
        let mut beacon = every(BEACON);
        let mut second = every(TELEMETRY);
        let mut quiet_until = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.due(quiet_until) => {
                    self.flush();
                    quiet_until = Instant::now() + TICK;
                }
                _ = beacon.tick() => {
                    let version = self.flush();
                    self.send_plain(&ServerMessage::Sync { version });
                }
                _ = second.tick() => {
                    let rows = telemetry.take_fresh();
                    if !rows.is_empty() {
                        self.send_plain(&ServerMessage::Telemetry(rows));
                    }
                }
            }
        }
    }

    async fn due(&self, quiet_until: Instant) {
        sleep_until(quiet_until).await;
        self.wake.notified().await;
    }

    /// Sends what waits; answers the version behind it.
    fn flush(&self) -> StateVersion {
        let mut waiting = self.waiting();
        let deltas = std::mem::take(&mut waiting.deltas);
        let skipped = std::mem::take(&mut waiting.skipped);
        let version = waiting.version;
        drop(waiting);
        if self.frames.receiver_count() == 0 {
            return version;
        }
        if skipped {
            self.frames.send(Frame::Skip).ok();
        }
        for run in deltas.chunks(CHANGES) {
            if let Some(frame) = deltas_frame(run) {
                self.frames.send(frame).ok();
            }
        }
        version
    }

    fn send_plain(&self, message: &ServerMessage) {
        if self.frames.receiver_count() > 0
            && let Some(text) = to_json(message)
        {
            self.frames.send(Frame::Plain(text.into())).ok();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The full state at one version, serialised at most once however many ask for it.
pub struct Snapshot {
    /// Its version.
    pub version: StateVersion,
    state: SyncState,
    parts: OnceLock<Vec<String>>,
    whole: OnceLock<Bytes>,
}

impl Snapshot {
    /// The parts as messages: `init` on connect, `full_state` later.
    pub fn messages(&self, kind: &'static str) -> impl Iterator<Item = Utf8Bytes> + '_ {
        let parts = self.parts.get_or_init(|| {
            let parts = sync::write_parts(self.version, &self.state);
            written(parts).unwrap_or_default()
        });
        parts
            .iter()
            .map(move |part| format!(r#"{{"type":"{kind}","payload":{part}}}"#).into())
    }

    /// The whole state as one document, for the HTTP API.
    #[must_use]
    pub fn document(&self) -> Bytes {
        let whole = self.whole.get_or_init(|| {
            let whole = sync::write_whole(self.version, &self.state);
            written(whole).unwrap_or_default().into()
        });
        whole.clone()
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> &SyncState {
        &self.state
    }
}

/// Full states, one for all who ask at the same time.
pub struct Snapshots {
    hub: Hub,
    latest: tokio::sync::Mutex<Option<Arc<Snapshot>>>,
}

impl Snapshots {
    /// Snapshots of this hub's fleet.
    #[must_use]
    pub fn new(hub: Hub) -> Self {
        Self {
            hub,
            latest: tokio::sync::Mutex::new(None),
        }
    }

    /// The full state, no older than this call.
    ///
    /// # Errors
    /// [`HubGone`].
    pub async fn current(&self) -> Result<Arc<Snapshot>, HubGone> {
        let wanted = self.hub.ask(|fleet| fleet.version()).await?;
        let mut latest = self.latest.lock().await;
        // Whoever waited for the lock may find that somebody made a state new enough meanwhile.
        if let Some(known) = latest.as_ref().filter(|known| known.version >= wanted) {
            return Ok(Arc::clone(known));
        }
        let ask =
            |fleet: &nixfleet_core::fleet::Fleet| (fleet.version(), fleet.sync().state().clone());
        let (version, state) = self.hub.ask(ask).await?;
        let snapshot = Arc::new(Snapshot {
            version,
            state,
            parts: OnceLock::new(),
            whole: OnceLock::new(),
        });
        *latest = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick of an interval is at once; nobody is there yet.
    ticks.reset();
    ticks
}

fn deltas_frame(deltas: &[Arc<Delta>]) -> Option<Frame> {
    let first = deltas.first()?.version;
    let last = deltas.last()?.version;
    let text = to_json(&sync::frame(deltas)?)?.into();
    Some(Frame::Deltas { first, last, text })
}

fn to_json(value: &impl Serialize) -> Option<String> {
    written(serde_json::to_string(value))
}

fn written<T>(text: serde_json::Result<T>) -> Option<T> {
    text.inspect_err(|error| tracing::error!(%error, "a message could not be written as JSON"))
        .ok()
}

#[cfg(test)]
mod tests {
    use nixfleet_core::sync::{Change, EventView, Replica, ReplicaStep};

    use super::*;

    fn version(number: u64) -> StateVersion {
        StateVersion { epoch: 1, number }
    }

    fn delta(number: u64) -> Arc<Delta> {
        let event = EventView {
            n: number,
            at: nixfleet_core::Timestamp::EPOCH,
            host: None,
            code: "test".to_owned(),
            text: "something".to_owned(),
        };
        Arc::new(Delta {
            version: version(number),
            change: Change::Event(event),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_change_goes_at_once_and_later_ones_of_a_tick_in_one_frame() {
        let feed = Arc::new(Feed::new(version(0)));
        let mut frames = feed.subscribe();
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let (feed, stop) = (feed.clone(), stop.clone());
            async move { feed.run(&Telemetry::default(), stop).await }
        });
        let range = |frame| match frame {
            Frame::Deltas { first, last, .. } => (first.number, last.number),
            Frame::Plain(_) | Frame::Skip => panic!("{frame:?}"),
        };
        feed.publish(vec![delta(1)]);
        let begin = Instant::now();
        assert_eq!(range(frames.recv().await.unwrap()), (1, 1));
        assert_eq!(begin.elapsed(), Duration::ZERO);
        for number in 2..=5 {
            feed.publish(vec![delta(number)]);
        }
        assert_eq!(range(frames.recv().await.unwrap()), (2, 5));
        stop.cancel();
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_beacon_travels_behind_the_deltas_it_speaks_of() {
        let feed = Arc::new(Feed::new(version(0)));
        let mut frames = feed.subscribe();
        let stop = CancellationToken::new();
        tokio::spawn({
            let (feed, stop) = (feed.clone(), stop.clone());
            async move { feed.run(&Telemetry::default(), stop).await }
        });
        feed.publish(vec![delta(1), delta(2)]);
        let mut seen = version(0);
        loop {
            match frames.recv().await.unwrap() {
                Frame::Deltas { last, .. } => seen = last,
                Frame::Plain(text) => {
                    let message: ServerMessage = serde_json::from_str(&text).unwrap();
                    assert_eq!(message, ServerMessage::Sync { version: seen });
                    assert_eq!(seen, version(2));
                    break;
                }
                Frame::Skip => panic!(),
            }
        }
        stop.cancel();
    }

    #[test]
    fn too_many_waiting_changes_become_a_skip_and_never_more_memory() {
        let feed = Feed::new(version(0));
        let mut frames = feed.subscribe();
        let one = delta(1);
        feed.publish(vec![one.clone(); PENDING]);
        feed.publish(vec![delta(2)]);
        assert_eq!(feed.flush(), version(2));
        assert!(matches!(frames.try_recv(), Ok(Frame::Skip)));
        assert!(frames.try_recv().is_err());
    }

    #[test]
    fn the_parts_of_a_snapshot_are_messages_that_a_replica_understands() {
        let mut state = SyncState::default();
        let Change::Event(event) = delta(7).change.clone() else {
            panic!()
        };
        state.apply(&Change::Event(event)).unwrap();
        let snapshot = Snapshot {
            version: version(7),
            state: state.clone(),
            parts: OnceLock::new(),
            whole: OnceLock::new(),
        };
        for kind in ["init", "full_state"] {
            let mut replica = Replica::new();
            for text in snapshot.messages(kind) {
                let message: ServerMessage = serde_json::from_str(&text).unwrap();
                assert_eq!(replica.apply(message), ReplicaStep::Changed);
            }
            assert_eq!(replica.state(), &state);
            assert_eq!(replica.version(), Some(version(7)));
        }
    }
}
