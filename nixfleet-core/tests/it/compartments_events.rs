//! The compartments while commands run, and over sequences of events.

use nixfleet_core::compartment::{Attention, PullSwitchHalf, Working, explain};
use nixfleet_core::desired::{Remote, RemoteCause};
use nixfleet_core::host::{LockReport, Presence, TestVerdict};
use nixfleet_core::{Compartment, OPS, Op, Status};
use proptest::prelude::*;

use super::compartments_values::check;
use super::compartments_world::{NOW, World, commit, lock};

// ---- the overlay ----

/// Spec 01, the ▶ rows, as prose.
fn is_working(compartment: Compartment, working: Working) -> bool {
    let Working {
        op,
        half,
        awaiting_reconnect,
    } = working;
    let pulling = op == Op::PullSwitch && half != Some(PullSwitchHalf::Switch);
    let switching = op == Op::PullSwitch && half != Some(PullSwitchHalf::Pull);
    match compartment {
        Compartment::Agent => [Op::Restart, Op::Reboot, Op::ForceRebuild].contains(&op),
        Compartment::Git => {
            [Op::Pull, Op::RefreshGit].contains(&op) || (pulling && !awaiting_reconnect)
        }
        Compartment::Lock => [Op::RefreshLock, Op::UpdateInputs].contains(&op),
        Compartment::System => {
            [Op::Switch, Op::Rollback, Op::ForceRebuild].contains(&op)
                || switching
                || (awaiting_reconnect && op == Op::PullSwitch)
        }
        Compartment::Tests => op == Op::Test,
    }
}

fn workings() -> Vec<Working> {
    let halves = [
        None,
        Some(PullSwitchHalf::Pull),
        Some(PullSwitchHalf::Switch),
    ];
    let mut found = Vec::new();
    for spec in OPS {
        for half in halves {
            for awaiting_reconnect in [false, true] {
                found.push(Working {
                    op: spec.op,
                    half,
                    awaiting_reconnect,
                });
            }
        }
    }
    found
}

#[test]
fn a17_a_compartment_is_working_iff_the_active_command_maps_to_it() {
    let mut world = World::current();
    let quiet = world.assess();
    assert!(quiet.statuses().iter().all(|one| *one != Status::Working));
    for working in workings() {
        world.working = Some(working);
        let busy = world.assess();
        for compartment in Compartment::ALL {
            let shown = busy.of(compartment);
            let expected = is_working(compartment, working);
            assert_eq!(shown.status == Status::Working, expected, "{working:?}");
            let trace = explain(&world.situation());
            assert_eq!(trace.recompute(), Some(busy.statuses()));
        }
    }
}

#[test]
fn a17_the_overlay_agrees_with_the_catalogue_of_operations() {
    let mut world = World::current();
    for spec in OPS {
        world.working(spec.op);
        let busy = world.assess();
        let shown: Vec<Compartment> = Compartment::ALL
            .into_iter()
            .filter(|one| busy.of(*one).status == Status::Working)
            .collect();
        assert_eq!(shown, spec.overlay, "{}", spec.name);
    }
}

#[test]
fn a18_the_overlay_hides_the_status_below_and_never_changes_it() {
    let mut world = World::current();
    world.remote_moves('b');
    let quiet = world.assess();
    for working in workings() {
        world.working = Some(working);
        let busy = world.assess();
        assert_eq!(busy.base_statuses(), quiet.statuses());
        for compartment in Compartment::ALL {
            let (busy, quiet) = (busy.of(compartment), quiet.of(compartment));
            assert_eq!(busy.base_reason, quiet.reason);
            if busy.status != Status::Working {
                assert_eq!(busy, quiet);
            }
        }
    }
}

// ---- sequences of events ----

#[derive(Clone, Copy, Debug)]
enum Step {
    RemoteMoves(char),
    RemoteFails,
    Pull,
    SwitchOk,
    SwitchFails,
    SwitchUnknown,
    Rollback(char),
    Test(TestVerdict),
    AgentRestarts,
    Disconnect,
    Connect,
    EditByHand,
    Heartbeat,
}

fn step() -> impl Strategy<Value = Step> {
    let digit = || prop::sample::select(vec!['a', 'b', 'c']);
    let verdict = prop::sample::select(vec![
        TestVerdict::Pass,
        TestVerdict::Fail,
        TestVerdict::Stopped,
        TestVerdict::Empty,
        TestVerdict::Void,
    ]);
    prop_oneof![
        3 => digit().prop_map(Step::RemoteMoves),
        1 => Just(Step::RemoteFails),
        4 => Just(Step::Pull),
        4 => Just(Step::SwitchOk),
        2 => Just(Step::SwitchFails),
        1 => Just(Step::SwitchUnknown),
        1 => digit().prop_map(Step::Rollback),
        4 => verdict.prop_map(Step::Test),
        1 => Just(Step::AgentRestarts),
        1 => Just(Step::Disconnect),
        1 => Just(Step::Connect),
        1 => Just(Step::EditByHand),
        2 => Just(Step::Heartbeat),
    ]
}

fn apply(world: &mut World, step: Step) {
    let readable = world.desired.remote.commit().is_ok();
    match step {
        Step::RemoteMoves(digit) => world.remote_moves(digit),
        Step::RemoteFails => world.remote_fails(RemoteCause::Unreachable, ""),
        Step::Pull if readable => world.pull(),
        Step::SwitchOk if world.observation.repo.is_some() => {
            world.switch_ok();
            let dirty = world.observation.repo.is_some_and(|repo| repo.dirty);
            world.observation.deployed.as_mut().unwrap().clean = !dirty;
        }
        Step::SwitchFails => world.switch_fails(),
        Step::SwitchUnknown => world.switch_outcome_unknown(),
        Step::Rollback(digit) => {
            let name = format!("rolled-back-{digit}");
            world.activate(&name, commit(digit).into(), Some(lock(&digit.to_string())));
        }
        Step::Test(verdict) => world.test(verdict),
        Step::Disconnect => world.presence = Presence::Offline { since: NOW },
        Step::Connect => world.presence = Presence::Online,
        Step::EditByHand => {
            if let Some(repo) = &mut world.observation.repo {
                repo.dirty = true;
            }
        }
        Step::Pull | Step::SwitchOk | Step::AgentRestarts | Step::Heartbeat => {}
    }
}

/// Commit and lock of what is checked out and of what was deployed.
fn inputs(world: &World) -> (Option<String>, Option<String>) {
    let repo = world.observation.repo;
    let checkout = repo.map(|repo| format!("{} {:?}", repo.commit, repo.lock.hash()));
    let record = world.observation.deployed.as_ref();
    let deployed = record.map(|one| format!("{} {:?}", one.commit.unwrap(), one.lock));
    (checkout, deployed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// A8 to A14, A18, A19 over sequences: pulls, switches, tests, a remote that moves and fails.
    #[test]
    fn a10_a11_a12_a13_a19_over_sequences_of_events(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut world = World::never_seen();
        world.connect();
        let mut failed = false;
        for step in steps {
            let before = (inputs(&world), world.assess());
            apply(&mut world, step);
            check(&world.situation());
            let after = world.assess();
            let [_, _, _, system, tests] = after.statuses();
            let [_, _, _, system_before, tests_before] = before.1.statuses();

            let clean = |world: &World| world.observation.repo.is_some_and(|repo| !repo.dirty);
            if matches!(step, Step::Pull) && inputs(&world) == before.0 && clean(&world)
                && before.1.of(Compartment::Git).status != Status::Outdated
            {
                prop_assert_eq!((system, tests), (system_before, tests_before), "A10");
            }
            let verified = matches!(world.desired.remote, Remote::Verified(_));
            let (checkout, deployed) = inputs(&world);
            if deployed.is_some() && checkout.is_some() && checkout != deployed {
                prop_assert!(matches!(system, Status::Outdated | Status::Error), "A11, A13");
            }
            let deployed_again = matches!(step, Step::Rollback(_) | Step::SwitchUnknown)
                || (matches!(step, Step::SwitchOk) && checkout.is_some());
            failed = matches!(step, Step::SwitchFails) || (failed && !deployed_again);
            if failed {
                prop_assert!(after.attentions.contains(&Attention::LastDeployFailed), "A12");
                prop_assert!(!verified || system == Status::Error, "A12");
            }
            if matches!(step, Step::Connect | Step::Disconnect | Step::Heartbeat) {
                prop_assert_eq!(after.statuses(), before.1.statuses(), "A19");
            }
            if matches!(world.presence, Presence::Offline { .. }) {
                prop_assert!(!after.is_current() && !after.counts_as_green(), "A19");
            }
            prop_assert_eq!(&after, &world.assess(), "A7");
        }
    }

    /// A9 over raw values: one piece of supporting evidence is lost, aged or broken.
    #[test]
    fn a09_losing_raw_evidence_never_makes_anything_greener(
        steps in prop::collection::vec(step(), 1..30),
        loss in 0_usize..12,
    ) {
        let mut world = World::current();
        for step in steps {
            apply(&mut world, step);
        }
        let before = world.assess().statuses();
        let supports = before[3] == Status::Ok;
        match loss {
            0 => world.remote_fails(RemoteCause::TimedOut, ""),
            1 => world.observation.repo = None,
            2 => if let Some(repo) = &mut world.observation.repo {
                repo.lock = LockReport::NotReported;
            },
            3 => if let Some(repo) = &mut world.observation.repo {
                repo.lock = LockReport::Missing;
            },
            4 => if let Some(repo) = &mut world.observation.repo {
                repo.dirty = true;
            },
            5 => world.tests = None,
            6 => world.observation.agent_version = None,
            7 => world.deploy.needs_reconcile = true,
            8 => world.switch_fails(),
            9 => if let Some(record) = &mut world.observation.deployed {
                record.clean = false;
            },
            10 => if let Some(run) = &mut world.tests {
                run.key = None;
            },
            _ => if supports {
                world.observation.deployed = None;
            },
        }
        let after = world.assess().statuses();
        for (one, other) in before.iter().zip(after) {
            prop_assert!(*one == Status::Ok || other != Status::Ok);
        }
    }
}
