//! Batches of records in, a snapshot out.

use std::time::Duration;

use nixfleet_core::admission::Lane;
use nixfleet_core::desired::Remote;
use nixfleet_core::fleet::{HostRecord, Record, Snapshot};
use nixfleet_core::host::{DeployEvidence, DeployOutcome, Deployed, Presence};
use nixfleet_core::lifecycle::{Command, Phase};
use nixfleet_core::sync::EventView;
use nixfleet_core::{CommandId, Op, Sequence, StateVersion, Timestamp, lock_hash};
use nixfleet_server::store::{Condition, Retention, Store, StoreError};

use super::Home;
use super::day::{Day, command_id, commit, host};

/// A store with one host that runs a pull, and that command.
async fn with_pull(home: &Home) -> (Store, Command) {
    let store = home.open().await;
    let (mut day, first) = Day::start(store.load().await.unwrap());
    let mut all = first;
    all.extend(day.read('a'));
    all.extend(day.register("web-1", 1));
    all.extend(day.dispatch(Op::Pull, "web-1", command_id(1)));
    store.commit(&all).await.unwrap();
    let command = day.fleet.command(command_id(1)).unwrap().clone();
    assert!(command.phase.is_active(), "{:?}", command.phase);
    (store, command)
}

fn version(number: u64) -> Record {
    Record::Version(StateVersion {
        epoch: u64::MAX >> 2,
        number,
    })
}

/// The host `web-1`, which names this command as the last that ended.
async fn naming(store: &Store, command: CommandId) -> Record {
    let mut hosts = store.load().await.unwrap().hosts;
    let mut host = hosts.remove(0);
    host.last_ended = Some(command);
    Record::Host(host)
}

async fn commands(store: &Store) -> Vec<Command> {
    store.load().await.unwrap().commands
}

#[tokio::test]
async fn a_fleet_goes_on_after_a_restart_where_it_stopped() {
    let home = Home::new();
    let store = home.open().await;
    let fresh = store.load().await.unwrap();
    assert!(
        fresh.version.epoch > 0,
        "a new database has an epoch of its own"
    );
    let (mut day, first) = Day::start(fresh);
    store.commit(&first).await.unwrap();
    for batch in [
        day.read('a'),
        day.register("web-1", 1),
        day.register("web-2", 2),
        day.dispatch(Op::Pull, "web-1", command_id(1)),
        day.dispatch(Op::Pull, "web-1", command_id(2)),
    ] {
        assert!(!batch.is_empty());
        store.commit(&batch).await.unwrap();
    }
    drop(store);

    let store = home.open().await;
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.version, day.fleet.version());
    assert_eq!(loaded.remote.as_ref(), Some(day.fleet.remote()));
    assert_eq!(loaded.hosts.len(), 2);
    for stored in &loaded.hosts {
        let live = day.fleet.host(&stored.id).unwrap();
        assert!(matches!(stored.presence, Presence::Offline { .. }));
        let offline = HostRecord {
            presence: stored.presence,
            ..live.clone()
        };
        assert_eq!(stored, &offline);
    }
    let running = loaded
        .commands
        .iter()
        .find(|command| command.id == command_id(1));
    assert_eq!(running, day.fleet.command(command_id(1)));
    assert_eq!(loaded.commands.len(), 1, "a refused one is only journaled");
    let refused = store.find_command(command_id(2)).await.unwrap().unwrap();
    assert_eq!(refused.phase, Phase::Blocked);
    assert!(!loaded.events.is_empty());

    let (again, _) = Day::start(loaded.clone());
    assert_eq!(
        again.fleet.command(command_id(1)).unwrap().target,
        running.unwrap().target
    );
    assert!(again.fleet.version() >= day.fleet.version());
}

#[tokio::test]
async fn a_second_active_command_in_a_lane_is_refused_with_its_whole_batch() {
    let home = Home::new();
    let (store, command) = with_pull(&home).await;
    let second = Command {
        id: command_id(9),
        ..command.clone()
    };
    let batch = [version(7), Record::Command(second.clone())];
    let refused = store.commit(&batch).await.unwrap_err();
    assert!(matches!(refused, StoreError::Constraint(_)), "{refused}");
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.commands, std::slice::from_ref(&command));
    assert_ne!(loaded.version.number, 7, "nothing of the batch");
    assert_eq!(store.condition(), Condition::Sound);

    for allowed in [
        Command {
            lane: Lane::Restart,
            ..second.clone()
        },
        Command {
            id: command_id(10),
            host: host("web-2"),
            ..second.clone()
        },
        Command {
            id: command_id(11),
            phase: Phase::Pending,
            ..second.clone()
        },
        Command {
            id: command_id(12),
            lane: Lane::Server,
            ..second.clone()
        },
        Command {
            id: command_id(13),
            lane: Lane::Server,
            ..second
        },
    ] {
        store.commit(&[Record::Command(allowed)]).await.unwrap();
    }
    assert_eq!(commands(&store).await.len(), 6);
}

#[tokio::test]
async fn one_batch_may_end_a_command_and_start_the_next_in_any_order() {
    let home = Home::new();
    let (store, command) = with_pull(&home).await;
    let next = Command {
        id: command_id(9),
        ..command.clone()
    };
    let ended = Command {
        phase: Phase::Success,
        ..command
    };
    let batch = [
        naming(&store, ended.id).await,
        Record::Command(next.clone()),
        Record::Command(ended.clone()),
    ];
    store.commit(&batch).await.unwrap();
    assert_eq!(commands(&store).await, [ended, next]);
}

#[tokio::test]
async fn of_several_records_of_a_command_in_one_batch_the_last_stays() {
    let home = Home::new();
    let (store, command) = with_pull(&home).await;
    let verifying = Command {
        phase: Phase::Verifying,
        ..command.clone()
    };
    let ended = Command {
        phase: Phase::Success,
        ..command.clone()
    };
    let batch = [
        naming(&store, ended.id).await,
        Record::Command(verifying),
        Record::Command(ended.clone()),
        version(8),
    ];
    store.commit(&batch).await.unwrap();
    assert_eq!(commands(&store).await, [ended]);
    let next = Command {
        id: command_id(9),
        ..command
    };
    store.commit(&[Record::Command(next)]).await.unwrap();
}

#[tokio::test]
async fn only_open_commands_and_those_that_hosts_name_are_read_back() {
    let home = Home::new();
    let (store, command) = with_pull(&home).await;
    let ended: Vec<Command> = (2..=60)
        .map(|number| Command {
            id: command_id(number),
            phase: Phase::Error,
            ..command.clone()
        })
        .collect();
    let batch: Vec<Record> = ended.iter().rev().cloned().map(Record::Command).collect();
    store.commit(&batch).await.unwrap();
    assert_eq!(commands(&store).await, std::slice::from_ref(&command));
    for named in [&ended[7], &ended[58], &ended[0]] {
        let host = naming(&store, named.id).await;
        store.commit(std::slice::from_ref(&host)).await.unwrap();
        assert_eq!(commands(&store).await, [command.clone(), named.clone()]);
        let hosts = store.load().await.unwrap().hosts;
        assert_eq!(hosts[0].last_ended, Some(named.id));
    }
    let mut nameless = store.load().await.unwrap().hosts.remove(0);
    nameless.last_ended = None;
    store.commit(&[Record::Host(nameless)]).await.unwrap();
    assert_eq!(commands(&store).await, std::slice::from_ref(&command));

    let plan: Vec<(i64, i64, i64, String)> =
        sqlx::query_as("EXPLAIN QUERY PLAN SELECT id, body FROM commands WHERE open = 1")
            .fetch_all(&mut home.raw().await)
            .await
            .unwrap();
    assert!(
        plan.iter().all(|row| row.3.contains("open_commands")),
        "{plan:?}"
    );
}

#[tokio::test]
async fn a_removed_host_leaves_its_history() {
    let home = Home::new();
    let (store, command) = with_pull(&home).await;
    let ended = Command {
        phase: Phase::Success,
        ..command
    };
    let batch = [Record::Command(ended), Record::HostRemoved(host("web-1"))];
    store.commit(&batch).await.unwrap();
    let loaded = store.load().await.unwrap();
    assert_eq!((loaded.hosts.len(), loaded.commands.len()), (0, 0));
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM commands")
        .fetch_one(&mut home.raw().await)
        .await
        .unwrap();
    assert_eq!(kept, 1);
}

/// The meaning of the records, as the core has it, against what is really read back.
#[tokio::test]
async fn what_is_read_back_is_what_the_core_says() {
    let home = Home::new();
    let store = home.open().await;
    let mut model = store.load().await.unwrap();
    let (mut day, first) = Day::start(model.clone());
    let mut batches = vec![first, day.read('a'), day.register("web-1", 1)];
    batches.push(day.dispatch(Op::Pull, "web-1", command_id(1)));
    batches.push(day.dispatch(Op::Pull, "web-1", command_id(2)));
    batches.push(day.fail(1, command_id(1)));
    batches.push(day.dispatch(Op::Switch, "web-1", command_id(3)));
    batches.push(day.register("web-2", 2));
    batches.push(day.dispatch(Op::Pull, "web-1", command_id(4)));
    batches.push(day.fail(1, command_id(4)));
    let mut ended = 0;
    for batch in batches {
        store.commit(&batch).await.unwrap();
        model.commit(batch);
        let loaded = store.load().await.unwrap();
        let hosts = |snapshot: &Snapshot| {
            let offline = |host: &HostRecord| HostRecord {
                presence: Presence::NeverSeen,
                ..host.clone()
            };
            let mut hosts: Vec<_> = snapshot.hosts.iter().map(offline).collect();
            hosts.sort_by(|one, other| one.id.cmp(&other.id));
            hosts
        };
        assert_eq!(hosts(&loaded), hosts(&model));
        model.commands.sort_by_key(|command| command.id);
        assert_eq!(loaded.commands, model.commands);
        assert_eq!(loaded.remote, model.remote);
        assert_eq!(loaded.events, model.events);
        assert_eq!(loaded.version, model.version);
        ended = ended.max(
            loaded
                .commands
                .iter()
                .filter(|c| c.phase == Phase::Error)
                .count(),
        );
    }
    assert_eq!(ended, 1, "one command at least was read back after its end");
}

#[tokio::test]
async fn presence_is_recorded_apart_and_read_back_as_offline() {
    let home = Home::new();
    let (store, _) = with_pull(&home).await;
    let seen = Timestamp::from_seconds(2_000_000);
    let batch = [(host("web-1"), seen), (host("unknown"), seen)];
    store.record_presence(&batch).await.unwrap();
    let presence = || async { store.load().await.unwrap().hosts[0].presence };
    assert_eq!(presence().await, Presence::Offline { since: seen });
    let earlier = Timestamp::from_seconds(1_500_000);
    store
        .record_presence(&[(host("web-1"), earlier)])
        .await
        .unwrap();
    assert_eq!(
        presence().await,
        Presence::Offline { since: seen },
        "never backwards"
    );
}

#[tokio::test]
async fn desired_revisions_are_kept_once_each() {
    let home = Home::new();
    let store = home.open().await;
    let (mut day, _) = Day::start(store.load().await.unwrap());
    for letter in ['a', 'a', 'b', 'b', 'a'] {
        store.commit(&day.read(letter)).await.unwrap();
        let again = Record::Remote(day.fleet.remote().clone());
        store.commit(&[again]).await.unwrap();
    }
    let kept: Vec<String> =
        sqlx::query_scalar("SELECT substr(commit_id, 1, 1) FROM desired_history ORDER BY n")
            .fetch_all(&mut home.raw().await)
            .await
            .unwrap();
    assert_eq!(kept, ["a", "b", "a"]);
    let remote = store.load().await.unwrap().remote.unwrap();
    assert!(matches!(remote.remote(), Remote::Verified(_)));
}

fn event(n: u64) -> Record {
    Record::Event(EventView {
        n,
        at: Timestamp::from_seconds(i64::try_from(n).unwrap()),
        host: n.is_multiple_of(2).then(|| host("web-1")),
        code: "test".into(),
        text: format!("event {n}"),
    })
}

#[tokio::test]
async fn events_and_old_commands_are_pruned_in_small_steps() {
    let home = Home::new();
    let (store, command) = with_pull(&home).await;
    let (old, newer) = (Timestamp::from_seconds(0), Timestamp::from_seconds(50_000));
    let ended = |number: u8, created| {
        Record::Command(Command {
            id: command_id(number),
            phase: Phase::Error,
            created,
            ..command.clone()
        })
    };
    let mut batch: Vec<Record> = (10_000..10_100).map(event).collect();
    batch.extend([ended(2, old), ended(3, old), ended(4, newer), ended(5, old)]);
    batch.push(naming(&store, command_id(3)).await);
    store.commit(&batch).await.unwrap();
    let before = store.load().await.unwrap();
    let numbers: Vec<u64> = before.events.iter().map(|event| event.n).collect();
    assert!(numbers.is_sorted(), "oldest first");

    let keep = Retention {
        commands: Duration::from_secs(5_000),
        events: Duration::from_secs(5_000),
        ..Retention::default()
    };
    let now = Timestamp::from_seconds(20_000);
    let mut removed = 0;
    loop {
        match store.prune(now, keep, 10).await.unwrap() {
            0 => break,
            some => {
                assert!(some <= 20, "a small step");
                removed += some;
            }
        }
    }
    assert!(removed > 100, "{removed}");
    let left: Vec<Vec<u8>> = sqlx::query_scalar("SELECT id FROM commands ORDER BY id")
        .fetch_all(&mut home.raw().await)
        .await
        .unwrap();
    let ids: Vec<u8> = left.iter().map(|id| id[0]).collect();
    assert_eq!(
        ids,
        [1, 3, 4],
        "the open one, the one that its host names, and the newer one"
    );
    let events = store.load().await.unwrap().events;
    assert_eq!(events.last(), before.events.last(), "its number is needed");
}

#[tokio::test]
async fn contents_of_locks_are_kept_by_hash() {
    let home = Home::new();
    let store = home.open().await;
    let (hash, now) = (lock_hash(b"lock"), Timestamp::from_seconds(1));
    assert_eq!(store.find_lock(hash).await.unwrap(), None);
    for _ in 0..2 {
        store.keep_lock(hash, b"lock", now).await.unwrap();
        assert_eq!(
            store.find_lock(hash).await.unwrap().as_deref(),
            Some(b"lock".as_slice())
        );
    }
}

#[tokio::test]
async fn a_value_that_cannot_be_understood_is_damage() {
    for statement in [
        "UPDATE hosts SET repo_commit = 'main'",
        "UPDATE commands SET body = '{}'",
        "UPDATE remote SET body = '{\"policy\": 1}'",
    ] {
        let home = Home::new();
        let (store, _) = with_pull(&home).await;
        drop(store);
        home.execute(statement).await;
        let store = home.open().await;
        assert_eq!(store.condition(), Condition::Sound);
        store.load().await.unwrap();
        assert!(
            matches!(store.condition(), Condition::Damaged(_)),
            "{statement}"
        );
        let refused = store.commit(&[version(1)]).await.unwrap_err();
        assert!(matches!(refused, StoreError::Damaged(_)), "{refused}");
    }
}

#[tokio::test]
async fn an_empty_batch_and_an_empty_store_are_fine() {
    let home = Home::new();
    let store = home.open().await;
    store.commit(&[]).await.unwrap();
    let version = store.load().await.unwrap().version;
    assert_eq!(
        store.load().await.unwrap(),
        Snapshot {
            version,
            ..Snapshot::default()
        }
    );
}

#[tokio::test]
async fn the_past_is_read_in_pages() {
    let home = Home::new();
    let (store, command) = with_pull(&home).await;
    let batch: Vec<Record> = (2..=9_u8)
        .map(|number| {
            Record::Command(Command {
                id: command_id(number),
                phase: Phase::Error,
                host: host(if number % 2 == 0 { "web-1" } else { "web-2" }),
                ..command.clone()
            })
        })
        .chain((10_000..10_010).map(event))
        .collect();
    store.commit(&batch).await.unwrap();
    let page = |before| {
        let store = store.clone();
        async move {
            let web = host("web-1");
            let found = store.commands_before(Some(&web), before, 2).await.unwrap();
            found.iter().map(|command| command.id).collect::<Vec<_>>()
        }
    };
    assert_eq!(page(None).await, [command_id(8), command_id(6)]);
    assert_eq!(
        page(Some(command_id(6))).await,
        [command_id(4), command_id(2)]
    );
    assert_eq!(page(Some(command_id(2))).await, [command.id]);
    assert_eq!(
        store.commands_before(None, None, 100).await.unwrap().len(),
        9
    );
    assert_eq!(store.find_command(command.id).await.unwrap(), Some(command));
    assert_eq!(store.find_command(command_id(99)).await.unwrap(), None);

    let all = store.events_before(None, None, 3).await.unwrap();
    assert_eq!(
        all.iter().map(|event| event.n).collect::<Vec<_>>(),
        [10_009, 10_008, 10_007]
    );
    let web = host("web-1");
    let some = store
        .events_before(Some(&web), Some(10_006), 2)
        .await
        .unwrap();
    assert_eq!(
        some.iter().map(|event| event.n).collect::<Vec<_>>(),
        [10_004, 10_002]
    );
}

#[tokio::test]
async fn deploys_are_kept_one_row_each() {
    let home = Home::new();
    let store = home.open().await;
    let mut web = HostRecord::new(host("web-1"), Timestamp::from_seconds(1));
    for (number, outcome) in [
        (1, DeployOutcome::Unknown),
        (1, DeployOutcome::Ok),
        (2, DeployOutcome::Failed),
    ] {
        web.deploy = DeployEvidence {
            outcome,
            command: Some(command_id(number)),
            seq: Sequence(u64::from(number)),
            at: Some(Timestamp::from_seconds(i64::from(number))),
            ..DeployEvidence::default()
        };
        web.observation.deployed = (outcome == DeployOutcome::Ok).then(|| Deployed {
            commit: Some(commit('a').into()),
            lock: None,
            store_path: None,
            clean: true,
            command: Some(command_id(number)),
            inferred: false,
        });
        store.commit(&[Record::Host(web.clone())]).await.unwrap();
    }
    let kept = store.deploys(&web.id, 10).await.unwrap();
    let kept: Vec<_> = kept
        .iter()
        .map(|entry| (entry.command, entry.outcome, entry.commit))
        .collect();
    assert_eq!(
        kept,
        [
            (command_id(2), DeployOutcome::Failed, None),
            (command_id(1), DeployOutcome::Ok, Some(commit('a').into())),
        ]
    );
}
