//! A rollout without a fleet: the hosts as one JSON value, and who would take part in which order,
//! or everything that would happen (spec 05, "Rollouts"). What also travels elsewhere has the shape
//! it has there: what is asked for, windows and settings as in the HTTP API.
//!
//! ```
//! use nixfleet_core::wire::rollout::RolloutFacts;
//! let facts = RolloutFacts::read(&format!(r#"{{
//!     "hosts": [{{"host": "web-1", "settings": {{"canary": true}}}}, {{"host": "web-2"}}],
//!     "desired": {{"commit": "{}", "lock": "{}"}}
//! }}"#, "c".repeat(40), "d".repeat(64))).unwrap();
//! let plan = facts.clone().plan().unwrap();
//! assert!(plan.waves[0].canary && plan.waves[0].hosts[0].as_str() == "web-1");
//! let report = facts.simulate().unwrap();
//! assert!(report.complete && report.end.totals.done == 2);
//! ```

mod world;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::convert::{WireError, cut, read};
use crate::fleet::Assumptions;
use crate::host::{Actor, Hold, HostSettings, Presence, UpdatePolicy};
use crate::ids::{HostId, RolloutId};
use crate::lifecycle::Target;
use crate::rollout::{
    Ask, Candidate, Plan, PlanContext, PlanError, Rollout, RolloutView, SimulationStep, Waits,
    plan, simulate_watched,
};
use crate::selector::HostLabels;
use crate::time::Timestamp;
use crate::window::{MAX_WINDOWS, Window, WindowError, Zone};
use world::PlainWorld;

pub use crate::rollout::WaitSpan;

/// The most hosts of one question.
pub const MAX_HOSTS: usize = 10_000;

/// Everything that a plan and a simulation depend on. Every field may be missing; unknown ones are
/// ignored, except in `ask`, in settings, windows and assumptions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RolloutFacts {
    /// What somebody asks for; a rollout to the desired state on every connected host if missing.
    pub ask: Ask,
    /// The hosts there are.
    pub hosts: Vec<HostFacts>,
    /// The desired state, if it is known whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired: Option<Target>,
    /// Why no automation may deploy the target, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<String>,
    /// Who asks; a nameless person if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// Maintenance windows. Like everything below, a plan does not depend on them.
    pub windows: Vec<Window>,
    /// The data of their time zones; that of `UTC` may be missing.
    pub zones: Vec<Zone>,
    /// How commands end and how long they take. What is not said succeeds, after half of the time
    /// after which a person would be warned.
    pub assumptions: Assumptions,
    /// What the desired state becomes when a pipeline updates the inputs; it stays if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated: Option<Target>,
    /// When it starts, in milliseconds since 1970.
    pub start: Timestamp,
}

/// One host, as far as planning goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Its name.
    pub host: HostId,
    /// Whether its agent is connected; it is if missing. It stays so in a simulation.
    #[serde(default = "online")]
    pub presence: Presence,
    /// Words for selectors, together with those of `settings`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What it is (`server`, `desktop`, …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
    /// Its operating system (`nixos`, `macos`, …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_type: Option<String>,
    /// The hold in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// How automation treats it.
    #[serde(default)]
    pub settings: HostSettings,
}

const fn online() -> Presence {
    Presence::Online
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// It cannot be read.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A field has a value that does not fit the others.
    #[error("field `{field}`: {why}")]
    Field {
        /// Where it is, for example `hosts.3.host`.
        field: String,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// It would not start.
    #[error(transparent)]
    NotPlanned(#[from] PlanError),
}

/// Everything that a rollout would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SimulationReport {
    /// Who takes part, in which order.
    pub plan: Plan,
    /// Everything that happens, in order.
    pub steps: Vec<SimulationStep>,
    /// Why hosts wait meanwhile, in the order in which the waits begin.
    pub waits: Vec<WaitSpan>,
    /// The rollout at its end.
    pub end: RolloutView,
    /// Whether it ended, or had to be broken off.
    pub complete: bool,
}

impl HostFacts {
    /// What selectors see of it.
    fn labels(&self) -> HostLabels<'_> {
        HostLabels {
            name: self.host.as_str(),
            tags: &self.settings.tags,
            location: self.location.as_deref(),
            device_type: self.device_type.as_deref(),
            host_type: self.host_type.as_deref(),
        }
    }
}

impl RolloutFacts {
    /// Reads them.
    ///
    /// # Errors
    /// [`WireError`] naming the first field that cannot be read.
    pub fn read(text: &str) -> Result<Self, WireError> {
        read(text)
    }

    /// Who takes part, in which order.
    ///
    /// # Errors
    /// [`RolloutError`], which names the field or says what to change.
    pub fn plan(self) -> Result<Plan, RolloutError> {
        self.checked()?.planned()
    }

    /// What the rollout would do, if nothing else happens and commands end as assumed. Planning,
    /// order, admission and windows are those of a fleet. Taken for granted is what a plan does not
    /// know: that every checkout is clean and no host runs the target yet, that agents can be told a
    /// commit, and that a target which is named is on the branch.
    ///
    /// # Errors
    /// [`RolloutError`], which names the field or says what to change.
    pub fn simulate(self) -> Result<SimulationReport, RolloutError> {
        let facts = self.checked()?;
        let plan = facts.planned()?;
        let id = RolloutId::from_bytes([0; 16]);
        let mut world = PlainWorld::new(&facts, &plan, id);
        let rollout = Rollout::new(id, plan.clone(), facts.by(), None, &world, facts.start);
        let mut waits = Waits::default();
        let told = simulate_watched(rollout, &mut world, facts.start, |rollout, now| {
            waits.look_at(rollout, now);
        });
        Ok(SimulationReport {
            plan,
            steps: told.steps,
            waits: waits.over(),
            end: told.end,
            complete: told.complete,
        })
    }

    /// With every field checked, and hosts by name, as a fleet has them.
    fn checked(mut self) -> Result<Self, RolloutError> {
        let wrong = |field: String, why: String| Err(RolloutError::Field { field, why });
        if self.hosts.len() > MAX_HOSTS {
            let why = format!("expected at most {MAX_HOSTS}, found {}", self.hosts.len());
            return wrong("hosts".to_owned(), why);
        }
        let mut names = BTreeSet::new();
        for (at, one) in self.hosts.iter_mut().enumerate() {
            if !names.insert(one.host.clone()) {
                let why = format!("{} is there twice: name each host once", one.host);
                return wrong(format!("hosts.{at}.host"), why);
            }
            one.settings.tags.append(&mut one.tags);
            if let Err(why) = one.settings.check() {
                return wrong(format!("hosts.{at}"), why);
            }
            if let Some(hold) = &mut one.hold {
                (hold.by, hold.why) = (cut(&hold.by), cut(&hold.why));
            }
        }
        for (at, one) in self.assumptions.hosts.iter().enumerate() {
            if !names.contains(&one.host) {
                let why = PlanError::UnknownHost(one.host.clone()).to_string();
                return wrong(format!("assumptions.hosts.{at}.host"), why);
            }
        }
        if self.windows.len() > MAX_WINDOWS {
            return wrong("windows".to_owned(), WindowError::TooMany.to_string());
        }
        if !self.zones.iter().any(|zone| zone.name == "UTC") {
            self.zones.push(Zone::utc());
        }
        for (at, window) in self.windows.iter().enumerate() {
            let named = |zone: &&Zone| zone.name == window.zone;
            let Some(zone) = self.zones.iter().find(named) else {
                let why = format!("there is no data of {:?} in zones: add it", window.zone);
                return wrong(format!("windows.{at}.zone"), why);
            };
            if let Err(why) = window.check(zone) {
                return wrong(format!("windows.{at}"), why.to_string());
            }
        }
        self.quarantined = self.quarantined.map(cut);
        self.hosts.sort_by(|one, other| one.host.cmp(&other.host));
        Ok(self)
    }

    fn by(&self) -> Actor {
        let nobody = || Actor::Person(String::new());
        self.actor.clone().unwrap_or_else(nobody)
    }

    fn planned(&self) -> Result<Plan, RolloutError> {
        let silent = UpdatePolicy::default();
        let hosts = self.hosts.iter().map(|one| Candidate {
            host: &one.host,
            labels: one.labels(),
            presence: one.presence,
            hold: one.hold.as_ref(),
            auto_update: one.settings.auto_update(&silent),
            priority: one.settings.priority(&silent),
            canary: one.settings.canary(&silent),
            runs_server: one.settings.runs_server,
        });
        let context = PlanContext {
            hosts: hosts.collect(),
            desired: self.desired,
            target_to_come: false,
            returning_since: None,
            actor: &self.by(),
            quarantined: self.quarantined.clone(),
        };
        Ok(plan(&self.ask, &context)?)
    }
}
