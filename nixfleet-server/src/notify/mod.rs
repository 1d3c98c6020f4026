//! Tells people what the fleet wants told (spec 05, "Notifications"): to an Apprise API, to ntfy,
//! and to a webhook with a signature. One slow or dead receiver holds up no other.
//!
//! What happened to every attempt is recorded. What a channel has no room for stays in the store and
//! is taken from there as soon as it has; what is still owed at the end is handed back.

mod apprise;
mod log;
mod ntfy;
mod post;
mod webhook;
mod worker;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use nixfleet_core::Timestamp;
use nixfleet_core::notice::Notice;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use apprise::Apprise;
pub use log::{Attempt, DeliveryLog, MemoryLog, Outcome};
pub use ntfy::NtfyTopic;
pub use post::{NoClient, Undelivered};
pub use webhook::Webhook;

use crate::clock::Clock;
use crate::config::NotifySettings;

/// The most keys that are remembered against repetition.
const MOST_KEYS: usize = 4096;

/// Where notices go.
pub trait Channel: Send + Sync + std::fmt::Debug {
    /// Its stable name.
    fn name(&self) -> &'static str;

    /// Delivers one notice; `id` is the same at every attempt.
    fn deliver<'a>(
        &'a self,
        id: &'a str,
        notice: &'a Notice,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), Undelivered>>;
}

/// How often and how long is tried.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// A notice with the same key within this time is not told again.
    pub window: Duration,
    /// The pause after the first failed attempt; doubled after each.
    pub pause: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// After so many attempts a notice is given up.
    pub attempts: u32,
    /// So many notices wait for one channel.
    pub queue: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(600),
            pause: Duration::from_secs(2),
            longest: Duration::from_secs(900),
            attempts: 16,
            queue: 256,
        }
    }
}

/// A notice that one channel has not delivered yet; what is stored over a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// The name of the channel.
    pub channel: String,
    /// The id of the notice.
    pub id: String,
    /// The notice.
    pub notice: Notice,
    /// Failed attempts so far.
    pub attempts: u32,
}

/// What became of a notice that was handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Accepted {
    /// Every channel will try.
    Queued,
    /// The same was told a short time ago.
    Repeated,
    /// These channels have too much to do now; what is stored of it is told when there is room.
    Full(Vec<Owed>),
}

/// Takes notices in; cheap to clone.
#[derive(Clone, Debug)]
pub struct Notifier {
    queues: Arc<[Queue]>,
    told: Arc<Mutex<BTreeMap<String, Timestamp>>>,
    clock: Clock,
    window: Duration,
}

#[derive(Clone, Debug)]
struct Queue {
    channel: &'static str,
    sender: mpsc::Sender<Owed>,
    /// Told when there was no room: the rest is to be taken from the store.
    overflow: Arc<Notify>,
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

impl Notifier {
    /// Hands a notice to every channel, unless the same was told a short time ago. Never waits.
    pub fn notify(&self, notice: &Notice) -> Accepted {
        let Some(owed) = self.owed(notice) else {
            return Accepted::Repeated;
        };
        let left = self.hand_over(owed);
        if left.is_empty() {
            Accepted::Queued
        } else {
            Accepted::Full(left)
        }
    }

    /// What a notice makes every channel owe, to be stored before it is handed over; none if the
    /// same was told a short time ago.
    #[must_use]
    pub fn owed(&self, notice: &Notice) -> Option<Vec<Owed>> {
        if self.is_repeated(notice) {
            return None;
        }
        let id = id_of(notice);
        let owed = |queue: &Queue| Owed {
            channel: queue.channel.to_owned(),
            id: id.clone(),
            notice: notice.clone(),
            attempts: 0,
        };
        Some(self.queues.iter().map(owed).collect())
    }

    /// Hands over to the channels; answers what they have no room for. Never waits.
    #[must_use]
    pub fn hand_over(&self, owed: Vec<Owed>) -> Vec<Owed> {
        let mut left = Vec::new();
        for one in owed {
            let queue = self
                .queues
                .iter()
                .find(|queue| queue.channel == one.channel);
            let Some(queue) = queue else {
                left.push(one);
                continue;
            };
            match queue.sender.try_send(one) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(owed)) => {
                    queue.overflow.notify_one();
                    left.push(owed);
                }
                Err(mpsc::error::TrySendError::Closed(owed)) => left.push(owed),
            }
        }
        left
    }

    /// Whether there is anybody to tell.
    #[must_use]
    pub fn has_channels(&self) -> bool {
        !self.queues.is_empty()
    }

    fn is_repeated(&self, notice: &Notice) -> bool {
        let (key, now) = (notice.key.as_str(), self.clock.now());
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, at| now.since(*at) < self.window);
        // What has ended and comes again is news.
        if let Some(ended) = notice.ends() {
            told.remove(&ended);
        }
        if told.contains_key(key) {
            return true;
        }
        // Rather told twice than not at all.
        if told.len() < MOST_KEYS {
            told.insert(key.to_owned(), now);
        }
        false
    }
}

/// The delivering; join it after cancelling to get what is still owed.
#[derive(Debug)]
pub struct Delivering(Vec<JoinHandle<Vec<Owed>>>);

impl Delivering {
    /// Waits for the end, which comes soon after cancelling. Everything that was taken in and not
    /// delivered is in the answer.
    pub async fn ended(self) -> Vec<Owed> {
        let mut owed = Vec::new();
        for task in self.0 {
            match task.await {
                Ok(left) => owed.extend(left),
                Err(error) => tracing::error!(%error, "delivering notices failed"),
            }
        }
        owed
    }
}

/// Starts to deliver, first what was owed at the last end: what is given, and what the log knows.
#[must_use]
pub fn start(
    channels: Vec<Arc<dyn Channel>>,
    log: &Arc<dyn DeliveryLog>,
    clock: &Clock,
    rules: Rules,
    owed: Vec<Owed>,
    stop: &CancellationToken,
) -> (Notifier, Delivering) {
    let mut queues = Vec::new();
    let mut tasks = Vec::new();
    for channel in channels {
        let (sender, queue) = mpsc::channel(rules.queue);
        let overflow = Arc::new(Notify::new());
        queues.push(Queue {
            channel: channel.name(),
            sender,
            overflow: Arc::clone(&overflow),
        });
        let own = |owed: &&Owed| owed.channel == channel.name();
        let worker = worker::Worker {
            owed: owed.iter().filter(own).cloned().collect(),
            channel,
            log: Arc::clone(log),
            clock: clock.clone(),
            rules,
            queue,
            overflow,
            fetched: VecDeque::new(),
            finished: VecDeque::new(),
        };
        tasks.push(tokio::spawn(worker.run(stop.clone())));
    }
    let notifier = Notifier {
        queues: queues.into(),
        told: Arc::default(),
        clock: clock.clone(),
        window: rules.window,
    };
    (notifier, Delivering(tasks))
}

/// The channels that are configured.
///
/// # Errors
/// [`NoClient`].
pub fn channels(settings: &NotifySettings) -> Result<Vec<Arc<dyn Channel>>, NoClient> {
    let client = post::client()?;
    let mut channels: Vec<Arc<dyn Channel>> = Vec::new();
    if let Some(url) = &settings.apprise {
        channels.push(Arc::new(Apprise::new(client.clone(), url.clone())));
    }
    if let Some(ntfy) = &settings.ntfy {
        channels.push(Arc::new(NtfyTopic::new(client.clone(), ntfy.clone())));
    }
    if let Some(webhook) = &settings.webhook {
        channels.push(Arc::new(Webhook::new(client, webhook.clone())));
    }
    Ok(channels)
}

/// The same notice has the same id wherever and how often it is told.
fn id_of(notice: &Notice) -> String {
    let text = format!("{} {}", notice.at.as_millis(), notice.key);
    let digest = hex::encode(Sha256::digest(text));
    format!("msg_{}", digest.get(..32).unwrap_or_default())
}

#[cfg(test)]
mod tests;
