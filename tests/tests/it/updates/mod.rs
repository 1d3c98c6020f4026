//! Updates and rollouts on the real programs: a forge with pull requests over the world's own
//! repository, the server, agents that really pull and switch, and a browser where people look.

mod automatic;
mod forge_source;
mod hints;
mod host_driven;
mod order;
mod restarts;
mod troubles;
mod whole;
