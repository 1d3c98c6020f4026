//! Rollouts and pipelines: planning, starting, steering, and what they would do.

use std::collections::BTreeMap;

use nixfleet_core::fleet::{Assumption, Assumptions, Request};
use nixfleet_core::lifecycle::Target;
use nixfleet_core::rollout::{
    Ask, Plan, Rollout, RolloutView, SimulatedEvent, Simulation, SimulationStep, Stage, Verb,
    WaitSpan,
};
use nixfleet_core::update::{Deploy, PrNumber};
use nixfleet_core::{HostId, Op, RolloutId, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{not_planned, unknown_pr, unknown_rollout, updates_off};
use super::api::{Api, Nothing, actor, unprocessable, unreadable_store};
use super::asks::{self, AskBody, Hosts, PipelineBody};
use super::endpoint::{Call, Page, change, look, named, read, words};
use super::mutations::{self, Mutation};
use super::updates::{MergeAsk, known_pr, merge};
use super::{Route, any_of};
use crate::auth::Caller;
use crate::reject::Problem;

/// Rollouts of one page.
const MOST_ROLLOUTS: u32 = 50;
/// The pipeline that begins with the merge of the current update.
const MERGE_DEPLOY: &str = "merge-deploy";

/// `/api/v1/rollouts…`, `/api/v1/pipelines`, `/api/v1/simulate`.
#[must_use]
pub fn routes(api: &Api) -> Route {
    any_of([
        read(api, words(&["rollouts"]), |api, (), page| async move {
            listed(&api, &page).await
        }),
        read(
            api,
            named("rollouts", None),
            |api, id: String, _| async move { Ok(json!(view(&api, &id).await?)) },
        ),
        look(
            api,
            "/api/v1/rollouts/plan",
            |call: Call<(), AskBody>| async move {
                let ask = call.body.into_ask(&call.api).await?;
                Ok(json!(plan(&call.api, &call.caller, ask).await?))
            },
        ),
        change(
            api,
            &mutations::ROLLOUT_START,
            |call: Call<(), AskBody>| async move { started(call).await },
        ),
        verbs(api),
        skip(api),
        change(
            api,
            &mutations::PIPELINE_START,
            |call: Call<(), PipelineBody>| async move {
                match run_pipeline(&call.api, &call.caller, call.rollout(), call.body).await? {
                    Running::Rollout(view) => Ok(json!(view)),
                    Running::Job { job, rollout } => Ok(json!({ "job": job, "rollout": rollout })),
                }
            },
        ),
        look(
            api,
            "/api/v1/simulate",
            |call: Call<(), SimulateBody>| async move { simulated(call).await },
        ),
    ])
}

async fn listed(api: &Api, page: &Page) -> Result<Value, Problem> {
    let limit = page.limit(MOST_ROLLOUTS);
    let before = match &page.before {
        Some(text) => Some(rollout_id(text)?),
        None => None,
    };
    let rollouts = api
        .store
        .rollouts_before(before, limit)
        .await
        .map_err(|error| unreadable_store(&error))?;
    let next = rollouts
        .last()
        .filter(|_| u32::try_from(rollouts.len()).is_ok_and(|count| count == limit))
        .map(|one| one.id);
    let views: Vec<RolloutView> = rollouts.iter().map(Rollout::view).collect();
    Ok(json!({ "rollouts": views, "next_before": next }))
}

fn rollout_id(text: &str) -> Result<RolloutId, Problem> {
    text.parse().map_err(|_| unknown_rollout(text))
}

/// A rollout: one that the fleet has in mind, or one of long ago.
pub(super) async fn view(api: &Api, id: &str) -> Result<RolloutView, Problem> {
    let known = rollout_id(id)?;
    let view = api
        .hub
        .ask(move |fleet| fleet.rollout(known).map(Rollout::view))
        .await?;
    if let Some(view) = view {
        return Ok(view);
    }
    let past = api.store.find_rollout(known).await;
    let past = past.map_err(|error| unreadable_store(&error))?;
    past.map(|one| one.view())
        .ok_or_else(|| unknown_rollout(id))
}

async fn plan(api: &Api, caller: &Caller, ask: Ask) -> Result<Plan, Problem> {
    let asker = actor(caller);
    let plan = api.hub.ask(move |fleet| fleet.plan(&ask, &asker)).await?;
    plan.map_err(|why| not_planned(&why))
}

async fn started(call: Call<(), AskBody>) -> Result<Value, Problem> {
    let rollout = call.rollout();
    let confirm = asks::plan_id(call.body.confirm.as_deref())?;
    if confirm.is_none() {
        return Err(unprocessable(
            "plan_not_confirmed",
            "confirm: look at the plan first (POST /api/v1/rollouts/plan), and confirm its id",
        ));
    }
    let reason = asks::reason(call.body.reason.clone())?;
    let ask = call.body.into_ask(&call.api).await?;
    let request = Request::StartRollout {
        id: rollout,
        ask: Box::new(ask),
        confirm,
        reason,
    };
    call.api.submit(&call.caller, request).await?;
    Ok(json!(view(&call.api, &rollout.to_string()).await?))
}

/// What a pipeline became.
pub(super) enum Running {
    /// A rollout.
    Rollout(Box<RolloutView>),
    /// A merge, and then a rollout.
    Job {
        job: Option<u64>,
        rollout: RolloutId,
    },
}

/// Starts a pipeline.
pub(super) async fn run_pipeline(
    api: &Api,
    caller: &Caller,
    rollout: RolloutId,
    body: PipelineBody,
) -> Result<Running, Problem> {
    let confirm = asks::plan_id(body.confirm.as_deref())?;
    let reason = asks::reason(body.reason.clone())?;
    if body.pipeline == MERGE_DEPLOY {
        let current = current_pr(api).await?;
        let deploy = asks::deploy(api, rollout, body.hosts, body.policy).await?;
        let ask = MergeAsk {
            head: None,
            reason,
            confirm,
        };
        let job = merge(api, caller, current, ask, Some(deploy)).await?;
        return Ok(Running::Job { job, rollout });
    }
    let request = Request::StartRollout {
        id: rollout,
        ask: Box::new(body.into_ask(api).await?),
        confirm,
        reason,
    };
    api.submit(caller, request).await?;
    let view = view(api, &rollout.to_string()).await?;
    Ok(Running::Rollout(Box::new(view)))
}

/// The number of the current update.
pub(super) async fn current_pr(api: &Api) -> Result<PrNumber, Problem> {
    let current = api
        .hub
        .ask(|fleet| Some(fleet.updates()?.current().map(|known| known.pr.number)))
        .await?;
    match current {
        None => Err(updates_off()),
        Some(None) => Err(unknown_pr("current")),
        Some(Some(number)) => Ok(number),
    }
}

fn verbs(api: &Api) -> Route {
    let verb = |row: &Mutation, verb: Verb| {
        change(api, row, move |call: Call<String, Nothing>| {
            let verb = verb.clone();
            async move { steered(&call.api, &call.caller, &call.path, verb).await }
        })
    };
    any_of([
        verb(&mutations::ROLLOUT_PAUSE, Verb::Pause),
        verb(&mutations::ROLLOUT_RESUME, Verb::Resume),
        verb(&mutations::ROLLOUT_CANCEL, Verb::Cancel),
        verb(&mutations::ROLLOUT_RETRY, Verb::RetryFailed),
        verb(&mutations::ROLLOUT_APPROVE, Verb::Approve),
        verb(&mutations::ROLLOUT_ROLL_BACK, Verb::RollBack),
    ])
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SkipBody {
    host: String,
}

fn skip(api: &Api) -> Route {
    change(
        api,
        &mutations::ROLLOUT_SKIP,
        |call: Call<String, SkipBody>| async move {
            rollout_id(&call.path)?;
            let name = call.body.host;
            asks::known(&call.api, vec![name.clone()]).await?;
            let host = asks::value("unknown_host", "host", name.parse())?;
            let verb = Verb::SkipHost(host);
            steered(&call.api, &call.caller, &call.path, verb).await
        },
    )
}

async fn steered(api: &Api, caller: &Caller, id: &str, verb: Verb) -> Result<Value, Problem> {
    let request = Request::Rollout {
        id: rollout_id(id)?,
        verb,
    };
    api.submit(caller, request).await?;
    Ok(json!(view(api, id).await?))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SimulateBody {
    /// An update that is merged first.
    pr: Option<u64>,
    hosts: Option<Hosts>,
    policy: Option<Value>,
    target: Option<Value>,
    pipeline: Option<String>,
    /// How commands end on single hosts: `ok`, `fail`, `timeout` or `lost`.
    outcomes: BTreeMap<String, String>,
}

/// What a merge or a rollout would do. Nothing is started.
async fn simulated(call: Call<(), SimulateBody>) -> Result<Value, Problem> {
    let rollout = call.rollout();
    let body = call.body;
    let api = &call.api;
    asks::known(api, body.outcomes.keys().cloned().collect()).await?;
    let (ask, merged) = match (body.pr, body.pipeline) {
        (Some(number), _) => {
            let number = PrNumber(number);
            known_pr(api, number).await?;
            let deploy = asks::deploy(api, rollout, body.hosts, body.policy).await?;
            (deploy.ask(Some(stand_in(api, number).await?)), true)
        }
        (None, Some(pipeline)) => {
            let body = PipelineBody {
                pipeline,
                hosts: body.hosts,
                policy: body.policy,
                ..PipelineBody::default()
            };
            (body.into_ask(api).await?, false)
        }
        (None, None) => {
            let body = AskBody {
                hosts: body.hosts,
                policy: body.policy,
                target: body.target,
                ..AskBody::default()
            };
            (body.into_ask(api).await?, false)
        }
    };
    let outcomes = body.outcomes.iter();
    let hosts = outcomes.map(|(host, word)| assumed(host, word, &ask));
    let assumptions = Assumptions {
        hosts: hosts
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect(),
        merged,
    };
    let asker = actor(&call.caller);
    let now = api.clock.now();
    let outcome = api
        .hub
        .ask(move |fleet| {
            let plan = if merged {
                let deploy = Deploy {
                    rollout: RolloutId::from_bytes([0; 16]),
                    hosts: ask.hosts.clone(),
                    policy: ask.policy.clone(),
                };
                fleet.plan_deploy(&deploy, &asker)?
            } else {
                fleet.plan(&ask, &asker)?
            };
            Ok((plan, fleet.simulate(&ask, &assumptions, &asker, now)?))
        })
        .await?;
    let (plan, simulation) =
        outcome.map_err(|why: nixfleet_core::rollout::PlanError| not_planned(&why))?;
    Ok(document(&plan, &simulation, now))
}

/// What stands for the merge commit, which does not exist yet: the head of the pull request.
async fn stand_in(api: &Api, number: PrNumber) -> Result<Target, Problem> {
    let target = api
        .hub
        .ask(move |fleet| {
            let updates = fleet.updates()?;
            let mut open = updates.state().open.iter();
            let known = open.find(|known| known.pr.number == number)?;
            Some(Target {
                commit: known.pr.head,
                lock: known.lock_hash(),
            })
        })
        .await?;
    let target = target.ok_or_else(|| unknown_pr(&number.0.to_string()))?;
    if target.lock.is_none() {
        return Err(unprocessable(
            "target_without_lock",
            "the flake.lock of the pull request could not be read: check for updates again",
        ));
    }
    Ok(target)
}

fn assumed(host: &str, word: &str, ask: &Ask) -> Result<Option<Assumption>, Problem> {
    let host: HostId = asks::value("unknown_host", "outcomes", host.parse())?;
    // A host fails where it hurts: at the switch, where there is one.
    let switches = ask.policy.stages.contains(&Stage::Switch);
    let op = switches.then_some(Op::Switch);
    let hard = op.map(|op| op.spec().hard.as_secs());
    let fails = |seconds| {
        Some(Assumption {
            host: host.clone(),
            op,
            fails: true,
            seconds,
        })
    };
    match word {
        "ok" => Ok(None),
        "fail" => Ok(fails(None)),
        // The same to the rollout: nothing is heard until the time is over.
        "timeout" | "lost" => Ok(fails(hard)),
        _ => Err(unprocessable(
            "bad_outcome",
            format!("outcomes: {word:?} is not ok, fail, timeout or lost"),
        )),
    }
}

fn document(plan: &Plan, simulation: &Simulation, start: Timestamp) -> Value {
    let steps = simulation.steps.iter();
    let steps = steps.map(|step| (step.at, step_row(step, start)));
    let waits = simulation.waits.iter();
    let waits = waits.map(|span| (span.from, wait_row(span, start)));
    let mut rows: Vec<(Timestamp, Value)> = steps.chain(waits).collect();
    // Stable: what happens at a moment stands before who waits from then on.
    rows.sort_by_key(|(at, _)| *at);
    let steps: Vec<Value> = rows.into_iter().map(|(_, row)| row).collect();
    json!({
        "plan": plan,
        "steps": steps,
        "result": simulation.end,
        "complete": simulation.complete,
    })
}

/// One step: how long after the start, where, and what as a word.
fn step_row(step: &SimulationStep, start: Timestamp) -> Value {
    let (host, what) = match &step.event {
        SimulatedEvent::Starts { host, op } => (Some(host), format!("{}-starts", op.name())),
        SimulatedEvent::Ends {
            host,
            op,
            good: true,
        } => (Some(host), format!("{}-succeeds", op.name())),
        SimulatedEvent::Ends {
            host,
            op,
            good: false,
        } => (Some(host), format!("{}-fails", op.name())),
        SimulatedEvent::Held { host } => (Some(host), "held".to_owned()),
        SimulatedEvent::Quarantined => (None, "target-quarantined".to_owned()),
        SimulatedEvent::Enters(state) => {
            let word = serde_json::to_value(state).unwrap_or_default();
            (None, word.as_str().unwrap_or_default().to_owned())
        }
    };
    let mut row = json!({ "at_seconds": step.at.since(start).as_secs(), "what": what });
    if let Some(host) = host {
        row["host"] = json!(host);
    }
    row
}

/// From when on a host waits, why, and until when it will have waited.
fn wait_row(span: &WaitSpan, start: Timestamp) -> Value {
    json!({
        "at_seconds": span.from.since(start).as_secs(),
        "what": "waits",
        "host": span.host,
        "wait": span.wait,
        "to_seconds": span.to.since(start).as_secs(),
    })
}
