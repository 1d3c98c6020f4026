//! What results and facts prove: deploy outcome, deployment record, test result.

use super::turn::Turn;
use super::Fleet;
use crate::host::{
    AgentProtocol, Deployed, DeployEvidence, DeployOutcome, HostObservation, TestEvidence, TestKey,
    TestVerdict, Update,
};
use crate::ids::{CommandId, HostId, StorePath};
use crate::lifecycle::ExitReport;
use crate::op::Op;
use crate::report::{CommandResult, ResultKind, TestRun};
use crate::time::Timestamp;

/// Stands for the store path that an existing agent does not report.
const UNREPORTED: &str = "unreported";

impl Fleet {
    /// The exit of a command as its lifecycle wants to know it; facts are stored on the way.
    pub(super) fn exit_report(&self, id: &HostId, result: CommandResult, now: Timestamp) -> ExitReport {
        let deployed = match &result.facts.deployed {
            Update::Set(deployed) if deployed.command == result.command => Some(deployed.clone()),
            Update::Set(_) | Update::Gone | Update::Unchanged => None,
        };
        let tests = match &result.tests {
            Some(run) => Some(test_evidence(run, now)),
            None => None,
        };
        let _ = id;
        let (failed_before, failed_after) = result.failed_units.unzip();
        ExitReport {
            id: result.command,
            op: result.op,
            seq: result.seq,
            code: result.exit_code.unwrap_or(match result.kind {
                ResultKind::Ok => 0,
                ResultKind::Error | ResultKind::Stopped | ResultKind::Interrupted => -1,
            }),
            stopped: result.kind == ResultKind::Stopped,
            interrupted: result.kind == ResultKind::Interrupted,
            message: result.message,
            half: None,
            failed_before,
            failed_after,
            deployed,
            tests,
        }
    }

    /// The agent's own record for the command whose outcome was unknown settles it.
    pub(super) fn settle_by_record(&mut self, turn: &mut Turn, id: &HostId, now: Timestamp) {
        let Some(host) = self.hosts.get_mut(id) else { return };
        let deploy = &mut host.record.deploy;
        let record = host.record.observation.deployed.as_ref();
        let proves = record.is_some_and(|own| own.command.is_some() && own.command == deploy.command && !own.inferred);
        if deploy.needs_reconcile && proves {
            deploy.needs_reconcile = false;
            deploy.outcome = DeployOutcome::Ok;
            deploy.at = Some(now);
            deploy.detail = Some("confirmed by the agent's record".to_owned());
            turn.host_changed(id);
        }
    }

    /// An existing agent keeps no deployment record: it is inferred if the checkout was the same
    /// before the switch and after it (spec 03).
    pub(super) fn infer_deployment(&mut self, turn: &mut Turn, id: &HostId) {
        let Some(host) = self.hosts.get_mut(id) else { return };
        let Some((command, before)) = host.inference.take() else { return };
        let observation = &mut host.record.observation;
        if observation.repo != Some(before) {
            return;
        }
        let Ok(path) = UNREPORTED.parse::<StorePath>() else { return };
        observation.deployed = Some(Deployed {
            commit: Some(before.commit),
            lock: before.lock.hash(),
            store_path: Some(path),
            clean: !before.dirty,
            command: Some(command),
            inferred: true,
        });
        turn.host_changed(id);
    }

    pub(super) fn set_deploy(&mut self, turn: &mut Turn, id: &HostId, evidence: DeployEvidence) {
        let Some(host) = self.hosts.get_mut(id) else { return };
        if evidence.seq >= host.record.deploy.seq {
            host.record.deploy = evidence;
            turn.host_changed(id);
        }
    }

    pub(super) fn set_tests(&mut self, turn: &mut Turn, id: &HostId, evidence: TestEvidence) {
        if let Some(host) = self.hosts.get_mut(id) {
            host.record.tests = Some(evidence);
            turn.host_changed(id);
        }
    }

    /// What remains to be noted when a command of an existing agent exits: its switch is a
    /// deployment if the checkout stays, its rollback ends what was inferred, its test result is
    /// about what was deployed when it started.
    pub(super) fn existing_agent_exit(&mut self, turn: &mut Turn, command: CommandId, report: &ExitReport, now: Timestamp) {
        let Some(command) = self.commands.get(&command).filter(|c| c.protocol == AgentProtocol::Existing) else {
            return;
        };
        let (op, id, host_id) = (command.op, command.id, command.host.clone());
        let (repo_before, key) = (command.baseline.repo, command.baseline.test_key.clone());
        let Some(host) = self.hosts.get_mut(&host_id) else { return };
        if op == Op::Rollback || (op.is_deploy() && report.code != 0) {
            host.record.observation.deployed = None;
            turn.host_changed(&host_id);
        } else if op.is_deploy() {
            host.inference = repo_before.map(|repo| (id, repo));
        } else if op == Op::Test {
            let unchanged = key.filter(|key| Some(key) == current_test_key(&host.record.observation).as_ref());
            let verdict = match (report.stopped, report.code) {
                (true, _) => TestVerdict::Stopped,
                (false, 0) => TestVerdict::Pass,
                (false, _) => TestVerdict::Fail,
            };
            let failed = if verdict == TestVerdict::Fail { vec!["tests".to_owned()] } else { Vec::new() };
            let evidence =
                TestEvidence { key: unchanged, verdict, per_script: false, ran: 1, failed, skipped: 0, at: now };
            self.set_tests(turn, &host_id, evidence);
        }
    }
}

/// What a test of this host would be about, by its deployment record.
pub(super) fn current_test_key(observation: &HostObservation) -> Option<TestKey> {
    let running = observation.system.as_ref().and_then(|system| system.path.clone());
    match &observation.deployed {
        Some(deployed) => Some(TestKey {
            commit: deployed.commit?,
            lock: deployed.lock?,
            store_path: deployed.store_path.clone().or(running)?,
        }),
        None => {
            let commit = observation.system.as_ref()?.configuration_revision?;
            let repo = observation.repo.filter(|repo| repo.commit == commit && !repo.dirty)?;
            Some(TestKey { commit, lock: repo.lock.hash()?, store_path: running? })
        }
    }
}

/// A result whose key changed between start and end is about nothing in particular.
fn test_evidence(run: &TestRun, now: Timestamp) -> TestEvidence {
    let verdict = match run.verdict {
        TestVerdict::Stopped => TestVerdict::Stopped,
        TestVerdict::Pass | TestVerdict::Fail | TestVerdict::Empty | TestVerdict::Void
            if run.key != run.key_end =>
        {
            TestVerdict::Void
        }
        TestVerdict::Pass | TestVerdict::Fail | TestVerdict::Empty | TestVerdict::Void => run.verdict,
    };
    TestEvidence {
        key: run.key.clone(),
        verdict,
        per_script: true,
        ran: run.ran,
        failed: run.failed.clone(),
        skipped: run.skipped,
        at: now,
    }
}
