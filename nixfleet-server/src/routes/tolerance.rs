//! How much nonsense of one peer is put up with, and how often it is logged.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// More malformed messages than this in a minute close the connection (spec 03).
const PER_MINUTE: u32 = 100;
const MINUTE: Duration = Duration::from_secs(60);
/// At most one log line in this time.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// At most one log line in this time for all peers together.
const GATE_EVERY: Duration = Duration::from_secs(1);

/// Messages of one agent a second that reach the hub (spec 07, T3); more wait.
const PER_SECOND: u32 = 50;
/// Messages that may come at once: a registration after a long absence brings many results.
const BURST: u32 = 200;
/// More messages than this in a minute had to wait: that is no agent at work, but a flood.
const WAITED_PER_MINUTE: u32 = 1_000;

/// What to do about a malformed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Log it; so many before it were not logged.
    Log(u32),
    /// Ignore it.
    Ignore,
    /// Close the connection.
    Close,
}

/// Counts the malformed messages of one peer.
#[derive(Debug)]
pub(super) struct Tolerance {
    minute: Instant,
    count: u32,
    logged: Option<Instant>,
    unlogged: u32,
}

impl Tolerance {
    pub fn new() -> Self {
        Self {
            minute: Instant::now(),
            count: 0,
            logged: None,
            unlogged: 0,
        }
    }

    /// Another malformed message.
    pub fn strike(&mut self) -> Verdict {
        let now = Instant::now();
        if now.duration_since(self.minute) >= MINUTE {
            self.minute = now;
            self.count = 0;
        }
        self.count += 1;
        if self.count > PER_MINUTE {
            return Verdict::Close;
        }
        if self
            .logged
            .is_none_or(|last| now.duration_since(last) >= LOG_EVERY)
        {
            self.logged = Some(now);
            return Verdict::Log(std::mem::take(&mut self.unlogged));
        }
        self.unlogged += 1;
        Verdict::Ignore
    }
}

/// Spreads the messages of one peer, so that the queue all peers share stays short (spec 08, FI-33).
#[derive(Debug)]
pub(super) struct Pace {
    /// When the next message would be due if the peer sent at the bound all the time.
    due: Instant,
    minute: Instant,
    waited: u32,
}

impl Pace {
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            due: now,
            minute: now,
            waited: 0,
        }
    }

    /// Waits until another message may pass; false if the peer has been flooding for too long.
    pub async fn wait(&mut self) -> bool {
        let now = Instant::now();
        if now.duration_since(self.minute) >= MINUTE {
            self.minute = now;
            self.waited = 0;
        }
        let gap = Duration::from_secs(1) / PER_SECOND;
        let allowed_from = self.due.checked_sub(gap * BURST).unwrap_or(now);
        self.due = self.due.max(now) + gap;
        if allowed_from > now {
            self.waited += 1;
            tokio::time::sleep_until(allowed_from).await;
        }
        self.waited <= WAITED_PER_MINUTE
    }
}

/// Lets one log line through in a while, whoever causes them.
#[derive(Debug, Default)]
pub(super) struct LogGate(Mutex<(Option<Instant>, u32)>);

impl LogGate {
    /// How many lines were held back before this one; none if this one is to be held back too.
    pub fn pass(&self) -> Option<u32> {
        let now = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = |last: Instant| now.duration_since(last) >= GATE_EVERY;
        if state.0.is_none_or(due) {
            state.0 = Some(now);
            return Some(std::mem::take(&mut state.1));
        }
        state.1 += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_a_flood_is_slowed_down_and_then_ended() {
        let start = Instant::now();
        let mut pace = Pace::new();
        for _ in 0..BURST {
            assert!(pace.wait().await);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..PER_SECOND * 10 {
            assert!(pace.wait().await);
        }
        let took = start.elapsed();
        assert!(took.abs_diff(Duration::from_secs(10)) < Duration::from_millis(100));
        let mut passed = 0;
        while pace.wait().await {
            passed += 1;
        }
        assert!(passed < WAITED_PER_MINUTE);

        let mut calm = Pace::new();
        let start = Instant::now();
        for _ in 0..1_000 {
            assert!(calm.wait().await);
            tokio::time::advance(Duration::from_millis(20)).await;
        }
        assert_eq!(start.elapsed(), Duration::from_secs(20), "it never waited");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_a_minute_are_put_up_with_and_few_are_logged() {
        let mut tolerance = Tolerance::new();
        assert_eq!(tolerance.strike(), Verdict::Log(0));
        for _ in 1..PER_MINUTE {
            assert_eq!(tolerance.strike(), Verdict::Ignore);
        }
        assert_eq!(tolerance.strike(), Verdict::Close);
        let gate = LogGate::default();
        assert_eq!(
            (gate.pass(), gate.pass(), gate.pass()),
            (Some(0), None, None)
        );
        tokio::time::advance(GATE_EVERY).await;
        assert_eq!(gate.pass(), Some(2));
        let mut slow = Tolerance::new();
        for _ in 0..500 {
            assert_ne!(slow.strike(), Verdict::Close);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }
}
