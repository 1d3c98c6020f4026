//! What the machine asks about hosts, and what it is told about commands.

use super::state::{Standing, Wait};
use crate::ids::HostId;
use crate::lifecycle::Target;
use crate::op::Op;

/// Whether a command may start now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum May {
    /// Yes.
    Yes,
    /// It is not needed: the host is already where it would bring it.
    Already,
    /// Not now, for this reason.
    Wait(Wait),
    /// Not at all, and why.
    Never(String),
}

/// Whether a canary shows good evidence now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Connected, runs the target, nothing failed.
    Good,
    /// No evidence at the moment, and why: the soak begins anew.
    Gap(String),
    /// Bad evidence, and which.
    Bad(String),
}

/// How a host gets back to what it ran before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WayBack {
    /// By a rollback to this generation, which it lists.
    Generation(u64),
    /// It runs that already, and that is proven: it is connected, runs no command, and told of its
    /// system after everything that was started on it had ended.
    NotNeeded,
    /// Nobody can tell now what it runs, and why: what was seen last may be older than what was
    /// started on it.
    Unproven(Wait),
    /// It does not list it (law D13), or nobody knows what it was.
    Impossible(&'static str),
}

/// How a command of the rollout ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It reached its goal.
    Good,
    /// It did not, and why.
    Failed(String),
    /// Nobody knows, and why.
    Unknown(String),
}

/// The hosts as they are at one moment, asked about by the machine. In the fleet, the ordinary
/// admission answers.
pub trait World {
    /// Whether this operation may start on a host now. `generation` is that of a rollback.
    fn may(&self, host: &HostId, op: Op, target: Option<&Target>, generation: Option<u64>) -> May;
    /// Whether a host's tests are on, also by themselves after a switch.
    fn tests_on(&self, host: &HostId) -> bool;
    /// Whether a host shows good evidence of running the target; `tested` is whether its tests must
    /// have passed on it.
    fn health(&self, host: &HostId, target: Option<&Target>, tested: bool) -> Health;
    /// What a host runs now.
    fn standing(&self, host: &HostId) -> Standing;
    /// How it gets back to that. What is not proven is [`WayBack::Unproven`].
    fn way_back(&self, host: &HostId, before: &Standing) -> WayBack;
    /// The desired state, if it is known whole.
    fn desired(&self) -> Option<Target>;
    /// Whether the desired-state source shows this target, or something later on its branch.
    fn shows(&self, target: &Target) -> bool;
}
