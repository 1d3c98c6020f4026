//! The decision without its evidence: small, and copied freely.

use crate::compartment::attention::AttentionSet;
use crate::compartment::known::{HostFacts, RemoteFacts};
use crate::compartment::ruleset;
use crate::compartment::table::overlay;
use crate::compartment::{Compartment, ReasonCode, Status};

/// Everything that was decided about one host: five statuses, why, and which attentions stand
/// beside them. The evidence (parameters of reasons, texts of attentions) is looked up only when
/// somebody wants to read it: see [`assess`](crate::assess), which is this and the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// What is shown, in the order of [`Compartment::ALL`].
    pub statuses: [Status; 5],
    /// The statuses before the active command was laid over them.
    pub base: [Status; 5],
    /// Why `base` is what it is.
    pub reasons: [ReasonCode; 5],
    /// What else a person should know.
    pub attentions: AttentionSet,
}

impl HostFacts {
    /// Judges one host, from values of fixed size alone.
    #[must_use]
    pub fn judge(&self, remote: &RemoteFacts<'_>) -> Verdict {
        let (base, reasons) = ruleset::statuses(&self.compare(remote));
        let mut statuses = base;
        if let Some(working) = self.working {
            for (compartment, status) in Compartment::ALL.into_iter().zip(&mut statuses) {
                if overlay(compartment, Some(working)).is_some() {
                    *status = Status::Working;
                }
            }
        }
        Verdict {
            statuses,
            base,
            reasons,
            attentions: self.attentions.and(remote.attentions),
        }
    }
}

impl Verdict {
    /// The status of one compartment as shown.
    #[must_use]
    pub const fn status_of(&self, compartment: Compartment) -> Status {
        *one_of(&self.statuses, compartment)
    }

    /// The status of one compartment before any overlay.
    #[must_use]
    pub const fn base_of(&self, compartment: Compartment) -> Status {
        *one_of(&self.base, compartment)
    }

    /// Why a compartment is what it is before any overlay.
    #[must_use]
    pub const fn reason_of(&self, compartment: Compartment) -> ReasonCode {
        *one_of(&self.reasons, compartment)
    }
}

const fn one_of<T>(each: &[T; 5], compartment: Compartment) -> &T {
    let [agent, git, lock, system, tests] = each;
    match compartment {
        Compartment::Agent => agent,
        Compartment::Git => git,
        Compartment::Lock => lock,
        Compartment::System => system,
        Compartment::Tests => tests,
    }
}
