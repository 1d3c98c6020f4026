//! The laws of the specification over the whole space of facts.

use nixfleet_core::Status;
use nixfleet_core::compartment::facts::*;
use nixfleet_core::compartment::rules;
use nixfleet_core::compartment::rules::TABLES;
use nixfleet_core::compartment::ruleset::Ruleset;

use super::compartments_space::{BEST, all, each_with_agent, small};
use super::counts::counted;

use Status::{Error, Ok, Outdated, Unknown};

/// Runs a check over every consistent combination of facts and prints how many there were.
fn over_all(law: &str, mut check: impl FnMut(&Facts, [Status; 5])) {
    for (facts, statuses) in all() {
        check(facts, *statuses);
    }
    let count = all().len();
    println!("{law}: {count} combinations of facts");
    if law == "A1" {
        counted("facts", &format!("laws: {count} combinations of facts"));
    }
    assert!(count > 1_000_000, "the space has shrunk to {count}");
}

fn readable(facts: &Facts) -> bool {
    facts.desired_commit == DesiredFact::Known && facts.desired_lock == DesiredFact::Known
}

fn unavailable(facts: &Facts) -> bool {
    facts.desired_commit == DesiredFact::Unavailable
        && facts.desired_lock == DesiredFact::Unavailable
}

fn claims_another(facts: &Facts) -> bool {
    matches!(facts.claim, ClaimFact::Other | ClaimFact::NoCommit)
}

#[test]
fn a01_system_ok_implies_a_verified_remote_and_proof_of_what_runs() {
    let mut green = 0_u64;
    over_all("A1", |facts, [_, _, _, system, _]| {
        if system != Ok {
            return;
        }
        green += 1;
        assert!(readable(facts), "{facts:?}");
        assert_eq!(facts.commit, CommitFact::Current);
        assert_eq!(facts.lock, LockFact::Current);
        assert_eq!(facts.tree, TreeFact::Clean);
        assert_eq!(facts.reconcile, ReconcileFact::Settled);
        assert_ne!(facts.outcome, OutcomeFact::Failed);
        let by_record = facts.record == RecordFact::SameAsCheckout;
        let by_claim = facts.record == RecordFact::None && facts.claim == ClaimFact::AsExpected;
        assert!(by_record || by_claim, "{facts:?}");
        assert!(!claims_another(facts), "{facts:?}");
        assert_ne!(facts.path, PathFact::Other);
    });
    assert!(green > 0, "positive control");
}

#[test]
fn a02_system_ok_implies_git_and_lock_ok_and_tests_ok_implies_system_ok() {
    over_all("A2", |facts, [_, git, lock, system, tests]| {
        assert!(system != Ok || (git == Ok && lock == Ok), "{facts:?}");
        assert!(tests != Ok || system == Ok, "{facts:?}");
    });
}

#[test]
fn a03_remote_failed_is_exactly_red_red_yellow_yellow() {
    let mut failed = 0_u64;
    over_all("A3", |facts, [_, git, lock, system, tests]| {
        if unavailable(facts) {
            failed += 1;
            assert_eq!(
                [git, lock, system, tests],
                [Error, Error, Outdated, Outdated]
            );
        } else {
            assert!(git != Error || lock != Error, "{facts:?}");
        }
    });
    println!("A3: of these {failed} with a failed remote");
}

#[test]
fn a04_one_missing_half_is_red_and_the_other_is_computed() {
    over_all("A4", |facts, [_, git, lock, system, tests]| {
        let whole = Facts {
            desired_commit: DesiredFact::Known,
            desired_lock: DesiredFact::Known,
            ..*facts
        };
        let [_, git_alone, lock_alone, _, _] = rules(&whole).map(|hit| hit.status);
        match (facts.desired_commit, facts.desired_lock) {
            (DesiredFact::Known, DesiredFact::Unavailable) => {
                assert_eq!(
                    [git, lock, system, tests],
                    [git_alone, Error, Outdated, Outdated]
                );
            }
            (DesiredFact::Unavailable, DesiredFact::Known) => {
                assert_eq!(
                    [git, lock, system, tests],
                    [Error, lock_alone, Outdated, Outdated]
                );
            }
            (DesiredFact::Known, DesiredFact::Known)
            | (DesiredFact::Unavailable, DesiredFact::Unavailable) => {}
        }
    });
}

#[test]
fn a05_remote_failed_implies_git_and_lock_not_unknown() {
    over_all("A5", |facts, [_, git, lock, _, _]| {
        assert!(!unavailable(facts) || (git != Unknown && lock != Unknown));
    });
}

#[test]
fn a06_gray_means_not_told_yet() {
    over_all("A6", |facts, [agent, git, lock, system, tests]| {
        assert_eq!(agent == Unknown, facts.agent == AgentFact::NotReported);
        let told = facts.commit != CommitFact::NotReported;
        let known = facts.desired_commit == DesiredFact::Known;
        assert_eq!(git == Unknown, known && !told);
        let told = facts.lock != LockFact::NotReported;
        let known = facts.desired_lock == DesiredFact::Known;
        assert_eq!(lock == Unknown, known && !told);
        let never = facts.outcome == OutcomeFact::Never && facts.record == RecordFact::None;
        assert!(
            system != Unknown || git == Unknown || lock == Unknown || never,
            "{facts:?}"
        );
        let off = facts.tests_switch == TestsSwitchFact::Off;
        assert!(tests != Unknown || off || never, "{facts:?}");
    });
}

#[test]
fn a07_the_rules_are_deterministic() {
    for facts in small().iter().step_by(101) {
        assert_eq!(rules(facts), rules(facts));
        assert_eq!(Ruleset::new(&TABLES).decide(facts), rules(facts));
    }
}

/// Every way to lose, age or break one piece of evidence that speaks for green. A piece that
/// speaks against green (a claim of another revision or of none, a record of another path) is not among
/// them: spec 01 promises this for supporting evidence.
fn degraded(facts: &Facts, mut visit: impl FnMut(&Facts)) {
    macro_rules! worse {
        ($field:ident, $values:expr) => {
            let best = $values[0];
            if facts.$field == best {
                for &value in $values.iter().skip(1) {
                    visit(&Facts {
                        $field: value,
                        ..*facts
                    });
                }
            }
        };
    }
    worse!(agent, AgentFact::ALL);
    worse!(desired_commit, DesiredFact::ALL);
    worse!(desired_lock, DesiredFact::ALL);
    worse!(commit, CommitFact::ALL);
    worse!(tree, TreeFact::ALL);
    worse!(lock, LockFact::ALL);
    worse!(outcome, OutcomeFact::ALL);
    worse!(reconcile, ReconcileFact::ALL);
    worse!(claim, ClaimFact::ALL);
    worse!(path, PathFact::ALL);
    worse!(tests_switch, TestsSwitchFact::ALL);
    worse!(result, ResultFact::ALL);
    worse!(key, KeyFact::ALL);
    let record_supports = facts.record == RecordFact::SameAsCheckout
        && !claims_another(facts)
        && facts.path != PathFact::Other;
    if record_supports {
        for &record in RecordFact::ALL.iter().skip(1) {
            // Without a record, the same claim is compared with the desired commit instead.
            visit(&Facts { record, ..*facts });
            for &claim in ClaimFact::ALL {
                visit(&Facts {
                    record,
                    claim,
                    path: PathFact::Unjudged,
                    ..*facts
                });
            }
        }
    }
}

#[test]
fn a09_worse_evidence_never_makes_anything_greener() {
    let mut pairs = 0_u64;
    // What is said of the agent touches no other compartment (the test of A16), so one answer
    // that can get worse is enough here.
    let count = each_with_agent(AgentFact::Equal, |facts| {
        let before = rules(facts).map(|hit| hit.status);
        degraded(facts, |worse| {
            pairs += 1;
            let after = rules(worse).map(|hit| hit.status);
            for (one, other) in before.iter().zip(after) {
                let greener = *one != Ok && other == Ok;
                assert!(!greener, "{facts:?} became greener as {worse:?}");
            }
        });
    });
    println!("A9: {count} combinations of facts");
    let text = format!("laws: {pairs} pairs of facts and one degradation (A9)");
    counted("facts-pairs", &text);
}

#[test]
fn a11_after_a_pull_that_changed_something_system_is_yellow_or_red() {
    over_all("A11", |facts, [_, git, lock, system, _]| {
        let pulled = git == Ok && lock == Ok && facts.record == RecordFact::Differs;
        assert!(!pulled || matches!(system, Outdated | Error), "{facts:?}");
    });
}

#[test]
fn a12_a_failed_deploy_is_red_while_the_remote_is_verifiable() {
    over_all("A12", |facts, [_, _, _, system, _]| {
        let failed = facts.outcome == OutcomeFact::Failed;
        assert!(!(failed && readable(facts)) || system == Error, "{facts:?}");
        assert!(failed || system != Error, "{facts:?}");
    });
}

#[test]
fn a13_after_a_rollback_system_is_ok_only_for_the_inputs_of_the_remote() {
    over_all("A13", |facts, [_, _, _, system, _]| {
        // A rollback leaves a clean record of what it activated.
        let rolled_back = facts.outcome == OutcomeFact::Ok && facts.record != RecordFact::None;
        if rolled_back && system == Ok {
            let inputs = (facts.record, facts.commit, facts.lock);
            let remote = (
                RecordFact::SameAsCheckout,
                CommitFact::Current,
                LockFact::Current,
            );
            assert_eq!(inputs, remote);
        }
    });
}

#[test]
fn a14_a15_tests_ok_implies_a_pass_on_what_is_deployed_and_desired() {
    let mut green = 0_u64;
    over_all("A14", |facts, [_, _, _, _, tests]| {
        if tests == Ok {
            green += 1;
            assert_eq!(
                (facts.result, facts.key),
                (ResultFact::Passed, KeyFact::Current)
            );
            assert_eq!(
                (facts.commit, facts.lock),
                (CommitFact::Current, LockFact::Current)
            );
        }
        // An empty, unverified or void run is never green.
        let proof = facts.result == ResultFact::Passed;
        assert!(proof || tests != Ok, "{facts:?}");
    });
    assert!(green > 0, "positive control");
}

#[test]
fn a16_agent_ok_iff_equal_and_any_other_report_is_red() {
    let per_agent = all().len() / AgentFact::ALL.len();
    for (index, (facts, [agent, below @ ..])) in all().iter().enumerate() {
        let expected = match facts.agent {
            AgentFact::Equal => Ok,
            AgentFact::NotReported => Unknown,
            AgentFact::Older | AgentFact::Newer | AgentFact::Incompatible => Error,
        };
        assert_eq!(*agent, expected);
        // The same facts with another answer about the agent stand at the same place.
        let (twin, [_, twin_below @ ..]) = &all()[index % per_agent];
        assert_eq!(
            Facts {
                agent: twin.agent,
                ..*facts
            },
            *twin
        );
        assert_eq!(below, twin_below);
    }
}

/// The rule of the original: the last command decides, beside git and lock. It is sound where a
/// last command is known.
fn last_command(facts: &Facts, git: Status, lock: Status) -> Status {
    match facts.outcome {
        _ if !readable(facts) => Outdated,
        OutcomeFact::Failed => Error,
        _ if git == Outdated || lock == Outdated => Outdated,
        OutcomeFact::Ok => Ok,
        OutcomeFact::Never | OutcomeFact::Unknown => Unknown,
    }
}

#[test]
fn a21_never_greener_than_the_last_command_rule_where_that_is_sound() {
    over_all("A21", |facts, [_, git, lock, system, tests]| {
        let sound = matches!(facts.outcome, OutcomeFact::Ok | OutcomeFact::Failed);
        if sound {
            assert!(
                system != Ok || last_command(facts, git, lock) == Ok,
                "{facts:?}"
            );
        }
        let passed = matches!(
            facts.result,
            ResultFact::Passed | ResultFact::PassedUnverified
        );
        assert!(tests != Ok || passed, "{facts:?}");
    });
}

#[test]
fn promise_2_a_provably_current_host_is_green() {
    assert_eq!(rules(&BEST).map(|hit| hit.status), [Ok; 5]);
    let without_record = Facts {
        record: RecordFact::None,
        path: PathFact::Unjudged,
        outcome: OutcomeFact::Never,
        ..BEST
    };
    assert_eq!(rules(&without_record).map(|hit| hit.status), [Ok; 5]);
}

#[test]
fn a_clean_pull_of_nothing_and_tests_never_change_system() {
    over_all(
        "tests beside system",
        |facts, [agent, git, lock, system, _]| {
            let other = Facts {
                tests_switch: TestsSwitchFact::On,
                result: ResultFact::Never,
                key: KeyFact::Unjudged,
                ..*facts
            };
            let [agent_then, git_then, lock_then, system_then, _] =
                rules(&other).map(|hit| hit.status);
            assert_eq!(
                [agent, git, lock, system],
                [agent_then, git_then, lock_then, system_then]
            );
        },
    );
}
