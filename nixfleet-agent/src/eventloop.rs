//! The running agent: one loop that takes what happened, asks the core what to do about it, and
//! does it.
//!
//! 1. Do what the core wants, in order.
//! 2. Write down how things are, for `status`.
//! 3. Sleep until something happens or the core's next deadline.
//! 4. Hand it to the core.
//!
//! Everything that takes time (connection, looks at the host, commands) is a task of its own that
//! ends in an [`Input`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nixfleet_core::CommandId;
use nixfleet_core::agent::{
    AgentConfig, AgentCore, AgentEffect, AgentInput, AgentObservation, JobExit, JobReport,
};
use nixfleet_core::order::ServerOrder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::config::{Config, Repo};
use crate::exec::{Detach, ExecError, Launcher};
use crate::journal::{JournalError, JournalStore};
use crate::link::{LinkEnd, LinkEvent};
use crate::observe::{Binary, Observer, identity};
use crate::perform::{Lookout, Next, Performer};
use crate::state::{StateError, StateLock};
use crate::status::{Connection, Reporter};

/// Inputs that wait at most; whoever has more waits, too.
const MOST_INPUTS: usize = 256;
/// For the last frames to leave when the agent ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// Everything that can happen to the agent.
#[derive(Debug)]
pub enum Input {
    /// Something happened on a connection.
    Link {
        /// Its number.
        connection: u64,
        /// What.
        event: LinkEvent,
    },
    /// A connection is up and the host was looked at (`None`: that takes longer).
    Ready {
        /// Its number.
        connection: u64,
        /// What was seen.
        seen: Option<AgentObservation>,
    },
    /// The host was looked at (`None`: it is as it was, as far as is known).
    Seen(Option<AgentObservation>),
    /// A command has something to tell.
    Core(AgentInput),
}

/// Why the agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another agent does.
    #[error(transparent)]
    State(#[from] StateError),
    /// The journal cannot be used.
    #[error("the journal cannot be used: {0}")]
    Journal(#[from] JournalError),
    /// The folder of the jobs cannot be used.
    #[error(transparent)]
    Jobs(#[from] ExecError),
    /// The system refused something basic.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// An identity of this host does not fit the protocol.
    #[error("the {0} of this host is no word of at most 128 letters, digits, '.', '_' or '-'")]
    Identity(&'static str),
}

/// How the agent came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By a signal: commands run on and are found again by the next agent.
    Stopped,
    /// By a `restart` command: a new process must follow.
    Restart,
}

/// Runs the agent until a signal or a `restart` command. `binary` is this program.
///
/// # Errors
/// [`RunError`]; the message says what to do.
pub async fn run(config: Config, binary: Binary) -> Result<Ended, RunError> {
    let system = |what| move |source| RunError::System { what, source };
    let lock = StateLock::take(&config.state_dir)?;
    let (store, journal) = JournalStore::open(&config.state_dir)?;
    let jobs = config.state_dir.join("jobs");
    let launcher = Launcher::new(binary.path.clone(), jobs, Detach::detect(config.platform))?;
    let clock = Clock::start();
    let reporter = Reporter::start(&config, clock.now());
    let agent = agent_config(&config)?;
    tracing::info!(
        host = %config.hostname,
        server = %config.server,
        state = %config.state_dir.display(),
        "the agent starts"
    );
    let config = Arc::new(config);
    let lookout = Lookout::start(Observer::new(&config), binary.clone())
        .map_err(system("no thread can be started"))?;
    let (sender, inputs) = mpsc::channel(MOST_INPUTS);
    let exe: PathBuf = binary.path;
    let performer = Performer::new(config, exe, store, launcher, lookout, sender);
    performer.sweep(&journal);
    let (core, effects) = AgentCore::start(agent, journal, clock.now());
    let signals = Signals::new().map_err(system("signals cannot be received"))?;
    let ended = Loop {
        core,
        performer,
        inputs,
        signals,
        clock,
        reporter,
        last: AgentObservation::default(),
    }
    .run(effects)
    .await;
    drop(lock);
    ended
}

struct Loop {
    core: AgentCore,
    performer: Performer,
    inputs: mpsc::Receiver<Input>,
    signals: Signals,
    clock: Clock,
    reporter: Reporter,
    /// What was seen last, for a heartbeat that cannot wait for a new look.
    last: AgentObservation,
}

impl Loop {
    async fn run(mut self, mut effects: Vec<AgentEffect>) -> Result<Ended, RunError> {
        let ended = loop {
            // 1. Do what the core wants.
            match self.perform(std::mem::take(&mut effects)).await {
                Ok(Next::GoOn) => {}
                Ok(Next::Restart) => break Ok(Ended::Restart),
                Err(error) => break Err(error.into()),
            }
            // 2. Write down how things are.
            let registered = self.core.is_registered();
            self.performer.set_registered(registered);
            let (running, now) = (self.core.running(), self.clock.now());
            self.reporter
                .now(registered, running, &self.last.system, now);
            // 3. Sleep until something happens.
            let sleep = sleep(self.until_deadline());
            let next = tokio::select! {
                () = self.signals.received() => break Ok(Ended::Stopped),
                input = self.inputs.recv() => input,
                () = sleep => None,
            };
            // 4. Hand it to the core.
            effects = match next {
                Some(input) => self.take(input),
                None => self.core.handle_timeout(self.clock.now()),
            };
        };
        self.say_goodbye().await;
        self.reporter.stopped(self.clock.now()).await;
        // Who stops the agent while it is on its way to a restart does not want another one.
        if matches!(ended, Ok(Ended::Restart)) && self.signals.pending().await {
            return Ok(Ended::Stopped);
        }
        ended
    }

    async fn perform(&mut self, effects: Vec<AgentEffect>) -> Result<Next, JournalError> {
        for effect in effects {
            let journal = self.core.journal();
            if self.performer.perform(effect, journal).await? == Next::Restart {
                return Ok(Next::Restart);
            }
        }
        self.performer.tidy(self.core.journal()).await;
        Ok(Next::GoOn)
    }

    fn until_deadline(&self) -> Duration {
        match self.core.poll_timeout() {
            Some(deadline) => deadline.since(self.clock.now()),
            None => Duration::from_secs(3600),
        }
    }

    fn take(&mut self, input: Input) -> Vec<AgentEffect> {
        let now = self.clock.now();
        let current = self.performer.connection();
        let input = match input {
            Input::Link { connection, .. } | Input::Ready { connection, .. }
                if connection != current =>
            {
                return self.core.handle_timeout(now);
            }
            Input::Link { event, .. } => match self.event(event) {
                Some(input) => input,
                None => return self.core.handle_timeout(now),
            },
            Input::Ready { seen, .. } => AgentInput::Connected(self.known(seen)),
            Input::Seen(seen) => AgentInput::Observed(self.known(seen)),
            Input::Core(input) => {
                if let AgentInput::JobFinished { command, report } = &input {
                    self.last = report.after.clone();
                    self.performer.ended(*command);
                    told(*command, report);
                }
                input
            }
        };
        self.core.handle(input, now)
    }

    fn event(&mut self, event: LinkEvent) -> Option<AgentInput> {
        match event {
            LinkEvent::Opened => {
                self.performer.opened();
                None
            }
            LinkEvent::Order(order) => {
                if let Ok(ServerOrder::Registered(_)) = &*order {
                    tracing::info!("connected and registered");
                }
                if let Err(error) = &*order {
                    tracing::warn!(%error, "a message of the server was not understood");
                }
                Some(AgentInput::Order {
                    order: *order,
                    fresh_id: fresh_id(),
                })
            }
            LinkEvent::Ended(end) => {
                self.report_end(&end);
                Some(AgentInput::Disconnected)
            }
        }
    }

    fn report_end(&mut self, end: &LinkEnd) {
        let text = end.to_string();
        // The same complaint every minute would drown everything else.
        if self.reporter.is_news(&text) {
            tracing::warn!("no connection: {text}");
        } else {
            tracing::debug!("no connection: {text}");
        }
        self.reporter.failed(text, self.clock.now());
    }

    fn known(&mut self, seen: Option<AgentObservation>) -> AgentObservation {
        if let Some(seen) = seen {
            self.last = seen;
        }
        self.last.clone()
    }

    /// Sends what waits and closes the connection. Commands run on; nothing of them is in memory
    /// only.
    async fn say_goodbye(&mut self) {
        let connection = self.performer.connection();
        self.performer.close();
        if self.reporter.connection() == Connection::Disconnected {
            return;
        }
        let closed = async {
            while let Some(input) = self.inputs.recv().await {
                if let Input::Link {
                    connection: of,
                    event: LinkEvent::Ended(_),
                } = input
                    && of == connection
                {
                    return;
                }
            }
        };
        let _ = timeout(FAREWELL, closed).await;
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("SIGTERM: the agent stops; commands run on"),
            _ = self.interrupt.recv() => tracing::info!("SIGINT: the agent stops; commands run on"),
        }
    }

    /// Whether one has come that nobody has taken yet.
    async fn pending(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.received() => true,
            () = std::future::ready(()) => false,
        }
    }
}

fn fresh_id() -> CommandId {
    CommandId::from_bytes(uuid::Uuid::now_v7().into_bytes())
}

fn agent_config(config: &Config) -> Result<AgentConfig, RunError> {
    let token = |text: Option<String>, what| {
        text.map(|text| text.parse().map_err(|_| RunError::Identity(what)))
            .transpose()
    };
    let instance = uuid::Uuid::new_v4();
    Ok(AgentConfig {
        host: config.hostname.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host_type: config.platform.host_type().to_owned(),
        os_version: identity::os_version(),
        location: config.labels.location.clone(),
        device_type: config.labels.device_type.clone(),
        theme_color: config.labels.theme_color.clone(),
        repo_url: match &config.repo {
            Repo::Isolated { url, .. } => Some(url.as_str().to_owned()),
            Repo::Existing { .. } => None,
        },
        repo_dir: Some(config.repo.dir().display().to_string()),
        interval: config.interval,
        flake_updates: config.updates.told(),
        instance_id: instance
            .to_string()
            .parse()
            .map_err(|_| RunError::Identity("instance id"))?,
        boot_id: token(identity::boot_id(), "boot id")?,
        machine_id_hash: token(identity::machine_id_hash(), "machine id")?,
        seed: instance.as_u64_pair().1,
    })
}

/// The end of a command for the log, with what it complained about.
fn told(command: CommandId, report: &JobReport) {
    if matches!(report.exit, JobExit::Code(0)) {
        tracing::info!(%command, "the command ended well");
        return;
    }
    let message = report.message.as_deref().unwrap_or_default();
    tracing::warn!(%command, exit = ?report.exit, "the command failed: {message}");
}
