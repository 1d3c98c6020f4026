//! Random hosts, nearly green more often than not, and the desired states they are compared with.

use std::collections::BTreeMap;

use nixfleet_core::compartment::{PullSwitchHalf, Working};
use nixfleet_core::desired::{PendingPr, RemoteCause};
use nixfleet_core::host::{
    DeployOutcome, Deployed, Hold, LockReport, Presence, Repo, RunningSystem, TestEvidence,
    TestKey, TestVerdict,
};
use nixfleet_core::ids::CommandId;
use nixfleet_core::wire::Field;
use nixfleet_core::wire::agent::{Facts, RepoFacts};
use nixfleet_core::wire::situation::{CauseFacts, DesiredFacts, HistoryFacts, LockVersionFacts};
use nixfleet_core::{OPS, Op, Timestamp};
use serde_json::json;

use super::facts;
use crate::compartments_world::{NOW, World, abbreviated, commit, lock, path};
use crate::simulation::rng::Rng;

/// Desired states by name: the generated cases share them.
pub fn desired_states() -> BTreeMap<String, DesiredFacts> {
    let known = |digit: char| DesiredFacts {
        agent_version: "4.0.0".to_owned(),
        commit: Some(commit(digit).to_string()),
        lock_hash: Some(lock(&digit.to_string()).to_string()),
        subject: Some("update nixpkgs".to_owned()),
        commit_time: Some(NOW),
        branch: Some("main".to_owned()),
        verified_at: Some(NOW),
        ..DesiredFacts::default()
    };
    let mut states = BTreeMap::new();
    let mut add = |name: &str, state: DesiredFacts| {
        assert!(
            states.insert(name.to_owned(), state).is_none(),
            "{name} twice"
        );
    };
    for digit in ['a', 'b', 'c'] {
        add(&format!("{digit}"), known(digit));
        let with_history = DesiredFacts {
            history: Some(history(&['c', 'b', 'a'])),
            ..known(digit)
        };
        add(&format!("{digit} with history"), with_history);
    }
    add(
        "a, its digits ambiguous",
        DesiredFacts {
            history: Some(HistoryFacts {
                commits: vec![commit('a').to_string(), format!("{}0", "a".repeat(39))],
                ..history(&['a'])
            }),
            ..known('a')
        },
    );
    add(
        "a without subject",
        DesiredFacts {
            subject: None,
            ..known('a')
        },
    );
    add(
        "a, rewritten",
        DesiredFacts {
            rewritten: true,
            ..known('a')
        },
    );
    add(
        "a in grace",
        DesiredFacts {
            in_grace: true,
            ..known('a')
        },
    );
    add(
        "b with a pending update",
        DesiredFacts {
            update_pr: Some(pending()),
            ..known('b')
        },
    );
    for cause in RemoteCause::ALL {
        let why = |detail: &str| {
            Some(CauseFacts {
                cause,
                detail: detail.to_owned(),
                since: None,
            })
        };
        let name = serde_json::to_string(&cause)
            .unwrap()
            .replace(['"', '{', '}'], "");
        add(
            &format!("failed: {name}"),
            DesiredFacts {
                failed: Some(CauseFacts {
                    since: Some(NOW),
                    ..why("no answer within 10 s").unwrap()
                }),
                ..known('a')
            },
        );
        add(
            &format!("no lock: {name}"),
            DesiredFacts {
                lock_hash: None,
                lock_error: why("no flake.lock at the commit"),
                ..known('a')
            },
        );
        add(
            &format!("no commit: {name}"),
            DesiredFacts {
                commit: None,
                commit_error: why("no gitCommit"),
                ..known('a')
            },
        );
    }
    states
}

fn pending() -> PendingPr {
    PendingPr {
        number: 42,
        title: "Update flake.lock".to_owned(),
        url: "https://github.com/example/fleet/pull/42".to_owned(),
        created_at: Some(NOW),
        changes: vec!["nixpkgs abc1234 → def5678".to_owned()],
    }
}

/// A branch without merges, each commit with a lock of its own, and two commits beside it.
fn history(newest_first: &[char]) -> HistoryFacts {
    let text = |digit: &char| commit(*digit).to_string();
    HistoryFacts {
        commits: newest_first.iter().map(text).collect(),
        off_branch: BTreeMap::from([
            (text(&'d'), facts::beside(2, 1)),
            (text(&'e'), facts::beside(3, 0)),
        ]),
        locks: newest_first
            .iter()
            .map(|digit| LockVersionFacts {
                commit: text(digit),
                lock_hash: lock(&digit.to_string()).to_string(),
                time: NOW,
                content: None,
            })
            .collect(),
        ..HistoryFacts::default()
    }
}

/// `d` merges `c`, which the host has, and `b`, both made on top of `a`; `d` also updates an input.
pub fn lock_contents(host: &mut Facts) -> DesiredFacts {
    let [old, new] = [('1', 1_760_000_000), ('2', 1_763_000_000)].map(|(rev, date)| {
        let rev = rev.to_string().repeat(40);
        let github = json!({"type": "github", "owner": "NixOS", "repo": "nixpkgs"});
        let mut locked = github.clone();
        (locked["rev"], locked["lastModified"]) = (json!(rev), json!(date));
        let nodes = json!({
            "root": {"inputs": {"nixpkgs": "nixpkgs"}},
            "nixpkgs": {"locked": locked, "original": github},
        });
        json!({"version": 7, "root": "root", "nodes": nodes}).to_string()
    });
    let version = |digit: char, content: &String| LockVersionFacts {
        commit: commit(digit).to_string(),
        lock_hash: lock(content).to_string(),
        time: NOW,
        content: Some(content.clone()),
    };
    host.lock_hash = Field::Value(lock(&old).to_string());
    host.repo = Field::Value(RepoFacts {
        commit: commit('c').to_string(),
        dirty: false,
    });
    DesiredFacts {
        agent_version: "4.0.0".to_owned(),
        commit: Some(commit('d').to_string()),
        lock_hash: Some(lock(&new).to_string()),
        verified_at: Some(NOW),
        history: Some(HistoryFacts {
            commits: ['d', 'c', 'b', 'a']
                .map(|digit| commit(digit).to_string())
                .to_vec(),
            reachable: vec![4, 2, 2, 1],
            locks: vec![version('d', &new), version('a', &old)],
            ..HistoryFacts::default()
        }),
        ..DesiredFacts::default()
    }
}

/// One value, the first one more often than all others together.
fn mostly<T: Clone>(rng: &mut Rng, values: &[T]) -> T {
    if rng.one_in(3) {
        rng.pick(values).clone()
    } else {
        values[0].clone()
    }
}

/// A host as it might be, more often nearly green than not.
pub fn any_host(rng: &mut Rng, world: &mut World) {
    world.existing = rng.one_in(5);
    world.connect();
    let versions = [
        "4.0.0",
        "v4.0.0+linux",
        "3.9.1",
        "4.1.0",
        "main",
        "4.0.0-rc.1",
    ];
    world.observation.agent_version = Some(mostly(rng, &versions).to_owned());
    if rng.one_in(20) {
        world.observation.agent_version = None;
    }
    let digit = mostly(rng, &['a', 'b', 'c', 'd', 'e', '9']);
    let exact = commit(digit).into();
    let short = abbreviated(commit(digit));
    let report = |name: &str| LockReport::Hash(lock(name));
    let mut locks = vec![
        report("a"),
        report("b"),
        report("c"),
        report("9"),
        LockReport::NotReported,
    ];
    if !world.existing {
        locks.push(LockReport::Missing);
    }
    let repo = Repo {
        commit: if world.existing || rng.one_in(10) {
            short
        } else {
            exact
        },
        lock: if rng.one_in(4) {
            *rng.pick(&locks)
        } else {
            report(&digit.to_string())
        },
        dirty: rng.one_in(12),
    };
    world.observation.repo = (!rng.one_in(12)).then_some(repo);
    if world.observation.repo.is_none() && rng.one_in(2) {
        world.observation.repo_error = Some("fatal: not a git repository".to_owned());
    }
    if rng.one_in(6) {
        world.observation.failed_units = rng
            .pick(&[
                None,
                Some(vec!["nginx.service".to_owned()]),
                Some((0..20).map(|n| format!("unit-{n:02}.service")).collect()),
            ])
            .clone();
    }
    any_deployment(rng, world, repo);
    any_tests(rng, world);
    any_circumstances(rng, world);
}

fn any_deployment(rng: &mut Rng, world: &mut World, repo: Repo) {
    let built = path("one");
    let record = Deployed {
        commit: mostly(rng, &[Some(repo.commit), Some(commit('b').into()), None]),
        lock: mostly(rng, &[repo.lock.hash(), Some(lock("b")), None]),
        store_path: mostly(rng, &[Some(built.clone()), None]),
        clean: !rng.one_in(8),
        command: rng.one_in(3).then_some(CommandId::from_bytes([7; 16])),
        inferred: world.existing,
    };
    world.observation.deployed = (!rng.one_in(4)).then_some(record);
    let claim = mostly(rng, &[Some(repo.commit), Some(commit('9').into()), None]);
    let claim = claim.filter(|_| !world.existing);
    world.observation.system = Some(RunningSystem {
        path: mostly(rng, &[Some(built), Some(path("two")), None]),
        configuration_revision: claim.map(Into::into),
        reboot_required: rng.one_in(12),
        ..RunningSystem::default()
    });
    if rng.one_in(10) {
        world.observation.system = None;
    }
    let outcomes = [
        (DeployOutcome::Ok, false),
        (DeployOutcome::Never, false),
        (DeployOutcome::Failed, false),
        (DeployOutcome::Unknown, true),
        (DeployOutcome::Unknown, false),
    ];
    (world.deploy.outcome, world.deploy.needs_reconcile) = mostly(rng, &outcomes);
    if matches!(
        world.deploy.outcome,
        DeployOutcome::Failed | DeployOutcome::Unknown
    ) {
        let details = [
            Some("switch: exit code 1"),
            Some("switch: stopped by user"),
            None,
        ];
        world.deploy.detail = rng.pick(&details).map(str::to_owned);
        world.deploy.at = rng.pick(&[Some(NOW), None]).to_owned();
        world.deploy.command = rng.one_in(2).then_some(CommandId::from_bytes([7; 16]));
    }
}

fn any_tests(rng: &mut Rng, world: &mut World) {
    let seen = &world.observation;
    let record = seen.deployed.as_ref();
    let current = record.and_then(|it| Some((it.commit?, it.lock?)));
    let claimed = seen.system.as_ref().and_then(RunningSystem::claimed_commit);
    let (tested, with) = current.unwrap_or((claimed.unwrap_or(commit('a').into()), lock("a")));
    let ran_on = seen.system.as_ref().and_then(|it| it.path.clone());
    let key = TestKey {
        commit: mostly(rng, &[tested, abbreviated(commit('a')), commit('9').into()]),
        lock: mostly(rng, &[with, lock("9")]),
        store_path: mostly(
            rng,
            &[record.and_then(|it| it.store_path.clone()).or(ran_on), None],
        ),
    };
    let names = ["web", "mail", "backup"].map(str::to_owned);
    let (verdict, failed) = mostly(
        rng,
        &[
            (TestVerdict::Pass, 0),
            (TestVerdict::Fail, 2),
            (TestVerdict::Fail, 0),
            (TestVerdict::Stopped, 0),
            (TestVerdict::Empty, 0),
            (TestVerdict::Void, 0),
            (TestVerdict::Pass, 1),
        ],
    );
    let run = TestEvidence {
        key: (!rng.one_in(10)).then_some(key),
        verdict,
        per_script: !world.existing,
        ran: if verdict == TestVerdict::Empty {
            0
        } else {
            mostly(rng, &[10, 1, 0])
        },
        failed: names[..failed].to_vec(),
        skipped: mostly(rng, &[0, 3]),
        at: NOW,
    };
    world.tests = (!rng.one_in(5)).then_some(run);
    world.tests_enabled = !rng.one_in(12);
}

fn any_circumstances(rng: &mut Rng, world: &mut World) {
    if rng.one_in(4) {
        let half = *rng.pick(&[
            None,
            Some(PullSwitchHalf::Pull),
            Some(PullSwitchHalf::Switch),
        ]);
        let op = rng.pick(OPS).op;
        world.working = Some(Working {
            op,
            half: half.filter(|_| op == Op::PullSwitch),
            awaiting_reconnect: op.is_switch_like() && rng.one_in(3),
        });
    }
    if rng.one_in(8) {
        world.presence = Presence::Offline {
            since: Timestamp::from_seconds(1_794_000_000),
        };
    }
    if rng.one_in(12) {
        world.hold = Some(Hold {
            by: "ada".to_owned(),
            why: "disk is being replaced".to_owned(),
            until: rng.one_in(2).then_some(NOW),
        });
    }
    world.quarantined = rng.one_in(20);
    world.identity_conflict = rng.one_in(20);
}
