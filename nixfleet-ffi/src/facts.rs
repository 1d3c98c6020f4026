//! The hot calls: facts as a small struct, five bytes as the answer.
//!
//! A fact is the outcome of a comparison. Callers that have raw values let [`nixfleet_facts_read`]
//! compare them; whoever keeps facts can then assess a host in nanoseconds.

use nixfleet_core::compartment::facts::{
    AgentFact, ClaimFact, CommitFact, DesiredFact, KeyFact, LockFact, OutcomeFact, PathFact,
    ReconcileFact, RecordFact, ResultFact, TestsSwitchFact, TreeFact,
};
use nixfleet_core::compartment::table::overlay;
use nixfleet_core::compartment::{Facts, PullSwitchHalf, Working, rules};
use nixfleet_core::{OPS, Op, Status as Dot};

use crate::assess::read_situation;
use crate::boundary::{In, Out, guard, map};
use crate::error::{Failure, Status};

/// Everything the statuses of one host depend on, each as one byte with a value of the enumeration
/// named beside it. With all bytes 0 the host is green.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawFacts {
    /// `nixfleet_agent`: the reported agent version beside the expected one.
    pub agent: u8,
    /// `nixfleet_desired`: whether the desired commit is known.
    pub desired_commit: u8,
    /// `nixfleet_desired`: whether the desired lock is known.
    pub desired_lock: u8,
    /// `nixfleet_commit`: the commit checked out beside the desired one.
    pub commit: u8,
    /// `nixfleet_tree`: whether the checkout has local changes.
    pub tree: u8,
    /// `nixfleet_lock`: the lock checked out beside the desired one.
    pub lock: u8,
    /// `nixfleet_outcome`: outcome of the last deploy-class command.
    pub outcome: u8,
    /// `nixfleet_reconcile`: whether that outcome waits to be settled.
    pub reconcile: u8,
    /// `nixfleet_record`: the record of the last deployment beside the checkout.
    pub record: u8,
    /// `nixfleet_claim`: the revision the running system claims beside the expected one.
    pub claim: u8,
    /// `nixfleet_path`: the running store path beside the deployed one.
    pub path: u8,
    /// `nixfleet_tests_switch`: whether tests are switched on.
    pub tests_switch: u8,
    /// `nixfleet_result`: the last test result.
    pub result: u8,
    /// `nixfleet_key`: what was tested beside what is deployed.
    pub key: u8,
    /// `nixfleet_working_op`: the active command.
    pub working_op: u8,
    /// `nixfleet_working_half`: which half of a pull-switch is running.
    pub working_half: u8,
    /// 1 if the operation took the agent down and its return is awaited, else 0.
    pub awaiting_reconnect: u8,
}

/// Name of a field and how many values it has, in the order of the struct.
const FIELDS: [(&str, usize); 17] = [
    ("agent", AgentFact::ALL.len()),
    ("desired_commit", DesiredFact::ALL.len()),
    ("desired_lock", DesiredFact::ALL.len()),
    ("commit", CommitFact::ALL.len()),
    ("tree", TreeFact::ALL.len()),
    ("lock", LockFact::ALL.len()),
    ("outcome", OutcomeFact::ALL.len()),
    ("reconcile", ReconcileFact::ALL.len()),
    ("record", RecordFact::ALL.len()),
    ("claim", ClaimFact::ALL.len()),
    ("path", PathFact::ALL.len()),
    ("tests_switch", TestsSwitchFact::ALL.len()),
    ("result", ResultFact::ALL.len()),
    ("key", KeyFact::ALL.len()),
    ("working_op", 1 + OPS.len()),
    ("working_half", 3),
    ("awaiting_reconnect", 2),
];

/// Compares the values of a situation; what comes out is all that its statuses depend on.
///
/// `situation`, `len`: JSON, as for `nixfleet_assess`. `facts`: receives the facts.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_facts_read(
    situation: In<u8>,
    len: usize,
    facts: Out<RawFacts>,
) -> Status {
    guard(|| {
        facts.check("facts")?;
        let situation = read_situation(situation.text("situation", len)?)?;
        let compared = Facts::compare(&situation.as_situation());
        facts.write("facts", RawFacts::of(&compared, situation.working))
    })
}

/// Assesses one host from facts.
///
/// `facts`: the facts.
/// `statuses`: receives five bytes, each a `nixfleet_dot`: agent, git, lock, system, tests.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_assess_facts(facts: In<RawFacts>, statuses: Out<[u8; 5]>) -> Status {
    guard(|| {
        statuses.check("statuses")?;
        let facts = facts.one("facts")?;
        facts.check(None)?;
        statuses.write("statuses", facts.statuses())
    })
}

/// Assesses many hosts from facts. If one value is out of range, nothing is written.
///
/// `facts`, `count`: an array of facts.
/// `statuses`: receives five bytes for each, in the same order.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_assess_facts_many(
    facts: In<RawFacts>,
    count: usize,
    statuses: Out<[u8; 5]>,
) -> Status {
    guard(|| {
        statuses.check("statuses")?;
        let facts = facts.slice("facts", count)?;
        for (index, one) in facts.iter().enumerate() {
            one.check(Some(index))?;
        }
        map(facts, statuses, "statuses", RawFacts::statuses)
    })
}

impl RawFacts {
    fn of(facts: &Facts, working: Option<Working>) -> Self {
        Self {
            agent: facts.agent as u8,
            desired_commit: facts.desired_commit as u8,
            desired_lock: facts.desired_lock as u8,
            commit: facts.commit as u8,
            tree: facts.tree as u8,
            lock: facts.lock as u8,
            outcome: facts.outcome as u8,
            reconcile: facts.reconcile as u8,
            record: facts.record as u8,
            claim: facts.claim as u8,
            path: facts.path as u8,
            tests_switch: facts.tests_switch as u8,
            result: facts.result as u8,
            key: facts.key as u8,
            working_op: working.map_or(0, |working| 1 + working.op as u8),
            working_half: match working.and_then(|working| working.half) {
                None => 0,
                Some(PullSwitchHalf::Pull) => 1,
                Some(PullSwitchHalf::Switch) => 2,
            },
            awaiting_reconnect: working
                .is_some_and(|working| working.awaiting_reconnect)
                .into(),
        }
    }

    const fn bytes(&self) -> [u8; 17] {
        [
            self.agent,
            self.desired_commit,
            self.desired_lock,
            self.commit,
            self.tree,
            self.lock,
            self.outcome,
            self.reconcile,
            self.record,
            self.claim,
            self.path,
            self.tests_switch,
            self.result,
            self.key,
            self.working_op,
            self.working_half,
            self.awaiting_reconnect,
        ]
    }

    /// Whether every value is one; if not, the first that is none. In a batch it is named with its
    /// place there.
    fn check(&self, index: Option<usize>) -> Result<(), Failure> {
        for (byte, (field, values)) in self.bytes().into_iter().zip(FIELDS) {
            if usize::from(byte) >= values {
                let failure = Failure::out_of_range(field, byte, values);
                return Err(match index {
                    None => failure,
                    Some(index) => failure.within(&format!("facts[{index}]")),
                });
            }
        }
        Ok(())
    }

    /// The statuses as shown. The values were checked: what is none would count as the value that
    /// is furthest from green, the last one.
    fn statuses(&self) -> [u8; 5] {
        let working = self.working();
        rules(&self.facts()).map(|hit| match overlay(hit.compartment, working) {
            Some(_) => Dot::Working as u8,
            None => hit.status as u8,
        })
    }

    fn facts(&self) -> Facts {
        fn value<T: Copy>(all: &'static [T], byte: u8) -> T {
            all[usize::from(byte).min(all.len() - 1)]
        }
        Facts {
            agent: value(AgentFact::ALL, self.agent),
            desired_commit: value(DesiredFact::ALL, self.desired_commit),
            desired_lock: value(DesiredFact::ALL, self.desired_lock),
            commit: value(CommitFact::ALL, self.commit),
            tree: value(TreeFact::ALL, self.tree),
            lock: value(LockFact::ALL, self.lock),
            outcome: value(OutcomeFact::ALL, self.outcome),
            reconcile: value(ReconcileFact::ALL, self.reconcile),
            record: value(RecordFact::ALL, self.record),
            claim: value(ClaimFact::ALL, self.claim),
            path: value(PathFact::ALL, self.path),
            tests_switch: value(TestsSwitchFact::ALL, self.tests_switch),
            result: value(ResultFact::ALL, self.result),
            key: value(KeyFact::ALL, self.key),
        }
    }

    fn working(&self) -> Option<Working> {
        let place = usize::from(self.working_op).checked_sub(1)?;
        let op: Op = OPS.get(place)?.op;
        Some(Working {
            op,
            half: match self.working_half {
                1 => Some(PullSwitchHalf::Pull),
                2 => Some(PullSwitchHalf::Switch),
                _ => None,
            },
            awaiting_reconnect: self.awaiting_reconnect != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_goes_there_and_back_and_no_other_passes() {
        for (at, (field, values)) in FIELDS.into_iter().enumerate() {
            for value in 0..=u8::MAX {
                let mut bytes = [0; 17];
                bytes[at] = value;
                if field != "working_op" {
                    // A half, and a return that is awaited, belong to a command.
                    bytes[14] = 3;
                }
                let raw = from_bytes(bytes);
                assert_eq!(raw.bytes(), bytes);
                let checked = raw.check(Some(7));
                if usize::from(value) < values {
                    checked.unwrap();
                    assert_eq!(RawFacts::of(&raw.facts(), raw.working()), raw);
                } else {
                    let failure = checked.unwrap_err();
                    assert_eq!(failure.place, format!("facts[7].{field}"));
                }
            }
        }
    }

    fn from_bytes(bytes: [u8; 17]) -> RawFacts {
        let [
            agent,
            desired_commit,
            desired_lock,
            commit,
            tree,
            lock,
            rest @ ..,
        ] = bytes;
        let [
            outcome,
            reconcile,
            record,
            claim,
            path,
            tests_switch,
            rest @ ..,
        ] = rest;
        let [result, key, working_op, working_half, awaiting_reconnect] = rest;
        RawFacts {
            agent,
            desired_commit,
            desired_lock,
            commit,
            tree,
            lock,
            outcome,
            reconcile,
            record,
            claim,
            path,
            tests_switch,
            result,
            key,
            working_op,
            working_half,
            awaiting_reconnect,
        }
    }

    #[test]
    fn without_any_doubt_all_is_green_and_the_overlay_is_laid_over_it() {
        let mut raw = RawFacts::default();
        assert_eq!(raw.statuses(), [Dot::Ok as u8; 5]);
        raw.working_op = 1 + Op::Switch as u8;
        assert_eq!(raw.statuses()[3], Dot::Working as u8);
    }
}
