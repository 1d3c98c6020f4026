//! What the handlers of the API share: the way to the hub, and the translation of its answers.

use std::sync::Arc;

use http::StatusCode;
use nixfleet_core::admission::Refusal;
use nixfleet_core::fleet::Request;
use nixfleet_core::host::Actor;
use nixfleet_core::{CommandId, HostId, Op};
use serde::Deserialize;

use super::answers::{Granted, granted, note, noted};
use super::idempotency::Idempotency;
use crate::auth::{Auth, Caller, Permission};
use crate::clock::Clock;
use crate::hub::{Hub, HubGone, Note};
use crate::keyed::{self, Claim};
use crate::live::Snapshots;
use crate::notify::Notifier;
use crate::output::Output;
use crate::reject::{Problem, forbidden, unavailable};
use crate::store::Store;
use crate::telemetry::Telemetry;

/// What the handlers of the API need; cheap to clone.
#[derive(Clone)]
pub struct Api {
    /// Who may do what.
    pub auth: Arc<Auth>,
    /// Where requests go.
    pub hub: Hub,
    /// Full states.
    pub snapshots: Arc<Snapshots>,
    /// Output of commands.
    pub output: Arc<Output>,
    /// Load and last sign of life.
    pub telemetry: Arc<Telemetry>,
    /// The time.
    pub clock: Clock,
    /// The past, beyond what the fleet keeps in mind.
    pub store: Store,
    /// The configured remote, without credentials, as people know it.
    pub remote: Option<Arc<str>>,
    /// Who tells people.
    pub notifier: Notifier,
    /// Answers to keyed requests.
    pub idempotency: Arc<Idempotency>,
}

impl Api {
    /// Submits a request that has no answer but yes or no.
    pub(super) async fn submit(&self, principal: &Caller, request: Request) -> Result<(), Problem> {
        self.ask_for(principal, request).await.map(|_| ())
    }

    /// Submits a request; what was refused is a problem. What was carried out before, under the key
    /// of this task, is not submitted again.
    pub(super) async fn ask_for(
        &self,
        principal: &Caller,
        request: Request,
    ) -> Result<Granted, Problem> {
        let keyed = match keyed::claim() {
            Claim::CarriedOut(note) => return noted(&note),
            Claim::Fresh(keyed) => Some((keyed, note as Note)),
            Claim::None => None,
        };
        let peer = principal.peer.map(|peer| peer.to_string());
        let reply = self
            .hub
            .request_from(actor(principal), peer, request, keyed);
        granted(reply.await?)
    }

    /// A new unique id for a command.
    pub(super) fn fresh_id() -> CommandId {
        CommandId::from_bytes(uuid::Uuid::now_v7().into_bytes())
    }
}

impl From<HubGone> for Problem {
    fn from(gone: HubGone) -> Self {
        unavailable(gone.to_string())
    }
}

/// A request without fields; the body may be left out or be `{}`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Under which name somebody acts.
pub(super) fn actor(principal: &Caller) -> Actor {
    Actor::Person(principal.label())
}

/// Needs more than the route itself asked for.
pub(super) fn demand(principal: &Caller, permission: Permission) -> Result<(), Problem> {
    if principal.may(permission) {
        return Ok(());
    }
    Err(forbidden(format!(
        "{} may not do this; use a credential with a higher role",
        principal.label()
    )))
}

/// What somebody must be allowed to do in order to run an operation.
pub(super) const fn permission_for(op: Op) -> Permission {
    match op {
        Op::Remove => Permission::Administer,
        Op::MergePr | Op::RevertPr => Permission::Deploy,
        Op::Pull
        | Op::Switch
        | Op::PullSwitch
        | Op::Test
        | Op::Rollback
        | Op::Restart
        | Op::Reboot
        | Op::CheckVersion
        | Op::RefreshGit
        | Op::RefreshLock
        | Op::RefreshAll
        | Op::RefreshSystem
        | Op::UpdateInputs
        | Op::ForceRebuild
        | Op::SetColor
        | Op::Hold
        | Op::Release => Permission::Operate,
    }
}

/// A host as it stands in a path or a body.
pub(super) fn host_id(text: &str) -> Result<HostId, Problem> {
    text.parse().map_err(|_| unknown_host(text))
}

/// A command as it stands in a path or a body.
pub(super) fn command_id(text: &str) -> Result<CommandId, Problem> {
    text.parse().map_err(|_| unknown_command())
}

pub(super) fn unknown_host(name: &str) -> Problem {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(253).collect();
    Problem::new(
        StatusCode::NOT_FOUND,
        "unknown_host",
        "There is no such host",
    )
    .detail(format!(
        "no host named {shown:?} is known; nothing was started. See /api/v1/hosts"
    ))
    .with("host", shown)
}

pub(super) fn unknown_command() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "unknown_command",
        "There is no such command",
    )
    .detail("no such command is under way; it may have ended already")
}

/// A rule said no: 409 with its code.
pub(super) fn refused(refusal: &Refusal) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        refusal.code.code(),
        "The request was refused",
    )
    .detail(refusal.sentence())
    .with("help", refusal.what_would_help())
}

/// 503: what is on record cannot be read; the cause goes to the log only.
pub(super) fn unreadable_store(error: &crate::store::StoreError) -> Problem {
    tracing::error!(%error, "the past cannot be read");
    unavailable("the store cannot be read at the moment")
}

/// 503: the store takes nothing at the moment.
pub(super) fn unwritable_store(error: &crate::store::StoreError) -> Problem {
    tracing::error!(%error, "something could not be put on record");
    unavailable("the store cannot be written at the moment")
}

/// 422: well-formed, but not something that can be done.
pub(super) fn unprocessable(code: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        code,
        "The request has a value that cannot be used",
    )
    .detail(detail)
}
