//! When what a host told of its system proves that it needs no rollback (law D14).

use super::super::world::FleetWorld;
use super::*;
use crate::rollout::{Standing, WaitCode, WayBack, World as _};
use crate::window::ActionClass;

fn host() -> HostId {
    HOST.parse().unwrap()
}

fn standing(world: &World) -> Standing {
    rollout(world).standing(&host())
}

fn rollout(world: &World) -> FleetWorld<'_> {
    FleetWorld {
        fleet: &world.fleet,
        id: RolloutId::from_bytes([9; 16]),
        class: ActionClass::Routine,
        active_since: world.now,
    }
}

fn way_back(world: &World, before: &Standing) -> WayBack {
    rollout(world).way_back(&host(), before)
}

/// The reason to wait, if nothing is proven.
fn unproven(world: &World, before: &Standing) -> Option<WaitCode> {
    match way_back(world, before) {
        WayBack::Unproven(wait) => Some(wait.code),
        WayBack::NotNeeded | WayBack::Generation(_) | WayBack::Impossible(_) => None,
    }
}

#[test]
fn d14_only_what_is_told_after_everything_has_ended_is_proof() {
    let mut world = current();
    let before = standing(&world);
    assert_eq!(way_back(&world, &before), WayBack::NotNeeded);

    // A command is under way: what was seen before it proves nothing, nor what is seen meanwhile.
    world.remote('b');
    world.run(Op::Pull);
    assert_eq!(
        way_back(&world, &before),
        WayBack::NotNeeded,
        "a result tells"
    );
    world.hold_jobs = true;
    world.ask(Op::Switch).unwrap();
    assert_eq!(unproven(&world, &before), Some(WaitCode::Busy));
    world.pass(20);
    assert_eq!(unproven(&world, &before), Some(WaitCode::Busy));
    let open = world.fleet.hosts.get(&host()).unwrap().open.clone();

    // Nobody tracks it any more, and the agent has not said a word since.
    for id in open {
        world.fleet.commands.remove(&id);
    }
    let own = world.fleet.hosts.get_mut(&host()).unwrap();
    own.open.clear();
    assert_eq!(
        unproven(&world, &before),
        Some(WaitCode::Busy),
        "its agent does"
    );
    world.fleet.hosts.get_mut(&host()).unwrap().agent_runs = None;
    assert_eq!(unproven(&world, &before), Some(WaitCode::SystemNotSeen));
    world.pass(6);
    assert_eq!(
        unproven(&world, &before),
        Some(WaitCode::Busy),
        "it told so"
    );

    world.hold_jobs = false;
    world.run_jobs();
    let after = standing(&world);
    assert_ne!(after, before);
    assert!(matches!(way_back(&world, &before), WayBack::Generation(_)));
    assert_eq!(way_back(&world, &after), WayBack::NotNeeded);
}

#[test]
fn d14_nothing_is_proven_of_a_host_that_is_away_or_was_not_heard_of_since_the_start() {
    let mut world = current();
    let before = standing(&world);
    world.disconnect();
    assert_eq!(unproven(&world, &before), Some(WaitCode::Offline));
    // Whatever is stored says what was, also about a host that was connected when it was stored.
    for connected in [false, true] {
        let mut world = current();
        if !connected {
            world.disconnect();
        }
        let (fleet, _) = Fleet::restore(config(), world.stored.clone(), world.now);
        world.fleet = fleet;
        assert_eq!(unproven(&world, &before), Some(WaitCode::Offline));
        let nobody = Standing::default();
        assert!(matches!(way_back(&world, &nobody), WayBack::Impossible(_)));
    }
    let mut world = current();
    world.restart_server();
    world.pass(60);
    assert_eq!(
        way_back(&world, &before),
        WayBack::NotNeeded,
        "it registered again"
    );
}

#[test]
fn d14_a_profile_that_a_failed_switch_left_on_the_target_is_set_back() {
    let mut world = current();
    let before = standing(&world);
    world.remote('b');
    world.run(Op::Pull);
    world.switch = Habit::Fails;
    assert_eq!(world.run(Op::Switch), Phase::Error);
    assert_eq!(
        way_back(&world, &before),
        WayBack::NotNeeded,
        "nothing was set"
    );

    world.switch = Habit::FailsLate;
    assert_eq!(world.run(Op::Switch), Phase::Error);
    let after = standing(&world);
    assert_eq!(after.path, before.path, "it still runs what it ran");
    let WayBack::Generation(running) = way_back(&world, &before) else {
        panic!("the next boot would start the target");
    };
    assert_eq!(
        way_back(&world, &after),
        WayBack::NotNeeded,
        "it was so before"
    );
    let untold = Standing {
        profile: None,
        ..before.clone()
    };
    assert_eq!(
        way_back(&world, &untold),
        WayBack::NotNeeded,
        "nobody knows what the profile named before"
    );
    let args = crate::lifecycle::CommandArgs {
        generation: Some(running),
        ..Default::default()
    };
    let id = world.fresh_id();
    let request = Dispatch {
        args,
        ..Dispatch::new(Op::Rollback, vec![(host(), id)])
    };
    world.request(Request::Dispatch(request));
    world.run_jobs();
    world.pass(60);
    assert_eq!(world.last_phase(), Phase::Success);
    assert_eq!(way_back(&world, &before), WayBack::NotNeeded);
    assert_eq!(standing(&world), before);
    // What was left is what the profile named, not what ran all the while.
    assert!(
        world.fleet.quarantine().is_empty(),
        "no list names its commit"
    );
    assert!(world.fleet.host(&host()).unwrap().hold.is_some());
}
