//! The tables of compact statuses: a letter for every status, reason and attention, and where each
//! parameter comes from. Clients get them with `GET /api/v1/tables`, under `compact`.
//!
//! A letter keeps its meaning: a new reason gets a new one, and none is given twice.

use Kind::{Cause, Flag, Half, Number, Op as Operation, Status as Colour};
use Place as P;
use Source::{At, Before, IfTold, Told};

use crate::compartment::{PullSwitchHalf, ReasonCode, Status};

/// From where a client takes a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The next number of the entry tells it.
    Told(Kind),
    /// The first of these places that has a value, at the version of the change.
    At(&'static [Place]),
    /// The next number of the entry tells whether it is what stands at this place, or nothing.
    IfTold(Place),
    /// It is what it was: the same parameter of the reason (or attention) that is replaced, which
    /// must have the same code.
    Before,
}

/// What a number in an entry means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Itself.
    Number,
    /// 1 is yes, 0 is no.
    Flag,
    /// Its position in [`STATUSES`].
    Status,
    /// From [`HTTP_STATUS`] on an HTTP status, otherwise the position in `RemoteCause::ALL`.
    Cause,
    /// Its position in the catalogue of operations.
    Op,
    /// Its position in [`HALVES`].
    Half,
}

impl Kind {
    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Number => "number",
            Kind::Flag => "flag",
            Kind::Status => "status",
            Kind::Cause => "cause",
            Kind::Op => "op",
            Kind::Half => "half",
        }
    }
}

/// A value that a client already has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The commit checked out.
    HostCommit,
    /// The lock checked out.
    HostLock,
    /// The deployed commit.
    Deployed,
    /// The tested commit.
    Tested,
    /// The last deploy-class command.
    DeployCommand,
    /// When its outcome was learnt.
    DeployAt,
    /// The desired commit.
    DesiredCommit,
    /// The desired lock.
    DesiredLock,
    /// The number of the open update pull request.
    PullRequest,
    /// Since when the host is away.
    OfflineSince,
    /// Who placed the hold.
    HoldBy,
    /// Why.
    HoldWhy,
    /// When it ends by itself.
    HoldUntil,
}

impl Place {
    /// Where it stands: `host` is the host of the entry, the other names are those of the state.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Place::HostCommit => "host.commit",
            Place::HostLock => "host.lock.hash",
            Place::Deployed => "host.deployed.commit",
            Place::Tested => "host.tests.commit",
            Place::DeployCommand => "host.deploy_command",
            Place::DeployAt => "host.deploy_at",
            Place::DesiredCommit => "desired.commit",
            Place::DesiredLock => "desired.lock",
            Place::PullRequest => "update_pr.number",
            Place::OfflineSince => "host.offline_since",
            Place::HoldBy => "host.hold.by",
            Place::HoldWhy => "host.hold.why",
            Place::HoldUntil => "host.hold.until",
        }
    }
}

/// A parameter and its source.
pub type Parameter = (&'static str, Source);

/// What a letter stands for, and its parameters in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The letter.
    pub letter: char,
    /// The parameters, all of them.
    pub parameters: &'static [Parameter],
}

/// Between statuses and reasons on one side and attentions on the other: the host is plain green.
pub const GREEN: char = '+';

/// From here on the number of a cause is an HTTP status.
pub const HTTP_STATUS: i64 = 100;

/// Every status with its letter; the position is its number.
pub const STATUSES: [(Status, char); 5] = [
    (Status::Unknown, 'u'),
    (Status::Ok, 'o'),
    (Status::Outdated, 'd'),
    (Status::Error, 'e'),
    (Status::Working, 'w'),
];

/// Both halves of a `pull-switch`, and none.
pub const HALVES: [Option<PullSwitchHalf>; 3] = [
    None,
    Some(PullSwitchHalf::Pull),
    Some(PullSwitchHalf::Switch),
];

const HOST: Parameter = ("host", At(&[P::HostCommit]));
const DESIRED: Parameter = ("desired", At(&[P::DesiredCommit]));
const HOST_LOCK: Parameter = ("host", At(&[P::HostLock]));
const DESIRED_LOCK: Parameter = ("desired", At(&[P::DesiredLock]));
const CAUSE: Parameter = ("cause", Told(Cause));
const TESTED: Parameter = ("commit", At(&[P::Tested]));
const RAN: Parameter = ("ran", Told(Number));
const GIT: Parameter = ("git", Told(Flag));
const LOCK: Parameter = ("lock", Told(Flag));
const COMMAND: Parameter = ("command", At(&[P::DeployCommand]));
/// Without a deployment record a host is compared with the desired commit.
const IN_FORCE: Source = At(&[P::Deployed, P::DesiredCommit]);

/// The letter of a reason.
#[must_use]
#[rustfmt::skip]
pub const fn reason(code: ReasonCode) -> Letter {
    let (letter, parameters): (char, &'static [Parameter]) = match code {
        ReasonCode::AgentNotReported => ('A', &[]),
        ReasonCode::AgentCurrent => ('B', &[]),
        ReasonCode::AgentOlder => ('C', &[]),
        ReasonCode::AgentNewer => ('D', &[]),
        ReasonCode::AgentIncompatible => ('E', &[]),

        ReasonCode::DesiredCommitUnavailable => ('F', &[CAUSE]),
        ReasonCode::CheckoutNotReported => ('G', &[]),
        ReasonCode::CheckoutDirty => ('H', &[HOST]),
        ReasonCode::CheckoutCurrent => ('I', &[DESIRED, ("abbreviated", Told(Flag))]),
        ReasonCode::CheckoutBehind => ('J', &[HOST, DESIRED, ("commits", Told(Number))]),
        ReasonCode::CheckoutAhead => ('K', &[HOST, DESIRED, ("commits", Told(Number))]),
        ReasonCode::CheckoutDiverged => ('L', &[HOST, DESIRED, ("ahead", Told(Number)), ("behind", Told(Number))]),
        ReasonCode::CheckoutNotOnBranch => ('M', &[HOST, DESIRED]),
        ReasonCode::CheckoutDifferent => ('N', &[HOST, DESIRED]),

        ReasonCode::DesiredLockUnavailable => ('O', &[CAUSE]),
        ReasonCode::LockMissing => ('P', &[]),
        ReasonCode::LockNotReported => ('Q', &[]),
        ReasonCode::LockCurrent => ('R', &[DESIRED_LOCK]),
        ReasonCode::LockBehind => ('S', &[HOST_LOCK, DESIRED_LOCK, ("versions", Told(Number))]),
        ReasonCode::LockAhead => ('T', &[HOST_LOCK, DESIRED_LOCK]),
        ReasonCode::LockNotOnBranch => ('U', &[HOST_LOCK, DESIRED_LOCK]),
        ReasonCode::LockDifferent => ('V', &[HOST_LOCK, DESIRED_LOCK]),

        ReasonCode::SystemUnverifiable => ('W', &[CAUSE]),
        ReasonCode::DeployFailed => ('X', &[COMMAND, ("at", At(&[P::DeployAt]))]),
        ReasonCode::CheckoutNotCurrent => ('Y', &[GIT, LOCK]),
        ReasonCode::CheckoutNotKnown => ('Z', &[GIT, LOCK]),
        ReasonCode::NeedsReconcile => ('a', &[COMMAND]),
        ReasonCode::RunsOtherRevision => ('b', &[("running", Before), ("expected", IN_FORCE)]),
        ReasonCode::RunsNoCommit => ('w', &[("base", Before)]),
        ReasonCode::RunsOtherPath => ('c', &[]),
        ReasonCode::SystemCurrent => ('d', &[("commit", At(&[P::Deployed]))]),
        ReasonCode::SystemClaimsCurrent => ('e', &[("commit", At(&[P::DesiredCommit]))]),
        ReasonCode::DeployedInputsUnknown => ('f', &[("unclean", Told(Flag))]),
        ReasonCode::DeployedInputsDiffer => ('g', &[("deployed", At(&[P::Deployed])), HOST]),
        ReasonCode::DeploymentNotRecorded => ('h', &[]),
        ReasonCode::NeverDeployed => ('i', &[]),

        ReasonCode::TestsUnverifiable => ('j', &[CAUSE]),
        ReasonCode::TestsDisabled => ('k', &[]),
        ReasonCode::TestsFailed => ('l', &[TESTED, RAN, ("failed", Told(Number))]),
        ReasonCode::TestsStopped => ('m', &[TESTED, RAN]),
        ReasonCode::TestsNeverDeployed => ('n', &[]),
        ReasonCode::NoTests => ('o', &[TESTED]),
        ReasonCode::SystemNotCurrent => ('p', &[("system", Told(Colour)), ("passed_for", IfTold(P::Tested))]),
        ReasonCode::TestsPassed => ('q', &[TESTED, RAN]),
        ReasonCode::TestsUnverified => ('r', &[TESTED, RAN]),
        ReasonCode::TestsNotRun => ('s', &[("commit", IN_FORCE)]),
        ReasonCode::TestsVoid => ('t', &[]),
        ReasonCode::TestsOtherRevision => ('u', &[("tested", At(&[P::Tested])), ("commit", IN_FORCE), ("passed", Told(Flag))]),

        ReasonCode::Working => ('v', &[("op", Told(Operation)), ("half", Told(Half)), ("awaiting_reconnect", Told(Flag))]),
    };
    Letter { letter, parameters }
}

const BY_LETTER: [Option<ReasonCode>; 128] = {
    let mut codes = [None; 128];
    let mut index = 0;
    while index < ReasonCode::ALL.len() {
        let code = ReasonCode::ALL[index];
        codes[reason(code).letter as usize] = Some(code);
        index += 1;
    }
    codes
};

/// The reason with this letter.
#[must_use]
pub fn reason_with(letter: char) -> Option<ReasonCode> {
    let index = usize::try_from(u32::from(letter)).ok()?;
    BY_LETTER.get(index).copied().flatten()
}

/// The letter of every attention, by its code.
#[rustfmt::skip]
pub const ATTENTIONS: [(&str, Letter); 12] = [
    ("update-pending", Letter { letter: 'u', parameters: &[("pr", At(&[P::PullRequest]))] }),
    ("reboot-required", Letter { letter: 'r', parameters: &[] }),
    ("last-deploy-failed", Letter { letter: 'd', parameters: &[] }),
    ("degraded", Letter { letter: 'g', parameters: &[("units", Before), ("total", Before)] }),
    ("last-tests-failed", Letter { letter: 't', parameters: &[("failed", Told(Number))] }),
    ("worktree-dirty", Letter { letter: 'w', parameters: &[] }),
    ("remote-rewritten", Letter { letter: 'b', parameters: &[] }),
    ("offline", Letter { letter: 'o', parameters: &[("since", At(&[P::OfflineSince]))] }),
    ("held", Letter { letter: 'h', parameters: &[("by", At(&[P::HoldBy])), ("why", At(&[P::HoldWhy])), ("until", At(&[P::HoldUntil]))] }),
    ("remote-stale", Letter { letter: 's', parameters: &[("verified_at", Told(Number))] }),
    ("quarantined", Letter { letter: 'q', parameters: &[] }),
    ("identity-conflict", Letter { letter: 'i', parameters: &[] }),
];
