//! What is known of the quota of a forge, so that a restart asks no sooner (law E6).

use std::collections::BTreeMap;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::error::StoreError;
use super::value::{from_json, json};
use super::{Condition, Store};
use crate::forge::budget::StoredBudget;
use crate::forge::memory::BudgetStore;

impl Store {
    /// Every budget that was kept, by its name. One that cannot be read is left out: the forge
    /// says again what it wants.
    ///
    /// # Errors
    /// [`StoreError`] if the database could not be read.
    pub async fn forge_budgets(&self) -> Result<BTreeMap<String, StoredBudget>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as("SELECT name, body FROM forge_budgets")
            .fetch_all(self.database.reader())
            .await?;
        let budgets = rows
            .into_iter()
            .filter_map(|(name, body)| Some((name, from_json(&body).ok()?)));
        Ok(budgets.collect())
    }

    async fn keep_budget(&self, name: &str, budget: &StoredBudget) -> Result<(), StoreError> {
        let mut writing = self.database.begin().await?;
        sqlx::query("REPLACE INTO forge_budgets VALUES (?, ?)")
            .bind(name)
            .bind(json(budget)?)
            .execute(&mut *writing)
            .await?;
        Ok(writing.commit().await?)
    }
}

impl BudgetStore for Store {
    fn keep<'a>(&'a self, name: &'a str, budget: &'a StoredBudget) -> BoxFuture<'a, ()> {
        async move {
            if self.condition() != Condition::Sound {
                return;
            }
            if let Err(error) = self.keep_budget(name, budget).await {
                tracing::warn!(%error, "what the forge said about its limits is not recorded");
            }
        }
        .boxed()
    }
}
