//! When a forge may be asked (law E6): never before the moment it named, at most a small part of
//! the quota, and a second between two changes. A state with the time passed in.

use std::time::Duration;

use nixfleet_core::Timestamp;
use serde::{Deserialize, Serialize};

/// At least so long between two calls that change something.
pub const BETWEEN_CHANGES: Duration = Duration::from_secs(1);
/// How long to wait when a forge limits us without saying until when; doubled each time.
const UNNAMED_WAIT: Duration = Duration::from_secs(60);
/// The longest wait: a forge that names a later moment is mistaken or hostile.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);
/// How often [`UNNAMED_WAIT`] is doubled.
const MOST_DOUBLINGS: u32 = 6;

/// Who wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Polling; keeps to its share of the quota.
    Polling,
    /// A person, or a step that has begun.
    Asked,
    /// Something is to be changed.
    Change,
}

/// Whether a request may be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Now; it counts as sent.
    Now,
    /// In a moment: two changes would be too close together.
    Soon(Duration),
    /// Not before this moment.
    NotBefore(Timestamp, &'static str),
    /// Not for polling before this moment; people may still ask. Why.
    KeptBack(Timestamp, &'static str),
}

/// What an answer said about limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateWords {
    /// `Retry-After`, as a duration.
    pub retry_after: Option<Duration>,
    /// `x-ratelimit-limit`.
    pub limit: Option<u64>,
    /// `x-ratelimit-remaining`.
    pub remaining: Option<u64>,
    /// How long until `x-ratelimit-reset`, by the clock of the forge.
    pub reset_in: Option<Duration>,
    /// The answer was a refusal because of a limit.
    pub refused: bool,
    /// The request was counted: everything but an authorised 304.
    pub counted: bool,
}

/// What is known of the quota of one credential.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    blocked: Option<(Timestamp, &'static str)>,
    window: Option<Window>,
    /// What is stored of it.
    stored: StoredBudget,
    /// Whether what is stored lies further ahead than this would ever wait.
    stored_too_far: bool,
    last_change: Option<Timestamp>,
    /// Refusals in a row that named no moment.
    strikes: u32,
}

/// What is stored of a budget. It never allows more than the budget itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoredBudget {
    /// Nothing may be sent before.
    blocked: Option<Timestamp>,
    /// Whether that is because the quota is used up.
    exhausted: bool,
    window: Option<Window>,
    strikes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    limit: u64,
    remaining: u64,
    reset: Timestamp,
    /// Counted requests of ours.
    used: u64,
}

/// How many counted requests per window polling may use: a tenth of the quota, or, of the small
/// quota without a token, two thirds, because a tenth of it would not do.
#[must_use]
pub fn polling_share(limit: u64) -> u64 {
    (limit / 10).max((limit * 2 / 3).min(40))
}

const ASKED_TO_WAIT: &str = "the forge asked to wait";
const USED_UP: &str = "the quota of the forge is used up";

impl Budget {
    /// Goes on from what was stored, but waits no longer than ever: the clock may have been wrong.
    #[must_use]
    pub fn restore(mut stored: StoredBudget, now: Timestamp) -> Self {
        let read = stored.clone();
        let latest = now + LONGEST_WAIT;
        stored.blocked = stored.blocked.map(|until| until.min(latest));
        if let Some(window) = &mut stored.window {
            window.reset = window.reset.min(latest);
        }
        let why = if stored.exhausted {
            USED_UP
        } else {
            ASKED_TO_WAIT
        };
        Self {
            blocked: stored.blocked.map(|until| (until, why)),
            window: stored.window,
            last_change: None,
            strikes: stored.strikes,
            stored_too_far: stored != read,
            stored,
        }
    }

    /// What is to be stored now, if what is stored would allow more than this does. Requests are
    /// stored some in advance, so that not each of them has to be.
    pub fn to_store(&mut self) -> Option<StoredBudget> {
        let low = |window: &Window| window.remaining <= window.limit / 10;
        let window_is_kept = match (&self.window, &self.stored.window) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(now), Some(kept)) => {
                same_window(now, kept.reset)
                    && now.used <= kept.used
                    && (now.remaining > 0 || kept.remaining == 0)
                    && (!low(now) || low(kept))
            }
        };
        let until = |blocked: Option<(Timestamp, _)>| blocked.map(|(until, _)| until);
        let block_is_kept = until(self.blocked) <= self.stored.blocked;
        let too_far = std::mem::take(&mut self.stored_too_far);
        if window_is_kept && block_is_kept && !too_far {
            return None;
        }
        let ahead = |window: Window| Window {
            used: window.used + window.limit / 200,
            ..window
        };
        self.stored = StoredBudget {
            blocked: until(self.blocked),
            exhausted: self.blocked.is_some_and(|(_, why)| why == USED_UP),
            window: self.window.map(ahead),
            strikes: self.strikes,
        };
        Some(self.stored.clone())
    }

    /// Whether a request may be sent now. [`Admission::Now`] counts it as sent.
    pub fn admit(&mut self, now: Timestamp, purpose: Purpose) -> Admission {
        if let Some((until, why)) = self.blocked {
            if now < until {
                return Admission::NotBefore(until, why);
            }
            self.blocked = None;
        }
        if self.window.is_some_and(|window| window.reset <= now) {
            self.window = None;
        }
        if let Some(window) = self.window {
            let reserve = window.limit / 10;
            if window.remaining == 0 {
                return Admission::NotBefore(window.reset, USED_UP);
            }
            let polling = purpose == Purpose::Polling;
            if polling && window.used >= polling_share(window.limit) {
                return Admission::KeptBack(
                    window.reset,
                    "polling has used its share of the quota",
                );
            }
            if polling && window.remaining <= reserve && window.limit > 60 {
                let why = "what is left of the quota is kept for people";
                return Admission::KeptBack(window.reset, why);
            }
        }
        if purpose == Purpose::Change {
            if let Some(last) = self.last_change {
                let passed = now.since(last);
                if passed < BETWEEN_CHANGES {
                    return Admission::Soon(BETWEEN_CHANGES - passed);
                }
            }
            self.last_change = Some(now);
        }
        Admission::Now
    }

    /// Takes in what an answer said. Answers until when nothing may be sent, if the answer was a
    /// refusal.
    pub fn note(&mut self, now: Timestamp, words: &RateWords) -> Option<Timestamp> {
        self.note_window(now, words);
        let exhausted = words.remaining == Some(0);
        let named = match (words.retry_after, words.reset_in.filter(|_| exhausted)) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
        if !words.refused {
            self.strikes = 0;
        }
        let wait = match named {
            Some(wait) => wait,
            None if words.refused => {
                let doubled = UNNAMED_WAIT * 2u32.pow(self.strikes.min(MOST_DOUBLINGS));
                self.strikes = self.strikes.saturating_add(1);
                doubled
            }
            None => return None,
        };
        let until = now + wait.min(LONGEST_WAIT);
        let why = if exhausted { USED_UP } else { ASKED_TO_WAIT };
        if self.blocked.is_none_or(|(earlier, _)| earlier < until) {
            self.blocked = Some((until, why));
        }
        Some(until)
    }

    fn note_window(&mut self, now: Timestamp, words: &RateWords) {
        let (Some(limit), Some(remaining), Some(reset_in)) =
            (words.limit, words.remaining, words.reset_in)
        else {
            return;
        };
        let reset = now + reset_in.min(LONGEST_WAIT);
        let used = self
            .window
            .filter(|window| same_window(window, reset))
            .map_or(0, |window| window.used);
        self.window = Some(Window {
            limit,
            remaining,
            reset,
            used: used + u64::from(words.counted),
        });
    }
}

/// The same window, told by a clock with whole seconds.
fn same_window(window: &Window, reset: Timestamp) -> bool {
    let apart = window.reset.since(reset).max(reset.since(window.reset));
    apart < Duration::from_secs(5)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn told(limit: u64, remaining: u64, reset_in: u64) -> RateWords {
        RateWords {
            limit: Some(limit),
            remaining: Some(remaining),
            reset_in: Some(Duration::from_secs(reset_in)),
            counted: true,
            ..RateWords::default()
        }
    }

    #[test]
    fn changes_keep_a_second_apart_and_reads_do_not() {
        let mut budget = Budget::default();
        assert_eq!(budget.admit(at(10), Purpose::Change), Admission::Now);
        let soon = Duration::from_millis(600);
        let later = at(10) + Duration::from_millis(400);
        assert_eq!(budget.admit(later, Purpose::Change), Admission::Soon(soon));
        assert_eq!(budget.admit(later, Purpose::Polling), Admission::Now);
        assert_eq!(budget.admit(at(11), Purpose::Change), Admission::Now);
    }

    #[test]
    fn waits_without_a_named_end_double_and_end_with_success() {
        let mut budget = Budget::default();
        let refused = RateWords {
            refused: true,
            ..RateWords::default()
        };
        assert_eq!(budget.note(at(0), &refused), Some(at(60)));
        assert_eq!(budget.note(at(60), &refused), Some(at(180)));
        budget.note(at(180), &RateWords::default());
        assert_eq!(budget.note(at(200), &refused), Some(at(260)));
    }

    #[test]
    fn a_silly_moment_does_not_block_for_ever() {
        let mut budget = Budget::default();
        let words = RateWords {
            retry_after: Some(Duration::from_secs(u64::MAX / 2)),
            refused: true,
            ..RateWords::default()
        };
        assert_eq!(budget.note(at(0), &words), Some(at(24 * 3600)));
        assert_eq!(budget.admit(at(24 * 3600), Purpose::Asked), Admission::Now);
    }

    #[test]
    fn a_block_that_a_wrong_clock_stored_ends_within_the_longest_wait() {
        let mut ahead = Budget::default();
        let far = at(1_000_000_000);
        let words = RateWords {
            refused: true,
            ..told(60, 0, 3600)
        };
        assert!(ahead.note(far, &words).is_some());
        let stored = ahead.to_store().unwrap();
        let mut restored = Budget::restore(stored.clone(), at(0));
        assert!(
            matches!(restored.admit(at(0), Purpose::Asked), Admission::NotBefore(until, _) if until == at(24 * 3600))
        );
        assert_eq!(
            restored.admit(at(24 * 3600), Purpose::Asked),
            Admission::Now
        );
        // Restarts do not make it longer: what was cut is stored at once, and once.
        let mut restarted = Budget::restore(stored.clone(), at(0));
        let cut = restarted.to_store().expect("the row lies too far ahead");
        assert_eq!(restarted.to_store(), None);
        let mut later = Budget::restore(cut, at(23 * 3600));
        assert_eq!(later.to_store(), None);
        assert_eq!(later.admit(at(24 * 3600), Purpose::Asked), Admission::Now);
        // With the clock right, it is the moment that was named.
        let mut right = Budget::restore(stored, far);
        assert!(
            matches!(right.admit(far, Purpose::Asked), Admission::NotBefore(until, _) if until == far + Duration::from_secs(3600))
        );
    }

    #[test]
    fn polling_leaves_a_reserve_that_people_may_use() {
        let mut budget = Budget::default();
        budget.note(at(0), &told(5000, 500, 600));
        let refused = budget.admit(at(1), Purpose::Polling);
        assert!(matches!(refused, Admission::KeptBack(until, _) if until == at(600)));
        assert_eq!(budget.admit(at(1), Purpose::Asked), Admission::Now);
        assert_eq!(budget.admit(at(600), Purpose::Polling), Admission::Now);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Restart,
        Pass(u64),
        Ask(Purpose),
        Answer { status: u8, wait: u64 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let purpose = prop_oneof![
            Just(Purpose::Polling),
            Just(Purpose::Asked),
            Just(Purpose::Change)
        ];
        let step = prop_oneof![
            Just(Step::Restart),
            (0u64..90_000).prop_map(Step::Pass),
            purpose.prop_map(Step::Ask),
            (0u8..5, 0u64..7200).prop_map(|(status, wait)| Step::Answer { status, wait }),
        ];
        proptest::collection::vec(step, 1..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        /// Whatever was said and whenever, also over restarts: nothing is sent before a named moment, and changes
        /// keep apart. A request that is admitted in the end is the positive control below.
        #[test]
        fn e06_no_request_before_the_named_moment(steps in steps()) {
            let mut budget = Budget::default();
            let mut now = Timestamp::from_seconds(1_000_000);
            let mut earliest = now;
            let mut last_change: Option<Timestamp> = None;
            let mut stored = StoredBudget::default();
            for step in steps {
                match step {
                    Step::Restart => {
                        budget = Budget::restore(stored.clone(), now);
                        // Whoever asks for changes knows its own last one.
                        last_change = None;
                    }
                    Step::Pass(millis) => now = now + Duration::from_millis(millis),
                    Step::Ask(purpose) => {
                        if budget.admit(now, purpose) == Admission::Now {
                            prop_assert!(now >= earliest);
                            if purpose == Purpose::Change {
                                if let Some(last) = last_change {
                                    prop_assert!(now.since(last) >= BETWEEN_CHANGES);
                                }
                                last_change = Some(now);
                            }
                        }
                    }
                    Step::Answer { status, wait } => {
                        let wait = Duration::from_secs(wait);
                        let words = match status {
                            0 => RateWords::default(),
                            1 => RateWords { retry_after: Some(wait), refused: true, ..RateWords::default() },
                            2 => RateWords { refused: true, reset_in: Some(wait), ..told(5000, 0, 0) },
                            3 => RateWords { refused: true, ..RateWords::default() },
                            _ => told(5000, 4000, wait.as_secs()),
                        };
                        budget.note(now, &words);
                        stored = budget.to_store().unwrap_or(stored);
                        match status {
                            1 | 2 => earliest = earliest.max(now + wait),
                            3 => earliest = earliest.max(now + UNNAMED_WAIT),
                            _ => {}
                        }
                    }
                }
            }
            let much_later = now + LONGEST_WAIT + LONGEST_WAIT;
            prop_assert_eq!(budget.admit(much_later, Purpose::Polling), Admission::Now);
        }
    }

    /// Polling as hard as it can, every answer counted, for a hundred hours.
    #[test]
    fn e06_polling_uses_at_most_a_tenth_of_the_quota() {
        for limit in [1000, 5000, 15_000] {
            let mut budget = Budget::default();
            let mut sent_in_hour = 0;
            for second in 0..360_000_i64 {
                let now = at(second);
                if second % 3600 == 0 {
                    sent_in_hour = 0;
                }
                if budget.admit(now, Purpose::Polling) == Admission::Now {
                    sent_in_hour += 1;
                    let left = 3600 - u64::try_from(second % 3600).unwrap();
                    budget.note(now, &told(limit, limit - sent_in_hour, left));
                }
                assert!(sent_in_hour <= limit / 10, "{sent_in_hour} of {limit}");
            }
            assert!(sent_in_hour > limit / 20, "it did poll: {sent_in_hour}");
        }
        assert_eq!(
            polling_share(60),
            40,
            "without a token a tenth would not do"
        );
    }
}
