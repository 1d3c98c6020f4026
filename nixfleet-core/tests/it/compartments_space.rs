//! The space of facts: every combination that a real host, remote and memory can produce.

use std::sync::OnceLock;

use nixfleet_core::Status;
use nixfleet_core::compartment::facts::*;
use nixfleet_core::compartment::rules;

/// Whether facts fit together: what `Facts::compare` can produce, and nothing else.
pub fn consistent(f: &Facts) -> bool {
    let checkout = f.commit != CommitFact::NotReported;
    let lock_said = f.lock != LockFact::NotReported;
    let commit_known = f.desired_commit == DesiredFact::Known;
    let lock_known = f.desired_lock == DesiredFact::Known;

    let checkout_fits = checkout || (f.tree == TreeFact::Clean && !lock_said);
    // Without a desired value there is nothing to compare with.
    let commit_fits =
        commit_known || matches!(f.commit, CommitFact::NotReported | CommitFact::Different);
    let lock_fits = lock_known
        || matches!(
            f.lock,
            LockFact::NotReported | LockFact::Missing | LockFact::Different
        );
    let record_fits = match f.record {
        RecordFact::None => f.path == PathFact::Unjudged,
        RecordFact::InputsUnknown => true,
        RecordFact::NoCheckout => !lock_said,
        RecordFact::SameAsCheckout => lock_said && f.lock != LockFact::Missing,
        RecordFact::Differs => lock_said,
    };
    let claim_fits = match (f.record, f.claim) {
        (RecordFact::None, ClaimFact::Unjudged) => !commit_known,
        (RecordFact::None, ClaimFact::AsExpected | ClaimFact::Other) => commit_known,
        // What is no commit needs nothing to be compared with.
        (RecordFact::None, ClaimFact::Silent | ClaimFact::NoCommit)
        | (RecordFact::InputsUnknown, _) => true,
        (RecordFact::SameAsCheckout | RecordFact::Differs | RecordFact::NoCheckout, claim) => {
            claim != ClaimFact::Unjudged
        }
    };
    let key_fits = f.key == KeyFact::Unjudged
        || match (f.result, f.record) {
            (ResultFact::Never | ResultFact::Void, _) | (_, RecordFact::InputsUnknown) => false,
            // Without a record the key is made of the claim and the desired lock.
            (_, RecordFact::None) => {
                !matches!(f.claim, ClaimFact::Silent | ClaimFact::NoCommit) && lock_known
            }
            (_, RecordFact::SameAsCheckout | RecordFact::Differs | RecordFact::NoCheckout) => true,
        };
    checkout_fits && commit_fits && lock_fits && record_fits && claim_fits && key_fits
}

/// One combination of facts and the statuses that the tables give it.
pub type Judged = (Facts, [Status; 5]);

/// Every consistent combination of facts with its statuses: built once, shared by all laws.
pub fn all() -> &'static [Judged] {
    static ALL: OnceLock<Vec<Judged>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut found = Vec::new();
        for &agent in AgentFact::ALL {
            each_with_agent(agent, |facts| {
                found.push((*facts, rules(facts).map(|hit| hit.status)));
            });
        }
        found
    })
}

/// Calls `visit` with every consistent combination that has this fact about the agent, which no
/// other compartment looks at; returns how many there are.
pub fn each_with_agent(agent: AgentFact, mut visit: impl FnMut(&Facts)) -> u64 {
    let mut count = 0;
    each_checkout(agent, |checkout| {
        each_deployment(checkout, |deployed| {
            for &tests_switch in TestsSwitchFact::ALL {
                for &result in ResultFact::ALL {
                    for &key in KeyFact::ALL {
                        let facts = Facts {
                            tests_switch,
                            result,
                            key,
                            ..*deployed
                        };
                        if consistent(&facts) {
                            count += 1;
                            visit(&facts);
                        }
                    }
                }
            }
        });
    });
    count
}

fn each_checkout(agent: AgentFact, mut visit: impl FnMut(&Facts)) {
    for &desired_commit in DesiredFact::ALL {
        for &desired_lock in DesiredFact::ALL {
            for &commit in CommitFact::ALL {
                for &tree in TreeFact::ALL {
                    for &lock in LockFact::ALL {
                        visit(&Facts {
                            agent,
                            desired_commit,
                            desired_lock,
                            commit,
                            tree,
                            lock,
                            ..BEST
                        });
                    }
                }
            }
        }
    }
}

fn each_deployment(checkout: &Facts, mut visit: impl FnMut(&Facts)) {
    for &outcome in OutcomeFact::ALL {
        for &reconcile in ReconcileFact::ALL {
            for &record in RecordFact::ALL {
                for &claim in ClaimFact::ALL {
                    for &path in PathFact::ALL {
                        let facts = Facts {
                            outcome,
                            reconcile,
                            record,
                            claim,
                            path,
                            ..*checkout
                        };
                        // With the least said about tests, only the rest can be inconsistent.
                        let silent = Facts {
                            result: ResultFact::Never,
                            key: KeyFact::Unjudged,
                            ..facts
                        };
                        if consistent(&silent) {
                            visit(&facts);
                        }
                    }
                }
            }
        }
    }
}

/// A smaller space for slow checks: every value of every fact, but only the interesting checkouts.
pub fn small() -> Vec<Facts> {
    let mut found = Vec::new();
    each_with_agent(AgentFact::Equal, |facts| {
        let commit = matches!(
            facts.commit,
            CommitFact::NotReported | CommitFact::Current | CommitFact::Behind
        );
        let lock = matches!(
            facts.lock,
            LockFact::NotReported | LockFact::Current | LockFact::Behind
        );
        if commit && lock {
            found.push(*facts);
        }
    });
    for &agent in AgentFact::ALL {
        found.push(Facts { agent, ..BEST });
    }
    // Also halves that no real host reports alone: each row must be right by itself.
    for &commit in CommitFact::ALL {
        for &lock in LockFact::ALL {
            found.push(Facts {
                commit,
                lock,
                ..BEST
            });
        }
    }
    found
}

/// Everything speaks for green.
pub const BEST: Facts = Facts {
    agent: AgentFact::Equal,
    desired_commit: DesiredFact::Known,
    desired_lock: DesiredFact::Known,
    commit: CommitFact::Current,
    tree: TreeFact::Clean,
    lock: LockFact::Current,
    outcome: OutcomeFact::Ok,
    reconcile: ReconcileFact::Settled,
    record: RecordFact::SameAsCheckout,
    claim: ClaimFact::AsExpected,
    path: PathFact::Same,
    tests_switch: TestsSwitchFact::On,
    result: ResultFact::Passed,
    key: KeyFact::Current,
};
