//! The journal as the hub sees it: everything one batch wants stored, in one transaction.

use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use nixfleet_core::fleet::Record;

use crate::keyed::Taken;
use crate::notify::Owed;
use crate::store::Store;

/// The journal could not be written; what was to be stored is not stored, none of it.
#[derive(Debug, thiserror::Error)]
#[error("the journal could not be written")]
pub struct PersistError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

impl PersistError {
    /// A failure with its cause.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

/// Where records go. What it has taken is durable.
pub trait Persist: Send + Sync + 'static {
    /// Stores all records, the notices that people are to get because of them, and the keyed
    /// requests that they carry out, in one transaction, or none.
    fn commit<'a>(
        &'a self,
        records: &'a [Record],
        owed: &'a [Owed],
        taken: &'a [Taken],
    ) -> BoxFuture<'a, Result<(), PersistError>>;
}

impl Persist for Store {
    fn commit<'a>(
        &'a self,
        records: &'a [Record],
        owed: &'a [Owed],
        taken: &'a [Taken],
    ) -> BoxFuture<'a, Result<(), PersistError>> {
        async move {
            self.commit_all(records, owed, taken)
                .await
                .map_err(PersistError::new)
        }
        .boxed()
    }
}

/// Takes no record down: for a server whose store is damaged. The fleet takes no command then.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOnly;

impl Persist for ReadOnly {
    fn commit<'a>(
        &'a self,
        _records: &'a [Record],
        _owed: &'a [Owed],
        _taken: &'a [Taken],
    ) -> BoxFuture<'a, Result<(), PersistError>> {
        std::future::ready(Ok(())).boxed()
    }
}

/// A journal that ends with the process, and that can be told to fail: for tests.
#[derive(Debug, Default)]
pub struct MemoryJournal(Mutex<Journal>);

#[derive(Debug, Default)]
struct Journal {
    records: Vec<Record>,
    broken: bool,
}

impl MemoryJournal {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on every transaction fails.
    pub fn break_down(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).broken = true;
    }

    /// Everything stored so far, in order.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let journal = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        journal.records.clone()
    }
}

impl Persist for MemoryJournal {
    fn commit<'a>(
        &'a self,
        records: &'a [Record],
        _owed: &'a [Owed],
        _taken: &'a [Taken],
    ) -> BoxFuture<'a, Result<(), PersistError>> {
        let mut journal = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = if journal.broken {
            Err(PersistError::new("the disk is full"))
        } else {
            journal.records.extend_from_slice(records);
            Ok(())
        };
        std::future::ready(outcome).boxed()
    }
}
