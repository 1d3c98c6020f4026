//! The decisions of NixFleet as pure functions.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod admission;
pub mod agent;
mod claim;
pub mod compartment;
pub mod credential;
pub mod desired;
pub mod drift;
pub mod fleet;
mod heads;
pub mod history;
pub mod host;
pub mod ids;
pub mod lifecycle;
pub mod lock;
pub mod notice;
pub mod op;
pub mod order;
pub mod render;
pub mod report;
pub mod rollout;
pub mod selector;
pub mod sync;
pub mod time;
pub mod update;
pub mod window;
pub mod wire;

pub use claim::{ClaimedRevision, OtherRevision};
pub use compartment::{
    Assessment, Attention, Compartment, HostAssessment, PullSwitchHalf, Reason, ReasonCode,
    Situation, Status, Working, assess,
};
pub use history::{CommitHistory, CommitRelation, OffBranch, PrefixMatch};
pub use ids::*;
pub use lifecycle::Phase;
pub use lock::{
    Attribute, Change, ChangeKind, FieldChange, FlakeLock, InputChange, InputKind, InputSummary,
    InputTarget, LockCompareError, LockComparison, LockDiff, LockHasher, LockHistory, LockNode,
    LockParseError, LockSummary, LockVersion, LockedInput, Pin, ShortPin, Source, SummaryChange,
    diff_summaries, lock_hash,
};
pub use op::{OPS, Op};
pub use time::{Timestamp, TimestampError};
