//! The record of one run of one operation on one host.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::deadline::{Deadline, DeadlineReason};
use super::ending::Ending;
use super::event::Signal;
use super::exit::ExitReport;
use super::goal::Verdict;
use super::machine::Transcript;
use super::{Phase, Step, timing};
use crate::admission::{Admitted, Check, Conditions, Lane, Queueable, Refusal, Request};
use crate::compartment::{PullSwitchHalf, Status, Working};
use crate::desired::Remote;
use crate::host::{
    Actor, AgentBinary, AgentProtocol, Deployed, Generation, Repo, TestEvidence, TestKey,
};
use crate::ids::{CommandId, CommitId, HostId, LockHash, Sequence, StorePath, Token};
use crate::op::{Op, Performer};
use crate::report::{InputsUpdate, ResultKind};
use crate::time::Timestamp;

/// Arguments of a command; each belongs to one operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandArgs {
    /// `rollback`: the profile generation to activate; `None` is the previous one.
    pub generation: Option<u64>,
    /// `update-inputs`: the one input to update; `None` is all of them.
    pub input: Option<String>,
}

/// The desired state pinned when a command starts; it does not move with the remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The commit.
    pub commit: CommitId,
    /// The hash of its `flake.lock`.
    pub lock: Option<LockHash>,
}

impl Target {
    /// What the remote says now, if its commit is known.
    #[must_use]
    pub fn desired(remote: &Remote) -> Option<Self> {
        let Remote::Verified(snapshot) = remote else {
            return None;
        };
        Some(Self {
            commit: *snapshot.commit.as_ref().ok()?,
            lock: snapshot.lock.as_ref().ok().copied(),
        })
    }
}

/// The facts before the start, against which the facts after the end are judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// The agent process.
    pub instance_id: Option<Token>,
    /// The boot.
    pub boot_id: Option<Token>,
    /// The config checkout.
    pub repo: Option<Repo>,
    /// The deployment record.
    pub deployed: Option<Deployed>,
    /// Store path of the running system.
    pub system_path: Option<StorePath>,
    /// Store path that the profile named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_path: Option<StorePath>,
    /// The agent's binary.
    pub binary: AgentBinary,
    /// Whether the agent was not the version this server expects.
    pub agent_update_due: bool,
    /// Units that had failed already.
    pub failed_units: Option<Vec<String>>,
    /// What a test would have been about.
    pub test_key: Option<TestKey>,
}

impl Baseline {
    /// The facts of a host as they are now.
    #[must_use]
    pub fn of(conditions: &Conditions<'_>) -> Self {
        let observation = conditions.observation;
        Self {
            instance_id: conditions.identity.instance_id.clone(),
            boot_id: conditions.identity.boot_id.clone(),
            repo: observation.repo,
            deployed: observation.deployed.clone(),
            system_path: observation.system.as_ref().and_then(|s| s.path.clone()),
            profile_path: observation
                .system
                .as_ref()
                .and_then(|s| s.profile_path.clone()),
            binary: observation.binary.clone(),
            agent_update_due: conditions.agent == Status::Error,
            failed_units: observation.failed_units.clone(),
            test_key: conditions.test_key.cloned(),
        }
    }
}

/// The exit of a command as recorded by its agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// How it ended, in the agent's words.
    pub kind: ResultKind,
    /// The exit code.
    pub code: i32,
    /// When the server learnt it.
    pub at: Timestamp,
    /// One line of the agent: why it could not start, or the last complaint.
    #[serde(default)]
    pub message: Option<String>,
    /// Units that failed after it and not before, where compared.
    pub newly_failed: Option<Vec<String>>,
    /// The result of a `test` command.
    pub tests: Option<TestEvidence>,
    /// What an `update-inputs` did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<Box<InputsUpdate>>,
}

/// One run of one operation on one host: a record that a store can keep, and the state of its
/// lifecycle. Fields are public to be read; only the lifecycle writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Unique for ever.
    pub id: CommandId,
    /// The host.
    pub host: HostId,
    /// The operation.
    pub op: Op,
    /// Its arguments.
    pub args: CommandArgs,
    /// Who asked for it.
    pub actor: Actor,
    /// Whether force was used.
    pub force: bool,
    /// Whether the caller confirmed explicitly.
    pub confirmed: bool,
    /// Whether a busy host was overridden.
    pub override_busy: bool,
    /// Whether a second factor was required, and given when it was asked for.
    pub second_factor: Check,
    /// Why, in the actor's words.
    pub reason: Option<String>,
    /// The target of a rollout, which replaces the remote's.
    pub requested_target: Option<Target>,
    /// Its place on the host.
    pub lane: Lane,
    /// Number within the host, given when it is first sent; zero before.
    pub seq: Sequence,
    /// The protocol of the agent it was sent to.
    pub protocol: AgentProtocol,
    /// When it was asked for.
    pub created: Timestamp,
    /// The desired state pinned at the start.
    pub target: Option<Target>,
    /// The generation a rollback goes to; `None` is the previous one as the agent finds it.
    pub rollback: Option<Generation>,
    /// The facts before the start.
    pub baseline: Baseline,
    /// Where it is.
    pub phase: Phase,
    /// Since when.
    pub phase_since: Timestamp,
    /// Why it ended; set exactly in terminal phases.
    pub ending: Option<Ending>,
    /// The next moment the lifecycle wants to be called; none exactly in terminal phases.
    pub deadline: Option<Deadline>,
    /// When it was first given to the connection.
    pub sent_at: Option<Timestamp>,
    /// How often it was given to the connection.
    pub attempts: u32,
    /// End of the lease: an agent that speaks ids starts nothing after it.
    pub not_after: Option<Timestamp>,
    /// When the agent was first known to have it.
    pub acknowledged_at: Option<Timestamp>,
    /// Its process on the host.
    pub pid: Option<i64>,
    /// The warning timeout, once its clock runs.
    pub warn_at: Option<Timestamp>,
    /// The hard timeout, once its clock runs.
    pub hard_at: Option<Timestamp>,
    /// All extensions together.
    pub extended: Duration,
    /// The furthest half of a `pull-switch` that is known to have begun.
    pub half: Option<PullSwitchHalf>,
    /// The strongest signal sent.
    pub signal: Option<Signal>,
    /// How it exited, once known.
    pub exit: Option<Exit>,
    /// Whether its agent is connected, as far as this command was told.
    pub connected: bool,
    /// Whether its agent registered again after the operation began.
    pub returned: bool,
    /// Whether its agent has a record that it activated a system.
    pub activated: bool,
    /// The last judgement of facts reported after the exit.
    pub verdict: Option<Verdict>,
    /// When the server was last restarted during this command.
    pub resumed_at: Option<Timestamp>,
    /// The latest moment this lifecycle has seen; time never runs backwards.
    pub latest: Timestamp,
}

impl Command {
    /// A command that waits in the queue until [`super::Event::Start`].
    #[must_use]
    pub fn queue(queueable: &Queueable, id: CommandId, now: Timestamp) -> Self {
        let mut command = Self::new(queueable.request(), id, now);
        command.deadline = Some(Deadline {
            at: now + timing::QUEUE,
            reason: DeadlineReason::QueueExpiry,
        });
        command
    }

    /// A command that starts at once; `seq` is the next sequence number of the host. The steps
    /// are those of its first sending.
    #[must_use]
    pub fn start(
        admitted: Admitted,
        id: CommandId,
        seq: Sequence,
        now: Timestamp,
    ) -> (Self, Vec<Step>) {
        let (command, trace) = Self::start_traced(admitted, id, seq, now);
        (command, trace.steps)
    }

    /// [`Command::start`], and the rows of the table that were used.
    #[must_use]
    pub fn start_traced(
        admitted: Admitted,
        id: CommandId,
        seq: Sequence,
        now: Timestamp,
    ) -> (Self, Transcript) {
        let mut command = Self::new(admitted.request(), id, now);
        let mut trace = command.handle_traced(&super::Event::Start, now);
        let admitted = Box::new(admitted);
        let sent = command.handle_traced(&super::Event::ValidateOk { admitted, seq }, now);
        trace.rows.extend(sent.rows);
        trace.steps.extend(sent.steps);
        (command, trace)
    }

    /// The record of a command that was refused; nothing was sent.
    #[must_use]
    pub fn refused(
        request: &Request,
        refusal: Refusal,
        id: CommandId,
        now: Timestamp,
    ) -> (Self, Vec<Step>) {
        let (command, trace) = Self::refused_traced(request, refusal, id, now);
        (command, trace.steps)
    }

    /// [`Command::refused`], and the rows of the table that were used.
    #[must_use]
    pub fn refused_traced(
        request: &Request,
        refusal: Refusal,
        id: CommandId,
        now: Timestamp,
    ) -> (Self, Transcript) {
        let mut command = Self::new(request, id, now);
        let mut trace = command.handle_traced(&super::Event::Start, now);
        let refused = command.handle_traced(&super::Event::ValidateFail(refusal), now);
        trace.rows.extend(refused.rows);
        trace.steps.extend(refused.steps);
        (command, trace)
    }

    /// What was asked for, to be admitted again when the command leaves the queue. The caller
    /// decides anew whether the actor still has the right.
    #[must_use]
    pub fn request(&self) -> Request {
        Request {
            host: self.host.clone(),
            op: self.op,
            args: self.args.clone(),
            actor: self.actor.clone(),
            permitted: true,
            second_factor: self.second_factor,
            force: self.force,
            confirmed: self.confirmed,
            override_busy: self.override_busy,
            reason: self.reason.clone(),
            target: self.requested_target,
        }
    }

    /// What is laid over the host's compartments: from `EXECUTING` to the end of `VERIFYING`.
    #[must_use]
    pub fn working(&self) -> Option<Working> {
        let works = self.phase.is_active() && self.phase != Phase::Validating;
        works.then_some(Working {
            op: self.op,
            half: self.half,
            awaiting_reconnect: self.phase == Phase::AwaitingReconnect,
        })
    }

    /// Whether its agent recorded that it failed.
    pub(super) fn exited_badly(&self) -> bool {
        let exit = self.exit.as_ref();
        exit.is_some_and(|exit| exit.kind == ResultKind::Error)
    }

    /// Of two ended commands of a host, its row shows the one that was sent last; of those that
    /// never were, the one that ended last, which is this one.
    #[must_use]
    pub fn is_shown_instead_of(&self, ended: &Self) -> bool {
        self.seq >= ended.seq
    }

    /// Whether it was given to a connection at least once.
    #[must_use]
    pub const fn was_sent(&self) -> bool {
        self.sent_at.is_some()
    }

    /// Whether the agent may still start it although it has not acknowledged it.
    #[must_use]
    pub fn may_still_start(&self, now: Timestamp) -> bool {
        self.acknowledged_at.is_none() && self.lease_runs(now)
    }

    pub(super) fn lease_runs(&self, now: Timestamp) -> bool {
        self.lease_end().is_some_and(|end| now < end)
    }

    /// The moment after which nothing unacknowledged can start any more.
    pub(super) fn lease_end(&self) -> Option<Timestamp> {
        self.not_after.map(|end| end + timing::SKEW * 2)
    }

    pub(super) fn by_server(&self) -> bool {
        self.op.spec().performer == Performer::Server
    }

    pub(super) fn record_admission(&mut self, admitted: &Admitted, seq: Sequence, now: Timestamp) {
        self.seq = seq;
        self.lane = admitted.lane();
        self.target = admitted.target().copied();
        self.rollback = admitted.rollback().cloned();
        self.baseline = admitted.baseline().clone();
        self.protocol = admitted.protocol();
        self.connected = true;
        self.sent_at = Some(now);
        self.attempts = 1;
        let leased = self.protocol == AgentProtocol::Commands && !self.by_server();
        self.not_after = leased.then(|| now + timing::LEASE);
    }

    pub(super) fn record_exit(&mut self, report: &ExitReport, now: Timestamp) {
        let newly_failed = report.failed_after.as_ref().map(|after| {
            let before = report.failed_before.as_ref();
            let before = before.or(self.baseline.failed_units.as_ref());
            let new = after
                .iter()
                .filter(|unit| !before.is_some_and(|units| units.contains(unit)));
            new.cloned().collect()
        });
        self.exit = Some(Exit {
            kind: report.kind,
            code: report.code,
            at: now,
            message: report.message.clone(),
            newly_failed,
            tests: report.tests.clone(),
            update: report.update.clone().map(Box::new),
        });
        self.half = report.half.or(self.half);
        let named = |deployed: &Deployed| deployed.command == Some(self.id);
        self.activated |= report.deployed.as_ref().is_some_and(named);
    }

    fn new(request: &Request, id: CommandId, now: Timestamp) -> Self {
        Self {
            id,
            host: request.host.clone(),
            op: request.op,
            args: request.args.clone(),
            actor: request.actor.clone(),
            force: request.force,
            confirmed: request.confirmed,
            override_busy: request.override_busy,
            second_factor: request.second_factor,
            reason: request.reason.clone(),
            requested_target: request.target,
            lane: Lane::default(),
            seq: Sequence::default(),
            protocol: AgentProtocol::default(),
            created: now,
            target: None,
            rollback: None,
            baseline: Baseline::default(),
            phase: Phase::Pending,
            phase_since: now,
            ending: None,
            deadline: None,
            sent_at: None,
            attempts: 0,
            not_after: None,
            acknowledged_at: None,
            pid: None,
            warn_at: None,
            hard_at: None,
            extended: Duration::ZERO,
            half: None,
            signal: None,
            exit: None,
            connected: false,
            returned: false,
            activated: false,
            verdict: None,
            resumed_at: None,
            latest: now,
        }
    }
}
