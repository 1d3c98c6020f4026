//! How far behind a host is, compared with what git itself counts.

use std::collections::BTreeMap;

use nixfleet_core::lock_hash;
use nixfleet_tests::existing::{ExistingAgent, ExistingSetup};
use nixfleet_tests::fleet::{Fleet, good};
use serde_json::Value;

use super::paths;

const VERSIONS: usize = 40;
const INPUTS: &[&str] = &[
    "nixpkgs",
    "home-manager",
    "disko",
    "flake-utils",
    "nixos-hardware",
];

/// The revisions of the root's inputs, read without the code under test.
fn revisions(lock: &str) -> BTreeMap<String, String> {
    let lock: Value = serde_json::from_str(lock).unwrap();
    let root = &lock["nodes"]["root"]["inputs"];
    root.as_object()
        .unwrap()
        .iter()
        .map(|(name, node)| {
            let locked = &lock["nodes"][node.as_str().unwrap()]["locked"];
            (name.clone(), locked["rev"].as_str().unwrap().to_owned())
        })
        .collect()
}

/// Where a host stopped.
struct Stop {
    host: String,
    commit: String,
    lock: String,
    _agent: ExistingAgent,
}

#[tokio::test]
async fn outdated_by_n_commits_is_what_git_counts_and_the_inputs_are_those_of_the_two_files() {
    let mut fleet = Fleet::create(Fleet::setup(&paths(), &["web-1"]));
    good(fleet.start_server().await);
    let mut stops = Vec::new();
    for version in 1..VERSIONS {
        let commit = good(fleet.upstream.remote().head()).to_string();
        if version % 6 == 1 || version == VERSIONS - 1 {
            let host = format!("host-{version}");
            let agent = good(ExistingAgent::start(ExistingSetup {
                origin: good(fleet.api()).origin().to_owned(),
                token: fleet.agent_token().to_owned(),
                hostname: host.clone(),
                version: "3.0.0".to_owned(),
                remote: fleet.upstream.remote().clone(),
            }));
            agent.tell_lock_hash();
            fleet.online(&host).await;
            stops.push(Stop {
                host,
                lock: good(
                    fleet
                        .upstream
                        .git(&["show", &format!("{commit}:flake.lock")]),
                ),
                commit,
                _agent: agent,
            });
        }
        // Other commits in between: some versions have none, some have several.
        for other in 0..version % 3 {
            let text = format!("{version} {other}\n");
            good(fleet.upstream.write("notes.txt", &text));
            good(fleet.upstream.commit_locally("Notes"));
        }
        let first = INPUTS[version % INPUTS.len()];
        let second = INPUTS[version * 7 % INPUTS.len()];
        let both = [first, second];
        good(
            fleet
                .upstream
                .update(if first == second { &both[..1] } else { &both }),
        );
    }
    let versions = good(
        fleet
            .upstream
            .git(&["rev-list", "--count", "main", "--", "flake.lock"]),
    );
    assert_eq!(versions, VERSIONS.to_string());
    let newest = revisions(&good(fleet.upstream.git(&["show", "main:flake.lock"])));

    for stop in &stops {
        let range = format!("{}..main", stop.commit);
        let count = |more: &[&str]| {
            let words = [&["rev-list", "--count", &range][..], more].concat();
            good(fleet.upstream.git(&words)).parse::<usize>().unwrap()
        };
        let behind = count(&["--", "flake.lock"]);
        let plural = if behind == 1 { "" } else { "s" };
        let headline = format!("outdated by {behind} commit{plural}: Latest: ");
        let about = fleet
            .until_told(&stop.host, &headline, |about| {
                let message = about["compartments"]["lock"]["message"].as_str();
                message.is_some_and(|message| message.starts_with(&headline))
            })
            .await;

        let old = revisions(&stop.lock);
        let changed: Vec<&String> = old
            .iter()
            .filter(|(name, revision)| newest.get(*name) != Some(revision))
            .map(|(name, _)| name)
            .collect();
        assert!(!changed.is_empty());
        let details = about["compartments"]["lock"]["details"].as_array().unwrap();
        let line_of = |name: &str| {
            let lines = details.iter().filter_map(Value::as_str);
            lines
                .into_iter()
                .find(|line| line.starts_with(&format!("{name} ")))
        };
        for (name, revision) in &old {
            let line = line_of(name);
            assert_eq!(
                line.is_some(),
                changed.contains(&name),
                "{name}: {details:#?}"
            );
            if let Some(line) = line {
                for end in [revision, &newest[name]] {
                    assert!(line.contains(&end[..7]), "{line} without {end}");
                }
            }
        }

        let commits = count(&[]);
        let git = &about["compartments"]["git"];
        let plural = if commits == 1 { "" } else { "s" };
        let told = format!("{commits} commit{plural} behind");
        assert!(
            git["message"].as_str().unwrap().contains(&told),
            "{told}: {git:#}"
        );
    }
    fleet.end().await;
}

#[tokio::test]
async fn an_unknown_lock_gives_no_number() {
    let mut fleet = Fleet::create(Fleet::setup(&paths(), &["web-1"]));
    good(fleet.start_server().await);
    let agent = good(ExistingAgent::start(ExistingSetup {
        origin: good(fleet.api()).origin().to_owned(),
        token: fleet.agent_token().to_owned(),
        hostname: "stranger".to_owned(),
        version: "3.0.0".to_owned(),
        remote: fleet.upstream.remote().clone(),
    }));
    good(fleet.upstream.update(&["nixpkgs"]));
    fleet.online("stranger").await;
    let lock = |about: &Value| about["compartments"]["lock"].clone();
    let message = |about: &Value| lock(about)["message"].as_str().unwrap_or("").to_owned();
    let digit = |text: &str| text.contains("outdated by");

    agent.tell_lock_hash();
    fleet
        .until_told("stranger", "a number for a known lock", |about| {
            message(about).contains("outdated by 1 commit")
        })
        .await;
    agent.tell_this_lock_hash(lock_hash(b"nobody ever committed this"));
    let about = fleet
        .until_told("stranger", "no number for an unknown lock", |about| {
            !digit(&message(about)) && lock(about)["status"] == "outdated"
        })
        .await;
    assert!(
        message(&about).contains("no version of the branch"),
        "{about:#}"
    );
    fleet.end().await;
}
