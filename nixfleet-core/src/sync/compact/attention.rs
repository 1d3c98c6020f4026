//! From an attention to its letter and numbers, and back with what is looked up.

use super::lookup::{Numbers, World};
use super::table::ATTENTIONS;
use crate::compartment::Attention;
use crate::time::Timestamp;

/// The letter of an attention; its numbers are added to `numbers`.
pub(super) fn tell(attention: &Attention, numbers: &mut Vec<i64>) -> char {
    let code = attention.template().code;
    match attention {
        Attention::LastTestsFailed { failed } => numbers.push((*failed).into()),
        Attention::RemoteStale { verified_at } => {
            numbers.push(verified_at.map_or(0, Timestamp::as_millis));
        }
        Attention::UpdatePending { .. }
        | Attention::RebootRequired
        | Attention::LastDeployFailed
        | Attention::Degraded { .. }
        | Attention::WorktreeDirty
        | Attention::RemoteRewritten
        | Attention::Offline { .. }
        | Attention::Held { .. }
        | Attention::Quarantined
        | Attention::IdentityConflict => {}
    }
    let row = ATTENTIONS.iter().find(|(one, _)| *one == code);
    row.map_or(' ', |(_, row)| row.letter)
}

/// The attention with this letter.
pub(super) fn read(
    letter: char,
    numbers: &mut Numbers<'_>,
    world: &World<'_>,
) -> Option<Attention> {
    let (code, _) = ATTENTIONS.iter().find(|(_, row)| row.letter == letter)?;
    match *code {
        "update-pending" => Some(Attention::UpdatePending {
            pr: world.update_pr?.number,
        }),
        "reboot-required" => Some(Attention::RebootRequired),
        "last-deploy-failed" => Some(Attention::LastDeployFailed),
        "degraded" => before(world, |one| matches!(one, Attention::Degraded { .. })),
        "last-tests-failed" => Some(Attention::LastTestsFailed {
            failed: numbers.next()?.try_into().ok()?,
        }),
        "worktree-dirty" => Some(Attention::WorktreeDirty),
        "remote-rewritten" => Some(Attention::RemoteRewritten),
        "offline" => Some(Attention::Offline {
            since: world.host.offline_since?,
        }),
        "held" => world.host.hold.as_ref().map(|hold| Attention::Held {
            by: hold.by.clone(),
            why: hold.why.clone(),
            until: hold.until,
        }),
        "remote-stale" => Some(Attention::RemoteStale {
            verified_at: Some(Timestamp::from_millis(numbers.next()?)),
        }),
        "quarantined" => Some(Attention::Quarantined),
        "identity-conflict" => Some(Attention::IdentityConflict),
        _ => None,
    }
}

fn before(world: &World<'_>, wanted: impl Fn(&&Attention) -> bool) -> Option<Attention> {
    world.before?.a.iter().find(wanted).cloned()
}
