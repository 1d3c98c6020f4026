//! `docs/compartments.md`: its matrix is made by judging described situations, its lists and
//! diagrams come from the tables.

use std::collections::BTreeSet;

use nixfleet_core::compartment::rules::TABLES;
use nixfleet_core::compartment::{message, remote_sentence};
use nixfleet_core::desired::{Remote, RemoteCause, Unavailable};
use nixfleet_core::host::{DeployOutcome, Hold, LockReport, Presence, TestVerdict};
use nixfleet_core::render::{
    compartment_flow, decision_order, fenced, lifecycle_diagram, sheet, tables_json,
};
use nixfleet_core::{Assessment, Compartment, Op, ReasonCode, Status};

use crate::compartments_world::{NOW, World, commit, path};
use crate::goldens::check_blocks;

/// A situation in words, and how to get into it.
pub type Situation = (&'static str, fn() -> World);

fn from_current(change: impl FnOnce(&mut World)) -> World {
    let mut world = World::current();
    change(&mut world);
    world
}

/// An update was merged and pulled.
fn pulled() -> World {
    from_current(|world| {
        world.remote_moves('b');
        world.pull();
    })
}

fn failed_switch() -> World {
    let mut world = pulled();
    world.switch_fails();
    world
}

fn existing_agent() -> World {
    let mut world = World::never_seen();
    world.existing = true;
    world.connect();
    world.pull();
    world
}

fn unreachable(world: &mut World) {
    world.remote_fails(RemoteCause::Unreachable, "no route to host");
}

fn working(op: Op) -> World {
    let mut world = World::current();
    world.working(op);
    world
}

#[rustfmt::skip]
pub const SITUATIONS: &[Situation] = &[
    ("all current, tests passed", World::current),
    ("PR merged upstream", || from_current(|world| world.remote_moves('b'))),
    ("after pull", pulled),
    ("after switch succeeds", || { let mut world = pulled(); world.switch_ok(); world }),
    ("after tests pass (this project's agent)", || { let mut world = pulled(); world.switch_ok(); world.test(TestVerdict::Pass); world }),
    ("remote unreachable", || from_current(unreachable)),
    ("remote unreachable, host never seen", || { let mut world = World::never_seen(); unreachable(&mut world); world }),
    ("remote not read yet (the server has just started)", || from_current(|world| world.remote_fails(RemoteCause::NotReadYet, ""))),
    ("the desired commit has no flake.lock", || from_current(|world| {
        if let Remote::Verified(snapshot) = &mut world.desired.remote {
            snapshot.lock = Err(Unavailable::new(RemoteCause::LockMissing, ""));
        }
    })),
    ("the last reading failed, grace period", || from_current(|world| world.in_grace = true)),
    ("switch failed (an earlier deploy exists, no tests failed on it)", failed_switch),
    ("…then the remote moves on", || { let mut world = failed_switch(); world.remote_moves('c'); world }),
    ("…then pull", || { let mut world = failed_switch(); world.remote_moves('c'); world.pull(); world }),
    ("…then switch succeeds", || { let mut world = failed_switch(); world.remote_moves('c'); world.pull(); world.switch_ok(); world }),
    ("switch failed, then the remote is unreachable", || { let mut world = failed_switch(); unreachable(&mut world); world }),
    ("switch stopped by a person", || { let mut world = failed_switch(); world.deploy.detail = Some("stopped by user".to_owned()); world }),
    ("outcome of the switch unknown", || { let mut world = pulled(); world.switch_outcome_unknown(); world }),
    ("rollback succeeded", || {
        let mut world = World::current();
        let before = world.observation.deployed.clone().unwrap();
        world.remote_moves('b');
        world.pull();
        world.switch_ok();
        world.test(TestVerdict::Fail);
        world.activate("old", before.commit.unwrap(), before.lock);
        world
    }),
    ("tests failed", || from_current(|world| world.test(TestVerdict::Fail))),
    ("tests stopped", || from_current(|world| world.test(TestVerdict::Stopped))),
    ("tests run, no script found", || from_current(|world| world.test(TestVerdict::Empty))),
    ("the system changed during the tests", || from_current(|world| world.test(TestVerdict::Void))),
    ("tests switched off for the host", || from_current(|world| world.tests_enabled = false)),
    ("host added on the page, agent never connected, remote fine", World::never_seen),
    ("host connected and pulled, never deployed", || { let mut world = World::never_seen(); world.connect(); world.pull(); world }),
    ("agent older than expected", || from_current(|world| world.observation.agent_version = Some("3.9.0".to_owned()))),
    ("local changes in the checkout", || from_current(|world| world.observation.repo.as_mut().unwrap().dirty = true)),
    ("the checkout has no flake.lock", || from_current(|world| world.observation.repo.as_mut().unwrap().lock = LockReport::Missing)),
    ("the checkout has a commit that is not on the branch", || from_current(|world| {
        world.history(&['a', '0']);
        world.observation.repo.as_mut().unwrap().commit = commit('9').into();
    })),
    ("switched by hand to another commit", || from_current(|world| {
        world.observation.system.as_mut().unwrap().configuration_revision = Some(commit('9').into());
    })),
    ("built by hand from local changes", || from_current(|world| {
        let system = world.observation.system.as_mut().unwrap();
        system.configuration_revision = Some(format!("{}-dirty", commit('a')).parse().unwrap());
    })),
    ("rebooted into an older generation", || from_current(|world| {
        world.observation.system.as_mut().unwrap().path = Some(path("older"));
    })),
    ("deployed from a dirty checkout", || from_current(|world| world.observation.deployed.as_mut().unwrap().clean = false)),
    ("existing agent without lock hash, never deployed", || {
        let mut world = existing_agent();
        world.observation.repo.as_mut().unwrap().lock = LockReport::NotReported;
        world
    }),
    ("existing agent: switched here, its tests report a pass", || {
        let mut world = existing_agent();
        world.switch_ok();
        world.test(TestVerdict::Pass);
        world
    }),
    ("existing agent: switched here, nobody recorded what", || {
        let mut world = existing_agent();
        world.deploy.outcome = DeployOutcome::Ok;
        world
    }),
    ("an update PR is pending", || from_current(World::pending_pr)),
    ("offline", || from_current(|world| world.presence = Presence::Offline { since: NOW })),
    ("held", || from_current(|world| {
        world.hold = Some(Hold { by: "ann".to_owned(), why: "hands off".to_owned(), until: None });
    })),
    ("two machines claim to be this host", || from_current(|world| world.identity_conflict = true)),
    ("pull running", || { let mut world = from_current(|world| world.remote_moves('b')); world.working(Op::Pull); world }),
    ("switch running", || { let mut world = pulled(); world.working(Op::Switch); world }),
    ("pull-switch running", || { let mut world = from_current(|world| world.remote_moves('b')); world.working(Op::PullSwitch); world }),
    ("tests running", || working(Op::Test)),
    ("agent being restarted", || working(Op::Restart)),
];

/// The rows that the specification expects, word by word.
const EXPECTED: &[(&str, &str)] = &[
    ("all current, tests passed", "ok ok ok ok ok"),
    (
        "PR merged upstream",
        "ok outdated outdated outdated outdated",
    ),
    ("after pull", "ok ok ok outdated outdated"),
    ("after switch succeeds", "ok ok ok ok outdated"),
    ("after tests pass (this project's agent)", "ok ok ok ok ok"),
    ("remote unreachable", "ok error error outdated outdated"),
    (
        "remote unreachable, host never seen",
        "unknown error error outdated outdated",
    ),
    (
        "switch failed (an earlier deploy exists, no tests failed on it)",
        "ok ok ok error outdated",
    ),
    (
        "…then the remote moves on",
        "ok outdated outdated error outdated",
    ),
    ("…then pull", "ok ok ok error outdated"),
    ("…then switch succeeds", "ok ok ok ok outdated"),
    ("rollback succeeded", "ok ok ok outdated outdated"),
    (
        "host added on the page, agent never connected, remote fine",
        "unknown unknown unknown unknown unknown",
    ),
    (
        "existing agent without lock hash, never deployed",
        "ok ok unknown unknown unknown",
    ),
    (
        "existing agent: switched here, its tests report a pass",
        "ok ok ok ok outdated",
    ),
    ("tests run, no script found", "ok ok ok ok outdated"),
];

#[test]
fn the_state_matrix_has_every_expected_row() {
    for (name, row) in EXPECTED {
        let found = SITUATIONS.iter().find(|(one, _)| one == name);
        let (_, world) = found.unwrap_or_else(|| panic!("{name}"));
        assert_eq!(world().row(), *row, "{name}");
    }
}

#[test]
fn the_state_matrix_shows_every_status_of_every_compartment() {
    assert!(SITUATIONS.len() >= 20);
    let mut shown = BTreeSet::new();
    for (_, world) in SITUATIONS {
        for one in world().assess().compartments {
            shown.insert((one.compartment, one.status));
        }
    }
    // The agent is never yellow, lock is blue only while it is refreshed or updated.
    let never = [
        (Compartment::Agent, Status::Outdated),
        (Compartment::Lock, Status::Working),
    ];
    for compartment in Compartment::ALL {
        for status in [
            Status::Unknown,
            Status::Ok,
            Status::Outdated,
            Status::Error,
            Status::Working,
        ] {
            let expected = !never.contains(&(compartment, status));
            assert_eq!(
                shown.contains(&(compartment, status)),
                expected,
                "{compartment:?} {status:?}"
            );
        }
    }
}

#[test]
fn compartments_md_is_current() {
    let names = check_blocks("docs/compartments.md", block);
    for needed in [
        "state matrix",
        "clicks",
        "attentions",
        "remote causes",
        "order",
    ] {
        assert!(names.iter().any(|name| name == needed), "{needed}");
    }
    for compartment in Compartment::ALL {
        for kind in ["flow", "reasons"] {
            let needed = format!("{kind} {}", compartment.name());
            assert!(names.contains(&needed), "{needed}");
        }
    }
}

fn block(name: &str) -> Option<String> {
    if let Some(compartment) = name.strip_prefix("flow ").and_then(named) {
        return Some(fenced(&compartment_flow(compartment)));
    }
    if let Some(compartment) = name.strip_prefix("reasons ").and_then(named) {
        return Some(troubleshooting(compartment));
    }
    match name {
        "state matrix" => Some(matrix()),
        "clicks" => Some(sheet("clicks")?.markdown()),
        "attentions" => Some(sheet("attentions")?.markdown()),
        "remote causes" => Some(sheet("remote-causes")?.markdown()),
        "order" => Some(fenced(&decision_order())),
        "lifecycle" => Some(fenced(&lifecycle_diagram())),
        _ => None,
    }
}

fn named(name: &str) -> Option<Compartment> {
    Compartment::ALL.into_iter().find(|one| one.name() == name)
}

fn dot(status: Status) -> &'static str {
    match status {
        Status::Unknown => "⚪ unknown",
        Status::Ok => "🟢 ok",
        Status::Outdated => "🟡 outdated",
        Status::Error => "🔴 error",
        Status::Working => "🔵 working",
    }
}

fn matrix() -> String {
    let mut text = String::from(
        "| situation | agent | git | lock | system | tests | beside it | green in totals | what is said first |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for (name, world) in SITUATIONS {
        let world = world();
        let found = world.assess();
        let dots = found.statuses().map(dot).join(" | ");
        let beside: Vec<&str> = found
            .attentions
            .iter()
            .map(|one| one.template().label)
            .collect();
        let green = if found.counts_as_green() { "yes" } else { "no" };
        text.push_str(&format!(
            "| {name} | {dots} | {} | {green} | {} |\n",
            beside.join(", "),
            said_first(&world, &found.compartments)
        ));
    }
    text
}

/// The sentence of the first compartment that is not green.
fn said_first(world: &World, compartments: &[Assessment; 5]) -> String {
    let worth = compartments.iter().find(|one| one.status != Status::Ok);
    worth.map_or_else(String::new, |one| {
        let said = message(one, &world.situation());
        format!("{}: {}", one.compartment.name(), said.replace('|', "\\|"))
    })
}

/// What to do about each reason of a compartment.
fn troubleshooting(compartment: Compartment) -> String {
    let tables = tables_json();
    let table = TABLES.iter().find(|one| one.compartment == compartment);
    let mut seen: Vec<ReasonCode> = Vec::new();
    let mut text = String::from("| status | it says | what to do |\n| --- | --- | --- |\n");
    for row in table.unwrap().all_rows() {
        if seen.contains(&row.reason) {
            continue;
        }
        seen.push(row.reason);
        let name = serde_json::to_value(row.reason).unwrap();
        let steps = tables["remedies"][name.as_str().unwrap()].as_array();
        let orders: Vec<String> = steps
            .unwrap()
            .iter()
            .map(
                |step| match (step["op"].as_str(), step["manual"].as_str()) {
                    (Some(op), _) => format!("run `{op}`"),
                    (None, Some("fix-remote")) => {
                        "[make the remote readable again](#when-the-remote-cannot-be-read)"
                            .to_owned()
                    }
                    (None, Some(manual)) => {
                        tables["manual_steps"][manual].as_str().unwrap().to_owned()
                    }
                    (None, None) => unreachable!("a step is one of the two"),
                },
            )
            .collect();
        let what = if orders.is_empty() {
            "nothing".to_owned()
        } else {
            orders.join("; ")
        };
        let says = plain(row.reason.template());
        text.push_str(&format!("| {} | {says} | {what} |\n", dot(row.status)));
    }
    text
}

/// A template as prose: placeholders become names in braces.
fn plain(template: &str) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (placeholder, tail) = after.split_once('}').unwrap();
        let (name, form) = placeholder.split_once('|').unwrap_or((placeholder, ""));
        text.push_str(before);
        text.push_str(&match form.strip_prefix("count:") {
            Some(thing) => format!("*N* {thing}s"),
            None => format!("*{name}*"),
        });
        rest = tail;
    }
    text.push_str(rest);
    text
}

#[test]
fn causes_are_named_in_words() {
    let sentence = remote_sentence(&Unavailable::new(RemoteCause::TimedOut, "after 10 s"));
    assert_eq!(sentence, "the remote timed out (after 10 s)");
    assert_eq!(
        plain("{n|count:commit} at {host|commit}"),
        "*N* commits at *host*"
    );
}
