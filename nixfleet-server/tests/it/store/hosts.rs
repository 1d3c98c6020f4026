//! Every host that can be written is read back as it was.

use nixfleet_core::fleet::{HostRecord, Record};
use nixfleet_core::host::{
    AgentBinary, AgentProtocol, DeployEvidence, DeployOutcome, Deployed, Generation, Hold,
    HostIdentity, HostObservation, HostSettings, LockReport, Presence, Repo, RunningSystem,
    TestEvidence, TestKey, TestVerdict, UpdatePolicy,
};
use nixfleet_core::{
    ClaimedRevision, CommandId, CommitRef, LockHash, Sequence, StorePath, Timestamp, Token,
};
use proptest::option::of;
use proptest::prelude::*;

use super::Home;
use super::day::host;

fn words() -> impl Strategy<Value = String> {
    "[^\u{0}]{0,12}"
}

fn some_commit() -> impl Strategy<Value = CommitRef> {
    prop_oneof!["[0-9a-f]{40}", "[0-9a-f]{64}", "[0-9a-f]{7,12}"]
        .prop_map(|text| text.parse().unwrap())
}

fn some_lock() -> impl Strategy<Value = LockHash> {
    any::<[u8; 32]>().prop_map(LockHash::from_bytes)
}

fn some_path() -> impl Strategy<Value = StorePath> {
    "/nix/store/[a-z0-9]{1,20}".prop_map(|text| text.parse().unwrap())
}

fn token() -> impl Strategy<Value = Token> {
    "[A-Za-z0-9._-]{1,20}".prop_map(|text| text.parse().unwrap())
}

fn command() -> impl Strategy<Value = CommandId> {
    any::<[u8; 16]>().prop_map(CommandId::from_bytes)
}

fn moment() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_millis)
}

fn below_2_63() -> impl Strategy<Value = u64> {
    0..=u64::try_from(i64::MAX).unwrap()
}

fn repo() -> impl Strategy<Value = Repo> {
    let lock = prop_oneof![
        Just(LockReport::NotReported),
        Just(LockReport::Missing),
        some_lock().prop_map(LockReport::Hash),
    ];
    (some_commit(), lock, any::<bool>()).prop_map(|(commit, lock, dirty)| Repo {
        commit,
        lock,
        dirty,
    })
}

fn deployed() -> impl Strategy<Value = Deployed> {
    (
        of(some_commit()),
        of(some_lock()),
        of(some_path()),
        any::<bool>(),
        of(command()),
        any::<bool>(),
    )
        .prop_map(
            |(commit, lock, store_path, clean, command, inferred)| Deployed {
                commit,
                lock,
                store_path,
                clean,
                command,
                inferred,
            },
        )
}

/// What a running system claims: a commit, local changes on top of one, or anything else.
fn claim() -> impl Strategy<Value = ClaimedRevision> {
    prop_oneof![
        some_commit().prop_map(ClaimedRevision::Commit),
        some_commit().prop_map(ClaimedRevision::Dirty),
        ".{1,100}".prop_filter_map("blank", |text| ClaimedRevision::from_text(&text)),
    ]
}

fn system() -> impl Strategy<Value = RunningSystem> {
    (
        of(some_path()),
        of(claim()),
        of(below_2_63()),
        (of(some_path()), of(some_path())),
        any::<bool>(),
    )
        .prop_map(
            |(path, configuration_revision, profile_number, paths, reboot_required)| {
                let (profile_path, booted_path) = paths;
                RunningSystem {
                    path,
                    configuration_revision,
                    profile_number,
                    profile_path,
                    booted_path,
                    reboot_required,
                }
            },
        )
}

fn generation() -> impl Strategy<Value = Generation> {
    (
        any::<u64>(),
        of(some_path()),
        of(some_commit()),
        of(moment()),
        any::<bool>(),
    )
        .prop_map(|(number, path, commit, created, current)| Generation {
            number,
            path,
            commit,
            created,
            current,
        })
}

fn observation() -> impl Strategy<Value = HostObservation> {
    let binary = (of(words()), of(words()), of(words()), of(words())).prop_map(
        |(source_commit, store_path, binary_hash, expected_path)| AgentBinary {
            source_commit,
            store_path,
            binary_hash,
            expected_path,
        },
    );
    let lists = (
        of(prop::collection::vec(words(), 0..3)),
        prop::collection::vec(generation(), 0..3),
    );
    (
        of(words()),
        of(repo()),
        of(deployed()),
        of(system()),
        binary,
        of(words()),
        lists,
    )
        .prop_map(
            |(
                agent_version,
                repo,
                deployed,
                system,
                binary,
                repo_error,
                (failed_units, generations),
            )| {
                HostObservation {
                    agent_version,
                    repo,
                    deployed,
                    system,
                    binary,
                    failed_units,
                    repo_error,
                    generations,
                }
            },
        )
}

fn identity() -> impl Strategy<Value = HostIdentity> {
    let texts = prop::collection::vec(of(words()), 8);
    let tokens = (of(token()), of(token()), of(token()));
    let protocol = prop_oneof![Just(AgentProtocol::Existing), Just(AgentProtocol::Commands)];
    let capabilities = prop::collection::vec(words(), 0..3);
    let policy = (of(any::<bool>()), of(any::<i64>()), of(any::<bool>()));
    let numbers = (of(any::<u32>()), policy);
    (texts, tokens, protocol, capabilities, numbers).prop_map(
        |(
            mut texts,
            (instance_id, boot_id, machine_id_hash),
            protocol,
            capabilities,
            (heartbeat_interval, (auto_update, priority, canary)),
        )| {
            let mut next = || texts.pop().unwrap();
            HostIdentity {
                host_type: next(),
                os_version: next(),
                nixpkgs_version: next(),
                theme_color: next(),
                location: next(),
                device_type: next(),
                repo_url: next(),
                repo_dir: next(),
                heartbeat_interval,
                protocol,
                capabilities,
                instance_id,
                boot_id,
                machine_id_hash,
                update_policy: UpdatePolicy {
                    auto_update,
                    priority,
                    canary,
                },
            }
        },
    )
}

fn settings() -> impl Strategy<Value = HostSettings> {
    let choices = (of(any::<bool>()), of(any::<bool>()), of(any::<bool>()));
    let tags = prop::collection::vec("[a-z]{1,5}", 0..3);
    (choices, of(any::<i64>()), tags, any::<bool>()).prop_map(
        |((auto_update, canary, tests_after_switch), priority, tags, runs_server)| HostSettings {
            auto_update,
            priority,
            canary,
            tests_after_switch,
            tags,
            runs_server,
        },
    )
}

fn deploy() -> impl Strategy<Value = DeployEvidence> {
    let outcome = prop::sample::select(vec![
        DeployOutcome::Never,
        DeployOutcome::Ok,
        DeployOutcome::Failed,
        DeployOutcome::Unknown,
    ]);
    (
        outcome,
        of(command()),
        below_2_63(),
        any::<bool>(),
        of(moment()),
        of(words()),
    )
        .prop_map(
            |(outcome, command, seq, needs_reconcile, at, detail)| DeployEvidence {
                outcome,
                command,
                seq: Sequence(seq),
                needs_reconcile,
                at,
                detail,
            },
        )
}

fn tests() -> impl Strategy<Value = TestEvidence> {
    let key = (some_commit(), some_lock(), prop::option::of(some_path())).prop_map(
        |(commit, lock, store_path)| TestKey {
            commit,
            lock,
            store_path,
        },
    );
    let verdict = prop::sample::select(vec![
        TestVerdict::Pass,
        TestVerdict::Fail,
        TestVerdict::Stopped,
        TestVerdict::Empty,
        TestVerdict::Void,
    ]);
    let failed = prop::collection::vec(words(), 0..3);
    (
        of(key),
        verdict,
        any::<bool>(),
        any::<u32>(),
        failed,
        any::<u32>(),
        moment(),
    )
        .prop_map(
            |(key, verdict, per_script, ran, failed, skipped, at)| TestEvidence {
                key,
                verdict,
                per_script,
                ran,
                failed,
                skipped,
                at,
            },
        )
}

fn record() -> impl Strategy<Value = HostRecord> {
    let hold =
        (words(), words(), of(moment())).prop_map(|(by, why, until)| Hold { by, why, until });
    let presence = prop_oneof![
        Just(Presence::NeverSeen),
        moment().prop_map(|since| Presence::Offline { since }),
    ];
    let settings = prop_oneof![Just(HostSettings::default()), settings()];
    let held = (of(hold), settings);
    let plain = (presence, below_2_63(), any::<bool>(), held, moment());
    // Boxed: together they are too large for the stack of a test.
    let parts = (
        identity().boxed(),
        observation().boxed(),
        deploy().boxed(),
        of(tests()).boxed(),
        plain.boxed(),
    );
    parts.prop_map(
        |(
            identity,
            observation,
            deploy,
            tests,
            (presence, last_seq, tests_enabled, (hold, settings), added),
        )| {
            HostRecord {
                id: host("web-1"),
                identity,
                observation,
                deploy,
                tests,
                presence,
                last_seq: Sequence(last_seq),
                last_ended: None,
                tests_enabled,
                hold,
                added,
                settings,
            }
        },
    )
}

#[test]
fn any_host_comes_back_as_it_was() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let home = Home::new();
    let store = runtime.block_on(home.open());
    proptest!(ProptestConfig::with_cases(200), |(before in record(), after in record())| {
        let (first, last) = runtime.block_on(async {
            store.commit(&[Record::Host(before.clone())]).await.unwrap();
            let first = store.load().await.unwrap().hosts;
            let forget = Record::HostRemoved(before.id.clone());
            store.commit(&[forget, Record::Host(after.clone())]).await.unwrap();
            let last = store.load().await.unwrap().hosts;
            store.commit(&[Record::HostRemoved(after.id.clone())]).await.unwrap();
            (first, last)
        });
        prop_assert_eq!(first, [before]);
        prop_assert_eq!(last, [after]);
    });
}

#[tokio::test]
async fn a_fact_that_is_gone_replaces_the_one_that_was() {
    let home = Home::new();
    let store = home.open().await;
    let mut full = HostRecord::new(host("web-1"), Timestamp::from_seconds(1));
    full.observation.failed_units = Some(vec!["a.service".into()]);
    full.observation.system = Some(RunningSystem::default());
    store.commit(&[Record::Host(full.clone())]).await.unwrap();
    full.observation.failed_units = None;
    full.observation.system = None;
    store.commit(&[Record::Host(full.clone())]).await.unwrap();
    assert_eq!(store.load().await.unwrap().hosts, [full]);
}
