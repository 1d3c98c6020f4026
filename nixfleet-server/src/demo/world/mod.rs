//! A small world in a throw-away folder: a git remote, the server, agents, and a client that reads
//! every row twice, over HTTP and from a live replica.

mod launch;
mod watch;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nixfleet_core::{CommandId, Op};
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::time::Instant;

pub use self::watch::phase_name;
use super::client::Api;
use super::error::{DemoError, DemoResult};
use super::host::HostFolder;
use super::live::{Live, Seen};
use super::process::Process;
use super::rows::Row;
use super::upstream::Upstream;
use super::wait::{timeout, until};
use crate::auth::PasswordHash;
use crate::auth::secret::{SecretKind, fresh, fresh_password};

/// How long a process has to end by itself before it is killed.
const GOODBYE: Duration = Duration::from_secs(10);
/// How long the demo waits for news before it looks again by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The programs that are started, each with its first arguments.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The server, which also has the harmless commands of the hosts.
    pub server: PathBuf,
    /// The agent with its first arguments.
    pub agent: Vec<OsString>,
    /// Whether server and agent end with the process that started them, however it ends; then the
    /// agent is the server's program, too.
    pub lifeline: bool,
}

/// How a host is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tests {
    /// By a configured command.
    Command,
    /// By the scripts of the repository.
    Scripts,
}

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What to start.
    pub programs: Programs,
    /// Names of the hosts with agents, and how they are tested.
    pub hosts: Vec<(&'static str, Tests)>,
    /// Where the server listens.
    pub listen: String,
    /// `NIXFLEET_VERSION_FETCH_TTL`.
    pub fetch_ttl: &'static str,
    /// How long the work of a host's command takes.
    pub pace: Duration,
    /// How long to wait for any condition.
    pub patience: Duration,
    /// Whether the folder stays.
    pub keep: bool,
    /// More environment for the server; it overrides the usual one, and an empty value is as
    /// good as none.
    pub server_environment: Vec<(String, String)>,
    /// The same for the agents.
    pub agent_environment: Vec<(String, String)>,
}

/// The world. Everything in it is gone when it is dropped.
#[derive(Debug)]
pub struct World {
    agents: BTreeMap<String, Process>,
    server: Option<Process>,
    live: Option<Live>,
    api: Option<Api>,
    /// The git remote.
    pub upstream: Upstream,
    setup: Setup,
    password: String,
    agent_token: String,
    api_token: String,
    password_hash: String,
    hosts: BTreeMap<String, HostFolder>,
    dispatched: Vec<Started>,
    folder: PathBuf,
    _throw_away: Option<TempDir>,
}

/// A command that the server started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Its id.
    pub id: CommandId,
    /// Its host.
    pub host: String,
    /// What it does.
    pub op: Op,
}

/// Rows that must be seen, by the names of their hosts, each with its situation in words.
pub type Expected = BTreeMap<String, (Row, &'static str)>;

impl World {
    /// Makes the folder, the remote and the hosts; nothing runs yet.
    ///
    /// # Errors
    /// [`DemoError`].
    pub fn create(setup: Setup) -> DemoResult<Self> {
        let throw_away = tempfile::Builder::new()
            .prefix("nixfleet-demo-")
            .tempdir()
            .map_err(DemoError::io("cannot make a folder"))?;
        let folder = throw_away
            .path()
            .canonicalize()
            .map_err(DemoError::io("cannot use the folder"))?;
        let throw_away = if setup.keep {
            let _ = throw_away.keep();
            None
        } else {
            Some(throw_away)
        };
        for name in ["logs", "home", "hosts", "server"] {
            fs::create_dir(folder.join(name)).map_err(DemoError::io("cannot make a folder"))?;
        }
        let names: Vec<&str> = setup.hosts.iter().map(|(name, _)| *name).collect();
        let upstream = Upstream::create(&folder, &names)?;
        let mut hosts = BTreeMap::new();
        for name in names {
            let host = HostFolder::create(folder.join("hosts").join(name))?;
            hosts.insert(name.to_owned(), host);
        }
        let random = |error: &dyn std::fmt::Display| DemoError::Wrong(error.to_string());
        let password = fresh_password().map_err(|error| random(&error))?;
        let password = password.expose_secret().to_owned();
        let hash = PasswordHash::create(&password).map_err(|error| random(&error))?;
        let agent_token = fresh(SecretKind::AgentToken).map_err(|error| random(&error))?;
        Ok(Self {
            agents: BTreeMap::new(),
            server: None,
            live: None,
            api: None,
            upstream,
            setup,
            password,
            agent_token: agent_token.expose_secret().to_owned(),
            api_token: String::new(),
            password_hash: hash.expose().to_owned(),
            hosts,
            dispatched: Vec::new(),
            folder,
            _throw_away: throw_away,
        })
    }

    /// Starts the server, and a client with a session for the live feed. After a kill or a stop it
    /// comes back under the same address with the same data.
    ///
    /// # Errors
    /// [`DemoError`] with the server's last words.
    pub async fn start_server(&mut self) -> DemoResult<()> {
        if self.api_token.is_empty() {
            self.api_token = self.create_token("demo", "admin")?;
        }
        let launch = self.server_launch();
        let mut server = Process::start(&launch)?;
        let before = self.api.as_ref().map(|api| api.origin().to_owned());
        let origin = announced(&mut server, self.setup.patience).await?;
        self.setup.listen = origin.trim_start_matches("http://").to_owned();
        self.server = Some(server);
        let api = Api::new(&origin)?.with_token(&self.api_token);
        until_ready(&api, self.setup.patience).await?;
        if before.as_deref() != Some(origin.as_str()) || self.live.is_none() {
            let session = Api::new(&origin)?.log_in(&self.password).await?;
            self.live = Some(Live::start(session));
        }
        self.api = Some(api);
        Ok(())
    }

    /// Kills the server with SIGKILL.
    pub fn kill_server(&mut self) {
        self.server = None;
    }

    /// Asks the server to end, and waits for it.
    ///
    /// # Errors
    /// [`DemoError::Timeout`].
    pub async fn stop_server(&mut self) -> DemoResult<()> {
        let Some(mut server) = self.server.take() else {
            return Ok(());
        };
        server.terminate();
        server.wait(self.setup.patience).await.map(|_| ())
    }

    /// Starts the agent of a host.
    ///
    /// # Errors
    /// [`DemoError`].
    pub fn start_agent(&mut self, host: &str) -> DemoResult<()> {
        let launch = self.agent_launch(host)?;
        let agent = Process::start(&launch)?;
        self.agents.insert(host.to_owned(), agent);
        Ok(())
    }

    /// Starts the agents of all hosts.
    ///
    /// # Errors
    /// [`DemoError`].
    pub fn start_agents(&mut self) -> DemoResult<()> {
        let names: Vec<String> = self.hosts.keys().cloned().collect();
        names.iter().try_for_each(|name| self.start_agent(name))
    }

    /// Kills the agent of a host with SIGKILL; what it started goes on.
    pub fn kill_agent(&mut self, host: &str) {
        self.agents.remove(host);
    }

    /// Asks the agent of a host to end, and waits for it.
    ///
    /// # Errors
    /// [`DemoError::Timeout`].
    pub async fn stop_agent(&mut self, host: &str) -> DemoResult<()> {
        let Some(mut agent) = self.agents.remove(host) else {
            return Ok(());
        };
        agent.terminate();
        agent.wait(self.setup.patience).await.map(|_| ())
    }

    /// Ends everything, politely first.
    pub async fn shut_down(mut self) {
        self.live = None;
        for agent in self.agents.values() {
            agent.terminate();
        }
        for agent in self.agents.values_mut() {
            // One that does not listen is killed when it is dropped.
            let _ = agent.wait(GOODBYE).await;
        }
        if let Some(server) = &mut self.server {
            server.terminate();
            let _ = server.wait(GOODBYE).await;
        }
    }

    /// The API with an administrator's token.
    ///
    /// # Errors
    /// [`DemoError::Wrong`] before the server was started.
    pub fn api(&self) -> DemoResult<&Api> {
        self.api
            .as_ref()
            .ok_or_else(|| DemoError::Wrong("the server was never started".to_owned()))
    }

    /// What the live replica holds.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.live.as_ref().map(Live::seen).unwrap_or_default()
    }

    /// The password of the dashboard.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The token of the agents.
    #[must_use]
    pub fn agent_token(&self) -> &str {
        &self.agent_token
    }

    /// The folder with everything.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How long to wait for any condition.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.setup.patience
    }

    /// The server's process.
    #[must_use]
    pub fn server(&self) -> Option<&Process> {
        self.server.as_ref()
    }

    /// The process of a host's agent.
    #[must_use]
    pub fn agent(&self, host: &str) -> Option<&Process> {
        self.agents.get(host)
    }

    /// The hosts whose agents were started.
    #[must_use]
    pub fn agent_names(&self) -> Vec<String> {
        self.agents.keys().cloned().collect()
    }

    /// What the world is made of; a change counts for what is started next.
    pub fn setup(&mut self) -> &mut Setup {
        &mut self.setup
    }

    /// A host's folder.
    ///
    /// # Errors
    /// [`DemoError::Wrong`] if there is no such host.
    pub fn host(&self, name: &str) -> DemoResult<&HostFolder> {
        self.hosts
            .get(name)
            .ok_or_else(|| DemoError::Wrong(format!("there is no host {name}")))
    }

    /// Every command that was started through this world.
    #[must_use]
    pub fn dispatched(&self) -> &[Started] {
        &self.dispatched
    }
}

/// The origin that the server prints once it listens.
///
/// # Errors
/// [`DemoError::Timeout`], also if it ended instead, with its last words.
pub async fn announced(server: &mut Process, patience: Duration) -> DemoResult<String> {
    let mut ended = None;
    let listens = || {
        ended = server.ended().ok().flatten();
        let origin = origin_in(&server.output());
        (origin.is_some() || ended.is_some()).then_some(origin)
    };
    let found = until(patience, "the server to listen", listens, String::new).await;
    match found {
        Ok(Some(origin)) => Ok(origin),
        Ok(None) | Err(_) => Err(DemoError::Wrong(format!(
            "the server does not listen ({ended:?})\n{}",
            server.last_words(30)
        ))),
    }
}

fn origin_in(output: &str) -> Option<String> {
    let (_, rest) = output.split_once(" at http://")?;
    let (authority, _) = rest.split_once('/')?;
    Some(format!("http://{authority}"))
}

async fn until_ready(api: &Api, patience: Duration) -> DemoResult<()> {
    let deadline = Instant::now() + patience;
    loop {
        let answer = api.request(http::Method::GET, "/readyz", None).await;
        let seen = match answer {
            Ok(answer) if answer.status.is_success() => return Ok(()),
            Ok(answer) => format!("{} {}", answer.status, answer.body),
            Err(error) => error.to_string(),
        };
        if Instant::now() >= deadline {
            return Err(timeout(patience, "the server to be ready", seen));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
