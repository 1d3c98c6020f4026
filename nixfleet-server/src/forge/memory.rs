//! What a client of a forge knew before a restart, and where it tells what it learns: how long it
//! must not ask, and when its tokens end. Never a token.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use nixfleet_core::Timestamp;
use nixfleet_core::credential::Credential;
use tokio::sync::mpsc;

use super::budget::StoredBudget;

/// Keeps budgets over a restart.
pub trait BudgetStore: Send + Sync {
    /// Keeps what is known of the quota of a credential, in place of what was kept under its name.
    fn keep<'a>(&'a self, name: &'a str, budget: &'a StoredBudget) -> BoxFuture<'a, ()>;
}

/// When a token ends, as the forge said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEnd {
    /// Whose end it is.
    pub credential: Credential,
    /// The end; none if it does not end by itself.
    pub ends: Option<Timestamp>,
}

/// What was known before, and where to tell what is learned.
#[derive(Clone, Default)]
pub struct Memory {
    /// Budgets that were kept, by their names.
    pub budgets: BTreeMap<String, StoredBudget>,
    /// Where budgets are kept.
    pub store: Option<Arc<dyn BudgetStore>>,
    /// Who wants to know when tokens end; told once for each end.
    pub ends: Option<mpsc::UnboundedSender<TokenEnd>>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("budgets", &self.budgets)
            .finish_non_exhaustive()
    }
}
