//! Update pull requests: what a forge says about them, and what is to be asked of it
//! (spec 05, "Update PRs").

mod call;
mod pull_request;

pub use call::{
    ForgeAnswer, ForgeCall, ForgeFailure, MergeAnswer, MergeMethod, RevertAnswer, RevertKind,
};
pub use pull_request::{
    ChangedFile, Check, CheckState, Mergeable, PrNumber, PrState, PullRequest, ReadOrNot,
};
