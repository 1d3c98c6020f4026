//! The hub: one task owns the fleet. Everybody else submits and is answered.
//!
//! Operators come before agents. What one batch changes is durable before any of it is sent,
//! published or answered; if it cannot be made durable, the hub ends and nothing of it happened.

use std::time::Duration;

use nixfleet_core::Timestamp;
use nixfleet_core::fleet::{Effect, Fleet, Input, Record, Reply, Request, RequestId};
use nixfleet_core::host::{Actor, Update};
use nixfleet_core::report::AgentReport;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::keyed::{KeyedRequest, Taken};
use crate::perform::Performer;
use crate::persist::PersistError;

const FIRST_QUEUE: usize = 256;
const AGENT_QUEUE: usize = 4096;
/// Inputs of either queue that are handled before their effects are performed together.
const FIRST_BATCH: usize = 64;
const AGENT_BATCH: usize = 256;
/// How often what rises by itself (when the remote was last verified) is written down.
const FLUSH_EVERY: Duration = Duration::from_secs(30);
/// The longest sleep; time is looked at again then, whatever the timers say.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// The hub has ended; the server is going down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server is going down")]
pub struct HubGone;

/// The way to the hub; cheap to clone.
#[derive(Clone)]
pub struct Hub {
    first: mpsc::Sender<First>,
    agents: mpsc::Sender<Input>,
}

/// What is noted of a reply; nothing, if nothing was done.
pub type Note = fn(&Reply) -> Option<String>;

type Question = Box<dyn FnOnce(&Fleet) + Send>;

/// What goes before the reports of agents.
enum First {
    Request {
        actor: Actor,
        /// The address the request came from.
        peer: Option<String>,
        request: Request,
        /// Its key, and what is noted of a reply that says that something was done.
        keyed: Option<(KeyedRequest, Note)>,
        reply: oneshot::Sender<Reply>,
    },
    Input(Input),
    Ask(Question),
}

/// The hub's end of its queues.
pub struct Inbox {
    first: mpsc::Receiver<First>,
    agents: mpsc::Receiver<Input>,
}

/// A hub and its inbox.
#[must_use]
pub fn channel() -> (Hub, Inbox) {
    let (first, first_out) = mpsc::channel(FIRST_QUEUE);
    let (agents, agents_out) = mpsc::channel(AGENT_QUEUE);
    let inbox = Inbox {
        first: first_out,
        agents: agents_out,
    };
    (Hub { first, agents }, inbox)
}

impl Hub {
    /// Submits a request of a client and waits for its answer, which comes after everything the
    /// request changed is durable.
    ///
    /// # Errors
    /// [`HubGone`]; then nothing may have happened.
    pub async fn request(&self, actor: Actor, request: Request) -> Result<Reply, HubGone> {
        self.request_from(actor, None, request, None).await
    }

    /// The same for a client at an address, which is kept in the audit trail; with a key, that it
    /// was carried out is on record together with what it changed.
    ///
    /// # Errors
    /// As [`Hub::request`].
    pub async fn request_from(
        &self,
        actor: Actor,
        peer: Option<String>,
        request: Request,
        keyed: Option<(KeyedRequest, Note)>,
    ) -> Result<Reply, HubGone> {
        let (reply, answer) = oneshot::channel();
        let request = First::Request {
            actor,
            peer,
            request,
            keyed,
            reply,
        };
        self.first.send(request).await.map_err(|_| HubGone)?;
        answer.await.map_err(|_| HubGone)
    }

    /// Looks at the fleet; what it sees is durable.
    ///
    /// # Errors
    /// [`HubGone`].
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Fleet) -> T + Send + 'static,
    ) -> Result<T, HubGone> {
        let (sender, answer) = oneshot::channel();
        let ask: Question = Box::new(move |fleet| {
            sender.send(question(fleet)).ok();
        });
        self.first
            .send(First::Ask(ask))
            .await
            .map_err(|_| HubGone)?;
        answer.await.map_err(|_| HubGone)
    }

    /// Submits something that concerns everybody, like a reading of the remote.
    ///
    /// # Errors
    /// [`HubGone`].
    pub async fn submit(&self, input: Input) -> Result<(), HubGone> {
        let input = First::Input(input);
        self.first.send(input).await.map_err(|_| HubGone)
    }

    /// Submits what came from an agent. A sign of life that the next one replaces is dropped when
    /// the queue is full; everything else waits.
    ///
    /// # Errors
    /// [`HubGone`].
    pub async fn agent(&self, input: Input) -> Result<(), HubGone> {
        if !is_replaceable(&input) {
            return self.agents.send(input).await.map_err(|_| HubGone);
        }
        match self.agents.try_send(input) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                tracing::debug!("the hub is busy; a heartbeat was left out");
                Ok(())
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(HubGone),
        }
    }
}

/// A heartbeat, unless it carries what is only said when it changes.
fn is_replaceable(input: &Input) -> bool {
    let Input::Agent {
        report: AgentReport::Heartbeat(beat),
        ..
    } = input
    else {
        return false;
    };
    beat.facts.generations == Update::Unchanged
}

/// Runs the hub until `stop`, or until the journal cannot be written.
///
/// # Errors
/// [`PersistError`]: of the last batch nothing was stored, sent, published or answered. The process
/// must end; a restart goes on from the journal.
pub async fn run(
    mut fleet: Fleet,
    restored: Vec<Effect>,
    mut performer: Performer,
    mut inbox: Inbox,
    clock: Clock,
    stop: CancellationToken,
) -> Result<(), PersistError> {
    let mut effects = restored;
    let mut questions: Vec<Question> = Vec::new();
    let mut flush_at = Instant::now() + FLUSH_EVERY;
    let mut flushed: Option<Timestamp> = None;
    let mut next_request: u64 = 0;
    loop {
        // 1. Perform: store, then send, then publish, then answer. What could not be sent is news.
        while !effects.is_empty() {
            let failed = performer.perform(std::mem::take(&mut effects)).await?;
            for input in failed {
                effects.extend(fleet.handle(input, clock.now()));
            }
        }
        for question in questions.drain(..) {
            question(&fleet);
        }

        // 2. Sleep until something arrives, a timer is due, or it is time to flush.
        let wake_at = wake_at(&fleet, clock.now()).min(flush_at);
        let arrived = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            first = inbox.first.recv() => first,
            input = inbox.agents.recv() => input.map(First::Input),
            () = sleep_until(wake_at) => None,
        };

        // 3. Drain a batch, operators first, and handle each.
        for message in arrived.into_iter().chain(inbox.drain()) {
            match message {
                First::Input(input) => effects.extend(fleet.handle(input, clock.now())),
                First::Ask(question) => questions.push(question),
                First::Request {
                    actor,
                    peer,
                    request,
                    keyed,
                    reply,
                } => {
                    next_request += 1;
                    let id = RequestId(next_request);
                    performer.expect(id, reply);
                    let asker = actor.clone();
                    let input = Input::Request { id, actor, request };
                    let mut caused = fleet.handle(input, clock.now());
                    name_peer(&mut caused, &asker, peer.as_deref());
                    performer.taken.extend(taken(&caused, id, keyed));
                    effects.extend(caused);
                }
            }
        }

        // 4. Whatever is due.
        effects.extend(fleet.handle_timeout(clock.now()));
        if Instant::now() >= flush_at {
            flush_at = Instant::now() + FLUSH_EVERY;
            let verified = fleet.remote().verified_at();
            if verified != flushed {
                flushed = verified;
                let record = Record::Remote(fleet.remote().clone());
                effects.push(Effect::Persist(Box::new(record)));
            }
        }
    }

    // 5. The end: what was taken in is still performed.
    performer.perform(effects).await?;
    Ok(())
}

impl Inbox {
    /// What has arrived, up to the size of a batch: operators first, and never only operators.
    fn drain(&mut self) -> Vec<First> {
        let mut batch = Vec::new();
        while batch.len() < FIRST_BATCH {
            let Ok(first) = self.first.try_recv() else {
                break;
            };
            batch.push(first);
        }
        for _ in 0..AGENT_BATCH {
            let Ok(input) = self.agents.try_recv() else {
                break;
            };
            batch.push(First::Input(input));
        }
        batch
    }
}

/// Adds to the audit rows of a request from where it came.
fn name_peer(effects: &mut [Effect], asker: &Actor, peer: Option<&str>) {
    for effect in effects {
        let Effect::Persist(record) = effect else {
            continue;
        };
        if let Record::Audit(row) = &mut **record
            && row.actor == *asker
        {
            row.peer = peer.map(str::to_owned);
        }
    }
}

/// That a keyed request was carried out, if it was.
fn taken(effects: &[Effect], id: RequestId, keyed: Option<(KeyedRequest, Note)>) -> Option<Taken> {
    let (keyed, note) = keyed?;
    let reply = effects.iter().find_map(|effect| match effect {
        Effect::Reply { request, reply } if *request == id => Some(reply),
        Effect::Reply { .. }
        | Effect::Persist(_)
        | Effect::Send { .. }
        | Effect::Close { .. }
        | Effect::Publish(_)
        | Effect::ReadRemote
        | Effect::Notify(_)
        | Effect::Forge(_) => None,
    });
    Some(Taken {
        request: keyed,
        note: note(reply?)?,
    })
}

fn wake_at(fleet: &Fleet, now: Timestamp) -> Instant {
    let sleep = fleet
        .poll_timeout()
        .map_or(LONGEST_SLEEP, |at| at.since(now));
    Instant::now() + sleep.min(LONGEST_SLEEP)
}
