//! Everything between the socket and the router: accept loop, limits, middleware, WebSocket
//! upgrade. Knows nothing of fleets.

pub mod accept;
pub mod body;
mod guarded_io;
pub mod limits;
pub mod site;
mod stack;
pub mod upgrade;

pub use accept::{Connection, Drain, Listener, serve};
pub use limits::{Limits, SocketLimits, peer_key};
pub use site::Site;
pub use stack::{CONTENT_SECURITY_POLICY, SECURITY_HEADERS};
pub use upgrade::{CloseReason, Received, Socket, Upgrade, websocket};
