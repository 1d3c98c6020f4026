//! The one job that merges or reverts an update: where it stands, and the table of what follows.
//!
//! A merge always begins with a fresh reading, and its intent is stored before the call leaves.
//! Whatever is unclear afterwards is read, never assumed (laws E1, E4, E9).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::call::RevertKind;
use super::pull_request::PrNumber;
use crate::host::Actor;
use crate::ids::{CommitId, RolloutId};
use crate::lifecycle::Target;
use crate::rollout::{Ask, Policy, Targets};
use crate::time::Timestamp;

/// How often the call that merges or reverts is made at most (law E4).
pub const MAX_TRIES: u8 = 3;
/// How many readings in a row may fail before a job ends.
pub const MAX_UNREAD: u8 = 5;
/// The shortest time between two calls that change something (law E6).
pub const BETWEEN_MUTATIONS: Duration = Duration::from_secs(1);
/// After an unclear answer the forge gets this long to show what it did before it is read.
pub const SETTLING: Duration = Duration::from_secs(5);
/// Time before a failed reading is tried again, times the number of failures in a row.
pub const READ_AGAIN: Duration = Duration::from_secs(10);
/// How long the desired state may take to show a merge (spec 05).
pub const UNTIL_SHOWN: Duration = Duration::from_secs(120);
/// Time between two readings of the desired state while it is awaited.
pub const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// A rollout that is to follow a merge: of exactly the merge commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deploy {
    /// Its id, chosen by whoever asked, so that the answer can be found again.
    pub rollout: RolloutId,
    /// On which hosts.
    #[serde(default)]
    pub hosts: Targets,
    /// How; see [`Deploy::default_policy`].
    #[serde(default = "Deploy::default_policy")]
    pub policy: Policy,
}

impl Deploy {
    /// The policy of a rollout that follows a merge, where nobody asks for another: every host
    /// pulls before the first one switches.
    #[must_use]
    pub fn default_policy() -> Policy {
        Policy {
            barrier: true,
            ..Policy::default()
        }
    }

    /// What is asked of the planner; without a target, for a plan before the merge.
    #[must_use]
    pub fn ask(&self, target: Option<Target>) -> Ask {
        Ask {
            hosts: self.hosts.clone(),
            policy: self.policy.clone(),
            target,
            ..Ask::default()
        }
    }
}

/// What a job is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Merge it.
    Merge {
        /// The only head that may be merged.
        head: CommitId,
        /// What follows.
        deploy: Option<Deploy>,
    },
    /// Revert its merge.
    Revert {
        /// The recorded merge commit.
        commit: CommitId,
        /// How.
        kind: RevertKind,
    },
}

/// Merging or reverting one update. There is at most one that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its number; rises with every job.
    pub id: u64,
    /// The pull request.
    pub number: PrNumber,
    /// Its title.
    pub title: String,
    /// Who asked.
    pub actor: Actor,
    /// Why, in the actor's words; overrides what a reason can override.
    pub reason: Option<String>,
    /// What is to be done.
    pub work: Work,
    /// Where it stands.
    pub stage: Stage,
    /// How many calls have left.
    pub tries: u8,
    /// How many readings in a row failed.
    pub unread: u8,
    /// What the forge said when it refused the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it entered its stage.
    pub since: Timestamp,
}

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The pull request is read, not before a moment.
    Reading {
        /// Why.
        because: Because,
        /// Not before.
        at: Timestamp,
    },
    /// The call is about to leave, or has left. Stored before it leaves.
    Calling {
        /// It does not leave before this moment.
        at: Timestamp,
    },
    /// The desired state does not show the merge yet.
    Awaiting {
        /// The merge commit.
        commit: CommitId,
        /// Until when it may take.
        until: Timestamp,
        /// When to look next.
        look: Timestamp,
    },
    /// The rollout runs.
    Deploying {
        /// The merge commit.
        commit: CommitId,
        /// How far it is.
        progress: Progress,
    },
    /// It ended.
    Ended {
        /// Whether everything that was asked for was done.
        well: bool,
        /// What came of it, for people.
        message: String,
        /// The merge commit, if the pull request is merged.
        commit: Option<CommitId>,
        /// How far the rollout got, if one started.
        progress: Progress,
    },
}

/// How far a rollout is, as far as a job tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Whether pulls are over and hosts switch.
    pub switching: bool,
    /// Hosts in the plan.
    pub targets: u32,
    /// Hosts that are done.
    pub done: u32,
    /// Hosts that failed.
    pub failed: u32,
}

/// Why a job reads the pull request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Because {
    /// Before the first call.
    First,
    /// The server was restarted while a call may have been under way.
    Restart,
    /// The answer to the call was unclear.
    Unclear,
    /// The forge said that the head is another one.
    HeadMoved,
    /// The forge said that it will not merge; also how some say "already merged".
    NotMergeable,
}

/// Where a job stands, without its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageKind {
    /// See [`Stage::Reading`], with [`Because::First`], [`Because::Restart`] or
    /// [`Because::Unclear`]: the call may be made, or made again.
    Reading,
    /// See [`Stage::Reading`], with another reason: the forge has refused the call.
    ReadingRefused,
    /// See [`Stage::Calling`].
    Calling,
    /// See [`Stage::Awaiting`].
    Awaiting,
    /// See [`Stage::Deploying`].
    Deploying,
}

impl StageKind {
    /// Every kind in which something can still happen.
    pub const ALL: [StageKind; 5] = [
        StageKind::Reading,
        StageKind::ReadingRefused,
        StageKind::Calling,
        StageKind::Awaiting,
        StageKind::Deploying,
    ];
}

impl Stage {
    /// The merge commit, once the pull request is known to be merged.
    #[must_use]
    pub const fn commit(&self) -> Option<CommitId> {
        match self {
            Stage::Reading { .. } | Stage::Calling { .. } => None,
            Stage::Awaiting { commit, .. } | Stage::Deploying { commit, .. } => Some(*commit),
            Stage::Ended { commit, .. } => *commit,
        }
    }

    /// Its kind; `None` once the job has ended.
    #[must_use]
    pub const fn kind(&self) -> Option<StageKind> {
        Some(match self {
            Stage::Reading { because, .. } => match because {
                Because::First | Because::Restart | Because::Unclear => StageKind::Reading,
                Because::HeadMoved | Because::NotMergeable => StageKind::ReadingRefused,
            },
            Stage::Calling { .. } => StageKind::Calling,
            Stage::Awaiting { .. } => StageKind::Awaiting,
            Stage::Deploying { .. } => StageKind::Deploying,
            Stage::Ended { .. } => return None,
        })
    }
}

macro_rules! happenings {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)+) => {
        /// What happens to a job, as far as the table tells it apart.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Happening {
            $($(#[$doc])* #[serde(rename = $code)] $name,)+
        }

        impl Happening {
            /// Every kind.
            pub const ALL: &'static [Happening] = &[$(Happening::$name),+];

            /// The stable spelling.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Happening::$name => $code,)+ }
            }
        }
    };
}

happenings! {
    /// Read: open, the same head, and everything that this actor needs holds.
    Eligible = "eligible";
    /// Read: the same, but the call has left as often as it may.
    TriesUsed = "tries-used";
    /// Read: open and the same head, but something that this actor needs does not hold.
    NotEligible = "not-eligible";
    /// Read: open, with another head than the one asked for.
    OtherHead = "other-head";
    /// Read: merged, with the head that was asked for.
    MergedAsAsked = "merged-as-asked";
    /// Read: merged, with another head.
    MergedOtherwise = "merged-otherwise";
    /// Read: closed, or there is no such pull request.
    Gone = "gone";
    /// The reading failed.
    Unread = "unread";
    /// The reading failed once too often.
    UnreadTooOften = "unread-too-often";
    /// The call: merged.
    Done = "done";
    /// The call: the head is another one.
    HeadMoved = "head-moved";
    /// The call: the forge will not merge it now.
    NotMergeable = "not-mergeable";
    /// The call: not accepted as it was made.
    Invalid = "invalid";
    /// The call: refused before it was tried.
    Refused = "refused";
    /// The call: nobody knows.
    Ambiguous = "ambiguous";
    /// The desired state shows the merge commit, or a descendant.
    Shown = "shown";
    /// It did not in time.
    NotShown = "not-shown";
    /// The rollout ended well.
    DeployedWell = "deployed-well";
    /// The rollout was not started, or did not end well.
    DeployedBadly = "deployed-badly";
}

/// What a job does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Next {
    /// Store the intent, then make the call with the expected head.
    Call,
    /// Read the pull request, because nobody knows what the call did.
    ReadUnclear,
    /// Read it, because its head moved.
    ReadHeadMoved,
    /// Read it, because the forge will not merge it.
    ReadNotMergeable,
    /// Try the same reading again, later.
    ReadAgain,
    /// Record the merge; then wait for the desired state if a rollout follows, else end well.
    Merged,
    /// Record that it was merged with another head; end badly, because that was not asked for.
    MergedOtherwise,
    /// Hand the merge commit over to the rollout.
    Deploy,
    /// End well.
    EndWell,
    /// End badly: nothing was merged, or nothing was started.
    EndBadly,
    /// End badly: nobody knows whether it was merged; read it with the next list.
    EndUnknown,
}

/// One row of the table of merge jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobRow {
    /// Stable name.
    pub id: &'static str,
    /// Where the job stands.
    pub stage: StageKind,
    /// What happens.
    pub on: Happening,
    /// What it does.
    pub next: Next,
    /// Why.
    pub why: &'static str,
}

const fn row(
    id: &'static str,
    stage: StageKind,
    on: Happening,
    next: Next,
    why: &'static str,
) -> JobRow {
    JobRow {
        id,
        stage,
        on,
        next,
        why,
    }
}

/// What a merge job does. What is not listed does nothing: an answer that nobody waits for any more.
#[rustfmt::skip]
pub const JOB_TABLE: &[JobRow] = &[
    row("read-eligible",         StageKind::Reading,        Happening::Eligible,        Next::Call,             "a fresh reading allows it"),
    row("read-tries-used",       StageKind::Reading,        Happening::TriesUsed,       Next::EndUnknown,       "it does not look merged, and three calls are enough"),
    row("read-not-eligible",     StageKind::Reading,        Happening::NotEligible,     Next::EndBadly,         "the fresh reading does not allow it"),
    row("read-other-head",       StageKind::Reading,        Happening::OtherHead,       Next::EndBadly,         "nobody judged or confirmed this head"),
    row("read-merged",           StageKind::Reading,        Happening::MergedAsAsked,   Next::Merged,           "merged already is success"),
    row("read-merged-otherwise", StageKind::Reading,        Happening::MergedOtherwise, Next::MergedOtherwise,  "another head was merged by somebody else"),
    row("read-gone",             StageKind::Reading,        Happening::Gone,            Next::EndBadly,         "there is nothing to merge"),
    row("read-unread",           StageKind::Reading,        Happening::Unread,          Next::ReadAgain,        "nothing is known"),
    row("read-unread-often",     StageKind::Reading,        Happening::UnreadTooOften,  Next::EndUnknown,       "nothing is known, and nobody waits for ever"),
    row("refused-eligible",      StageKind::ReadingRefused, Happening::Eligible,        Next::EndBadly,         "the forge refuses it although it looks mergeable"),
    row("refused-tries-used",    StageKind::ReadingRefused, Happening::TriesUsed,       Next::EndBadly,         "the forge refuses it although it looks mergeable"),
    row("refused-not-eligible",  StageKind::ReadingRefused, Happening::NotEligible,     Next::EndBadly,         "the fresh reading does not allow it either"),
    row("refused-other-head",    StageKind::ReadingRefused, Happening::OtherHead,       Next::EndBadly,         "the head moved: judged again, and not merged"),
    row("refused-merged",        StageKind::ReadingRefused, Happening::MergedAsAsked,   Next::Merged,           "the refusal meant that it is merged already"),
    row("refused-merged-otherwise", StageKind::ReadingRefused, Happening::MergedOtherwise, Next::MergedOtherwise, "another head was merged by somebody else"),
    row("refused-gone",          StageKind::ReadingRefused, Happening::Gone,            Next::EndBadly,         "there is nothing to merge"),
    row("refused-unread",        StageKind::ReadingRefused, Happening::Unread,          Next::ReadAgain,        "nothing is known"),
    row("refused-unread-often",  StageKind::ReadingRefused, Happening::UnreadTooOften,  Next::EndUnknown,       "nothing is known, and nobody waits for ever"),
    row("call-done",             StageKind::Calling,        Happening::Done,            Next::Merged,           "the forge says so"),
    row("call-head-moved",       StageKind::Calling,        Happening::HeadMoved,       Next::ReadHeadMoved,    "nothing was merged: read what it is now"),
    row("call-not-mergeable",    StageKind::Calling,        Happening::NotMergeable,    Next::ReadNotMergeable, "nothing was merged, or it was before: read it"),
    row("call-invalid",          StageKind::Calling,        Happening::Invalid,         Next::EndBadly,         "nothing was merged"),
    row("call-refused",          StageKind::Calling,        Happening::Refused,         Next::EndBadly,         "nothing was merged"),
    row("call-ambiguous",        StageKind::Calling,        Happening::Ambiguous,       Next::ReadUnclear,      "read before anything is tried again"),
    row("await-shown",           StageKind::Awaiting,       Happening::Shown,           Next::Deploy,           "hosts can pull it now"),
    row("await-not-shown",       StageKind::Awaiting,       Happening::NotShown,        Next::EndBadly,         "hosts could not pull it"),
    row("deploy-well",           StageKind::Deploying,      Happening::DeployedWell,    Next::EndWell,          "everything that was asked for is done"),
    row("deploy-badly",          StageKind::Deploying,      Happening::DeployedBadly,   Next::EndBadly,         "the rollout tells why"),
];

/// The row for what happens to a job; `None` if it is nothing to it.
#[must_use]
pub fn job_row(stage: StageKind, on: Happening) -> Option<&'static JobRow> {
    JOB_TABLE
        .iter()
        .find(|row| row.stage == stage && row.on == on)
}

impl Job {
    /// The rollout that follows its merge.
    #[must_use]
    pub const fn rollout(&self) -> Option<RolloutId> {
        match &self.work {
            Work::Merge {
                deploy: Some(deploy),
                ..
            } => Some(deploy.rollout),
            Work::Merge { deploy: None, .. } | Work::Revert { .. } => None,
        }
    }

    /// Whether it still has something to do.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.stage.kind().is_some()
    }

    /// What the API for existing clients calls its state.
    #[must_use]
    pub const fn state(&self) -> JobState {
        match &self.stage {
            Stage::Reading { .. } | Stage::Calling { .. } | Stage::Awaiting { .. } => {
                JobState::Merging
            }
            Stage::Deploying { progress, .. } if progress.switching => JobState::Switching,
            Stage::Deploying { .. } => JobState::Pulling,
            Stage::Ended { well: true, .. } => JobState::Completed,
            Stage::Ended { well: false, .. } => JobState::Failed,
        }
    }

    /// How far the rollout got.
    #[must_use]
    pub const fn progress(&self) -> Progress {
        match &self.stage {
            Stage::Deploying { progress, .. } | Stage::Ended { progress, .. } => *progress,
            Stage::Reading { .. } | Stage::Calling { .. } | Stage::Awaiting { .. } => Progress {
                switching: false,
                targets: 0,
                done: 0,
                failed: 0,
            },
        }
    }

    /// What it does, for people.
    #[must_use]
    pub fn message(&self) -> String {
        let number = self.number;
        match (&self.stage, &self.work) {
            (Stage::Ended { message, .. }, _) => message.clone(),
            (Stage::Reading { because, .. }, _) => match because {
                Because::First => format!("reading {number} again before it is merged"),
                Because::Restart => format!("reading {number}: the server was restarted meanwhile"),
                Because::Unclear => {
                    format!("reading {number}: the forge gave no clear answer to the merge")
                }
                Because::HeadMoved => format!("reading {number}: its head moved, it is not merged"),
                Because::NotMergeable => format!("reading {number}: the forge did not merge it"),
            },
            (Stage::Calling { .. }, Work::Merge { head, .. }) => {
                format!("merging {number} at {}", head.short())
            }
            (Stage::Calling { .. }, Work::Revert { commit, .. }) => {
                format!("reverting {}, the merge of {number}", commit.short())
            }
            (Stage::Awaiting { commit, .. }, _) => format!(
                "{number} is merged as {}; waiting until the tracked branch shows it",
                commit.short()
            ),
            (Stage::Deploying { commit, progress }, _) => {
                let what = if progress.switching {
                    "switching"
                } else {
                    "pulling"
                };
                let (done, targets) = (progress.done, progress.targets);
                format!("{what} to {}: {done} of {targets} hosts", commit.short())
            }
        }
    }
}

/// What the API for existing clients calls the state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Up to the merge being visible, or a revert under way.
    Merging,
    /// Hosts pull.
    Pulling,
    /// Hosts switch.
    Switching,
    /// Done.
    Completed,
    /// Not done; the message says why.
    Failed,
}

impl JobState {
    /// Every state, with what it means.
    pub const ALL: [(JobState, &'static str); 5] = [
        (
            JobState::Merging,
            "the pull request is read, merged or reverted, or the branch does not show it yet",
        ),
        (JobState::Pulling, "hosts pull the merge commit"),
        (JobState::Switching, "hosts switch to it"),
        (JobState::Completed, "everything that was asked for is done"),
        (JobState::Failed, "it is not; the message says why"),
    ];
}
