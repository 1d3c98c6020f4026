//! A fleet of real programs for a test. Whatever goes wrong in setting it up ends the test.
#![allow(clippy::panic)]

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::time::Duration;

use nixfleet_core::sync::CommandView;
use nixfleet_core::{CommandId, Op, Phase, Status};
use nixfleet_server::demo::error::DemoResult;
use nixfleet_server::demo::host::{Execution, Habit, HostCommand};
use nixfleet_server::demo::live::Seen;
use nixfleet_server::demo::rows::{Row, Situation};
use nixfleet_server::demo::world::{Programs, Setup, Tests, World, phase_name};
use serde_json::Value;

/// Longer than anything takes on a busy machine; only failures wait for it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The programs under test, as `env!("CARGO_BIN_EXE_…")` names them.
#[derive(Clone, Debug)]
pub struct Paths {
    /// `server-under-test`.
    pub server: PathBuf,
    /// `agent-under-test`.
    pub agent: PathBuf,
}

/// A world that ends the test when something goes wrong.
#[derive(Debug)]
pub struct Fleet(World);

impl Fleet {
    /// What a world of hosts with test commands is made of.
    #[must_use]
    pub fn setup(paths: &Paths, hosts: &[&'static str]) -> Setup {
        Setup {
            programs: Programs {
                server: paths.server.clone(),
                agent: vec![
                    paths.agent.clone().into_os_string(),
                    "lifeline".into(),
                    "run".into(),
                ],
                lifeline: true,
            },
            hosts: hosts.iter().map(|name| (*name, Tests::Command)).collect(),
            listen: "127.0.0.1:0".to_owned(),
            fetch_ttl: "500ms",
            pace: Duration::ZERO,
            patience: PATIENCE,
            keep: false,
            server_environment: Vec::new(),
            agent_environment: Vec::new(),
        }
    }

    /// Makes a world; nothing runs yet.
    #[must_use]
    pub fn create(setup: Setup) -> Self {
        Self(good(World::create(setup)))
    }

    /// A server and an agent on each host, all of them current, deployed through us and tested.
    pub async fn current(paths: &Paths, hosts: &[&'static str]) -> Self {
        let mut fleet = Self::create(Self::setup(paths, hosts));
        fleet.start().await;
        for op in [Op::Pull, Op::Switch, Op::Test] {
            fleet.run(op, hosts).await;
        }
        fleet.settled(Situation::Current, hosts).await;
        fleet
    }

    /// Starts the server and all agents, and waits for the agents.
    pub async fn start(&mut self) {
        good(self.start_server().await);
        good(self.start_agents());
        self.all_online().await;
    }

    /// Waits until every agent that was started is connected.
    pub async fn all_online(&mut self) {
        for name in self.agent_names() {
            self.online(&name).await;
        }
    }

    /// Kills the agent of a host and waits until the server knows that it is gone.
    pub async fn lose_agent(&mut self, host: &str) {
        self.kill_agent(host);
        let id = host.parse().ok();
        let gone = |seen: &Seen| {
            let known = seen.state().hosts.get(id.as_ref()?)?;
            (!known.online).then_some(())
        };
        good(self.live_until(&format!("{host} to be gone"), gone).await);
    }

    /// Waits until the agent of a host is connected.
    pub async fn online(&mut self, host: &str) {
        let id = host.parse().ok();
        let online = |seen: &Seen| seen.state().hosts.get(id.as_ref()?)?.online.then_some(());
        good(self.live_until(&format!("{host} to connect"), online).await);
    }

    /// Runs an op to its end; it must succeed on every host.
    pub async fn run(&mut self, op: Op, hosts: &[&str]) -> Vec<CommandId> {
        let ids = self.begin(op, hosts).await;
        for view in self.finished(&ids).await {
            assert_eq!(view.phase, Phase::Success, "{}", told(&view));
        }
        ids
    }

    /// Starts an op; it must be accepted on every host.
    pub async fn begin(&mut self, op: Op, hosts: &[&str]) -> Vec<CommandId> {
        good(self.dispatch(op, hosts).await)
    }

    /// How commands ended.
    pub async fn finished(&mut self, ids: &[CommandId]) -> Vec<CommandView> {
        good(self.ended(ids).await)
    }

    /// Waits until all of these hosts show the row of a situation and nothing runs.
    pub async fn settled(&mut self, situation: Situation, hosts: &[&str]) {
        let rows: BTreeMap<_, _> = hosts
            .iter()
            .map(|host| {
                let row = (situation.row(), situation.words());
                ((*host).to_owned(), row)
            })
            .collect();
        good(self.settle(&rows).await);
    }

    /// Waits until exactly these rows are seen and nothing runs.
    pub async fn shows(&mut self, rows: &BTreeMap<String, Row>) {
        let expected = rows
            .iter()
            .map(|(host, row)| (host.clone(), (*row, "as before")))
            .collect();
        good(self.settle(&expected).await);
    }

    /// The rows as the HTTP API tells them now.
    pub async fn rows(&self) -> BTreeMap<String, Row> {
        good(good(self.api()).rows().await)
    }

    /// Waits until a compartment (0 to 4) of a host has a status.
    pub async fn until_status(&mut self, host: &str, compartment: usize, status: Status) {
        let what = format!("{} on {host}", status.name());
        let has = |row: &Row| row.0.get(compartment) == Some(&status);
        good(
            self.live_until(&what, |seen| {
                seen.rows().get(host).is_some_and(has).then_some(())
            })
            .await,
        );
    }

    /// Everything the API tells about a host.
    pub async fn about(&self, host: &str) -> Value {
        good(good(self.api()).host(host).await)
    }

    /// Waits until what the API tells about a host meets a condition.
    pub async fn until_told(
        &self,
        host: &str,
        what: &str,
        condition: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let about = self.about(host).await;
            if condition(&about) {
                return about;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "waited for {what}; {about:#}\n{}",
                self.last_words()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What a host's commands do from now on.
    pub fn tell(&self, host: &str, command: HostCommand, habit: Habit) {
        good(good(self.host(host)).tell(command, habit));
    }

    /// What was executed on a host.
    #[must_use]
    pub fn executions(&self, host: &str) -> Vec<Execution> {
        good(good(self.host(host)).executions())
    }

    /// Waits until a command is executing on its host.
    pub async fn until_executing(&self, host: &str, id: CommandId) {
        let id = id.to_string();
        let found = nixfleet_server::demo::wait::until(
            PATIENCE,
            "the command to be executed",
            || {
                let all = self.executions(host);
                all.iter().any(|one| one.command_id == id).then_some(())
            },
            || self.last_words(),
        );
        good(found.await);
    }

    /// Every switch, test and rollback ran exactly once, and nothing else ran.
    pub fn ran_once(&self) {
        let executes = |started: &nixfleet_server::demo::world::Started| {
            matches!(started.op, Op::Switch | Op::Test | Op::Rollback)
        };
        good(self.check_once(executes));
    }

    /// Ends everything politely.
    pub async fn end(self) {
        self.0.shut_down().await;
    }
}

impl Deref for Fleet {
    type Target = World;
    fn deref(&self) -> &World {
        &self.0
    }
}

impl DerefMut for Fleet {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.0
    }
}

/// The value, or the end of the test.
#[track_caller]
pub fn good<T>(result: DemoResult<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

/// A command in one line.
#[must_use]
pub fn told(view: &CommandView) -> String {
    let message = view.message.as_deref().unwrap_or_default();
    let phase = phase_name(view.phase);
    format!("{} on {}: {phase} {message}", view.op.name(), view.host)
}
