//! Is the agent after a switch the one it should be? Every cell (law B22).

use crate::counts::{Score, counted};
use nixfleet_core::host::AgentBinary;
use nixfleet_core::lifecycle::{Expectation, Freshness, FreshnessFacts, Relation};

fn cells() -> impl Iterator<Item = FreshnessFacts> {
    let triples = Relation::ALL.into_iter().flat_map(|source| {
        Relation::ALL.into_iter().flat_map(move |path| {
            Relation::ALL
                .into_iter()
                .map(move |hash| (source, path, hash))
        })
    });
    triples.flat_map(|(source, path, hash)| {
        Expectation::ALL.into_iter().flat_map(move |expected| {
            [false, true]
                .into_iter()
                .map(move |update_due| FreshnessFacts {
                    source,
                    path,
                    hash,
                    expected,
                    update_due,
                })
        })
    })
}

/// The rules of spec 02 as a list of claims, each checked on its own.
fn expected(facts: FreshnessFacts) -> Freshness {
    let relations = [facts.path, facts.hash];
    let binary_changed = relations.contains(&Relation::Changed);
    let binary_same = relations.contains(&Relation::Same) && !binary_changed;
    if facts.expected == Expectation::Match {
        return Freshness::Fresh;
    }
    if facts.expected == Expectation::Mismatch {
        return Freshness::Stale;
    }
    if binary_changed {
        return Freshness::Fresh;
    }
    if binary_same && facts.source == Relation::Changed {
        return Freshness::Suspicious;
    }
    match (binary_same, facts.update_due) {
        (true, true) => Freshness::Stale,
        (true, false) => Freshness::NoneDue,
        (false, true) => Freshness::Unverified,
        (false, false) => Freshness::NoDataNoneDue,
    }
}

#[test]
fn b22_the_verdict_is_total_over_648_cells_due_or_not() {
    let mut count = 0;
    for facts in cells() {
        assert_eq!(facts.verdict(), expected(facts), "{facts:?}");
        count += 1;
    }
    counted("freshness-cells", &format!("freshness: {count} cells"));
    assert_eq!(count, 648 * 2);
}

#[test]
fn b22_missing_data_is_never_fresh_when_an_update_was_due() {
    let no_data = |relation: Relation| !matches!(relation, Relation::Same | Relation::Changed);
    let mut seen = 0;
    for facts in cells() {
        let blind = no_data(facts.path)
            && no_data(facts.hash)
            && facts.expected == Expectation::Unknown
            && facts.update_due;
        if blind {
            assert_eq!(facts.verdict(), Freshness::Unverified, "{facts:?}");
            seen += 1;
        }
    }
    assert_eq!(seen, 4 * 4 * 6);
}

#[test]
fn a_switch_that_changes_only_the_configuration_cries_no_wolf() {
    let agent = |path: &str, expected: Option<&str>| AgentBinary {
        source_commit: Some("1111".to_owned()),
        store_path: Some(path.to_owned()),
        binary_hash: None,
        expected_path: expected.map(str::to_owned),
    };
    let compare = |before: &AgentBinary, after: &AgentBinary, due| {
        FreshnessFacts::compare(before, after, due).verdict()
    };
    let old = agent("one", None);
    assert_eq!(
        compare(&old, &agent("one", None), false),
        Freshness::NoneDue
    );
    assert_eq!(compare(&old, &agent("one", None), true), Freshness::Stale);
    assert_eq!(compare(&old, &agent("two", None), true), Freshness::Fresh);
    assert_eq!(
        compare(&old, &agent("one", Some("one")), true),
        Freshness::Fresh
    );
    assert_eq!(
        compare(&old, &agent("one", Some("two")), false),
        Freshness::Stale
    );
    let unknown = agent("unknown", None);
    assert_eq!(compare(&unknown, &unknown, true), Freshness::Unverified);
}

#[test]
fn a_field_compared_with_itself_is_the_same_or_unknown() {
    assert_eq!(Relation::between(Some("a"), Some("a")), Relation::Same);
    assert_eq!(Relation::between(Some("a"), Some("b")), Relation::Changed);
    assert_eq!(Relation::between(None, Some("b")), Relation::MissingBefore);
    assert_eq!(Relation::between(Some("a"), None), Relation::MissingAfter);
    assert_eq!(Relation::between(None, None), Relation::MissingBoth);
    assert_eq!(
        Relation::between(Some("unknown"), Some("a")),
        Relation::Unknown
    );
}

/// Every cell is compared, so another verdict in any of them is noticed.
#[test]
fn every_cell_with_another_verdict_is_noticed() {
    let verdicts = [
        Freshness::Fresh,
        Freshness::NoneDue,
        Freshness::NoDataNoneDue,
        Freshness::Unverified,
        Freshness::Stale,
        Freshness::Suspicious,
    ];
    let mut score = Score::default();
    for facts in cells() {
        for other in verdicts.into_iter().filter(|one| *one != facts.verdict()) {
            score.retargeted(other != expected(facts), || format!("{facts:?}: {other:?}"));
        }
    }
    score.done("freshness");
}
