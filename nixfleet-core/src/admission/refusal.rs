//! The closed list of reasons for which an operation is refused.

use serde::{Deserialize, Serialize};

/// A rule said no. The code is stable; the sentences are rendered from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which rule.
    pub code: RefusalCode,
    /// What it is about: who holds the host, which command is active, why the remote failed.
    pub subject: Option<String>,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $sentence:literal, $help:literal;)+) => {
        /// Which rule said no. The spelling is stable: scripts may rely on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum RefusalCode {
            $($(#[$doc])* #[serde(rename = $code)] $name,)+
        }

        impl RefusalCode {
            /// Every code.
            pub const ALL: &'static [RefusalCode] = &[$(RefusalCode::$name),+];

            /// The stable spelling.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(RefusalCode::$name => $code,)+ }
            }

            /// The sentence; `; {}` stands for the subject, where there is one.
            #[must_use]
            pub const fn template(self) -> &'static str {
                match self { $(RefusalCode::$name => $sentence,)+ }
            }

            /// What would make it a yes.
            #[must_use]
            pub const fn what_would_help(self) -> &'static str {
                match self { $(RefusalCode::$name => $help,)+ }
            }
        }
    };
}

// `{}` in a sentence is replaced by the subject, or vanishes with the text before it back to `;`.
codes! {
    /// The actor's role does not include the operation.
    NotPermitted = "not-permitted", "your role does not allow this", "ask an administrator for the right";
    /// A second factor is configured for this operation and was not given.
    SecondFactorMissing = "second-factor-missing", "this needs a second factor", "enter the code of your authenticator";
    /// The caller must confirm explicitly and did not.
    NotConfirmed = "not-confirmed", "this needs an explicit confirmation", "confirm it";
    /// An argument is not valid.
    BadArgument = "bad-argument", "an argument is not valid; {}", "correct the argument";
    /// The desired commit is not signed as configured.
    SignatureMissing = "signature-missing", "the desired commit has no valid signature", "sign the commit with an accepted key, or push a signed one on top";
    /// A hold keeps automations away.
    Held = "held", "the host is held; {}", "release the hold, or run the command yourself with a reason";
    /// A person may act on a held host only with a reason.
    HoldNeedsReason = "hold-needs-reason", "the host is held; {}", "give a reason, or release the hold";
    /// The target is quarantined after a rollback.
    Quarantined = "quarantined", "the target is quarantined after a rollback", "wait for a newer commit, or lift the quarantine";
    /// The maintenance window is closed.
    OutsideWindow = "outside-window", "the maintenance window is closed; {}", "wait for the window to open, or run the command yourself";
    /// The agent is not connected.
    Offline = "offline", "the agent is not connected; {}", "start the agent or the host, and check its network";
    /// The agent has never connected.
    NeverSeen = "never-seen", "the agent has never connected", "install and start the agent on the host";
    /// The agent is connected, and must not be.
    StillOnline = "still-online", "the agent is still connected", "stop the agent on the host first";
    /// Another command is active.
    Busy = "busy", "the host is busy; {}", "wait for it to finish, stop it, or queue this command";
    /// The desired state cannot be read.
    RemoteUnreadable = "remote-unreadable", "the desired state cannot be read; {}", "fix the remote: see the message of the git compartment";
    /// Git and lock are current, and there is nothing to clean up.
    AlreadyCurrent = "already-current", "the checkout is already at the desired state", "nothing needs to be done; force pulls anyway";
    /// The checkout is not at the desired commit.
    GitOutdated = "git-outdated", "the checkout is not at the desired commit", "pull first; force builds what is checked out";
    /// The host has not reported its commit.
    GitUnknown = "git-unknown", "the host has not reported which commit is checked out", "refresh, or pull first; force builds what is checked out";
    /// The checkout's lock is not the desired one.
    LockOutdated = "lock-outdated", "the checkout's flake.lock is not the desired one", "pull first; force builds what is checked out";
    /// The host has not reported its lock.
    LockUnknown = "lock-unknown", "the host has not reported its flake.lock", "refresh, or pull first; force builds what is checked out";
    /// The checkout has local changes.
    Dirty = "dirty", "the checkout has local changes", "commit or discard them on the host; force builds them";
    /// There is no earlier generation to go back to.
    NoPreviousGeneration = "no-previous-generation", "the host lists no earlier generation", "switch once more, or name a generation";
    /// The named generation is not among those the host listed.
    GenerationUnknown = "generation-unknown", "the host does not list this generation; {}", "choose one that the host lists";
    /// The named generation is the current one.
    GenerationCurrent = "generation-current", "this generation is the current one", "choose another generation";
    /// The host-driven update strategy is off.
    HostDrivenOff = "host-driven-off", "updating inputs on hosts is switched off", "switch the host-driven strategy on, or merge an update pull request";
    /// No pull request is known.
    PrUnknown = "pr-unknown", "no such pull request is known", "check for updates again";
    /// The pull request may not be merged or reverted now.
    PrNotEligible = "pr-not-eligible", "the pull request is not eligible; {}", "wait for its checks, or override with a reason";
    /// The server's store is damaged: it takes no commands.
    StoreDamaged = "store-damaged", "the server's database is damaged, so it takes no commands", "restore the database from a backup";
    /// The operation is known, but this server cannot carry it out.
    NotSupported = "not-supported", "this server cannot carry out this operation", "use another way, or a server that can";
    /// Our own checking took too long.
    ValidationTimedOut = "validation-timed-out", "the preconditions could not be checked in time", "try again; if it stays, see the server's log";
}

impl Refusal {
    /// A refusal without a subject.
    #[must_use]
    pub const fn new(code: RefusalCode) -> Self {
        Self {
            code,
            subject: None,
        }
    }

    /// A refusal that names what it is about.
    #[must_use]
    pub fn about(code: RefusalCode, subject: impl Into<String>) -> Self {
        Self {
            code,
            subject: Some(subject.into()),
        }
    }

    /// One sentence for people: what is wrong.
    #[must_use]
    pub fn sentence(&self) -> String {
        let template = self.code.template();
        match (template.split_once("; {}"), &self.subject) {
            (Some((start, _)), Some(subject)) => format!("{start}: {subject}"),
            (Some((start, _)), None) => start.to_owned(),
            (None, Some(_) | None) => template.to_owned(),
        }
    }

    /// What would make it a yes.
    #[must_use]
    pub const fn what_would_help(&self) -> &'static str {
        self.code.what_would_help()
    }
}

impl RefusalCode {
    /// Whether `force` bypasses this rule: exactly already-current, git or lock outdated or
    /// unknown, and dirty (law B19).
    #[must_use]
    pub const fn bypassed_by_force(self) -> bool {
        matches!(
            self,
            RefusalCode::AlreadyCurrent
                | RefusalCode::GitOutdated
                | RefusalCode::GitUnknown
                | RefusalCode::LockOutdated
                | RefusalCode::LockUnknown
                | RefusalCode::Dirty
        )
    }

    /// Whether time or an event on the host can lift it, so that the command may wait in the
    /// queue (spec 02, `PENDING`).
    #[must_use]
    pub const fn may_wait(self) -> bool {
        matches!(
            self,
            RefusalCode::Held
                | RefusalCode::OutsideWindow
                | RefusalCode::Offline
                | RefusalCode::NeverSeen
                | RefusalCode::Busy
                | RefusalCode::RemoteUnreadable
                | RefusalCode::GitOutdated
                | RefusalCode::GitUnknown
                | RefusalCode::LockOutdated
                | RefusalCode::LockUnknown
        )
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.sentence(), self.code.code())
    }
}

impl std::error::Error for Refusal {}
