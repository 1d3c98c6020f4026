//! What people are told although they are not looking (spec 05, "Notifications").
//!
//! The fleet makes notices; an adapter delivers them. One about the same thing within a short time
//! has the same [`Notice::key`], so that it is delivered once.

use serde::{Deserialize, Serialize};

use crate::ids::HostId;
use crate::time::Timestamp;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $severity:ident;)+) => {
        /// What a notice is about. The spelling is stable: filters rely on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum NoticeKind {
            $($(#[$doc])* #[serde(rename = $code)] $name,)+
        }

        impl NoticeKind {
            /// Every kind.
            pub const ALL: &'static [NoticeKind] = &[$(NoticeKind::$name),+];

            /// The stable spelling.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(NoticeKind::$name => $code,)+ }
            }

            /// How much it matters.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(NoticeKind::$name => Severity::$severity,)+ }
            }

            /// The kind that it is the end of, about the same thing.
            #[must_use]
            pub fn ends(self) -> Option<NoticeKind> {
                let ended = ENDS.iter().find(|(this, _)| *this == self);
                ended.map(|(_, ended)| *ended)
            }
        }
    };
}

kinds! {
    /// A new update pull request became the current one.
    UpdateFound = "update-found", Info;
    /// An update was merged, by a person or by the automation.
    UpdateMerged = "update-merged", Success;
    /// The automation did not merge an update, and will not without a change.
    AutoMergeRefused = "auto-merge-refused", Warning;
    /// A merge failed, or nobody knows what came of it.
    MergeFailed = "merge-failed", Failure;
    /// A revert was made.
    UpdateReverted = "update-reverted", Info;
    /// A rollout or pipeline started.
    RolloutStarted = "rollout-started", Info;
    /// A rollout ended and every host of it succeeded.
    RolloutFinished = "rollout-finished", Success;
    /// A rollout stopped, failed, or ended with hosts that did not succeed.
    RolloutStopped = "rollout-stopped", Failure;
    /// A deploy on a host failed, or its outcome is unknown.
    HostFailed = "host-failed", Failure;
    /// A host was rolled back.
    RolledBack = "rolled-back", Warning;
    /// The tests of a host failed.
    TestsFailed = "tests-failed", Failure;
    /// The remote cannot be read, past the grace period.
    RemoteUnreachable = "remote-unreachable", Failure;
    /// The remote can be read again.
    RemoteReadable = "remote-readable", Success;
    /// A host is offline for too long.
    HostOffline = "host-offline", Warning;
    /// A person wants to see whether notices arrive.
    Test = "test", Info;
    /// A credential of the server ends soon.
    CredentialExpires = "credential-expires", Warning;
}

/// Kinds that are each other's end.
const ENDS: &[(NoticeKind, NoticeKind)] = &[
    (NoticeKind::RemoteReadable, NoticeKind::RemoteUnreachable),
    (NoticeKind::RemoteUnreachable, NoticeKind::RemoteReadable),
];

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something went well.
    Success,
    /// Look at it some time.
    Warning,
    /// Look at it now.
    Failure,
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What it is about.
    pub kind: NoticeKind,
    /// When it happened.
    pub at: Timestamp,
    /// The same thing has the same key: kind, and what it is about.
    pub key: String,
    /// One line.
    pub title: String,
    /// Some more lines, plain text.
    pub body: String,
    /// The host, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
}

impl Notice {
    /// A notice about `subject`, which with the kind makes its key.
    #[must_use]
    pub fn new(
        kind: NoticeKind,
        at: Timestamp,
        subject: &str,
        title: impl Into<String>,
        body: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            at,
            key: format!("{}:{subject}", kind.code()),
            title: title.into(),
            body: body.into(),
            host: None,
        }
    }

    /// The key of what is over once this is told: if that comes again, it is another thing.
    #[must_use]
    pub fn ends(&self) -> Option<String> {
        let subject = self.key.strip_prefix(self.kind.code())?;
        Some(format!("{}{subject}", self.kind.ends()?.code()))
    }

    /// The same, about a host.
    #[must_use]
    pub fn on(mut self, host: &HostId) -> Self {
        self.host = Some(host.clone());
        self
    }
}
