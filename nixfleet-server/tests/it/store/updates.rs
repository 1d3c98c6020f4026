//! Rollouts, updates and settings in the store, and what came before there were any.

use std::time::Duration;

use nixfleet_core::fleet::{
    AuditRecord, FleetSettings, HostRecord, Input, KEPT_ROLLOUTS, Quarantined, Record, Request,
    RequestId,
};
use nixfleet_core::host::{Actor, DeployEvidence, DeployOutcome, HostSettings};
use nixfleet_core::lifecycle::Target;
use nixfleet_core::notice::{Notice, NoticeKind};
use nixfleet_core::rollout::{Ask, HostStage, Rollout, RolloutId, RolloutState, Targets};
use nixfleet_core::update::{MAX_MERGED, MergedUpdate, PrNumber, UpdateRecord, UpdateState};
use nixfleet_core::window::{Window, WindowEffect, Zone};
use nixfleet_core::{Sequence, Timestamp, lock_hash};
use nixfleet_server::notify::{Attempt, DeliveryLog, Outcome, Owed};
use nixfleet_server::store::{AuditVerdict, Condition, Retention, Store, StoreError};
use sqlx::Connection;

use super::Home;
use super::day::{Day, command_id, commit, host};

/// What a server of schema version 2 left behind.
const VERSION_2: &str = include_str!("old/0002.sql");

#[tokio::test]
async fn a_database_of_version_2_is_migrated_and_everything_in_it_still_believed() {
    let home = Home::new();
    let mut raw = home.raw().await;
    sqlx::raw_sql(VERSION_2).execute(&mut raw).await.unwrap();
    raw.close().await.unwrap();

    let store = home.open().await;
    assert_eq!(store.condition(), Condition::Sound);
    let loaded = store.load().await.unwrap();
    assert_eq!(store.condition(), Condition::Sound, "no sum is wrong");
    let names: Vec<&str> = loaded.hosts.iter().map(|host| host.id.as_str()).collect();
    assert_eq!(names, ["web-1", "web-2"]);
    assert!(
        loaded
            .hosts
            .iter()
            .all(|host| host.settings == HostSettings::default())
    );
    assert_eq!(loaded.hosts[1].hold.as_ref().unwrap().why, "a look");
    assert_eq!(
        loaded.commands.len(),
        2,
        "an open one and the last one that ended"
    );
    assert!(loaded.rollouts.is_empty());
    assert_eq!(loaded.settings, FleetSettings::default());
    assert_eq!(loaded.updates.state, None);
    assert_eq!(store.verify_audit().await.unwrap(), AuditVerdict::Intact(3));
    let deploys = store.deploys(&host("web-1"), 10).await.unwrap();
    assert_eq!(deploys.len(), 1);
    assert_eq!(deploys[0].outcome, DeployOutcome::Ok);
    assert_eq!((&deploys[0].actor, deploys[0].target), (&None, None));

    // The chain goes on, with fields that older rows do not have.
    let row = AuditRecord::new(
        Timestamp::from_seconds(9),
        &Actor::Person("me".into()),
        "x",
        "y",
    );
    let row = row.changed(&1, &2);
    let mut changed = loaded.hosts[0].clone();
    changed.settings.priority = Some(7);
    store
        .commit(&[Record::Audit(row), Record::Host(changed.clone())])
        .await
        .unwrap();
    store.close().await;
    drop(store);
    let store = home.open().await;
    assert_eq!(store.verify_audit().await.unwrap(), AuditVerdict::Intact(4));
    assert_eq!(
        store.load().await.unwrap().hosts[0].settings,
        changed.settings
    );
    assert_eq!(store.check().await, Condition::Sound);
}

#[tokio::test]
async fn g10_what_an_audit_row_changed_and_its_peer_are_sealed_too() {
    for statement in [
        "UPDATE audit SET value_before = '8' WHERE n = 1",
        "UPDATE audit SET value_after = NULL WHERE n = 1",
        "UPDATE audit SET peer = '192.0.2.9' WHERE n = 1",
        "UPDATE audit SET value_before = NULL, value_after = NULL, peer = NULL WHERE n = 1",
        "UPDATE audit SET value_before = value_after, value_after = value_before WHERE n = 1",
        "UPDATE audit SET value_before = '1' WHERE n = 2",
    ] {
        let home = Home::new();
        let store = home.open().await;
        let actor = Actor::Person("me".into());
        let plain = AuditRecord::new(Timestamp::from_seconds(9), &actor, "x", "y");
        let mut full = plain.clone().changed(&1, &2);
        full.peer = Some("192.0.2.1".into());
        store
            .commit(&[Record::Audit(full), Record::Audit(plain)])
            .await
            .unwrap();
        assert_eq!(
            store.verify_audit().await.unwrap(),
            AuditVerdict::Intact(2),
            "control"
        );
        home.execute(statement).await;
        let found = store.verify_audit().await.unwrap();
        assert!(
            matches!(found, AuditVerdict::Broken(_)),
            "{statement}: {found:?}"
        );
        store.close().await;
    }
}

fn rollout_id(number: u8) -> RolloutId {
    RolloutId::from_bytes([number; 16])
}

/// A store and a fleet with two hosts and a rollout on both that has begun.
async fn with_rollout(home: &Home) -> (Store, Rollout) {
    let store = home.open().await;
    let (mut day, mut all) = Day::start(store.load().await.unwrap());
    all.extend(day.read('a'));
    all.extend(day.register("web-1", 1));
    all.extend(day.register("web-2", 2));
    let started = day.input(Input::Request {
        id: RequestId(1),
        actor: Actor::Person("me".into()),
        request: Request::StartRollout {
            id: rollout_id(1),
            ask: Box::new(Ask {
                hosts: Targets::All,
                ..Ask::default()
            }),
            confirm: None,
            reason: Some("why not".into()),
        },
    });
    all.extend(started);
    store.commit(&all).await.unwrap();
    let rollout = day.fleet.rollout(rollout_id(1)).unwrap().clone();
    assert_eq!(rollout.state, RolloutState::Running);
    assert_eq!(rollout.count(HostStage::Running), 2, "{rollout:?}");
    (store, rollout)
}

#[tokio::test]
async fn a_rollout_comes_back_as_it_was_and_so_does_its_end() {
    let home = Home::new();
    let (store, mut rollout) = with_rollout(&home).await;
    store.close().await;
    drop(store);
    let store = home.open().await;
    assert_eq!(store.load().await.unwrap().rollouts, [rollout.clone()]);
    rollout.state = RolloutState::Cancelled;
    rollout.since = Timestamp::from_seconds(2_000_000);
    store
        .commit(&[Record::Rollout(Box::new(rollout.clone()))])
        .await
        .unwrap();
    assert_eq!(store.load().await.unwrap().rollouts, [rollout.clone()]);
    assert_eq!(store.find_rollout(rollout.id).await.unwrap(), Some(rollout));
    assert_eq!(store.find_rollout(rollout_id(9)).await.unwrap(), None);
}

#[tokio::test]
async fn d15_a_second_rollout_that_acts_on_a_host_is_refused_with_its_whole_batch() {
    let home = Home::new();
    let (store, first) = with_rollout(&home).await;
    let second = Rollout {
        id: rollout_id(2),
        ..first.clone()
    };
    let event = Record::HostRemoved(host("web-2"));
    let batch = [event, Record::Rollout(Box::new(second.clone()))];
    let refused = store.commit(&batch).await.unwrap_err();
    assert!(matches!(refused, StoreError::Constraint(_)), "{refused}");
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.rollouts, std::slice::from_ref(&first));
    assert_eq!(loaded.hosts.len(), 2, "nothing of the batch");

    // One that waits for the end of the first is fine, and takes its place in one batch with it,
    // whatever the order.
    let mut waiting = second.clone();
    for run in waiting.hosts.values_mut() {
        run.state = HostStage::Waiting;
    }
    store
        .commit(&[Record::Rollout(Box::new(waiting))])
        .await
        .unwrap();
    let mut ended = first;
    ended.state = RolloutState::Superseded;
    store
        .commit(&[
            Record::Rollout(Box::new(second.clone())),
            Record::Rollout(Box::new(ended.clone())),
        ])
        .await
        .unwrap();
    let mut rollouts = store.load().await.unwrap().rollouts;
    rollouts.sort_by_key(|one| one.id);
    assert_eq!(rollouts, [ended, second]);
}

#[tokio::test]
async fn old_rollouts_page_into_the_past_and_only_the_last_are_loaded() {
    let home = Home::new();
    let (store, template) = with_rollout(&home).await;
    let ended = |number: u8| {
        let at = Timestamp::from_seconds(3_000_000 + i64::from(number));
        let mut rollout = Rollout {
            id: rollout_id(255 - number),
            created: at,
            since: at,
            state: RolloutState::Complete,
            ..template.clone()
        };
        for run in rollout.hosts.values_mut() {
            run.state = HostStage::Done;
        }
        Record::Rollout(Box::new(rollout))
    };
    let all: Vec<Record> = (0..60).map(ended).collect();
    store.commit(&all).await.unwrap();
    let loaded = store.load().await.unwrap().rollouts;
    assert_eq!(loaded.len(), 51, "the open one, and the last that ended");
    assert!(loaded.iter().any(|one| one.id == template.id));
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = store.rollouts_before(before, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        seen.extend(page.iter().map(|one| one.created));
    }
    assert_eq!(seen.len(), 61);
    assert!(seen.is_sorted_by(|one, next| one > next), "newest first");
}

fn merged(number: u64) -> MergedUpdate {
    MergedUpdate {
        repo: "nixfleet/hosts".into(),
        number: PrNumber(number),
        title: format!("update {number}"),
        url: String::new(),
        author: "robot".into(),
        head: commit('c'),
        commit: Some(commit('a')),
        at: Timestamp::from_seconds(1_000_000 + i64::try_from(number).unwrap()),
        by: Some(Actor::Person("me".into())),
        inputs: Vec::new(),
        revert: None,
    }
}

#[tokio::test]
async fn updates_and_settings_come_back_as_they_were() {
    let home = Home::new();
    let store = home.open().await;
    let state = UpdateState {
        repo: "nixfleet/hosts".into(),
        branch: "main".into(),
        jobs: 3,
        ..UpdateState::default()
    };
    let window = Window {
        id: "night".into(),
        selector: "web-*".parse().unwrap(),
        zone: "UTC".into(),
        classes: Vec::new(),
        effect: WindowEffect::Allow,
        days: Vec::new(),
        from: "22:00".parse().unwrap(),
        to: "04:00".parse().unwrap(),
    };
    let settings = FleetSettings {
        windows: vec![window],
        zones: [("UTC".to_owned(), Zone::utc())].into(),
        quarantine: vec![Quarantined {
            target: Target {
                commit: commit('b'),
                lock: Some(lock_hash(b"b")),
            },
            since: Timestamp::from_seconds(5),
            by: "me".into(),
            why: "it burnt".into(),
        }],
        holds: vec![
            serde_json::from_value(serde_json::json!({
                "id": 7, "selector": "@db", "by": "me", "why": "disks", "since": 5, "until": null,
            }))
            .unwrap(),
        ],
        last_hold: 9,
        ..FleetSettings::default()
    };
    let mut again = merged(1);
    again.title = "told once more".into();
    let mut batch = vec![
        Record::Settings(Box::default()),
        Record::Settings(Box::new(settings.clone())),
        Record::Update(UpdateRecord::State(Box::default())),
        Record::Update(UpdateRecord::State(Box::new(state.clone()))),
    ];
    let many = u64::try_from(MAX_MERGED).unwrap() + 5;
    batch.extend((1..=many).map(|n| Record::Update(UpdateRecord::Merged(Box::new(merged(n))))));
    batch.push(Record::Update(UpdateRecord::Merged(Box::new(
        again.clone(),
    ))));
    store.commit(&batch).await.unwrap();
    store.close().await;
    drop(store);

    let store = home.open().await;
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.settings, settings);
    assert_eq!(loaded.updates.state, Some(state));
    assert_eq!(loaded.updates.merged.len(), MAX_MERGED);
    let oldest = store
        .merged_before("nixfleet/hosts", Some(merged(2).at), 10)
        .await
        .unwrap();
    assert_eq!(oldest, [again], "one row for each pull request (law E1)");
    assert_eq!(
        store.merged_before("other/repo", None, 10).await.unwrap(),
        []
    );
}

#[tokio::test]
async fn a_damaged_row_of_each_new_table_is_noticed_and_left_out() {
    for (table, statement) in [
        (
            "rollouts",
            "UPDATE rollouts SET body = replace(body, '\"running\"', '\"complete\"')",
        ),
        (
            "updates",
            "UPDATE updates SET body = replace(body, 'main', 'evil')",
        ),
        (
            "merged_updates",
            "UPDATE merged_updates SET body = replace(body, 'robot', 'human')",
        ),
        (
            "fleet_settings",
            "UPDATE fleet_settings SET body = replace(body, 'burnt', 'shone')",
        ),
        (
            "hosts",
            "UPDATE hosts SET settings = NULL WHERE id = 'web-1'",
        ),
        (
            "hosts",
            "UPDATE hosts SET settings = '{\"priority\":1}' WHERE id = 'web-2'",
        ),
    ] {
        let home = Home::new();
        let (store, _) = with_rollout(&home).await;
        let mut hosts = store.load().await.unwrap().hosts;
        hosts[0].settings.priority = Some(5);
        let burnt = FleetSettings {
            quarantine: vec![Quarantined {
                target: Target {
                    commit: commit('b'),
                    lock: None,
                },
                since: Timestamp::from_seconds(5),
                by: "me".into(),
                why: "it burnt".into(),
            }],
            ..FleetSettings::default()
        };
        let state = UpdateState {
            branch: "main".into(),
            ..UpdateState::default()
        };
        store
            .commit(&[
                Record::Host(hosts.remove(0)),
                Record::Settings(Box::new(burnt.clone())),
                Record::Update(UpdateRecord::State(Box::new(state))),
                Record::Update(UpdateRecord::Merged(Box::new(merged(1)))),
            ])
            .await
            .unwrap();
        store.load().await.unwrap();
        assert_eq!(store.condition(), Condition::Sound, "control");
        let before = store.load().await.unwrap();
        home.execute(statement).await;
        let after = store.load().await.unwrap();
        assert!(
            matches!(store.condition(), Condition::Damaged(_)),
            "{table}: {statement}"
        );
        assert_ne!(before, after, "{table}: what is rotten is left out");
        assert!(
            store.commit(&[]).await.is_err(),
            "{table}: nothing is written"
        );
        store.close().await;
    }
}

#[tokio::test]
async fn when_each_host_got_an_update_is_told_by_its_deploys() {
    let home = Home::new();
    let store = home.open().await;
    let (mut day, mut all) = Day::start(store.load().await.unwrap());
    all.extend(day.read('a'));
    day.now = day.now + Duration::from_secs(100);
    all.extend(day.read('b'));
    store.commit(&all).await.unwrap();
    let deploy = |name: &str, letter: char, seconds: i64, outcome, number: u8| {
        let mut record = HostRecord::new(host(name), Timestamp::from_seconds(1));
        record.deploy = DeployEvidence {
            outcome,
            command: Some(command_id(number)),
            seq: Sequence(1),
            needs_reconcile: false,
            at: Some(Timestamp::from_seconds(seconds)),
            detail: None,
        };
        record.observation.deployed = Some(nixfleet_core::host::Deployed {
            commit: Some(commit(letter).into()),
            lock: None,
            store_path: None,
            clean: true,
            command: Some(command_id(number)),
            inferred: false,
        });
        Record::Host(record)
    };
    let update = merged(1);
    store
        .commit(&[
            deploy("early", 'a', 999_000, DeployOutcome::Ok, 1),
            deploy("exact", 'a', 1_000_060, DeployOutcome::Ok, 2),
            deploy("later", 'b', 1_000_200, DeployOutcome::Ok, 3),
            deploy("other", 'f', 1_000_200, DeployOutcome::Ok, 4),
            deploy("failed", 'a', 1_000_200, DeployOutcome::Failed, 5),
        ])
        .await
        .unwrap();
    let arrivals = store.arrivals(&update).await.unwrap();
    let told: Vec<(&str, i64)> = arrivals
        .iter()
        .map(|one| (one.host.as_str(), one.at.as_millis() / 1000))
        .collect();
    assert_eq!(told, [("exact", 1_000_060), ("later", 1_000_200)]);
}

#[tokio::test]
async fn what_is_owed_is_stored_with_what_it_tells_until_it_is_delivered_or_given_up() {
    let home = Home::new();
    let (store, rollout) = with_rollout(&home).await;
    let notice = Notice::new(
        NoticeKind::RolloutStarted,
        Timestamp::from_seconds(5),
        "1",
        "a rollout started",
        "",
    );
    let owed = |channel: &str| Owed {
        channel: channel.into(),
        id: "msg_1".into(),
        notice: notice.clone(),
        attempts: 0,
    };
    let both = [owed("ntfy"), owed("webhook")];
    let second = Rollout {
        id: rollout_id(2),
        ..rollout.clone()
    };
    let refused = store
        .commit_and_owe(&[Record::Rollout(Box::new(second))], &both)
        .await;
    assert!(refused.is_err());
    assert_eq!(
        store.owed_notices().await.unwrap(),
        [],
        "neither it nor what it tells"
    );
    store
        .commit_and_owe(&[Record::Rollout(Box::new(rollout))], &both)
        .await
        .unwrap();
    assert_eq!(store.owed_notices().await.unwrap(), both);

    let attempt = |channel, number, outcome| Attempt {
        id: "msg_1".into(),
        key: notice.key.clone(),
        kind: notice.kind,
        channel,
        number,
        at: Timestamp::from_seconds(6),
        outcome,
    };
    let failed = Outcome::Failed {
        why: "no answer".into(),
        next: Timestamp::from_seconds(8),
    };
    store.record(attempt("ntfy", 1, failed)).await;
    store
        .record(attempt("webhook", 1, Outcome::Delivered))
        .await;
    store.close().await;
    drop(store);
    let store = home.open().await;
    let left = store.owed_notices().await.unwrap();
    assert_eq!(
        left,
        [Owed {
            attempts: 1,
            ..owed("ntfy")
        }]
    );
    let given_up = Outcome::GivenUp { why: "404".into() };
    store.record(attempt("ntfy", 2, given_up)).await;
    assert_eq!(store.owed_notices().await.unwrap(), []);
    let log = store.deliveries(None, 10).await.unwrap();
    let told: Vec<(&str, &str, i64, &str)> = log
        .iter()
        .map(|one| {
            (
                one.channel.as_str(),
                one.state.as_str(),
                one.attempt,
                one.title.as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("ntfy", "failed", 2, "a rollout started"),
            ("webhook", "delivered", 1, "a rollout started"),
            ("ntfy", "retrying", 1, "a rollout started"),
        ]
    );
    assert_eq!(
        store.deliveries(Some(log[1].id), 10).await.unwrap().len(),
        1
    );
    let late = Timestamp::from_seconds(90 * 86_400);
    store.prune(late, Retention::default(), 100).await.unwrap();
    assert_eq!(store.deliveries(None, 10).await.unwrap(), []);
}

/// Rows of a channel that nobody has any more.
#[tokio::test]
async fn what_is_owed_to_a_channel_that_is_gone_is_in_nobodys_way_and_not_kept_for_ever() {
    let home = Home::new();
    let store = home.open().await;
    let owed = |channel: &str, second: i64| {
        let at = Timestamp::from_seconds(second);
        Owed {
            channel: channel.into(),
            id: format!("msg_{second}"),
            notice: Notice::new(NoticeKind::Test, at, &second.to_string(), "x", ""),
            attempts: 0,
        }
    };
    let gone: Vec<Owed> = (0..1200).map(|second| owed("apprise", second)).collect();
    store.commit_and_owe(&[], &gone).await.unwrap();
    let own = [owed("webhook", 2000), owed("webhook", 2001)];
    store.commit_and_owe(&[], &own).await.unwrap();
    assert_eq!(store.owed_to("webhook", 10).await.unwrap(), own);
    assert_eq!(store.owed_to("webhook", 1).await.unwrap(), own[..1]);
    assert_eq!(store.owed_to("apprise", 5000).await.unwrap().len(), 1200);
    let log: &dyn DeliveryLog = &store;
    assert_eq!(log.owed("webhook", 10).await.unwrap(), own);
    let late = Timestamp::from_seconds(2000) + Retention::default().events;
    while store.prune(late, Retention::default(), 200).await.unwrap() > 0 {}
    assert_eq!(store.owed_notices().await.unwrap(), own);
}

/// Ended rollouts go by age and by number; open ones, those that the fleet reads back, and the
/// history of deploys stay.
#[tokio::test]
async fn ended_rollouts_are_pruned_and_the_history_of_deploys_is_not() {
    const DAY: Duration = Duration::from_secs(86_400);
    let home = Home::new();
    let (store, open) = with_rollout(&home).await;
    let begun = open.since;
    let count = KEPT_ROLLOUTS + 30;
    let ended = |number: usize| Rollout {
        id: rollout_id(u8::try_from(number + 10).unwrap()),
        state: RolloutState::Complete,
        since: begun + DAY * u32::try_from(number).unwrap(),
        ..open.clone()
    };
    store
        .commit(&[Record::Rollout(Box::new(open.clone()))])
        .await
        .unwrap();
    for number in 0..count {
        let record = Record::Rollout(Box::new(ended(number)));
        store.commit(&[record]).await.unwrap();
    }
    home.execute(
        "INSERT INTO deploys (command, host, seq, outcome, at) VALUES (zeroblob(16), 'web-1', 1, 'ok', 5)",
    )
    .await;
    // The oldest of all has ended, but its revert is still to be asked for.
    let owing = Rollout {
        id: rollout_id(200),
        state: RolloutState::Failed,
        since: begun,
        revert_wanted: true,
        revert_due: true,
        ..open.clone()
    };
    store
        .commit(&[Record::Rollout(Box::new(owing.clone()))])
        .await
        .unwrap();
    let rows = async || store.rollouts_before(None, 10_000).await.unwrap().len();
    // Other old records go in the same rounds; only rollouts are counted.
    let prune = async |now, keep| {
        let all = rows().await;
        while store.prune(now, keep, 7).await.unwrap() > 0 {}
        all - rows().await
    };
    let keep = Retention::default();
    let before = store.load().await.unwrap();
    assert_eq!(before.rollouts.len(), KEPT_ROLLOUTS + 2);
    assert!(
        before.rollouts.contains(&owing),
        "it is read back, however old"
    );
    assert_eq!(
        prune(begun + DAY * 90, keep).await,
        0,
        "nothing is that old"
    );
    // Ten are too old.
    assert_eq!(prune(begun + DAY * 100, keep).await, 10);
    let find = async |number| store.find_rollout(ended(number).id).await.unwrap();
    assert_eq!(find(9).await, None);
    assert!(find(10).await.is_some());
    // However old: the last ones stay, and so does an open one.
    assert_eq!(prune(begun + DAY * 10_000, keep).await, 20);
    let after = store.load().await.unwrap();
    assert_eq!(after.rollouts, before.rollouts);
    assert_eq!(store.deploys(&host("web-1"), 10).await.unwrap().len(), 1);
    // However young: no more than so many.
    for number in 0..30 {
        let record = Record::Rollout(Box::new(ended(number)));
        store.commit(&[record]).await.unwrap();
    }
    let few = Retention {
        most_rollouts: KEPT_ROLLOUTS + 5,
        ..keep
    };
    assert_eq!(prune(begun, few).await, 25);
    assert_eq!(store.load().await.unwrap().rollouts, before.rollouts);
    // Once it was asked for, it is one of the old ones.
    let over = Rollout {
        revert_due: false,
        ..owing
    };
    store
        .commit(&[Record::Rollout(Box::new(over))])
        .await
        .unwrap();
    prune(begun + DAY * 90, keep).await;
    assert!(store.find_rollout(rollout_id(200)).await.unwrap().is_some());
    prune(begun + DAY * 10_000, keep).await;
    assert_eq!(store.find_rollout(rollout_id(200)).await.unwrap(), None);
}

/// A database of schema version 3 has no budgets, and everything else of it is still believed.
#[tokio::test]
async fn a_database_of_version_3_is_migrated() {
    let home = Home::new();
    let (store, rollout) = with_rollout(&home).await;
    store
        .commit(&[Record::Rollout(Box::new(rollout))])
        .await
        .unwrap();
    let before = store.load().await.unwrap();
    store.close().await;
    drop(store);
    home.execute("DROP TABLE forge_budgets").await;
    home.execute("DROP INDEX notices_owed_by_channel").await;
    home.execute("DELETE FROM _sqlx_migrations WHERE version = 4")
        .await;
    let store = home.open().await;
    assert_eq!(store.condition(), Condition::Sound);
    assert_eq!(store.load().await.unwrap(), before);
    assert!(store.forge_budgets().await.unwrap().is_empty());
    assert_eq!(store.check().await, Condition::Sound);
}

/// A database of schema version 5 has no profiles and its ended rollouts may still owe a revert; a
/// damaged one is not migrated, and read all the same.
#[tokio::test]
async fn a_database_of_version_5_is_migrated_or_if_damaged_read_as_it_is() {
    let home = Home::new();
    let (store, rollout) = with_rollout(&home).await;
    let owing = Rollout {
        state: RolloutState::Failed,
        revert_wanted: true,
        revert_due: true,
        ..rollout
    };
    store
        .commit(&[Record::Rollout(Box::new(owing.clone()))])
        .await
        .unwrap();
    let before = store.load().await.unwrap();
    assert_eq!(before.hosts.len(), 2);
    store.close().await;
    drop(store);
    home.execute("ALTER TABLE hosts DROP COLUMN profile_path")
        .await;
    home.execute("UPDATE rollouts SET open = 0").await;
    home.execute("DELETE FROM _sqlx_migrations WHERE version = 6")
        .await;
    home.execute("PRAGMA foreign_keys = OFF; INSERT INTO rollout_hosts VALUES (x'00', 'web-9', 0)")
        .await;
    let store = home.open().await;
    assert!(matches!(store.condition(), Condition::Damaged(_)));
    assert_eq!(store.load().await.unwrap().hosts, before.hosts);
    store.close().await;
    drop(store);

    home.execute("DELETE FROM rollout_hosts WHERE host = 'web-9'")
        .await;
    let store = home.open().await;
    assert_eq!(store.condition(), Condition::Sound);
    assert_eq!(store.load().await.unwrap(), before);
    for number in 0..u8::try_from(KEPT_ROLLOUTS).unwrap() + 5 {
        let newer = Rollout {
            id: rollout_id(100 + number),
            since: owing.since + Duration::from_secs(60),
            revert_due: false,
            ..owing.clone()
        };
        store
            .commit(&[Record::Rollout(Box::new(newer))])
            .await
            .unwrap();
    }
    let rollouts = store.load().await.unwrap().rollouts;
    assert!(
        rollouts.contains(&owing),
        "its revert is still to be asked for"
    );
}
