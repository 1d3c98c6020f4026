//! `flake.lock`: its hash decides a colour, its contents explain it (spec 05, "Lock truth").

mod change;
mod compare;
mod diff;
mod error;
mod hash;
mod history;
mod json;
mod link;
mod model;
mod parse;
mod source;
mod summary;

pub use change::{Change, ChangeKind, FieldChange, InputChange, InputTarget};
pub use diff::{LockCompareError, LockComparison, LockDiff, compare, diff};
pub use error::LockParseError;
pub use hash::{LockHasher, lock_hash};
pub use history::{LockHistory, LockVersion};
pub use model::{FlakeLock, LockNode, LockedInput};
pub use parse::{MAX_INPUT_DEPTH, MAX_LOCK_BYTES, MAX_NAME_BYTES, MAX_NODES, MAX_VALUE_BYTES};
pub use source::{Attribute, InputKind, Pin, Source};
pub use summary::{InputSummary, LockSummary, ShortPin, SummaryChange, diff_summaries};
