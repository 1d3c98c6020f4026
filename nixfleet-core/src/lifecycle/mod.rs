//! The lifecycle of one command: a pure transition function over a table (spec 02).
//!
//! [`Command`] is the record and the state, [`Event`] what happens to it, [`Step`] what is to be
//! done about it. Every rule is a row of [`TABLE`], or of [`IGNORED`] where nothing happens.

mod classify;
mod command;
mod deadline;
mod ending;
mod event;
mod exit;
mod freshness;
mod goal;
mod guard;
mod late;
mod machine;
mod outcome;
mod perform;
mod phase;
mod step;
mod table;
pub mod timing;

pub use command::{Baseline, Command, CommandArgs, Exit, Target};
pub use deadline::{Deadline, DeadlineReason};
pub use ending::{Ending, EndingKind, GoalGap, UnknownCause, UnverifiedCause};
pub use event::{Address, Event, EventKind, Hello, Signal, Withdrawal, half_of};
pub use exit::ExitReport;
pub use freshness::{Expectation, Freshness, FreshnessFacts, Relation};
pub use goal::{Verdict, Waiting, activation_on_record, goal_verdict, infer_deployment};
pub use guard::{Guard, guards};
pub use late::late_result;
pub use machine::Transcript;
pub use outcome::{DeployEffect, ENDINGS, EndingSpec, Trace};
pub use phase::Phase;
pub use step::Step;
pub use table::{Arm, Do, IGNORED, RULES, Row, TABLE, To, row};
