//! The two histories of the branch, against plain searches through the lists.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nixfleet_core::{
    CommitHistory, CommitId, CommitPrefix, CommitRef, CommitRelation, FlakeLock, LockHash,
    LockHistory, LockVersion, OffBranch, PrefixMatch, Timestamp, lock_hash,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

/// Commits that often share their first digits.
fn commit() -> impl Strategy<Value = CommitId> {
    prop_oneof![
        8 => "1111111[01]{3}0{30}",
        1 => "[0-9a-f]{40}",
        1 => "1111111[01]{3}0{54}",
    ]
    .prop_map(|text| text.parse().unwrap())
}

fn prefix() -> impl Strategy<Value = CommitPrefix> {
    prop_oneof![
        8 => "1111111[01]{0,3}",
        1 => "[0-9a-f]{7,12}",
    ]
    .prop_map(|text| text.parse().unwrap())
}

fn id(number: u64) -> CommitId {
    // A multiplication spreads the numbers, so that the order of ids is not that of the list.
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{spread:016x}{number:024x}").parse().unwrap()
}

proptest! {
    #[test]
    fn commits_are_found_where_a_search_finds_them(
        commits in vec(commit(), 0..12),
        known in btree_map(commit(), (0..3_u32, 0..3_u32), 0..4),
        desired in commit(),
        reported in commit(),
        prefix in prefix(),
        at in any::<prop::sample::Index>(),
        desired_is_head in any::<bool>(),
    ) {
        let off_branch: BTreeMap<_, _> = known
            .iter()
            .map(|(id, (ahead, behind))| (*id, OffBranch { ahead: *ahead, behind: *behind }))
            .collect();
        let history = CommitHistory::with_off_branch(commits.clone(), off_branch.clone());
        let position = |id: &CommitId| commits.iter().position(|commit| commit == id);
        prop_assert_eq!(history.position(&reported), position(&reported));

        let mut matches: BTreeSet<CommitId> = commits.iter().chain(off_branch.keys()).copied().collect();
        matches.retain(|id| id.to_string().starts_with(&prefix.to_string()));
        let unique = match (matches.len(), matches.first()) {
            (1, Some(only)) => PrefixMatch::Unique(*only),
            (0, _) => PrefixMatch::None,
            _ => PrefixMatch::Ambiguous,
        };
        prop_assert_eq!(history.resolve(&prefix), unique);

        let desired = match commits.len() {
            0 => desired,
            _ if desired_is_head => commits[0],
            length => commits[at.index(length)],
        };
        let expected = if reported == desired {
            CommitRelation::Same
        } else {
            match (position(&desired), position(&reported), off_branch.get(&reported)) {
                (None, _, _) => CommitRelation::Unknown,
                (Some(wanted), Some(held), _) if held > wanted => CommitRelation::Behind((held - wanted) as u32),
                (Some(wanted), Some(held), _) => CommitRelation::Ahead((wanted - held) as u32),
                (Some(0), None, Some(&OffBranch { ahead, behind })) => match (ahead, behind) {
                    (0, 0) => CommitRelation::NotOnBranch,
                    (0, behind) => CommitRelation::Behind(behind),
                    (ahead, 0) => CommitRelation::Ahead(ahead),
                    (ahead, behind) => CommitRelation::Diverged { ahead, behind },
                },
                (Some(_), None, _) => CommitRelation::NotOnBranch,
            }
        };
        prop_assert_eq!(history.relation(reported.into(), desired), expected);

        // An abbreviation means the desired commit only if it can mean no other.
        matches.extend(Some(desired).filter(|id| id.to_string().starts_with(&prefix.to_string())));
        let same = history.relation(CommitRef::Abbreviated(prefix), desired) == CommitRelation::Same;
        prop_assert_eq!(same, matches == BTreeSet::from([desired]));
    }

    #[test]
    fn locks_are_found_at_their_newest_occurrence(contents in vec(0..6_u8, 0..12), asked in 0..8_u8) {
        let versions = contents.iter().enumerate().map(|(number, content)| LockVersion {
            commit: id(number as u64),
            hash: lock_hash(&[*content]),
            time: Timestamp::EPOCH,
            summary: None,
        });
        let history = LockHistory::new(versions.collect());
        let hash = lock_hash(&[asked]);
        let expected = contents.iter().position(|content| *content == asked);
        prop_assert_eq!(history.behind(&hash), expected);
        prop_assert_eq!(history.version(&hash).map(|it| it.commit), expected.map(|it| id(it as u64)));
        prop_assert_eq!(history.current().map(|it| history.behind(&it.hash)), contents.first().map(|_| Some(0)));
    }
}

#[test]
fn fifty_thousand_commits_are_indexed() {
    const SIZE: u64 = 50_000;
    let history = CommitHistory::new((0..SIZE).map(id).collect());
    let head = history.head().unwrap();
    assert_eq!(history.len(), 50_000);
    for number in 0..SIZE {
        let commit = id(number);
        assert_eq!(history.position(&commit), usize::try_from(number).ok());
        let prefix = commit.to_string()[..16].parse().unwrap();
        assert_eq!(history.resolve(&prefix), PrefixMatch::Unique(commit));
        let expected = match number {
            0 => CommitRelation::Same,
            number => CommitRelation::Behind(u32::try_from(number).unwrap()),
        };
        assert_eq!(
            history.relation(CommitRef::Abbreviated(prefix), head),
            expected
        );
    }
    assert_eq!(history.position(&id(SIZE)), None);
}

#[test]
fn changes_between_two_versions_come_from_their_summaries() {
    let content = |rev: char, extra: &str| {
        let rev = rev.to_string().repeat(40);
        let source = r#"{"type": "github", "owner": "o", "repo": "r"}"#;
        let locked = format!(
            r#"{{"type": "github", "owner": "o", "repo": "r", "rev": "{rev}", "lastModified": 1767312000}}"#
        );
        format!(
            r#"{{"version": 7, "root": "root", "nodes": {{
            "root": {{"inputs": {{"pkgs": "pkgs"{extra}}}}},
            "pkgs": {{"locked": {locked}, "original": {source}}}}}}}"#
        )
    };
    let contents = [content('2', r#", "more": ["pkgs"]"#), content('1', "")];
    let hashes: Vec<LockHash> = contents.iter().map(|it| lock_hash(it.as_bytes())).collect();
    let version = |number: usize, content: &str| LockVersion {
        commit: id(number as u64),
        hash: hashes[number],
        time: Timestamp::EPOCH,
        summary: Some(Arc::new(
            FlakeLock::parse(content.as_bytes()).unwrap().summary(),
        )),
    };
    let history = LockHistory::new(vec![version(0, &contents[0]), version(1, &contents[1])]);
    let lines = |old: usize, new: usize| -> Vec<String> {
        let changes = history.changes(&hashes[old], &hashes[new]).unwrap();
        changes.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        lines(1, 0),
        [
            "more added: 2222222 (2026-01-02)",
            "pkgs 1111111 (2026-01-02) → 2222222 (2026-01-02)"
        ]
    );
    assert_eq!(lines(0, 1)[0], "more removed: 2222222 (2026-01-02)");
    assert!(lines(0, 0).is_empty());
    assert_eq!(history.changes(&hashes[0], &lock_hash(b"unknown")), None);
}
