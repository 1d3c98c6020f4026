//! Delivers to one channel: one notice after the other, each again until it is there or given up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::log::{Attempt, DeliveryLog, Outcome};
use super::post::Undelivered;
use super::{Channel, Owed, Rules};
use crate::clock::Clock;

/// So many ids are remembered against telling twice.
const MOST_IDS: usize = 1024;

pub(super) struct Worker {
    pub channel: Arc<dyn Channel>,
    pub log: Arc<dyn DeliveryLog>,
    pub clock: Clock,
    pub rules: Rules,
    /// What was owed before.
    pub owed: Vec<Owed>,
    pub queue: mpsc::Receiver<Owed>,
    /// Something was stored that the queue had no room for.
    pub overflow: Arc<Notify>,
    /// Taken from the store; these may still come through the queue, too.
    pub fetched: VecDeque<String>,
    /// Delivered or given up; these may still be in the store.
    pub finished: VecDeque<String>,
}

type Waiting = VecDeque<(Instant, Owed)>;

/// What came of one attempt.
enum Next {
    Done,
    Later(Instant),
}

impl Worker {
    /// Goes on until it is stopped or nobody can hand in anything any more and nothing is left.
    pub async fn run(mut self, stop: CancellationToken) -> Vec<Owed> {
        let mut waiting: Waiting = std::mem::take(&mut self.owed)
            .into_iter()
            .map(|owed| (Instant::now(), owed))
            .collect();
        let mut open = true;
        // Whether the store may hold what is not here.
        let mut unread = true;
        // When to read it again, after it could not be read.
        let mut again_at: Option<Instant> = None;
        let overflow = Arc::clone(&self.overflow);
        while open || !waiting.is_empty() {
            if unread && waiting.len() * 2 <= self.rules.queue {
                unread = match self.refill(&mut waiting).await {
                    Some(more) => more,
                    None => {
                        again_at = Some(Instant::now() + self.rules.pause);
                        false
                    }
                };
            }
            let reread = async {
                match again_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let room = waiting.len() < self.rules.queue;
            let due = waiting.iter().map(|(due, _)| *due).min();
            let pause = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                handed = self.queue.recv(), if open && room => match handed {
                    Some(owed) => self.take_in(owed, &mut waiting),
                    None => open = false,
                },
                () = overflow.notified() => unread = true,
                () = reread => {
                    again_at = None;
                    unread = true;
                }
                () = pause => {
                    let position = waiting.iter().position(|(at, _)| Some(*at) == due);
                    let Some((_, owed)) = position.and_then(|at| waiting.remove(at)) else {
                        continue;
                    };
                    // Put back first: a stop during the attempt must not lose it.
                    let again = Owed { attempts: owed.attempts + 1, ..owed.clone() };
                    let attempted = stop.run_until_cancelled(self.attempt(&owed)).await;
                    match attempted {
                        Some(Next::Done) => remember(&mut self.finished, owed.id),
                        Some(Next::Later(at)) => waiting.push_back((at, again)),
                        None => waiting.push_front((Instant::now(), owed)),
                    }
                }
            }
        }
        self.queue.close();
        while let Some(owed) = self.queue.recv().await {
            self.take_in(owed, &mut waiting);
        }
        waiting.into_iter().map(|(_, owed)| owed).collect()
    }

    /// Takes from the store what nobody handed over; answers whether there may be more, and
    /// nothing if it could not be read.
    async fn refill(&mut self, waiting: &mut Waiting) -> Option<bool> {
        while waiting.len() < self.rules.queue {
            let Ok(owed) = self.queue.try_recv() else {
                break;
            };
            self.take_in(owed, waiting);
        }
        let most = self.rules.queue.saturating_mul(2);
        let stored = self.log.owed(self.channel.name(), most).await?;
        let is_page = stored.len() == most;
        let mut added = false;
        for owed in stored {
            let held = waiting.iter().any(|(_, known)| known.id == owed.id);
            if held || self.finished.contains(&owed.id) {
                continue;
            }
            if waiting.len() >= self.rules.queue {
                return Some(true);
            }
            remember(&mut self.fetched, owed.id.clone());
            waiting.push_back((Instant::now(), owed));
            added = true;
        }
        Some(is_page && added)
    }

    fn take_in(&mut self, owed: Owed, waiting: &mut Waiting) {
        match self.fetched.iter().position(|id| *id == owed.id) {
            Some(at) => {
                self.fetched.remove(at);
            }
            None => waiting.push_back((Instant::now(), owed)),
        }
    }

    async fn attempt(&self, owed: &Owed) -> Next {
        let now = self.clock.now();
        let result = self.channel.deliver(&owed.id, &owed.notice, now).await;
        let number = owed.attempts + 1;
        let (outcome, next) = match result {
            Ok(()) => (Outcome::Delivered, Next::Done),
            Err(Undelivered::ForNow { why, wait }) if number < self.rules.attempts => {
                let pause = pause_after(&self.rules, number).max(wait.unwrap_or_default());
                let next = self.clock.now() + pause;
                let later = Next::Later(Instant::now() + pause);
                (Outcome::Failed { why, next }, later)
            }
            Err(Undelivered::ForNow { why, .. } | Undelivered::ForGood(why)) => {
                tracing::warn!(
                    channel = self.channel.name(),
                    key = owed.notice.key,
                    why,
                    "a notice is given up"
                );
                (Outcome::GivenUp { why }, Next::Done)
            }
        };
        let attempt = Attempt {
            id: owed.id.clone(),
            key: owed.notice.key.clone(),
            kind: owed.notice.kind,
            channel: self.channel.name(),
            number,
            at: self.clock.now(),
            outcome,
        };
        self.log.record(attempt).await;
        next
    }
}

fn remember(ids: &mut VecDeque<String>, id: String) {
    if ids.len() == MOST_IDS {
        ids.pop_front();
    }
    ids.push_back(id);
}

/// The pause after so many failed attempts.
fn pause_after(rules: &Rules, attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(20);
    rules
        .pause
        .saturating_mul(2u32.saturating_pow(doublings))
        .min(rules.longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let rules = Rules::default();
        let seconds: Vec<u64> = (1..=12)
            .map(|attempts| pause_after(&rules, attempts).as_secs())
            .collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        assert_eq!(pause_after(&rules, u32::MAX), rules.longest);
    }
}
