//! Which operations may run, and what stands in their way.

mod force;
mod world;

use std::collections::BTreeSet;

use nixfleet_core::admission::{
    Check, GATES, Lane, Occupant, PrState, Refusal, RefusalCode, Request, admit, admit_to_queue,
};
use nixfleet_core::compartment::Status;
use nixfleet_core::desired::{Remote, RemoteCause, Unavailable};
use nixfleet_core::host::{AgentProtocol, Presence};
use nixfleet_core::{OPS, Op, Timestamp};

use self::world::{
    World, automation, bad_remote, commit, hold, observation, person, request, switching,
};

#[test]
fn every_operation_is_admitted_when_nothing_stands_in_its_way() {
    for spec in OPS {
        for actor in [person(), automation()] {
            let world = World::fine_for(spec.op);
            let admitted = admit(&request(spec.op, actor), &world.conditions());
            assert!(admitted.is_ok(), "{}: {:?}", spec.name, admitted.err());
        }
    }
}

fn refusal(op: Op, change: impl FnOnce(&mut World, &mut Request)) -> Option<RefusalCode> {
    let mut world = World::fine_for(op);
    let mut request = request(op, person());
    change(&mut world, &mut request);
    let refused = admit(&request, &world.conditions()).err();
    refused.map(|refusal| refusal.code)
}

#[test]
fn each_need_has_its_own_code() {
    use RefusalCode as R;
    let offline = Presence::Offline {
        since: Timestamp::EPOCH,
    };
    assert_eq!(
        refusal(Op::Pull, |w, _| w.presence = offline),
        Some(R::Offline)
    );
    assert_eq!(
        refusal(Op::Pull, |w, _| w.presence = Presence::NeverSeen),
        Some(R::NeverSeen)
    );
    assert_eq!(
        refusal(Op::Remove, |w, _| w.presence = Presence::Online),
        Some(R::StillOnline)
    );
    assert_eq!(
        refusal(Op::Pull, |w, _| w.active = Some(switching())),
        Some(R::Busy)
    );
    assert_eq!(
        refusal(Op::Pull, |w, _| w.remote = bad_remote()),
        Some(R::RemoteUnreadable)
    );
    assert_eq!(
        refusal(Op::Pull, |w, _| w.git = Status::Ok),
        Some(R::AlreadyCurrent)
    );
    assert_eq!(
        refusal(Op::Switch, |w, _| w.git = Status::Outdated),
        Some(R::GitOutdated)
    );
    assert_eq!(
        refusal(Op::Switch, |w, _| w.git = Status::Unknown),
        Some(R::GitUnknown)
    );
    assert_eq!(
        refusal(Op::Switch, |w, _| w.lock = Status::Outdated),
        Some(R::LockOutdated)
    );
    assert_eq!(
        refusal(Op::Switch, |w, _| w.lock = Status::Unknown),
        Some(R::LockUnknown)
    );
    let dirty = |w: &mut World, _: &mut Request| {
        w.git = Status::Outdated;
        w.observation = observation(true);
    };
    assert_eq!(refusal(Op::Switch, dirty), Some(R::Dirty));
    assert_eq!(
        refusal(Op::Pull, |w, r| {
            dirty(w, r);
            w.git = Status::Ok;
        }),
        None,
        "pulling cleans up"
    );
    assert_eq!(
        refusal(Op::Reboot, |_, r| r.second_factor = Check::Missing),
        Some(R::SecondFactorMissing)
    );
    assert_eq!(
        refusal(Op::RefreshSystem, |_, r| r.confirmed = false),
        Some(R::NotConfirmed)
    );
    assert_eq!(
        refusal(Op::UpdateInputs, |w, _| w.host_driven = false),
        Some(R::HostDrivenOff)
    );
    assert_eq!(
        refusal(Op::MergePr, |w, _| w.pr = PrState::NotKnown),
        Some(R::PrUnknown)
    );
    let pending = PrState::NotEligible("checks are running".to_owned());
    assert_eq!(
        refusal(Op::MergePr, |w, _| w.pr = pending),
        Some(R::PrNotEligible)
    );
    assert_eq!(
        refusal(Op::Test, |_, r| r.permitted = false),
        Some(R::NotPermitted)
    );
}

#[test]
fn only_half_a_remote_is_not_readable() {
    for half in 0..2 {
        let code = refusal(Op::PullSwitch, |world, _| {
            let Remote::Verified(snapshot) = &mut world.remote else {
                unreachable!()
            };
            let why = Unavailable::new(RemoteCause::LockMissing, "no flake.lock");
            if half == 0 {
                snapshot.lock = Err(why);
            } else {
                snapshot.commit = Err(why);
            }
        });
        assert_eq!(code, Some(RefusalCode::RemoteUnreadable));
    }
}

#[test]
fn a_hold_stops_automations_and_asks_people_for_a_reason() {
    for spec in OPS {
        let mut world = World::fine_for(spec.op);
        world.hold = Some(hold());
        let on_host = spec.performer == nixfleet_core::op::Performer::Agent;
        let auto = admit(&request(spec.op, automation()), &world.conditions());
        let code = auto.err().map(|refusal| refusal.code);
        assert_eq!(code, on_host.then_some(RefusalCode::Held), "{}", spec.name);

        let changes = on_host && spec.class != nixfleet_core::op::OpClass::Read;
        for (reason, enough) in [(None, false), (Some(" "), false), (Some("new disk"), true)] {
            let asked = Request {
                reason: reason.map(str::to_owned),
                ..request(spec.op, person())
            };
            let admitted = admit(&asked, &world.conditions()).is_ok();
            assert_eq!(admitted, enough || !changes, "{} {reason:?}", spec.name);
        }
    }
}

#[test]
fn restart_has_a_lane_of_its_own_and_reboot_needs_an_override() {
    let lane = |op, active: Option<Occupant>, override_busy| {
        let mut world = World::fine_for(op);
        world.active = active;
        let request = Request {
            override_busy,
            ..request(op, person())
        };
        admit(&request, &world.conditions()).map(|admitted| admitted.lane())
    };
    assert_eq!(
        lane(Op::Restart, Some(switching()), false),
        Ok(Lane::Restart)
    );
    assert_eq!(lane(Op::Reboot, None, false), Ok(Lane::Main));
    assert_eq!(lane(Op::Reboot, Some(switching()), true), Ok(Lane::Restart));
    let busy = lane(Op::Reboot, Some(switching()), false);
    assert_eq!(busy.map_err(|refusal| refusal.code), Err(RefusalCode::Busy));
    assert_eq!(
        lane(Op::RefreshGit, Some(switching()), false),
        Ok(Lane::Server)
    );
    let restarting = |w: &mut World, _: &mut Request| w.restarting = Some(switching());
    for op in [Op::Restart, Op::Pull, Op::Reboot] {
        assert_eq!(refusal(op, restarting), Some(RefusalCode::Busy), "{op:?}");
    }
}

#[test]
fn d13_a_rollback_goes_only_to_a_listed_generation_other_than_the_current_one() {
    let target = |generation| {
        let mut world = World::fine_for(Op::Rollback);
        world.identity.protocol = AgentProtocol::Commands;
        let mut request = request(Op::Rollback, person());
        request.args.generation = generation;
        admit(&request, &world.conditions())
            .map(|admitted| admitted.rollback().map(|g| g.number))
            .map_err(|refusal| refusal.code)
    };
    assert_eq!(
        target(None),
        Ok(Some(4)),
        "the newest one older than the current one"
    );
    assert_eq!(target(Some(3)), Ok(Some(3)));
    assert_eq!(target(Some(5)), Err(RefusalCode::GenerationCurrent));
    // What runs may be named when the next boot would start something else.
    let current_one = |profile: &str| {
        let mut world = World::fine_for(Op::Rollback);
        world.identity.protocol = AgentProtocol::Commands;
        let system = world.observation.system.get_or_insert_default();
        system.profile_path = profile.parse().ok();
        for one in &mut world.observation.generations {
            one.path = format!("/nix/store/system-{}", one.number).parse().ok();
        }
        let mut request = request(Op::Rollback, person());
        request.args.generation = Some(5);
        admit(&request, &world.conditions())
            .map(|admitted| admitted.rollback().map(|g| g.number))
            .map_err(|refusal| refusal.code)
    };
    assert_eq!(current_one("/nix/store/system-6"), Ok(Some(5)));
    assert_eq!(
        current_one("/nix/store/system-5"),
        Err(RefusalCode::GenerationCurrent)
    );
    assert_eq!(target(Some(9)), Err(RefusalCode::GenerationUnknown));
    assert_eq!(
        refusal(Op::Rollback, |w, _| {
            w.identity.protocol = AgentProtocol::Commands;
            w.observation.generations.clear();
        }),
        Some(RefusalCode::NoPreviousGeneration)
    );
}

#[test]
fn d13_only_a_person_rolls_an_existing_agent_back_and_only_by_one() {
    use AgentProtocol::{Commands, Existing};
    use RefusalCode::{GenerationUnknown, NoPreviousGeneration};
    let asked = |protocol, actor, generation, lists: bool| {
        let mut world = World::fine_for(Op::Rollback);
        world.identity.protocol = protocol;
        if !lists {
            world.observation.generations.clear();
        }
        let mut request = request(Op::Rollback, actor);
        request.args.generation = generation;
        admit(&request, &world.conditions())
            .map(|admitted| admitted.rollback().map(|generation| generation.number))
            .map_err(|refusal| refusal.code)
    };
    for (protocol, actor, generation, lists, expected) in [
        (Existing, person(), None, false, Ok(None)),
        (
            Existing,
            automation(),
            None,
            false,
            Err(NoPreviousGeneration),
        ),
        (Commands, person(), None, false, Err(NoPreviousGeneration)),
        (
            Commands,
            automation(),
            None,
            false,
            Err(NoPreviousGeneration),
        ),
        // It has no word for a certain generation: it would go to another one.
        (Existing, person(), Some(3), false, Err(GenerationUnknown)),
        (Existing, person(), Some(3), true, Err(GenerationUnknown)),
        // What is listed is a target for everybody.
        (Existing, automation(), None, true, Ok(Some(4))),
        (Commands, automation(), None, true, Ok(Some(4))),
        (Commands, automation(), Some(3), true, Ok(Some(3))),
    ] {
        let got = asked(protocol, actor.clone(), generation, lists);
        assert_eq!(
            got, expected,
            "{protocol:?} {actor:?} {generation:?} {lists}"
        );
    }
    // A list with nothing but the current generation says that there is no earlier one.
    assert_eq!(
        refusal(Op::Rollback, |w, _| w
            .observation
            .generations
            .retain(|one| one.current)),
        Some(NoPreviousGeneration)
    );
}

#[test]
fn arguments_are_plain_names_of_the_right_operation() {
    let input = |op, name: &str| refusal(op, |_, r| r.args.input = Some(name.to_owned()));
    assert_eq!(input(Op::UpdateInputs, "nixpkgs-unstable"), None);
    for bad in ["", "-x", "a b", "a;b", "../x", "$(id)"] {
        assert_eq!(
            input(Op::UpdateInputs, bad),
            Some(RefusalCode::BadArgument),
            "{bad:?}"
        );
    }
    assert_eq!(input(Op::Pull, "nixpkgs"), Some(RefusalCode::BadArgument));
    assert_eq!(
        refusal(Op::Pull, |_, r| r.args.generation = Some(3)),
        Some(RefusalCode::BadArgument)
    );
}

#[test]
fn only_what_time_can_lift_may_wait_in_the_queue() {
    let queue = |change: fn(&mut World, &mut Request)| {
        let mut world = World::fine_for(Op::Switch);
        let mut request = request(Op::Switch, automation());
        change(&mut world, &mut request);
        admit_to_queue(&request, &world.conditions())
            .map(|queued| queued.waits_for().map(|refusal| refusal.code))
            .map_err(|refusal| refusal.code)
    };
    assert_eq!(queue(|_, _| {}), Ok(None));
    assert_eq!(
        queue(|w, _| w.presence = Presence::NeverSeen),
        Ok(Some(RefusalCode::NeverSeen))
    );
    assert_eq!(
        queue(|w, _| w.hold = Some(hold())),
        Ok(Some(RefusalCode::Held))
    );
    assert_eq!(
        queue(|w, _| w.active = Some(switching())),
        Ok(Some(RefusalCode::Busy))
    );
    assert_eq!(
        queue(|w, r| {
            w.active = Some(switching());
            r.permitted = false;
        }),
        Err(RefusalCode::NotPermitted)
    );
    assert_eq!(
        queue(|w, _| {
            w.active = Some(switching());
            w.quarantined = true;
        }),
        Err(RefusalCode::Quarantined)
    );
}

#[test]
fn the_target_is_pinned_from_the_request_or_the_remote() {
    let world = World::fine_for(Op::Pull);
    let plain = request(Op::Pull, person());
    let admitted = admit(&plain, &world.conditions()).unwrap();
    assert_eq!(
        admitted.target().map(|target| target.commit),
        Some(commit())
    );
    let pinned = nixfleet_core::lifecycle::Target {
        commit: "c".repeat(40).parse().unwrap(),
        lock: None,
    };
    let rollout = Request {
        target: Some(pinned),
        ..plain
    };
    let admitted = admit(&rollout, &world.conditions()).unwrap();
    assert_eq!(admitted.target(), Some(&pinned));
}

#[test]
fn every_refusal_has_a_stable_code_a_sentence_and_a_way_out() {
    let mut seen = BTreeSet::new();
    for code in RefusalCode::ALL {
        assert!(seen.insert(code.code()), "{code:?}");
        let wire = serde_json::to_string(code).unwrap();
        assert_eq!(wire, format!("{:?}", code.code()));
        for refusal in [Refusal::new(*code), Refusal::about(*code, "subject")] {
            assert!(!refusal.sentence().contains(['{', '}', ';']), "{refusal}");
            assert!(!refusal.what_would_help().is_empty());
        }
    }
    assert_eq!(GATES.len(), 7);
    let busy = Refusal::about(RefusalCode::Busy, "switch is active");
    assert_eq!(
        busy.to_string(),
        "the host is busy: switch is active (busy)"
    );
}
