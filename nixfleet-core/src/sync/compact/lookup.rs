//! From a reason to its letter and numbers, and back with what is looked up.

use super::table::{self, HALVES, Kind, Place, STATUSES, Source};
use crate::compartment::parameter::Parameter;
use crate::compartment::{Reason, Status};
use crate::desired::{PendingPr, RemoteCause};
use crate::ids::HostId;
use crate::op::OPS;
use crate::sync::{DesiredView, HostView, StatusView, SyncState};

/// The numbers of an entry that are not used up yet.
pub(super) type Numbers<'a> = std::iter::Copied<std::slice::Iter<'a, i64>>;

/// What a client has when the change arrives.
pub(in crate::sync) struct World<'a> {
    pub(in crate::sync) host: &'a HostView,
    pub(in crate::sync) desired: Option<&'a DesiredView>,
    pub(in crate::sync) update_pr: Option<&'a PendingPr>,
    /// The statuses that are replaced.
    pub(in crate::sync) before: Option<&'a StatusView>,
}

impl<'a> World<'a> {
    pub(super) fn of(id: &HostId, state: &'a SyncState) -> Option<Self> {
        Some(Self {
            host: state.hosts.get(id)?,
            desired: state.desired.as_ref(),
            update_pr: state.update_pr.as_ref(),
            before: state.statuses.get(id),
        })
    }

    /// What stands there, if it can be a parameter of a reason.
    fn at(&self, place: Place) -> Option<Parameter> {
        let host = self.host;
        match place {
            Place::HostCommit => host.commit.map(Parameter::Commit),
            Place::HostLock => host.lock?.hash().map(Parameter::Lock),
            Place::Deployed => host.deployed.as_ref()?.commit.map(Parameter::Commit),
            Place::Tested => host.tests.as_ref()?.commit.map(Parameter::Commit),
            Place::DeployCommand => host.deploy_command.map(Parameter::Command),
            Place::DeployAt => host.deploy_at.map(Parameter::Moment),
            Place::DesiredCommit => self.desired?.commit.map(|id| Parameter::Commit(id.into())),
            Place::DesiredLock => self.desired?.lock.map(Parameter::Lock),
            Place::PullRequest
            | Place::OfflineSince
            | Place::HoldBy
            | Place::HoldWhy
            | Place::HoldUntil => None,
        }
    }
}

pub(super) fn status_letter(status: Status) -> char {
    let letter = STATUSES.iter().find(|(one, _)| *one == status);
    letter.map_or(' ', |(_, letter)| *letter)
}

pub(super) fn status(letter: char) -> Option<Status> {
    let status = STATUSES.iter().find(|(_, one)| *one == letter);
    status.map(|(status, _)| *status)
}

/// The letter of a reason; its numbers are added to `numbers`.
pub(super) fn tell(reason: &Reason, numbers: &mut Vec<i64>) -> char {
    let table::Letter { letter, parameters } = table::reason(reason.code());
    let mut sources = parameters.iter().map(|(_, source)| *source);
    reason.each_parameter(|_, parameter| match sources.next() {
        Some(Source::Told(_)) => numbers.push(number(parameter)),
        Some(Source::IfTold(_)) => numbers.push((parameter != Parameter::Nothing).into()),
        Some(Source::At(_) | Source::Before) | None => {}
    });
    letter
}

/// The reason with this letter.
pub(super) fn reason(
    letter: char,
    numbers: &mut Numbers<'_>,
    world: &World<'_>,
    before: Option<&Reason>,
) -> Option<Reason> {
    let code = table::reason_with(letter)?;
    let mut sources = table::reason(code).parameters.iter();
    Reason::from_parameters(code, |name| match sources.next()?.1 {
        Source::Told(kind) => parameter(kind, numbers.next()?),
        Source::At(places) => {
            let found = places.iter().find_map(|place| world.at(*place));
            Some(found.unwrap_or(Parameter::Nothing))
        }
        Source::IfTold(place) => match numbers.next()? {
            0 => Some(Parameter::Nothing),
            1 => world.at(place),
            _ => None,
        },
        Source::Before => before
            .filter(|before| before.code() == code)
            .and_then(|before| named(before, name)),
    })
}

fn named(reason: &Reason, wanted: &str) -> Option<Parameter> {
    let mut found = None;
    reason.each_parameter(|name, parameter| {
        if name == wanted {
            found = Some(parameter);
        }
    });
    found
}

/// A parameter as a number. One that has none becomes 0: whoever publishes compares what clients
/// will make of it.
fn number(parameter: Parameter) -> i64 {
    match parameter {
        Parameter::Number(number) => number.into(),
        Parameter::Flag(flag) => flag.into(),
        Parameter::Status(status) => position(STATUSES.iter().map(|(one, _)| *one), status),
        Parameter::Cause(RemoteCause::HttpStatus(status)) => status.into(),
        Parameter::Cause(cause) => position(RemoteCause::ALL, cause),
        Parameter::Op(op) => position(OPS.iter().map(|spec| spec.op), op),
        Parameter::Half(half) => position(HALVES, Some(half)),
        Parameter::Nothing
        | Parameter::Commit(_)
        | Parameter::Lock(_)
        | Parameter::Command(_)
        | Parameter::Moment(_) => 0,
    }
}

fn parameter(kind: Kind, number: i64) -> Option<Parameter> {
    let index = usize::try_from(number).ok()?;
    match kind {
        Kind::Number => u32::try_from(number).ok().map(Parameter::Number),
        Kind::Flag => [false, true].get(index).copied().map(Parameter::Flag),
        Kind::Status => STATUSES.get(index).map(|one| Parameter::Status(one.0)),
        Kind::Cause if number >= table::HTTP_STATUS => {
            let status = u16::try_from(number).ok()?;
            Some(Parameter::Cause(RemoteCause::HttpStatus(status)))
        }
        Kind::Cause => RemoteCause::ALL.get(index).copied().map(Parameter::Cause),
        Kind::Op => OPS.get(index).map(|spec| Parameter::Op(spec.op)),
        Kind::Half => {
            let half = HALVES.get(index)?;
            Some(half.map_or(Parameter::Nothing, Parameter::Half))
        }
    }
}

fn position<T: PartialEq>(all: impl IntoIterator<Item = T>, wanted: T) -> i64 {
    let position = all.into_iter().position(|one| one == wanted);
    position
        .and_then(|index| i64::try_from(index).ok())
        .unwrap_or(0)
}
