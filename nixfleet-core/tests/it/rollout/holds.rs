//! Law D1, "a held host gets nothing", for holds on one host and holds by selector.

use std::time::Duration;

use nixfleet_core::fleet::{
    Assumptions, HoldError, MAX_HOLDS, Record, Reply, Request, SelectorHold,
};
use nixfleet_core::host::{Actor, Hold, HostSettings};
use nixfleet_core::rollout::{
    Ask, InFlight, PlanError, Policy, RolloutState, SkipReason, WaitCode,
};
use nixfleet_core::{Attention, Op, RolloutId, Timestamp};
use proptest::prelude::*;

use super::field::{Field, ROLLOUT, host};

const HOSTS: usize = 4;

/// Selectors, and what they mean, written by hand in another way: by index and tags of a host.
type Meaning = fn(usize, bool) -> bool;
const SELECTORS: [(&str, Meaning); 6] = [
    ("*", |_, _| true),
    ("@db", |_, tagged| tagged),
    ("!@db", |_, tagged| !tagged),
    ("host-1,host-2", |index, _| index == 1 || index == 2),
    ("host-*,!host-0", |index, _| index != 0),
    ("location:nowhere", |_, _| false),
];

#[derive(Clone, Copy, Debug)]
enum Step {
    Hold(usize, Option<u64>),
    Release(usize),
    HoldBySelector(usize, Option<u64>),
    ReleaseSelector(usize),
    Tag(usize, bool),
    Rollout,
    Queue(usize, Op),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let lasting = || proptest::option::weighted(0.5, 1..900u64);
    prop_oneof![
        2 => (0..HOSTS, lasting()).prop_map(|(host, until)| Step::Hold(host, until)),
        2 => (0..HOSTS).prop_map(Step::Release),
        3 => (0..SELECTORS.len(), lasting()).prop_map(|(one, until)| Step::HoldBySelector(one, until)),
        2 => (0..4usize).prop_map(Step::ReleaseSelector),
        2 => (0..HOSTS, any::<bool>()).prop_map(|(host, tagged)| Step::Tag(host, tagged)),
        3 => Just(Step::Rollout),
        3 => (0..HOSTS, prop_oneof![Just(Op::Pull), Just(Op::Switch), Just(Op::Restart)])
            .prop_map(|(host, op)| Step::Queue(host, op)),
        1 => Just(Step::Crash),
    ]
}

/// What is held, kept beside the fleet.
#[derive(Default)]
struct Known {
    own: [Option<Option<Timestamp>>; HOSTS],
    selected: Vec<(u64, Meaning, Option<Timestamp>)>,
    tagged: [bool; HOSTS],
}

impl Known {
    fn is_held(&self, index: usize, at: Timestamp) -> bool {
        let lasts = |until: Option<Timestamp>| until.is_none_or(|until| at < until);
        let selected = |(_, meaning, until): &(u64, Meaning, Option<Timestamp>)| {
            lasts(*until) && meaning(index, self.tagged[index])
        };
        self.own[index].is_some_and(lasts) || self.selected.iter().any(selected)
    }
}

struct Story {
    field: Field,
    known: Known,
    target: u64,
    /// How many orders to hosts were looked at.
    looked: usize,
    /// Commands that reached a host that is not held, after it had been.
    released: usize,
    was_held: [bool; HOSTS],
}

impl Story {
    fn new() -> Self {
        Self {
            field: Field::with(HOSTS, None, true),
            known: Known::default(),
            target: 1,
            looked: 0,
            released: 0,
            was_held: [false; HOSTS],
        }
    }

    fn rollout(&mut self) {
        self.target += 1;
        self.field.remote(self.target);
        let mut id = [7; 16];
        id[0] = u8::try_from(self.target).unwrap();
        let ask = Ask {
            hosts: self.field.everybody(),
            policy: Policy {
                soak_seconds: 10,
                ..Policy::default()
            },
            ..Ask::default()
        };
        self.field.start(RolloutId::from_bytes(id), ask);
    }

    fn take(&mut self, step: Step) {
        let now = self.field.now;
        let end = |seconds: Option<u64>| seconds.map(|seconds| now + Duration::from_secs(seconds));
        match step {
            Step::Hold(index, seconds) => {
                let until = end(seconds);
                self.known.own[index] = Some(until);
                let hold = Hold {
                    by: "admin".into(),
                    why: "disk".into(),
                    until,
                };
                let host = host(index);
                assert_eq!(self.field.ask(Request::Hold { host, hold }), Reply::Done);
            }
            Step::Release(index) => {
                self.known.own[index] = None;
                let host = host(index);
                assert_eq!(self.field.ask(Request::Release { host }), Reply::Done);
            }
            Step::HoldBySelector(one, seconds) => {
                let (text, meaning) = SELECTORS[one];
                let until = end(seconds);
                let id = held(&mut self.field, text, until).id();
                self.known.selected.push((id, meaning, until));
            }
            Step::ReleaseSelector(one) => {
                if one < self.known.selected.len() {
                    let (id, _, until) = self.known.selected.remove(one);
                    let over = until.is_some_and(|until| until <= now);
                    let reply = self.field.ask(Request::ReleaseSelector { id });
                    let expected = if over {
                        Reply::UnknownHold(id)
                    } else {
                        Reply::Done
                    };
                    assert_eq!(reply, expected);
                }
            }
            Step::Tag(index, tagged) => {
                self.known.tagged[index] = tagged;
                tag(&mut self.field, index, tagged);
            }
            Step::Rollout => self.rollout(),
            Step::Queue(index, op) => {
                // Without a reason, so a host that is held takes none.
                let held = self.known.is_held(index, now);
                let outcome = self.field.dispatch(op, index, true);
                assert!(!held || outcome.is_err(), "{op:?} on {index}");
            }
            Step::Crash => {
                self.field.crash();
                for index in 0..HOSTS {
                    self.field.start_agent(index);
                }
            }
        }
    }

    /// Lets time pass, and looks at everything that any host was told to do meanwhile.
    fn pass(&mut self, seconds: u64) {
        self.field.run_for(seconds);
        let from = std::mem::replace(&mut self.looked, self.field.frames.len());
        for (at, name, op, ..) in &self.field.frames[from..] {
            let index = (0..HOSTS).find(|index| host(*index) == *name).unwrap();
            assert!(
                !self.known.is_held(index, *at),
                "{name} is held and was told to {op:?} at {at}"
            );
            self.released += usize::from(self.was_held[index]);
        }
        for index in 0..HOSTS {
            let held = self.known.is_held(index, self.field.now);
            self.was_held[index] |= held;
            let view = &self.field.fleet.sync().state().hosts[&host(index)];
            assert_eq!(view.hold.is_some(), held, "what is shown of host {index}");
            let statuses = &self.field.fleet.sync().state().statuses[&host(index)];
            let told = statuses
                .a
                .iter()
                .any(|one| matches!(one, Attention::Held { .. }));
            assert_eq!(told, held, "the attention of host {index}");
        }
        assert_eq!(self.field.replica.state(), self.field.fleet.sync().state());
        assert_eq!(
            self.field.stored.settings.holds,
            self.field.fleet.selector_holds(),
            "stored as it is"
        );
    }

    /// With every hold released, everybody is brought to the newest target.
    fn end(&mut self) {
        for index in 0..HOSTS {
            self.take(Step::Release(index));
        }
        for hold in self.field.fleet.selector_holds().to_vec() {
            let id = hold.id();
            assert_eq!(self.field.ask(Request::ReleaseSelector { id }), Reply::Done);
        }
        self.known.own = Default::default();
        self.known.selected.clear();
        self.pass(7200);
        self.rollout();
        self.pass(7200);
        let last = self
            .field
            .fleet
            .rollouts()
            .max_by_key(|one| one.created)
            .unwrap();
        assert_eq!(
            last.state,
            RolloutState::Complete,
            "positive control: {last:#?}"
        );
        assert_eq!(last.hosts.len(), HOSTS);
    }
}

fn tag(field: &mut Field, index: usize, tagged: bool) {
    let settings = HostSettings {
        tags: tagged.then(|| "db".to_owned()).into_iter().collect(),
        ..HostSettings::default()
    };
    let settings = Box::new(settings);
    let host = host(index);
    assert_eq!(
        field.ask(Request::SetHostSettings { host, settings }),
        Reply::Done
    );
}

fn held(field: &mut Field, selector: &str, until: Option<Timestamp>) -> SelectorHold {
    let reply = field.ask(Request::HoldBySelector {
        selector: selector.parse().unwrap(),
        why: "disks".into(),
        until,
    });
    let Reply::HeldBySelector(hold) = reply else {
        panic!("{reply:?}");
    };
    *hold
}

fn everybody(field: &Field) -> Ask {
    Ask {
        hosts: field.everybody(),
        ..Ask::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn d01_a_held_host_gets_nothing(
        steps in proptest::collection::vec((step(), 1..400u64), 1..24),
    ) {
        let mut story = Story::new();
        for (step, seconds) in steps {
            story.take(step);
            story.pass(seconds);
        }
        story.end();
    }
}

#[test]
fn d01_positive_control_of_the_story_hosts_that_were_held_get_commands_afterwards() {
    let mut story = Story::new();
    for (step, seconds) in [
        (Step::Tag(2, true), 1),
        (Step::HoldBySelector(1, None), 60),
        (Step::Hold(1, Some(300)), 1),
        (Step::Rollout, 1200),
        (Step::Tag(2, false), 1),
        (Step::Rollout, 3600),
    ] {
        story.take(step);
        story.pass(seconds);
    }
    assert!(story.released >= 6, "{}", story.released);
}

#[test]
fn d01_a_hold_by_selector_keeps_hosts_out_of_a_rollout_and_says_by_whom_and_why() {
    let mut field = Field::new(3);
    tag(&mut field, 1, true);
    field.remote(2);
    let end = field.now + Duration::from_secs(3600);
    let ask = everybody(&field);
    let one_by_one = Policy {
        max_in_flight: InFlight::Count(1),
        ..Policy::default()
    };
    field.start(
        ROLLOUT,
        Ask {
            policy: one_by_one,
            ..ask
        },
    );
    let hold = held(&mut field, "@db", Some(end));
    field.run_for(1800);
    assert!(field.frames.iter().all(|(_, own, ..)| *own != host(1)));
    let wait = field.rollout().hosts[&host(1)].wait.clone().unwrap();
    assert_eq!(wait.code, WaitCode::Held);
    assert_eq!(
        wait.subject.as_deref(),
        Some("by selector @db, by admin, disks")
    );
    assert_eq!(wait.until, Some(end));
    let report = field.fleet.report(&host(1)).unwrap();
    assert_eq!(report.facts.held_by_selector, Some(hold.id()));
    assert!(
        report
            .attentions
            .iter()
            .any(|one| one.short() == "held by selector @db, by admin: disks")
    );
    // The end comes by itself, also where nobody asks.
    field.finish(4);
    assert_eq!(field.state(), RolloutState::Complete, "positive control");
    assert!(field.fleet.selector_holds().is_empty());
    let actions: Vec<(&str, &str)> = field
        .audit
        .iter()
        .filter(|row| row.action.ends_with(".selector"))
        .map(|row| (row.action.as_str(), row.actor.name()))
        .collect();
    assert_eq!(
        actions,
        [
            ("hold.selector", "admin"),
            ("release.selector", "end of the hold")
        ]
    );
    field.check();
}

#[test]
fn plans_and_simulations_leave_out_who_is_held_by_selector() {
    let mut field = Field::new(3);
    tag(&mut field, 2, true);
    field.remote(2);
    let actor = Actor::Person("admin".into());
    let ask = everybody(&field);
    let hold = held(&mut field, "@db", None);
    let plan = field.fleet.plan(&ask, &actor).unwrap();
    let skipped = &plan.skipped[0];
    assert_eq!(
        (&skipped.host, skipped.reason),
        (&host(2), SkipReason::Held)
    );
    assert_eq!(
        skipped.subject.as_deref(),
        Some("by selector @db, by admin, disks")
    );
    let told = field
        .fleet
        .simulate(&ask, &Assumptions::default(), &actor, field.now)
        .unwrap();
    assert!(told.complete);
    assert_eq!(told.end.totals.done, 2);
    assert!(
        told.end
            .hosts
            .iter()
            .all(|one| one.host != host(2) || one.skipped.is_some())
    );
    held(&mut field, "*", None);
    let nobody = field.fleet.plan(&ask, &actor);
    assert!(matches!(nobody, Err(PlanError::NoHosts(_))), "{nobody:?}");
    for hold in [hold.id(), hold.id() + 1] {
        field.ask(Request::ReleaseSelector { id: hold });
    }
    let plan = field.fleet.plan(&ask, &actor).unwrap();
    assert!(plan.skipped.is_empty(), "positive control");
}

#[test]
fn a_person_overrides_a_hold_by_selector_once_with_a_reason() {
    let mut field = Field::new(1);
    field.remote(2);
    held(&mut field, "os:*,host-*", None);
    let refused = field.dispatch(Op::Pull, 0, false).unwrap_err();
    assert_eq!(refused.code.code(), "hold-needs-reason");
    assert!(
        refused
            .sentence()
            .contains("by selector os:*,host-*, by admin, disks")
    );
    let mut dispatch = nixfleet_core::fleet::Dispatch::new(
        Op::Pull,
        vec![(host(0), nixfleet_core::CommandId::from_bytes([5; 16]))],
    );
    dispatch.reason = Some("I know".into());
    let Reply::Dispatched(outcomes) = field.ask(Request::Dispatch(dispatch)) else {
        panic!("a row for each host");
    };
    assert!(outcomes[0].outcome.is_ok());
    field.run_for(60);
    assert!(field.dispatch(Op::Switch, 0, false).is_err(), "once");
}

#[test]
fn of_several_holds_the_one_that_lasts_longest_is_shown_and_the_own_one_stays_visible() {
    let mut field = Field::new(1);
    let later = |seconds| Some(field.now + Duration::from_secs(seconds));
    let (soon, late) = (later(100), later(200));
    let own = Hold {
        by: "ann".into(),
        why: "mine".into(),
        until: soon,
    };
    let view = |field: &Field| field.fleet.sync().state().hosts[&host(0)].clone();
    field.ask(Request::Hold {
        host: host(0),
        hold: own.clone(),
    });
    assert_eq!(
        (view(&field).hold, view(&field).own_hold),
        (Some(own.clone()), None)
    );
    let id = held(&mut field, "*", late).id();
    let shown = view(&field);
    assert_eq!(shown.held_by_selector, Some(id));
    assert_eq!(shown.hold.unwrap().until, late);
    assert_eq!(shown.own_hold, Some(own));
    field.run_for(150);
    assert_eq!(view(&field).own_hold, None, "it has ended");
    field.run_for(100);
    assert_eq!(view(&field).hold, None);
}

#[test]
fn bad_holds_change_nothing_and_numbers_are_never_used_again() {
    let mut field = Field::new(1);
    let place = |until| Request::HoldBySelector {
        selector: "*".parse().unwrap(),
        why: "x".into(),
        until,
    };
    let over = place(Some(field.now));
    let before = field.fleet.version();
    assert_eq!(field.ask(over), Reply::BadHold(HoldError::Over));
    assert_eq!(
        field.ask(Request::ReleaseSelector { id: 1 }),
        Reply::UnknownHold(1)
    );
    assert_eq!(field.fleet.version(), before);
    let ids: Vec<u64> = (0..MAX_HOLDS)
        .map(|_| held(&mut field, "*", None).id())
        .collect();
    assert_eq!(field.ask(place(None)), Reply::BadHold(HoldError::TooMany));
    let last = *ids.last().unwrap();
    assert_eq!(
        field.ask(Request::ReleaseSelector { id: last }),
        Reply::Done
    );
    field.crash();
    assert_eq!(held(&mut field, "*", None).id(), last + 1);
}

#[test]
fn settings_of_before_are_read_and_a_hold_is_a_record_of_the_same_transaction() {
    let old = r#"{"windows":[],"zones":{},"quarantine":[]}"#;
    let old: nixfleet_core::fleet::FleetSettings = serde_json::from_str(old).unwrap();
    assert!(old.holds.is_empty() && old.last_hold == 0);
    let mut field = Field::new(1);
    let request = Request::HoldBySelector {
        selector: "*".parse().unwrap(),
        why: "x".into(),
        until: None,
    };
    let effects = field.fleet.handle(
        nixfleet_core::fleet::Input::Request {
            id: nixfleet_core::fleet::RequestId(1),
            actor: Actor::Person("admin".into()),
            request,
        },
        field.now,
    );
    let mut records = Vec::new();
    for effect in &effects {
        if let nixfleet_core::fleet::Effect::Persist(record) = effect {
            records.push(&**record);
        }
    }
    assert!(
        records
            .iter()
            .any(|one| matches!(one, Record::Settings(own) if own.holds.len() == 1))
    );
    let audited = |one: &&Record| match one {
        Record::Audit(row) => row.action == "hold.selector" && row.reason.as_deref() == Some("x"),
        Record::Host(_)
        | Record::HostRemoved(_)
        | Record::Command(_)
        | Record::Remote(_)
        | Record::Event(_)
        | Record::Version(_)
        | Record::Rollout(_)
        | Record::Settings(_)
        | Record::Update(_) => false,
    };
    assert!(records.iter().any(audited));
}
