//! The reference of judging: reading the same facts once, and nothing else.

use nixfleet_core::ClaimedRevision;
use nixfleet_core::CommitRef;
use nixfleet_core::compartment::HostFacts;
use nixfleet_core::host::{DeployOutcome, LockReport, Presence, TestVerdict};

use crate::hosts::Stored;

/// The bytes of the facts of all hosts, one after the other: of each host as many as its
/// [`HostFacts`] have in memory.
#[must_use]
pub fn fact_bytes(hosts: &[Stored]) -> Vec<u8> {
    let size = size_of::<HostFacts>();
    let mut bytes = Vec::with_capacity(hosts.len() * size + 8);
    for (number, host) in hosts.iter().enumerate() {
        write(host, &mut bytes);
        let end = (number + 1) * size;
        assert!(bytes.len() <= end, "more facts than there are");
        bytes.resize(end, 0);
    }
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// All of them, eight at a time, folded with XOR.
#[must_use]
pub fn xor(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    words
        .iter()
        .fold(0, |sum, word| sum ^ u64::from_le_bytes(*word))
}

fn write(host: &Stored, out: &mut Vec<u8>) {
    let seen = &host.observation;
    out.push(seen.agent_version.is_some().into());
    if let Some(repo) = seen.repo {
        commit(Some(repo.commit), out);
        if let LockReport::Hash(lock) = repo.lock {
            out.extend(lock.as_bytes());
        }
        out.push(repo.dirty.into());
    }
    if let Some(deployed) = &seen.deployed {
        commit(deployed.commit, out);
        out.extend(deployed.lock.iter().flat_map(|lock| *lock.as_bytes()));
        out.push(deployed.clean.into());
    }
    if let Some(system) = &seen.system {
        let claimed = system.configuration_revision.as_ref();
        commit(claimed.and_then(ClaimedRevision::commit), out);
        out.push(system.reboot_required.into());
    }
    out.push(match host.deploy.outcome {
        DeployOutcome::Never => 0,
        DeployOutcome::Ok => 1,
        DeployOutcome::Failed => 2,
        DeployOutcome::Unknown => 3,
    });
    out.push(host.deploy.needs_reconcile.into());
    if let Some(tests) = &host.tests {
        if let Some(key) = &tests.key {
            commit(Some(key.commit), out);
            out.extend(key.lock.as_bytes());
        }
        out.push(match tests.verdict {
            TestVerdict::Pass => 0,
            TestVerdict::Fail => 1,
            TestVerdict::Stopped => 2,
            TestVerdict::Empty => 3,
            TestVerdict::Void => 4,
        });
        out.push(tests.per_script.into());
    }
    out.push(match host.presence {
        Presence::NeverSeen => 0,
        Presence::Online => 1,
        Presence::Offline { .. } => 2,
    });
}

/// Two hex digits make a byte.
fn commit(commit: Option<CommitRef>, out: &mut Vec<u8>) {
    let text = commit.map_or(String::new(), |commit| commit.to_string());
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    out.extend((0..text.len()).step_by(2).map(digit));
}
