//! What automations need beside law E2, as a second table: none of it is about the pull request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::condition::Finding;
use crate::admission::WindowState;
use crate::ids::LockHash;

macro_rules! gates {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $meaning:literal;)+) => {
        /// One gate of the automation. The spelling is stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum AutoGate {
            $($(#[$doc])* #[serde(rename = $code)] $name,)+
        }

        /// Every gate of the automation, with when it lets a merge pass.
        pub const AUTO_GATES: &[(AutoGate, &str, &str)] =
            &[$((AutoGate::$name, $code, $meaning),)+];
    };
}

gates! {
    /// It is switched on.
    SwitchedOn = "switched-on", "automatic merges are switched on";
    /// Law E2.
    Conditions = "conditions", "every condition of law E2 holds";
    /// Not quarantined.
    Quarantine = "quarantine", "the lock it would bring is not quarantined";
    /// Inside a window.
    Window = "window", "a maintenance window for routine work is open, or none is configured";
    /// Its rollout can start.
    Rollout = "rollout", "the rollout that follows could start now, and no revert waits for its turn";
    /// Nothing else under way.
    Idle = "idle", "no other merge or revert is under way";
    /// Not tried before.
    FirstTry = "first-try", "no automatic merge of this head has failed, or it may be tried again";
}

/// What other parts of the fleet say about automatic merges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gates {
    /// Locks that no automation deploys, with who or what quarantined them and why.
    pub quarantined: BTreeMap<LockHash, String>,
    /// Whether a maintenance window for routine work of the fleet is open.
    pub window: WindowState,
    /// Why the rollout that follows could not start now, or should not.
    pub rollout: Option<String>,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            quarantined: BTreeMap::new(),
            window: WindowState::Open,
            rollout: None,
        }
    }
}

impl Gates {
    pub(super) fn quarantine(&self, lock: Option<LockHash>) -> Finding {
        match lock.and_then(|lock| self.quarantined.get(&lock)) {
            Some(why) => Finding::Fail(format!("its lock is quarantined: {why}")),
            None => Finding::Pass("its lock is not quarantined".to_owned()),
        }
    }

    pub(super) fn rollout(&self) -> Finding {
        match &self.rollout {
            Some(why) => Finding::Fail(format!("its rollout could not start: {why}")),
            None => Finding::Pass("its rollout could start now".to_owned()),
        }
    }

    pub(super) fn window(&self) -> Finding {
        match self.window {
            WindowState::Open => Finding::Pass("no window is closed".to_owned()),
            WindowState::Closed { opens: Some(opens) } => Finding::Fail(format!(
                "outside the maintenance window: it opens at {opens}"
            )),
            WindowState::Closed { opens: None } => {
                Finding::Fail("outside the maintenance window".to_owned())
            }
        }
    }
}
