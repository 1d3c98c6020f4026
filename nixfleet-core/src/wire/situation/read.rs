//! Facts to values. The only fallible step.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    CauseFacts, DeployFacts, DesiredFacts, HistoryFacts, HostFacts, LockVersionFacts,
    OffBranchFacts, OwnedSituation, SituationFacts, TestResultFacts,
};
use crate::desired::{DesiredState, Remote, RemoteCause, RemoteHistory, Snapshot, Unavailable};
use crate::history::{CommitHistory, OffBranch};
use crate::host::{
    AgentProtocol, DeployEvidence, HostIdentity, HostObservation, Presence, TestEvidence, TestKey,
};
use crate::ids::{CommitId, IdError};
use crate::lock::{FlakeLock, LockHistory, LockVersion};
use crate::wire::agent::{AgentFrame, CAPABILITY_COMMANDS, Heartbeat};
use crate::wire::convert::{
    AgentReport, MAX_ENTRIES, WireError, agent_message, cut, optional, parse,
};

impl TryFrom<SituationFacts> for OwnedSituation {
    type Error = WireError;

    fn try_from(facts: SituationFacts) -> Result<Self, WireError> {
        let silent = facts.host == HostFacts::default();
        let (identity, observation) = facts.host.read()?;
        let remote_in_grace = facts.desired.in_grace;
        Ok(Self {
            identity,
            observation,
            desired: facts.desired.read()?,
            deploy: facts.deploy.unwrap_or_default().read()?,
            tests: facts.tests.map(TestResultFacts::read).transpose()?,
            tests_enabled: facts.tests_enabled.unwrap_or(true),
            working: facts.working,
            presence: facts.presence.unwrap_or(if silent {
                Presence::NeverSeen
            } else {
                Presence::Online
            }),
            hold: facts.hold,
            quarantined: facts.quarantined,
            identity_conflict: facts.identity_conflict,
            remote_in_grace,
        })
    }
}

impl HostFacts {
    fn read(self) -> Result<(HostIdentity, HostObservation), WireError> {
        let capabilities = self.capabilities.into_iter().take(32).map(cut);
        let capabilities: Vec<String> = capabilities.collect();
        let ours = capabilities.iter().any(|own| own == CAPABILITY_COMMANDS);
        let identity = HostIdentity {
            protocol: if ours {
                AgentProtocol::Commands
            } else {
                AgentProtocol::Existing
            },
            capabilities,
            instance_id: optional("instance_id", self.instance_id)?,
            boot_id: optional("boot_id", self.boot_id)?,
            ..HostIdentity::default()
        };
        let beat = AgentFrame::Heartbeat(Box::new(Heartbeat {
            generation: self.generation,
            failed_units: self.failed_units,
            facts: self.facts,
            ..Heartbeat::default()
        }));
        let mut observation = HostObservation::default();
        if let Some(AgentReport::Heartbeat(beat)) = agent_message(beat, &identity)? {
            observation.apply(beat.facts);
        }
        if let Some(deployed) = &mut observation.deployed {
            deployed.inferred = self.deployed_inferred;
        }
        let version = self.agent_version.filter(|version| !version.is_empty());
        observation.agent_version = version.map(cut);
        Ok((identity, observation))
    }
}

impl DesiredFacts {
    fn read(self) -> Result<DesiredState, WireError> {
        let known = self.commit.is_some() || self.lock_hash.is_some() || self.subject.is_some();
        let snapshot = Snapshot {
            commit: half("desired.commit", self.commit, self.commit_error)?,
            lock: half("desired.lock_hash", self.lock_hash, self.lock_error)?,
            subject: self.subject.map(cut),
            commit_time: self.commit_time,
            branch: self.branch.map(cut),
            rewritten: self.rewritten,
        };
        let remote = match self.failed {
            None => Remote::Verified(snapshot),
            Some(failed) => Remote::Failed {
                since: failed.since.unwrap_or_default(),
                why: failed.read(),
                last_good: known.then_some(snapshot),
            },
        };
        let history = self.history.map(HistoryFacts::read).transpose()?;
        Ok(DesiredState {
            agent_version: cut(self.agent_version),
            remote,
            verified_at: self.verified_at,
            history: history.map(Arc::new),
            pending_pr: self.update_pr,
        })
    }
}

/// One half of the desired state: known, or why it is not.
fn half<T: std::str::FromStr<Err = IdError>>(
    field: &'static str,
    text: Option<String>,
    error: Option<CauseFacts>,
) -> Result<Result<T, Unavailable>, WireError> {
    Ok(match (text, error) {
        (_, Some(error)) => Err(error.read()),
        (Some(text), None) => Ok(parse(field, &text)?),
        (None, None) => Err(Unavailable::new(RemoteCause::FieldMissing, field)),
    })
}

impl CauseFacts {
    fn read(self) -> Unavailable {
        Unavailable::new(self.cause, self.detail)
    }
}

impl HistoryFacts {
    fn read(self) -> Result<RemoteHistory, WireError> {
        let commits = self.commits.iter().map(|text| commit_id(text));
        let commits: Vec<CommitId> = commits.collect::<Result<_, _>>()?;
        let mut beside = BTreeMap::new();
        for (commit, counts) in &self.off_branch {
            let OffBranchFacts { ahead, behind } = *counts;
            beside.insert(commit_id(commit)?, OffBranch { ahead, behind });
        }
        let locks = self.locks.into_iter().map(LockVersionFacts::read);
        let history = CommitHistory::with_off_branch(commits, beside);
        Ok(RemoteHistory {
            commits: history.with_reachable(self.reachable),
            locks: LockHistory::new(locks.collect::<Result<_, _>>()?),
        })
    }
}

fn commit_id(text: &str) -> Result<CommitId, WireError> {
    parse("desired.history.commits", text)
}

impl LockVersionFacts {
    /// A lock that cannot be read still has a hash: only its inputs cannot be compared.
    fn read(self) -> Result<LockVersion, WireError> {
        let lock = self.content.map(|text| FlakeLock::parse(text.as_bytes()));
        Ok(LockVersion {
            commit: commit_id(&self.commit)?,
            hash: parse("desired.history.locks", &self.lock_hash)?,
            time: self.time,
            summary: lock
                .and_then(Result::ok)
                .map(|lock| Arc::new(lock.summary())),
        })
    }
}

impl DeployFacts {
    fn read(self) -> Result<DeployEvidence, WireError> {
        Ok(DeployEvidence {
            outcome: self.outcome,
            command: optional("deploy.command_id", self.command_id)?,
            needs_reconcile: self.needs_reconcile,
            at: self.at,
            detail: self.detail.map(cut),
            ..DeployEvidence::default()
        })
    }
}

impl TestResultFacts {
    fn read(self) -> Result<TestEvidence, WireError> {
        let key = match self.key {
            None => None,
            Some(key) => Some(TestKey {
                commit: parse("tests.key.commit", &key.commit)?,
                lock: parse("tests.key.lock_hash", &key.lock_hash)?,
                store_path: optional("tests.key.store_path", key.store_path)?,
            }),
        };
        Ok(TestEvidence {
            key,
            verdict: self.verdict,
            per_script: self.per_script,
            ran: self.ran,
            failed: self.failed.into_iter().take(MAX_ENTRIES).map(cut).collect(),
            skipped: self.skipped,
            at: self.at,
        })
    }
}
