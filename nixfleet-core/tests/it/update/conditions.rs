//! Law E2 over every combination of conditions, and law E3.

use std::time::Duration;

use nixfleet_core::update::{
    CONDITIONS, CheckState, Condition, Finding, ForPeople, LockFacts, Mergeable, PrState,
    PullRequest, ReadOrNot, judge,
};
use proptest::prelude::*;

use super::pull_requests::{START, benign, check, commit, edit_lock, modified, policy};
use super::world::World;

const HOUR: Duration = Duration::from_secs(3600);
/// The moment of judgement: by then everything about a benign pull request is old enough.
const LATER: Duration = Duration::from_secs(2 * 3600);

/// Breaks one condition and no other. The age of the head is not a property of the pull request.
fn break_one(pr: &mut PullRequest, condition: Condition) {
    match condition {
        Condition::Open => pr.state = PrState::Closed,
        Condition::NotDraft => pr.draft = true,
        Condition::Base => pr.base_branch = "release".to_owned(),
        Condition::HeadRepo => pr.head_repo = Some("mallory/config".to_owned()),
        Condition::Author => pr.author = "mallory".to_owned(),
        Condition::Files => {
            pr.files = ReadOrNot::Read(vec![modified("flake.lock"), modified("flake.nix")]);
        }
        Condition::LockChange => edit_lock(pr, |lock| {
            lock["nodes"]["nixpkgs"]["locked"]["owner"] = "mallory".into();
        }),
        Condition::Checks => {
            pr.checks = ReadOrNot::Read(vec![check("build", CheckState::Failure, 'c')]);
        }
        Condition::Age => pr.created_at = START + LATER,
        Condition::HeadUnchanged => {}
        Condition::Mergeable => pr.mergeable = Mergeable::No,
    }
}

fn all() -> Vec<Condition> {
    CONDITIONS.iter().map(|spec| spec.condition).collect()
}

#[test]
fn e02_of_all_combinations_of_conditions_exactly_one_is_accepted() {
    let conditions = all();
    assert_eq!(conditions.len(), 11);
    let now = START + LATER;
    let mut accepted = Vec::new();
    for vector in 0_u32..1 << conditions.len() {
        let broken = |index: usize| vector & (1 << index) != 0;
        let mut pr = benign();
        let mut head_since = START;
        for (index, condition) in conditions.iter().enumerate() {
            if broken(index) {
                break_one(&mut pr, *condition);
            }
            if broken(index) && *condition == Condition::HeadUnchanged {
                head_since = now;
            }
        }
        let lock = LockFacts::of(&pr);
        let judged = judge(&pr, &lock, &policy(), None, head_since, now);
        for (index, (condition, finding)) in judged.findings.iter().enumerate() {
            assert_eq!(*condition, conditions[index]);
            assert_eq!(finding.is_pass(), !broken(index), "{vector:b} {finding:?}");
            assert!(!finding.why().is_empty());
        }
        if judged.is_eligible() {
            accepted.push(vector);
        }
    }
    assert_eq!(accepted, [0]);
}

#[test]
fn e02_each_condition_broken_alone_stops_the_automation_with_its_reason() {
    for condition in all() {
        let mut world = World::new();
        let mut pr = benign();
        break_one(&mut pr, condition);
        world.put(pr.clone());
        world.check();
        // The head moves every half hour.
        for digit in "0123456789abcdef".chars() {
            world.pass(HOUR / 2);
            if condition == Condition::HeadUnchanged {
                pr.head = commit(digit);
                pr.checks = ReadOrNot::Read(vec![check("build", CheckState::Success, digit)]);
                world.put(pr.clone());
                world.check();
            }
            if condition == Condition::Age && world.now >= START + HOUR + HOUR / 2 {
                break;
            }
        }
        assert_eq!(world.merge_calls(), 0, "{condition:?}");
        // What is closed or about another branch is no open update at all.
        let listed = !matches!(condition, Condition::Open | Condition::Base);
        assert_eq!(world.updates.current().is_some(), listed, "{condition:?}");
        if let Some(known) = world.updates.current() {
            let judged = world.updates.judgement(known);
            let broken: Vec<Condition> = judged.broken().map(|(it, _)| *it).collect();
            assert_eq!(broken, [condition]);
        }
        // The same one with nothing broken is merged.
        world.put(PullRequest {
            head: commit('c'),
            ..benign()
        });
        world.check();
        world.pass(3 * HOUR);
        assert_eq!(
            world.merges,
            [(benign().number, commit('c'))],
            "{condition:?}"
        );
    }
}

#[test]
fn what_a_condition_means_to_people_is_what_happens_to_them() {
    for spec in CONDITIONS {
        let mut pr = benign();
        break_one(&mut pr, spec.condition);
        let now = START + LATER;
        let head_since = match spec.condition {
            Condition::HeadUnchanged => now,
            _ => START,
        };
        let lock = LockFacts::of(&pr);
        let judged = judge(&pr, &lock, &policy(), None, head_since, now);
        let stops = |reason| judged.stopping_people(reason).count();
        let expected = match spec.people {
            ForPeople::Required => (1, 1),
            ForPeople::Override => (1, 0),
            ForPeople::Shown => (0, 0),
        };
        assert_eq!((stops(false), stops(true)), expected, "{}", spec.code);
    }
    // A forge that does not know yet is asked.
    let pr = PullRequest {
        mergeable: Mergeable::NotComputed,
        ..benign()
    };
    let now = START + LATER;
    let judged = judge(&pr, &LockFacts::of(&pr), &policy(), None, START, now);
    assert_eq!(judged.stopping_people(false).count(), 0);
    assert!(!judged.is_eligible());
    assert!(matches!(judged.findings[10].1, Finding::CannotTell(_)));
}

/// What judges each condition when something could not be read.
#[test]
fn what_is_not_known_is_never_taken_for_good() {
    let unread = || "the forge answered 502".to_owned();
    type Forget = fn(&mut PullRequest, String);
    let cases: [(Condition, Forget); 3] = [
        (Condition::Files, |pr, why| {
            pr.files = ReadOrNot::NotRead(why)
        }),
        (Condition::LockChange, |pr, why| {
            pr.locks = ReadOrNot::NotRead(why);
        }),
        (Condition::Checks, |pr, why| {
            pr.checks = ReadOrNot::NotRead(why)
        }),
    ];
    for (condition, forget) in cases {
        let mut pr = benign();
        forget(&mut pr, unread());
        let lock = LockFacts::of(&pr);
        let judged = judge(&pr, &lock, &policy(), None, START, START + LATER);
        let broken: Vec<_> = judged.broken().collect();
        assert_eq!(broken.len(), 1);
        assert_eq!(broken[0].0, condition);
        assert!(matches!(broken[0].1, Finding::CannotTell(_)));
        assert!(broken[0].1.why().contains("502"));
    }
}

fn shuffled() -> impl Strategy<Value = (Vec<String>, String, String, usize)> {
    let text = "[a-zA-Z0-9 .:#\u{202e}]{0,40}";
    let label = prop_oneof![
        Just("automated".to_owned()),
        Just("safe-to-merge".to_owned()),
        "[a-z-]{1,12}"
    ];
    (prop::collection::vec(label, 0..5), text, text, 0_usize..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Labels, title and the name of the branch make a pull request visible, and nothing else.
    #[test]
    fn e03_labels_and_texts_never_change_eligibility((labels, title, branch, broken) in shuffled()) {
        let mut plain = benign();
        let conditions = all();
        if let Some(condition) = conditions.get(broken) {
            break_one(&mut plain, *condition);
        }
        let dressed = PullRequest {
            labels,
            title,
            head_branch: branch,
            url: "https://elsewhere.example/".to_owned(),
            ..plain.clone()
        };
        let judged = |pr: &PullRequest| {
            judge(pr, &LockFacts::of(pr), &policy(), None, START, START + LATER)
        };
        prop_assert_eq!(judged(&plain), judged(&dressed));
        prop_assert_eq!(judged(&plain).is_eligible(), broken >= conditions.len() || conditions[broken] == Condition::HeadUnchanged);
    }
}
