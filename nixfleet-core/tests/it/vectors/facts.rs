//! Values to facts: what a host and a server would write about a world of these tests.

use nixfleet_core::desired::{DesiredState, Remote, Snapshot, Unavailable};
use nixfleet_core::host::{
    DeployEvidence, Deployed, Generation, HostObservation, LockReport, Presence, RunningSystem,
    TestEvidence,
};
use nixfleet_core::wire::Field;
use nixfleet_core::wire::agent::{DeployedFacts, Facts, GenerationFacts, RepoFacts, SystemFacts};
use nixfleet_core::wire::situation::{
    CauseFacts, DeployFacts, DesiredFacts, HistoryFacts, HostFacts, LockVersionFacts,
    OffBranchFacts, SituationFacts, TestResultFacts, TestedFacts,
};
use nixfleet_core::{CommitHistory, LockVersion};

use crate::compartments_world::World;

pub fn situation(world: &World) -> SituationFacts {
    let online = world.presence == Presence::Online;
    SituationFacts {
        host: host(&world.observation, world.existing),
        desired: DesiredFacts {
            in_grace: world.in_grace,
            ..desired(&world.desired)
        },
        deploy: (world.deploy != DeployEvidence::default()).then(|| deploy(&world.deploy)),
        tests: world.tests.as_ref().map(tests),
        tests_enabled: (!world.tests_enabled).then_some(false),
        working: world.working,
        presence: (!online).then_some(world.presence),
        hold: world.hold.clone(),
        quarantined: world.quarantined,
        identity_conflict: world.identity_conflict,
    }
}

/// What a host says: an existing one in the words of its protocol, as far as those go.
pub fn host(seen: &HostObservation, existing: bool) -> HostFacts {
    let ours = ["commands", "lock", "deployed"].map(str::to_owned).to_vec();
    let mut facts = HostFacts {
        agent_version: seen.agent_version.clone(),
        capabilities: if existing { Vec::new() } else { ours },
        failed_units: seen
            .failed_units
            .clone()
            .map_or(Field::Absent, Field::Value),
        deployed_inferred: seen.deployed.as_ref().is_some_and(|record| record.inferred),
        facts: Facts {
            source_commit: seen.binary.source_commit.clone(),
            store_path: seen.binary.store_path.clone(),
            binary_hash: seen.binary.binary_hash.clone(),
            expected_store_path: seen.binary.expected_path.clone(),
            deployed: seen
                .deployed
                .as_ref()
                .map_or(Field::Absent, |it| Field::Value(deployed(it))),
            system: seen
                .system
                .as_ref()
                .map_or(Field::Absent, |it| Field::Value(system(it))),
            repo_error: seen.repo_error.clone().map_or(Field::Absent, Field::Value),
            ..Facts::default()
        },
        ..HostFacts::default()
    };
    if !seen.generations.is_empty() {
        facts.facts.generations = Field::Value(seen.generations.iter().map(generation).collect());
    }
    if let Some(repo) = &seen.repo {
        facts.facts.lock_hash = match repo.lock {
            LockReport::NotReported => Field::Absent,
            LockReport::Missing => Field::Null,
            LockReport::Hash(hash) => Field::Value(hash.to_string()),
        };
        if existing && !repo.dirty {
            facts.generation = Some(repo.commit.to_string());
        } else {
            facts.facts.repo = Field::Value(RepoFacts {
                commit: repo.commit.to_string(),
                dirty: repo.dirty,
            });
        }
    }
    facts
}

fn deployed(record: &Deployed) -> DeployedFacts {
    DeployedFacts {
        commit: record.commit.map(|commit| commit.to_string()),
        lock_hash: record.lock.map(|lock| lock.to_string()),
        store_path: record.store_path.as_ref().map(|path| path.to_string()),
        clean: record.clean,
        command_id: record.command.map(|id| id.to_string()),
    }
}

fn system(running: &RunningSystem) -> SystemFacts {
    SystemFacts {
        path: running.path.as_ref().map(|path| path.to_string()),
        configuration_revision: running
            .configuration_revision
            .as_ref()
            .map(ToString::to_string),
        generation_number: running.profile_number,
        profile_path: running.profile_path.as_ref().map(|path| path.to_string()),
        booted_path: running.booted_path.as_ref().map(|path| path.to_string()),
        reboot_required: running.reboot_required,
    }
}

fn generation(one: &Generation) -> GenerationFacts {
    GenerationFacts {
        number: one.number,
        path: one.path.as_ref().map(|path| path.to_string()),
        commit: one.commit.map(|commit| commit.to_string()),
        created_at: one.created.map(|at| at.to_rfc3339()),
        current: one.current,
    }
}

pub fn desired(state: &DesiredState) -> DesiredFacts {
    let facts = match &state.remote {
        Remote::Verified(known) => snapshot(known),
        Remote::Failed {
            why,
            since,
            last_good,
        } => DesiredFacts {
            failed: Some(CauseFacts {
                since: Some(*since),
                ..cause(why)
            }),
            ..last_good.as_ref().map(snapshot).unwrap_or_default()
        },
    };
    DesiredFacts {
        agent_version: state.agent_version.clone(),
        verified_at: state.verified_at,
        history: state.history.as_ref().map(|known| HistoryFacts {
            locks: known.locks.versions().iter().map(lock_version).collect(),
            ..commits(&known.commits)
        }),
        update_pr: state.pending_pr.clone(),
        ..facts
    }
}

fn snapshot(known: &Snapshot) -> DesiredFacts {
    DesiredFacts {
        commit: known.commit.as_ref().ok().map(ToString::to_string),
        lock_hash: known.lock.as_ref().ok().map(ToString::to_string),
        commit_error: known.commit.as_ref().err().map(cause),
        lock_error: known.lock.as_ref().err().map(cause),
        subject: known.subject.clone(),
        commit_time: known.commit_time,
        branch: known.branch.clone(),
        rewritten: known.rewritten,
        ..DesiredFacts::default()
    }
}

fn cause(why: &Unavailable) -> CauseFacts {
    CauseFacts {
        cause: why.cause,
        detail: why.detail.clone(),
        since: None,
    }
}

/// What can be read back of a history; commits beside the branch are asked for by these names.
fn commits(known: &CommitHistory) -> HistoryFacts {
    HistoryFacts {
        commits: known.commits().iter().map(ToString::to_string).collect(),
        ..HistoryFacts::default()
    }
}

pub fn beside(ahead: u32, behind: u32) -> OffBranchFacts {
    OffBranchFacts { ahead, behind }
}

fn lock_version(version: &LockVersion) -> LockVersionFacts {
    LockVersionFacts {
        commit: version.commit.to_string(),
        lock_hash: version.hash.to_string(),
        time: version.time,
        content: None,
    }
}

fn deploy(evidence: &DeployEvidence) -> DeployFacts {
    DeployFacts {
        outcome: evidence.outcome,
        needs_reconcile: evidence.needs_reconcile,
        command_id: evidence.command.map(|id| id.to_string()),
        at: evidence.at,
        detail: evidence.detail.clone(),
    }
}

/// What a result is about.
pub fn tested(run: &TestEvidence) -> Option<TestedFacts> {
    run.key.as_ref().map(|key| TestedFacts {
        commit: key.commit.to_string(),
        lock_hash: key.lock.to_string(),
        store_path: key.store_path.as_ref().map(|path| path.to_string()),
    })
}

fn tests(run: &TestEvidence) -> TestResultFacts {
    TestResultFacts {
        key: tested(run),
        verdict: run.verdict,
        per_script: run.per_script,
        ran: run.ran,
        failed: run.failed.clone(),
        skipped: run.skipped,
        at: run.at,
    }
}
