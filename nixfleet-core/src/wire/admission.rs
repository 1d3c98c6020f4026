//! May this operation run on this host now? The question and the answer as JSON (spec 02, "Ops").
//!
//! ```
//! use nixfleet_core::wire::admission::{ConditionFacts, OwnedConditions, RequestFacts};
//! let request: RequestFacts = serde_json::from_str(r#"{"op": "test"}"#).unwrap();
//! let conditions: ConditionFacts = serde_json::from_str(r#"{"presence": "never-seen"}"#).unwrap();
//! let conditions = OwnedConditions::try_from(conditions).unwrap();
//! let report = conditions.report(&request.try_into().unwrap());
//! assert!(!report.admitted);
//! assert_eq!(report.refusals[0].code.code(), "never-seen");
//! ```

use serde::{Deserialize, Serialize};

use super::agent::{Args, TargetFrame};
use super::convert::{WireError, cut, optional, parse};
use super::situation::{OwnedSituation, SituationFacts};
use crate::admission::{
    Check, Conditions, Occupant, PrState, Refusal, RefusalCode, Request, WindowState, refusals,
};
use crate::compartment::{Compartment, assess};
use crate::host::{Actor, TestKey};
use crate::ids::IdError;
use crate::lifecycle::{CommandArgs, Target};
use crate::op::Op;

/// What somebody wants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestFacts {
    /// Name of the operation, or an alias of it.
    pub op: String,
    /// Name of the host; `host` if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its arguments, as in the frame `command`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Args>,
    /// Who asks; a nameless person if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// Whether the actor has the right; yes if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permitted: Option<bool>,
    /// The second factor; not required if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_factor: Option<Check>,
    /// See [`Request::force`].
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// See [`Request::confirmed`].
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub confirmed: bool,
    /// See [`Request::override_busy`].
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub override_busy: bool,
    /// Why, in the caller's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The target of a rollout, as in the frame `command`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetFrame>,
}

/// Everything admission looks at: a situation, and what stands beside it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConditionFacts {
    /// The host and what is desired of it. Statuses are computed from it, before any overlay.
    #[serde(flatten)]
    pub situation: SituationFacts,
    /// The active command, other than one that restarts the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<Occupant>,
    /// The active command that restarts the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarting: Option<Occupant>,
    /// Whether the desired state is quarantined.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub target_quarantined: bool,
    /// Whether the desired commit is signed as configured; not required if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Check>,
    /// The maintenance window; open if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowState>,
    /// Whether the host-driven update strategy is on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub host_driven: bool,
    /// The update pull request; none is known if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pr: Option<PrFacts>,
}

/// The update pull request, as far as merging or reverting it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PrFacts {
    /// Whether its checks, or an explicit override, allow it.
    pub eligible: bool,
    /// If not, why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// The values of a [`ConditionFacts`], parsed: what [`Conditions`] borrow.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnedConditions {
    /// The host and what is desired of it.
    pub situation: OwnedSituation,
    /// See [`Conditions::active`].
    pub active: Option<Occupant>,
    /// See [`Conditions::restarting`].
    pub restarting: Option<Occupant>,
    /// See [`Conditions::quarantined`].
    pub target_quarantined: bool,
    /// See [`Conditions::signature`].
    pub signature: Check,
    /// See [`Conditions::window`].
    pub window: WindowState,
    /// See [`Conditions::host_driven`].
    pub host_driven: bool,
    /// See [`Conditions::pr`].
    pub pr: PrState,
    /// See [`Conditions::test_key`].
    test_key: Option<TestKey>,
}

/// Whether a request is admitted, and if not, everything that stands in its way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdmissionReport {
    /// Whether it may run now.
    pub admitted: bool,
    /// Whether it may wait in the queue until it can.
    pub may_wait: bool,
    /// Every rule that says no, the first one first.
    pub refusals: Vec<RefusalReport>,
}

/// One rule that says no.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RefusalReport {
    /// Which rule.
    pub code: RefusalCode,
    /// What is wrong, in a sentence.
    pub sentence: String,
    /// What would make it a yes.
    pub help: &'static str,
    /// Whether force bypasses it.
    pub bypassed_by_force: bool,
}

impl From<&Refusal> for RefusalReport {
    fn from(refusal: &Refusal) -> Self {
        Self {
            code: refusal.code,
            sentence: refusal.sentence(),
            help: refusal.what_would_help(),
            bypassed_by_force: refusal.code.bypassed_by_force(),
        }
    }
}

impl TryFrom<RequestFacts> for Request {
    type Error = WireError;

    fn try_from(facts: RequestFacts) -> Result<Self, WireError> {
        let op = Op::named(&facts.op).ok_or(WireError::Field {
            field: "op",
            source: IdError {
                what: "operation",
                expected: "the name of an operation, like pull or switch",
            },
        })?;
        let host = parse("host", facts.host.as_deref().unwrap_or("host"))?;
        let actor = facts.actor.unwrap_or(Actor::Person(String::new()));
        let args = facts.args.unwrap_or_default();
        let target = match facts.target {
            None => None,
            Some(target) => Some(Target {
                commit: parse("target.commit", &target.commit)?,
                lock: optional("target.lock_hash", target.lock_hash)?,
            }),
        };
        Ok(Request {
            args: CommandArgs {
                generation: args.generation,
                input: args.input.map(cut),
            },
            permitted: facts.permitted.unwrap_or(true),
            second_factor: facts.second_factor.unwrap_or(Check::NotRequired),
            force: facts.force,
            confirmed: facts.confirmed,
            override_busy: facts.override_busy,
            reason: facts.reason.map(cut),
            target,
            ..Request::new(host, op, actor)
        })
    }
}

impl TryFrom<ConditionFacts> for OwnedConditions {
    type Error = WireError;

    fn try_from(facts: ConditionFacts) -> Result<Self, WireError> {
        let mut conditions = Self {
            situation: facts.situation.try_into()?,
            active: facts.active,
            restarting: facts.restarting,
            target_quarantined: facts.target_quarantined,
            signature: facts.signature.unwrap_or(Check::NotRequired),
            window: facts.window.unwrap_or(WindowState::Open),
            host_driven: facts.host_driven,
            pr: match facts.pr {
                None => PrState::NotKnown,
                Some(pr) if pr.eligible => PrState::Eligible,
                Some(pr) => PrState::NotEligible(cut(pr.why)),
            },
            test_key: None,
        };
        conditions.observed();
        Ok(conditions)
    }
}

impl OwnedConditions {
    /// What admission looks at.
    #[must_use]
    pub fn as_conditions(&self) -> Conditions<'_> {
        let situation = &self.situation;
        let assessment = assess(&situation.as_situation());
        let base = |compartment| assessment.of(compartment).base;
        Conditions {
            presence: situation.presence,
            identity: &situation.identity,
            observation: &situation.observation,
            active: self.active,
            restarting: self.restarting,
            agent: base(Compartment::Agent),
            git: base(Compartment::Git),
            lock: base(Compartment::Lock),
            remote: &situation.desired.remote,
            test_key: self.test_key.as_ref(),
            hold: situation.hold.as_ref(),
            quarantined: self.target_quarantined,
            signature: self.signature,
            window: self.window,
            host_driven: self.host_driven,
            pr: &self.pr,
        }
    }

    /// The answer to a request.
    #[must_use]
    pub fn report(&self, request: &Request) -> AdmissionReport {
        let all = refusals(request, &self.as_conditions());
        AdmissionReport {
            admitted: all.is_empty(),
            may_wait: all.iter().all(|refusal| refusal.code.may_wait()),
            refusals: all.iter().map(RefusalReport::from).collect(),
        }
    }

    /// To be called after the observation has changed.
    pub(super) fn observed(&mut self) {
        self.test_key = crate::fleet::current_test_key(&self.situation.observation);
    }
}
