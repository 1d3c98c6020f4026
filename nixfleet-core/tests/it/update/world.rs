//! The production machine with a forge and a branch in memory. The forge keeps the laws of forges;
//! the world watches those of ours on every call.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use nixfleet_core::desired::{
    DesiredState, Remote, RemoteCause, RemoteHistory, Snapshot, Unavailable,
};
use nixfleet_core::host::Actor;
use nixfleet_core::update::{
    BETWEEN_MUTATIONS, Containment, DeployOrder, ForgeAnswer, ForgeCall, ForgeFailure, MergeAnswer,
    MergeOrder, PrNumber, PrState, PullRequest, RevertAnswer, StoredUpdates, UpdatePolicy,
    UpdateRecord, UpdateRefusal, UpdateStep, Updates,
};
use nixfleet_core::{CommitHistory, CommitId, LockHash, Timestamp};

use super::pull_requests::{START, commit, policy};

pub fn person() -> Actor {
    Actor::Person("ada".to_owned())
}

/// What the forge does with the next call that changes something.
#[derive(Clone, Debug)]
pub enum Whim {
    /// Nothing happens, and this is the answer.
    Answer(MergeAnswer),
    /// It is done, and the answer is lost.
    DoneButUnclear,
    /// It is done, and the answer denies it.
    MergedBut(MergeAnswer),
    /// The head moves just before.
    MovesHead(Box<PullRequest>),
    /// Somebody else merges it just before.
    MergedBySomebody,
}

pub struct World {
    pub now: Timestamp,
    pub updates: Updates,
    pub desired: DesiredState,
    pub stored: StoredUpdates,
    policy: UpdatePolicy,
    /// What the forge has.
    pub prs: BTreeMap<PrNumber, PullRequest>,
    pub whims: VecDeque<Whim>,
    /// Readings and listings that fail, before the others.
    pub outages: VecDeque<ForgeFailure>,
    pub reverts: Vec<(PrNumber, CommitId)>,
    pub revert_answers: VecDeque<RevertAnswer>,
    /// Heads, and commits that they contain by the forge's word.
    pub contains: Vec<(CommitId, CommitId)>,
    /// Whether the branch follows merges at once.
    pub branch_follows: bool,
    /// Every call, with its moment.
    pub calls: Vec<(Timestamp, ForgeCall)>,
    /// Merges that our calls did.
    pub merges: Vec<(PrNumber, CommitId)>,
    pub steps: Vec<UpdateStep>,
    pub deploys: Vec<DeployOrder>,
    paused_until: Option<Timestamp>,
    fresh: bool,
}

impl World {
    pub fn new() -> Self {
        Self::with(policy())
    }

    pub fn with(policy: UpdatePolicy) -> Self {
        let remote = Remote::Verified(at(commit('b')));
        let mut world = Self {
            now: START,
            updates: Updates::restore(policy.clone(), StoredUpdates::default(), START),
            desired: DesiredState {
                agent_version: "4.0.0".to_owned(),
                remote,
                verified_at: Some(START),
                history: None,
                pending_pr: None,
            },
            stored: StoredUpdates::default(),
            policy,
            prs: BTreeMap::new(),
            whims: VecDeque::new(),
            outages: VecDeque::new(),
            reverts: Vec::new(),
            revert_answers: VecDeque::new(),
            contains: Vec::new(),
            branch_follows: true,
            calls: Vec::new(),
            merges: Vec::new(),
            steps: Vec::new(),
            deploys: Vec::new(),
            paused_until: None,
            fresh: false,
        };
        world.perform(None);
        world
    }

    pub fn put(&mut self, pr: PullRequest) {
        self.prs.insert(pr.number, pr);
    }

    /// The machine is gone; another one goes on from what is stored.
    pub fn restart(&mut self) {
        self.updates = Updates::restore(self.policy.clone(), self.stored.clone(), self.now);
        self.fresh = false;
        self.perform(None);
    }

    /// Stores, then does what is to be done; up to this many calls are answered.
    pub fn perform(&mut self, mut answers: Option<usize>) {
        loop {
            let before = self.stored.state.as_ref();
            if before != Some(self.updates.state()) {
                let state = UpdateRecord::State(Box::new(self.updates.state().clone()));
                self.stored.commit(state);
            }
            let steps = self.updates.take_steps();
            let mut asked = Vec::new();
            for step in steps {
                match &step {
                    UpdateStep::Ask(call) => asked.push(call.clone()),
                    UpdateStep::Keep(merged) => {
                        let same = |one: &&nixfleet_core::update::MergedUpdate| {
                            one.number == merged.number
                        };
                        if let Some(before) = self.stored.merged.iter().find(same) {
                            assert_eq!(before.by, merged.by, "E1: attributed once");
                            assert_eq!(before.commit, merged.commit, "E1: attributed once");
                        }
                        self.stored.commit(UpdateRecord::Merged(merged.clone()));
                    }
                    UpdateStep::Deploy(order) | UpdateStep::Deploying(order) => {
                        self.deploys.push((**order).clone());
                    }
                    UpdateStep::ReadRemote
                    | UpdateStep::Audit(_)
                    | UpdateStep::Event { .. }
                    | UpdateStep::Notify(_) => {}
                }
                self.steps.push(step);
            }
            if asked.is_empty() {
                return;
            }
            for call in &asked {
                self.watch(call);
            }
            for call in asked {
                if answers == Some(0) {
                    continue;
                }
                answers = answers.map(|left| left - 1);
                let answer = self.forge(&call);
                self.hear(answer);
            }
        }
    }

    /// Feeds an answer, without doing what follows.
    pub fn hear(&mut self, answer: ForgeAnswer) {
        let unclear = match &answer {
            ForgeAnswer::Read(_, Ok(_)) => {
                self.fresh = true;
                None
            }
            ForgeAnswer::Read(_, Err(why)) | ForgeAnswer::Listed(Err(why)) => why.not_before,
            ForgeAnswer::Merged(_, MergeAnswer::Refused(why)) => why.not_before,
            ForgeAnswer::Contained { answer, .. } => {
                answer.as_ref().err().and_then(|why| why.not_before)
            }
            ForgeAnswer::Merged(..) | ForgeAnswer::Reverted(..) | ForgeAnswer::Listed(Ok(_)) => {
                None
            }
        };
        self.paused_until = self.paused_until.max(unclear);
        self.updates.answer(answer, &self.desired, self.now);
    }

    /// Laws E1 and E6, on every call that leaves.
    fn watch(&mut self, call: &ForgeCall) {
        assert!(
            self.paused_until.is_none_or(|pause| pause <= self.now),
            "E6: called before the forge wants to be: {call:?}"
        );
        let changes =
            |call: &ForgeCall| matches!(call, ForgeCall::Merge { .. } | ForgeCall::Revert { .. });
        if changes(call) {
            let last = self.calls.iter().rev().find(|(_, call)| changes(call));
            let earliest = last.map(|(at, _)| *at + BETWEEN_MUTATIONS);
            assert!(
                earliest.is_none_or(|at| at <= self.now),
                "E6: two changes within a second"
            );
        }
        if let ForgeCall::Merge { number, head, .. } = call {
            assert!(
                self.fresh,
                "E1, E4: no call without a fresh reading before it"
            );
            self.fresh = false;
            let stored = self.stored.state.as_ref().unwrap();
            let job = stored.job.as_ref().unwrap();
            assert_eq!(job.number, *number, "the intent is stored before the call");
            assert!(job.tries >= 1 && job.tries <= 3, "E4: three calls at most");
            assert_eq!(stored.unsettled[number].0, *head);
        }
        self.calls.push((self.now, call.clone()));
    }

    /// What the forge does and answers.
    pub fn forge(&mut self, call: &ForgeCall) -> ForgeAnswer {
        match call {
            ForgeCall::List => ForgeAnswer::Listed(match self.outages.pop_front() {
                Some(why) => Err(why),
                None => Ok(self
                    .prs
                    .values()
                    .filter(|pr| pr.state == PrState::Open)
                    .cloned()
                    .collect()),
            }),
            ForgeCall::Read { number } => {
                let read = match self.outages.pop_front() {
                    Some(why) => Err(why),
                    None => Ok(self.prs.get(number).cloned().map(Box::new)),
                };
                ForgeAnswer::Read(*number, read)
            }
            ForgeCall::Contains { commit, head } => ForgeAnswer::Contained {
                commit: *commit,
                head: *head,
                answer: match self.outages.pop_front() {
                    Some(why) => Err(why),
                    None if self.contains.contains(&(*head, *commit)) => {
                        let lock = Some(lock_of(*commit));
                        Ok(Containment::Contained { lock })
                    }
                    None => Ok(Containment::NotContained),
                },
            },
            ForgeCall::Merge { number, head, .. } => {
                ForgeAnswer::Merged(*number, self.merge(*number, *head))
            }
            ForgeCall::Revert { number, commit, .. } => {
                let answer = self.revert_answers.pop_front();
                let answer = answer.unwrap_or_else(|| RevertAnswer::Opened {
                    number: PrNumber(900),
                    url: "https://forge.example/o/config/pull/900".to_owned(),
                });
                // An earlier revert of the same merge is found.
                if !self.reverts.contains(&(*number, *commit)) {
                    self.reverts.push((*number, *commit));
                }
                ForgeAnswer::Reverted(*number, answer)
            }
        }
    }

    fn merge(&mut self, number: PrNumber, head: CommitId) -> MergeAnswer {
        let merged = merge_commit();
        match self.whims.pop_front() {
            None => self.really_merge(number, head),
            Some(Whim::Answer(answer)) => answer,
            Some(Whim::DoneButUnclear) => {
                self.really_merge(number, head);
                MergeAnswer::Ambiguous("the answer was cut off".to_owned())
            }
            Some(Whim::MergedBut(answer)) => {
                self.really_merge(number, head);
                answer
            }
            Some(Whim::MovesHead(pr)) => {
                self.put(*pr);
                self.really_merge(number, head)
            }
            Some(Whim::MergedBySomebody) => {
                let commit = Some(merged);
                self.prs.get_mut(&number).unwrap().state = PrState::Merged { commit };
                self.really_merge(number, head)
            }
        }
    }

    fn really_merge(&mut self, number: PrNumber, head: CommitId) -> MergeAnswer {
        let commit = merge_commit();
        let Some(pr) = self.prs.get_mut(&number) else {
            return MergeAnswer::Invalid("there is no such pull request".to_owned());
        };
        if pr.state != PrState::Open {
            return MergeAnswer::NotMergeable("it is not open".to_owned());
        }
        if pr.head != head {
            return MergeAnswer::HeadMoved;
        }
        pr.state = PrState::Merged {
            commit: Some(commit),
        };
        self.merges.push((number, head));
        if self.branch_follows {
            self.desired.remote = Remote::Verified(at(commit));
        }
        MergeAnswer::Done { commit }
    }

    /// Lets time pass until a moment, deadline by deadline.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut steps = 0;
        while let Some(due) = self.updates.poll_timeout().filter(|due| *due <= end) {
            let due = due.max(self.now);
            steps += 1;
            assert!(steps < 5_000, "time stands still at {due}");
            self.now = due;
            self.updates.handle_timeout(&self.desired, self.now);
            self.perform(None);
        }
        self.now = end;
        self.updates.handle_timeout(&self.desired, self.now);
        self.perform(None);
    }

    /// Lists now.
    pub fn check(&mut self) {
        self.updates.check(&person(), &self.desired, self.now);
        self.perform(None);
    }

    /// A person asks for a merge; calls are answered.
    pub fn ask_merge(&mut self, reason: Option<&str>) -> Result<u64, UpdateRefusal> {
        let order = order(42, reason);
        let started = self
            .updates
            .merge(&person(), order, &self.desired, self.now);
        self.perform(None);
        started
    }

    pub fn branch_shows(&mut self, head: CommitId, older: &[CommitId]) {
        self.desired.remote = Remote::Verified(at(head));
        let commits = [&[head], older].concat();
        self.desired.history = Some(Arc::new(RemoteHistory {
            commits: CommitHistory::new(commits),
            ..RemoteHistory::default()
        }));
        self.updates.settle(&self.desired, self.now);
        self.perform(None);
    }

    /// A source without history shows this head.
    pub fn branch_is_at(&mut self, head: CommitId) {
        self.desired.remote = Remote::Verified(at(head));
        self.desired.history = None;
        self.desired.verified_at = Some(self.now);
        self.updates.settle(&self.desired, self.now);
        self.perform(None);
    }

    /// The questions about a head.
    pub fn questions(&self, about: CommitId) -> usize {
        let asked = |(_, call): &&(Timestamp, ForgeCall)| matches!(call, ForgeCall::Contains { head, .. } if *head == about);
        self.calls.iter().filter(asked).count()
    }

    pub fn branch_fails(&mut self) {
        self.desired.remote = Remote::Failed {
            why: Unavailable::new(RemoteCause::TimedOut, ""),
            since: self.now,
            last_good: None,
        };
        self.updates.settle(&self.desired, self.now);
        self.perform(None);
    }

    pub fn merge_calls(&self) -> usize {
        let merges = |(_, call): &&(Timestamp, ForgeCall)| matches!(call, ForgeCall::Merge { .. });
        self.calls.iter().filter(merges).count()
    }

    pub fn job_message(&self) -> String {
        self.updates.state().job.as_ref().unwrap().message()
    }

    pub fn job_ended_well(&self) -> bool {
        let job = self.updates.state().job.as_ref().unwrap();
        assert!(!job.is_open(), "{}", job.message());
        job.state() == nixfleet_core::update::JobState::Completed
    }
}

/// The commit that the forge makes of a merge.
pub fn merge_commit() -> CommitId {
    commit('e')
}

pub fn order(number: u64, reason: Option<&str>) -> MergeOrder {
    MergeOrder {
        number: PrNumber(number),
        head: None,
        reason: reason.map(str::to_owned),
        deploy: None,
    }
}

pub fn lock_of(commit: CommitId) -> LockHash {
    nixfleet_core::lock_hash(commit.to_string().as_bytes())
}

pub fn at(commit: CommitId) -> Snapshot {
    Snapshot {
        commit: Ok(commit),
        lock: Ok(lock_of(commit)),
        subject: None,
        commit_time: None,
        branch: Some("main".to_owned()),
        rewritten: false,
    }
}
