//! Force against every combination of obstacles, for every operation (law B19).

use std::collections::{BTreeMap, BTreeSet};

use crate::counts::counted;
use nixfleet_core::admission::{
    Check, Refusal, RefusalCode, Request, WindowState, admit, refusals,
};
use nixfleet_core::compartment::Status;
use nixfleet_core::host::Presence;
use nixfleet_core::{OPS, Op, Timestamp};

use super::world::{World, automation, bad_remote, hold, observation, person, request, switching};

/// The obstacles of law B19, and three that force may bypass.
const OBSTACLES: usize = 12;

fn obstruct(bits: usize, world: &mut World, request: &mut Request) {
    let on = |bit: usize| bits & (1 << bit) != 0;
    if on(0) {
        request.permitted = false;
    }
    if on(1) {
        let flip = world.presence == Presence::Online;
        world.presence = if flip {
            Presence::Offline {
                since: Timestamp::EPOCH,
            }
        } else {
            Presence::Online
        };
    }
    if on(2) {
        world.active = Some(switching());
    }
    if on(3) {
        world.hold = Some(hold());
    }
    if on(4) {
        world.signature = Check::Missing;
    }
    if on(5) {
        request.second_factor = Check::Missing;
    }
    if on(6) {
        world.window = WindowState::Closed { opens: None };
    }
    if on(7) {
        world.quarantined = true;
    }
    if on(8) {
        world.remote = bad_remote();
    }
    if on(9) {
        world.git = if request.op == Op::Pull {
            Status::Ok
        } else {
            Status::Outdated
        };
    }
    if on(10) {
        world.lock = if request.op == Op::Pull {
            Status::Ok
        } else {
            Status::Unknown
        };
    }
    if on(11) {
        world.observation = observation(true);
    }
}

#[test]
fn b19_force_bypasses_exactly_what_it_may_for_every_operation() {
    use RefusalCode as R;
    let bypassed = BTreeSet::from([
        R::AlreadyCurrent,
        R::GitOutdated,
        R::GitUnknown,
        R::LockOutdated,
        R::LockUnknown,
        R::Dirty,
    ]);
    let declared: BTreeSet<_> = R::ALL
        .iter()
        .copied()
        .filter(|code| code.bypassed_by_force())
        .collect();
    assert_eq!(declared, bypassed);
    let (mut count, mut seen) = (0, BTreeMap::new());
    for spec in OPS {
        for actor in [person(), automation()] {
            for bits in 0..1 << OBSTACLES {
                let mut world = World::fine_for(spec.op);
                let mut plain = request(spec.op, actor.clone());
                obstruct(bits, &mut world, &mut plain);
                let forced = Request {
                    force: true,
                    ..plain.clone()
                };
                let without: BTreeSet<_> = codes(&refusals(&plain, &world.conditions()));
                let with = codes(&refusals(&forced, &world.conditions()));
                let expected = without.difference(&bypassed).copied().collect();
                assert_eq!(with, expected, "{} {bits:012b}", spec.name);
                for code in &without {
                    *seen.entry(*code).or_insert(0) += 1;
                }
                for one in [&plain, &forced] {
                    let refused = refusals(one, &world.conditions());
                    let admitted = admit(one, &world.conditions());
                    assert_eq!(admitted.err(), refused.first().cloned());
                }
                count += 1;
            }
        }
    }
    let text = format!(
        "admission: {count} cells, each with and without force; {} refusals seen",
        seen.len()
    );
    counted("admission-cells", &text);
    for code in bypassed {
        let possible = code != R::GitUnknown && code != R::LockOutdated;
        assert!(!possible || seen.contains_key(&code), "{code:?} never seen");
    }
}

fn codes(refusals: &[Refusal]) -> BTreeSet<RefusalCode> {
    refusals.iter().map(|refusal| refusal.code).collect()
}
