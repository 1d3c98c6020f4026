//! The same questions to three languages: the core itself, a program in C, a program in Python.
//!
//! The programs read questions from their input and answer on their output. A question is a line
//! with a letter and the lengths of its arguments, then the arguments; an answer is a line with a
//! status and a length, then the text. For a failure the text is code, place and sentence, each
//! followed by a NUL.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use nixfleet_core::admission::Request;
use nixfleet_core::compartment::Facts;
use nixfleet_core::wire::WireError;
use nixfleet_core::wire::admission::{ConditionFacts, OwnedConditions, RequestFacts};
use nixfleet_core::wire::command::{CommandEvent, CommandFacts, TrackedCommand};
use nixfleet_core::wire::lock::{LockErrorReport, compare, read};
use nixfleet_core::wire::rollout::{RolloutError, RolloutFacts};
use nixfleet_core::wire::situation::{OwnedSituation, SituationFacts};
use nixfleet_core::{LockHasher, Timestamp, lock_hash};
use serde::Serialize;

/// Code and place of a failure.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed {
    pub code: String,
    pub place: String,
    pub text: String,
}

pub type Answer = Result<Vec<u8>, Failed>;

/// Something that answers.
pub trait Surface {
    fn name(&self) -> &'static str;
    /// The letters are those of the programs: `h` hash, `i` hash in pieces, `r` read a lock, `d`
    /// compare locks, `a` assess, `m` assess many, `e` explain, `f` statuses from facts, `x` admit,
    /// `o` plan a rollout, `s` simulate it, `n` new command, `v` event, `t` timeout, `p` poll the timeout, `z` free the command.
    fn ask(&mut self, letter: char, arguments: &[&[u8]]) -> Answer;
}

// ---- the core ----

/// The core, without any boundary.
#[derive(Default)]
pub struct Rust {
    command: Option<TrackedCommand>,
}

fn json(value: &impl Serialize) -> Answer {
    Ok(serde_json::to_vec(value).unwrap())
}

fn failed(code: &str, place: &str, text: impl ToString) -> Failed {
    Failed {
        code: code.to_owned(),
        place: place.to_owned(),
        text: text.to_string(),
    }
}

fn wire(error: WireError) -> Failed {
    match &error {
        WireError::Json(_) => failed("malformed", "", &error),
        WireError::Type { field, .. } => failed("malformed", field, &error),
        WireError::Field { field, .. } => failed("field", field, &error),
    }
}

fn rollout(error: RolloutError) -> Failed {
    match error {
        RolloutError::Wire(error) => wire(error),
        RolloutError::Field { ref field, .. } => failed("field", field, &error),
        RolloutError::NotPlanned(ref why) => failed(why.code(), "", &error),
    }
}

fn facts(text: &[u8]) -> Result<RolloutFacts, Failed> {
    RolloutFacts::read(std::str::from_utf8(text).unwrap()).map_err(wire)
}

fn lock(error: LockErrorReport) -> Failed {
    failed(
        error.code,
        error.path.as_deref().unwrap_or_default(),
        &error,
    )
}

fn situation(text: &[u8]) -> Result<OwnedSituation, Failed> {
    let facts: SituationFacts =
        serde_json::from_slice(text).map_err(|error| wire(WireError::Json(error)))?;
    facts.try_into().map_err(wire)
}

fn moment(text: &[u8]) -> Timestamp {
    let millis = std::str::from_utf8(text).unwrap().parse().unwrap();
    Timestamp::from_millis(millis)
}

impl Surface for Rust {
    fn name(&self) -> &'static str {
        "Rust"
    }

    fn ask(&mut self, letter: char, arguments: &[&[u8]]) -> Answer {
        let read_json = |error| wire(WireError::Json(error));
        match (letter, arguments) {
            ('h', [bytes]) => Ok(lock_hash(bytes).as_bytes().to_vec()),
            ('i', [bytes]) => {
                let mut hasher = LockHasher::new();
                bytes.chunks(61).for_each(|piece| hasher.update(piece));
                Ok(hasher.finish().as_bytes().to_vec())
            }
            ('r', [bytes]) => json(&read(bytes).map_err(lock)?),
            ('d', [old, new]) => json(&compare(old, new).map_err(lock)?),
            ('a', [text]) => json(&situation(text)?.report()),
            ('m', [text]) => {
                let each: Vec<SituationFacts> = serde_json::from_slice(text).map_err(read_json)?;
                let told: Vec<_> = each
                    .into_iter()
                    .map(|one| OwnedSituation::try_from(one).unwrap().report())
                    .collect();
                json(&told)
            }
            ('e', [text]) => json(&situation(text)?.explain()),
            ('f', [text]) => {
                let situation = situation(text)?;
                let _ = Facts::compare(&situation.as_situation());
                let statuses = nixfleet_core::assess(&situation.as_situation()).statuses();
                Ok(statuses.map(|status| status as u8).to_vec())
            }
            ('x', [request, conditions]) => {
                let request: RequestFacts = serde_json::from_slice(request).map_err(read_json)?;
                let conditions: ConditionFacts =
                    serde_json::from_slice(conditions).map_err(read_json)?;
                let request = Request::try_from(request).map_err(wire)?;
                let conditions = OwnedConditions::try_from(conditions).map_err(wire)?;
                json(&conditions.report(&request))
            }
            ('o', [text]) => json(&facts(text)?.plan().map_err(rollout)?),
            ('s', [text]) => json(&facts(text)?.simulate().map_err(rollout)?),
            ('n', [facts, now]) => {
                let facts: CommandFacts = serde_json::from_slice(facts).map_err(read_json)?;
                let command = TrackedCommand::queue(facts, moment(now));
                self.command = Some(command.map_err(|error| failed("", "", error))?);
                Ok(Vec::new())
            }
            ('v', [event, now]) => {
                let event: CommandEvent = serde_json::from_slice(event).map_err(read_json)?;
                json(&self.command().handle(event, moment(now)).map_err(wire)?)
            }
            ('t', [now]) => json(&self.command().handle_timeout(moment(now))),
            ('p', []) => {
                let due = self.command().poll_timeout();
                Ok(due.map_or_else(Vec::new, |due| due.at.as_millis().to_string().into()))
            }
            ('z', []) => {
                self.command = None;
                Ok(Vec::new())
            }
            _ => panic!("what is {letter} with {} arguments?", arguments.len()),
        }
    }
}

impl Rust {
    fn command(&mut self) -> &mut TrackedCommand {
        self.command.as_mut().expect("there is a command")
    }
}

// ---- programs ----

/// A program that answers.
pub struct Other {
    name: &'static str,
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Other {
    pub fn start(name: &'static str, command: &mut Command) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self {
            name,
            child,
            answers,
        }
    }
}

impl Surface for Other {
    fn name(&self) -> &'static str {
        self.name
    }

    fn ask(&mut self, letter: char, arguments: &[&[u8]]) -> Answer {
        let mut question = letter.to_string();
        for argument in arguments {
            question += &format!(" {}", argument.len());
        }
        let mut question = (question + "\n").into_bytes();
        arguments
            .iter()
            .for_each(|it| question.extend_from_slice(it));
        let input = self.child.stdin.as_mut().unwrap();
        // It reads the whole question before it answers, so neither waits for the other.
        input.write_all(&question).unwrap();
        input.flush().unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let (status, len) = line.trim().split_once(' ').unwrap_or_else(|| {
            panic!("{}: no answer to {letter}, but {line:?}", self.name);
        });
        let mut text = vec![0; len.parse().unwrap()];
        self.answers.read_exact(&mut text).unwrap();
        if status == "0" {
            return Ok(text);
        }
        let text = String::from_utf8(text).unwrap();
        let mut parts = text.split('\0').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        Err(Failed {
            code: next(),
            place: next(),
            text: next(),
        })
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.child.stdin.take());
        let status = self.child.wait().unwrap();
        if !std::thread::panicking() {
            assert!(status.success(), "{}: {status}", self.name);
        }
    }
}
