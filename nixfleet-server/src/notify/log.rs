//! What happened to every attempt.

use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use nixfleet_core::Timestamp;
use nixfleet_core::notice::NoticeKind;

use super::Owed;

/// One attempt to deliver a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The id of the notice.
    pub id: String,
    /// Its key.
    pub key: String,
    /// Its kind.
    pub kind: NoticeKind,
    /// The channel.
    pub channel: &'static str,
    /// The how many-th attempt it was, from 1.
    pub number: u32,
    /// When it ended.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Delivered,
    /// Not yet; it is tried again.
    Failed {
        /// Why, on one line without secrets.
        why: String,
        /// Not before this moment.
        next: Timestamp,
    },
    /// Not at all, and it is not tried again.
    GivenUp {
        /// Why, on one line without secrets.
        why: String,
    },
}

/// Keeps attempts. A log that cannot be written must not hold up the delivering.
pub trait DeliveryLog: Send + Sync {
    /// Keeps one.
    fn record(&self, attempt: Attempt) -> BoxFuture<'_, ()>;

    /// What a channel still owes, the oldest first, at most so many; an empty list where nothing
    /// is stored, and nothing if that cannot be found out now.
    fn owed(&self, _channel: &'static str, _most: usize) -> BoxFuture<'_, Option<Vec<Owed>>> {
        std::future::ready(Some(Vec::new())).boxed()
    }
}

/// Keeps the last attempts in memory.
#[derive(Debug, Default)]
pub struct MemoryLog(Mutex<Vec<Attempt>>);

const MOST: usize = 1000;

impl MemoryLog {
    /// What was kept, the oldest first.
    #[must_use]
    pub fn attempts(&self) -> Vec<Attempt> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone()
    }
}

impl DeliveryLog for MemoryLog {
    fn record(&self, attempt: Attempt) -> BoxFuture<'_, ()> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == MOST {
            kept.remove(0);
        }
        kept.push(attempt);
        std::future::ready(()).boxed()
    }
}
