//! How many commits each commit of a branch reaches, which makes "behind by N" exact for every
//! commit at once: N is the number the head reaches minus the number the host's commit reaches.

use std::collections::{BinaryHeap, HashMap};

use nixfleet_core::CommitId;

/// The most steps spent on merges; a history that needs more gets no counts.
const MAX_STEPS: usize = 20_000_000;

const COUNTED: u8 = 1;
const EXCLUDED: u8 = 2;

/// For each commit the number of commits reachable from it, itself included, in the order given:
/// every commit before its parents, as `git rev-list --topo-order --parents` prints them. Parents
/// that are not listed count for nothing. `None` if the merges are too many to count.
pub(super) fn reachable(newest_first: &[(CommitId, Vec<CommitId>)]) -> Option<Vec<u32>> {
    let total = newest_first.len();
    let index: HashMap<CommitId, usize> = newest_first
        .iter()
        .enumerate()
        .map(|(position, (commit, _))| (*commit, total - 1 - position))
        .collect();
    // Oldest first, so that a parent has a smaller number than its children.
    let parents: Vec<Vec<usize>> = newest_first
        .iter()
        .rev()
        .map(|(_, parents)| {
            parents
                .iter()
                .filter_map(|id| index.get(id).copied())
                .collect()
        })
        .collect();
    let mut walk = Walk {
        parents: &parents,
        marks: vec![0; total],
        touched: Vec::new(),
        steps: 0,
    };
    let mut counts: Vec<u32> = Vec::with_capacity(total);
    for list in &parents {
        let count = match list.as_slice() {
            [] => 1,
            [first] => counts.get(*first)? + 1,
            [first, others @ ..] => counts.get(*first)? + walk.only_in(others, *first)? + 1,
        };
        counts.push(count);
    }
    counts.reverse();
    Some(counts)
}

struct Walk<'a> {
    parents: &'a [Vec<usize>],
    marks: Vec<u8>,
    touched: Vec<usize>,
    steps: usize,
}

impl Walk<'_> {
    /// How many commits are reachable from `tips` but not from `base`.
    fn only_in(&mut self, tips: &[usize], base: usize) -> Option<u32> {
        let mut queue = BinaryHeap::new();
        let mut undecided = 0_usize;
        self.mark(base, EXCLUDED, &mut queue, &mut undecided);
        for &tip in tips {
            self.mark(tip, COUNTED, &mut queue, &mut undecided);
        }
        let mut count = 0;
        // Children come off the queue before their parents, so a mark is final when it is read.
        while undecided > 0 {
            let commit = queue.pop()?;
            let mark = *self.marks.get(commit)?;
            if mark & EXCLUDED == 0 {
                count += 1;
                undecided -= 1;
            }
            let parents = self.parents;
            for &parent in parents.get(commit)? {
                self.mark(parent, mark, &mut queue, &mut undecided);
            }
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return None;
            }
        }
        for commit in self.touched.drain(..) {
            if let Some(mark) = self.marks.get_mut(commit) {
                *mark = 0;
            }
        }
        Some(count)
    }

    /// Adds a mark to a commit. An excluded commit is never counted, whatever else it is; `undecided`
    /// is the number of queued commits that would be counted.
    fn mark(
        &mut self,
        commit: usize,
        mark: u8,
        queue: &mut BinaryHeap<usize>,
        undecided: &mut usize,
    ) {
        let Some(marks) = self.marks.get_mut(commit) else {
            return;
        };
        let before = *marks;
        *marks |= mark;
        if before == 0 {
            self.touched.push(commit);
            queue.push(commit);
            *undecided += usize::from(mark & EXCLUDED == 0);
        } else if before & EXCLUDED == 0 && mark & EXCLUDED != 0 {
            *undecided -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn id(number: usize) -> CommitId {
        format!("{number:040x}").parse().unwrap()
    }

    /// The definition, slowly.
    fn by_definition(parents: &[Vec<usize>]) -> Vec<u32> {
        let mut sets: Vec<BTreeSet<usize>> = Vec::new();
        for (commit, list) in parents.iter().enumerate() {
            let mut set: BTreeSet<usize> = list.iter().flat_map(|&p| sets[p].clone()).collect();
            set.insert(commit);
            sets.push(set);
        }
        sets.iter()
            .map(|set| u32::try_from(set.len()).unwrap())
            .collect()
    }

    fn counted(parents: &[Vec<usize>]) -> Vec<u32> {
        let rows: Vec<_> = parents
            .iter()
            .enumerate()
            .rev()
            .map(|(commit, list)| (id(commit), list.iter().map(|&p| id(p)).collect()))
            .collect();
        let mut counts = reachable(&rows).unwrap();
        counts.reverse();
        counts
    }

    fn any_graph() -> impl Strategy<Value = Vec<Vec<usize>>> {
        prop::collection::vec(
            prop::collection::vec(any::<prop::sample::Index>(), 0..4),
            1..60,
        )
        .prop_map(|rows| {
            rows.iter()
                .enumerate()
                .map(|(commit, picks)| match commit {
                    0 => Vec::new(),
                    _ => picks.iter().map(|pick| pick.index(commit)).collect(),
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn counts_equal_the_definition(parents in any_graph()) {
            prop_assert_eq!(counted(&parents), by_definition(&parents));
        }
    }

    #[test]
    fn a_side_branch_counts_once() {
        // 0 ← 1 ← 2 ← 5(merge), 1 ← 3 ← 4 ← 5
        let parents = vec![vec![], vec![0], vec![1], vec![1], vec![3], vec![2, 4]];
        assert_eq!(counted(&parents), [1, 2, 3, 3, 4, 6]);
    }

    #[test]
    fn fifty_thousand_commits_with_merges_are_counted() {
        let parents: Vec<Vec<usize>> = (0..50_000_usize)
            .map(|commit| match commit {
                0 => vec![],
                _ if commit % 10 == 0 && commit > 30 => vec![commit - 1, commit - 25],
                _ => vec![commit - 1],
            })
            .collect();
        assert_eq!(counted(&parents).last(), Some(&50_000));
    }
}
