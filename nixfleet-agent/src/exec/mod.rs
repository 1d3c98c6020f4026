//! Running the processes of one command so that neither a crash nor a restart of the agent loses or
//! repeats them.
//!
//! The agent writes down the job, then starts its own program again as a *supervisor* in a session
//! of its own. The supervisor claims the job's folder once and for ever, runs the processes, keeps
//! their output and writes down the end. The agent only reads files, so that it can go away at any
//! moment and another one can go on reading.
//!
//! | file | written by | meaning |
//! |---|---|---|
//! | `job.json` | agent | what to run |
//! | `lock` | supervisor | held while it lives |
//! | `started` | whoever is first | the claim: by a supervisor that will run it, or by an agent that gave up on it |
//! | `pid` | supervisor | the process that runs now |
//! | `output` | supervisor | frames of output and progress |
//! | `stop`, `kill` | agent | what was asked for |
//! | `exit.json` | supervisor | how it ended |

mod capture;
mod census;
mod folder;
mod frames;
mod job;
mod launch;
mod lines;
mod process;
mod spec;
mod supervise;

pub use folder::{JobFolder, JobState, RunningProcess};
pub(crate) use folder::{is_locked, try_lock};
pub use frames::{Note, Stream};
pub use job::{Job, JobEnd, JobEvent};
pub use launch::{Detach, ExecError, Launcher};
pub use lines::{LINE_LIMIT, LineSplitter, OutputLine};
pub use spec::{
    Capture, Captured, CapturedRepo, JobExit, JobSpec, Run, Stage, StageExit, TestOutcome,
    TestReport, TestResult, TestVerdict,
};
pub use supervise::{SuperviseError, supervise};
