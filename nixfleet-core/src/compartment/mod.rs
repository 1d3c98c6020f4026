//! The five compartments: facts → decision table → assessment (spec 01).

use serde::{Deserialize, Serialize};

/// One of the five questions about a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compartment {
    /// Is the agent the version this server expects?
    Agent,
    /// Is the host's config checkout at the desired commit?
    Git,
    /// Is the host's `flake.lock` the desired one, byte for byte?
    Lock,
    /// Is the running system the desired one?
    System,
    /// Does the deployed system work?
    Tests,
}

impl Compartment {
    /// All five, in the order in which they are shown.
    pub const ALL: [Compartment; 5] = [
        Compartment::Agent,
        Compartment::Git,
        Compartment::Lock,
        Compartment::System,
        Compartment::Tests,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Compartment::Agent => "agent",
            Compartment::Git => "git",
            Compartment::Lock => "lock",
            Compartment::System => "system",
            Compartment::Tests => "tests",
        }
    }
}

/// The answer of one compartment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Gray: we have not been told yet.
    Unknown,
    /// Green: current against the remote, and proven so.
    Ok,
    /// Yellow: act, or it cannot be verified.
    Outdated,
    /// Red: a real problem; also when the remote cannot be read.
    Error,
    /// Blue: a command is at work.
    Working,
}

impl Status {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Status::Unknown => "unknown",
            Status::Ok => "ok",
            Status::Outdated => "outdated",
            Status::Error => "error",
            Status::Working => "working",
        }
    }
}
