//! What a rollout asks admission, and what a refusal means to it: the same for the fleet and for
//! callers without one.

use super::state::{Wait, WaitCode};
use super::world::May;
use crate::admission::{Refusal, RefusalCode, Request};
use crate::host::{Actor, Hold, Presence};
use crate::ids::{HostId, RolloutId};
use crate::lifecycle::{CommandArgs, Target};
use crate::op::Op;
use crate::window::Opening;

/// What a rollout asks admission.
pub(crate) fn request_of(
    rollout: RolloutId,
    host: &HostId,
    op: Op,
    target: Option<&Target>,
    generation: Option<u64>,
) -> Request {
    let builds = matches!(
        op,
        Op::Pull | Op::Switch | Op::PullSwitch | Op::ForceRebuild
    );
    Request {
        args: CommandArgs {
            generation,
            input: None,
        },
        target: target.copied().filter(|_| builds),
        ..Request::new(host.clone(), op, Actor::rollout(rollout))
    }
}

/// What a refusal means: the host waits, is through already, or never will be.
pub(crate) fn refused(
    refusal: &Refusal,
    hold: Option<&Hold>,
    presence: Presence,
    opening: impl FnOnce() -> Opening,
) -> May {
    let subject = refusal.subject.clone();
    May::Wait(match refusal.code {
        RefusalCode::AlreadyCurrent => return May::Already,
        RefusalCode::Held => Wait {
            code: WaitCode::Held,
            subject,
            until: hold.and_then(|hold| hold.until),
        },
        RefusalCode::OutsideWindow => {
            let opens = match opening() {
                Opening::Open => None,
                Opening::Closed(opens) => opens,
            };
            Wait::until(WaitCode::OutsideWindow, opens)
        }
        RefusalCode::Offline | RefusalCode::NeverSeen => Wait {
            code: WaitCode::Offline,
            subject,
            until: match presence {
                Presence::Offline { since } => Some(since),
                Presence::Online | Presence::NeverSeen => None,
            },
        },
        RefusalCode::Busy => Wait {
            code: WaitCode::Busy,
            subject,
            until: None,
        },
        RefusalCode::Quarantined => Wait::plain(WaitCode::Quarantined),
        RefusalCode::RemoteUnreadable => Wait {
            code: WaitCode::RemoteUnreadable,
            subject,
            until: None,
        },
        RefusalCode::GitOutdated
        | RefusalCode::GitUnknown
        | RefusalCode::LockOutdated
        | RefusalCode::LockUnknown => Wait::about(WaitCode::CheckoutNotReady, refusal.sentence()),
        RefusalCode::NotPermitted
        | RefusalCode::SecondFactorMissing
        | RefusalCode::NotConfirmed
        | RefusalCode::BadArgument
        | RefusalCode::SignatureMissing
        | RefusalCode::HoldNeedsReason
        | RefusalCode::StillOnline
        | RefusalCode::Dirty
        | RefusalCode::NoPreviousGeneration
        | RefusalCode::GenerationUnknown
        | RefusalCode::GenerationCurrent
        | RefusalCode::HostDrivenOff
        | RefusalCode::PrUnknown
        | RefusalCode::PrNotEligible
        | RefusalCode::StoreDamaged
        | RefusalCode::NotSupported
        | RefusalCode::ValidationTimedOut => return May::Never(refusal.sentence()),
    })
}
