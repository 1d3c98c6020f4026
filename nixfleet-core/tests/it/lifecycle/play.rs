//! What may happen to a command in short words, and a command to which it happens.

use std::borrow::Cow;
use std::time::Duration;

use nixfleet_core::Timestamp;
use nixfleet_core::admission::{Refusal, RefusalCode};
use nixfleet_core::compartment::PullSwitchHalf;
use nixfleet_core::ids::CommandId;
use nixfleet_core::lifecycle::{
    Address, Command, EndingSpec, Event, ExitReport, Hello, IGNORED, Row, Rules, Signal, Step,
    TABLE, Transcript, Withdrawal,
};
use nixfleet_core::report::ResultKind;

use super::world::{ID, OTHER, SEQ, World, start_time, token};

/// What may happen to a command, in words without references, so that it can be generated.
#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    Start,
    Admit,
    Refuse,
    Sent,
    SendFail {
        nothing_left: bool,
    },
    Accepted,
    Started,
    Output,
    Progress(Option<PullSwitchHalf>),
    Exit(ResultKind, i32),
    Rejected,
    Kill(Signal),
    Extend(u64),
    Ignore,
    Cancel(Withdrawal),
    Disconnect,
    Hello(Process, Option<Vec<(ResultKind, i32)>>),
    Beat(Facts),
    BeatNaming,
    Restart,
    /// The same messages about another command.
    Foreign(Box<Word>),
    /// Seconds pass.
    Wait(u64),
}

/// What an agent says about itself when it registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// The same process, which runs the command.
    Running,
    /// The same process, which does not run it.
    Same,
    /// A new process of the same boot.
    New,
    /// A new process of a new boot.
    Rebooted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facts {
    /// As if the operation worked.
    Right,
    /// As if it did something else.
    Wrong,
    /// Nothing.
    Silent,
}

/// A world, its command and its clock.
pub struct Play {
    pub world: World,
    pub command: Command,
    pub now: Timestamp,
    pub steps: Vec<Step>,
    pub rows: Vec<&'static str>,
    /// The rules to play by; a test may change them.
    book: Book,
}

/// The rules in force, or changed ones.
#[derive(Clone)]
pub struct Book {
    pub table: Cow<'static, [Row]>,
    /// Takes the place of the row of its ending.
    pub ending: Option<EndingSpec>,
}

impl Book {
    pub const IN_FORCE: Self = Self {
        table: Cow::Borrowed(TABLE),
        ending: None,
    };

    pub fn with_table(table: Vec<Row>) -> Self {
        Self {
            table: Cow::Owned(table),
            ..Self::IN_FORCE
        }
    }

    pub fn with_ending(ending: EndingSpec) -> Self {
        Self {
            ending: Some(ending),
            ..Self::IN_FORCE
        }
    }

    fn play(&self, by: impl FnOnce(&Rules<'_>) -> Transcript) -> Transcript {
        let changed = |kind| self.ending.as_ref().filter(|row| row.ending == kind);
        by(&Rules {
            rows: &[&*self.table, IGNORED],
            endings: &|kind| changed(kind).unwrap_or_else(|| kind.spec()),
        })
    }
}

impl Play {
    /// A command that has just been sent.
    pub fn sent(world: World) -> Self {
        Self::queued(world).admitted()
    }

    /// The same, after its turn has come and it was admitted.
    pub fn admitted(mut self) -> Self {
        self.play(&[Word::Start, Word::Admit]);
        self
    }

    /// A command in the queue.
    pub fn queued(world: World) -> Self {
        Self::queued_by(world, Book::IN_FORCE)
    }

    /// A command in the queue, in a world with other rules.
    pub fn queued_by(world: World, book: Book) -> Self {
        let command = world.queue();
        Self {
            world,
            command,
            book,
            now: start_time(),
            steps: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Plays words in order; gives the steps of the last one.
    pub fn play(&mut self, words: &[Word]) -> Vec<Step> {
        let mut last = Vec::new();
        for word in words {
            last = self.one(word);
        }
        last
    }

    pub fn one(&mut self, word: &Word) -> Vec<Step> {
        let done = match word {
            Word::Wait(seconds) => {
                self.now = self.now + Duration::from_secs(*seconds);
                let command = &mut self.command;
                self.book
                    .play(|rules| command.handle_timeout_by(rules, self.now))
            }
            Word::Foreign(word) => self.with_event(word, Address::of(OTHER), OTHER),
            word => {
                let address = self.world.address();
                self.with_event(word, address, ID)
            }
        };
        self.rows.extend(&done.rows);
        self.steps.extend(done.steps.clone());
        done.steps
    }

    fn with_event(&mut self, word: &Word, to: Address, id: CommandId) -> Transcript {
        let now = self.now;
        let (right, wrong, silent) = (self.world.after(), self.world.wrong(), self.world.silent());
        let facts = |facts: Facts| match facts {
            Facts::Right => &right,
            Facts::Wrong => &wrong,
            Facts::Silent => &silent,
        };
        let report = |(kind, code): (ResultKind, i32)| {
            let mut report = self.world.report(kind, code);
            (report.id, report.op) = (to.id, to.op);
            report
        };
        let (mut process, mut boot) = (token("process-1"), token("boot-1"));
        let results: Vec<ExitReport>;
        let event = match word {
            Word::Start => Event::Start,
            Word::Admit => Event::ValidateOk {
                admitted: Box::new(self.world.admitted()),
                seq: SEQ,
            },
            Word::Refuse => Event::ValidateFail(Refusal::new(RefusalCode::Offline)),
            Word::Sent => Event::Sent,
            Word::SendFail { nothing_left } => Event::SendFail {
                nothing_left: *nothing_left,
                why: "broken pipe".to_owned(),
            },
            Word::Accepted => Event::Accepted { to, pid: Some(9) },
            Word::Started => Event::Started { to, pid: None },
            Word::Output => Event::Output { to },
            Word::Progress(half) => Event::Progress { to, half: *half },
            Word::Exit(kind, code) => Event::Exited(Box::new(report((*kind, *code)))),
            Word::Rejected => Event::Rejected {
                to,
                reason: "busy".to_owned(),
                current: Some("test".to_owned()),
            },
            Word::Kill(signal) => Event::KillRequest(*signal),
            Word::Extend(minutes) => Event::Extend(Duration::from_secs(minutes * 60)),
            Word::Ignore => Event::Ignore,
            Word::Cancel(withdrawal) => Event::Cancel(*withdrawal),
            Word::Disconnect => Event::Disconnect,
            Word::Hello(how, held) => {
                match how {
                    Process::Running | Process::Same => {}
                    Process::New => process = token("process-2"),
                    Process::Rebooted => (process, boot) = (token("process-2"), token("boot-2")),
                }
                results = held.iter().flatten().map(|held| report(*held)).collect();
                Event::Hello(Hello {
                    instance_id: Some(&process),
                    boot_id: Some(&boot),
                    running: (*how == Process::Running).then_some(id),
                    results: &results,
                    observation: &right,
                })
            }
            Word::Beat(which) => Event::Heartbeat {
                running: None,
                observation: facts(*which),
            },
            Word::BeatNaming => Event::Heartbeat {
                running: Some(to),
                observation: &silent,
            },
            Word::Restart => Event::ServerRestart,
            Word::Foreign(_) | Word::Wait(_) => return Transcript::default(),
        };
        let command = &mut self.command;
        self.book
            .play(|rules| command.handle_by(rules, &event, now))
    }
}
