//! One rollout as a model: commands end well or badly in any order, hosts are held and released,
//! a person pauses, cancels and retries, and the server crashes anywhere.

use std::hash::{Hash, Hasher};

use nixfleet_core::rollout::{
    Act, Ended, HostStage, InFlight, Policy, Rollout, RolloutState, Stage, Verb,
};
use nixfleet_core::{CommandId, HostId, Op, Timestamp};
use stateright::{Checker, Model, Property};

use super::play::{Flags, Hosts, Play, START, name};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// What is to be sent leaves before the rollout is stored.
    SendsBeforeStoring,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Action {
    End(usize, bool),
    Tick,
    Crash,
    Hold(usize),
    Release(usize),
    Verb(u8),
}

const VERBS: [Verb; 4] = [Verb::Pause, Verb::Resume, Verb::Cancel, Verb::RetryFailed];

#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    rollout: Rollout,
    stored: Rollout,
    hosts: Hosts,
    now: Timestamp,
    running: Vec<(CommandId, HostId, Op)>,
    sent: Vec<(HostId, usize, u32)>,
    ids: Vec<CommandId>,
    cancelled: bool,
    /// Which law was broken first.
    broken: Option<&'static str>,
    crashes: u8,
    holds: u8,
    verbs: u8,
    ticks: u8,
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        serde_json::to_string(&self.rollout).unwrap().hash(hasher);
        self.now.hash(hasher);
        self.sent.hash(hasher);
        self.broken.hash(hasher);
        (self.crashes, self.holds, self.verbs, self.ticks).hash(hasher);
        let held: Vec<bool> = self
            .hosts
            .all
            .values()
            .map(|host| host.flags.held)
            .collect();
        held.hash(hasher);
        self.running.len().hash(hasher);
    }
}

struct OneRollout {
    fault: Fault,
    hosts: usize,
}

impl State {
    fn note(&mut self, law: &'static str) {
        self.broken = self.broken.or(Some(law));
    }

    fn step(&mut self, fault: Fault) {
        let before = self.rollout.clone();
        let acts = self.rollout.step(&self.hosts, self.now);
        self.perform(acts);
        self.stored = match fault {
            Fault::None => self.rollout.clone(),
            Fault::SendsBeforeStoring => before,
        };
    }

    fn perform(&mut self, acts: Vec<Act>) {
        for act in acts {
            let Act::Start {
                host, op, command, ..
            } = act
            else {
                continue;
            };
            if self.hosts.all[&host].flags.held {
                self.note("d01");
            }
            if self.cancelled {
                self.note("d11");
            }
            let canary = &self.rollout.hosts[&name(0)];
            if host != name(0) && canary.state != HostStage::Done {
                self.note("d02");
            }
            let run = &self.rollout.hosts[&host];
            let step = (host.clone(), run.stage, run.attempt);
            if self.sent.contains(&step) || self.ids.contains(&command) {
                self.note("d12");
            }
            self.sent.push(step);
            self.ids.push(command);
            self.running.push((command, host, op));
            if self.running.len() > 2 {
                self.note("d05");
            }
        }
    }
}

impl Model for OneRollout {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let flags: Vec<Flags> = (0..self.hosts)
            .map(|n| Flags::of(u8::from(n == 0)))
            .collect();
        let hosts = Hosts::of(&flags);
        let policy = Policy {
            stages: vec![Stage::Pull, Stage::Switch],
            max_in_flight: InFlight::Count(2),
            ..Policy::default()
        };
        let plan = hosts.plan(&policy, &[]).unwrap();
        let play = Play::new(hosts.clone(), plan, &[]);
        let mut state = State {
            stored: play.rollout.clone(),
            rollout: play.rollout,
            hosts,
            now: START,
            running: Vec::new(),
            sent: Vec::new(),
            ids: Vec::new(),
            cancelled: false,
            broken: None,
            crashes: 1,
            holds: 1,
            verbs: 2,
            ticks: 4,
        };
        state.step(self.fault);
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for index in 0..state.running.len() {
            actions.extend([true, false].map(|good| Action::End(index, good)));
        }
        if state.ticks > 0 && state.rollout.poll_timeout().is_some() {
            actions.push(Action::Tick);
        }
        if state.crashes > 0 {
            actions.push(Action::Crash);
        }
        for (index, host) in state.hosts.all.values().enumerate() {
            if host.flags.held {
                actions.push(Action::Release(index));
            } else if state.holds > 0 {
                actions.push(Action::Hold(index));
            }
        }
        if state.verbs > 0 {
            let offered = state.rollout.offers();
            let usable = (0u8..)
                .zip(VERBS)
                .filter(|(_, verb)| offered.contains(&verb.name()));
            actions.extend(usable.map(|(index, _)| Action::Verb(index)));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        // Every event comes a second later: ids of repeated steps would differ.
        state.now = state.now + std::time::Duration::from_secs(1);
        match action {
            Action::End(index, good) => {
                let (command, host, _) = state.running.remove(index);
                let ended = if good {
                    Ended::Good
                } else {
                    Ended::Failed("exit code 1".into())
                };
                let was_canary = host == name(0) && !good;
                let acts = state.rollout.ended(command, &ended, state.now);
                state.perform(acts);
                state.step(self.fault);
                let halts =
                    state.rollout.state == RolloutState::Halted || !state.running.is_empty();
                if was_canary && !halts {
                    state.note("d03");
                }
            }
            Action::Tick => {
                state.ticks -= 1;
                state.now = state.now.max(state.rollout.poll_timeout()?);
                state.step(self.fault);
            }
            Action::Crash => {
                state.crashes -= 1;
                let text = serde_json::to_string(&state.stored).unwrap();
                state.rollout = serde_json::from_str(&text).unwrap();
                state.rollout.resume(state.now);
                state.step(self.fault);
            }
            Action::Hold(index) => {
                state.holds -= 1;
                state.hosts.all.get_mut(&name(index))?.flags.held = true;
                state.step(self.fault);
            }
            Action::Release(index) => {
                state.hosts.all.get_mut(&name(index))?.flags.held = false;
                state.step(self.fault);
            }
            Action::Verb(index) => {
                state.verbs -= 1;
                let verb = VERBS.get(usize::from(index))?;
                state.rollout.apply(verb, state.now).ok()?;
                state.cancelled |= *verb == Verb::Cancel;
                state.step(self.fault);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no law is broken", |_, state: &State| {
                state.broken.is_none()
            }),
            Property::sometimes("it completes", |_, state: &State| {
                state.rollout.state == RolloutState::Complete
            }),
            Property::sometimes("it halts", |_, state: &State| {
                state.rollout.state == RolloutState::Halted
            }),
            Property::sometimes("it is retried", |_, state: &State| {
                state.sent.iter().any(|(.., attempt)| *attempt > 0)
            }),
        ]
    }
}

fn explore(fault: Fault, hosts: usize) -> impl Checker<OneRollout> {
    let model = OneRollout { fault, hosts };
    model.checker().threads(1).spawn_bfs().join()
}

#[test]
fn d12_no_interleaving_of_ends_holds_verbs_and_crashes_breaks_a_law() {
    let checker = explore(Fault::None, 2);
    println!("rollout model: {} states", checker.unique_state_count());
    checker.assert_properties();
    assert!(checker.unique_state_count() > 1000);
}

#[test]
fn the_model_finds_a_server_that_sends_before_it_stores() {
    let checker = explore(Fault::SendsBeforeStoring, 2);
    let broken = checker.discovery("no law is broken").expect("found");
    assert_eq!(broken.last_state().broken, Some("d12"));
}
