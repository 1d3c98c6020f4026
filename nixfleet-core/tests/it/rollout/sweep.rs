//! Every run of four hosts: 3,876 multisets of flags × 256 outcomes = 992,256.
//!
//! A multiset stands for all assignments that differ by the names of hosts only; the first two hosts
//! have priority 10, the others 20. Each law looks at every run; the runs are made once.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use nixfleet_core::rollout::{
    HostStage, OnFailure, Plan, PlanError, Policy, RollBack, RolloutState, Stage, WAITS,
};
use nixfleet_core::{HostId, Timestamp};

use super::play::{Flags, Hosts, OUTCOMES, Outcome, Play, name};

const PRIORITIES: [i64; 4] = [10, 10, 20, 20];
const SOAK: u64 = 600;

struct Sweep {
    runs: usize,
    commands: usize,
    ends: std::collections::BTreeMap<RolloutState, usize>,
    broken: Vec<(&'static str, String)>,
}

fn policy() -> Policy {
    Policy {
        soak_seconds: SOAK,
        stages: vec![Stage::Pull, Stage::Switch],
        max_in_flight: nixfleet_core::rollout::InFlight::Count(2),
        ..Policy::default()
    }
}

fn multisets() -> impl Iterator<Item = [u8; 4]> {
    (0..16u8).flat_map(|a| {
        (a..16).flat_map(move |b| (b..16).flat_map(move |c| (c..16).map(move |d| [a, b, c, d])))
    })
}

fn outcomes() -> impl Iterator<Item = [Outcome; 4]> {
    (0..256usize).map(|n| [0, 2, 4, 6].map(|shift| OUTCOMES[(n >> shift) & 3]))
}

fn sweep() -> &'static Sweep {
    static SWEEP: OnceLock<Sweep> = OnceLock::new();
    SWEEP.get_or_init(|| {
        let mut sweep = Sweep {
            runs: 0,
            commands: 0,
            ends: std::collections::BTreeMap::new(),
            broken: Vec::new(),
        };
        for bits in multisets() {
            let flags = bits.map(Flags::of);
            // Everything but being a canary happens right after planning, which is the harder case:
            // a plan leaves out hosts that are held or away already.
            let planned = flags.map(|flags| Flags::of(u8::from(flags.canary)));
            let plan = Hosts::of(&planned).plan(&policy(), &PRIORITIES).unwrap();
            let fresh = Play::new(Hosts::of(&flags), plan.clone(), &[]);
            for outcomes in outcomes() {
                let mut play = fresh.clone();
                play.outcomes = outcomes.to_vec();
                play.run();
                sweep.runs += 1;
                sweep.commands += play.sent.len();
                *sweep.ends.entry(play.rollout.state).or_default() += 1;
                for (law, what) in violations(&play, &plan, &flags) {
                    if sweep.broken.len() < 20 {
                        let run = format!("{what}: {flags:?} {outcomes:?}");
                        sweep.broken.push((law, run));
                    }
                }
            }
        }
        println!(
            "rollouts: {} runs, {} commands, ends {:?}",
            sweep.runs, sweep.commands, sweep.ends
        );
        sweep
    })
}

fn canaries(plan: &Plan) -> BTreeSet<HostId> {
    let waves = plan.waves.iter().filter(|wave| wave.canary);
    waves.flat_map(|wave| wave.hosts.clone()).collect()
}

/// Every law that a finished run breaks. Written from the trace of commands alone, not from what
/// the machine says of itself, wherever that is possible.
fn violations(play: &Play, plan: &Plan, flags: &[Flags; 4]) -> Vec<(&'static str, String)> {
    let mut broken = Vec::new();
    let mut demand = |law: &'static str, holds: bool, what: &str| {
        if !holds {
            broken.push((law, what.to_owned()));
        }
    };
    let canaries = canaries(plan);
    let rollout = &play.rollout;
    let first_other = play
        .sent
        .iter()
        .filter(|sent| !canaries.contains(&sent.host))
        .map(|sent| sent.at)
        .min();
    let failed_canary = play
        .ended
        .iter()
        .any(|(_, host, _, good)| canaries.contains(host) && !good);

    for (index, flags) in flags.iter().enumerate() {
        let sent = play.sent_to(&name(index));
        demand("d01", !flags.held || sent == 0, "a held host got a command");
        demand(
            "d07",
            !flags.closed || sent == 0,
            "a command outside the window",
        );
    }

    if let (Some(other), false) = (first_other, canaries.is_empty()) {
        let done = |host: &HostId| rollout.hosts[host].state == HostStage::Done;
        demand(
            "d02",
            canaries.iter().all(done),
            "others before every canary succeeded",
        );
        let last = play
            .ended
            .iter()
            .filter(|(_, host, ..)| canaries.contains(host));
        let last: Option<Timestamp> = last.map(|(at, ..)| *at).max();
        let soaked = last.is_some_and(|last| other >= last + Duration::from_secs(SOAK));
        demand("d02", soaked, "others before the soak was over");
    }

    if failed_canary {
        demand(
            "d03",
            rollout.state == RolloutState::Halted,
            "a failed canary, not halted",
        );
        demand(
            "d03",
            first_other.is_none(),
            "a command to others after a failed canary",
        );
    }

    let failure = play.ended.iter().find(|(.., good)| !good);
    if let Some((at, ..)) = failure {
        let later = play.sent.iter().any(|sent| sent.at > *at);
        demand("d04", !later, "a start after the first failure");
    }

    demand(
        "d05",
        play.most_in_flight <= 2,
        "more in flight than allowed",
    );

    // Law D6, for hosts that are no canaries: nobody of priority 20 before those of 10 are through.
    let first_of = |later: bool| {
        let of = play.sent.iter().filter(|sent| {
            let index = (0..4).find(|index| name(*index) == sent.host);
            !canaries.contains(&sent.host) && index.is_some_and(|index| (index >= 2) == later)
        });
        of.map(|sent| sent.at).collect::<Vec<_>>()
    };
    if let Some(second) = first_of(true).into_iter().min() {
        let last = play.ended.iter().filter(|(_, host, ..)| {
            !canaries.contains(host) && (*host == name(0) || *host == name(1))
        });
        let last = last.map(|(at, ..)| *at).max();
        demand(
            "d06",
            last.is_none_or(|last| last <= second),
            "priorities overtaken",
        );
        demand(
            "d06",
            first_of(false).iter().all(|at| *at <= second),
            "priorities overtaken",
        );
    }

    demand(
        "d08",
        rollout.target == plan.target && rollout.plan == *plan,
        "the target or plan moved",
    );

    let mut ids: Vec<_> = play.sent.iter().map(|sent| sent.command).collect();
    let mut steps: Vec<_> = play.sent.iter().map(|sent| (&sent.host, sent.op)).collect();
    let (sent, _) = (ids.len(), ids.sort_unstable());
    steps.sort_unstable();
    ids.dedup();
    steps.dedup();
    demand(
        "d12",
        ids.len() == sent && steps.len() == sent,
        "a command twice",
    );

    let totals = rollout.totals();
    let sum = totals.done + totals.failed + totals.skipped + totals.cancelled;
    demand(
        "d16",
        totals.targets == 4 && sum == 4,
        "a host without exactly one disposition",
    );
    let explained = rollout
        .hosts
        .values()
        .all(|run| run.state.is_final() && (run.state == HostStage::Done) == run.message.is_none());
    demand("d16", explained, "a disposition without a reason");

    let bound: Duration = WAITS.iter().filter_map(|row| row.bound).sum();
    let ended = play.now.since(super::play::START);
    demand("d18", ended <= bound * 4, "it took longer than its bounds");
    broken
}

fn holds(law: &str) {
    let sweep = sweep();
    assert_eq!(sweep.runs, 992_256);
    let broken = sweep.broken.iter().filter(|(own, _)| *own == law);
    let broken: Vec<_> = broken.collect();
    assert!(broken.is_empty(), "{law}: {broken:#?}");
}

#[test]
fn d01_a_held_host_receives_no_command() {
    holds("d01");
}

#[test]
fn d02_nobody_starts_before_every_canary_succeeded_and_soaked() {
    holds("d02");
}

#[test]
fn d03_a_failed_canary_halts_and_reaches_no_other_host() {
    holds("d03");
}

#[test]
fn d04_after_as_many_failures_as_allowed_nobody_starts() {
    holds("d04");
}

#[test]
fn d05_never_more_in_flight_than_allowed() {
    holds("d05");
}

#[test]
fn d06_lower_priorities_are_done_first() {
    holds("d06");
}

#[test]
fn d07_nothing_starts_outside_a_window() {
    holds("d07");
}

#[test]
fn d08_the_target_and_the_plan_never_change() {
    holds("d08");
}

#[test]
fn d12_no_command_is_emitted_twice() {
    holds("d12");
}

#[test]
fn d16_every_host_has_exactly_one_disposition_with_a_reason() {
    holds("d16");
}

#[test]
fn d18_every_run_ends_within_its_bounds() {
    holds("d18");
}

/// The laws are not kept by doing nothing: every end occurs, and commands are sent.
#[test]
fn the_sweep_sees_every_kind_of_end() {
    let sweep = sweep();
    for end in [
        RolloutState::Complete,
        RolloutState::Partial,
        RolloutState::Failed,
        RolloutState::Halted,
    ] {
        assert!(
            sweep.ends.get(&end).is_some_and(|count| *count > 1000),
            "{end:?}"
        );
    }
    assert!(sweep.commands > 500_000, "{}", sweep.commands);
}

/// Planning leaves out, with the reason, exactly who is held or away; it fails only if nobody is
/// left, or nobody of the canaries.
#[test]
fn plans_leave_out_exactly_who_is_held_or_away() {
    let (mut plans, mut refused) = (0, 0);
    for bits in multisets() {
        let flags = bits.map(Flags::of);
        let out = |flags: &Flags| flags.held || flags.offline;
        let left_out: BTreeSet<HostId> = (0..4)
            .filter(|index| out(&flags[*index]))
            .map(name)
            .collect();
        let canaries = flags.iter().filter(|flags| flags.canary);
        match Hosts::of(&flags).plan(&policy(), &PRIORITIES) {
            Ok(plan) => {
                plans += 1;
                let skipped: BTreeSet<HostId> =
                    plan.skipped.iter().map(|one| one.host.clone()).collect();
                assert_eq!(skipped, left_out);
                let taking_part: BTreeSet<HostId> =
                    plan.hosts().map(|(_, host)| host.clone()).collect();
                assert_eq!(taking_part.len() + skipped.len(), 4);
                assert_eq!(plan.id, plan.canonical_id());
                for wave in plan.waves.iter().filter(|wave| wave.canary) {
                    assert!(wave.hosts.len() < taking_part.len(), "fewer than all");
                }
            }
            Err(PlanError::NoHosts(_)) => {
                refused += 1;
                assert_eq!(left_out.len(), 4);
            }
            Err(PlanError::NoCanary(_)) => {
                refused += 1;
                assert!(canaries.clone().count() > 0 && canaries.clone().all(out));
            }
            Err(other) => panic!("{other}"),
        }
    }
    println!("rollouts: {plans} plans, {refused} refused");
    assert!(plans > 1000 && refused > 100);
}

/// A smaller sweep over policies: every way to roll back, to go on, and to be limited.
#[test]
fn d14_and_d05_hold_under_every_policy() {
    let (mut runs, mut rollbacks) = (0, 0);
    for bits in [
        [0, 0, 0, 0],
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [0, 0, 4, 8],
        [1, 0, 8, 4],
    ] {
        let flags = bits.map(Flags::of);
        let hosts = Hosts::of(&flags);
        for roll_back in [
            RollBack::None,
            RollBack::FailedHosts,
            RollBack::AllHosts,
            RollBack::AllHostsAndRevert,
        ] {
            for on_failure in [OnFailure::Stop, OnFailure::ContinueUpTo(1)] {
                for (limit, barrier) in [(1, false), (2, true), (4, false), (4, true)] {
                    let policy = Policy {
                        roll_back,
                        on_failure,
                        barrier,
                        max_in_flight: nixfleet_core::rollout::InFlight::Count(limit),
                        ..policy()
                    };
                    let plan = hosts.plan(&policy, &PRIORITIES).unwrap();
                    for outcomes in outcomes() {
                        for back in [Outcome::Ok, Outcome::Fail] {
                            let mut play = Play::new(hosts.clone(), plan.clone(), &outcomes);
                            play.rollbacks = back;
                            play.run();
                            runs += 1;
                            rollbacks += check_rollbacks(&play, &policy, limit);
                        }
                    }
                }
            }
        }
    }
    println!("rollouts: {runs} runs under every policy, {rollbacks} rollbacks");
    assert!(rollbacks > 10_000);
}

fn check_rollbacks(play: &Play, policy: &Policy, limit: u32) -> usize {
    let backs = play
        .sent
        .iter()
        .filter(|sent| sent.op == nixfleet_core::Op::Rollback);
    let hosts: Vec<&HostId> = backs.map(|sent| &sent.host).collect();
    let unique: BTreeSet<_> = hosts.iter().collect();
    assert_eq!(
        unique.len(),
        hosts.len(),
        "law D14: at most once per host and run"
    );
    assert!(play.most_in_flight <= usize::try_from(limit).unwrap());
    assert_eq!(
        play.quarantined,
        !hosts.is_empty(),
        "going back quarantines the target"
    );
    if policy.roll_back == RollBack::None {
        assert!(hosts.is_empty());
    }
    let failed = play.rollbacks != Outcome::Ok && !hosts.is_empty();
    assert!(
        !failed || play.rollout.state == RolloutState::Halted,
        "law D14"
    );
    if play.rollbacks == Outcome::Ok {
        let back: BTreeSet<HostId> = hosts.iter().copied().cloned().collect();
        assert_eq!(play.held, back, "who went back is held");
    }
    let switched = |host: &HostId| {
        let to =
            |sent: &&super::play::Sent| sent.host == *host && sent.op == nixfleet_core::Op::Switch;
        play.sent.iter().any(|sent| to(&sent))
    };
    assert!(
        hosts.iter().all(|host| switched(host)),
        "only what it changed"
    );
    if policy.roll_back == RollBack::FailedHosts && play.rollbacks == Outcome::Ok {
        let failed = play
            .rollout
            .hosts
            .iter()
            .filter(|(_, run)| run.state == HostStage::Failed);
        let failed: BTreeSet<HostId> = failed.map(|(host, _)| host.clone()).collect();
        assert_eq!(play.held, failed);
    }
    hosts.len()
}
