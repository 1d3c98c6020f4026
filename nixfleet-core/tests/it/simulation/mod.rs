//! Simulation with seeded faults: the real fleet, real agents and real replicas in virtual time.
//!
//! Frames are lost, doubled, delayed and reordered; lines are cut; server and agents crash between
//! any two effects and come back from what they stored; the remote goes away, moves and moves
//! back. `NIXFLEET_SEED=n` replays one schedule, `NIXFLEET_SCHEDULES=n` sets how many are run.

mod checks;
pub mod machine;
pub mod rng;
mod world;

use std::time::Duration;

use nixfleet_core::Op;

use checks::Checks;
use world::{Canary, World};

const OPS: &[Op] = &[
    Op::Pull,
    Op::Switch,
    Op::Test,
    Op::PullSwitch,
    Op::Rollback,
    Op::Restart,
    Op::Pull,
    Op::Switch,
];

/// One random schedule; what went wrong, if anything.
fn run(seed: u64, canary: Canary) -> Result<u64, String> {
    let mut world = World::new(seed, 2, 2, canary);
    let mut checks = Checks::default();
    let steps = 60 + world.rng.below(120);
    for _ in 0..steps {
        let choice = world.rng.below(20);
        act(&mut world, choice);
        let step = Duration::from_millis(50 + world.rng.below(8000));
        world.pass(step);
        checks.always(&world)?;
    }
    // The network heals, and then there is silence.
    world.faults = false;
    world.remote_up = true;
    if world.fleet.is_none() {
        world.start_server();
    }
    for machine in 0..world.machines.len() {
        world.start_agent(machine);
    }
    // Everybody reconnects; then two hours, and two days: the queue and a pending decision may take
    // one each.
    let silence = [
        (400, Duration::from_millis(300)),
        (240, Duration::from_secs(30)),
        (100, Duration::from_secs(1800)),
    ];
    for (steps, step) in silence {
        for number in 0..steps {
            world.pass(step);
            if number % 20 == 0 {
                checks.always(&world)?;
            }
        }
    }
    checks.always(&world)?;
    world.beacon();
    world.pass(Duration::from_millis(1));
    world.pass(Duration::from_millis(1));
    checks.at_rest(&world)?;
    Ok(world.dispatched)
}

/// A short schedule that arbitrary bytes choose; for fuzzing.
pub fn drive(data: &[u8]) {
    let (seed, script) = data.split_at(data.len().min(8));
    let seed = seed
        .iter()
        .fold(0, |seed, byte| seed << 8 | u64::from(*byte));
    let mut world = World::new(seed, 2, 1, Canary::None);
    let mut checks = Checks::default();
    for byte in script.iter().take(200) {
        act(&mut world, u64::from(byte & 31));
        world.pass(Duration::from_millis(100 << (byte >> 5)));
        checks.always(&world).expect("every law holds");
    }
}

fn act(world: &mut World, choice: u64) {
    let machine = usize::try_from(world.rng.below(world.machines.len() as u64)).unwrap();
    match choice {
        0..=7 => {
            let op = *world.rng.pick(OPS);
            let force = world.rng.one_in(6);
            world.dispatch(op, machine, force);
        }
        8 => world.stop(machine),
        9 => world.cut_machine(machine),
        10 => world.crash_agent(machine),
        11 | 12 => world.start_agent(machine),
        13 => world.crash_server(),
        14 | 15 => {
            if world.fleet.is_none() {
                world.start_server();
            }
        }
        16 => world.remote += 1,
        17 => world.remote_up = !world.remote_up,
        18 => world.beacon(),
        _ => {
            if world.fleet.is_none() {
                world.start_server();
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a person may replay one schedule"
)]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn simulation_keeps_every_law_under_seeded_faults() {
    if let Some(seed) = number("NIXFLEET_SEED") {
        run(seed, Canary::None).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
        return;
    }
    let schedules = number("NIXFLEET_SCHEDULES").unwrap_or(100);
    let mut commands = 0;
    for seed in 0..schedules {
        commands += run(seed, Canary::None).unwrap_or_else(|wrong| {
            panic!("seed {seed}: {wrong}\nreplay with NIXFLEET_SEED={seed}")
        });
    }
    let text = format!("simulation: {schedules} schedules, {commands} commands asked for");
    crate::counts::counted("schedules", &text);
}

#[test]
fn simulation_catches_an_agent_that_forgets_its_journal() {
    let caught = (0..200).find_map(|seed| run(seed, Canary::ForgetfulAgent).err());
    println!("caught: {}", caught.expect("the canary must be caught"));
}

#[test]
fn simulation_catches_a_server_that_sends_before_it_stores() {
    let caught = (0..200).find_map(|seed| run(seed, Canary::SendsBeforeStoring).err());
    println!("caught: {}", caught.expect("the canary must be caught"));
}
