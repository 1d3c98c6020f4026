//! Updates within the fleet: what is stored before what leaves, what clients and compartments see,
//! and that a restart loses nothing.

use std::time::Duration;

use nixfleet_core::admission::RefusalCode;
use nixfleet_core::credential::{Credential, Nearness};
use nixfleet_core::desired::RemotePolicy;
use nixfleet_core::fleet::{
    Accepted, AuditRecord, Dispatch, Effect, Fleet, FleetConfig, Input, Reading, Record, Reply,
    Request, RequestId, Snapshot,
};
use nixfleet_core::host::Hold;
use nixfleet_core::notice::NoticeKind;
use nixfleet_core::rollout::Targets;
use nixfleet_core::sync::{Change, Replica, ServerMessage, frame, parts};
use nixfleet_core::update::{
    Deploy, ForgeAnswer, ForgeCall, ForgeFailure, HINTS_APART, JobState, MergeAnswer, MergeMethod,
    PrNumber, PrState, PullRequest, RevertAnswer, RevertKind, UpdateRecord, UpdateRefusal,
};
use nixfleet_core::{
    Attention, CommandId, CommitId, HostId, LockHash, Op, RolloutId, Timestamp, lock_hash,
};

use super::pull_requests::{START, benign, bytes, commit, lock, policy};
use super::world::{at, merge_commit, person};

fn config() -> FleetConfig {
    FleetConfig {
        server_version: "4.0.0".into(),
        agent_version: "4.0.0".into(),
        remote: RemotePolicy {
            ttl: Duration::from_secs(5),
            grace: Duration::ZERO,
        },
        remote_configured: true,
        store_intact: true,
        host_driven: false,
        offline_notice: None,
        tests_after_switch: false,
        updates: Some(policy()),
    }
}

struct Day {
    now: Timestamp,
    fleet: Fleet,
    stored: Snapshot,
    replica: Replica,
    calls: Vec<ForgeCall>,
    replies: Vec<Reply>,
    audits: Vec<AuditRecord>,
    notices: Vec<NoticeKind>,
    reads: usize,
    events: Vec<String>,
}

impl Day {
    fn new(config: FleetConfig, stored: Snapshot, now: Timestamp) -> Self {
        let (fleet, effects) = Fleet::restore(config, stored.clone(), now);
        let mut day = Self {
            now,
            replica: Replica::new(),
            stored,
            calls: Vec::new(),
            replies: Vec::new(),
            audits: Vec::new(),
            notices: Vec::new(),
            reads: 0,
            events: Vec::new(),
            fleet,
        };
        day.perform(effects);
        for part in parts(day.fleet.version(), day.fleet.sync().state()) {
            day.replica.apply(ServerMessage::Init(Box::new(part)));
        }
        day
    }

    /// A fleet with one host, whose remote was read and whose forge has the benign update.
    fn listed() -> Self {
        let mut day = Self::new(config(), Snapshot::default(), START);
        day.request(Request::AddHost {
            host: host("web-1"),
        });
        day.read(commit('b'), lock_hash(&bytes(&lock('1'))));
        assert_eq!(day.calls, [ForgeCall::List], "the first thing is to look");
        day.forge(ForgeAnswer::Listed(Ok(vec![benign()])));
        day
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        let mut stored = Vec::new();
        let mut leaving = false;
        for effect in effects {
            match effect {
                Effect::Persist(record) => {
                    assert!(!leaving, "everything is stored before anything leaves");
                    match &*record {
                        Record::Audit(audit) => self.audits.push(audit.clone()),
                        Record::Event(event) => self.events.push(event.code.clone()),
                        Record::Host(_)
                        | Record::HostRemoved(_)
                        | Record::Command(_)
                        | Record::Remote(_)
                        | Record::Version(_)
                        | Record::Rollout(_)
                        | Record::Settings(_)
                        | Record::Update(_) => {}
                    }
                    stored.push(*record);
                    continue;
                }
                Effect::Forge(call) => {
                    if let ForgeCall::Merge { head, .. } = &call {
                        let state = stored.iter().find_map(|record| match record {
                            Record::Update(UpdateRecord::State(state)) => Some(state),
                            _ => None,
                        });
                        let intent = state.unwrap().unsettled[&PrNumber(42)].clone();
                        assert_eq!(intent.0, *head, "the intent is stored in the same turn");
                        let audited = |record: &Record| matches!(record, Record::Audit(audit) if audit.outcome == "sent");
                        assert!(stored.iter().any(audited), "and audited");
                    }
                    self.calls.push(call);
                }
                Effect::Notify(notice) => self.notices.push(notice.kind),
                Effect::Reply { reply, .. } => self.replies.push(reply),
                Effect::ReadRemote => self.reads += 1,
                Effect::Publish(delta) => {
                    self.replica.apply(frame(&[delta]).unwrap());
                }
                Effect::Send { .. } | Effect::Close { .. } => {}
            }
            leaving = true;
        }
        self.stored.commit(stored);
    }

    fn handle(&mut self, input: Input) {
        let effects = self.fleet.handle(input, self.now);
        self.perform(effects);
    }

    fn forge(&mut self, answer: ForgeAnswer) {
        self.handle(Input::Forge(answer));
    }

    fn request(&mut self, request: Request) -> Reply {
        self.handle(Input::Request {
            id: RequestId(1),
            actor: person(),
            request,
        });
        self.replies.pop().unwrap()
    }

    fn read(&mut self, commit: CommitId, lock: LockHash) {
        let mut snapshot = at(commit);
        snapshot.lock = Ok(lock);
        self.handle(Input::Read(Box::new(Ok(Reading {
            snapshot,
            history: None,
        }))));
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.fleet.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            let effects = self.fleet.handle_timeout(self.now);
            self.perform(effects);
        }
        self.now = end;
    }

    fn restart(&mut self) {
        let before = self.fleet.sync().state().clone();
        let next = Day::new(config(), self.stored.clone(), self.now);
        assert_eq!(
            next.fleet.updates_view().unwrap().merged,
            before.updates.unwrap().merged
        );
        self.fleet = next.fleet;
        self.replica = next.replica;
        self.calls.extend(next.calls);
    }

    fn update_pending(&self) -> Option<u64> {
        let state = self.replica.state();
        let status = state.statuses.get(&host("web-1"))?;
        status.a.iter().find_map(|one| match one {
            Attention::UpdatePending { pr } => Some(*pr),
            _ => None,
        })
    }

    fn job(&self) -> (JobState, String) {
        let updates = self.replica.state().updates.as_ref().unwrap();
        let job = updates.job.as_ref().unwrap();
        (job.state, job.message.clone())
    }

    fn last_call(&self) -> &ForgeCall {
        self.calls.last().unwrap()
    }
}

fn host(name: &str) -> HostId {
    name.parse().unwrap()
}

fn merge_pr(deploy: Option<Deploy>) -> Request {
    Request::MergePr {
        number: PrNumber(42),
        head: None,
        override_reason: None,
        deploy: deploy.map(Box::new),
        confirm: None,
    }
}

fn merge_call() -> ForgeCall {
    ForgeCall::Merge {
        number: PrNumber(42),
        head: commit('c'),
        method: MergeMethod::Merge,
    }
}

fn read_back(pr: PullRequest) -> ForgeAnswer {
    ForgeAnswer::Read(pr.number, Ok(Some(Box::new(pr))))
}

fn done() -> ForgeAnswer {
    let commit = merge_commit();
    ForgeAnswer::Merged(PrNumber(42), MergeAnswer::Done { commit })
}

#[test]
fn an_update_is_pending_on_every_lock_until_the_branch_has_it() {
    let mut day = Day::listed();
    assert_eq!(day.update_pending(), Some(42));
    let state = day.replica.state();
    assert_eq!(state.update_pr.as_ref().unwrap().number, 42);
    assert_eq!(state.updates, day.fleet.updates_view().map(Box::new));
    assert!(day.notices.contains(&NoticeKind::UpdateFound));
    assert!(day.events.contains(&"update-found".to_owned()));
    // The branch has the same lock, although the pull request is still open.
    day.read(commit('d'), lock_hash(&bytes(&lock('2'))));
    assert_eq!(day.update_pending(), None);
    assert_eq!(day.replica.state().update_pr, None);
    day.read(commit('b'), lock_hash(&bytes(&lock('1'))));
    assert_eq!(day.update_pending(), Some(42));
    // It goes.
    day.request(Request::CheckUpdates);
    day.forge(ForgeAnswer::Listed(Ok(Vec::new())));
    assert_eq!(day.update_pending(), None);
}

#[test]
fn a_merge_is_read_called_recorded_and_seen() {
    let mut day = Day::listed();
    assert_eq!(day.request(merge_pr(None)), Reply::JobStarted { job: 1 });
    assert_eq!(
        *day.last_call(),
        ForgeCall::Read {
            number: PrNumber(42)
        }
    );
    day.forge(read_back(benign()));
    assert_eq!(*day.last_call(), merge_call());
    assert_eq!(day.job().0, JobState::Merging);
    let reads = day.reads;
    day.forge(done());
    assert_eq!(day.job().0, JobState::Completed);
    assert!(day.reads > reads, "the branch is read at once");
    assert_eq!(day.update_pending(), None);
    assert!(day.notices.contains(&NoticeKind::UpdateMerged));
    let outcomes: Vec<&str> = day
        .audits
        .iter()
        .filter(|audit| audit.action == "merge-pr")
        .map(|audit| audit.outcome.as_str())
        .collect();
    assert_eq!(outcomes, ["requested", "sent", "merged", "done"]);
    let merged = day
        .audits
        .iter()
        .find(|audit| audit.outcome == "merged")
        .unwrap();
    assert_eq!(merged.before, Some(format!("#42 open at {}", commit('c'))));
    assert_eq!(
        merged.after,
        Some(format!("#42 merged as {}", merge_commit()))
    );
    day.restart();
    let view = day.fleet.updates_view().unwrap();
    assert_eq!(
        (view.merged.len(), view.merged[0].commit),
        (1, Some(merge_commit()))
    );
    assert_eq!(day.request(merge_pr(None)), Reply::JobStarted { job: 2 });
    assert_eq!(
        day.calls
            .iter()
            .filter(|call| **call == merge_call())
            .count(),
        1
    );
}

#[test]
fn a_restart_in_the_middle_reads_first() {
    let mut day = Day::listed();
    day.request(merge_pr(None));
    day.forge(read_back(benign()));
    assert_eq!(*day.last_call(), merge_call());
    day.restart();
    let after: Vec<ForgeCall> = day.calls.iter().rev().take(2).cloned().collect();
    assert!(
        after.contains(&ForgeCall::Read {
            number: PrNumber(42)
        }),
        "{after:?}"
    );
    let merged = PullRequest {
        state: PrState::Merged {
            commit: Some(merge_commit()),
        },
        ..benign()
    };
    day.forge(read_back(merged));
    assert_eq!(day.job().0, JobState::Completed);
    assert_eq!(
        day.calls
            .iter()
            .filter(|call| **call == merge_call())
            .count(),
        1
    );
    let view = day.fleet.updates_view().unwrap();
    assert_eq!(view.merged[0].by, Some(person()));
}

#[test]
fn a_deploy_that_cannot_be_planned_merges_nothing() {
    let mut day = Day::listed();
    let deploy = Deploy {
        rollout: RolloutId::from_bytes([7; 16]),
        hosts: Targets::All,
        policy: Deploy::default_policy(),
    };
    // Its only host was never connected.
    let refused = day.request(merge_pr(Some(deploy.clone())));
    assert!(matches!(refused, Reply::NotPlanned(_)), "{refused:?}");
    let unknown = Deploy {
        hosts: Targets::List(vec![host("web-9")]),
        ..deploy
    };
    let refused = day.request(merge_pr(Some(unknown)));
    assert!(matches!(refused, Reply::NotPlanned(_)), "{refused:?}");
    day.pass(Duration::from_secs(60));
    assert!(!day.calls.contains(&merge_call()));
    // The same merge without a rollout is made.
    day.request(merge_pr(None));
    day.forge(read_back(benign()));
    assert!(day.calls.contains(&merge_call()));
}

#[test]
fn a_merge_asked_for_on_many_hosts_is_one_merge() {
    let mut day = Day::listed();
    for name in ["web-2", "web-3"] {
        day.request(Request::AddHost { host: host(name) });
    }
    let hosts =
        ["web-1", "web-2", "web-3"].map(|name| (host(name), CommandId::from_bytes([9; 16])));
    let Reply::Dispatched(outcomes) = day.request(Request::Dispatch(Dispatch::new(
        Op::MergePr,
        hosts.to_vec(),
    ))) else {
        panic!("not dispatched");
    };
    assert!(
        outcomes.iter().all(|one| one.outcome == Ok(Accepted::Done)),
        "{outcomes:?}"
    );
    day.forge(read_back(benign()));
    day.forge(done());
    assert_eq!(
        day.calls
            .iter()
            .filter(|call| **call == merge_call())
            .count(),
        1
    );
}

#[test]
fn a_revert_is_recorded_and_survives_a_restart() {
    let mut day = Day::listed();
    day.request(merge_pr(None));
    day.forge(read_back(benign()));
    day.forge(done());
    day.pass(Duration::from_secs(2));
    let revert = || Request::RevertPr {
        number: PrNumber(42),
        kind: RevertKind::PullRequest,
        reason: Some("web-1 does not boot".to_owned()),
    };
    assert!(matches!(day.request(revert()), Reply::JobStarted { .. }));
    let asked = ForgeCall::Revert {
        number: PrNumber(42),
        title: benign().title,
        commit: merge_commit(),
        kind: RevertKind::PullRequest,
    };
    assert_eq!(*day.last_call(), asked);
    let url = "https://forge.example/o/config/pull/43".to_owned();
    let number = PrNumber(43);
    day.forge(ForgeAnswer::Reverted(
        PrNumber(42),
        RevertAnswer::Opened { number, url },
    ));
    assert_eq!(day.job().0, JobState::Completed);
    day.restart();
    let refused = day.request(revert());
    assert_eq!(
        refused,
        Reply::UpdateRefused(UpdateRefusal::AlreadyReverted(PrNumber(42)))
    );
    let why = day.audits.iter().filter(|one| one.action == "revert-pr");
    assert!(why.clone().count() >= 3);
    assert!(
        why.take(2)
            .all(|one| one.reason.as_deref() == Some("web-1 does not boot"))
    );
}

#[test]
fn without_a_forge_or_with_a_damaged_store_nothing_is_asked() {
    for (damaged, expected) in [
        (false, UpdateRefusal::NotConfigured),
        (true, UpdateRefusal::StoreDamaged),
    ] {
        let config = FleetConfig {
            updates: damaged.then(policy),
            store_intact: !damaged,
            ..config()
        };
        let mut day = Day::new(config, Snapshot::default(), START);
        for request in [merge_pr(None), Request::CheckUpdates] {
            assert_eq!(day.request(request), Reply::UpdateRefused(expected.clone()));
        }
        day.pass(Duration::from_secs(90_000));
        day.forge(ForgeAnswer::Listed(Ok(vec![benign()])));
        assert_eq!(day.calls, []);
        assert_eq!(day.fleet.updates_view(), None);
    }
}

#[test]
fn what_a_damaged_store_cannot_keep_is_refused_and_changes_nothing() {
    let host: HostId = "new-1".parse().unwrap();
    let hold = Hold {
        by: "ann".into(),
        why: "disks".into(),
        until: None,
    };
    let requests = [
        Request::AddHost { host: host.clone() },
        Request::Hold {
            host: host.clone(),
            hold,
        },
        Request::Release { host: host.clone() },
        Request::SetTests {
            host: host.clone(),
            enabled: false,
        },
        Request::SetHostSettings {
            host: host.clone(),
            settings: Box::default(),
        },
        Request::HoldBySelector {
            selector: "*".parse().unwrap(),
            why: "disks".into(),
            until: None,
        },
        Request::ReleaseSelector { id: 1 },
    ];
    for damaged in [false, true] {
        let config = FleetConfig {
            store_intact: !damaged,
            ..config()
        };
        let mut day = Day::new(config, Snapshot::default(), START);
        for request in requests.clone() {
            let reply = day.request(request.clone());
            let refused =
                matches!(&reply, Reply::Refused(why) if why.code == RefusalCode::StoreDamaged);
            assert_eq!(refused, damaged, "{request:?}: {reply:?}");
        }
        // Without damage they are done: the positive control.
        assert_eq!(day.fleet.host(&host).is_some(), !damaged);
        assert_eq!(day.audits.is_empty(), damaged);
    }
}

#[test]
fn a_fleet_without_news_publishes_nothing_and_stores_nothing() {
    let mut day = Day::listed();
    day.pass(Duration::from_secs(3 * 3600));
    let version = day.fleet.version();
    // The same list once more moves the times of the checks and nothing else.
    let effects = day.fleet.handle(
        Input::Forge(ForgeAnswer::Listed(Ok(vec![benign()]))),
        day.now,
    );
    let changes: Vec<Change> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Publish(delta) => Some(delta.change.clone()),
            _ => None,
        })
        .collect();
    assert!(
        changes
            .iter()
            .all(|change| matches!(change, Change::UpdatesChanged(_))),
        "{changes:?}"
    );
    assert!(day.fleet.version().number <= version.number + 1);
    let effects = day.fleet.handle(
        Input::Forge(ForgeAnswer::Listed(Ok(vec![benign()]))),
        day.now,
    );
    assert_eq!(effects, [], "an answer that nobody waits for");
}

/// Any number of hints is one listing, and one more for those that came meanwhile; nobody asked for
/// it, so nobody is named in the audit trail.
#[test]
fn e06_hints_lead_to_one_listing_at_a_time_and_to_no_audit() {
    let mut day = Day::listed();
    let lists = |day: &Day| {
        let list = |call: &&ForgeCall| **call == ForgeCall::List;
        day.calls.iter().filter(list).count()
    };
    let (before, audits) = (lists(&day), day.audits.len());
    for _ in 0..50 {
        day.handle(Input::ForgeHint);
    }
    assert_eq!(lists(&day), before + 1, "the first one at once");
    day.forge(ForgeAnswer::Listed(Ok(vec![benign()])));
    assert_eq!(lists(&day), before + 1);
    day.pass(HINTS_APART);
    assert_eq!(lists(&day), before + 2, "the others together");
    day.forge(ForgeAnswer::Listed(Ok(vec![benign()])));
    day.pass(10 * HINTS_APART);
    assert_eq!(
        lists(&day),
        before + 2,
        "without hints not sooner than ever"
    );
    // A steady stream.
    for _ in 0..60 {
        day.handle(Input::ForgeHint);
        if *day.last_call() == ForgeCall::List {
            day.forge(ForgeAnswer::Listed(Ok(vec![benign()])));
        }
        day.pass(Duration::from_secs(1));
    }
    day.forge(ForgeAnswer::Listed(Ok(vec![benign()])));
    assert!(lists(&day) <= before + 2 + 7, "{}", lists(&day));
    assert_eq!(day.audits.len(), audits);
    // A person is heard at once, and named.
    let before = lists(&day);
    day.request(Request::CheckUpdates);
    assert_eq!(lists(&day), before + 1);
    assert_eq!(day.audits.len(), audits + 1);
}

#[test]
fn e06_hints_do_not_end_a_pause_that_the_forge_asked_for() {
    let mut day = Day::listed();
    day.request(Request::CheckUpdates);
    let until = day.now + Duration::from_secs(600);
    day.forge(ForgeAnswer::Listed(Err(ForgeFailure {
        what: "limited".into(),
        not_before: Some(until),
    })));
    let before = day.calls.len();
    day.handle(Input::ForgeHint);
    day.pass(Duration::from_secs(599));
    assert_eq!(day.calls.len(), before);
    day.pass(Duration::from_secs(1));
    assert_eq!(day.calls.len(), before + 1);
}

/// The end of a token of the forge is told in time and shown, also over a restart; another token is
/// another end.
#[test]
fn the_end_of_a_credential_is_told_once_for_each_nearness_and_shown() {
    const DAY: Duration = Duration::from_secs(86_400);
    let mut day = Day::listed();
    let told = |day: &Day| {
        let kinds = day.notices.iter();
        kinds
            .filter(|kind| **kind == NoticeKind::CredentialExpires)
            .count()
    };
    let ends = day.now + 20 * DAY;
    let input = |credential, ends| Input::Credential {
        credential,
        ends,
        made: None,
    };
    day.handle(input(Credential::ForgeReading, Some(ends)));
    let shown = day.fleet.updates_view().unwrap().credentials;
    assert_eq!((shown.len(), shown[0].ends, shown[0].told), (1, ends, None));
    day.handle(input(Credential::ForgeReading, Some(ends)));
    assert_eq!(told(&day), 0);
    day.now = ends - 14 * DAY;
    day.pass(Duration::ZERO);
    assert_eq!(told(&day), 1);
    day.restart();
    day.handle(input(Credential::ForgeReading, Some(ends)));
    day.pass(DAY);
    assert_eq!(told(&day), 1, "it was told before the restart");
    let shown = day.fleet.updates_view().unwrap().credentials;
    assert_eq!(shown[0].told, Some(Nearness::TwoWeeks));
    day.pass(15 * DAY);
    assert_eq!(told(&day), 3, "three days before, and at the end");
    day.handle(input(Credential::ForgeReading, None));
    assert!(day.fleet.updates_view().unwrap().credentials.is_empty());
    let tokens = Credential::Token("ci".into());
    day.handle(input(tokens, Some(day.now + DAY)));
    assert_eq!(told(&day), 4);
    assert!(
        day.fleet.updates_view().unwrap().credentials.is_empty(),
        "no token of the forge"
    );
}
