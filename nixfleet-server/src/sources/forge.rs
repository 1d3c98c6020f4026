//! A forge's API as the source of the desired state: the head of the branch and `flake.lock` at
//! that very commit, by conditional requests. A fault of either is a fault of the whole reading;
//! only a lock that is certainly not there costs no more than its half (law E7).

use std::sync::Arc;
use std::time::Duration;

use nixfleet_core::desired::{FETCH_BUDGET, RemoteCause, Snapshot, Unavailable};
use nixfleet_core::{CommitId, lock_hash};
use tokio::time::{Instant, timeout_at};

use super::{Branch, Fetched};
use crate::forge::{Fault, Forge};

/// Pauses before the second and the third attempt of one fetch.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(1)];
const MOST_SUBJECT: usize = 200;

/// A branch on a forge.
#[derive(Debug)]
pub struct ForgeSource {
    forge: Arc<dyn Forge>,
    branch: Branch,
    /// The last good reading.
    last: Option<(CommitId, Fetched)>,
}

impl ForgeSource {
    /// A source that asks this forge; nothing is asked yet.
    #[must_use]
    pub fn new(forge: Arc<dyn Forge>, branch: Branch) -> Self {
        Self {
            forge,
            branch,
            last: None,
        }
    }

    /// Reads the branch once, in up to three attempts.
    ///
    /// # Errors
    /// Why the forge could not be read. Nothing of an earlier reading is replaced then.
    pub async fn fetch(&mut self) -> Result<Fetched, Unavailable> {
        let end = Instant::now() + FETCH_BUDGET;
        let mut pauses = PAUSES.into_iter();
        loop {
            let fault = match timeout_at(end, self.attempt()).await {
                Ok(Ok(fetched)) => return Ok(fetched),
                Ok(Err(fault)) => fault,
                Err(_) => return Err(Fault::TimedOut("no answer in time").unavailable()),
            };
            let pause = pauses.next().filter(|_| fault.is_transient());
            match pause.map(|pause| Instant::now() + pause) {
                Some(next) if next < end => tokio::time::sleep_until(next).await,
                Some(_) | None => return Err(fault.unavailable()),
            }
        }
    }

    async fn attempt(&mut self) -> Result<Fetched, Fault> {
        let head = self.forge.head().await?;
        if let Some((known, fetched)) = &self.last
            && *known == head.commit
        {
            return Ok(fetched.clone());
        }
        // The lock of that one commit, so that both halves belong together.
        let lock = self.forge.lock_at(head.commit).await?;
        let rewritten = match &self.last {
            Some((known, _)) => self.left(*known, head.commit).await?,
            None => false,
        };
        let lock: Option<Arc<[u8]>> = lock.map(Arc::from);
        let missing = || Unavailable::new(RemoteCause::LockMissing, "");
        let snapshot = Snapshot {
            commit: Ok(head.commit),
            lock: lock.as_deref().map(lock_hash).ok_or_else(missing),
            subject: subject(&head.message),
            commit_time: head.time,
            branch: Some(self.branch.to_string()),
            rewritten,
        };
        let fetched = Fetched {
            snapshot,
            lock,
            history: None,
        };
        self.last = Some((head.commit, fetched.clone()));
        Ok(fetched)
    }

    /// Whether the branch left this commit behind instead of going on from it.
    async fn left(&self, known: CommitId, head: CommitId) -> Result<bool, Fault> {
        match self.forge.is_ancestor(known, head).await {
            Ok(goes_on) => Ok(!goes_on),
            // Gone altogether, or without anything in common.
            Err(fault) if fault.is_status(404) => Ok(true),
            Err(fault) => Err(fault),
        }
    }
}

fn subject(message: &str) -> Option<String> {
    let line = message.lines().next().unwrap_or_default();
    let line: String = line
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MOST_SUBJECT)
        .collect();
    Some(line.trim().to_owned()).filter(|line| !line.is_empty())
}
