//! What travels between agent and server: serde structs, tolerant of unknown and missing fields, and
//! their conversion into reports of agents and orders of servers, which is the only fallible step
//! (spec 03). What travels to browsers is in [`crate::sync`].

pub mod admission;
pub mod agent;
pub mod command;
mod convert;
mod field;
pub mod files;
mod heartbeat;
pub mod lock;
mod order;
mod place;
pub mod rollout;
pub mod situation;
mod text;

pub use convert::{
    AgentReport, WireError, agent_message, borrow_agent_frame, decode_agent_frame,
    decode_server_frame, inputs_update,
};
pub use field::Field;
pub use order::server_order;
pub use text::Text;
