//! Single-use tickets for the live feed: proof that a page of ours, not merely a browser that holds
//! our cookie, opens the socket. A program gets one for its API token.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nixfleet_core::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::Principal;
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
    holder: Principal,
    expires_at: Timestamp,
}

impl Tickets {
    /// Hands out a ticket.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn issue(&self, holder: Principal, now: Timestamp) -> Result<SecretString, NoRandomness> {
        let secret = fresh(SecretKind::Internal)?;
        let ticket = Ticket {
            holder,
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

    /// Uses up a ticket; answers whose it was, if it was still good.
    pub fn redeem(&self, secret: &str, now: Timestamp) -> Option<Principal> {
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = tickets.remove(&SecretHash::of(secret))?;
        (now < ticket.expires_at).then_some(ticket.holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Role;

    fn holder() -> Principal {
        Principal::Session {
            account: "admin".to_owned(),
            role: Role::Admin,
            hash: SecretHash::of("mine"),
        }
    }

    #[test]
    fn a_ticket_works_once_for_its_holder_and_not_for_long() {
        let tickets = Tickets::default();
        let now = Timestamp::from_seconds(1000);
        let redeem = |ticket: &SecretString, at| tickets.redeem(ticket.expose_secret(), at);
        let ticket = tickets.issue(holder(), now).unwrap();
        assert_eq!(redeem(&ticket, now), Some(holder()));
        assert_eq!(redeem(&ticket, now), None, "used up");
        let ticket = tickets.issue(holder(), now).unwrap();
        assert_eq!(redeem(&ticket, now + TICKET_LIFETIME), None, "too late");
        assert_eq!(redeem(&ticket, now), None, "and a failed try uses it up");
        assert_eq!(redeem(&SecretString::from(""), now), None);
    }

    #[test]
    fn tickets_that_nobody_uses_do_not_pile_up() {
        let tickets = Tickets::default();
        let now = Timestamp::from_seconds(1000);
        let mut last = None;
        for i in 0..KEPT + 10 {
            let at = now + Duration::from_millis(u64::try_from(i).unwrap());
            last = Some(tickets.issue(holder(), at).unwrap());
        }
        assert_eq!(tickets.0.lock().unwrap().len(), KEPT);
        assert!(tickets.redeem(last.unwrap().expose_secret(), now).is_some());
    }
}
