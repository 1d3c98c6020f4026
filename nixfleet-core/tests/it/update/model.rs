//! Every order of a merge, a forge that answers unclearly or twice, crashes, a head that moves and
//! somebody else who merges: laws E1, E4 and E5 by model checking of the production machine.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use nixfleet_core::desired::{DesiredState, Remote};
use nixfleet_core::rollout::Targets;
use nixfleet_core::update::{
    Check, CheckState, Deploy, ForgeAnswer, ForgeCall, JobState, MergeAnswer, PrNumber, PrState,
    PullRequest, ReadOrNot, StoredUpdates, UpdatePolicy, UpdateRecord, UpdateStep, Updates,
};
use nixfleet_core::{CommitId, RolloutId, Timestamp};
use stateright::{Checker, Model, Property};

use super::pull_requests::{START, benign, commit, policy};
use super::world::{at, merge_commit, order, person};

const NUMBER: PrNumber = PrNumber(42);

/// A fault of what is around the machine, or of the machine, that the checker must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    None,
    /// The client of the forge merges whatever the head is.
    HeadIgnored,
    /// The client repeats a merge by itself after an unclear answer.
    ClientRepeats,
    /// The intent is stored only after the call has left, and lost in a crash.
    IntentLost,
}

struct Merging {
    budget: Budget,
    mutant: Mutant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Budget {
    unclear: u8,
    doubled: u8,
    crashes: u8,
    moves: u8,
    strangers: u8,
    asks: u8,
    moments: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Action {
    /// A person asks for the merge.
    Ask,
    /// The forge works on a call, and its answer arrives.
    Answer(usize),
    /// It arrives twice.
    AnswerTwice(usize),
    /// It works, and the answer is lost.
    DoneUnclear(usize),
    /// It does nothing, and the answer is unclear.
    NotDoneUnclear(usize),
    HeadMoves,
    StrangerMerges,
    /// The calls under way are still worked on, or not; nobody hears of them.
    Crash {
        worked: bool,
    },
    Tick,
}

#[derive(Clone)]
struct State {
    now: Timestamp,
    updates: Updates,
    stored: StoredUpdates,
    desired: DesiredState,
    pr: PullRequest,
    in_flight: Vec<ForgeCall>,
    /// Heads that the machine has seen in a reading since the last call.
    fresh: bool,
    merges: u8,
    merged_head: Option<CommitId>,
    asked_head: Option<CommitId>,
    calls: BTreeMap<u64, u8>,
    deploys: u8,
    budget: Budget,
    wrong: Option<&'static str>,
}

impl State {
    fn essence(&self) -> String {
        format!(
            "{:?}|{:?}|{:?}|{:?}|{:?}|{:?}|{:?}|{:?}|{:?}",
            self.now,
            self.updates.state(),
            self.stored.merged,
            (self.pr.head, self.pr.state),
            self.in_flight,
            (self.fresh, self.merges, self.deploys),
            self.stored.state.as_ref().map(|state| &state.job),
            self.budget,
            self.wrong,
        )
    }

    fn wrong(&mut self, why: &'static str) {
        self.wrong = self.wrong.or(Some(why));
    }

    /// Stores and sends. What is stored is stored first.
    fn perform(&mut self, mutant: Mutant) {
        let steps = self.updates.take_steps();
        let state = self.updates.state().clone();
        let merging = |step: &UpdateStep| matches!(step, UpdateStep::Ask(ForgeCall::Merge { .. }));
        let loses = mutant == Mutant::IntentLost && steps.iter().any(merging);
        if !loses {
            self.stored.commit(UpdateRecord::State(Box::new(state)));
        }
        for step in steps {
            match step {
                UpdateStep::Ask(call) => self.send(call),
                UpdateStep::Keep(merged) => {
                    let same =
                        |one: &&nixfleet_core::update::MergedUpdate| one.number == merged.number;
                    if self.stored.merged.iter().any(|one| same(&one)) {
                        self.wrong("E1: a merge was recorded twice");
                    }
                    if merged.by.is_some() && self.calls.is_empty() {
                        self.wrong("E1: a merge is called ours, and nothing was called");
                    }
                    self.stored.commit(UpdateRecord::Merged(merged));
                }
                UpdateStep::Deploy(order) => {
                    self.deploys += 1;
                    if order.commit != merge_commit() || self.pr.state == PrState::Open {
                        self.wrong("E5: deployed what is not merged");
                    }
                    if self.merged_head != self.asked_head {
                        self.wrong("deployed a head that nobody asked for");
                    }
                }
                UpdateStep::Deploying(_)
                | UpdateStep::ReadRemote
                | UpdateStep::Audit(_)
                | UpdateStep::Event { .. }
                | UpdateStep::Notify(_) => {}
            }
        }
        let open = self.updates.open_job();
        let waits = open.is_some_and(|job| job.state() == JobState::Merging);
        if waits && self.updates.poll_timeout().is_none() && self.in_flight.is_empty() {
            self.wrong("a job waits for nothing");
        }
    }

    fn send(&mut self, call: ForgeCall) {
        if let ForgeCall::Merge { .. } = &call {
            if !self.fresh {
                self.wrong("E1, E4: called without a fresh reading");
            }
            self.fresh = false;
            let job = self.updates.state().job.as_ref().map_or(0, |job| job.id);
            let calls = self.calls.entry(job).or_default();
            *calls += 1;
            if *calls > 3 {
                self.wrong("E4: more than three calls");
            }
            let intent = self
                .stored
                .state
                .as_ref()
                .and_then(|state| state.unsettled.get(&NUMBER));
            if intent.is_none() {
                self.wrong("a call left before its intent was stored");
            }
        }
        self.in_flight.push(call);
    }

    /// The forge works on a call.
    fn forge(&mut self, call: &ForgeCall, mutant: Mutant) -> ForgeAnswer {
        match call {
            ForgeCall::List => {
                let open = self.pr.state == PrState::Open;
                ForgeAnswer::Listed(Ok(open.then(|| self.pr.clone()).into_iter().collect()))
            }
            ForgeCall::Read { .. } => {
                ForgeAnswer::Read(NUMBER, Ok(Some(Box::new(self.pr.clone()))))
            }
            ForgeCall::Merge { head, .. } => {
                let answer = if self.pr.state != PrState::Open {
                    MergeAnswer::NotMergeable("it is not open".to_owned())
                } else if self.pr.head != *head && mutant != Mutant::HeadIgnored {
                    MergeAnswer::HeadMoved
                } else {
                    self.merge();
                    if self.pr.head != *head {
                        self.wrong("E1: another head was merged than the judged one");
                    }
                    MergeAnswer::Done {
                        commit: merge_commit(),
                    }
                };
                ForgeAnswer::Merged(NUMBER, answer)
            }
            ForgeCall::Contains { .. } => {
                self.wrong("the branch is never past the merge");
                ForgeAnswer::Listed(Ok(Vec::new()))
            }
            ForgeCall::Revert { .. } => {
                self.wrong("nobody asked for a revert");
                ForgeAnswer::Listed(Ok(Vec::new()))
            }
        }
    }

    fn merge(&mut self) {
        self.pr.state = PrState::Merged {
            commit: Some(merge_commit()),
        };
        self.merges += 1;
        self.merged_head = Some(self.pr.head);
        self.desired.remote = Remote::Verified(at(merge_commit()));
    }

    fn hear(&mut self, answer: ForgeAnswer, mutant: Mutant) {
        if matches!(answer, ForgeAnswer::Read(..)) {
            self.fresh = true;
        }
        self.updates.answer(answer, &self.desired, self.now);
        self.perform(mutant);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.essence() == other.essence()
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.essence())
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.essence().hash(hasher);
    }
}

fn by_hand() -> UpdatePolicy {
    UpdatePolicy {
        auto_merge: false,
        // Lists only when asked to, which keeps the model small.
        interval: Duration::from_secs(1_000_000),
        delay: Duration::ZERO,
        ..policy()
    }
}

impl Model for Merging {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let updates = Updates::restore(by_hand(), StoredUpdates::default(), START);
        let mut state = State {
            now: START,
            updates,
            stored: StoredUpdates::default(),
            desired: DesiredState {
                agent_version: "4.0.0".to_owned(),
                remote: Remote::Verified(at(commit('b'))),
                verified_at: None,
                history: None,
                pending_pr: None,
            },
            pr: benign(),
            in_flight: Vec::new(),
            fresh: false,
            merges: 0,
            merged_head: None,
            asked_head: None,
            calls: BTreeMap::new(),
            deploys: 0,
            budget: self.budget,
            wrong: None,
        };
        // The pull request is listed.
        state.updates.settle(&state.desired, START);
        state.perform(self.mutant);
        let call = state.in_flight.remove(0);
        let answer = state.forge(&call, self.mutant);
        state.hear(answer, self.mutant);
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.wrong.is_some() {
            return;
        }
        let budget = &state.budget;
        if budget.asks > 0 {
            actions.push(Action::Ask);
        }
        for (at, call) in state.in_flight.iter().enumerate() {
            actions.push(Action::Answer(at));
            if budget.doubled > 0 {
                actions.push(Action::AnswerTwice(at));
            }
            if budget.unclear > 0 && matches!(call, ForgeCall::Merge { .. }) {
                actions.push(Action::DoneUnclear(at));
                actions.push(Action::NotDoneUnclear(at));
            }
        }
        if budget.moves > 0 && state.pr.state == PrState::Open {
            actions.push(Action::HeadMoves);
        }
        if budget.strangers > 0 && state.pr.state == PrState::Open {
            actions.push(Action::StrangerMerges);
        }
        if budget.crashes > 0 {
            actions.push(Action::Crash { worked: false });
            if !state.in_flight.is_empty() {
                actions.push(Action::Crash { worked: true });
            }
        }
        if budget.moments > 0 && state.updates.poll_timeout().is_some() {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let mutant = self.mutant;
        match action {
            Action::Ask => {
                state.budget.asks -= 1;
                let mut order = order(42, None);
                order.deploy = Some(Deploy {
                    rollout: RolloutId::from_bytes([7; 16]),
                    hosts: Targets::All,
                    policy: Deploy::default_policy(),
                });
                // What is merged already is asked for as it is recorded.
                let merged = state.updates.merged().get(&NUMBER).map(|one| one.head);
                let current = state.updates.current().map(|known| known.pr.head);
                let seen = merged.or(current);
                let started = state
                    .updates
                    .merge(&person(), order, &state.desired, state.now);
                if started.is_ok() && seen.is_some() {
                    state.asked_head = seen;
                }
                state.perform(mutant);
            }
            Action::Answer(at) => {
                let call = state.in_flight.remove(at);
                let answer = state.forge(&call, mutant);
                state.hear(answer, mutant);
            }
            Action::AnswerTwice(at) => {
                state.budget.doubled -= 1;
                let call = state.in_flight.remove(at);
                let answer = state.forge(&call, mutant);
                state.hear(answer.clone(), mutant);
                // A copy of an old reading proves nothing new.
                let fresh = state.fresh;
                state.hear(answer, mutant);
                state.fresh = fresh;
            }
            Action::DoneUnclear(at) | Action::NotDoneUnclear(at) => {
                state.budget.unclear -= 1;
                let call = state.in_flight.remove(at);
                if action == Action::DoneUnclear(at) {
                    drop(state.forge(&call, mutant));
                }
                if mutant == Mutant::ClientRepeats {
                    state.send(call);
                } else {
                    let answer = MergeAnswer::Ambiguous("reset".to_owned());
                    state.hear(ForgeAnswer::Merged(NUMBER, answer), mutant);
                }
            }
            Action::HeadMoves => {
                state.budget.moves -= 1;
                state.pr.head = commit('d');
                state.pr.checks = ReadOrNot::Read(vec![Check {
                    name: "build".to_owned(),
                    state: CheckState::Success,
                    commit: commit('d'),
                }]);
            }
            Action::StrangerMerges => {
                state.budget.strangers -= 1;
                state.merge();
            }
            Action::Crash { worked } => {
                state.budget.crashes -= 1;
                let calls = std::mem::take(&mut state.in_flight);
                for call in calls.iter().filter(|_| worked) {
                    drop(state.forge(call, mutant));
                }
                state.updates = Updates::restore(by_hand(), state.stored.clone(), state.now);
                state.fresh = false;
                state.updates.settle(&state.desired, state.now);
                state.perform(mutant);
            }
            Action::Tick => {
                state.budget.moments -= 1;
                let due = state.updates.poll_timeout()?;
                state.now = state.now.max(due);
                state.updates.handle_timeout(&state.desired, state.now);
                state.perform(mutant);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("every law holds", |_, state: &State| state.wrong.is_none()),
            Property::always("it is merged once", |_, state: &State| state.merges <= 1),
            Property::always("no more is deployed than asked for", |_, state: &State| {
                state.deploys + state.budget.asks <= BUDGET.asks
            }),
            Property::sometimes("it is merged and deployed", |_, state: &State| {
                state.merges == 1 && state.deploys == 1
            }),
            Property::sometimes("a job fails", |_, state: &State| {
                let job = state.updates.state().job.as_ref();
                job.is_some_and(|job| job.state() == JobState::Failed)
            }),
        ]
    }
}

const BUDGET: Budget = Budget {
    unclear: 1,
    doubled: 1,
    crashes: 1,
    moves: 1,
    strangers: 1,
    asks: 2,
    moments: 4,
};

#[test]
fn e01_e04_e05_every_order_of_a_merge_keeps_the_laws() {
    let model = Merging {
        budget: BUDGET,
        mutant: Mutant::None,
    };
    let checker = model
        .checker()
        .threads(2)
        .target_max_depth(11)
        .spawn_bfs()
        .join();
    println!(
        "model of merges: {} states, {} unique",
        checker.state_count(),
        checker.unique_state_count()
    );
    for property in [
        "every law holds",
        "it is merged once",
        "no more is deployed than asked for",
    ] {
        if let Some(path) = checker.discovery(property) {
            let wrong = path.last_state().wrong;
            panic!("{property}: {wrong:?} after {:?}", path.into_actions());
        }
    }
    checker.assert_any_discovery("it is merged and deployed");
    checker.assert_any_discovery("a job fails");
}

#[test]
fn the_model_catches_its_mutants() {
    for mutant in [
        Mutant::HeadIgnored,
        Mutant::ClientRepeats,
        Mutant::IntentLost,
    ] {
        let model = Merging {
            budget: BUDGET,
            mutant,
        };
        let checker = model
            .checker()
            .threads(2)
            .target_max_depth(8)
            .spawn_bfs()
            .join();
        let found = checker.discovery("every law holds");
        let found = found.unwrap_or_else(|| panic!("{mutant:?} must be caught"));
        println!("{mutant:?} is caught: {:?}", found.last_state().wrong);
    }
}
