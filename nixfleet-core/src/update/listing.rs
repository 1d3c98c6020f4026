//! What the forge tells of pull requests: listings, readings, and merges that are learned of.

use super::call::ForgeFailure;
use super::job::{Job, Stage};
use super::machine::{AuditNote, CHECK_AGAIN, UpdateStep, Updates};
use super::pull_request::{PrNumber, PrState, PullRequest};
use super::state::{KnownPr, MAX_MERGED, MAX_OPEN, MergedUpdate};
use crate::compartment::render::text::clean;
use crate::host::Actor;
use crate::ids::CommitId;
use crate::notice::{Notice, NoticeKind};
use crate::time::Timestamp;

impl Updates {
    pub(super) fn listed(
        &mut self,
        result: Result<Vec<PullRequest>, ForgeFailure>,
        now: Timestamp,
    ) {
        let all = match result {
            Ok(all) => all,
            Err(why) => {
                self.pause(why.not_before, now);
                let since = self.state.failing.as_ref().map_or(now, |(since, _)| *since);
                self.state.failing = Some((since, clean(&why.what, 300)));
                self.state.check_at = self.state.check_at.min(now + CHECK_AGAIN);
                return;
            }
        };
        self.state.failing = None;
        self.state.checked = Some(now);
        let before = std::mem::take(&mut self.state.open);
        let known = |number| {
            before
                .iter()
                .find(|known: &&KnownPr| known.pr.number == number)
        };
        let mut visible: Vec<PullRequest> = all
            .into_iter()
            .filter(|pr| {
                pr.state == PrState::Open
                    && self.policy.lists(pr)
                    && !self.merged.contains_key(&pr.number)
            })
            .collect();
        visible.sort_by_key(|pr| std::cmp::Reverse((pr.created_at, pr.number)));
        visible.dedup_by_key(|pr| pr.number);
        visible.truncate(MAX_OPEN);
        let mut open: Vec<KnownPr> = visible
            .into_iter()
            .map(|pr| {
                let before = known(pr.number);
                KnownPr::new(pr, before, now)
            })
            .collect();
        let current = before.first().map(|known| known.pr.number);
        let busy = self.open_job().map(|job| job.number);
        for gone in before {
            let number = gone.pr.number;
            if open.iter().any(|known| known.pr.number == number) {
                continue;
            }
            if busy == Some(number) && !self.merged.contains_key(&number) {
                open.push(gone);
            } else if !self.merged.contains_key(&number) {
                self.state.missing.entry(number).or_insert(now);
            }
        }
        let missing = &self.state.missing;
        self.state.unsettled.retain(|number, _| {
            let listed = open.iter().any(|known| known.pr.number == *number);
            !listed || busy == Some(*number) || missing.contains_key(number)
        });
        self.state.open = open;
        self.greet(current, now);
    }

    /// A new current pull request is told once.
    fn greet(&mut self, before: Option<PrNumber>, now: Timestamp) {
        let Some(known) = self.current() else { return };
        let (number, title) = (known.pr.number, known.pr.title.clone());
        if before == Some(number) {
            return;
        }
        let inputs: Vec<String> = known.lock.compared().map_or_else(Vec::new, |compared| {
            compared
                .inputs
                .iter()
                .map(|one| one.text.clone())
                .take(20)
                .collect()
        });
        self.push(UpdateStep::Event {
            code: "update-found",
            text: format!("update {number} is the current one: {title}"),
        });
        self.push(UpdateStep::Notify(Notice::new(
            NoticeKind::UpdateFound,
            now,
            &number.to_string(),
            format!("Update {number}: {title}"),
            inputs.join("\n"),
        )));
    }

    /// Takes in a fresh reading of one pull request.
    pub(super) fn remember(&mut self, pr: PullRequest, now: Timestamp) {
        let open = &mut self.state.open;
        let position = open.iter().position(|known| known.pr.number == pr.number);
        match (position, pr.state) {
            (Some(at), PrState::Open) => {
                if let Some(slot) = open.get_mut(at) {
                    *slot = KnownPr::new(pr, Some(slot), now);
                }
            }
            (Some(at), PrState::Closed | PrState::Merged { .. }) => {
                open.remove(at);
            }
            (None, PrState::Open | PrState::Closed | PrState::Merged { .. }) => {}
        }
    }

    pub(super) fn read(
        &mut self,
        number: PrNumber,
        result: Result<Option<Box<PullRequest>>, ForgeFailure>,
        now: Timestamp,
    ) {
        let result = match result {
            Ok(Some(pr)) if pr.number != number => Err(ForgeFailure {
                what: format!("asked for {number}, the forge told of {}", pr.number),
                not_before: None,
            }),
            other => other,
        };
        if let Err(why) = &result {
            self.wait_for_forge(why, now);
        }
        let reads =
            |job: &&mut Job| job.number == number && matches!(job.stage, Stage::Reading { .. });
        if self.state.job.as_mut().filter(reads).is_some() {
            self.job_read(number, result, now);
        } else {
            self.learn(number, result, now);
        }
    }

    /// What became of a pull request that is not listed any more.
    fn learn(
        &mut self,
        number: PrNumber,
        result: Result<Option<Box<PullRequest>>, ForgeFailure>,
        now: Timestamp,
    ) {
        self.state.missing.remove(&number);
        match result {
            Err(_) => {
                self.state.missing.insert(number, now + CHECK_AGAIN);
            }
            Ok(None) => {
                self.state.unsettled.remove(&number);
            }
            Ok(Some(pr)) => match pr.state {
                PrState::Merged { commit } => self.record_merge(&pr, commit, now),
                // A call whose outcome nobody knew did nothing.
                PrState::Open | PrState::Closed => {
                    self.state.unsettled.remove(&number);
                }
            },
        }
    }

    /// Records a merge, once for each pull request (law E1).
    pub(super) fn record_merge(
        &mut self,
        pr: &PullRequest,
        commit: Option<CommitId>,
        now: Timestamp,
    ) {
        let number = pr.number;
        let ours = self.state.unsettled.remove(&number);
        self.state.missing.remove(&number);
        let known = self
            .state
            .open
            .iter()
            .position(|one| one.pr.number == number);
        let known = known.map(|at| self.state.open.remove(at));
        if self.merged.contains_key(&number) {
            return;
        }
        let by = ours
            .filter(|(head, _)| *head == pr.head)
            .map(|(_, actor)| actor);
        if let Some(baseline) = super::checks::Baseline::of(pr) {
            self.state.baseline = Some(baseline);
        }
        let lock = known.map_or_else(|| super::lock_facts::LockFacts::of(pr), |known| known.lock);
        let inputs = lock.compared().map_or_else(Vec::new, |compared| {
            compared.inputs.iter().take(30).cloned().collect()
        });
        let merged = MergedUpdate {
            repo: self.policy.repo.clone(),
            number,
            title: clean(&pr.title, 200),
            url: pr.url.clone(),
            author: clean(&pr.author, 60),
            head: pr.head,
            commit,
            at: now,
            by,
            inputs,
            revert: None,
        };
        let whom = merged
            .by
            .as_ref()
            .map_or("elsewhere".to_owned(), |actor| match actor {
                Actor::Person(name) => format!("by {name}"),
                Actor::Automation(name) => format!("by the automation {name}"),
            });
        let place = commit.map_or("a commit not told".to_owned(), |commit| commit.short());
        let text = format!("update {number} was merged {whom} as {place}");
        self.push(UpdateStep::Event {
            code: "update-merged",
            text: text.clone(),
        });
        self.push(UpdateStep::Notify(Notice::new(
            NoticeKind::UpdateMerged,
            now,
            &number.to_string(),
            text,
            merged.title.clone(),
        )));
        if let Some(actor) = merged.by.clone() {
            let job = self.state.job.as_ref().filter(|job| job.number == number);
            let reason = job.and_then(|job| job.reason.clone());
            self.push(UpdateStep::Audit(AuditNote {
                actor,
                action: "merge-pr",
                reason,
                before: Some(format!("{number} open at {}", pr.head)),
                after: commit.map(|commit| format!("{number} merged as {commit}")),
                outcome: "merged".to_owned(),
            }));
        }
        self.push(UpdateStep::Keep(Box::new(merged.clone())));
        self.push(UpdateStep::ReadRemote);
        self.merged.insert(number, merged);
        if self.merged.len() > MAX_MERGED {
            self.merged.pop_first();
        }
    }
}
