//! A situation with its values parsed, and what is said of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::compartment::{Attention, Compartment, Situation, Trace, Working, assess, explain};
use crate::desired::DesiredState;
use crate::fleet::CompartmentReport;
use crate::host::{DeployEvidence, Hold, HostIdentity, HostObservation, Presence, TestEvidence};

/// The values of a [`SituationFacts`](super::SituationFacts), parsed: what a [`Situation`] borrows, and who the agent is.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnedSituation {
    /// Protocol, capabilities and process of the agent.
    pub identity: HostIdentity,
    /// See [`Situation::observation`].
    pub observation: HostObservation,
    /// See [`Situation::desired`].
    pub desired: DesiredState,
    /// See [`Situation::deploy`].
    pub deploy: DeployEvidence,
    /// See [`Situation::tests`].
    pub tests: Option<TestEvidence>,
    /// See [`Situation::tests_enabled`].
    pub tests_enabled: bool,
    /// See [`Situation::working`].
    pub working: Option<Working>,
    /// See [`Situation::presence`].
    pub presence: Presence,
    /// See [`Situation::hold`].
    pub hold: Option<Hold>,
    /// See [`Situation::quarantined`].
    pub quarantined: bool,
    /// See [`Situation::identity_conflict`].
    pub identity_conflict: bool,
    /// See [`Situation::remote_in_grace`].
    pub remote_in_grace: bool,
}

/// The assessment of one host, with sentences: compartments and attentions as in the HTTP API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AssessmentReport {
    /// The five compartments by name.
    pub compartments: BTreeMap<Compartment, CompartmentReport>,
    /// What is to be told beside them.
    pub attentions: Vec<Attention>,
    /// Whether all five are `ok` and nothing casts doubt on them.
    pub current: bool,
    /// Whether the host counts as plain green: current, and no update waits to be merged.
    pub green: bool,
}

impl AssessmentReport {
    /// The five statuses, in the order of [`Compartment::ALL`].
    #[must_use]
    pub fn statuses(&self) -> Vec<&'static str> {
        let shown = self.compartments.values();
        shown.map(|one| one.status.name()).collect()
    }
}

impl OwnedSituation {
    /// What the assessment looks at.
    #[must_use]
    pub fn as_situation(&self) -> Situation<'_> {
        Situation {
            observation: &self.observation,
            desired: &self.desired,
            deploy: &self.deploy,
            tests: self.tests.as_ref(),
            tests_enabled: self.tests_enabled,
            working: self.working,
            presence: self.presence,
            hold: self.hold.as_ref(),
            quarantined: self.quarantined,
            identity_conflict: self.identity_conflict,
            remote_in_grace: self.remote_in_grace,
        }
    }

    /// The assessment, with sentences.
    #[must_use]
    pub fn report(&self) -> AssessmentReport {
        let situation = self.as_situation();
        let assessment = assess(&situation);
        let compartments = assessment.compartments.each_ref().map(|one| {
            let click = assessment.click(one.compartment);
            (
                one.compartment,
                CompartmentReport::new(one, click, &situation),
            )
        });
        AssessmentReport {
            compartments: compartments.into_iter().collect(),
            attentions: assessment.attentions.clone(),
            current: assessment.is_current(),
            green: assessment.counts_as_green(),
        }
    }

    /// Which facts were looked at, which rows decided, what would make it green.
    #[must_use]
    pub fn explain(&self) -> Trace {
        explain(&self.as_situation())
    }
}
