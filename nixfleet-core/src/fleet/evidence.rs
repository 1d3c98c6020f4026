//! What results and facts prove: deploy outcome, deployment record, test result.

use super::turn::Turn;
use super::{Fleet, Host};
use crate::host::{
    DeployEvidence, DeployOutcome, HostObservation, ObservationUpdate, TestEvidence, TestKey,
};
use crate::ids::HostId;
use crate::time::Timestamp;

impl Host {
    /// Stores facts, and settles what they prove; tells whether anything changed.
    pub(super) fn take_in(&mut self, facts: ObservationUpdate, now: Timestamp) -> bool {
        let changed = self.record.observation.apply(facts);
        self.settle_by_record(now) || changed
    }

    /// The agent's own record for the command whose outcome was unknown settles it.
    fn settle_by_record(&mut self, now: Timestamp) -> bool {
        let deploy = &mut self.record.deploy;
        if !deploy.needs_reconcile {
            return false;
        }
        let record = self.record.observation.deployed.as_ref();
        let proves = record.is_some_and(|own| {
            own.command.is_some() && own.command == deploy.command && !own.inferred
        });
        if proves {
            deploy.needs_reconcile = false;
            deploy.outcome = DeployOutcome::Ok;
            deploy.at = Some(now);
            deploy.detail = Some("confirmed by the agent's record".to_owned());
        }
        proves
    }
}

impl Fleet {
    /// The outcome of a deploy-class command; an older one never replaces a newer one.
    pub(super) fn set_deploy(
        &mut self,
        turn: &mut Turn,
        id: &HostId,
        evidence: DeployEvidence,
        needs_reconcile: Option<bool>,
    ) {
        let Some(host) = self.hosts.get_mut(id) else {
            return;
        };
        let old = &host.record.deploy;
        if evidence.seq >= old.seq {
            let needs_reconcile = needs_reconcile.unwrap_or(old.needs_reconcile);
            host.record.deploy = DeployEvidence {
                needs_reconcile,
                ..evidence
            };
            turn.host_changed(id);
        }
    }

    pub(super) fn set_tests(&mut self, turn: &mut Turn, id: &HostId, evidence: TestEvidence) {
        if let Some(host) = self.hosts.get_mut(id) {
            host.record.tests = Some(evidence);
            turn.host_changed(id);
        }
    }
}

/// What a test of this host would be about, by its deployment record.
pub(crate) fn current_test_key(observation: &HostObservation) -> Option<TestKey> {
    let running = observation
        .system
        .as_ref()
        .and_then(|system| system.path.clone());
    match &observation.deployed {
        Some(deployed) => Some(TestKey {
            commit: deployed.commit?,
            lock: deployed.lock?,
            store_path: match deployed.store_path.clone().or(running) {
                None if !deployed.inferred => return None,
                path => path,
            },
        }),
        None => {
            let commit = observation.system.as_ref()?.claimed_commit()?;
            let repo = observation
                .repo
                .filter(|repo| repo.commit == commit && !repo.dirty)?;
            Some(TestKey {
                commit,
                lock: repo.lock.hash()?,
                store_path: Some(running?),
            })
        }
    }
}
