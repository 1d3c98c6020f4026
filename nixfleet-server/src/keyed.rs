//! Requests under an `Idempotency-Key`, as the hub and the store know them.
//!
//! The key travels with the task that does the work (see [`during`]), not through every handler: the
//! first request that the work submits to the hub takes it along, so that what it changes and the
//! fact that it was changed are on record in one transaction, or neither is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use nixfleet_core::Timestamp;

/// A request under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRequest {
    /// Whose key it is.
    pub principal: String,
    /// The key.
    pub key: String,
    /// SHA-256 of method, address and body.
    pub request: [u8; 32],
    /// When it came.
    pub at: Timestamp,
}

/// A request that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Which.
    pub request: KeyedRequest,
    /// What came of it, in JSON: enough to answer it once more.
    pub note: String,
}

/// How a request was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The media type of the body.
    pub media: String,
    /// The body.
    pub body: Bytes,
}

/// What is on record of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// SHA-256 of the request that came with it.
    pub request: [u8; 32],
    /// When that came.
    pub at: Timestamp,
    /// What came of it, if it changed something.
    pub note: Option<String>,
    /// How it was answered; nothing is known of that if the server ended in between.
    pub answer: Option<KeyedAnswer>,
}

/// The key that the work of this task is done under.
#[derive(Clone, Debug)]
pub struct Work {
    request: KeyedRequest,
    /// What came of it before, if it was carried out already.
    note: Option<Arc<str>>,
    claimed: Arc<AtomicBool>,
}

tokio::task_local! {
    static WORK: Work;
}

/// What is to be done with a request to the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Submit it; no key.
    None,
    /// Submit it together with its key.
    Fresh(KeyedRequest),
    /// It was carried out before: this is what came of it.
    CarriedOut(Arc<str>),
}

/// Does the work under a key; with a note, so that it only finds out what came of it before.
pub async fn during<F: Future>(request: KeyedRequest, note: Option<String>, work: F) -> F::Output {
    let own = Work {
        request,
        note: note.map(Into::into),
        claimed: Arc::default(),
    };
    WORK.scope(own, work).await
}

/// Under which key this task works, and since when: the moment of the first request, also in a
/// repetition.
#[must_use]
pub fn current() -> Option<KeyedRequest> {
    WORK.try_with(|work| work.request.clone()).ok()
}

/// The key of this task, for the first that asks: the work of one request changes things once.
#[must_use]
pub fn claim() -> Claim {
    let found = WORK.try_with(|work| match &work.note {
        Some(note) => Claim::CarriedOut(note.clone()),
        None if work.claimed.swap(true, Ordering::Relaxed) => Claim::None,
        None => Claim::Fresh(work.request.clone()),
    });
    found.unwrap_or(Claim::None)
}
