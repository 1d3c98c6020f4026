//! The whole server, put together: store, fleet, hub, remote, network. `serve` starts it, and so
//! do tests.

mod remote;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nixfleet_core::Timestamp;
use nixfleet_core::desired::{FETCH_BUDGET, RemotePolicy};
use nixfleet_core::fleet::{Fleet, FleetConfig, Snapshot};
use nixfleet_core::host::Presence;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::agents::Agents;
use crate::auth::{Auth, AuthSettings, LoginBudgets};
use crate::clock::Clock;
use crate::config::Config;
use crate::hub::{self, Hub};
use crate::live::{Feed, Snapshots};
use crate::net::{self, Drain, SocketLimits};
use crate::output::{self, Output};
use crate::perform::Performer;
use crate::persist::{Persist, PersistError, ReadOnly};
use crate::routes::agent_ws::{AgentChannel, REGISTER_WITHIN};
use crate::routes::api::Api;
use crate::routes::browser_ws::LiveChannel;
use crate::routes::health::Readiness;
use crate::routes::{self, Route, any_of};
use crate::sources::{GitSource, Limits as SourceLimits, Poller, Source, VersionJsonSource};
use crate::store::{Condition, DataFolder, Store, StoreError};
use crate::telemetry::Telemetry;

/// How long command output is kept.
const KEEP_OUTPUT: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often it is written down when connected hosts were last heard of.
const PRESENCE_EVERY: Duration = Duration::from_secs(30);
/// How long the first reading of the remote may hold up the start.
const FIRST_READING: Duration = FETCH_BUDGET;

/// What a test may put in the place of the real thing.
#[derive(Default)]
pub struct Replacements {
    /// The journal instead of the database.
    pub journal: Option<Arc<dyn Persist>>,
    /// How long an agent may take to register.
    pub register_within: Option<Duration>,
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("NIXFLEET_LISTEN: cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The store cannot be used.
    #[error("cannot open the database")]
    Store(#[from] StoreError),
    /// The folder for output cannot be used.
    #[error("NIXFLEET_DATA_DIR: cannot keep command output")]
    Output(#[source] std::io::Error),
    /// The source of the desired state cannot be used.
    #[error("NIXFLEET_VERSION_URL")]
    Source(#[from] crate::sources::RemoteError),
}

/// A running server.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// The names under which it answers, and whether they are enforced.
    pub auth: Arc<Auth>,
    /// The way to its hub.
    pub hub: Hub,
    /// Its database.
    pub store: Store,
    shutdown: CancellationToken,
    task: JoinHandle<Result<Drain, PersistError>>,
}

impl Server {
    /// Starts everything; when this returns, connections are accepted.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: Config, replacements: Replacements) -> Result<Self, StartError> {
        // 1. The socket first: if the address is taken, the database is not touched.
        let listener = config.listen.bind().await;
        let listen_failed = |source| StartError::Listen {
            address: config.listen.to_string(),
            source,
        };
        let listener = listener.map_err(listen_failed)?;
        let address = listener.local_addr().map_err(listen_failed)?;

        // 2. What was known, and the time, which never runs backwards over a restart.
        let store = Store::open(DataFolder::take(&config.data_dir)?).await?;
        let snapshot = store.load().await?;
        let intact = is_intact(&store);
        let clock = Clock::not_before(last_moment(&snapshot));

        // 3. The remote is read while the rest is put together.
        let shutdown = CancellationToken::new();
        let polling = CancellationToken::new();
        let source = source(&config)?;
        let remote_configured = source.is_some();
        let mirror = source.as_ref().and_then(Source::mirror);
        let (readings, readings_out) = mpsc::channel(1);
        let poller = source.map(|source| {
            let (ttl, clock) = (config.fetch_ttl, clock.clone());
            Poller::start(source, ttl, clock, readings, polling.clone())
        });

        // 4. The fleet and its hub.
        let fleet_config = FleetConfig {
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            agent_version: config.expected_agent_version.clone(),
            remote: RemotePolicy {
                ttl: config.fetch_ttl,
                grace: config.remote_grace,
            },
            remote_configured,
            store_intact: intact,
        };
        let output = Output::open(config.data_dir.join("output")).map_err(StartError::Output)?;
        let output = Arc::new(output);
        for command in &snapshot.commands {
            let active = !command.phase.is_terminal();
            output.note_command(&command.host, command.id, active);
        }
        let (fleet, restored) = Fleet::restore(fleet_config, snapshot, clock.now());
        let feed = Arc::new(Feed::new(fleet.version()));
        let agents = Arc::new(Agents::default());
        let telemetry = Arc::new(Telemetry::default());
        let journal: Arc<dyn Persist> = match (replacements.journal, intact) {
            (Some(journal), _) => journal,
            (None, true) => Arc::new(store.clone()),
            (None, false) => Arc::new(ReadOnly),
        };
        let performer = Performer {
            journal,
            agents: agents.clone(),
            feed: feed.clone(),
            output: output.clone(),
            telemetry: telemetry.clone(),
            remote: poller,
            waiting: std::collections::HashMap::new(),
        };
        let (hub, inbox) = hub::channel();
        let hub_stop = CancellationToken::new();
        let hub_task = tokio::spawn(hub::run(
            fleet,
            restored,
            performer,
            inbox,
            clock.clone(),
            hub_stop.clone(),
        ));

        // 5. Who may come in, and what they find.
        let auth = authentication(&config, &store, clock.clone());
        let snapshots = Arc::new(Snapshots::new(hub.clone()));
        let api = Api {
            auth: auth.clone(),
            hub: hub.clone(),
            snapshots: snapshots.clone(),
            output: output.clone(),
            telemetry: telemetry.clone(),
            clock: clock.clone(),
            remote: config.repo.as_ref().map(|remote| remote.shown().into()),
            idempotency: Arc::default(),
        };
        let routes = all_routes(
            &api,
            AgentChannel {
                auth: auth.clone(),
                hub: hub.clone(),
                agents,
                output: output.clone(),
                telemetry: telemetry.clone(),
                clock,
                limits: SocketLimits::AGENT,
                register_within: replacements.register_within.unwrap_or(REGISTER_WITHIN),
            },
            LiveChannel {
                auth: auth.clone(),
                feed: feed.clone(),
                snapshots,
                limits: SocketLimits::BROWSER,
            },
            readiness(&store, &hub),
        );

        // 6. One reading before anybody is let in: no client sees "not read yet" without need.
        let (first, first_in) = oneshot::channel();
        let follower = tokio::spawn(remote::follow(hub.clone(), mirror, readings_out, first));
        if remote_configured && tokio::time::timeout(FIRST_READING, first_in).await.is_err() {
            tracing::warn!("the remote has not answered yet; going on without it");
        }

        // 7. Serve.
        let chores = vec![
            follower,
            tokio::spawn({
                let (auth, stop) = (auth.clone(), shutdown.clone());
                async move { auth.housekeeping(stop).await }
            }),
            tokio::spawn({
                let stop = shutdown.clone();
                let telemetry = telemetry.clone();
                async move { feed.run(&telemetry, stop).await }
            }),
            tokio::spawn({
                let (store, stop) = (store.clone(), shutdown.clone());
                async move { record_presence(&store, &telemetry, stop).await }
            }),
            tokio::spawn({
                let stop = shutdown.clone();
                async move {
                    let work = output::housekeeping(output, KEEP_OUTPUT);
                    stop.run_until_cancelled(work).await;
                }
            }),
        ];
        let task = tokio::spawn(run(
            net::serve(
                listener,
                routes,
                config.site,
                config.limits,
                shutdown.clone(),
            ),
            hub_task,
            store.clone(),
            Stops {
                shutdown: shutdown.clone(),
                polling,
                hub: hub_stop,
            },
            chores,
        ));
        Ok(Self {
            address,
            auth,
            hub,
            store,
            shutdown,
            task,
        })
    }

    /// Cancel it to stop the server.
    #[must_use]
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// [`PersistError`] if the journal could not be written: the process must end with a failure, so
    /// that whoever watches it starts it again.
    pub async fn ended(self) -> Result<Drain, PersistError> {
        self.task.await.map_err(PersistError::new)?
    }
}

/// What ends what, in the order in which it is cancelled.
struct Stops {
    shutdown: CancellationToken,
    polling: CancellationToken,
    hub: CancellationToken,
}

/// Serves until somebody cancels, or the hub fails. The hub ends last: what agents and clients
/// said before their connections closed is still taken in.
async fn run(
    serving: impl Future<Output = Drain>,
    hub_task: JoinHandle<Result<(), PersistError>>,
    store: Store,
    stops: Stops,
    chores: Vec<JoinHandle<()>>,
) -> Result<Drain, PersistError> {
    let mut hub_task = hub_task;
    let mut serving = std::pin::pin!(serving);
    let mut failed = None;
    let drain = tokio::select! {
        drain = &mut serving => drain,
        ended = &mut hub_task => {
            failed = Some(ended.map_err(PersistError::new).flatten());
            tracing::error!("the hub has ended; closing every connection");
            stops.shutdown.cancel();
            serving.await
        }
    };
    stops.polling.cancel();
    stops.hub.cancel();
    let outcome = match failed {
        Some(outcome) => outcome,
        None => hub_task.await.map_err(PersistError::new).flatten(),
    };
    for chore in chores {
        chore.await.ok();
    }
    store.close().await;
    outcome.map(|()| drain)
}

fn all_routes(api: &Api, agents: AgentChannel, live: LiveChannel, readiness: Readiness) -> Route {
    let auth = &api.auth;
    any_of([
        routes::agent_ws::routes(agents),
        routes::browser_ws::routes(live),
        routes::assets::page(auth),
        routes::assets::routes(),
        routes::auth::routes(auth),
        routes::hosts::routes(api),
        routes::commands::routes(api),
        routes::tables::routes(auth),
        routes::compat::routes(api),
        routes::health::routes(readiness),
    ])
}

fn authentication(config: &Config, store: &Store, clock: Clock) -> Arc<Auth> {
    let settings = AuthSettings {
        password: config.password.clone(),
        agent_token: config.agent_token.clone(),
        site: config.site.clone(),
        budgets: LoginBudgets::default(),
    };
    Arc::new(Auth::new(settings, Arc::new(store.clone()), clock))
}

fn readiness(store: &Store, hub: &Hub) -> Readiness {
    let (store, hub) = (store.clone(), hub.clone());
    Readiness::new()
        .with("store", move || {
            let condition = store.condition();
            async move {
                match condition {
                    Condition::Sound => Ok(()),
                    Condition::Damaged(what) => Err(what),
                }
            }
        })
        .with("hub", move || {
            let hub = hub.clone();
            async move { hub.ask(|_| ()).await.map_err(|gone| gone.to_string()) }
        })
}

fn is_intact(store: &Store) -> bool {
    match store.condition() {
        Condition::Sound => true,
        Condition::Damaged(what) => {
            tracing::error!(
                what,
                "the database is damaged; nothing is written and no command is taken until it is \
                 restored"
            );
            false
        }
    }
}

/// The configured source of the desired state. A repository goes before a page.
fn source(config: &Config) -> Result<Option<Source>, StartError> {
    if let Some(remote) = &config.repo {
        let folder = config.data_dir.join("mirror");
        let limits = SourceLimits::default();
        let source = GitSource::new(remote.clone(), config.branch.clone(), folder, limits);
        return Ok(Some(Source::Git(Box::new(source))));
    }
    match &config.version_url {
        Some(url) => {
            let source = VersionJsonSource::new(url.as_str())?;
            Ok(Some(Source::VersionJson(Box::new(source))))
        }
        None => {
            tracing::warn!(
                "no repository is configured, so nothing will be green; set NIXFLEET_REPO to a git \
                 URL or path, or NIXFLEET_VERSION_URL to a published version.json"
            );
            Ok(None)
        }
    }
}

/// The latest moment that anything stored speaks of.
fn last_moment(snapshot: &Snapshot) -> Timestamp {
    let hosts = snapshot.hosts.iter().map(|host| match host.presence {
        Presence::Offline { since } => since.max(host.added),
        Presence::Online | Presence::NeverSeen => host.added,
    });
    let commands = snapshot.commands.iter().map(|command| command.latest);
    let events = snapshot.events.iter().map(|event| event.at);
    let remote = snapshot
        .remote
        .iter()
        .filter_map(|watch| watch.verified_at());
    let all = hosts.chain(commands).chain(events).chain(remote);
    all.max().unwrap_or(Timestamp::EPOCH)
}

/// Writes down from time to time when hosts were last heard of, and once more at the end.
async fn record_presence(store: &Store, telemetry: &Telemetry, stop: CancellationToken) {
    let mut recorded = std::collections::BTreeMap::new();
    loop {
        let stopping = stop
            .run_until_cancelled(tokio::time::sleep(PRESENCE_EVERY))
            .await
            .is_none();
        let heard: Vec<_> = telemetry
            .all()
            .into_iter()
            .map(|row| (row.id, row.last_seen))
            .filter(|(host, at)| recorded.get(host) != Some(at))
            .collect();
        if store.condition() == Condition::Sound {
            match store.record_presence(&heard).await {
                Ok(()) => recorded.extend(heard),
                Err(error) => tracing::warn!(%error, "presence could not be written down"),
            }
        }
        if stopping {
            return;
        }
    }
}
