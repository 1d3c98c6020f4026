//! Whether the tracked branch contains a commit, where the source of the desired state knows no
//! history: the forge is asked once for each commit and head, and its answer remembered (law E5).

use std::collections::BTreeMap;
use std::time::Duration;

use super::call::{Containment, ForgeCall, ForgeFailure};
use super::job::LOOK_AGAIN;
use super::machine::PATIENCE;
use crate::compartment::render::text::clean;
use crate::ids::CommitId;
use crate::time::Timestamp;

/// The most commits that are asked about at one head.
const MAX_COMMITS: usize = 64;

/// How long a commit is asked about without an answer; longer than anybody waits for it.
const ASKED_FOR: Duration = Duration::from_secs(180);

/// What the forge said about one head of the branch, and what it is still to be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Proofs {
    /// The head this is about; another one makes everything else worthless.
    head: Option<CommitId>,
    known: BTreeMap<CommitId, Containment>,
    /// Commits that somebody waits for.
    wanted: BTreeMap<CommitId, Wanted>,
    /// The question that has not been answered, and when it left.
    asked: Option<(CommitId, CommitId, Timestamp)>,
    /// Why the last question had no answer.
    trouble: Option<String>,
}

/// A commit that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    /// It is not asked about before.
    at: Timestamp,
    /// Since when somebody has waited.
    since: Timestamp,
}

impl Proofs {
    /// What is known of a commit at a head.
    pub fn of(&self, commit: CommitId, head: CommitId) -> Option<&Containment> {
        self.known.get(&commit).filter(|_| self.head == Some(head))
    }

    /// Why the forge did not tell, if it was asked about this head.
    pub fn trouble(&self, head: CommitId) -> Option<&str> {
        self.trouble.as_deref().filter(|_| self.head == Some(head))
    }

    /// Whether asking for it changes anything.
    pub fn lacks(&self, commit: CommitId, head: CommitId) -> bool {
        self.head != Some(head)
            || !(self.known.contains_key(&commit) || self.wanted.contains_key(&commit))
    }

    /// Somebody waits for this commit to be on the branch.
    pub fn want(&mut self, commit: CommitId, head: CommitId, now: Timestamp) {
        if self.head != Some(head) {
            let asked = self.asked.take();
            *self = Self {
                head: Some(head),
                asked,
                ..Self::default()
            };
        }
        if !self.known.contains_key(&commit) && self.wanted.len() < MAX_COMMITS {
            let wanted = Wanted {
                at: now,
                since: now,
            };
            self.wanted.entry(commit).or_insert(wanted);
        }
    }

    /// The next question, if one may be asked now.
    pub fn next(&mut self, now: Timestamp) -> Option<ForgeCall> {
        if self.asked.is_some() {
            return None;
        }
        let head = self.head?;
        let (commit, _) = self.wanted.iter().find(|(_, wanted)| wanted.at <= now)?;
        let commit = *commit;
        self.asked = Some((commit, head, now));
        Some(ForgeCall::Contains { commit, head })
    }

    /// When something is to be done next; `allowed` puts off what the forge does not want yet.
    pub fn due(&self, allowed: impl Fn(Timestamp) -> Timestamp) -> Option<Timestamp> {
        match self.asked {
            Some((_, _, left)) => Some(left + PATIENCE),
            None => {
                let due = self.wanted.values().map(|wanted| wanted.at);
                due.min().map(allowed)
            }
        }
    }

    /// Takes in an answer; false if nobody waits for it.
    pub fn answer(
        &mut self,
        commit: CommitId,
        head: CommitId,
        answer: Result<Containment, ForgeFailure>,
        now: Timestamp,
    ) -> bool {
        let is = |asked: &mut (CommitId, CommitId, Timestamp)| (asked.0, asked.1) == (commit, head);
        if self.asked.take_if(is).is_none() {
            return false;
        }
        if self.head != Some(head) {
            return true;
        }
        match answer {
            Ok(said) => {
                self.trouble = None;
                self.wanted.remove(&commit);
                self.known.insert(commit, said);
            }
            Err(why) => {
                self.trouble = Some(clean(&why.what, 200));
                if let Some(wanted) = self.wanted.get_mut(&commit) {
                    // Each time as long again as it has taken so far.
                    let waited = now.since(wanted.since);
                    wanted.at = now + waited.max(LOOK_AGAIN);
                }
                // Whoever still waits then says so again.
                self.wanted
                    .retain(|_, wanted| now.since(wanted.since) < ASKED_FOR);
            }
        }
        true
    }

    /// The question that was not answered in time.
    pub fn overdue(&self, now: Timestamp) -> Option<(CommitId, CommitId)> {
        let (commit, head, left) = self.asked?;
        (left + PATIENCE <= now).then_some((commit, head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(digit: &str) -> CommitId {
        digit.repeat(40).parse().unwrap()
    }

    /// Asks whenever that is due, for so many seconds; nobody says again that they wait.
    fn asked_within(proofs: &mut Proofs, seconds: i64, answers: bool) -> usize {
        let head = commit("b");
        let mut asked = 0;
        for second in 0..seconds {
            let now = Timestamp::from_seconds(second);
            if proofs.due(|at| at).is_none_or(|due| due > now) {
                continue;
            }
            let Some(ForgeCall::Contains { commit, .. }) = proofs.next(now) else {
                continue;
            };
            asked += 1;
            let answer = match answers {
                true => Ok(Containment::NotContained),
                false => Err(ForgeFailure {
                    what: "it said 404".to_owned(),
                    not_before: None,
                }),
            };
            assert!(proofs.answer(commit, head, answer, now));
        }
        asked
    }

    #[test]
    fn a_question_without_an_answer_is_given_up_when_nobody_waits_any_more() {
        let mut proofs = Proofs::default();
        proofs.want(commit("a"), commit("b"), Timestamp::from_seconds(0));
        let asked = asked_within(&mut proofs, 86_400, false);
        assert!((3..=8).contains(&asked), "{asked}");
        assert_eq!(proofs.due(|at| at), None);
        assert!(
            proofs.lacks(commit("a"), commit("b")),
            "who still waits asks again"
        );
        assert_eq!(proofs.trouble(commit("b")), Some("it said 404"));
        // Positive control: an answer is remembered, and asked for once.
        let mut proofs = Proofs::default();
        proofs.want(commit("a"), commit("b"), Timestamp::from_seconds(0));
        assert_eq!(asked_within(&mut proofs, 86_400, true), 1);
        assert!(!proofs.lacks(commit("a"), commit("b")));
    }
}
