//! Reads the source again and again: every TTL, and at once when poked. One reading at a time,
//! each bounded, and neither a panic nor a hang of a source ends the polling.

use std::sync::Arc;
use std::time::Duration;

use nixfleet_core::Timestamp;
use nixfleet_core::desired::{FETCH_BUDGET, RemoteCause, Unavailable};
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use nixfleet_core::update::HINTS_APART;

use super::{Fetched, Source};
use crate::clock::Clock;

/// At least this long between two readings, however often somebody pokes.
const MIN_PAUSE: Duration = Duration::from_millis(250);
/// How long after its own deadline a reading is given up.
const SLACK: Duration = Duration::from_millis(500);

/// One finished reading.
#[derive(Clone, Debug)]
pub struct Poll {
    /// When the reading began: what it found is at least this fresh.
    pub started: Timestamp,
    /// What it found.
    pub outcome: Result<Fetched, Unavailable>,
}

/// A handle to the polling; cheap to clone. The polling goes on until it is cancelled.
#[derive(Clone, Debug)]
pub struct Poller {
    poke: Arc<Notify>,
    hint: Arc<Notify>,
    progress: watch::Receiver<Progress>,
}

/// How many readings have begun and have been delivered.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    started: u64,
    delivered: u64,
}

impl Poller {
    /// Starts polling; each reading goes to `readings`. A full channel holds the polling up.
    #[must_use]
    pub fn start(
        source: Source,
        ttl: Duration,
        clock: Clock,
        readings: mpsc::Sender<Poll>,
        cancelled: CancellationToken,
    ) -> Self {
        let poke = Arc::new(Notify::new());
        let hint = Arc::new(Notify::new());
        let (progress, watcher) = watch::channel(Progress::default());
        let task = Task {
            source: Arc::new(Mutex::new(source)),
            ttl,
            clock,
            readings,
            progress,
            poke: Arc::clone(&poke),
            hint: Arc::clone(&hint),
        };
        tokio::spawn(cancelled.run_until_cancelled_owned(task.run()));
        Self {
            poke,
            hint,
            progress: watcher,
        }
    }

    /// Asks for a reading at once. Any number of requests before it starts are one; a request
    /// during a reading leads to another, because that reading may already have looked.
    pub fn poke(&self) {
        self.poke.notify_one();
    }

    /// Somebody outside says that a reading may find something: like [`Poller::poke`], but not more
    /// often than every [`HINTS_APART`], because such words can be repeated by anybody.
    pub fn hint(&self) {
        self.hint.notify_one();
    }

    /// Asks for a reading at once and waits until one that began after this call was delivered.
    /// False if the polling has ended.
    pub async fn refresh(&self) -> bool {
        let mut progress = self.progress.clone();
        let wanted = progress.borrow().started + 1;
        self.poke();
        progress
            .wait_for(|progress| progress.delivered >= wanted)
            .await
            .is_ok()
    }
}

struct Task {
    source: Arc<Mutex<Source>>,
    ttl: Duration,
    clock: Clock,
    readings: mpsc::Sender<Poll>,
    progress: watch::Sender<Progress>,
    poke: Arc<Notify>,
    hint: Arc<Notify>,
}

impl Task {
    async fn run(self) {
        let mut hinted: Option<Instant> = None;
        loop {
            let began = Instant::now();
            let started = self.clock.now();
            self.progress.send_modify(|progress| progress.started += 1);
            let outcome = self.read().await;
            if self.readings.send(Poll { started, outcome }).await.is_err() {
                return;
            }
            let begun = self.progress.borrow().started;
            self.progress
                .send_modify(|progress| progress.delivered = begun);
            sleep_until(Instant::now() + MIN_PAUSE).await;
            tokio::select! {
                () = sleep_until(began + self.ttl) => {}
                () = self.poke.notified() => {}
                () = self.hinted(hinted) => hinted = Some(Instant::now()),
            }
        }
    }

    /// A hint, and long enough after the last one.
    async fn hinted(&self, last: Option<Instant>) {
        self.hint.notified().await;
        if let Some(last) = last {
            sleep_until(last + HINTS_APART).await;
        }
    }

    /// One reading in a task of its own, so that its panic or hang is only a failed reading.
    async fn read(&self) -> Result<Fetched, Unavailable> {
        let source = Arc::clone(&self.source);
        let reading = tokio::spawn(async move { source.lock().await.fetch().await });
        match timeout(FETCH_BUDGET + SLACK, AbortOnDropHandle::new(reading)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Unavailable::new(
                RemoteCause::Expired,
                "reading the remote was broken off by a fault of the server",
            )),
            Err(_) => Err(Unavailable::new(RemoteCause::TimedOut, "the reading hung")),
        }
    }
}
