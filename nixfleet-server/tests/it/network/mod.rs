//! The network side against real sockets.

mod access;
mod harness;
mod limits;
mod logins;
mod sockets;
