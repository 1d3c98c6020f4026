//! The reference of assessing: reading the same facts once, and nothing else.

use nixfleet_core::StorePath;
use nixfleet_core::host::{DeployOutcome, LockReport, Presence, TestVerdict};

use crate::hosts::Stored;

/// The bytes of the facts that the rules look at, of all hosts, one after the other without gaps:
/// the fastest form in which they can be read.
#[must_use]
pub fn fact_bytes(hosts: &[Stored]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for host in hosts {
        write(host, &mut bytes);
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
    text(seen.agent_version.as_deref(), out);
    if let Some(repo) = seen.repo {
        out.extend(digits(&repo.commit.to_string()));
        if let LockReport::Hash(lock) = repo.lock {
            out.extend(lock.as_bytes());
        }
        out.push(repo.dirty.into());
    }
    if let Some(deployed) = &seen.deployed {
        out.extend(deployed.commit.iter().flat_map(|c| digits(&c.to_string())));
        out.extend(deployed.lock.iter().flat_map(|lock| *lock.as_bytes()));
        text(deployed.store_path.as_ref().map(StorePath::as_str), out);
        out.push(deployed.clean.into());
        out.push(deployed.inferred.into());
    }
    if let Some(system) = &seen.system {
        text(system.path.as_ref().map(StorePath::as_str), out);
        if let Some(claim) = system.claimed_commit() {
            out.extend(digits(&claim.to_string()));
        }
        out.push(system.reboot_required.into());
    }
    out.push(match host.deploy.outcome {
        DeployOutcome::Never => 0,
        DeployOutcome::Ok => 1,
        DeployOutcome::Failed => 2,
        DeployOutcome::Unknown => 3,
    });
    out.push(host.deploy.needs_reconcile.into());
    out.extend(host.deploy.command.iter().flat_map(|id| *id.as_bytes()));
    out.extend(
        host.deploy
            .at
            .iter()
            .flat_map(|at| format!("{at:?}").into_bytes().into_iter().take(8)),
    );
    if let Some(tests) = &host.tests {
        if let Some(key) = &tests.key {
            out.extend(digits(&key.commit.to_string()));
            out.extend(key.lock.as_bytes());
            text(key.store_path.as_ref().map(StorePath::as_str), out);
        }
        out.push(match tests.verdict {
            TestVerdict::Pass => 0,
            TestVerdict::Fail => 1,
            TestVerdict::Stopped => 2,
            TestVerdict::Empty => 3,
            TestVerdict::Void => 4,
        });
        out.push(tests.per_script.into());
        out.extend(tests.ran.to_le_bytes());
        out.extend(
            u32::try_from(tests.failed.len())
                .unwrap_or(u32::MAX)
                .to_le_bytes(),
        );
    }
    out.push(match host.presence {
        Presence::NeverSeen => 0,
        Presence::Online => 1,
        Presence::Offline { .. } => 2,
    });
}

/// Two hex digits make a byte.
fn digits(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

fn text(text: Option<&str>, out: &mut Vec<u8>) {
    out.extend(text.unwrap_or_default().as_bytes());
}
