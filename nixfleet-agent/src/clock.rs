//! The time, without jumps: the wall clock is read once, then a clock that only goes forward is
//! added.

use nix::time::{ClockId, clock_gettime};
use nixfleet_core::Timestamp;

/// Counts while the machine sleeps, unlike `std::time::Instant` on Linux: a command that waited in
/// the network card of a sleeping machine must find its lease over.
#[cfg(target_os = "linux")]
const STEADY: ClockId = ClockId::CLOCK_BOOTTIME;
/// On macOS this one counts during sleep.
#[cfg(not(target_os = "linux"))]
const STEADY: ClockId = ClockId::CLOCK_MONOTONIC;

/// Tells the time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: i64,
    steady: i64,
}

impl Clock {
    /// Reads the wall clock, for the only time.
    #[must_use]
    pub fn start() -> Self {
        Self {
            wall: millis(ClockId::CLOCK_REALTIME),
            steady: millis(STEADY),
        }
    }

    /// The time now; never earlier than at an earlier call.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.wall + millis(STEADY) - self.steady)
    }
}

fn millis(clock: ClockId) -> i64 {
    // Fails only for a clock that the system does not have; both are always there.
    clock_gettime(clock).map_or(0, |time| time.tv_sec() * 1000 + time.tv_nsec() / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_at_the_wall_clock_and_goes_forward() {
        let clock = Clock::start();
        let first = clock.now();
        let wall = millis(ClockId::CLOCK_REALTIME);
        assert!((wall - first.as_millis()).abs() < 60_000);
        let before = clock.now();
        while clock.now() == before {}
        assert!(clock.now() > before);
    }
}
