//! Update pull requests: what a forge says about them, what is to be asked of it, under which
//! conditions one may be merged, and the one job that merges or reverts (spec 05, "Update PRs").
//!
//! Refuses to decide by labels, titles or texts of a pull request: those only make it visible.

mod asking;
mod auto;
mod call;
mod carrying;
mod checks;
mod compare_link;
mod condition;
mod following;
mod gate;
mod job;
mod listing;
mod lock_facts;
mod machine;
mod merging;
mod policy;
mod proof;
mod pull_request;
mod refusal;
mod reverting;
mod state;
mod step;
mod view;

pub use asking::HINTS_APART;
pub use auto::AUTO_MERGE;
pub use call::{
    Containment, ForgeAnswer, ForgeCall, ForgeFailure, MergeAnswer, MergeMethod, RevertAnswer,
    RevertKind,
};
pub use checks::{
    Baseline, CHECK_VERDICTS, CheckFinding, ChecksVerdict, MISSING, Verdict, contribution, verdict,
};
pub use compare_link::compare_link;
pub use condition::{
    CONDITIONS, Condition, ConditionSpec, Finding, ForPeople, Judgement, LOCK_FILE, judge,
};
pub use gate::{AUTO_GATES, AutoGate, Gates};
pub use job::{
    BETWEEN_MUTATIONS, Because, Deploy, Happening, JOB_TABLE, Job, JobRow, JobState, LOOK_AGAIN,
    MAX_TRIES, MAX_UNREAD, Next, Progress, READ_AGAIN, SETTLING, Stage, StageKind, UNTIL_SHOWN,
    Work, job_row,
};
pub use lock_facts::{InputMove, LockFacts, LockMove, MAX_MOVES, PinView};
pub use machine::{CHECK_AGAIN, LIST_PATIENCE, MAX_PAUSE, PATIENCE, Updates};
pub use policy::{
    DEFAULT_DELAY, DEFAULT_INTERVAL, DEFAULT_LABEL, DEFAULT_TITLE_TEXT, UpdatePolicy,
};
pub use pull_request::{
    ChangedFile, Check, CheckState, Mergeable, PrNumber, PrState, PullRequest, ReadOrNot,
};
pub use refusal::UpdateRefusal;
pub use state::{
    FailedHead, KnownPr, MAX_MERGED, MAX_OPEN, MergedUpdate, Reverted, StoredUpdates, UpdateRecord,
    UpdateState,
};
pub use step::{AuditNote, DeployOrder, MergeOrder, UpdateStep};
pub use view::{
    AutoView, CheckView, ConditionView, FailingView, GateView, JobView, MergedView, PrView,
    SHOWN_MERGED, UpdatesView,
};
