//! What is done now and then beside the work of the hub.

use std::collections::BTreeMap;
use std::time::Duration;

use nixfleet_core::Timestamp;
use nixfleet_core::credential::Credential;
use nixfleet_core::fleet::Input;
use tokio_util::sync::CancellationToken;

use crate::auth::store::CredentialStore;
use crate::clock::Clock;
use crate::hub::Hub;
use crate::store::{Condition, Retention, Store};
use crate::telemetry::Telemetry;

/// How often it is written down when connected hosts were last heard of.
const PRESENCE_EVERY: Duration = Duration::from_secs(30);
/// How often it is looked which tokens end.
const TOKENS_EVERY: Duration = Duration::from_secs(60);
/// How often old records are removed.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// Records removed at a time, and the pause for others to write in between.
const PRUNED_AT_ONCE: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);

/// Tells the fleet when tokens end that were made for a time. Sessions end by themselves, and nobody
/// has to be told.
pub(super) async fn watch_tokens(store: &Store, hub: &Hub) {
    let mut told: BTreeMap<String, Timestamp> = BTreeMap::new();
    loop {
        if let Ok(tokens) = store.list_tokens().await {
            let ends: BTreeMap<String, (Timestamp, Timestamp)> = tokens
                .into_iter()
                .filter_map(|token| Some((token.name, (token.expires_at?, token.created_at))))
                .collect();
            let news = ends
                .iter()
                .filter(|(name, (ends, _))| told.get(*name) != Some(ends))
                .map(|(name, (ends, made))| (name.clone(), Some(*ends), Some(*made)));
            let gone = told.keys().filter(|name| !ends.contains_key(*name));
            let gone = gone.map(|name| (name.clone(), None, None));
            for (name, ends, made) in news.chain(gone).collect::<Vec<_>>() {
                let credential = Credential::Token(name);
                let input = Input::Credential {
                    credential,
                    ends,
                    made,
                };
                if hub.submit(input).await.is_err() {
                    return;
                }
            }
            told = ends
                .into_iter()
                .map(|(name, (ends, _))| (name, ends))
                .collect();
        }
        tokio::time::sleep(TOKENS_EVERY).await;
    }
}

/// Checks the whole database once, then removes old records from time to time. Damage that is
/// found stops all writing, and with it the hub; the next start serves what is left, for reading.
pub(super) async fn look_after(store: &Store, clock: &Clock) {
    if let Condition::Damaged(what) = store.check().await {
        tracing::error!(what, "the database is damaged; restore it from a backup");
        return;
    }
    loop {
        match prune(store, clock).await {
            Ok(0) => {}
            Ok(records) => tracing::info!(records, "removed old records"),
            Err(error) => tracing::warn!(%error, "old records could not be removed"),
        }
        tokio::time::sleep(PRUNE_EVERY).await;
    }
}

async fn prune(store: &Store, clock: &Clock) -> Result<u64, crate::store::StoreError> {
    let mut removed = 0;
    loop {
        let now = clock.now();
        let records = store
            .prune(now, Retention::default(), PRUNED_AT_ONCE)
            .await?;
        if records == 0 {
            return Ok(removed);
        }
        removed += records;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Writes down from time to time when hosts were last heard of, and once more at the end.
pub(super) async fn record_presence(store: &Store, telemetry: &Telemetry, stop: CancellationToken) {
    let mut recorded = BTreeMap::new();
    loop {
        let stopping = stop
            .run_until_cancelled(tokio::time::sleep(PRESENCE_EVERY))
            .await
            .is_none();
        let heard: Vec<_> = telemetry
            .all()
            .into_iter()
            .map(|row| (row.id, row.last_seen))
            .filter(|(host, at)| recorded.get(host) != Some(at))
            .collect();
        if store.condition() == Condition::Sound {
            match store.record_presence(&heard).await {
                Ok(()) => recorded.extend(heard),
                Err(error) => tracing::warn!(%error, "presence could not be written down"),
            }
        }
        if stopping {
            return;
        }
    }
}
