//! A merge with the real store: whatever moment the server crashes at, the pull request is merged
//! once, attributed once, and the job goes on (laws E1, E4, E5).

use std::collections::VecDeque;
use std::time::Duration;

use nixfleet_core::desired::Snapshot as Desired;
use nixfleet_core::fleet::{
    Effect, Fleet, FleetConfig, Input, Reading, Record, Request, RequestId,
};
use nixfleet_core::host::Actor;
use nixfleet_core::update::{
    Containment, ForgeAnswer, ForgeCall, JobState, MergeAnswer, PrNumber, PrState, PullRequest,
    RevertAnswer, UpdatePolicy,
};
use nixfleet_core::{Timestamp, lock_hash};
use nixfleet_server::store::Store;

use super::Home;
use super::day::{commit, config};
use crate::app::scripted_forge::{NUMBER, pull};

const NUMBER_42: PrNumber = PrNumber(NUMBER);

fn with_forge() -> FleetConfig {
    let policy = UpdatePolicy {
        authors: ["github-actions[bot]".to_owned()].into(),
        required_checks: ["build".to_owned()].into(),
        delay: Duration::ZERO,
        ..UpdatePolicy::new("nixfleet/hosts", "main")
    };
    FleetConfig {
        updates: Some(policy),
        ..config()
    }
}

/// Where the server dies: this many moments from the start.
struct Crash {
    at: Option<usize>,
    moments: usize,
}

impl Crash {
    fn now(&mut self) -> bool {
        self.moments += 1;
        self.at == Some(self.moments)
    }
}

struct Forge {
    pull: PullRequest,
    /// Merge calls, and whether the pull request was open then.
    merges: Vec<bool>,
    /// Whether it was read since the last merge call or restart.
    fresh: bool,
}

impl Forge {
    fn answer(&mut self, call: &ForgeCall) -> ForgeAnswer {
        match call {
            ForgeCall::List => {
                let open = Some(self.pull.clone()).filter(|pull| pull.state == PrState::Open);
                ForgeAnswer::Listed(Ok(open.into_iter().collect()))
            }
            ForgeCall::Read { number } => {
                self.fresh = true;
                ForgeAnswer::Read(*number, Ok(Some(Box::new(self.pull.clone()))))
            }
            ForgeCall::Merge { number, head, .. } => {
                assert!(
                    std::mem::take(&mut self.fresh),
                    "E1: a fresh reading before it"
                );
                let is_open = self.pull.state == PrState::Open;
                self.merges.push(is_open);
                if !is_open || *head != self.pull.head {
                    let why = "it is not open".to_owned();
                    return ForgeAnswer::Merged(*number, MergeAnswer::NotMergeable(why));
                }
                let commit = commit('e');
                self.pull.state = PrState::Merged {
                    commit: Some(commit),
                };
                ForgeAnswer::Merged(*number, MergeAnswer::Done { commit })
            }
            ForgeCall::Contains { commit, head } => ForgeAnswer::Contained {
                commit: *commit,
                head: *head,
                answer: Ok(Containment::NotContained),
            },
            ForgeCall::Revert { number, .. } => {
                let why = "nobody asks for it".to_owned();
                ForgeAnswer::Reverted(*number, RevertAnswer::NotPossible(why))
            }
        }
    }
}

/// One life of the server; its end is a crash or the end of the job.
async fn life(store: &Store, forge: &mut Forge, crash: &mut Crash, now: &mut Timestamp) -> bool {
    forge.fresh = false;
    let stored = store.load().await.unwrap();
    let (mut fleet, effects) = Fleet::restore(with_forge(), stored, *now);
    let mut effects: VecDeque<Vec<Effect>> = [effects].into();
    let reading = Reading {
        snapshot: Desired {
            commit: Ok(commit('b')),
            lock: Ok(lock_hash(b"b")),
            subject: None,
            commit_time: None,
            branch: Some("main".into()),
            rewritten: false,
        },
        history: None,
    };
    let mut inbox: VecDeque<Input> = [Input::Read(Box::new(Ok(reading)))].into();
    for _ in 0..500 {
        while let Some(batch) = effects.pop_front() {
            // 1. Before anything is stored.
            if crash.now() {
                return false;
            }
            let mut records: Vec<Record> = Vec::new();
            for effect in &batch {
                if let Effect::Persist(record) = effect {
                    records.push((**record).clone());
                }
            }
            if !records.is_empty() {
                store.commit(&records).await.unwrap();
            }
            // 2. Stored, and nothing has left.
            if crash.now() {
                return false;
            }
            for effect in batch {
                let Effect::Forge(call) = effect else {
                    continue;
                };
                let answer = forge.answer(&call);
                // 3. The forge did it, and the answer is lost.
                if crash.now() {
                    return false;
                }
                inbox.push_back(Input::Forge(answer));
            }
        }
        let updates = fleet.updates_view().unwrap();
        let is_known = updates.prs.iter().any(|one| one.number == NUMBER_42)
            || updates.merged.iter().any(|one| one.number == NUMBER_42);
        match updates.job.map(|job| job.state) {
            // The person asks until somebody has heard it.
            None if is_known => {
                let request = Request::MergePr {
                    number: NUMBER_42,
                    head: None,
                    override_reason: None,
                    deploy: None,
                    confirm: None,
                };
                inbox.push_back(Input::Request {
                    id: RequestId(1),
                    actor: Actor::Person("ada".into()),
                    request,
                });
            }
            Some(JobState::Completed) if inbox.is_empty() => return true,
            Some(JobState::Failed) => panic!("{:?}", fleet.updates_view().unwrap().job),
            None
            | Some(
                JobState::Completed | JobState::Merging | JobState::Pulling | JobState::Switching,
            ) => {}
        }
        match inbox.pop_front() {
            Some(input) => effects.push_back(fleet.handle(input, *now)),
            None => {
                *now = fleet.poll_timeout().unwrap().max(*now);
                effects.push_back(fleet.handle_timeout(*now));
            }
        }
    }
    panic!("it does not end: {:?}", fleet.updates_view().unwrap().job);
}

/// A whole day with a crash at one moment; answers how many moments there were.
async fn day(crash_at: Option<usize>) -> usize {
    let home = Home::new();
    let mut forge = Forge {
        pull: pull(),
        merges: Vec::new(),
        fresh: false,
    };
    let mut crash = Crash {
        at: crash_at,
        moments: 0,
    };
    let mut now = Timestamp::from_seconds(1_900_000_000);
    let mut lives = 0;
    loop {
        lives += 1;
        let store = home.open().await;
        let ended = life(&store, &mut forge, &mut crash, &mut now).await;
        store.close().await;
        drop(store);
        if ended {
            break;
        }
        now = now + Duration::from_secs(5);
    }
    assert_eq!(lives, 1 + usize::from(crash_at.is_some()));
    assert_eq!(forge.merges, [true], "E1: one call, crash at {crash_at:?}");
    let store = home.open().await;
    let loaded = store.load().await.unwrap();
    let merged = loaded.updates.merged;
    assert_eq!(merged.len(), 1, "crash at {crash_at:?}");
    assert_eq!(merged[0].commit, Some(commit('e')));
    let person = Some(Actor::Person("ada".into()));
    assert_eq!(merged[0].by, person, "attributed, crash at {crash_at:?}");
    let state = loaded.updates.state.unwrap();
    assert!(state.unsettled.is_empty(), "nothing is open about it");
    crash.moments
}

#[tokio::test]
async fn e01_a_crash_at_any_moment_merges_once_and_attributes_it_once() {
    let moments = day(None).await;
    assert!(moments > 10, "{moments}");
    for at in 1..=moments {
        day(Some(at)).await;
    }
}
