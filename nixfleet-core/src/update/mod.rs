//! Update pull requests: what a forge says about them, what is to be asked of it, under which
//! conditions one may be merged, and the one job that merges or reverts (spec 05, "Update PRs").
//!
//! Refuses to decide by labels, titles or texts of a pull request: those only make it visible.

mod call;
mod checks;
mod compare_link;
mod condition;
mod lock_facts;
mod policy;
mod pull_request;

pub use call::{
    ForgeAnswer, ForgeCall, ForgeFailure, MergeAnswer, MergeMethod, RevertAnswer, RevertKind,
};
pub use checks::{
    Baseline, CHECK_VERDICTS, CheckFinding, ChecksVerdict, MISSING, Verdict, contribution, verdict,
};
pub use compare_link::compare_link;
pub use condition::{
    CONDITIONS, Condition, ConditionSpec, Finding, ForPeople, Judgement, LOCK_FILE, judge,
};
pub use lock_facts::{InputMove, LockFacts, LockMove, MAX_MOVES, PinView};
pub use policy::{
    DEFAULT_DELAY, DEFAULT_INTERVAL, DEFAULT_LABEL, DEFAULT_TITLE_TEXT, UpdatePolicy,
};
pub use pull_request::{
    ChangedFile, Check, CheckState, Mergeable, PrNumber, PrState, PullRequest, ReadOrNot,
};
