//! Reconnect delays: doubling from 1 s to 60 s, with full jitter (spec 03, Connection).

use std::time::Duration;

/// The first delay before jitter.
pub const FIRST: Duration = Duration::from_secs(1);
/// The longest delay before jitter.
pub const LONGEST: Duration = Duration::from_secs(60);

/// The delay before attempt number `attempt` (from 0): evenly spread between zero and the doubled
/// bound, decided by `seed` alone.
///
/// ```
/// use nixfleet_core::agent::backoff::{delay, LONGEST};
/// assert_eq!(delay(3, 7), delay(3, 7));
/// assert!(delay(1000, 42) <= LONGEST);
/// ```
#[must_use]
pub fn delay(attempt: u32, seed: u64) -> Duration {
    let bound = FIRST.saturating_mul(1 << attempt.min(6)).min(LONGEST);
    let bound_ms = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(mix(seed ^ u64::from(attempt).rotate_left(32)) % (bound_ms + 1))
}

/// SplitMix64 (Steele, Lea, Flood 2014): a well-spread function of its input.
fn mix(input: u64) -> u64 {
    let mut z = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_bound_and_use_all_of_it() {
        for attempt in 0..12 {
            let bound = FIRST.saturating_mul(1 << attempt.min(6)).min(LONGEST);
            let delays: Vec<_> = (0..2000).map(|seed| delay(attempt, seed)).collect();
            assert!(delays.iter().all(|d| *d <= bound));
            assert!(
                delays.iter().any(|d| *d < bound / 10),
                "low end unused at {attempt}"
            );
            assert!(
                delays.iter().any(|d| *d > bound * 9 / 10),
                "high end unused at {attempt}"
            );
        }
    }
}
