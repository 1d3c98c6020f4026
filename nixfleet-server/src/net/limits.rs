//! The bounds of the network side, in one place.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bounds of the HTTP side.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections in all, upgraded ones included.
    pub connections: usize,
    /// Open connections of one address (one /64 of IPv6); loopback is exempt.
    pub connections_per_address: usize,
    /// From accepting a connection to its first byte.
    pub first_byte: Duration,
    /// From the start of a request head to its end; also how long a kept-alive connection may idle.
    pub header_read: Duration,
    /// Size of a request head in bytes.
    pub header_bytes: usize,
    /// Number of header lines.
    pub headers: usize,
    /// How long a peer may take nothing of what is written to it.
    pub write_stall: Duration,
    /// From the end of the request head to the start of the response.
    pub request: Duration,
    /// Size of a request body in bytes.
    pub body_bytes: usize,
    /// How long open connections may take to end once the server shuts down.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            connections_per_address: 256,
            first_byte: Duration::from_secs(10),
            header_read: Duration::from_secs(10),
            header_bytes: 16 * 1024,
            headers: 100,
            write_stall: Duration::from_secs(10),
            request: Duration::from_secs(30),
            body_bytes: 256 * 1024,
            drain: Duration::from_secs(10),
        }
    }
}

/// Bounds of one WebSocket.
#[derive(Clone, Copy, Debug)]
pub struct SocketLimits {
    /// Size of a message from the peer in bytes; a larger one closes with 1009.
    pub message_bytes: usize,
    /// Bytes that may wait to be written; must hold the largest message that is sent.
    pub outgoing_bytes: usize,
    /// Interval of pings.
    pub ping_every: Duration,
    /// A peer silent for this long is dropped.
    pub dead_after: Duration,
    /// How long a single message may take to be written.
    pub write: Duration,
}

impl SocketLimits {
    /// The bounds of an agent's socket (spec 03).
    pub const AGENT: SocketLimits = SocketLimits {
        message_bytes: 512 * 1024,
        outgoing_bytes: 1024 * 1024,
        ping_every: Duration::from_secs(30),
        dead_after: Duration::from_secs(60),
        write: Duration::from_secs(10),
    };
    /// The bounds of a browser's socket (spec 03, 04).
    pub const BROWSER: SocketLimits = SocketLimits {
        message_bytes: 64 * 1024,
        outgoing_bytes: 8 * 1024 * 1024,
        ..SocketLimits::AGENT
    };
}

/// The address that limits are counted by: a whole /64 for IPv6, where single addresses are free.
#[must_use]
pub fn peer_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) if address.is_loopback() => IpAddr::V6(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
            address.to_bits() & !u128::from(u64::MAX),
        )),
    }
}

type OpenByAddress = HashMap<IpAddr, usize>;

/// Counts open connections.
#[derive(Clone)]
pub(super) struct Slots {
    all: Arc<Semaphore>,
    by_address: Arc<Mutex<OpenByAddress>>,
    per_address: usize,
}

/// The right to one open connection, given back when dropped.
#[derive(Debug)]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
    counted: Option<(IpAddr, Arc<Mutex<OpenByAddress>>)>,
}

impl Slots {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            all: Arc::new(Semaphore::new(
                limits.connections.min(Semaphore::MAX_PERMITS),
            )),
            by_address: Arc::default(),
            per_address: limits.connections_per_address,
        }
    }

    /// Waits until another connection may be accepted.
    pub(super) async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        self.all.clone().acquire_owned().await.ok()
    }

    /// Counts the connection to its address; none if that address has enough.
    pub(super) fn take(&self, permit: OwnedSemaphorePermit, peer: IpAddr) -> Option<Slot> {
        let key = peer_key(peer);
        if key.is_loopback() {
            return Some(Slot {
                _permit: permit,
                counted: None,
            });
        }
        let mut open = self
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(key).or_insert(0);
        if *count >= self.per_address {
            return None;
        }
        *count += 1;
        Some(Slot {
            _permit: permit,
            counted: Some((key, self.by_address.clone())),
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some((key, by_address)) = self.counted.take() else {
            return;
        };
        let mut open = by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = open.entry(key) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_address_cannot_take_every_connection_and_slots_come_back() {
        let slots = Slots::new(&Limits {
            connections: 10,
            connections_per_address: 2,
            ..Limits::default()
        });
        let peer: IpAddr = "203.0.113.7".parse().unwrap();
        let mapped: IpAddr = "::ffff:203.0.113.7".parse().unwrap();
        let first = slots.take(slots.wait().await.unwrap(), peer);
        let second = slots.take(slots.wait().await.unwrap(), mapped);
        assert!(first.is_some() && second.is_some());
        assert!(slots.take(slots.wait().await.unwrap(), peer).is_none());
        let other = slots.take(slots.wait().await.unwrap(), "203.0.113.8".parse().unwrap());
        assert!(other.is_some(), "another address is not affected");
        drop(first);
        assert!(slots.take(slots.wait().await.unwrap(), peer).is_some());
        drop((second, other));
        assert!(
            slots.by_address.lock().unwrap().is_empty(),
            "nothing is kept for gone peers"
        );
    }

    #[test]
    fn ipv6_is_counted_by_network_and_loopback_stays_loopback() {
        let key = |text: &str| peer_key(text.parse().unwrap()).to_string();
        assert_eq!(key("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(key("::1"), "::1");
        assert_eq!(key("::ffff:127.0.0.1"), "127.0.0.1");
    }
}
