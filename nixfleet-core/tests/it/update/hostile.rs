//! Two hundred hostile pull requests, each made of a benign one: none is merged automatically,
//! each for the right reason, and the benign one is.

use std::time::Duration;

use nixfleet_core::CommitId;
use nixfleet_core::update::{
    ChangedFile, Check, CheckState, Condition, LockFacts, Mergeable, PrNumber, PrState,
    PullRequest, ReadOrNot, UpdateStep,
};
use serde_json::{Value, json};

use super::pull_requests::{BOT, REPO, benign, bytes, check, commit, edit_lock, lock, modified};
use super::world::{Whim, World};

const DAY: Duration = Duration::from_secs(86_400);

/// How a benign pull request becomes a hostile one.
#[derive(Clone, Copy)]
enum Trick {
    /// It is one from the beginning.
    Edit(fn(&mut PullRequest)),
    /// It becomes one after it was listed as a benign one, and before it is read again.
    Later(fn(&mut PullRequest)),
    /// It becomes one after the last reading, when the merge is called.
    AtTheLastMoment(fn(&mut PullRequest)),
}

/// Why it is not merged.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reason {
    /// This condition does not hold.
    Broken(Condition),
    /// It is not listed as an open update of the tracked branch at all.
    NotListed,
    /// The forge refused the call, because the head is not the judged one.
    RefusedByForge,
}

use Condition::{Author, Base, Checks, Files, HeadRepo, HeadUnchanged, LockChange, NotDraft};
use Reason::{Broken, NotListed, RefusedByForge};
use Trick::{AtTheLastMoment, Edit, Later};

fn node<'a>(lock: &'a mut Value, name: &str) -> &'a mut Value {
    &mut lock["nodes"][name]
}

fn checks(pr: &mut PullRequest, state: CheckState) {
    let commit = pr.head;
    let name = "build".to_owned();
    pr.checks = ReadOrNot::Read(vec![Check {
        name,
        state,
        commit,
    }]);
}

/// Another head, with everything else as good as before.
fn moved(pr: &mut PullRequest) {
    pr.head = commit('d');
    checks(pr, CheckState::Success);
}

fn files(pr: &mut PullRequest, files: Vec<ChangedFile>) {
    pr.files = ReadOrNot::Read(files);
}

fn file(path: &str, previous: Option<&str>, modified: bool) -> ChangedFile {
    ChangedFile {
        path: path.to_owned(),
        previous_path: previous.map(str::to_owned),
        modified,
    }
}

fn head_lock(pr: &mut PullRequest, text: Vec<u8>) {
    pr.locks = ReadOrNot::Read((bytes(&lock('1')), text));
}

const TRICKS: &[(&str, Trick, Reason)] = &[
    (
        "only the label is right",
        Edit(|pr| {
            pr.author = "mallory".into();
            pr.head_repo = Some("mallory/config".into());
        }),
        Broken(HeadRepo),
    ),
    (
        "only the title is right",
        Edit(|pr| {
            pr.labels.clear();
            pr.author = "mallory".into();
        }),
        Broken(Author),
    ),
    (
        "a branch in a fork",
        Edit(|pr| pr.head_repo = Some("mallory/config".into())),
        Broken(HeadRepo),
    ),
    (
        "a fork whose name looks alike",
        Edit(|pr| pr.head_repo = Some("о/config".into())),
        Broken(HeadRepo),
    ),
    (
        "the repository of the branch was deleted",
        Edit(|pr| pr.head_repo = None),
        Broken(HeadRepo),
    ),
    (
        "an author who looks alike",
        Edit(|pr| pr.author = "update-b0t".into()),
        Broken(Author),
    ),
    (
        "an author with a Cyrillic letter",
        Edit(|pr| pr.author = "update-bоt".into()),
        Broken(Author),
    ),
    (
        "an author with another case",
        Edit(|pr| pr.author = "Update-Bot".into()),
        Broken(Author),
    ),
    (
        "an author with an invisible character",
        Edit(|pr| pr.author = format!("{BOT}\u{200b}")),
        Broken(Author),
    ),
    (
        "an author without a name",
        Edit(|pr| pr.author = String::new()),
        Broken(Author),
    ),
    (
        "another file besides",
        Edit(|pr| files(pr, vec![modified("flake.lock"), modified("flake.nix")])),
        Broken(Files),
    ),
    (
        "another file instead",
        Edit(|pr| files(pr, vec![modified("flake.nix")])),
        Broken(Files),
    ),
    (
        "a workflow besides",
        Edit(|pr| {
            files(
                pr,
                vec![modified(".github/workflows/ci.yml"), modified("flake.lock")],
            )
        }),
        Broken(Files),
    ),
    (
        "a lock in a folder",
        Edit(|pr| files(pr, vec![modified("hosts/flake.lock")])),
        Broken(Files),
    ),
    (
        "a file name that looks alike",
        Edit(|pr| files(pr, vec![modified("flаke.lock")])),
        Broken(Files),
    ),
    (
        "a file name with a space",
        Edit(|pr| files(pr, vec![modified("flake.lock ")])),
        Broken(Files),
    ),
    (
        "a file name with another case",
        Edit(|pr| files(pr, vec![modified("Flake.lock")])),
        Broken(Files),
    ),
    (
        "a file name with a direction mark",
        Edit(|pr| files(pr, vec![modified("flake.lock\u{202e}")])),
        Broken(Files),
    ),
    (
        "another file was renamed to it",
        Edit(|pr| files(pr, vec![file("flake.lock", Some("evil.lock"), true)])),
        Broken(Files),
    ),
    (
        "it was renamed away",
        Edit(|pr| files(pr, vec![file("old.lock", Some("flake.lock"), false)])),
        Broken(Files),
    ),
    (
        "it was removed",
        Edit(|pr| files(pr, vec![file("flake.lock", None, false)])),
        Broken(Files),
    ),
    (
        "it is listed twice",
        Edit(|pr| files(pr, vec![modified("flake.lock"), modified("flake.lock")])),
        Broken(Files),
    ),
    (
        "no file is listed",
        Edit(|pr| files(pr, Vec::new())),
        Broken(Files),
    ),
    (
        "more files than can be listed",
        Edit(|pr| files(pr, (0..3000).map(|n| modified(&format!("f{n}"))).collect())),
        Broken(Files),
    ),
    (
        "its files could not be read",
        Edit(|pr| pr.files = ReadOrNot::NotRead("incomplete".into())),
        Broken(Files),
    ),
    (
        "an input comes from another owner",
        Edit(|pr| {
            edit_lock(pr, |lock| {
                node(lock, "nixpkgs")["locked"]["owner"] = json!("mallory")
            })
        }),
        Broken(LockChange),
    ),
    (
        "an input comes from another repository",
        Edit(|pr| {
            edit_lock(pr, |lock| {
                node(lock, "nixpkgs")["locked"]["repo"] = json!("nixpkgs2")
            })
        }),
        Broken(LockChange),
    ),
    (
        "an input comes from another host",
        Edit(|pr| {
            edit_lock(pr, |lock| {
                node(lock, "nixpkgs")["locked"]["host"] = json!("git.example")
            })
        }),
        Broken(LockChange),
    ),
    (
        "an input is asked for elsewhere",
        Edit(|pr| {
            edit_lock(pr, |lock| {
                node(lock, "nixpkgs")["original"]["owner"] = json!("mallory")
            })
        }),
        Broken(LockChange),
    ),
    (
        "an input is asked for by another branch",
        Edit(|pr| {
            edit_lock(pr, |lock| {
                node(lock, "nixpkgs")["original"]["ref"] = json!("evil")
            })
        }),
        Broken(LockChange),
    ),
    (
        "an input has another fetcher",
        Edit(|pr| {
            edit_lock(pr, |lock| {
                node(lock, "nixpkgs")["locked"] = json!({"type": "tarball", "url": "https://evil.example/x.tar.gz", "narHash": "sha256-x"});
            })
        }),
        Broken(LockChange),
    ),
    (
        "an input is a path",
        Edit(|pr| {
            edit_lock(pr, |lock| {
                node(lock, "assets")["locked"] =
                    json!({"type": "path", "path": "/root", "narHash": "sha256-x"});
            })
        }),
        Broken(LockChange),
    ),
    (
        "an input is another directory",
        Edit(|pr| {
            edit_lock(pr, |lock| {
                node(lock, "nixpkgs")["locked"]["dir"] = json!("evil")
            })
        }),
        Broken(LockChange),
    ),
    (
        "an input has an attribute that nobody knows",
        Edit(|pr| {
            edit_lock(pr, |lock| {
                node(lock, "nixpkgs")["locked"]["hook"] = json!("x")
            })
        }),
        Broken(LockChange),
    ),
    (
        "a node has a field that nobody knows",
        Edit(|pr| edit_lock(pr, |lock| node(lock, "nixpkgs")["postFetch"] = json!("x"))),
        Broken(LockChange),
    ),
    (
        "the lock has a field that nobody knows",
        Edit(|pr| edit_lock(pr, |lock| lock["hooks"] = json!("x"))),
        Broken(LockChange),
    ),
    (
        "an input lost the hash of its content",
        Edit(|pr| {
            edit_lock(pr, |lock| {
                node(lock, "nixpkgs")["locked"]
                    .as_object_mut()
                    .unwrap()
                    .remove("narHash");
            })
        }),
        Broken(LockChange),
    ),
    (
        "the same revision has other content",
        Edit(|pr| {
            edit_lock(pr, |lock| {
                node(lock, "assets")["locked"]["narHash"] = json!("sha256-evil")
            })
        }),
        Broken(LockChange),
    ),
    (
        "a nested input comes from another owner",
        Edit(|pr| {
            let with = |owner: &str, rev: char| {
                let mut text = lock(rev);
                let mut deep = text["nodes"]["nixpkgs"].clone();
                deep["locked"]["owner"] = json!(owner);
                text["nodes"]["deep"] = deep;
                text["nodes"]["assets"]["inputs"] = json!({ "deep": "deep" });
                bytes(&text)
            };
            pr.locks = ReadOrNot::Read((with("NixOS", '1'), with("mallory", '2')));
        }),
        Broken(LockChange),
    ),
    (
        "an input was added",
        Edit(|pr| {
            edit_lock(pr, |lock| {
                node(lock, "root")["inputs"]["extra"] = json!("assets");
            })
        }),
        Broken(LockChange),
    ),
    (
        "an input was removed",
        Edit(|pr| {
            edit_lock(pr, |lock| {
                node(lock, "root")["inputs"]
                    .as_object_mut()
                    .unwrap()
                    .remove("assets");
            })
        }),
        Broken(LockChange),
    ),
    (
        "an input follows another than before",
        Edit(|pr| {
            edit_lock(pr, |lock| {
                node(lock, "home-manager")["inputs"]["nixpkgs"] = json!(["assets"])
            })
        }),
        Broken(LockChange),
    ),
    (
        "an input does not follow any more",
        Edit(|pr| {
            edit_lock(pr, |lock| {
                node(lock, "home-manager")["inputs"]["nixpkgs"] = json!("assets")
            })
        }),
        Broken(LockChange),
    ),
    (
        "an input follows now",
        Edit(|pr| {
            edit_lock(pr, |lock| {
                node(lock, "root")["inputs"]["assets"] = json!(["nixpkgs"])
            })
        }),
        Broken(LockChange),
    ),
    (
        "two inputs were exchanged",
        Edit(|pr| {
            edit_lock(pr, |lock| {
                node(lock, "root")["inputs"]["nixpkgs"] = json!("assets");
                node(lock, "root")["inputs"]["assets"] = json!("nixpkgs");
            })
        }),
        Broken(LockChange),
    ),
    (
        "an input became a flake",
        Edit(|pr| {
            edit_lock(pr, |lock| {
                node(lock, "assets")
                    .as_object_mut()
                    .unwrap()
                    .remove("flake");
            })
        }),
        Broken(LockChange),
    ),
    (
        "an input is no flake any more",
        Edit(|pr| edit_lock(pr, |lock| node(lock, "nixpkgs")["flake"] = json!(false))),
        Broken(LockChange),
    ),
    (
        "the format has another version",
        Edit(|pr| edit_lock(pr, |lock| lock["version"] = json!(6))),
        Broken(LockChange),
    ),
    (
        "the format has an unknown version",
        Edit(|pr| edit_lock(pr, |lock| lock["version"] = json!(8))),
        Broken(LockChange),
    ),
    (
        "the new lock is no JSON",
        Edit(|pr| head_lock(pr, b"{ not json".to_vec())),
        Broken(LockChange),
    ),
    (
        "the new lock is empty",
        Edit(|pr| head_lock(pr, Vec::new())),
        Broken(LockChange),
    ),
    (
        "the new lock is no text",
        Edit(|pr| head_lock(pr, vec![0xff; 64])),
        Broken(LockChange),
    ),
    (
        "the new lock is a list",
        Edit(|pr| head_lock(pr, b"[]".to_vec())),
        Broken(LockChange),
    ),
    (
        "the new lock has markers of a conflict",
        Edit(|pr| head_lock(pr, [b"<<<<<<< main\n".to_vec(), bytes(&lock('2'))].concat())),
        Broken(LockChange),
    ),
    (
        "the new lock names a node twice",
        Edit(|pr| {
            let text = String::from_utf8(bytes(&lock('2'))).unwrap();
            let twice = text.replacen("\"nodes\": {", "\"nodes\": { \"nixpkgs\": {},", 1);
            head_lock(pr, twice.into_bytes());
        }),
        Broken(LockChange),
    ),
    (
        "the new lock is huge",
        Edit(|pr| head_lock(pr, vec![b' '; 20 * 1024 * 1024])),
        Broken(LockChange),
    ),
    (
        "the new lock is deep",
        Edit(|pr| head_lock(pr, b"[".repeat(100_000))),
        Broken(LockChange),
    ),
    (
        "the new lock follows itself",
        Edit(|pr| {
            edit_lock(pr, |lock| {
                node(lock, "root")["inputs"]["nixpkgs"] = json!(["nixpkgs"])
            })
        }),
        Broken(LockChange),
    ),
    (
        "the old lock is broken",
        Edit(|pr| pr.locks = ReadOrNot::Read((b"{".to_vec(), bytes(&lock('2'))))),
        Broken(LockChange),
    ),
    (
        "its locks could not be read",
        Edit(|pr| pr.locks = ReadOrNot::NotRead("the file is too large".into())),
        Broken(LockChange),
    ),
    (
        "there are no checks",
        Edit(|pr| pr.checks = ReadOrNot::Read(Vec::new())),
        Broken(Checks),
    ),
    (
        "its checks could not be read",
        Edit(|pr| pr.checks = ReadOrNot::NotRead("403".into())),
        Broken(Checks),
    ),
    (
        "the check ran on another commit",
        Edit(|pr| pr.checks = ReadOrNot::Read(vec![check("build", CheckState::Success, 'f')])),
        Broken(Checks),
    ),
    (
        "another check succeeded",
        Edit(|pr| {
            let commit = pr.head;
            pr.checks = ReadOrNot::Read(vec![Check {
                name: "lint".into(),
                state: CheckState::Success,
                commit,
            }]);
        }),
        Broken(Checks),
    ),
    (
        "a check whose name looks alike succeeded",
        Edit(|pr| {
            let commit = pr.head;
            pr.checks = ReadOrNot::Read(vec![Check {
                name: "build ".into(),
                state: CheckState::Success,
                commit,
            }]);
        }),
        Broken(Checks),
    ),
    (
        "the check failed",
        Edit(|pr| checks(pr, CheckState::Failure)),
        Broken(Checks),
    ),
    (
        "the check was skipped",
        Edit(|pr| checks(pr, CheckState::Skipped)),
        Broken(Checks),
    ),
    (
        "the check is neutral",
        Edit(|pr| checks(pr, CheckState::Neutral)),
        Broken(Checks),
    ),
    (
        "the check was cancelled",
        Edit(|pr| checks(pr, CheckState::Cancelled)),
        Broken(Checks),
    ),
    (
        "the check waits for a person",
        Edit(|pr| checks(pr, CheckState::ActionRequired)),
        Broken(Checks),
    ),
    (
        "the check runs",
        Edit(|pr| checks(pr, CheckState::Running)),
        Broken(Checks),
    ),
    (
        "the check is stale",
        Edit(|pr| checks(pr, CheckState::Stale)),
        Broken(Checks),
    ),
    (
        "the check is in an unknown state",
        Edit(|pr| checks(pr, CheckState::Unknown)),
        Broken(Checks),
    ),
    (
        "one application succeeded, another failed",
        Edit(|pr| {
            let commit = pr.head;
            let of = |state| Check {
                name: "build".into(),
                state,
                commit,
            };
            pr.checks = ReadOrNot::Read(vec![
                of(CheckState::Success),
                of(CheckState::Failure),
                of(CheckState::Success),
            ]);
        }),
        Broken(Checks),
    ),
    (
        "more checks than can be judged",
        Edit(|pr| {
            let commit = pr.head;
            pr.checks = ReadOrNot::Read(
                (0..5000)
                    .map(|_| Check {
                        name: "build".into(),
                        state: CheckState::Success,
                        commit,
                    })
                    .collect(),
            );
        }),
        Broken(Checks),
    ),
    (
        "it is a draft",
        Edit(|pr| pr.draft = true),
        Broken(NotDraft),
    ),
    (
        "it is closed",
        Edit(|pr| pr.state = PrState::Closed),
        NotListed,
    ),
    (
        "it was merged before",
        Edit(|pr| pr.state = PrState::Merged { commit: None }),
        NotListed,
    ),
    (
        "it is about another branch",
        Edit(|pr| pr.base_branch = "release".into()),
        NotListed,
    ),
    (
        "it is about a branch with another case",
        Edit(|pr| pr.base_branch = "Main".into()),
        NotListed,
    ),
    (
        "neither label nor title tells of an update",
        Edit(|pr| {
            pr.labels.clear();
            pr.title = "hello".into();
        }),
        NotListed,
    ),
    (
        "it is about another repository",
        Edit(|pr| {
            pr.base_repo = "mallory/config".into();
            pr.head_repo = Some("mallory/config".into());
        }),
        Broken(Base),
    ),
    (
        "it cannot be merged",
        Edit(|pr| pr.mergeable = Mergeable::No),
        Broken(Condition::Mergeable),
    ),
    (
        "nobody knows whether it can be merged",
        Edit(|pr| pr.mergeable = Mergeable::NotComputed),
        Broken(Condition::Mergeable),
    ),
    (
        "the head moved after it was listed",
        Later(moved),
        Broken(HeadUnchanged),
    ),
    (
        "the head moved, and the check is still that of the old one",
        Later(|pr| pr.head = commit('d')),
        Broken(Checks),
    ),
    (
        "the check was taken back",
        Later(|pr| checks(pr, CheckState::Failure)),
        Broken(Checks),
    ),
    (
        "it became a draft",
        Later(|pr| pr.draft = true),
        Broken(NotDraft),
    ),
    (
        "it was closed meanwhile",
        Later(|pr| pr.state = PrState::Closed),
        NotListed,
    ),
    (
        "it was moved to another branch",
        Later(|pr| pr.base_branch = "release".into()),
        NotListed,
    ),
    (
        "a file was added later",
        Later(|pr| files(pr, vec![modified("flake.lock"), modified("x")])),
        Broken(Files),
    ),
    (
        "an input was re-pointed later",
        Later(|pr| {
            edit_lock(pr, |lock| {
                node(lock, "nixpkgs")["locked"]["owner"] = json!("mallory")
            })
        }),
        Broken(LockChange),
    ),
    (
        "the author changed",
        Later(|pr| pr.author = "mallory".into()),
        Broken(Author),
    ),
    (
        "the repository of its branch was deleted later",
        Later(|pr| pr.head_repo = None),
        Broken(HeadRepo),
    ),
    (
        "the forge found a conflict",
        Later(|pr| pr.mergeable = Mergeable::No),
        Broken(Condition::Mergeable),
    ),
    (
        "the head moves at the last moment",
        AtTheLastMoment(moved),
        RefusedByForge,
    ),
    (
        "the head moves at the last moment and brings a file",
        AtTheLastMoment(|pr| {
            moved(pr);
            files(pr, vec![modified("flake.nix")]);
        }),
        RefusedByForge,
    ),
    (
        "the head moves at the last moment to another owner's input",
        AtTheLastMoment(|pr| {
            moved(pr);
            edit_lock(pr, |lock| {
                node(lock, "nixpkgs")["locked"]["owner"] = json!("mallory")
            });
        }),
        RefusedByForge,
    ),
    (
        "it is closed at the last moment",
        AtTheLastMoment(|pr| pr.state = PrState::Closed),
        RefusedByForge,
    ),
];

/// Benign pull requests that differ in what must not matter.
fn families() -> [PullRequest; 3] {
    let plain = benign();
    let dressed = PullRequest {
        number: PrNumber(7),
        title: "Bump nixpkgs".to_owned(),
        labels: vec!["dependencies".to_owned(), "automated".to_owned()],
        head_branch: "bot/1".to_owned(),
        ..benign()
    };
    let long = PullRequest {
        number: PrNumber(4_000_000_000),
        title: format!("flake.lock {}", "x".repeat(5_000)),
        labels: Vec::new(),
        head: "ab".repeat(20).parse::<CommitId>().unwrap(),
        ..benign()
    };
    let mut long = long;
    checks(&mut long, CheckState::Success);
    [plain, dressed, long]
}

fn play(pr: &PullRequest, trick: Trick) -> World {
    let mut world = World::new();
    let mut hostile = pr.clone();
    match trick {
        Edit(edit) => {
            edit(&mut hostile);
            world.put(hostile);
        }
        Later(edit) => {
            world.put(pr.clone());
            world.check();
            assert!(world.updates.current().is_some());
            world.pass(Duration::from_secs(30 * 60));
            edit(&mut hostile);
            world.put(hostile);
            // Only the reading just before the merge can see it.
            world.pass(Duration::from_secs(30 * 60));
            world.pass(Duration::from_secs(60));
            return world;
        }
        AtTheLastMoment(edit) => {
            edit(&mut hostile);
            world.put(pr.clone());
            world.whims.push_back(Whim::MovesHead(Box::new(hostile)));
            world.check();
            // A new head that is as good as the old one is merged once it is old enough.
            world.pass(Duration::from_secs(90 * 60));
            return world;
        }
    }
    world.check();
    world.pass(DAY);
    world
}

fn refused_for(world: &World, number: PrNumber) -> Reason {
    let open = &world.updates.state().open;
    let Some(known) = open.iter().find(|known| known.pr.number == number) else {
        return match world.merge_calls() {
            0 => NotListed,
            _ => RefusedByForge,
        };
    };
    if world.merge_calls() > 0 {
        return RefusedByForge;
    }
    let judged = world.updates.judgement(known);
    // It waits for the new head besides; what else is broken comes first.
    let (condition, _) = judged.broken().next().unwrap();
    Broken(*condition)
}

#[test]
fn sec_29_no_hostile_pull_request_is_merged_and_each_has_its_reason() {
    let mut fixtures = 0;
    for pr in families() {
        for (name, trick, reason) in TRICKS {
            let world = play(&pr, *trick);
            fixtures += 1;
            assert_eq!(world.merges, [], "{name}: {}", pr.number);
            let mut told = refused_for(&world, pr.number);
            let visible = matches!(told, Broken(_));
            if (*name, told) == ("only the title is right", NotListed) {
                // Its title alone does not name the lock.
                assert!(!pr.title.contains("flake.lock"));
                told = *reason;
            }
            assert_eq!(told, *reason, "{name}: {}", pr.number);
            if visible {
                let gates = &world.updates.view().auto.gates;
                let said = gates.iter().any(|gate| !gate.finding.is_pass());
                assert!(said, "{name}: the reason is visible");
            }
        }
        // The benign one that all of them are made of.
        let mut world = World::new();
        world.put(pr.clone());
        world.check();
        world.pass(DAY);
        assert_eq!(world.merges, [(pr.number, pr.head)], "{}", pr.number);
        assert_eq!(world.merge_calls(), 1);
        assert_eq!(pr.base_repo, REPO);
    }
    println!("{fixtures} hostile pull requests");
    assert!(fixtures >= 200, "{fixtures}");
}

/// What makes a trick a trick: it changes something about the pull request.
#[test]
fn no_trick_is_played_twice() {
    let mut seen: Vec<(&str, PullRequest)> = Vec::new();
    for (name, trick, _) in TRICKS {
        let (Edit(edit) | Later(edit) | AtTheLastMoment(edit)) = trick;
        let mut pr = benign();
        edit(&mut pr);
        assert_ne!(pr, benign(), "{name}");
        if matches!(trick, Edit(_)) {
            assert!(seen.iter().all(|(_, other)| *other != pr), "{name}");
            seen.push((name, pr));
        }
    }
}

/// Every lasting refusal is told once, and again only if it changed.
#[test]
fn a_refusal_is_told_once() {
    let mut world = World::new();
    let mut pr = benign();
    pr.author = "mallory".to_owned();
    world.put(pr.clone());
    world.check();
    world.pass(DAY);
    let told = |world: &World| {
        let events = world.steps.iter().filter_map(|step| match step {
            UpdateStep::Event {
                code: "auto-merge-refused",
                text,
            } => Some(text.clone()),
            _ => None,
        });
        events.collect::<Vec<_>>()
    };
    assert_eq!(told(&world).len(), 1, "{:?}", told(&world));
    assert!(told(&world)[0].contains("mallory"));
    pr.draft = true;
    world.put(pr);
    world.check();
    world.pass(DAY);
    assert_eq!(told(&world).len(), 2);
}

#[test]
fn what_is_huge_stays_small_in_what_clients_see() {
    let mut world = World::new();
    let mut pr = benign();
    pr.title = "x flake.lock ".repeat(10_000);
    pr.labels = (0..10_000).map(|n| n.to_string()).collect();
    files(
        &mut pr,
        (0..3_000).map(|n| modified(&n.to_string())).collect(),
    );
    let many = |rev: char| {
        let mut text = lock(rev);
        for n in 0..500 {
            let name = format!("in{n}");
            text["nodes"][&name] = text["nodes"]["nixpkgs"].clone();
            text["nodes"]["root"]["inputs"][&name] = json!(name);
        }
        bytes(&text)
    };
    pr.locks = ReadOrNot::Read((many('1'), many('2')));
    for number in 0..50 {
        world.put(PullRequest {
            number: PrNumber(number),
            ..pr.clone()
        });
    }
    world.check();
    let view = serde_json::to_vec(&world.updates.view()).unwrap();
    println!(
        "{} bytes for {} pull requests",
        view.len(),
        world.updates.state().open.len()
    );
    assert!(view.len() < 1_500_000);
    assert!(matches!(LockFacts::of(&pr), LockFacts::Compared(_)));
}
