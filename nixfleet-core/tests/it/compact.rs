//! Compact statuses: nothing is lost on the way, and a moved target costs few bytes a host.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nixfleet_core::compartment::render::templates;
use nixfleet_core::desired::{PendingPr, RemoteCause, RemoteHistory, RemotePolicy, Unavailable};
use nixfleet_core::fleet::{
    Effect, Fleet, FleetConfig, HostRecord, Input, Reading, Snapshot as Stored,
};
use nixfleet_core::host::{DeployEvidence, TestVerdict};
use nixfleet_core::sync::letters::{self, Source};
use nixfleet_core::sync::{
    Change, CompactStatus, Delta, Replica, ReplicaStep, ServerMessage, StatusUpdate, StatusView,
    SyncLog, SyncState, frame, parts,
};
use nixfleet_core::{
    Attention, CommandId, CommitHistory, LockHistory, LockVersion, Op, Reason, ReasonCode,
    StateVersion, Status,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::compartments_world::{NOW, World, commit, lock, snapshot};
use crate::witness::{Witness, over_the_wire};

const MAX_BYTES: usize = 80;
const TARGET_BYTES: usize = 45;

// ---- the tables ----

#[test]
fn every_letter_is_plain_and_stands_for_one_thing() {
    let reasons = ReasonCode::ALL.iter().map(|one| letters::reason(*one));
    let reasons: Vec<char> = reasons.map(|one| one.letter).collect();
    let statuses: Vec<char> = letters::STATUSES.iter().map(|one| one.1).collect();
    let attentions: Vec<char> = letters::ATTENTIONS
        .iter()
        .map(|(_, one)| one.letter)
        .collect();
    for all in [reasons, statuses, attentions] {
        let different: BTreeSet<&char> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "{all:?}");
        assert!(all.iter().all(char::is_ascii_alphanumeric), "{all:?}");
    }
    for code in ReasonCode::ALL {
        let letter = letters::reason(*code).letter;
        assert_eq!(letters::reason_with(letter), Some(*code));
    }
    assert_eq!(letters::reason_with('!'), None);
}

#[test]
fn every_parameter_has_its_source_under_its_name() {
    for code in ReasonCode::ALL {
        let reason = any_reason(*code, &|_| 0);
        let mut names = Vec::new();
        reason.each_parameter(|name, _| names.push(name));
        let row = letters::reason(*code);
        let sources: Vec<&str> = row.parameters.iter().map(|(name, _)| *name).collect();
        assert_eq!(sources, names, "{code:?}");
    }
    let codes: Vec<&str> = templates::ATTENTIONS.iter().map(|row| row.code).collect();
    assert_eq!(letters::ATTENTIONS.map(|(code, _)| code)[..], codes[..]);
    for (code, row) in letters::ATTENTIONS {
        let written = serde_json::to_value(any_attention(code, &|_| 0)).unwrap();
        let mut names: BTreeSet<&str> = written.as_object().unwrap().keys().map(|k| &**k).collect();
        names.remove("code");
        let sources: BTreeSet<&str> = row.parameters.iter().map(|(name, _)| *name).collect();
        assert_eq!(sources, names, "{code}");
    }
}

// ---- nothing is lost ----

const HOST: &str = "web-0001";

fn state(world: Value) -> SyncState {
    serde_json::from_value(world).unwrap()
}

/// A state in which every place has a value.
fn told() -> SyncState {
    state(world(&|_| 1))
}

/// A host, the desired state and a pull request; `pick` chooses among few values for each.
fn world(pick: &dyn Fn(usize) -> usize) -> Value {
    let commits = [
        Value::Null,
        json!(commit('a')),
        json!(commit('b')),
        json!("aaaaaaa"),
    ];
    let full = [Value::Null, json!(commit('a')), json!(commit('b'))];
    let locks = [Value::Null, json!(lock("a")), json!(lock("b"))];
    let reports = [
        json!("missing"),
        json!({"hash": lock("a")}),
        json!({"hash": lock("b")}),
    ];
    let of = |all: &[Value]| all[pick(all.len())].clone();
    let mut host = json!({
        "id": HOST, "hostname": HOST, "online": true, "command_ids": true,
        "deploy_outcome": "never", "tests_enabled": true,
        "commit": of(&commits), "lock": of(&reports),
        "deploy_command": of(&[Value::Null, json!(CommandId::from_bytes([7; 16]))]),
        "deploy_at": of(&[Value::Null, json!(5)]),
        "offline_since": of(&[Value::Null, json!(1), json!(2)]),
        "deployed": {"commit": of(&commits), "lock": null, "store_path": null, "inferred": false},
        "tests": {"commit": of(&commits), "verdict": "pass", "ran": 1, "failed": [],
            "skipped": 0, "at": 0},
        "hold": {"by": "ann", "why": of(&[json!("w"), json!("hands off")]), "until": null},
    });
    for optional in ["deployed", "tests", "hold"] {
        if pick(5) == 0 {
            host[optional] = Value::Null;
        }
    }
    json!({
        "hosts": {HOST: host},
        "desired": {"agent_version": "4.0.0", "remote": {"state": "verified"},
            "commit": of(&full), "lock": of(&locks), "subject": null, "commit_time": null,
            "branch": null},
        "update_pr": {"number": 40 + pick(3), "title": "", "url": "", "created_at": null,
            "changes": []},
    })
}

fn any_reason(code: ReasonCode, pick: &dyn Fn(usize) -> usize) -> Reason {
    let commits = [Value::Null, json!(commit('a')), json!(commit('b'))];
    let locks = [Value::Null, json!(lock("a")), json!(lock("b"))];
    let of = |all: &[Value]| all[pick(all.len())].clone();
    let flag = |_: &str| json!(pick(2) == 1);
    let of_lock = matches!(
        code,
        ReasonCode::LockCurrent
            | ReasonCode::LockBehind
            | ReasonCode::LockAhead
            | ReasonCode::LockNotOnBranch
            | ReasonCode::LockDifferent
    );
    let hashes: &[Value] = if of_lock { &locks } else { &commits };
    let cause = RemoteCause::ALL[pick(15)];
    serde_json::from_value(json!({
        "code": code,
        "cause": of(&[json!(cause), json!({"http-status": 503}), json!({"http-status": 7})]),
        "host": of(hashes), "desired": of(hashes), "abbreviated": flag("abbreviated"),
        "commits": pick(300), "ahead": pick(9), "behind": pick(9), "versions": pick(9),
        "command": of(&[Value::Null, json!(CommandId::from_bytes([7; 16]))]),
        "at": of(&[Value::Null, json!(5)]), "git": flag("git"), "lock": flag("lock"),
        "running": of(&commits), "expected": of(&commits), "commit": of(&commits),
        "unclean": flag("unclean"), "deployed": of(&commits), "ran": pick(40), "failed": pick(4),
        "system": Status::Outdated, "passed_for": of(&commits), "tested": of(&commits),
        "passed": flag("passed"), "op": Op::PullSwitch,
        "half": of(&[Value::Null, json!("pull"), json!("switch")]),
        "awaiting_reconnect": flag("awaiting_reconnect"),
    }))
    .unwrap()
}

fn any_attention(code: &str, pick: &dyn Fn(usize) -> usize) -> Attention {
    let of = |all: &[Value]| all[pick(all.len())].clone();
    serde_json::from_value(json!({
        "code": code, "pr": 40 + pick(3), "units": of(&[json!([]), json!(["a.service"])]),
        "total": pick(2), "failed": pick(3), "since": of(&[json!(1), json!(2)]), "by": "ann",
        "why": of(&[json!("w"), json!("hands off")]), "until": null,
        "verified_at": of(&[Value::Null, json!(1_767_225_600_000_i64), json!(-1)]),
    }))
    .unwrap()
}

fn any_view(pick: &dyn Fn(usize) -> usize) -> StatusView {
    let statuses = letters::STATUSES.map(|(status, _)| status);
    let reason = |()| any_reason(ReasonCode::ALL[pick(ReasonCode::ALL.len())], pick);
    let attentions = letters::ATTENTIONS.iter().filter(|_| pick(4) == 0);
    StatusView {
        id: HOST.parse().unwrap(),
        s: [(); 5].map(|()| statuses[pick(5)]),
        r: [(); 5].map(reason),
        a: attentions
            .map(|(code, _)| any_attention(code, pick))
            .collect(),
        g: pick(2) == 1,
    }
}

/// Statuses of which a client with this state knows everything, if `pick` finds such.
fn any_known_view(state: &SyncState, pick: &dyn Fn(usize) -> usize) -> Option<StatusView> {
    let mut letters: String = (0..5).map(|_| letters::STATUSES[pick(5)].1).collect();
    let mut numbers = Vec::new();
    let mut add = |row: letters::Letter| {
        for (_, source) in row.parameters {
            if matches!(source, Source::Told(_) | Source::IfTold(_)) {
                numbers.push(i64::try_from(pick(2)).unwrap());
            }
        }
        row.letter
    };
    for _ in 0..5 {
        letters.push(add(letters::reason(
            ReasonCode::ALL[pick(ReasonCode::ALL.len())],
        )));
    }
    if pick(2) == 0 {
        letters.push(letters::GREEN);
    }
    for (_, row) in letters::ATTENTIONS {
        if pick(4) == 0 {
            letters.push(add(row));
        }
    }
    let id = HOST.parse().unwrap();
    CompactStatus {
        id,
        letters,
        numbers,
    }
    .whole(state)
}

/// A log with this state, and a client that has it.
fn started(state: &SyncState) -> (SyncLog, Replica) {
    let version = StateVersion::default();
    let log = SyncLog::new(version, state.clone());
    let mut replica = Replica::new();
    for part in parts(version, state) {
        replica.apply(ServerMessage::Init(Box::new(part)));
    }
    (log, replica)
}

fn whole(view: &StatusView) -> Change {
    Change::StatusUpdated(StatusUpdate::Whole(Box::new(view.clone())))
}

fn is_compact(delta: &Delta) -> bool {
    matches!(
        delta.change,
        Change::StatusUpdated(StatusUpdate::Compact(_))
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn whatever_the_statuses_a_client_gets_exactly_these(choices in prop::collection::vec(0usize..1_000, 60..240)) {
        let next = std::cell::Cell::new(0);
        let pick = |bound: usize| {
            next.set(next.get() + 1);
            choices[next.get() % choices.len()] % bound
        };
        let (mut log, mut replica) = started(&state(world(&pick)));
        for _ in 0..4 {
            let known = any_known_view(log.state(), &pick).filter(|_| pick(3) > 0);
            let mut changes = vec![whole(&known.unwrap_or_else(|| any_view(&pick)))];
            if pick(2) == 0 {
                let other = state(world(&pick));
                let host = other.hosts[&HOST.parse().unwrap()].clone();
                changes.insert(0, Change::HostUpdated(Box::new(host)));
                changes.insert(0, Change::DesiredChanged(Box::new(other.desired.unwrap())));
            }
            let deltas: Vec<Arc<Delta>> =
                changes.into_iter().filter_map(|change| log.publish(change)).collect();
            if let Some(message) = frame(&deltas) {
                let message = over_the_wire(&message);
                prop_assert_eq!(replica.apply(message.clone()), ReplicaStep::Changed);
                prop_assert_eq!(replica.apply(message), ReplicaStep::Unchanged, "a duplicate");
            }
            prop_assert_eq!(replica.state(), log.state());
            prop_assert_eq!(replica.version(), Some(log.version()));
        }
    }
}

/// What stands at the places and what was there before is enough for every reason.
#[test]
fn every_reason_and_attention_goes_compact_where_clients_know_its_parameters() {
    for code in ReasonCode::ALL {
        let (mut log, mut replica) = started(&told());
        // The first value of every kind that is not nothing, as in the state.
        let pick = |bound: usize| usize::from(bound > 1);
        let reason = any_reason(*code, &pick);
        let mut view = any_view(&|_| 0);
        (view.r, view.a) = ([reason; 5], Vec::new());
        let first = log.publish(whole(&view)).unwrap();
        let mut sources = letters::reason(*code).parameters.iter();
        let needs_before = sources.any(|(_, source)| *source == Source::Before);
        assert_eq!(is_compact(&first), !needs_before, "{code:?}");
        view.s = [Status::Error; 5];
        let second = log.publish(whole(&view)).unwrap();
        assert!(is_compact(&second), "{code:?}");
        replica.apply(over_the_wire(&frame(&[first, second]).unwrap()));
        assert_eq!(replica.state(), log.state(), "{code:?}");
    }
    for (code, row) in letters::ATTENTIONS {
        let (mut log, mut replica) = started(&told());
        let mut view = any_view(&|_| 0);
        view.r = [Reason::AgentCurrent; 5];
        let mut attention = any_attention(code, &|bound| usize::from(bound > 1));
        if let Attention::Offline { since } = &mut attention {
            *since = nixfleet_core::Timestamp::from_millis(1);
        }
        view.a = vec![attention];
        let first = log.publish(whole(&view)).unwrap();
        let needs_before = row.parameters.iter().any(|one| one.1 == Source::Before);
        assert_eq!(is_compact(&first), !needs_before, "{code}");
        view.s = [Status::Error; 5];
        let second = log.publish(whole(&view)).unwrap();
        assert!(is_compact(&second), "{code}");
        replica.apply(over_the_wire(&frame(&[first, second]).unwrap()));
        assert_eq!(replica.state(), log.state(), "{code}");
    }
}

#[test]
fn what_a_client_cannot_know_is_sent_whole() {
    let (mut log, _) = started(&told());
    let mut view = any_view(&|_| 0);
    (view.r, view.a) = ([Reason::AgentCurrent; 5], Vec::new());
    view.r[1] = Reason::CheckoutDirty {
        host: Some(commit('b').into()),
    };
    assert!(
        !is_compact(&log.publish(whole(&view)).unwrap()),
        "not the commit of the host"
    );
    view.r[1] = Reason::CheckoutDirty {
        host: Some(commit('a').into()),
    };
    assert!(
        is_compact(&log.publish(whole(&view)).unwrap()),
        "the commit of the host"
    );
    view.r[3] = Reason::RunsOtherRevision {
        running: Some(commit('c').into()),
        expected: Some(commit('a').into()),
    };
    assert!(
        !is_compact(&log.publish(whole(&view)).unwrap()),
        "no fact of the host says what it claims"
    );
    view.g = !view.g;
    assert!(
        is_compact(&log.publish(whole(&view)).unwrap()),
        "it claims what it claimed"
    );
}

#[test]
fn what_a_client_cannot_read_makes_it_ask_and_changes_nothing() {
    let entries = [
        json!(["web-0001", "oooooBGQin"]),
        json!(["web-0002", "oooooBGQin"]),
        json!(["web-0001", "oooooBGQi"]),
        json!(["web-0001", "xooooBGQin"]),
        json!(["web-0001", "ooooo!GQin"]),
        json!(["web-0001", "oooooBGQin!"]),
        json!(["web-0001", "oooooBGQin", 1]),
        json!(["web-0001", "oooooBGQYn", 1]),
        json!(["web-0001", "oooooBGQYn", 1, 2]),
        json!(["web-0001", "oooooBGQbn"]),
        json!(["web-0001", "oooooBGQing"]),
    ];
    for (index, entry) in entries.iter().enumerate() {
        let (log, mut replica) = started(&told());
        let message = json!({"type": "delta", "payload": {
            "first": log.version().next(), "changes": [{"status_updated": [entry]}]}});
        let step = replica.apply(serde_json::from_value(message).unwrap());
        if index == 0 {
            assert_eq!(step, ReplicaStep::Changed, "{entry}");
        } else {
            assert_eq!(step, ReplicaStep::AskForState, "{entry}");
            assert_eq!(replica.state(), log.state(), "{entry}");
            assert_eq!(replica.version(), Some(log.version()), "{entry}");
        }
    }
}

#[test]
fn statuses_that_follow_one_another_share_a_name_and_keep_their_versions() {
    let entry = |id: &str| {
        Change::StatusUpdated(StatusUpdate::Compact(Box::new(CompactStatus {
            id: id.parse().unwrap(),
            letters: "oooooBIRdq+".to_owned(),
            numbers: vec![0, 3],
        })))
    };
    let removed = Change::HostRemoved("web-9".parse().unwrap());
    let changes = vec![entry("web-1"), entry("web-2"), removed, entry("web-3")];
    let message = ServerMessage::Delta(nixfleet_core::sync::Deltas {
        first: StateVersion::default(),
        changes,
    });
    let written = serde_json::to_value(&message).unwrap();
    let expected = json!([
        {"status_updated": [["web-1", "oooooBIRdq+", 0, 3], ["web-2", "oooooBIRdq+", 0, 3]]},
        {"host_removed": "web-9"},
        {"status_updated": [["web-3", "oooooBIRdq+", 0, 3]]},
    ]);
    assert_eq!(written["payload"]["changes"], expected);
    over_the_wire(&message);
}

// ---- few bytes ----

struct Story {
    fleet: Fleet,
    witness: Witness,
    hosts: usize,
}

/// What a change of the target cost.
struct Cost {
    /// Hosts whose statuses changed.
    flipped: usize,
    /// Of these, those whose statuses travelled whole.
    whole: usize,
    /// Bytes of all frames, divided by the hosts that flipped, rounded up.
    bytes: usize,
}

impl Story {
    fn new(hosts: usize, host: impl Fn(usize) -> World) -> Self {
        let records = (0..hosts).map(|number| record(number, host(number)));
        let stored = Stored {
            hosts: records.collect(),
            ..Stored::default()
        };
        let config = FleetConfig {
            server_version: "4.0.0".into(),
            agent_version: "4.0.0".into(),
            remote: RemotePolicy {
                ttl: Duration::from_secs(5),
                grace: Duration::from_secs(60),
            },
            remote_configured: true,
            store_intact: true,
            host_driven: false,
            offline_notice: None,
            tests_after_switch: false,
            updates: None,
        };
        let (fleet, _) = Fleet::restore(config, stored, NOW);
        let mut witness = Witness::default();
        witness.connect(&fleet);
        let mut story = Self {
            fleet,
            witness,
            hosts,
        };
        story.moves("a0");
        story
    }

    /// The remote is read: its head is the first of these commits, newest first.
    fn moves(&mut self, newest_first: &str) -> Cost {
        let head = newest_first.chars().next().unwrap();
        let version = |digit: char| LockVersion {
            commit: commit(digit),
            hash: lock(&digit.to_string()),
            time: NOW,
            summary: None,
        };
        let history = RemoteHistory {
            commits: CommitHistory::new(newest_first.chars().map(commit).collect()),
            locks: LockHistory::new(newest_first.chars().map(version).collect()),
        };
        let reading = Reading {
            snapshot: snapshot(commit(head), lock(&head.to_string())),
            history: Some(Arc::new(history)),
        };
        self.input(Input::Read(Box::new(Ok(reading))))
    }

    fn fails(&mut self) -> Cost {
        let why = Unavailable::new(RemoteCause::HttpStatus(503), "");
        self.input(Input::Read(Box::new(Err(why))))
    }

    fn input(&mut self, input: Input) -> Cost {
        let effects = self.fleet.handle(input, NOW);
        self.cost(&effects)
    }

    /// Sends what was published as the server does, and weighs it.
    fn cost(&mut self, effects: &[Effect]) -> Cost {
        let (compact, whole) = (self.witness.compact, self.witness.whole);
        let published = self.witness.follow(effects);
        assert!(self.witness.replica().state() == self.fleet.sync().state());
        assert_eq!(self.witness.replica().version(), Some(self.fleet.version()));
        let frames = published.chunks(512).filter_map(frame);
        let bytes: usize = frames
            .map(|message| serde_json::to_string(&message).unwrap().len())
            .sum();
        let whole = self.witness.whole - whole;
        let flipped = self.witness.compact - compact + whole;
        Cost {
            flipped,
            whole,
            bytes: bytes.div_ceil(flipped.max(1)),
        }
    }
}

fn record(number: usize, world: World) -> HostRecord {
    let id = format!("web-{number:04}").parse().unwrap();
    HostRecord {
        observation: world.observation,
        deploy: DeployEvidence {
            command: Some(CommandId::from_bytes([9; 16])),
            ..world.deploy
        },
        tests: world.tests,
        presence: world.presence,
        hold: world.hold,
        ..HostRecord::new(id, NOW)
    }
}

/// A host of a fleet in the middle of its life: one in three is behind, some have never deployed,
/// failed, run units that fail, or are away.
fn mixed(number: usize) -> World {
    let mut world = World::current();
    if number.is_multiple_of(3) {
        let now = world.desired.remote.clone();
        world.remote_moves('0');
        world.pull();
        world.switch_ok();
        world.test(TestVerdict::Pass);
        world.desired.remote = now;
    }
    match number % 20 {
        1 => world.switch_fails(),
        2 => world.observation.failed_units = Some(vec!["nginx.service".into(); 20]),
        4 => world.test(TestVerdict::Fail),
        5 => world = World::never_seen(),
        7 => {
            world = World::never_seen();
            world.existing = true;
            world.connect();
            world.pull();
        }
        8 => {
            world.presence = nixfleet_core::host::Presence::Offline { since: NOW };
        }
        10 => world.switch_outcome_unknown(),
        14 => {
            world
                .observation
                .system
                .as_mut()
                .unwrap()
                .configuration_revision = Some(commit('e').into())
        }
        11 => world.observation.repo.as_mut().unwrap().dirty = true,
        13 => {
            world.hold = Some(nixfleet_core::host::Hold {
                by: "ann".into(),
                why: "hands off while the disk is replaced".into(),
                until: None,
            });
        }
        _ => {}
    }
    world
}

/// Goal S8 of the design: the head of the branch moves, and 10,000 hosts flip.
#[test]
fn a_moved_target_costs_at_most_80_bytes_a_host() {
    let mut story = Story::new(10_000, |_| World::current());
    let cost = story.moves("ba0");
    println!("10,000 current hosts: {} bytes a host", cost.bytes);
    assert_eq!((cost.flipped, cost.whole), (10_000, 0));
    assert!(cost.bytes <= TARGET_BYTES, "{}", cost.bytes);

    let mut story = Story::new(10_000, mixed);
    let cost = story.moves("ba0");
    println!(
        "10,000 mixed hosts: {} flip, {} whole, {} bytes a host",
        cost.flipped, cost.whole, cost.bytes
    );
    assert!(cost.flipped > 9_000, "{}", cost.flipped);
    assert_eq!(cost.whole, 0);
    assert!(cost.bytes <= TARGET_BYTES, "{}", cost.bytes);
}

/// What else changes every host at once.
#[test]
fn every_change_of_the_whole_fleet_stays_within_80_bytes_a_host() {
    let mut story = Story::new(1_000, mixed);
    let grace = story.fails();
    let due = story.fleet.poll_timeout().unwrap();
    let effects = story.fleet.handle_timeout(due);
    let failed = story.cost(&effects);
    let back = story.moves("a0");
    let rewritten = story.moves("c0");
    let further = story.moves("dc0");
    let pr = PendingPr {
        number: 421,
        title: "Update flake.lock".into(),
        url: "https://github.com/example/fleet/pull/421".into(),
        created_at: Some(NOW),
        changes: Vec::new(),
    };
    let effects = story.fleet.set_pending_pr(Some(pr), NOW);
    let opened = story.cost(&effects);
    let merged = story.moves("edc0");
    for (what, cost) in [
        ("the remote stops answering", grace),
        ("the remote counts as failed", failed),
        ("the remote is back", back),
        ("the branch was rewritten", rewritten),
        ("one commit more", further),
        ("a pull request is open", opened),
        ("it is merged", merged),
    ] {
        let Cost {
            flipped,
            whole,
            bytes,
        } = cost;
        println!("{what}: {flipped} flip, {whole} whole, {bytes} bytes a host");
        assert!(flipped > 900, "{what}: {flipped} of {}", story.hosts);
        assert!(bytes <= MAX_BYTES, "{what}: {bytes}");
    }
}
