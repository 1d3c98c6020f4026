//! Who takes part, in which order: decided once, immutable, with an id over its canonical form.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::policy::{Canaries, InFlight, Offline, Policy};
use super::table::pipeline;
use crate::host::{Actor, Hold, Presence};
use crate::ids::{CommitId, HostId, PlanId, RolloutId};
use crate::lifecycle::Target;
use crate::op::{Op, Performer};
use crate::selector::Selector;
use crate::time::Timestamp;

/// Which hosts are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Targets {
    /// Every host that is connected.
    #[default]
    All,
    /// These.
    List(Vec<HostId>),
    /// Those that a selector selects.
    Selector(Selector),
    /// Those of a plan that somebody confirmed before its target existed.
    Confirmed(Box<ConfirmedHosts>),
}

/// Who takes part by a confirmed plan, and who does not although it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmedHosts {
    /// Who takes part.
    pub hosts: Vec<HostId>,
    /// Who is left out, and stays it.
    pub left_out: Vec<SkippedHost>,
    /// Who of those that take part are the canaries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub canaries: Vec<HostId>,
}

impl ConfirmedHosts {
    /// Who was removed since.
    fn removed<'s>(&'s self, context: &'s PlanContext<'_>) -> impl Iterator<Item = &'s HostId> {
        let known = |host: &HostId| context.hosts.iter().any(|one| one.host == host);
        self.hosts.iter().filter(move |host| !known(host))
    }
}

/// What kind of job it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AskKind {
    /// Waves by priority, canaries, stages of the policy.
    #[default]
    Rollout,
    /// One wave, one operation after the other on all hosts (spec 02, "Pipelines"): its name.
    Pipeline(String),
}

/// What somebody asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ask {
    /// On which hosts.
    pub hosts: Targets,
    /// How.
    pub policy: Policy,
    /// To which commit; none named is the desired one.
    pub target: Option<Target>,
    /// What kind of job.
    pub kind: AskKind,
    /// A pipeline's operations; none named is those of its name.
    pub ops: Vec<Op>,
}

/// What the planner knows of a host.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// The host.
    pub host: &'a HostId,
    /// What selectors see of it.
    pub labels: crate::selector::HostLabels<'a>,
    /// Whether its agent is connected.
    pub presence: Presence,
    /// The hold on it.
    pub hold: Option<&'a Hold>,
    /// Whether automation may update it.
    pub auto_update: bool,
    /// Lower goes first.
    pub priority: i64,
    /// Whether it is a canary by its settings.
    pub canary: bool,
    /// Whether the server runs on it.
    pub runs_server: bool,
}

/// What the planner knows of the fleet as a whole.
#[derive(Clone, Debug)]
pub struct PlanContext<'a> {
    /// Every host, by name.
    pub hosts: Vec<Candidate<'a>>,
    /// The desired state, if it is known whole.
    pub desired: Option<Target>,
    /// Whether the target does not exist yet: a merge makes it.
    pub target_to_come: bool,
    /// Hosts that went offline after this moment count as connected: their agents may be about to
    /// return. The machine leaves them out if they do not.
    pub returning_since: Option<Timestamp>,
    /// Who asks.
    pub actor: &'a Actor,
    /// Why automation must not deploy the target, if so.
    pub quarantined: Option<String>,
}

impl PlanContext<'_> {
    fn is_connected(&self, presence: Presence) -> bool {
        match presence {
            Presence::Online => true,
            Presence::NeverSeen => false,
            Presence::Offline { since } => self.returning_since.is_some_and(|from| since >= from),
        }
    }
}

/// Who takes part, in which order. Nothing of it ever changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The SHA-256 of the canonical JSON of all the rest.
    pub id: PlanId,
    /// What kind of job.
    pub kind: AskKind,
    /// The commit and lock that every host gets; none only where the first operation makes it, or a merge to come.
    pub target: Option<Target>,
    /// How.
    pub policy: Policy,
    /// What is done on each host.
    pub ops: Vec<Op>,
    /// Who, in which order.
    pub waves: Vec<PlannedWave>,
    /// Who was asked for and does not take part.
    pub skipped: Vec<SkippedHost>,
}

/// Hosts that go together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedWave {
    /// The hosts, in order.
    pub hosts: Vec<HostId>,
    /// Whether they are the canaries.
    pub canary: bool,
}

/// A host that was asked for and does not take part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedHost {
    /// The host.
    pub host: HostId,
    /// Why, as a stable code.
    pub reason: SkipReason,
    /// What it is about: who holds it and why, since when it is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// Why a host that was asked for does not take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkipReason {
    /// It is held.
    Held,
    /// Its agent is not connected, and the policy does not wait.
    Offline,
    /// Its agent was never connected.
    NeverSeen,
    /// Its settings keep automation away.
    AutoUpdateOff,
    /// It was removed after the plan was confirmed.
    Removed,
}

impl SkipReason {
    /// Whether a rollout without such a host is still complete: it was left out on purpose.
    #[must_use]
    pub const fn on_purpose(self) -> bool {
        match self {
            SkipReason::Held | SkipReason::AutoUpdateOff | SkipReason::Removed => true,
            SkipReason::Offline | SkipReason::NeverSeen => false,
        }
    }
}

/// No plan can be made; says what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A host is not known.
    #[error("there is no host {0}")]
    UnknownHost(HostId),
    /// A pipeline is not known.
    #[error(
        "there is no pipeline {0:?}: use do-all, update-agent, force-update, or name its operations"
    )]
    UnknownPipeline(String),
    /// An operation has no place in a rollout.
    #[error("{0} has no place in a pipeline: only operations on hosts have")]
    NotOnHosts(&'static str),
    /// Nobody is left.
    #[error("no host takes part: {0}")]
    NoHosts(String),
    /// Every host would be a canary.
    #[error("every host that takes part would be a canary: canaries must be fewer than all")]
    OnlyCanaries,
    /// The canaries cannot take part.
    #[error("no canary takes part ({0}): connect or release one, or name others")]
    NoCanary(String),
    /// The desired state is not known.
    #[error(
        "the desired state is not known whole, so there is nothing to roll out: see the git compartment"
    )]
    NoTarget,
    /// The lock of the target is not known.
    #[error(
        "the target has no lock hash: name one, or leave the target away for the desired state"
    )]
    NoLock,
    /// The lock of the target is not the one of its commit.
    #[error("flake.lock of {0} has another hash: name that one, or leave the target away")]
    ForeignLock(CommitId),
    /// The target is quarantined.
    #[error("the target is quarantined ({0}): wait for a newer commit, or lift the quarantine")]
    Quarantined(String),
    /// The policy makes no sense.
    #[error("the policy cannot be followed: {0}")]
    Policy(&'static str),
    /// Another one with the same target is at work on a host.
    #[error("rollout {rollout} is at work on {host}: wait for it, or cancel it")]
    Occupied {
        /// The other one.
        rollout: RolloutId,
        /// A host of both.
        host: HostId,
    },
}

impl PlanError {
    /// What is wrong, as a stable word.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            PlanError::UnknownHost(_) => "unknown-host",
            PlanError::UnknownPipeline(_) => "unknown-pipeline",
            PlanError::NotOnHosts(_) => "not-on-hosts",
            PlanError::NoHosts(_) => "no-hosts",
            PlanError::OnlyCanaries => "only-canaries",
            PlanError::NoCanary(_) => "no-canary",
            PlanError::NoTarget => "no-target",
            PlanError::NoLock => "no-lock",
            PlanError::ForeignLock(_) => "foreign-lock",
            PlanError::Quarantined(_) => "quarantined",
            PlanError::Policy(_) => "bad-policy",
            PlanError::Occupied { .. } => "occupied",
        }
    }
}

/// Who takes part, in which order.
///
/// # Errors
/// [`PlanError`], which says what to change. Nothing is started by planning.
pub fn plan(ask: &Ask, context: &PlanContext<'_>) -> Result<Plan, PlanError> {
    let ops = ops_of(ask)?;
    check_policy(&ask.policy)?;
    let makes_its_target = ops.first() == Some(&Op::UpdateInputs) || context.target_to_come;
    let target = if makes_its_target {
        None
    } else {
        let target = ask.target.or(context.desired).ok_or(PlanError::NoTarget)?;
        if target.lock.is_none() {
            return Err(PlanError::NoLock);
        }
        if context
            .desired
            .is_some_and(|desired| desired.commit == target.commit && desired.lock != target.lock)
        {
            return Err(PlanError::ForeignLock(target.commit));
        }
        Some(target)
    };
    if let Some(why) = context.quarantined.as_ref().filter(|_| target.is_some()) {
        return Err(PlanError::Quarantined(why.clone()));
    }
    let (asked, named) = asked_for(ask, context)?;
    let mut takes_part: Vec<&Candidate<'_>> = Vec::new();
    let mut skipped = match &ask.hosts {
        Targets::Confirmed(confirmed) => {
            let removed = confirmed.removed(context).map(|host| SkippedHost {
                host: host.clone(),
                reason: SkipReason::Removed,
                subject: None,
            });
            confirmed.left_out.iter().cloned().chain(removed).collect()
        }
        Targets::All | Targets::List(_) | Targets::Selector(_) => Vec::new(),
    };
    for candidate in asked {
        match skip(candidate, &ask.policy, named, context) {
            None => takes_part.push(candidate),
            Some((reason, subject)) => skipped.push(SkippedHost {
                host: candidate.host.clone(),
                reason,
                subject,
            }),
        }
    }
    if takes_part.is_empty() {
        return Err(PlanError::NoHosts(told(&skipped)));
    }
    takes_part.sort_by_key(|one| (one.runs_server, one.priority, one.host));
    let waves = match &ask.kind {
        AskKind::Pipeline(_) => vec![wave(&takes_part, false)],
        AskKind::Rollout => waves(ask, &takes_part, &skipped, context)?,
    };
    let mut plan = Plan {
        id: PlanId::from_bytes([0; 32]),
        kind: ask.kind.clone(),
        target,
        policy: effective_policy(ask),
        ops,
        waves,
        skipped,
    };
    plan.id = plan.canonical_id();
    Ok(plan)
}

impl Plan {
    /// The id that this plan must have.
    #[must_use]
    pub fn canonical_id(&self) -> PlanId {
        let blank = Plan {
            id: PlanId::from_bytes([0; 32]),
            ..self.clone()
        };
        // Structures and lists only, in a fixed order: writing them cannot fail.
        let canonical = serde_json::to_vec(&blank).unwrap_or_default();
        PlanId::from_bytes(Sha256::digest(canonical).into())
    }

    /// Every host that takes part, with the number of its wave.
    pub fn hosts(&self) -> impl Iterator<Item = (usize, &HostId)> {
        let numbered = self.waves.iter().enumerate();
        numbered.flat_map(|(number, wave)| wave.hosts.iter().map(move |host| (number, host)))
    }
}

/// The most operations that a pipeline may name.
const MOST_OPS: usize = 32;

fn ops_of(ask: &Ask) -> Result<Vec<Op>, PlanError> {
    let ops = match &ask.kind {
        AskKind::Rollout => {
            let mut stages = ask.policy.stages.clone();
            stages.sort_unstable();
            stages.dedup();
            if stages != ask.policy.stages {
                return Err(PlanError::Policy(
                    "stages are pull, switch, test, in this order",
                ));
            }
            stages.into_iter().map(super::Stage::op).collect()
        }
        AskKind::Pipeline(_) if !ask.ops.is_empty() => ask.ops.clone(),
        AskKind::Pipeline(name) => pipeline(name)
            .ok_or_else(|| PlanError::UnknownPipeline(name.chars().take(40).collect()))?
            .ops
            .to_vec(),
    };
    if ops.is_empty() {
        return Err(PlanError::Policy("it has no stage"));
    }
    if ops.len() > MOST_OPS {
        return Err(PlanError::Policy("it has more than 32 operations"));
    }
    if let Some(other) = ops.iter().find(|op| !belongs(**op)) {
        return Err(PlanError::NotOnHosts(other.name()));
    }
    Ok(ops)
}

/// A rollback belongs to a rollout that failed, never to its stages; a reboot needs a person.
fn belongs(op: Op) -> bool {
    let by_agent = op.spec().performer == Performer::Agent;
    by_agent && !matches!(op, Op::Rollback | Op::Reboot | Op::RefreshSystem)
}

fn check_policy(policy: &Policy) -> Result<(), PlanError> {
    let week = 7 * 24 * 3600;
    let problem = match (policy.max_in_flight, &policy.canaries) {
        (InFlight::Count(0), _) => "max_in_flight is at least 1",
        (InFlight::Percent(0 | 101..), _) => "max_in_flight is 1 to 100 percent",
        (_, Canaries::Hosts(hosts)) if hosts.is_empty() => "canaries names no host",
        (_, Canaries::Count(0)) => "canaries counts no host; write \"none\"",
        (_, _) if policy.soak_seconds > week => "soak_seconds is at most a week",
        (_, _) if !policy.class.is_of_updates() => {
            "class is routine or security: windows know the other classes by what is done"
        }
        (_, _) => return Ok(()),
    };
    Err(PlanError::Policy(problem))
}

fn effective_policy(ask: &Ask) -> Policy {
    match ask.kind {
        AskKind::Rollout => ask.policy.clone(),
        AskKind::Pipeline(_) => Policy {
            canaries: Canaries::None,
            barrier: true,
            // `&&` semantics: a host that fails drops out, the others go on (spec 02).
            on_failure: super::OnFailure::ContinueUpTo(u32::MAX - 1),
            ..ask.policy.clone()
        },
    }
}

/// The hosts that are asked for, and whether they were named one by one.
fn asked_for<'c, 'a>(
    ask: &Ask,
    context: &'c PlanContext<'a>,
) -> Result<(Vec<&'c Candidate<'a>>, bool), PlanError> {
    let (named, confirmed) = match &ask.hosts {
        Targets::All => {
            let online = |one: &&Candidate<'_>| context.is_connected(one.presence);
            return Ok((context.hosts.iter().filter(online).collect(), false));
        }
        Targets::Selector(selector) => {
            let selected = |one: &&Candidate<'_>| selector.matches(&one.labels);
            return Ok((context.hosts.iter().filter(selected).collect(), false));
        }
        Targets::List(hosts) => (hosts, false),
        Targets::Confirmed(confirmed) => (&confirmed.hosts, true),
    };
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for host in named {
        let one = match context.hosts.iter().find(|one| one.host == host) {
            Some(one) => one,
            // Nobody is there who could confirm another plan: it is told as left out.
            None if confirmed => continue,
            None => return Err(PlanError::UnknownHost(host.clone())),
        };
        if seen.insert(host) {
            found.push(one);
        }
    }
    let by_person = !context.actor.is_automation();
    Ok((found, by_person))
}

fn skip(
    candidate: &Candidate<'_>,
    policy: &Policy,
    named: bool,
    context: &PlanContext<'_>,
) -> Option<(SkipReason, Option<String>)> {
    if let Some(hold) = candidate.hold {
        return Some((
            SkipReason::Held,
            Some(format!("by {}, {}", hold.by, hold.why)),
        ));
    }
    if !candidate.auto_update && !named {
        return Some((SkipReason::AutoUpdateOff, None));
    }
    match (candidate.presence, policy.offline) {
        (presence, _) if context.is_connected(presence) => None,
        (Presence::Online, _) => None,
        (Presence::NeverSeen, _) => Some((SkipReason::NeverSeen, None)),
        (Presence::Offline { since }, Offline::Skip) => {
            Some((SkipReason::Offline, Some(since.to_rfc3339())))
        }
        (Presence::Offline { .. }, Offline::Wait | Offline::QueueUntil(_)) => None,
    }
}

/// A host that is away, as one that does not take part.
fn not_connected<'c>(
    context: &'c PlanContext<'_>,
) -> impl Fn(&Candidate<'_>) -> Option<SkippedHost> + 'c {
    |one| {
        let (reason, subject) = match one.presence {
            presence if context.is_connected(presence) => return None,
            Presence::Online => return None,
            Presence::NeverSeen => (SkipReason::NeverSeen, None),
            Presence::Offline { since } => (SkipReason::Offline, Some(since.to_rfc3339())),
        };
        Some(SkippedHost {
            host: one.host.clone(),
            reason,
            subject,
        })
    }
}

fn wave(hosts: &[&Candidate<'_>], canary: bool) -> PlannedWave {
    PlannedWave {
        hosts: hosts.iter().map(|one| one.host.clone()).collect(),
        canary,
    }
}

/// Canaries, then one wave for each priority, then the host that runs the server (law D19).
fn waves(
    ask: &Ask,
    hosts: &[&Candidate<'_>],
    skipped: &[SkippedHost],
    context: &PlanContext<'_>,
) -> Result<Vec<PlannedWave>, PlanError> {
    let canaries = canaries(ask, hosts, skipped, context)?;
    let is_canary = |one: &Candidate<'_>| canaries.contains(one.host);
    let (first, rest): (Vec<_>, Vec<_>) = hosts.iter().copied().partition(|one| is_canary(one));
    let mut waves = Vec::new();
    if !first.is_empty() {
        waves.push(wave(&first, true));
    }
    let groups = rest
        .chunk_by(|one, next| (one.runs_server, one.priority) == (next.runs_server, next.priority));
    waves.extend(groups.map(|group| wave(group, false)));
    Ok(waves)
}

fn canaries(
    ask: &Ask,
    hosts: &[&Candidate<'_>],
    skipped: &[SkippedHost],
    context: &PlanContext<'_>,
) -> Result<BTreeSet<HostId>, PlanError> {
    let confirmed = match &ask.hosts {
        Targets::Confirmed(confirmed) => Some(confirmed.as_ref()),
        Targets::All | Targets::List(_) | Targets::Selector(_) => None,
    };
    let was_canary = |host: &HostId| confirmed.is_some_and(|own| own.canaries.contains(host));
    let chosen: BTreeSet<HostId> = match &ask.policy.canaries {
        Canaries::None => return Ok(BTreeSet::new()),
        Canaries::Flagged => {
            let flagged = hosts.iter().filter(|one| one.canary);
            let chosen: BTreeSet<HostId> = flagged.map(|one| one.host.clone()).collect();
            if chosen.len() == hosts.len() {
                return Ok(BTreeSet::new());
            }
            let left_out = skipped.iter().filter(|skipped| {
                let is = |one: &&Candidate<'_>| one.host == &skipped.host && one.canary;
                was_canary(&skipped.host) || context.hosts.iter().any(|one| is(&one))
            });
            let mut left_out: Vec<SkippedHost> = left_out.cloned().collect();
            // "Everybody" asks for a marked host that is away, too.
            if ask.hosts == Targets::All {
                let away = context.hosts.iter();
                left_out.extend(
                    away.filter(|one| one.canary)
                        .filter_map(not_connected(context)),
                );
            }
            if chosen.is_empty() && !left_out.is_empty() {
                return Err(PlanError::NoCanary(told(&left_out)));
            }
            return Ok(chosen);
        }
        Canaries::Count(count) => {
            // The host that runs the server is one only if it is marked as one.
            let mut able: Vec<_> = hosts
                .iter()
                .filter(|one| one.canary || !one.runs_server)
                .collect();
            able.sort_by_key(|one| !one.canary);
            let count = usize::try_from(*count).unwrap_or(usize::MAX);
            able.into_iter()
                .take(count)
                .map(|one| one.host.clone())
                .collect()
        }
        Canaries::Hosts(named) => {
            for host in named {
                if !was_canary(host) && !context.hosts.iter().any(|one| one.host == host) {
                    return Err(PlanError::UnknownHost(host.clone()));
                }
            }
            let taking_part = hosts.iter().filter(|one| named.contains(one.host));
            taking_part.map(|one| one.host.clone()).collect()
        }
    };
    if chosen.is_empty() {
        return Err(PlanError::NoCanary(told(skipped)));
    }
    if chosen.len() >= hosts.len() {
        return Err(PlanError::OnlyCanaries);
    }
    Ok(chosen)
}

fn told(skipped: &[SkippedHost]) -> String {
    if skipped.is_empty() {
        return "none is selected".to_owned();
    }
    let one = |one: &SkippedHost| format!("{} is {}", one.host, super::view::word(&one.reason));
    let told: Vec<String> = skipped.iter().take(5).map(one).collect();
    told.join(", ")
}
