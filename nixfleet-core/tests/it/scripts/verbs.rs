//! The verbs of a script: host, desired, heartbeat, click, exit, tick, drop, restart, show.

use std::time::Duration;

use nixfleet_core::agent::{AgentInput, JobExit, TestOutcome};
use nixfleet_core::fleet::{Decision, Dispatch, Request};
use nixfleet_core::host::{Actor, Hold, LockReport};
use nixfleet_core::lifecycle::Signal;
use nixfleet_core::report::ProgressStage;
use nixfleet_core::{ClaimedRevision, HostId, Op};

use super::machine::{Machine, commit, lock};
use super::stage::Stage;
use super::{existing, remote, tell};

/// Carries out one line of a script.
pub fn act(stage: &mut Stage, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["host", name, options @ ..] => host(stage, name, options),
        ["desired", rest @ ..] => remote::desired(stage, rest),
        ["heartbeat", name, changes @ ..] => heartbeat(stage, name, changes),
        ["click", name, rest @ ..] => click(stage, name, rest),
        ["exit", name, how, options @ ..] => exit(stage, name, how, options),
        ["tick", span] => stage.pass(duration(span)),
        ["drop", name, rest @ ..] => drop_line(stage, name, rest),
        ["restart", "server", rest @ ..] => restart_server(stage, rest),
        ["restart", name, rest @ ..] => restart(stage, name, rest),
        ["show", name] => show(stage, name),
        _ => panic!("not a line of a script: {line}"),
    }
}

fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let number: u64 = number.parse().unwrap();
    Duration::from_secs(match unit {
        "s" => number,
        "m" => number * 60,
        "h" => number * 3600,
        _ => panic!("a span is 5s, 5m or 5h, not {text}"),
    })
}

pub(super) fn letter(text: &str) -> char {
    assert!(text.len() == 1, "a revision is one hex digit, not {text}");
    text.chars().next().unwrap()
}

/// `a` is a commit, `a-dirty` local changes on top of it, a longer word something else.
fn claim(word: &str) -> ClaimedRevision {
    match word.strip_suffix("-dirty") {
        Some(base) => format!("{}-dirty", commit(letter(base))).parse().unwrap(),
        None if word.len() == 1 => commit(letter(word)).into(),
        None => word.parse().unwrap(),
    }
}

fn host(stage: &mut Stage, name: &str, options: &[&str]) {
    if options.contains(&"added") {
        let host = name.parse().unwrap();
        // Known to the page only.
        stage
            .machines
            .insert(name.to_owned(), Machine::new(name, true, 'a'));
        return stage.ask(person(), Request::AddHost { host });
    }
    let current = stage
        .reading
        .as_ref()
        .and_then(|reading| reading.as_ref().ok());
    let current = current.and_then(|snapshot| snapshot.commit.as_ref().ok());
    let checkout = current.and_then(|commit| commit.to_string().chars().next());
    let is_existing = options.contains(&"existing");
    let mut machine = Machine::new(name, is_existing, checkout.unwrap_or('a'));
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "existing" => {}
            "no-lock" => machine.repo.as_mut().unwrap().lock = LockReport::NotReported,
            "claims" => machine.claims = true,
            "names" => {
                machine.names = true;
                machine.path = Some("/srv/app".parse().unwrap());
            }
            "version" => machine.version = (*options.next().unwrap()).to_owned(),
            "binary" => {
                let binary = *options.next().unwrap();
                machine.binary.store_path = Some(format!("/nix/store/{binary}"));
                machine.binary.source_commit = Some("1111111".to_owned());
            }
            "units" => machine.units = Some(Vec::new()),
            other => panic!("not an option of a host: {other}"),
        }
    }
    stage.machines.insert(name.to_owned(), machine);
    stage.start_agent(name);
}

/// Changes what the host sees, then lets its agent report.
fn heartbeat(stage: &mut Stage, name: &str, changes: &[&str]) {
    let machine = stage.machines.get_mut(name).unwrap();
    let mut words = changes.iter();
    while let Some(word) = words.next() {
        let mut next = || *words.next().unwrap();
        match *word {
            "dirty" => machine.repo.as_mut().unwrap().dirty = true,
            "clean" => machine.repo.as_mut().unwrap().dirty = false,
            "commit" => machine.repo.as_mut().unwrap().commit = commit(letter(next())).into(),
            "lock" => {
                machine.repo.as_mut().unwrap().lock = match next() {
                    "missing" => LockReport::Missing,
                    "unreported" => LockReport::NotReported,
                    one => LockReport::Hash(lock(letter(one))),
                }
            }
            "no-repo" => {
                machine.repo = None;
                machine.repo_error = Some("not a git repository".to_owned());
            }
            "path" => {
                machine.path = match next() {
                    "none" => None,
                    path => Some(format!("/nix/store/{path}").parse().unwrap()),
                }
            }
            "claim" => machine.claim = Some(claim(next())),
            "units" => machine.units = Some(next().split(',').map(str::to_owned).collect()),
            "binary" => machine.binary.store_path = Some(format!("/nix/store/{}", next())),
            "source" => machine.binary.source_commit = Some(next().to_owned()),
            "wants-reboot" => machine.reboot_required = true,
            "stays-up" => machine.stays_up = true,
            other => panic!("not a change of a host: {other}"),
        }
    }
    if machine.is_existing() {
        existing::heartbeat(stage, name);
    } else {
        let seen = machine.observe();
        stage.agent(name, AgentInput::Observed(seen));
    }
}

fn person() -> Actor {
    Actor::Person("ada".to_owned())
}

fn click(stage: &mut Stage, name: &str, words: &[&str]) {
    let host: HostId = name.parse().unwrap();
    let last = stage.last;
    let decide = |decision| Request::Decide {
        command: last.unwrap(),
        decision,
    };
    let stop = |signal| Request::Stop {
        host: host.clone(),
        command: None,
        signal,
    };
    let request = match words {
        ["stop"] => stop(Signal::Term),
        ["kill"] => stop(Signal::Kill),
        ["extend", span] => decide(Decision::Extend(duration(span))),
        ["ignore"] => decide(Decision::Ignore),
        ["cancel"] => decide(Decision::Cancel),
        ["hold"] => Request::Hold {
            host: host.clone(),
            hold: Hold {
                by: "ada".to_owned(),
                why: "hands off".to_owned(),
                until: None,
            },
        },
        ["release"] => Request::Release { host: host.clone() },
        ["tests", switch] => Request::SetTests {
            host: host.clone(),
            enabled: *switch == "on",
        },
        [op, options @ ..] => return run(stage, host, op, options),
        [] => panic!("click what?"),
    };
    stage.ask(person(), request);
}

fn run(stage: &mut Stage, host: HostId, op: &str, options: &[&str]) {
    let op = Op::named(op).unwrap_or_else(|| panic!("no operation is called {op}"));
    let id = stage.fresh_id();
    stage.last = Some(id);
    let mut dispatch = Dispatch::new(op, vec![(host, id)]);
    let mut actor = person();
    let mut words = options.iter();
    while let Some(word) = words.next() {
        match *word {
            "force" => dispatch.force = true,
            "queue" => dispatch.queue = true,
            "confirmed" => dispatch.confirmed = true,
            "override" => dispatch.override_busy = true,
            "automation" => actor = Actor::Automation("rollout".to_owned()),
            "because" => dispatch.reason = Some((*words.next().unwrap()).to_owned()),
            "generation" => {
                dispatch.args.generation = Some(words.next().unwrap().parse().unwrap());
            }
            other => panic!("not an option of a click: {other}"),
        }
    }
    stage.ask(actor, Request::Dispatch(dispatch));
}

/// The running command ends, or gets on.
fn exit(stage: &mut Stage, name: &str, how: &str, options: &[&str]) {
    if how == "progress" {
        return progress(stage, name, options);
    }
    let machine = stage.machines.get_mut(name).unwrap();
    if how == "never" {
        if let Some(job) = machine.job.as_mut() {
            job.stubborn = true;
        }
        return;
    }
    let code: i32 = how.parse().unwrap();
    let without_effect = options.contains(&"without-effect");
    let works = (code == 0 || code == 4) && !without_effect;
    if machine.is_existing() {
        return existing::exit(stage, name, code, works, options.contains(&"stays"));
    }
    let Some(mut job) = machine.job.take() else {
        return stage.say("nothing runs");
    };
    if works {
        machine.perform(job.op, job.target, job.generation);
    }
    let mut tests = Vec::new();
    let outcome = |name: &str, passed| TestOutcome {
        name: name.to_owned(),
        passed: Some(passed),
    };
    let mut words = options.iter();
    while let Some(word) = words.next() {
        match *word {
            "without-effect" => {}
            "elsewhere" => machine.path = Some("/nix/store/elsewhere".parse().unwrap()),
            "changing" => machine.repo.as_mut().unwrap().dirty = true,
            "units" => {
                let units = words.next().unwrap().split(',').map(str::to_owned);
                machine.units = Some(units.collect());
            }
            "passed" => tests.push(outcome(words.next().unwrap(), true)),
            "failed" => tests.push(outcome(words.next().unwrap(), false)),
            "unreported" => machine.path = None,
            "moved" => {
                let other = format!("/nix/store/{}", words.next().unwrap());
                machine.path = Some(other.parse().unwrap());
            }
            other => panic!("not a way to end: {other}"),
        }
    }
    let report = machine.report(&job, JobExit::Code(code), tests);
    let command = job.id;
    let up = matches!(&machine.agent, super::machine::Agent::Ours(Some(_)));
    if up {
        let report = Box::new(report);
        stage.agent(name, AgentInput::JobFinished { command, report });
    } else {
        job.ended = Some(report);
        machine.job = Some(job);
    }
}

fn progress(stage: &mut Stage, name: &str, options: &[&str]) {
    let machine = stage.machines.get(name).unwrap();
    if machine.is_existing() {
        return existing::output(stage, name);
    }
    let Some(command) = machine.job.as_ref().map(|job| job.id) else {
        return stage.say("nothing runs");
    };
    let progress_of = match options {
        ["pull"] => ProgressStage::Pull,
        ["system"] => ProgressStage::System,
        _ => ProgressStage::Tests,
    };
    let input = AgentInput::Progress {
        command,
        stage: progress_of,
        current: 1,
        total: 2,
    };
    stage.agent(name, input);
}

fn drop_line(stage: &mut Stage, name: &str, words: &[&str]) {
    let line = &mut stage.machines.get_mut(name).unwrap().line;
    match words {
        [] => {}
        ["away"] => line.away = true,
        ["frames-to-agent"] => {
            line.down_lost = true;
            return;
        }
        ["frames-of-agent"] => {
            line.up_lost = true;
            return;
        }
        ["unsent"] => {
            line.fails = Some(true);
            return;
        }
        ["half-sent"] => {
            line.fails = Some(false);
            return;
        }
        ["nothing"] => {
            *line = super::machine::Line::default();
            return;
        }
        _ => panic!("drop what? {words:?}"),
    }
    let comes_back = words.is_empty();
    stage.cut(name);
    if comes_back {
        existing::come_back(stage, name);
    }
}

fn restart_server(stage: &mut Stage, words: &[&str]) {
    stage.stop_server();
    if let [span] = words {
        stage.pass(duration(span));
    }
    stage.start_server();
    let names: Vec<String> = stage.machines.keys().cloned().collect();
    for name in names {
        if stage.machines[&name].is_existing() {
            existing::come_back(stage, &name);
        }
    }
}

fn restart(stage: &mut Stage, name: &str, words: &[&str]) {
    stage.stop_agent(name);
    let machine = stage.machines.get_mut(name).unwrap();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "machine" => {
                machine.boots += 1;
                machine.job = None;
                machine.reboot_required = false;
            }
            "version" => machine.version = (*words.next().unwrap()).to_owned(),
            "later" => return,
            "forgetful" => machine.journal = nixfleet_core::agent::Journal::default(),
            "without-job" => machine.job = None,
            "source" => machine.binary.source_commit = Some((*words.next().unwrap()).to_owned()),
            "clone" => machine.machine_id = "another-machine".to_owned(),
            other => panic!("not a way to restart: {other}"),
        }
    }
    machine.line.away = false;
    stage.start_agent(name);
}

fn show(stage: &mut Stage, name: &str) {
    let host: HostId = name.parse().unwrap();
    let lines = match stage.fleet.as_ref() {
        Some(fleet) => tell::host(fleet, &host, |id| stage.number(id)),
        None => vec!["the server is down".to_owned()],
    };
    for line in lines {
        stage.say(line);
    }
}
