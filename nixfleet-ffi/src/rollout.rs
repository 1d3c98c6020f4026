//! Rollouts as JSON: who would take part in which order, and everything that would happen.

use nixfleet_core::wire::rollout::RolloutFacts;

use crate::boundary::{In, Out, guard};
use crate::error::Status;
use crate::handle::Handle;
use crate::text::give_json;

/// Tells who would take part in a rollout, in which order. Nothing is started.
///
/// `facts`, `len`: JSON: what is asked for in `ask`, the `hosts`, and what is `desired`.
/// `out`: receives a text the caller owns: JSON with the `id` of the plan, `target`, `policy`, `ops`,
/// `waves` and who is `skipped`. If nothing can be planned it is `NIXFLEET_STATUS_REFUSED`, and the
/// code of the last error says why, for example `unknown-host` or `no-canary`.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_rollout_plan(facts: In<u8>, len: usize, out: Out<Handle>) -> Status {
    guard(|| {
        out.check("out")?;
        let facts = RolloutFacts::read(facts.text("facts", len)?)?;
        give_json(out, &facts.plan()?)
    })
}

/// Tells everything that a rollout would do, if nothing else happens and commands end as assumed.
/// Nothing is started.
///
/// `facts`, `len`: as for `nixfleet_rollout_plan`; beside it `windows` and their `zones`,
/// `assumptions` about commands, what the inputs are `updated` to, and the moment of the `start`.
/// `out`: receives a text the caller owns: JSON with the `plan`, the `steps` with their moments, the
/// `waits` of hosts with their reasons, the rollout at its `end`, and whether it is `complete`.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_rollout_simulate(facts: In<u8>, len: usize, out: Out<Handle>) -> Status {
    guard(|| {
        out.check("out")?;
        let facts = RolloutFacts::read(facts.text("facts", len)?)?;
        give_json(out, &facts.simulate()?)
    })
}
