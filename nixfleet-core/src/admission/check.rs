//! One function per list: does this gate, does this need let the request pass?

use super::{
    Check, Conditions, Gate, Lane, Occupant, PrState, Refusal, RefusalCode, Request, WindowState,
};
use crate::compartment::Status;
use crate::desired::Remote;
use crate::host::{AgentProtocol, Generation, Presence};
use crate::lifecycle::CommandArgs;
use crate::op::{Need, Op, OpClass, Performer};

pub(super) fn lane(request: &Request, conditions: &Conditions<'_>) -> Lane {
    if request.op.spec().performer == Performer::Server {
        Lane::Server
    } else if request.op == Op::Restart || (request.op == Op::Reboot && conditions.active.is_some())
    {
        Lane::Restart
    } else {
        Lane::Main
    }
}

pub(super) fn gate(gate: Gate, request: &Request, conditions: &Conditions<'_>) -> Option<Refusal> {
    let spec = request.op.spec();
    let on_host = spec.performer == Performer::Agent;
    let automation = request.actor.is_automation();
    let deploys_desired = matches!(
        request.op,
        Op::Pull | Op::Switch | Op::PullSwitch | Op::ForceRebuild
    );
    match gate {
        Gate::Right => (!request.permitted).then_some(Refusal::new(RefusalCode::NotPermitted)),
        Gate::Arguments => bad_argument(request),
        Gate::Signature => (deploys_desired && conditions.signature == Check::Missing)
            .then_some(Refusal::new(RefusalCode::SignatureMissing)),
        Gate::Hold => {
            let hold = conditions.hold.filter(|_| on_host)?;
            let subject = format!("by {}, {}", hold.by, hold.why);
            let no_reason = request
                .reason
                .as_deref()
                .is_none_or(|reason| reason.trim().is_empty());
            if automation {
                Some(Refusal::about(RefusalCode::Held, subject))
            } else if spec.class != OpClass::Read && no_reason {
                Some(Refusal::about(RefusalCode::HoldNeedsReason, subject))
            } else {
                None
            }
        }
        Gate::Quarantine => (automation && deploys_desired && conditions.quarantined)
            .then_some(Refusal::new(RefusalCode::Quarantined)),
        Gate::Window => match conditions.window {
            WindowState::Closed { opens } if automation && on_host => Some(Refusal {
                code: RefusalCode::OutsideWindow,
                subject: opens.map(|opens| format!("it opens at {opens}")),
            }),
            WindowState::Closed { .. } | WindowState::Open => None,
        },
        Gate::NotRestarting => conditions.restarting.filter(|_| on_host).map(busy),
    }
}

pub(super) fn need(need: Need, request: &Request, conditions: &Conditions<'_>) -> Option<Refusal> {
    let code = match need {
        Need::Online => match conditions.presence {
            Presence::Online => return None,
            Presence::NeverSeen => RefusalCode::NeverSeen,
            Presence::Offline { since } => {
                return Some(Refusal::about(
                    RefusalCode::Offline,
                    format!("last heard of at {since}"),
                ));
            }
        },
        Need::Offline => match conditions.presence {
            Presence::Online => RefusalCode::StillOnline,
            Presence::NeverSeen | Presence::Offline { .. } => return None,
        },
        Need::Idle => return conditions.active.map(busy),
        Need::IdleOrOverride if request.override_busy => return None,
        Need::IdleOrOverride => return conditions.active.map(busy),
        Need::SomethingToPull => {
            let current = conditions.git == Status::Ok && conditions.lock == Status::Ok;
            if !current || dirty(conditions) {
                return None;
            }
            RefusalCode::AlreadyCurrent
        }
        Need::GitAndLockCurrent => return not_current(conditions),
        Need::RemoteReadable => return unreadable(conditions.remote),
        Need::Clean if dirty(conditions) => RefusalCode::Dirty,
        Need::TargetKnown => return rollback_target(request, conditions).err(),
        Need::HostDrivenStrategy if !conditions.host_driven => RefusalCode::HostDrivenOff,
        Need::Confirmed if !request.confirmed => RefusalCode::NotConfirmed,
        Need::SecondFactor if request.second_factor == Check::Missing => {
            RefusalCode::SecondFactorMissing
        }
        Need::Clean | Need::HostDrivenStrategy | Need::Confirmed | Need::SecondFactor => {
            return None;
        }
        Need::EligiblePr => match conditions.pr {
            PrState::Eligible => return None,
            PrState::NotKnown => RefusalCode::PrUnknown,
            PrState::NotEligible(why) => {
                return Some(Refusal::about(RefusalCode::PrNotEligible, why));
            }
        },
    };
    Some(Refusal::new(code))
}

fn busy(occupant: Occupant) -> Refusal {
    let subject = match occupant.id {
        Some(id) => format!("{} ({id}) is active", occupant.op.name()),
        None => format!("the agent still runs {}", occupant.op.name()),
    };
    Refusal::about(RefusalCode::Busy, subject)
}

fn dirty(conditions: &Conditions<'_>) -> bool {
    conditions.observation.repo.is_some_and(|repo| repo.dirty)
}

/// A dirty checkout makes compartment `git` outdated by itself; saying "dirty" helps more.
fn not_current(conditions: &Conditions<'_>) -> Option<Refusal> {
    let code = match (conditions.git, conditions.lock) {
        (Status::Error, _) | (_, Status::Error) => RefusalCode::RemoteUnreadable,
        (Status::Outdated, _) if dirty(conditions) => RefusalCode::Dirty,
        (Status::Outdated, _) => RefusalCode::GitOutdated,
        (Status::Unknown | Status::Working, _) => RefusalCode::GitUnknown,
        (Status::Ok, Status::Outdated) => RefusalCode::LockOutdated,
        (Status::Ok, Status::Unknown | Status::Working) => RefusalCode::LockUnknown,
        (Status::Ok, Status::Ok) => return None,
    };
    Some(Refusal::new(code))
}

fn unreadable(remote: &Remote) -> Option<Refusal> {
    let why = match remote {
        Remote::Failed { why, .. } => why,
        Remote::Verified(snapshot) => match (&snapshot.commit, &snapshot.lock) {
            (Err(why), _) | (Ok(_), Err(why)) => why,
            (Ok(_), Ok(_)) => return None,
        },
    };
    Some(Refusal {
        code: RefusalCode::RemoteUnreadable,
        subject: Some(why.detail.clone()).filter(|detail| !detail.is_empty()),
    })
}

/// Arguments reach a command line on the host, so only plain names pass (law C6).
fn bad_argument(request: &Request) -> Option<Refusal> {
    let CommandArgs { generation, input } = &request.args;
    let plain = |name: &str| {
        !name.is_empty()
            && name.len() <= 128
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
            && name
                .bytes()
                .next()
                .is_some_and(|b| b.is_ascii_alphanumeric())
    };
    let problem = if generation.is_some() && request.op != Op::Rollback {
        "only rollback takes a generation"
    } else if input.is_some() && request.op != Op::UpdateInputs {
        "only update-inputs takes an input"
    } else if input.as_deref().is_some_and(|name| !plain(name)) {
        "an input is letters, digits, '.', '_' or '-', starting with a letter or digit"
    } else {
        return None;
    };
    Some(Refusal::about(RefusalCode::BadArgument, problem))
}

/// Who may roll a host back to the generation before the running one although nobody listed it, so
/// that the agent finds it: agent · whether a person asks · whether it may. Ours lists what there is,
/// so nothing listed means nothing there; an existing agent never lists any (spec 02 rule 13, spec
/// 03). An automation goes only to what the host lists (law D13).
pub const UNLISTED_PREVIOUS: [(AgentProtocol, bool, bool); 4] = [
    (AgentProtocol::Commands, true, false),
    (AgentProtocol::Commands, false, false),
    (AgentProtocol::Existing, true, true),
    (AgentProtocol::Existing, false, false),
];

/// Where a rollback goes: the named generation, or the newest one older than the current one, as
/// the host lists them; `None` is the previous one as the agent finds it. The protocol of existing
/// agents cannot name a generation.
pub(super) fn rollback_target(
    request: &Request,
    conditions: &Conditions<'_>,
) -> Result<Option<Generation>, Refusal> {
    let listed = &conditions.observation.generations;
    let protocol = conditions.identity.protocol;
    let current = listed.iter().find(|generation| generation.current);
    let Some(wanted) = request.args.generation else {
        let older = |generation: &&Generation| {
            !generation.current && current.is_none_or(|now| generation.number < now.number)
        };
        let previous = listed.iter().filter(older);
        let previous = previous.max_by_key(|generation| generation.number);
        let row = (protocol, !request.actor.is_automation(), true);
        return match previous {
            Some(generation) => Ok(Some(generation.clone())),
            None if listed.is_empty() && UNLISTED_PREVIOUS.contains(&row) => Ok(None),
            None => Err(Refusal::new(RefusalCode::NoPreviousGeneration)),
        };
    };
    let found = listed.iter().find(|generation| generation.number == wanted);
    // It runs, but the next boot would start another one.
    let profile_elsewhere = |generation: &Generation| {
        let system = conditions.observation.system.as_ref();
        system.is_some_and(|system| system.profile_leads_away_from(generation.path.as_ref()))
    };
    match found.filter(|_| protocol == AgentProtocol::Commands) {
        None => Err(Refusal::about(
            RefusalCode::GenerationUnknown,
            wanted.to_string(),
        )),
        Some(generation) if generation.current && !profile_elsewhere(generation) => {
            Err(Refusal::new(RefusalCode::GenerationCurrent))
        }
        Some(generation) => Ok(Some(generation.clone())),
    }
}
