//! The only place of the server that reads the time of day.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nixfleet_core::Timestamp;

/// Answers "what time is it"; cheap to clone.
///
/// The system clock reads the wall time once and adds monotonic time after that, so a step of the
/// wall clock neither fires nor delays a deadline while the process lives.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System { origin: Timestamp, started: Instant },
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The wall clock of this machine.
    #[must_use]
    pub fn system() -> Self {
        Self::not_before(Timestamp::EPOCH)
    }

    /// The wall clock, but never earlier than `floor`: the last moment that was persisted, so that
    /// time does not run backwards over a restart.
    #[must_use]
    pub fn not_before(floor: Timestamp) -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(Timestamp::EPOCH, |since| Timestamp::EPOCH + since);
        Self(Source::System {
            origin: wall.max(floor),
            started: Instant::now(),
        })
    }

    /// A clock that moves only by [`Clock::advance`]; every clone shows the same time.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start.as_millis()))))
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { origin, started } => *origin + started.elapsed(),
            Source::Manual(millis) => Timestamp::from_millis(millis.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forwards; a system clock moves by itself and ignores this.
    pub fn advance(&self, by: Duration) {
        match &self.0 {
            Source::System { .. } => {}
            Source::Manual(millis) => {
                let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
                millis.fetch_add(by, Ordering::SeqCst);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_never_starts_before_what_was_persisted() {
        let floor = Timestamp::from_seconds(9_000_000_000);
        assert!(Clock::not_before(floor).now() >= floor);
        assert!(Clock::system().now() > Timestamp::from_seconds(1_700_000_000));
    }

    #[test]
    fn clones_of_a_manual_clock_move_together() {
        let clock = Clock::manual(Timestamp::from_seconds(10));
        let other = clock.clone();
        clock.advance(Duration::from_secs(5));
        assert_eq!(other.now(), Timestamp::from_seconds(15));
    }
}
