use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::op::Op;
use crate::rollout::{HostStage, RolloutState, SimulatedEvent, Wait, WaitCode};

fn target(digit: &str) -> Value {
    json!({"commit": digit.repeat(40), "lock": digit.repeat(64)})
}

fn fleet(names: &[&str]) -> Value {
    let hosts: Vec<Value> = names.iter().map(|name| json!({"host": name})).collect();
    json!({"hosts": hosts, "desired": target("c")})
}

fn read_all(value: &Value) -> RolloutFacts {
    RolloutFacts::read(&value.to_string()).unwrap()
}

fn with(mut facts: Value, more: &Value) -> RolloutFacts {
    for (key, value) in more.as_object().unwrap() {
        facts[key] = value.clone();
    }
    read_all(&facts)
}

#[test]
fn nothing_at_all_is_an_answer_too() {
    let error = RolloutFacts::read("{}").unwrap().plan().unwrap_err();
    assert!(matches!(
        error,
        RolloutError::NotPlanned(PlanError::NoTarget)
    ));
    let error = with(fleet(&[]), &json!({})).simulate().unwrap_err();
    assert_eq!(error.to_string(), "no host takes part: none is selected");
}

#[test]
fn the_field_that_is_wrong_is_named() {
    for (more, field) in [
        (json!({"hosts": 7}), "hosts"),
        (
            json!({"hosts": [{"host": "a"}, {"host": "b c"}]}),
            "hosts.1.host",
        ),
        (
            json!({"hosts": [{"host": "a", "presence": "gone"}]}),
            "hosts.0.presence",
        ),
        (
            json!({"hosts": [{"host": "a", "settings": {"colour": 1}}]}),
            "hosts.0.settings.colour",
        ),
        (json!({"desired": {"commit": "main"}}), "desired.commit"),
        (
            json!({"ask": {"policy": {"canaries": {"count": "two"}}}}),
            "ask.policy.canaries.count",
        ),
        (
            json!({"ask": {"hosts": {"selector": "a b"}}}),
            "ask.hosts.selector",
        ),
        (json!({"start": "now"}), "start"),
        (
            json!({"assumptions": {"hosts": [{"host": "a", "op": "dance"}]}}),
            "assumptions.hosts.0.op",
        ),
        (
            json!({"windows": [{"id": "w", "selector": "*", "zone": "UTC", "effect": "allow", "from": "25:00", "to": "26:00"}]}),
            "windows.0.from",
        ),
    ] {
        let mut facts = fleet(&["a"]);
        facts[more.as_object().unwrap().keys().next().unwrap()] =
            more.as_object().unwrap().values().next().unwrap().clone();
        match RolloutFacts::read(&facts.to_string()) {
            Err(WireError::Type { field: named, .. }) => assert_eq!(named, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    let window = |zone: &str| json!({"id": "w", "selector": "*", "zone": zone, "effect": "allow", "from": "01:00", "to": "02:00"});
    for (more, field) in [
        (
            json!({"hosts": [{"host": "a"}, {"host": "a"}]}),
            "hosts.1.host",
        ),
        (
            json!({"hosts": [{"host": "a", "tags": ["a b"]}]}),
            "hosts.0",
        ),
        (
            json!({"assumptions": {"hosts": [{"host": "z"}]}}),
            "assumptions.hosts.0.host",
        ),
        (
            json!({"windows": [window("UTC"), window("Mars/Base")]}),
            "windows.1.zone",
        ),
        (
            json!({"windows": [window("X")], "zones": [{"name": "X", "transitions": []}]}),
            "windows.0",
        ),
        (
            json!({"windows": vec![window("UTC"); MAX_WINDOWS + 1]}),
            "windows",
        ),
        (
            json!({"hosts": (0..=MAX_HOSTS).map(|n| json!({"host": format!("h{n}")})).collect::<Vec<_>>()}),
            "hosts",
        ),
    ] {
        match with(fleet(&["a"]), &more).plan() {
            Err(RolloutError::Field { field: named, .. }) => assert_eq!(named, field),
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[test]
fn one_host_takes_half_of_what_would_be_warned_of() {
    let report = with(fleet(&["a"]), &json!({"start": 1000}))
        .simulate()
        .unwrap();
    let starts = report.steps.iter().filter_map(|step| match &step.event {
        SimulatedEvent::Starts { op, .. } => Some((step.at.as_millis(), *op)),
        SimulatedEvent::Ends { .. }
        | SimulatedEvent::Held { .. }
        | SimulatedEvent::Quarantined
        | SimulatedEvent::Enters(_) => None,
    });
    let expected = [(1_000, Op::Pull), (61_000, Op::Switch), (361_000, Op::Test)];
    assert_eq!(starts.collect::<Vec<_>>(), expected);
    assert_eq!(report.end.state, RolloutState::Complete);
    assert!(report.waits.is_empty() && report.complete);
}

#[test]
fn a_host_that_waits_for_its_window_says_so() {
    // 1970-01-01T00:00Z; the window opens at 05:00.
    let window = json!({"id": "w", "selector": "b", "zone": "UTC", "effect": "allow", "from": "05:00", "to": "06:00"});
    let told = with(fleet(&["a", "b"]), &json!({"windows": [window]}))
        .simulate()
        .unwrap();
    let five = Timestamp::from_seconds(5 * 3600);
    let [span] = told.waits.as_slice() else {
        panic!("{:?}", told.waits);
    };
    assert_eq!((span.host.as_str(), span.to), ("b", five));
    assert_eq!(span.wait, Wait::until(WaitCode::OutsideWindow, Some(five)));
    assert!(told.complete && told.end.totals.done == 2);
}

#[test]
fn a_host_whose_tests_fail_goes_back_once() {
    let more = json!({
        "ask": {"policy": {"roll_back": "failed-hosts", "on_failure": {"continue_up_to": 5}}},
        "assumptions": {"hosts": [{"host": "b", "op": "test", "fails": true, "seconds": 1}]},
    });
    let told = with(fleet(&["a", "b"]), &more).simulate().unwrap();
    let events = |event: &SimulatedEvent| {
        told.steps
            .iter()
            .filter(|step| step.event == *event)
            .count()
    };
    let host: HostId = "b".parse().unwrap();
    assert_eq!(
        events(&SimulatedEvent::Starts {
            host: host.clone(),
            op: Op::Rollback
        }),
        1
    );
    assert_eq!(events(&SimulatedEvent::Held { host }), 1);
    assert_eq!(events(&SimulatedEvent::Quarantined), 1);
    assert_eq!(told.end.state, RolloutState::Partial);
}

#[test]
fn a_pipeline_that_updates_the_inputs_goes_on_with_what_they_became() {
    let ask = json!({"kind": {"pipeline": "update-agent"}});
    let told = with(
        fleet(&["a", "b"]),
        &json!({"ask": ask, "updated": target("e")}),
    );
    let told = told.simulate().unwrap();
    assert_eq!(told.end.state, RolloutState::Complete);
    assert_eq!(told.end.target.unwrap().commit.to_string(), "e".repeat(40));
    // Where they became nothing new there is nothing to go on with.
    let told = with(fleet(&["a", "b"]), &json!({"ask": ask}))
        .simulate()
        .unwrap();
    assert_eq!(told.end.state, RolloutState::Failed);
}

#[test]
fn d18_an_agent_that_stays_away_between_windows_is_left_out_in_the_end() {
    // One reason gives way to the other every week, so neither alone ever lasts too long.
    let window = json!({"id": "w", "selector": "*", "zone": "UTC", "days": ["mon"], "effect": "allow", "from": "05:00", "to": "06:00"});
    let mut facts = fleet(&["a"]);
    facts["hosts"][0]["presence"] = json!({"offline": {"since": 0}});
    let more = json!({"ask": {"hosts": {"list": ["a"]}, "policy": {"offline": "wait"}}, "windows": [window]});
    let told = with(facts, &more).simulate().unwrap();
    assert!(told.complete);
    assert_eq!(told.end.totals.skipped, 1);
    assert_eq!(told.end.state, RolloutState::Failed);
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![Just("a"), Just("b"), Just("c"), Just("d")].prop_map(str::to_owned)
}

fn moments() -> impl Strategy<Value = i64> {
    prop_oneof![
        0..2_000_000_000_000_i64,
        Just(i64::MAX),
        Just(i64::MIN),
        any::<i64>()
    ]
}

/// Whether agents may be away; those that are may be waited for.
fn questions(away: bool) -> impl Strategy<Value = Value> {
    let offline = moments().prop_map(|since| json!({"offline": {"since": since}}));
    let presence =
        prop_oneof![4 => Just(json!("online")), 1 => Just(json!("never-seen")), 1 => offline];
    let presence =
        (presence, Just(away)).prop_map(|(one, away)| if away { one } else { json!("online") });
    let host = (presence, any::<bool>(), -5..5_i64, 0..8_u8).prop_map(|(presence, canary, priority, bits)| {
        let mut host = json!({"presence": presence, "tags": ["t"],
            "settings": {"canary": canary, "priority": priority, "auto_update": bits & 1 == 0, "runs_server": bits & 6 == 6}});
        if bits == 7 {
            host["hold"] = json!({"by": "x", "why": "y", "until": null});
        }
        host
    });
    let hosts = proptest::collection::btree_map(names(), host, 1..5);
    let canaries = prop_oneof![
        Just(json!("flagged")),
        Just(json!("none")),
        (0..3_u32).prop_map(|n| json!({"count": n})),
        names().prop_map(|one| json!({"hosts": [one]}))
    ];
    let offline = prop_oneof![
        Just(json!("skip")),
        Just(json!("wait")),
        moments().prop_map(|at| json!({"queue_until": at}))
    ];
    let failure = prop_oneof![
        Just(json!("stop")),
        any::<u32>().prop_map(|n| json!({"continue_up_to": n}))
    ];
    let back = prop_oneof![
        Just("none"),
        Just("failed-hosts"),
        Just("all-hosts"),
        Just("all-hosts-and-revert")
    ];
    let policy = (canaries, offline, failure, back, any::<bool>(), 0..4_u32, 0..700_000_u64, any::<bool>()).prop_map(
        |(canaries, offline, on_failure, roll_back, barrier, flight, soak, approve)| {
            json!({"canaries": canaries, "offline": offline, "on_failure": on_failure, "roll_back": roll_back,
                "barrier": barrier, "max_in_flight": {"count": flight}, "soak_seconds": soak, "approve_waves": approve})
        },
    );
    let targets = prop_oneof![
        Just(json!("all")),
        Just(json!({"selector": "@t,!d"})),
        proptest::collection::vec(names(), 0..4).prop_map(|all| json!({"list": all}))
    ];
    let kind = prop_oneof![3 => Just(json!("rollout")), 1 => prop_oneof![Just("do-all"), Just("update-agent"), Just("force-update"), Just("none")].prop_map(|name| json!({"pipeline": name}))];
    let ops = prop_oneof![
        Just("pull"),
        Just("switch"),
        Just("test"),
        Just("rollback"),
        Just("restart")
    ];
    let seconds = prop_oneof![Just(0_u64), 0..100_000_u64, Just(u64::MAX)];
    let assumed = proptest::collection::vec(
        (
            proptest::sample::select(vec!["a", "b"]),
            ops,
            any::<bool>(),
            seconds,
        ),
        0..4,
    );
    let window = (
        0..24_u8,
        0..24_u8,
        any::<bool>(),
        proptest::sample::select(vec!["*", "a", "!b"]),
    );
    let windows = proptest::collection::vec(window, 0..3);
    (hosts, policy, targets, kind, assumed, windows, moments(), any::<bool>()).prop_map(
        |(hosts, policy, targets, kind, assumed, windows, start, updated)| {
            let assumed: Vec<Value> = assumed
                .iter()
                .filter(|(host, ..)| hosts.contains_key(*host))
                .map(|(host, op, fails, seconds)| json!({"host": host, "op": op, "fails": fails, "seconds": seconds}))
                .collect();
            let windows: Vec<Value> = windows
                .iter()
                .enumerate()
                .map(|(at, (from, to, allow, selector))| {
                    json!({"id": at.to_string(), "selector": selector, "zone": if at == 0 { "UTC" } else { "Z" },
                        "effect": if *allow { "allow" } else { "deny" },
                        "from": format!("{from:02}:00"), "to": format!("{to:02}:30")})
                })
                .collect();
            let hosts: Vec<Value> = hosts
                .into_iter()
                .map(|(name, mut host)| {
                    host["host"] = json!(name);
                    host
                })
                .collect();
            let mut facts = json!({
                "ask": {"hosts": targets, "policy": policy, "kind": kind}, "hosts": hosts, "desired": target("c"),
                "assumptions": {"hosts": assumed}, "windows": windows, "start": start,
                "zones": [{"name": "Z", "transitions": [[i64::MIN, -3600], [1_000_000_000, 7200]]}],
            });
            if updated {
                facts["updated"] = target("e");
            }
            facts
        },
    )
}

proptest! {
    /// No text and no question panics.
    #[test]
    fn no_text_does_more_than_fail(text in ".{0,200}") {
        let _ = RolloutFacts::read(&text);
    }

    /// The plan follows from the question alone: neither the order of the hosts nor what only a
    /// simulation needs changes its id, which is the one it must have.
    #[test]
    fn d01_the_same_question_has_the_same_plan(facts in questions(true), turn in 0..4_usize) {
        let once = read_all(&facts).plan().map_err(|error| error.to_string());
        let mut other = facts.clone();
        let hosts = other["hosts"].as_array_mut().unwrap();
        let by = turn % hosts.len();
        hosts.rotate_left(by);
        other["assumptions"] = json!({});
        other["windows"] = json!([]);
        other["start"] = json!(0);
        let again = read_all(&other).plan().map_err(|error| error.to_string());
        prop_assert_eq!(&once, &again);
        if let Ok(plan) = once {
            prop_assert_eq!(plan.id, plan.canonical_id());
        }
    }

    /// Every simulation ends, with one disposition for every host.
    #[test]
    fn d16_a_simulation_ends_with_one_disposition_for_every_host(facts in any::<bool>().prop_flat_map(questions)) {
        let Ok(told) = read_all(&facts).simulate() else { return Ok(()) };
        prop_assert!(told.complete);
        let asked: BTreeSet<&HostId> = told.end.hosts.iter().map(|host| &host.host).collect();
        prop_assert_eq!(asked.len(), told.end.hosts.len());
        let totals = told.end.totals;
        if told.complete {
            prop_assert!(told.end.hosts.iter().all(|host| host.state.is_final()));
            prop_assert_eq!(totals.targets, totals.done + totals.failed + totals.skipped + totals.cancelled);
            let last = told.steps.last().map(|step| step.event.clone());
            prop_assert_eq!(last, Some(SimulatedEvent::Enters(told.end.state)));
        }
        prop_assert!(told.steps.is_sorted_by_key(|step| step.at));
        prop_assert!(told.waits.iter().all(|span| span.from < span.to));
        // A host waits for one thing at a time.
        for host in asked {
            let mut own = told.waits.iter().filter(|span| span.host == *host);
            let mut before: Option<&WaitSpan> = None;
            prop_assert!(own.all(|span| before.replace(span).is_none_or(|one| one.to <= span.from)));
        }
        let failed = told.end.hosts.iter().filter(|host| host.state == HostStage::Failed).count();
        prop_assert_eq!(failed, totals.failed);
    }
}
