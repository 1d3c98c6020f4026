//! Carries out what the core wants done, in order.

mod convert;
mod jobs;
mod observer;
mod order;
mod task;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nixfleet_core::agent::{AgentEffect, AgentObservation, Journal, JournalEntry};
use nixfleet_core::{CommandId, Op};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::{Instant, timeout};

pub use observer::Lookout;

use crate::config::Config;
use crate::eventloop::Input;
use crate::exec::{JobState, Launcher};
use crate::journal::{JournalError, JournalStore};
use crate::link::{self, LinkEvent, LinkSettings, Outbound};
use crate::observe::Occasion;
use jobs::{Jobs, Surroundings};

/// How long a heartbeat waits for a fresh look at the host before it repeats the last one.
const LOOK_PATIENCE: Duration = Duration::from_millis(500);
/// The same for a registration, for which the server waits 10 s.
const FIRST_LOOK_PATIENCE: Duration = Duration::from_secs(8);
/// For so long the journal is tried again, for instance because the disk is full.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(20);
const JOURNAL_RETRY: Duration = Duration::from_millis(500);

/// What the loop must do after an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Go on.
    GoOn,
    /// Come to an end and start anew.
    Restart,
}

/// What effects are carried out with.
pub struct Performer {
    journal: Option<JournalStore>,
    jobs: Jobs,
    link: LinkSettings,
    lookout: Lookout,
    looking: Arc<AtomicBool>,
    outbound: Outbound,
    inputs: mpsc::Sender<Input>,
    launcher: Launcher,
    connection: u64,
    link_task: Option<AbortHandle>,
}

impl Performer {
    /// Nothing is carried out yet.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        exe: PathBuf,
        journal: JournalStore,
        launcher: Launcher,
        lookout: Lookout,
        inputs: mpsc::Sender<Input>,
    ) -> Self {
        let outbound = Outbound::new();
        let link = LinkSettings {
            server: config.server.clone(),
            token: config.token.clone(),
            ca_file: config.ca_file.clone(),
        };
        let jobs = Jobs::new(Surroundings {
            config,
            exe,
            launcher: launcher.clone(),
            lookout: lookout.clone(),
            outbound: outbound.clone(),
            inputs: inputs.clone(),
        });
        Self {
            journal: Some(journal),
            jobs,
            link,
            lookout,
            looking: Arc::default(),
            outbound,
            inputs,
            launcher,
            connection: 0,
            link_task: None,
        }
    }

    /// Carries out one effect; returns when the next one may follow. `journal` is the core's, with
    /// everything applied.
    ///
    /// # Errors
    /// [`JournalError`]: the step is not durable, so nothing after it may be done.
    pub async fn perform(
        &mut self,
        effect: AgentEffect,
        journal: &Journal,
    ) -> Result<Next, JournalError> {
        match effect {
            AgentEffect::Journal(entry) => self.write_down(entry).await?,
            AgentEffect::Spawn {
                command,
                op,
                args,
                target,
            } => self.jobs.start(command, op, args, target, journal),
            AgentEffect::Attach { command, op } => self.jobs.attach(command, op),
            AgentEffect::Terminate(command) => self.jobs.terminate(command),
            AgentEffect::Kill(command) => self.jobs.kill(command),
            AgentEffect::Send(frame) => {
                if let Err(error) = self.outbound.send(&frame) {
                    tracing::warn!(%error, "closing the connection");
                    self.cut();
                }
            }
            AgentEffect::Observe => self.look(),
            AgentEffect::Connect => self.connect(),
            AgentEffect::Close => self.outbound.close(),
            AgentEffect::RestartSelf => return Ok(Next::Restart),
            AgentEffect::Reboot(command) => {
                let (args, target) = Default::default();
                self.jobs.start(command, Op::Reboot, args, target, journal);
            }
        }
        Ok(Next::GoOn)
    }

    /// The number of the connection that counts; what others tell is old.
    #[must_use]
    pub fn connection(&self) -> u64 {
        self.connection
    }

    /// Says whether the server has answered the registration.
    pub fn set_registered(&self, registered: bool) {
        self.outbound.set_registered(registered);
    }

    /// Closes the connection once everything that waits is sent.
    pub fn close(&self) {
        self.outbound.close();
    }

    /// The connection is up: looks at the host, then tells the loop.
    pub fn opened(&self) {
        let (lookout, inputs, connection) =
            (self.lookout.clone(), self.inputs.clone(), self.connection);
        tokio::spawn(async move {
            let look = lookout.look(Occasion::Closely);
            tokio::pin!(look);
            let seen = timeout(FIRST_LOOK_PATIENCE, &mut look).await;
            let ready = |seen| Input::Ready { connection, seen };
            if let Ok(seen) = seen {
                let _ = inputs.send(ready(seen)).await;
                return;
            }
            let _ = inputs.send(ready(None)).await;
            let _ = inputs.send(Input::Seen(look.await)).await;
        });
    }

    /// Removes the records of commands that are over and done with; none of a journal that no
    /// longer knows them all.
    pub fn sweep(&self, journal: &Journal) {
        if journal.damaged {
            return;
        }
        let open: Vec<CommandId> = journal.unfinished().into_iter().map(|(id, _)| id).collect();
        let launcher = self.launcher.clone();
        tokio::task::spawn_blocking(move || {
            for id in launcher.list().unwrap_or_default() {
                if !open.contains(&id) {
                    forget(&launcher, id);
                }
            }
        });
    }

    /// Compacts the journal when it has grown. Only between the effects of two inputs, when
    /// everything in `journal` is on disk.
    pub async fn tidy(&mut self, journal: &Journal) {
        let Some(mut store) = self.journal.take_if(|store| store.is_large()) else {
            return;
        };
        let journal = journal.clone();
        let compacted = spawn_blocking(move || {
            if let Err(error) = store.compact(&journal) {
                tracing::warn!(%error, "the journal could not be compacted");
            }
            store
        });
        self.journal = compacted.await.ok();
    }

    /// A command ended.
    pub fn ended(&mut self, id: CommandId) {
        self.jobs.ended(id);
    }

    async fn write_down(&mut self, entry: JournalEntry) -> Result<(), JournalError> {
        let Some(mut store) = self.journal.take() else {
            return Err(JournalError::lost());
        };
        let confirmed = match &entry {
            JournalEntry::Confirmed { command } => Some(*command),
            JournalEntry::Intent { .. }
            | JournalEntry::Refused { .. }
            | JournalEntry::Finished { .. } => None,
        };
        // On a thread of its own: a disk may take seconds, and meanwhile pings, output and the
        // signals to processes must go on. Later effects wait all the same.
        let written = spawn_blocking(move || {
            let done = append(&mut store, &entry);
            (store, done)
        });
        let Ok((store, done)) = written.await else {
            // Only a panic in there; without the store nothing can be started any more.
            return Err(JournalError::lost());
        };
        self.journal = Some(store);
        done?;
        if let Some(id) = confirmed {
            let launcher = self.launcher.clone();
            spawn_blocking(move || forget(&launcher, id));
        }
        Ok(())
    }

    fn look(&self) {
        let inputs = self.inputs.clone();
        if self.looking.swap(true, Ordering::Relaxed) {
            // Never two looks at a time: the heartbeat repeats what is known.
            tokio::spawn(async move { inputs.send(Input::Seen(None)).await });
            return;
        }
        let (lookout, looking) = (self.lookout.clone(), Arc::clone(&self.looking));
        tokio::spawn(async move {
            let look = lookout.look(Occasion::Heartbeat);
            tokio::pin!(look);
            match timeout(LOOK_PATIENCE, &mut look).await {
                Ok(seen) => drop(inputs.send(Input::Seen(seen)).await),
                Err(_) => {
                    let _ = inputs.send(Input::Seen(None)).await;
                    let late: Option<AgentObservation> = look.await;
                    let _ = inputs.send(Input::Seen(late)).await;
                }
            }
            looking.store(false, Ordering::Relaxed);
        });
    }

    fn connect(&mut self) {
        self.connection += 1;
        let connection = self.connection;
        self.outbound.open(connection);
        let inputs = self.inputs.clone();
        let tell = move |event: LinkEvent| {
            let inputs = inputs.clone();
            async move {
                let _ = inputs.send(Input::Link { connection, event }).await;
            }
        };
        let outbound = self.outbound.clone();
        let task = tokio::spawn(link::run(self.link.clone(), outbound, connection, tell));
        self.link_task = Some(task.abort_handle());
    }

    /// Ends the connection without waiting for what cannot be sent.
    fn cut(&mut self) {
        let connection = self.connection;
        self.outbound.open(0);
        if let Some(task) = self.link_task.take() {
            task.abort();
        }
        let inputs = self.inputs.clone();
        let event = LinkEvent::Ended(link::LinkEnd::Lost("it takes no more frames".to_owned()));
        tokio::spawn(async move { inputs.send(Input::Link { connection, event }).await });
    }
}

fn append(store: &mut JournalStore, entry: &JournalEntry) -> Result<(), JournalError> {
    let deadline = Instant::now() + JOURNAL_PATIENCE;
    loop {
        match store.append(entry) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "the journal cannot be written; trying again");
                std::thread::sleep(JOURNAL_RETRY);
            }
        }
    }
}

/// Only for a command that can never start again: its number is at or below the high-water mark.
fn forget(launcher: &Launcher, id: CommandId) {
    if matches!(
        launcher.state(id),
        Ok(JobState::Running | JobState::Unclaimed)
    ) {
        return;
    }
    if let Err(error) = launcher.forget(id) {
        tracing::debug!(command = %id, %error, "the record of a command stays");
    }
}
