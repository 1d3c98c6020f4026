//! Vectors of lifecycles: how a command begins, what happens to it and when, and after each step
//! where it is, what it waits for and what is to be done.

use std::collections::{BTreeMap, BTreeSet};

use nixfleet_core::Timestamp;
use nixfleet_core::lifecycle::{IGNORED, Phase, TABLE};
use nixfleet_core::wire::command::{CommandEvent, CommandFacts, CommandReport, TrackedCommand};
use serde_json::{Map, Value, json};

use super::rules::Watch;
use super::worlds::{self, Happening, Place};
use super::{Vectors, missing};
use crate::goldens::updating;
use crate::lifecycle::play::Word;
use crate::reference::lifecycle::Story;
use crate::simulation::rng::Rng;

/// Agents with command ids; existing agents and the server's own operations.
const FILES: [(&str, usize); 2] = [("lifecycles", 560), ("lifecycles-existing", 340)];
/// The server's machinery stands still from here until `server-restart`.
const DOWN: &str = "down";
/// Time passes, and nothing else.
const TICK: &str = "tick";
/// Longer than anything takes.
const SILENCE: i64 = 60 * 60 * 60;

fn places(file: &str) -> Vec<Place> {
    if file == FILES[0].0 {
        worlds::with_ids()
    } else {
        worlds::without_ids()
    }
}

// ---- the production code ----

/// A command, driven as every caller drives it.
struct Driver {
    command: TrackedCommand,
    down: bool,
}

impl Driver {
    fn new(start: &Value) -> Result<Self, String> {
        let facts: CommandFacts =
            serde_json::from_value(start.clone()).map_err(|error| error.to_string())?;
        let command = TrackedCommand::queue(facts, Timestamp::EPOCH);
        Ok(Self {
            command: command.map_err(|error| error.to_string())?,
            down: false,
        })
    }

    /// Deadlines fire at their moments; then the event; then what it made due at once.
    fn step(&mut self, at: i64, event: Option<&Value>, down: bool) -> Result<Value, String> {
        let now = Timestamp::from_millis(at);
        let mut done = Vec::new();
        if !self.down {
            self.pass(now, &mut done);
        }
        self.down = down;
        if let Some(event) = event {
            let event: CommandEvent =
                serde_json::from_value(event.clone()).map_err(|error| error.to_string())?;
            let report = self.command.handle(event, now);
            done.push(report.map_err(|error| error.to_string())?);
        }
        if !down {
            self.pass(now, &mut done);
        }
        // A call at any other time does nothing: it only tells where the command is.
        let mut last = self.command.clone().handle_timeout(Timestamp::EPOCH);
        last.effects = done.iter().flat_map(|one| one.effects.clone()).collect();
        last.rows = done.iter().flat_map(|one| one.rows.clone()).collect();
        Ok(serde_json::to_value(last).unwrap())
    }

    fn pass(&mut self, now: Timestamp, done: &mut Vec<CommandReport>) {
        while let Some(due) = self.command.poll_timeout().filter(|due| due.at <= now) {
            done.push(self.command.handle_timeout(due.at));
        }
    }
}

fn steps(case: &Value) -> Vec<(i64, &str)> {
    let steps = case["steps"].as_array().unwrap().iter();
    steps
        .map(|one| (one[0].as_i64().unwrap(), one[1].as_str().unwrap()))
        .collect()
}

/// Everything the production code says about a case.
fn answer(file: &Vectors, case: &Value) -> Result<Vec<Value>, String> {
    let world = &file.shared["worlds"][case["world"].as_str().unwrap()];
    let mut driver = Driver::new(&world["start"])?;
    let mut told = Vec::new();
    for (at, name) in steps(case) {
        let event = (name != TICK && name != DOWN).then(|| &world["events"][name]);
        told.push(driver.step(at, event, name == DOWN)?);
    }
    Ok(told)
}

fn judge(file: &Vectors, case: &Value, places: &BTreeMap<String, Place>) -> Result<(), String> {
    let told = Value::Array(answer(file, case)?);
    // Both ways: a field that is not expected must not be there either.
    let expected = &case["expected"];
    if let Some(wrong) = missing(expected, &told, "expected") {
        return Err(wrong);
    }
    if let Some(wrong) = missing(&told, expected, "found") {
        return Err(wrong);
    }
    by_reference(case, &places[case["world"].as_str().unwrap()])
}

// ---- the reference ----

/// The same by the prose, which has no table and looks at the clock every second.
fn by_reference(case: &Value, place: &Place) -> Result<(), String> {
    let words: BTreeMap<&str, Vec<Word>> = place
        .happenings()
        .into_iter()
        .map(|(name, _, words)| (name, words))
        .collect();
    let mut story = Story::queued(place.op, !place.existing, place.automation);
    story.agent = place.agent;
    let mut watch = Watch::new(place);
    let (mut second, mut down) = (0, false);
    for ((at, name), expected) in steps(case)
        .into_iter()
        .zip(case["expected"].as_array().unwrap())
    {
        assert_eq!(at % 1000, 0, "the prose knows whole seconds only");
        let end = at / 1000;
        if !down {
            (second + 1..=end).for_each(|t| story.second(t));
        }
        (second, down) = (end, name == DOWN);
        let mut before = story.phase;
        for word in words.get(name).into_iter().flatten() {
            if !matches!(word, Word::Foreign(_)) {
                watch.hears(word, before);
                story.word(word, second);
            }
            before = story.phase;
        }
        if !down {
            story.second(second);
        }
        let phase = serde_json::to_value(story.phase).unwrap();
        if phase != expected["phase"] {
            return Err(format!(
                "at {at} {name}: the prose says {phase}, not {}",
                expected["phase"]
            ));
        }
        if !down {
            deadline(&story, second, &expected["deadline"])?;
        }
        watch.sees(expected, &story)?;
    }
    if story.phase.is_terminal() {
        watch.end(&story)
    } else {
        Err("it does not end".to_owned())
    }
}

/// Nothing changes before the deadline; and at it something does, unless it is one of several
/// looks at a lease.
fn deadline(story: &Story, now: i64, deadline: &Value) -> Result<(), String> {
    let Some(at) = deadline["at"].as_i64() else {
        return if story.phase.is_terminal() {
            Ok(())
        } else {
            Err("a live command needs a deadline".to_owned())
        };
    };
    let mut later = story.clone();
    let early = (now + 1..at / 1000).find(|t| {
        later.second(*t);
        later.phase != story.phase
    });
    if let Some(t) = early {
        return Err(format!(
            "the prose says {:?} at {t} s, before the deadline {at}",
            later.phase
        ));
    }
    later.second(at / 1000);
    let looks_only = deadline["reason"] == "acknowledgement";
    if later.phase == story.phase && !looks_only {
        return Err(format!(
            "the prose sees nothing due at the deadline {deadline}"
        ));
    }
    Ok(())
}

// ---- making ----

/// The rows of a story, with their neighbours: what makes it worth keeping.
fn signature(world: &str, told: &[Value]) -> BTreeSet<String> {
    let rows = told
        .iter()
        .flat_map(|one| one["rows"].as_array().into_iter().flatten());
    let rows: Vec<&str> = rows.filter_map(Value::as_str).collect();
    let pairs = rows
        .windows(2)
        .map(|pair| format!("{} then {}", pair[0], pair[1]));
    let ending = &told.last().unwrap()["ending"];
    let effects = told
        .iter()
        .flat_map(|one| one["effects"].as_array().into_iter().flatten());
    let here = rows.iter().map(|row| format!("{world}: {row}"));
    pairs
        .chain(here)
        .chain([format!("{world}: {ending}")])
        .chain(
            effects
                .map(|effect| format!("{world}: {} {}", effect["do"], effect["with"]["outcome"])),
        )
        .collect()
}

/// Stories told on purpose: about, where, and what happens in which second.
type Told = (&'static str, &'static str, &'static [(i64, &'static str)]);

#[rustfmt::skip]
const TOLD: &[Told] = &[
    ("a pull that works", "pull", &[(1, "accepted"), (3, "progress-pull"), (20, "exit-0-right")]),
    ("a switch that takes its agent down and works", "switch", &[(1, "accepted"), (200, "disconnect"), (230, "hello-holding-0"), (235, "beat-right")]),
    ("a blip in the middle of a switch", "switch", &[(1, "accepted"), (60, "disconnect"), (70, "hello-running"), (300, "exit-0-right")]),
    ("a switch that fails", "switch", &[(1, "accepted"), (90, "exit-1")]),
    ("a switch with units that failed", "switch", &[(1, "accepted"), (90, "exit-4-right")]),
    ("exit 0 with something else running", "switch", &[(1, "accepted"), (90, "exit-0-wrong")]),
    ("never acknowledged", "switch", &[]),
    ("no byte left", "pull", &[(0, "send-fail")]),
    ("a person stops waiting while it may still start", "switch", &[(5, "disconnect"), (10, "ignore")]),
    ("a slow test run whose agent was away", "test", &[(1, "accepted"), (310, "disconnect"), (320, "hello-running"), (400, "exit-0-right")]),
    ("stopped by a person", "test", &[(1, "accepted"), (30, "term"), (32, "stopped")]),
    ("a deploy that nobody decides about", "switch", &[(1, "accepted")]),
    ("a restart", "restart", &[(1, "accepted"), (2, "disconnect"), (8, "hello-new")]),
    ("a reboot", "reboot", &[(1, "accepted"), (5, "disconnect"), (90, "hello-rebooted")]),
    ("a rollback", "rollback", &[(1, "accepted"), (40, "exit-0-right")]),
    ("a late result", "switch", &[(75, "exit-0-right")]),
    ("a server that was down for ten minutes", "switch", &[(1, "accepted"), (100, DOWN), (700, "server-restart"), (705, "hello-running"), (800, "exit-0-right")]),
    ("an existing agent switches", "switch, existing agent", &[(120, "exit-0"), (125, "hello"), (126, "beat-right")]),
    ("an existing agent only came back", "switch, existing agent", &[(60, "disconnect"), (90, "hello")]),
    ("the server does it itself", "merge-pr", &[(2, "performed")]),
];

fn told(file: &Vectors) -> Vec<Value> {
    let here = TOLD
        .iter()
        .filter(|(_, world, _)| !file.shared["worlds"][world].is_null());
    let mut cases: Vec<Value> = here
        .map(|(about, world, happens)| {
            let last = happens.last().map_or(0, |(at, _)| *at);
            let mut steps = vec![json!([0, "start"]), json!([0, "validate"])];
            steps.extend(happens.iter().map(|(at, name)| json!([at * 1000, name])));
            steps.push(json!([(last + SILENCE) * 1000, TICK]));
            json!({"id": about, "world": world, "steps": steps})
        })
        .collect();
    if let Some(first) = cases.first() {
        let steps = json!([[0, "start"], [0, "validate-fail"]]);
        let world = &first["world"];
        cases.push(json!({"id": "refused", "world": world, "steps": steps}));
    }
    cases
}

/// A random story: what happens, and when.
fn story(rng: &mut Rng, names: &[&'static str]) -> Vec<Value> {
    let mut steps = Vec::new();
    let (mut now, mut restarted, mut sent) = (0_i64, -120, false);
    let mut spoiled = false;
    if rng.one_in(6) {
        now += 5 * i64::try_from(rng.below(3)).unwrap();
    } else {
        steps.extend([json!([0, "start"]), json!([0, "validate"])]);
        sent = true;
    }
    let seconds = [
        0, 0, 1, 2, 5, 6, 12, 40, 60, 75, 130, 300, 610, 1_900, 4_000, 90_000,
    ];
    for _ in 0..2 + rng.below(9) {
        let longest = if rng.one_in(3) { 16 } else { 12 };
        now += *rng.pick(&seconds[..longest]);
        let name = *rng.pick(names);
        match name {
            "server-restart" => {
                let back = (now + *rng.pick(&seconds[..14])).max(restarted + 120);
                steps.push(json!([now * 1000, DOWN]));
                (now, restarted) = (back, back);
            }
            // What is told before the preconditions are checked would be among them.
            name if !sent && (name.starts_with("exit") || name.starts_with("beat")) => continue,
            name if !sent && (name.starts_with("hello") || name == "disconnect") => spoiled = true,
            "stopped" | "interrupted" if !sent => continue,
            "validate" if spoiled => continue,
            "validate" => sent = true,
            _ => {}
        }
        steps.push(json!([now * 1000, name]));
    }
    steps.push(json!([(now + SILENCE) * 1000, TICK]));
    steps
}

fn generated(file: &str, count: usize) -> (Map<String, Value>, Vec<Value>) {
    let places = places(file);
    let events: Vec<Vec<Happening>> = places.iter().map(Place::happenings).collect();
    let mut worlds = Map::new();
    for (place, events) in places.iter().zip(&events) {
        let named = events
            .iter()
            .map(|(name, event, _)| ((*name).to_owned(), event.clone()));
        let world = json!({"start": place.start(), "events": Map::from_iter(named)});
        assert!(
            worlds.insert(place.name.clone(), world).is_none(),
            "{} twice",
            place.name
        );
    }
    let shared = Map::from_iter([("worlds".to_owned(), Value::Object(worlds))]);
    let mut vectors = Vectors {
        name: "new",
        shared,
        cases: Vec::new(),
    };
    for mut case in told(&vectors) {
        case["expected"] = Value::Array(answer(&vectors, &case).unwrap());
        vectors.cases.push(case);
    }
    let mut rng = Rng::new(0x6c69_6665);
    let (mut known, mut tries) = (BTreeSet::new(), 0_u32);
    while vectors.cases.len() < count {
        tries += 1;
        assert!(
            tries < 200_000,
            "only {} cases are worth keeping",
            vectors.cases.len()
        );
        let which = usize::try_from(rng.below(places.len() as u64)).unwrap();
        let names: Vec<&str> = events[which].iter().map(|(name, ..)| *name).collect();
        let mut case = json!({
            "id": format!("{}{:04}", &file[..1], vectors.cases.len()),
            "world": places[which].name,
            "steps": story(&mut rng, &names),
        });
        let told = answer(&vectors, &case).unwrap();
        let new = signature(&places[which].name, &told);
        if !new.is_subset(&known) {
            known.extend(new);
            case["expected"] = Value::Array(told);
            vectors.cases.push(case);
        }
    }
    println!("vectors: {count} of {tries} random stories were worth keeping");
    (vectors.shared, vectors.cases)
}

// ---- tests ----

/// Rows that no caller of these functions can reach, and why.
#[rustfmt::skip]
const OUT_OF_REACH: &[(&str, &str)] = &[
    ("ignore-before-start", "a command is overdue only once its clock runs, and that begins when the agent has it"),
    ("lease-still-runs", "while the agent is away, only the end of the lease is armed"),
    ("exit-without-record", "only a restart or reboot is verified without an exit, and its registration is judged at once"),
    ("facts-before-exit", "facts are judged only while they are waited for"),
    ("warning-out-of-place", "each phase arms its own deadline"),
    ("hard-out-of-place", "each phase arms its own deadline"),
    ("ack-out-of-place", "each phase arms its own deadline"),
    ("kill-out-of-place", "each phase arms its own deadline"),
    ("reconnect-out-of-place", "each phase arms its own deadline"),
    ("abandon-out-of-place", "each phase arms its own deadline"),
];

fn named_places(file: &str) -> BTreeMap<String, Place> {
    places(file)
        .into_iter()
        .map(|place| (place.name.clone(), place))
        .collect()
}

#[test]
fn lifecycles_are_what_the_vectors_say() {
    let (mut used, mut phases, mut count) = (BTreeSet::new(), BTreeSet::new(), 0);
    for (name, cases) in FILES {
        if updating() {
            let (shared, cases) = generated(name, cases);
            Vectors::write(name, "lifecycles", &shared, &cases);
        }
        let (file, places) = (Vectors::read(name), named_places(name));
        count += file.verify(|file, case| judge(file, case, &places));
        for told in file
            .cases
            .iter()
            .flat_map(|case| case["expected"].as_array().unwrap())
        {
            phases.insert(told["phase"].as_str().unwrap().to_owned());
            let rows = told["rows"].as_array().into_iter().flatten();
            used.extend(rows.map(|row| row.as_str().unwrap().to_owned()));
        }
    }
    assert!(count >= 800);
    let all = TABLE.iter().chain(IGNORED);
    let excused = |id: &str| OUT_OF_REACH.iter().any(|(one, _)| *one == id);
    let absent: Vec<&str> = all
        .map(|row| row.id)
        .filter(|id| !used.contains(*id) && !excused(id))
        .collect();
    println!(
        "vectors: {} rows of the lifecycle, {} phases",
        used.len(),
        phases.len()
    );
    assert!(absent.is_empty(), "no vector uses {absent:?}");
    for (row, why) in OUT_OF_REACH {
        assert!(!used.contains(*row), "{row} is reached now, although {why}");
    }
    assert_eq!(phases.len(), Phase::ALL.len());
}

#[test]
fn an_altered_lifecycle_is_noticed_by_the_code_and_by_the_prose() {
    let (name, _) = FILES[0];
    let (file, places) = (Vectors::read(name), named_places(name));
    let mut noticed = 0;
    for case in file.cases.iter().step_by(20) {
        let place = &places[case["world"].as_str().unwrap()];
        let last = case["expected"].as_array().unwrap().len() - 1;
        let mut phase = case.clone();
        let told = &mut phase["expected"][last]["phase"];
        *told = json!(if *told == "ERROR" { "SUCCESS" } else { "ERROR" });
        let mut finished = case.clone();
        for step in finished["expected"].as_array_mut().unwrap() {
            if let Some(effects) = step["effects"].as_array_mut() {
                effects.retain(|effect| effect["do"] != "finished");
            }
        }
        for altered in [phase, finished] {
            assert!(judge(&file, &altered, &places).is_err());
            assert!(by_reference(&altered, place).is_err(), "{altered}");
            noticed += 1;
        }
        let mut late = case.clone();
        let steps = late["expected"].as_array_mut().unwrap();
        if let Some(step) = steps
            .iter_mut()
            .find(|step| step["deadline"]["reason"] == "hard")
        {
            step["deadline"]["at"] = json!(step["deadline"]["at"].as_i64().unwrap() + 1000);
            assert!(by_reference(&late, place).unwrap_err().contains("deadline"));
            noticed += 1;
        }
    }
    println!("vectors: {noticed} altered lifecycles noticed");
    assert!(noticed >= 40);
}
