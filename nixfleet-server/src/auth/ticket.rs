//! Single-use tickets for the live feed: proof that a page of ours, not merely a browser that holds
//! our cookie, opens the socket.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nixfleet_core::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::secret::{NoRandomness, SecretKind, fresh};
use super::store::SecretHash;

/// How long a ticket can be used.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(30);
/// Unused tickets kept in all; the oldest give way.
const KEPT: usize = 4096;

/// Tickets that were handed out and not used yet.
#[derive(Default)]
pub struct Tickets(Mutex<HashMap<SecretHash, Ticket>>);

struct Ticket {
    session: SecretHash,
    expires_at: Timestamp,
}

impl Tickets {
    /// Hands out a ticket for a session.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn issue(&self, session: SecretHash, now: Timestamp) -> Result<SecretString, NoRandomness> {
        let secret = fresh(SecretKind::Internal)?;
        let ticket = Ticket {
            session,
            expires_at: now + TICKET_LIFETIME,
        };
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.len() >= KEPT {
            tickets.retain(|_, ticket| ticket.expires_at > now);
        }
        if tickets.len() >= KEPT {
            let oldest = tickets.iter().min_by_key(|(_, ticket)| ticket.expires_at);
            if let Some(hash) = oldest.map(|(hash, _)| *hash) {
                tickets.remove(&hash);
            }
        }
        tickets.insert(SecretHash::of(secret.expose_secret()), ticket);
        Ok(secret)
    }

    /// Uses up a ticket; true if it was valid for this session.
    pub fn redeem(&self, secret: &str, session: SecretHash, now: Timestamp) -> bool {
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tickets
            .remove(&SecretHash::of(secret))
            .is_some_and(|ticket| ticket.session == session && now < ticket.expires_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_works_once_for_its_session_and_not_for_long() {
        let tickets = Tickets::default();
        let (mine, other) = (SecretHash::of("mine"), SecretHash::of("other"));
        let now = Timestamp::from_seconds(1000);
        let redeem = |ticket: &SecretString, session, at| {
            tickets.redeem(ticket.expose_secret(), session, at)
        };
        let ticket = tickets.issue(mine, now).unwrap();
        assert!(redeem(&ticket, mine, now));
        assert!(!redeem(&ticket, mine, now), "used up");
        let ticket = tickets.issue(mine, now).unwrap();
        assert!(!redeem(&ticket, other, now), "of another session");
        assert!(!redeem(&ticket, mine, now), "and a failed try uses it up");
        let ticket = tickets.issue(mine, now).unwrap();
        assert!(!redeem(&ticket, mine, now + TICKET_LIFETIME), "too late");
        assert!(!redeem(&SecretString::from(""), mine, now));
    }

    #[test]
    fn tickets_that_nobody_uses_do_not_pile_up() {
        let tickets = Tickets::default();
        let now = Timestamp::from_seconds(1000);
        let session = SecretHash::of("mine");
        let mut last = None;
        for i in 0..KEPT + 10 {
            let at = now + Duration::from_millis(u64::try_from(i).unwrap());
            last = Some(tickets.issue(session, at).unwrap());
        }
        assert_eq!(tickets.0.lock().unwrap().len(), KEPT);
        assert!(tickets.redeem(last.unwrap().expose_secret(), session, now));
    }
}
