//! How often a login may be tried: by peer, by account, and in all.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::net::peer_key;

/// Attempts that may come at once, and the time after which one more is allowed.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Attempts at once.
    pub burst: NonZeroU32,
    /// One more after this long.
    pub every: Duration,
}

/// Who may try how often. Attempts count whether they succeed or not, and before the password is
/// looked at, so that many at once gain nothing.
#[derive(Clone, Copy, Debug)]
pub struct LoginBudgets {
    /// From one address (one /64 of IPv6). Forwarded-for headers are not believed.
    pub peer: Budget,
    /// For one account.
    pub account: Budget,
    /// In all.
    pub all: Budget,
}

impl Default for LoginBudgets {
    fn default() -> Self {
        let budget = |burst: u32, seconds: u64| Budget {
            burst: NonZeroU32::MIN.saturating_add(burst.saturating_sub(1)),
            every: Duration::from_secs(seconds),
        };
        Self {
            peer: budget(5, 10),
            account: budget(30, 4),
            all: budget(60, 1),
        }
    }
}

/// Counts login attempts.
pub struct LoginLimiter {
    clock: DefaultClock,
    peers: DefaultKeyedRateLimiter<IpAddr>,
    accounts: DefaultKeyedRateLimiter<String>,
    all: DefaultDirectRateLimiter,
}

impl LoginLimiter {
    /// A limiter in which nothing is used up.
    #[must_use]
    pub fn new(budgets: LoginBudgets) -> Self {
        Self {
            clock: DefaultClock::default(),
            peers: RateLimiter::keyed(quota(budgets.peer)),
            accounts: RateLimiter::keyed(quota(budgets.account)),
            all: RateLimiter::direct(quota(budgets.all)),
        }
    }

    /// Counts one attempt.
    ///
    /// # Errors
    /// How long to wait, if there were too many. The peer is asked first, so that one peer cannot
    /// use up the budget of the account with attempts that are refused anyway.
    pub fn admit(&self, peer: IpAddr, account: &str) -> Result<(), Duration> {
        let now = self.clock.now();
        self.peers
            .check_key(&peer_key(peer))
            .map_err(|not_yet| not_yet.wait_time_from(now))?;
        self.accounts
            .check_key(&account.to_owned())
            .map_err(|not_yet| not_yet.wait_time_from(now))?;
        self.all
            .check()
            .map_err(|not_yet| not_yet.wait_time_from(now))
    }

    /// Forgets peers and accounts whose budget is full again; to be called now and then.
    pub fn forget_idle(&self) {
        self.peers.retain_recent();
        self.accounts.retain_recent();
    }
}

fn quota(budget: Budget) -> Quota {
    Quota::with_period(budget.every)
        .unwrap_or(Quota::per_second(NonZeroU32::MIN))
        .allow_burst(budget.burst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_attempt_of_a_peer_waits_and_others_are_not_affected() {
        let limiter = LoginLimiter::new(LoginBudgets::default());
        let peer = "203.0.113.7".parse().unwrap();
        for attempt in 0..5 {
            assert!(limiter.admit(peer, "admin").is_ok(), "{attempt}");
        }
        let wait = limiter.admit(peer, "admin").unwrap_err();
        assert!(
            wait > Duration::ZERO && wait <= Duration::from_secs(10),
            "{wait:?}"
        );
        assert!(
            limiter
                .admit("203.0.113.8".parse().unwrap(), "admin")
                .is_ok()
        );
    }

    #[test]
    fn many_peers_share_the_budget_of_the_account() {
        let limiter = LoginLimiter::new(LoginBudgets::default());
        let refused = (0..200_u32)
            .filter(|i| {
                limiter
                    .admit(IpAddr::V4((0x0a00_0000 + i).into()), "admin")
                    .is_err()
            })
            .count();
        assert!(refused >= 150, "{refused}");
    }
}
