//! The lifecycle of one command: a pure transition function over a table (spec 02).
//!
//! [`Command`] is the record and the state, [`Event`] what happens to it, [`Step`] what is to be
//! done about it. Every rule is a row of a table: [`TABLE`], [`IGNORED`] where nothing happens,
//! [`ENDINGS`] for what an ending does to the host, [`LATE`] for results after the end.

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
pub use late::{LATE, LateCase, LateRow, Settles, late_result, late_result_by};
pub use machine::Transcript;
pub use outcome::{DeployEffect, ENDINGS, EndingSpec, HostEffect, Reconcile, Trace};
pub use phase::Phase;
pub use step::Step;
pub use table::{Arm, Do, IGNORED, Row, Rules, TABLE, To, row};
