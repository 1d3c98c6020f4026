//! The whole server, put together: store, fleet, hub, remote, network. `serve` starts it, and so
//! do tests.

mod chores;
mod forge;
mod parts;
mod remote;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nixfleet_core::desired::{FETCH_BUDGET, RemotePolicy};
use nixfleet_core::fleet::{Fleet, FleetConfig};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::agents::Agents;
use crate::clock::Clock;
use crate::config::Config;
use crate::forge::Forge;
use crate::forge::memory::Memory;
use crate::hub::{self, Hub};
use crate::live::{Feed, Snapshots};
use crate::net::{self, Drain, SocketLimits};
use crate::notify::{self, DeliveryLog};
use crate::output::{self, Output};
use crate::perform::Performer;
use crate::persist::{Persist, PersistError, ReadOnly};
use crate::routes::agent_ws::{AgentChannel, REGISTER_WITHIN};
use crate::routes::api::Api;
use crate::routes::browser_ws::LiveChannel;
use crate::routes::idempotency::Idempotency;
use crate::routes::webhooks::Hooks;
use crate::sources::{Poller, Source};
use crate::store::{DataFolder, Store, StoreError};
use crate::telemetry::Telemetry;

/// How long command output is kept.
const KEEP_OUTPUT: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long the first reading of the remote may hold up the start.
const FIRST_READING: Duration = FETCH_BUDGET;

/// What a test may put in the place of the real thing.
#[derive(Default)]
pub struct Replacements {
    /// The journal instead of the database.
    pub journal: Option<Arc<dyn Persist>>,
    /// How long an agent may take to register.
    pub register_within: Option<Duration>,
    /// The forge, instead of a client of the one that is configured.
    pub forge: Option<Arc<dyn Forge>>,
    /// How often and how long it is tried to tell people something.
    pub notify: Option<notify::Rules>,
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
    /// Nobody can be told anything.
    #[error("NIXFLEET_NOTIFY_*")]
    Notify(#[from] notify::NoClient),
    /// The client of the forge cannot be made.
    #[error("NIXFLEET_GITHUB_API_URL")]
    Forge(#[from] crate::forge::NoClient),
}

/// Why the server ended by itself. The process must end with a failure, so that whoever watches it
/// starts it again; the next start goes on from what is on record.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// What was to be done could not be put on record, so it was not done.
    #[error("nothing may be done that is not on record")]
    Journal(#[from] PersistError),
    /// A task of the server panicked.
    #[error("a task of the server failed")]
    Panic(#[from] tokio::task::JoinError),
}

/// A running server.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// The way to its hub.
    pub hub: Hub,
    /// Its feed of changes.
    pub feed: Arc<Feed>,
    /// Its database.
    pub store: Store,
    shutdown: CancellationToken,
    task: JoinHandle<Result<Drain, Fault>>,
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
        let mut snapshot = store.load().await?;
        let intact = parts::is_intact(&store);
        let clock = Clock::not_before(parts::last_moment(&snapshot));
        parts::renew_zones(&mut snapshot, clock.now());

        // 3. The remote is read while the rest is put together.
        let shutdown = CancellationToken::new();
        let polling = CancellationToken::new();
        let (ends, ends_out) = mpsc::unbounded_channel();
        let memory = Memory {
            budgets: store.forge_budgets().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "what the forge said about its limits cannot be read");
                BTreeMap::new()
            }),
            store: Some(Arc::new(store.clone())),
            ends: Some(ends),
        };
        let forge = match replacements.forge {
            Some(forge) => Some(forge),
            None => parts::forge(&config, &clock, memory)?,
        };
        let source = parts::source(&config, forge.as_ref())?;
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
            tests_after_switch: config.updates.tests_after_switch,
            host_driven: config.updates.host_driven,
            offline_notice: Some(config.notify.offline_after),
            updates: parts::update_policy(&config),
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
        let log: Arc<dyn DeliveryLog> = Arc::new(store.clone());
        let channels = notify::channels(&config.notify)?;
        let rules = replacements.notify.unwrap_or_default();
        let (notifier, delivering) =
            notify::start(channels, &log, &clock, rules, Vec::new(), &polling);
        let (calls, calls_out) = mpsc::unbounded_channel();
        let performer = Performer {
            journal,
            agents: agents.clone(),
            feed: feed.clone(),
            output: output.clone(),
            telemetry: telemetry.clone(),
            remote: poller.clone(),
            forge: forge.as_ref().map(|_| calls),
            notifier: notifier.clone(),
            waiting: std::collections::HashMap::new(),
            taken: Vec::new(),
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
        let auth = parts::authentication(&config, &store, clock.clone());
        let snapshots = Arc::new(Snapshots::new(hub.clone()));
        let api = Api {
            auth: auth.clone(),
            hub: hub.clone(),
            snapshots: snapshots.clone(),
            output: output.clone(),
            telemetry: telemetry.clone(),
            clock: clock.clone(),
            store: store.clone(),
            remote: parts::remote_shown(&config, forge.as_ref()),
            idempotency: Idempotency::new(store.clone(), clock.clone()),
            notifier,
        };
        let routes = parts::all_routes(
            &api,
            AgentChannel {
                auth: auth.clone(),
                hub: hub.clone(),
                agents,
                output: output.clone(),
                telemetry: telemetry.clone(),
                clock: clock.clone(),
                limits: SocketLimits::AGENT,
                register_within: replacements.register_within.unwrap_or(REGISTER_WITHIN),
            },
            LiveChannel {
                auth: auth.clone(),
                feed: feed.clone(),
                snapshots,
                limits: SocketLimits::BROWSER,
            },
            parts::readiness(&store, &hub),
            Hooks::new(&config, poller),
        );

        let telling = tokio::spawn(forge::tell_ends(hub.clone(), ends_out, polling.clone()));
        let trying = match &forge {
            Some(forge) => tokio::spawn(forge::try_credentials(forge.clone(), polling.clone())),
            None => tokio::spawn(async {}),
        };
        let asking = match forge {
            Some(forge) => tokio::spawn(forge::ask(forge, hub.clone(), calls_out, polling.clone())),
            None => tokio::spawn(async {}),
        };

        // 6. One reading before anybody is let in: no client sees "not read yet" without need.
        let (first, first_in) = oneshot::channel();
        let keeper = remote::Keeper {
            hub: hub.clone(),
            store: store.clone(),
            clock: clock.clone(),
        };
        let follower = tokio::spawn(remote::follow(keeper, mirror, readings_out, first));
        if remote_configured && tokio::time::timeout(FIRST_READING, first_in).await.is_err() {
            tracing::warn!("the remote has not answered yet; going on without it");
        }

        // 7. Serve.
        let chores = vec![
            follower,
            asking,
            telling,
            trying,
            tokio::spawn({
                let (store, hub, stop) = (store.clone(), hub.clone(), shutdown.clone());
                async move {
                    let work = chores::watch_tokens(&store, &hub);
                    stop.run_until_cancelled(work).await;
                }
            }),
            tokio::spawn(async move {
                // What was not delivered is on record, and tried again after the next start.
                delivering.ended().await;
            }),
            tokio::spawn({
                let (auth, stop) = (auth.clone(), shutdown.clone());
                async move { auth.housekeeping(stop).await }
            }),
            tokio::spawn({
                let (feed, stop) = (feed.clone(), shutdown.clone());
                let telemetry = telemetry.clone();
                async move { feed.run(&telemetry, stop).await }
            }),
            tokio::spawn({
                let (store, stop) = (store.clone(), shutdown.clone());
                async move { chores::record_presence(&store, &telemetry, stop).await }
            }),
            tokio::spawn({
                let (store, stop) = (store.clone(), shutdown.clone());
                async move {
                    let work = chores::look_after(&store, &clock);
                    stop.run_until_cancelled(work).await;
                }
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
            hub,
            feed,
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
    /// [`Fault`] if the server ended by itself.
    pub async fn ended(self) -> Result<Drain, Fault> {
        self.task.await?
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
    mut hub_task: JoinHandle<Result<(), PersistError>>,
    store: Store,
    stops: Stops,
    chores: Vec<JoinHandle<()>>,
) -> Result<Drain, Fault> {
    let mut serving = std::pin::pin!(serving);
    let mut failed = None;
    let drain = tokio::select! {
        drain = &mut serving => drain,
        ended = &mut hub_task => {
            failed = Some(ended);
            tracing::error!("the hub has ended; closing every connection");
            stops.shutdown.cancel();
            serving.await
        }
    };
    stops.polling.cancel();
    stops.hub.cancel();
    let ended = match failed {
        Some(ended) => ended,
        None => hub_task.await,
    };
    for chore in chores {
        chore.await.ok();
    }
    store.close().await;
    ended??;
    Ok(drain)
}
