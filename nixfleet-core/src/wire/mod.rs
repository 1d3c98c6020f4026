//! What travels: serde structs of both protocols, tolerant of unknown and missing fields, and the
//! conversions into domain types, which are the only fallible step (specs 03 and 04).

pub mod agent;
pub mod browser;
mod convert;
mod field;

pub use convert::{AgentReport, WireError, agent_message, decode_agent_frame, decode_server_frame};
pub use field::Field;
