//! A fleet whose repository lives on a forge, and what people ask of its updates and rollouts.
//! Whatever goes wrong that a test did not ask about ends the test.
#![allow(clippy::panic)]

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use http::Method;
use nixfleet_core::agent::JournalEntry;
use nixfleet_core::rollout::{RolloutHostView, RolloutState, RolloutView, WaitCode};
use nixfleet_core::update::{JobView, PrView, UpdatesView};
use nixfleet_core::{CommitId, Op, RolloutId};
use nixfleet_server::demo::client::Answer;
use nixfleet_server::demo::live::Seen;
use nixfleet_server::demo::rows::Situation;
use nixfleet_server::demo::wait::until;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::fleet::{Fleet, PATIENCE, Paths, good};
use crate::forge::{FakeForge, Recorded, Route, Speaks};

/// The repository on the forge.
pub const REPO: &str = "acme/fleet";
/// The only token that the forge takes.
pub const TOKEN: &str = "a-token-of-the-forge";

/// A fleet and its forge.
#[derive(Debug)]
pub struct ForgedFleet {
    fleet: Fleet,
    /// The forge; its repository is the one that the agents pull from.
    pub forge: FakeForge,
}

impl ForgedFleet {
    /// A fleet with more environment for its server; nothing runs yet.
    pub async fn create(
        paths: &Paths,
        hosts: &[&'static str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut fleet = Fleet::create(Fleet::setup(paths, hosts));
        let bare = fleet.upstream.remote().folder().to_owned();
        let forge = FakeForge::start(Speaks::GitHub, REPO, &bare).await;
        forge.state().tokens.push(TOKEN.to_owned());
        let api = forge.api_url();
        let usual = [
            ("NIXFLEET_GITHUB_REPO", REPO),
            ("NIXFLEET_GITHUB_API_URL", &api),
            ("NIXFLEET_GITHUB_TOKEN", TOKEN),
            ("NIXFLEET_REQUIRED_CHECKS", "build"),
            ("NIXFLEET_TESTS_AFTER_SWITCH", "true"),
        ];
        let all = usual.iter().chain(environment);
        let all = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        fleet.setup().server_environment.extend(all);
        Self { fleet, forge }
    }

    /// A fleet in which every host is current, deployed through us and tested.
    pub async fn current(
        paths: &Paths,
        hosts: &[&'static str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut fleet = Self::create(paths, hosts, environment).await;
        fleet.start().await;
        fleet.bring_up(hosts).await;
        fleet
    }

    /// Pulls, switches and tests these hosts; the tests run by themselves.
    pub async fn bring_up(&mut self, hosts: &[&str]) {
        self.run(Op::Pull, hosts).await;
        self.begin(Op::Switch, hosts).await;
        self.settled(Situation::Current, hosts).await;
    }

    /// Any request to the API, any answer.
    pub async fn ask(&self, method: Method, path: &str, body: &Value) -> Answer {
        let body = (method != Method::GET).then_some(body);
        good(good(self.api()).request(method, path, body).await)
    }

    /// A request that must be granted.
    pub async fn granted(&self, method: Method, path: &str, body: Value) -> Value {
        let answer = self.ask(method.clone(), path, &body).await;
        let said = format!("{method} {path}: {} {}", answer.status, answer.body);
        assert!(answer.status.is_success(), "{said}\n{}", self.last_words());
        answer.body
    }

    /// A `POST` that must be granted.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.granted(Method::POST, path, body).await
    }

    /// A document that must be there.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let body = self.granted(Method::GET, path, Value::Null).await;
        match serde_json::from_value(body.clone()) {
            Ok(document) => document,
            Err(error) => panic!("{path}: {error} in {body:#}"),
        }
    }

    /// What the API tells about updates.
    pub async fn updates(&self) -> UpdatesView {
        self.get("/api/v1/updates").await
    }

    /// Looks for updates now.
    pub async fn check(&self) {
        self.post("/api/v1/updates/check", json!({})).await;
    }

    /// Looks for updates until this one is listed.
    pub async fn find(&mut self, number: u64) -> PrView {
        self.check().await;
        self.listed(number, "to be listed", |_| true).await
    }

    /// Waits until an open update meets a condition.
    pub async fn listed(
        &mut self,
        number: u64,
        what: &str,
        condition: impl Fn(&PrView) -> bool,
    ) -> PrView {
        let what = format!("#{number} {what}");
        self.updates_until(&what, |updates| {
            let mut prs = updates.prs.iter();
            let found = prs.find(|pr| pr.number.0 == number)?;
            condition(found).then(|| found.clone())
        })
        .await
    }

    /// Waits until what clients see of updates holds something.
    pub async fn updates_until<T>(
        &mut self,
        what: &str,
        condition: impl Fn(&UpdatesView) -> Option<T>,
    ) -> T {
        let found = |seen: &Seen| condition(seen.state().updates.as_deref()?);
        match self.live_until(what, found).await {
            Ok(found) => found,
            Err(error) => {
                let updates = self.seen().state().updates.clone();
                panic!("{error}\n{updates:#?}")
            }
        }
    }

    /// Waits until the job about an update meets a condition.
    pub async fn job(
        &mut self,
        number: u64,
        what: &str,
        condition: impl Fn(&JobView) -> bool,
    ) -> JobView {
        self.updates_until(what, |updates| {
            let job = updates.job.as_ref().filter(|job| job.number.0 == number);
            job.filter(|job| condition(job)).cloned()
        })
        .await
    }

    /// Merges and deploys exactly what the plan for this body says.
    pub async fn merge_and_deploy(&self, number: u64, mut body: Value) -> RolloutId {
        let plan = self
            .post(&format!("/api/v1/updates/{number}/plan"), body.clone())
            .await;
        body["confirm"] = plan["id"].clone();
        let path = format!("/api/v1/updates/{number}/merge-and-deploy");
        rollout_of(&self.post(&path, body).await["rollout"])
    }

    /// Starts a rollout of exactly what the plan for this body says.
    pub async fn roll_out(&self, mut body: Value) -> RolloutId {
        let plan = self.post("/api/v1/rollouts/plan", body.clone()).await;
        body["confirm"] = plan["id"].clone();
        rollout_of(&self.post("/api/v1/rollouts", body).await["id"])
    }

    /// Does something with a rollout that must be possible.
    pub async fn verb(&self, rollout: RolloutId, verb: &str) -> Value {
        let path = format!("/api/v1/rollouts/{rollout}/{verb}");
        self.post(&path, json!({})).await
    }

    /// Waits until a rollout meets a condition.
    pub async fn rollout_until(
        &mut self,
        id: RolloutId,
        what: &str,
        condition: impl Fn(&RolloutView) -> bool,
    ) -> RolloutView {
        let found = |seen: &Seen| {
            let view = seen.state().rollouts.get(&id)?;
            condition(view).then(|| view.clone())
        };
        match self.live_until(what, found).await {
            Ok(found) => found,
            Err(error) => {
                let (rollouts, updates) = {
                    let seen = self.seen();
                    (seen.state().rollouts.clone(), seen.state().updates.clone())
                };
                let job = updates.and_then(|updates| updates.job.clone());
                panic!("{error}\n{rollouts:#?}\n{job:#?}")
            }
        }
    }

    /// Waits until a rollout is in a state, as clients see it and as the API tells it.
    pub async fn rollout_is(&mut self, id: RolloutId, state: RolloutState) -> RolloutView {
        let what = format!("the rollout to be {state:?}");
        let seen = self
            .rollout_until(id, &what, |view| view.state == state)
            .await;
        let told: RolloutView = self.get(&format!("/api/v1/rollouts/{id}")).await;
        if state.is_terminal() {
            assert_eq!(told.state, state, "the API tells the same");
        }
        seen
    }

    /// Waits until a host of a rollout waits for a reason.
    pub async fn waits(&mut self, id: RolloutId, host: &str, code: WaitCode) -> RolloutHostView {
        let what = format!("{host} to wait: {code:?}");
        let waits = |view: &RolloutView| {
            let wait = on(view, host).wait.as_ref();
            wait.is_some_and(|wait| wait.code == code)
        };
        let view = self.rollout_until(id, &what, waits).await;
        on(&view, host).clone()
    }

    /// How often an operation was executed on a host, each time as another command.
    ///
    /// # Panics
    /// If the same command was executed twice.
    #[must_use]
    pub fn ran(&self, host: &str, op: Op) -> usize {
        let all = self.executions(host);
        let of_op = all.iter().filter(|one| one.op == op.name());
        let ids: Vec<&str> = of_op.map(|one| one.command_id.as_str()).collect();
        let mut once = ids.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), ids.len(), "{host}: a command ran twice");
        ids.len()
    }

    /// Waits until an operation was executed so often on a host.
    pub async fn until_ran(&self, host: &str, op: Op, times: usize) {
        let name = op.name();
        let what = format!("{times} executions of {name} on {host}");
        let found = until(
            PATIENCE,
            &what,
            || (self.ran(host, op) >= times).then_some(()),
            || format!("{:?}\n{}", self.executions(host), self.last_words()),
        );
        good(found.await);
    }

    /// How often the agent of a host set about each operation since it was started, as its journal
    /// says. Pulls are in there, too.
    #[must_use]
    pub fn journal(&self, host: &str) -> BTreeMap<Op, usize> {
        let file = good(self.host(host)).state().join("journal.jsonl");
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let mut counts = BTreeMap::new();
        for line in text.lines() {
            let entry = serde_json::from_str::<Value>(line).ok();
            let entry = entry.and_then(|mut line| {
                serde_json::from_value::<JournalEntry>(line["entry"].take()).ok()
            });
            if let Some(JournalEntry::Intent { record, .. }) = entry {
                *counts.entry(record.op).or_default() += 1;
            }
        }
        counts
    }

    /// The calls that ask the forge to merge.
    #[must_use]
    pub fn merge_calls(&self) -> Vec<Recorded> {
        self.forge.requests_to(Route::Merge)
    }

    /// The head of the tracked branch.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn main(&self) -> CommitId {
        good(self.upstream.remote().head())
    }

    /// Somebody commits to the tracked branch on the forge.
    ///
    /// # Panics
    /// If git does not like it.
    pub fn commit(&self, path: &str, content: &[u8]) -> CommitId {
        let state = self.forge.state();
        let parent = self.main().to_string();
        let files: [(&str, Option<&[u8]>); 1] = [(path, Some(content))];
        state.commit_to("refs/heads/main", &parent, &files, &format!("Write {path}"));
        self.main()
    }

    /// Ends everything politely.
    pub async fn end(self) {
        self.fleet.end().await;
    }
}

impl Deref for ForgedFleet {
    type Target = Fleet;
    fn deref(&self) -> &Fleet {
        &self.fleet
    }
}

impl DerefMut for ForgedFleet {
    fn deref_mut(&mut self) -> &mut Fleet {
        &mut self.fleet
    }
}

/// A host of a rollout.
#[must_use]
#[track_caller]
pub fn on<'a>(view: &'a RolloutView, host: &str) -> &'a RolloutHostView {
    let mut hosts = view.hosts.iter();
    match hosts.find(|one| one.host.as_str() == host) {
        Some(found) => found,
        None => panic!("{host} is not in {view:#?}"),
    }
}

#[track_caller]
fn rollout_of(id: &Value) -> RolloutId {
    match id.as_str().map(str::parse) {
        Some(Ok(id)) => id,
        Some(Err(_)) | None => panic!("{id} is no id of a rollout"),
    }
}
