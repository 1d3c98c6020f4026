//! Attentions, clicks and wire forms of the compartments.

use nixfleet_core::compartment::render::attention_text;
use nixfleet_core::compartment::{Attention, Click, ManualStep, explain};
use nixfleet_core::desired::{Remote, RemoteCause};
use nixfleet_core::host::{Hold, Presence, TestVerdict};
use nixfleet_core::{Compartment, HostAssessment, Op, Status};
use serde_json::json;

use super::compartments_texts::{tells, tooltip};
use super::compartments_world::{NOW, World, lock};

// ---- attentions ----

#[test]
fn every_attention_of_the_specification_is_raised_and_told() {
    let mut world = World::current();
    assert_eq!(world.assess().attentions, []);
    world.pending_pr();
    world.switch_fails();
    world.test(TestVerdict::Fail);
    world.observation.system.as_mut().unwrap().reboot_required = true;
    world.observation.failed_units = Some((0..20).map(|n| format!("u{n}.service")).collect());
    world.observation.repo.as_mut().unwrap().dirty = true;
    if let Remote::Verified(snapshot) = &mut world.desired.remote {
        snapshot.rewritten = true;
    }
    world.presence = Presence::Offline { since: NOW };
    world.hold = Some(Hold {
        by: "anna\n".to_owned(),
        why: "disk change".to_owned(),
        until: Some(NOW),
    });
    world.in_grace = true;
    world.quarantined = true;
    world.identity_conflict = true;
    let shown = world.assess();
    let wire = serde_json::to_value(&shown.attentions).unwrap();
    let codes: Vec<&str> = wire
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["code"].as_str().unwrap())
        .collect();
    assert_eq!(
        codes,
        [
            "update-pending",
            "reboot-required",
            "last-deploy-failed",
            "degraded",
            "last-tests-failed",
            "worktree-dirty",
            "remote-rewritten",
            "offline",
            "held",
            "remote-stale",
            "quarantined",
            "identity-conflict",
        ]
    );
    assert_eq!(wire[3]["total"], 20);
    assert_eq!(wire[3]["units"].as_array().unwrap().len(), 16);
    assert_eq!(wire[8]["by"], "anna");
    let back: Vec<Attention> = serde_json::from_value(wire).unwrap();
    assert_eq!(back, shown.attentions);
    for attention in &shown.attentions {
        assert!(!attention_text(attention, &world.situation()).is_empty());
    }
}

#[test]
fn what_is_known_beside_a_failed_remote_stays_visible() {
    let mut world = World::current();
    world.switch_fails();
    world.test(TestVerdict::Fail);
    world.remote_fails(RemoteCause::TimedOut, "");
    assert_eq!(world.row(), "ok error error outdated outdated");
    let attentions = world.assess().attentions;
    assert!(attentions.contains(&Attention::LastDeployFailed));
    assert!(attentions.contains(&Attention::LastTestsFailed { failed: 2 }));
    tells(
        &tooltip(&world, Compartment::System),
        &["the last deploy failed"],
    );
    tells(
        &tooltip(&world, Compartment::Tests),
        &["the last test run failed"],
    );
}

#[test]
fn a_grace_period_keeps_green_and_says_how_old_it_is() {
    let mut world = World::current();
    world.in_grace = true;
    let shown = world.assess();
    assert_eq!(world.row(), "ok ok ok ok ok");
    let stale = Attention::RemoteStale {
        verified_at: Some(NOW),
    };
    assert_eq!(shown.attentions, [stale]);
    for compartment in Compartment::ALL {
        tells(&tooltip(&world, compartment), &["its state of 2026-11-18"]);
    }
}

#[test]
fn a_pending_update_is_never_plain_green() {
    let mut world = World::current();
    assert!(world.assess().counts_as_green());
    world.pending_pr();
    let shown = world.assess();
    assert_eq!(shown.of(Compartment::Lock).status, Status::Ok);
    assert!(shown.is_current() && !shown.counts_as_green());
}

#[test]
fn a19_offline_hosts_keep_their_values_and_do_not_count() {
    let mut world = World::current();
    let online = world.assess();
    world.presence = Presence::Offline { since: NOW };
    let offline = world.assess();
    assert_eq!(online.compartments, offline.compartments);
    assert!(online.is_current() && online.counts_as_green());
    assert!(!offline.is_current() && !offline.counts_as_green());
    tells(
        &tooltip(&world, Compartment::Agent),
        &["offline since 2026-11-18"],
    );
}

// ---- clicks ----

fn offers(shown: &HostAssessment, compartment: Compartment) -> Vec<Op> {
    shown.click(compartment).offers.to_vec()
}

#[test]
fn clicks_do_what_the_specification_says() {
    use Compartment::{Agent, Git, Lock, System, Tests};

    let gray = World::never_seen().assess();
    assert_eq!(offers(&gray, Agent), [Op::CheckVersion]);
    assert_eq!(offers(&gray, Git), [Op::RefreshGit]);
    assert_eq!(offers(&gray, Lock), [Op::RefreshLock]);
    assert_eq!(offers(&gray, System), [Op::RefreshSystem]);
    assert_eq!(offers(&gray, Tests), []);

    let mut world = World::current();
    for compartment in Compartment::ALL {
        assert_eq!(world.assess().click(compartment), Click::default());
    }
    world.pending_pr();
    assert_eq!(offers(&world.assess(), Lock), [Op::MergePr]);

    world.remote_moves('b');
    let yellow = world.assess();
    assert_eq!(offers(&yellow, Git), [Op::Pull]);
    assert_eq!(offers(&yellow, Lock), [Op::Pull]);
    assert_eq!(yellow.click(System), Click::default(), "information only");
    assert_eq!(offers(&yellow, Tests), [Op::Test]);

    world.working(Op::Pull);
    let click = world.assess().click(Git);
    assert!(click.stop && click.offers.is_empty());
    assert!(!world.assess().click(Lock).stop);

    let mut world = World::current();
    world.observation.agent_version = Some("3.0.0".to_owned());
    world.switch_fails();
    world.test(TestVerdict::Fail);
    let red = world.assess();
    assert_eq!(offers(&red, Agent), [Op::PullSwitch]);
    assert_eq!(offers(&red, Tests), [Op::Test, Op::Rollback]);
    let system = red.click(System);
    assert!(
        system.log && system.offers.is_empty(),
        "information only, with the log"
    );

    world.remote_fails(RemoteCause::TimedOut, "");
    assert_eq!(offers(&world.assess(), Git), []);
    assert_eq!(offers(&world.assess(), Lock), []);
}

#[test]
fn every_manual_step_is_an_order_to_a_person() {
    for step in ManualStep::ALL {
        assert!(step.text().len() > 10, "{step:?}");
        let wire = serde_json::to_value(step).unwrap();
        assert_eq!(serde_json::from_value::<ManualStep>(wire).unwrap(), step);
    }
}

// ---- wire forms ----

#[test]
fn reasons_travel_as_a_code_and_its_parameters() {
    let mut world = World::current();
    world.history(&['c', 'b', 'a']);
    world.remote_moves('c');
    let shown = world.assess();
    let wire = serde_json::to_value(shown.of(Compartment::Git)).unwrap();
    assert_eq!(
        wire,
        json!({
            "compartment": "git", "status": "outdated", "base": "outdated",
            "reason": {"code": "checkout-behind", "host": "a".repeat(40),
                "desired": "c".repeat(40), "commits": 2},
            "base_reason": {"code": "checkout-behind", "host": "a".repeat(40),
                "desired": "c".repeat(40), "commits": 2},
        })
    );
    let wire = serde_json::to_value(shown.of(Compartment::Lock).reason).unwrap();
    assert_eq!(
        wire,
        json!({"code": "lock-behind", "host": lock("a"), "desired": lock("c"), "versions": 2})
    );
    world.remote_fails(RemoteCause::HttpStatus(404), "");
    let wire = serde_json::to_value(world.of(Compartment::System).reason).unwrap();
    assert_eq!(
        wire,
        json!({"code": "system-unverifiable", "cause": {"http-status": 404}})
    );
    world.working(Op::PullSwitch);
    let wire = serde_json::to_value(world.of(Compartment::Git).reason).unwrap();
    assert_eq!(
        wire,
        json!({"code": "working", "op": "pull-switch", "half": null, "awaiting_reconnect": false})
    );
}

#[test]
fn a_trace_names_the_rule_the_facts_and_what_would_make_it_green() {
    let mut world = World::current();
    world.switch_fails();
    let trace = serde_json::to_value(explain(&world.situation())).unwrap();
    let system = &trace["compartments"][3];
    assert_eq!(system["rule"], "system-deploy-failed");
    assert_eq!(
        system["looked_at"],
        json!([
            {"fact": "desired commit", "value": "known"},
            {"fact": "desired lock", "value": "known"},
            {"fact": "last deploy", "value": "failed"},
        ])
    );
    assert_eq!(
        system["first_failing"],
        json!({"rule": "system-deploy-failed",
            "is": {"fact": "last deploy", "value": "failed"},
            "should_be": {"fact": "last deploy", "value": "ok"}})
    );
    let tests = &trace["compartments"][4];
    assert_eq!(
        tests["first_failing"]["is"],
        json!({"fact": "system", "value": "error"})
    );
}
