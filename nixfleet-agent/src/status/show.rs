//! `nixfleet-agent status`.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use nixfleet_core::agent::{CommandRecord, Journal};
use nixfleet_core::host::Deployed;
use nixfleet_core::{CommandId, Timestamp};
use serde::Serialize;

use super::{Connection, FILE, StatusFile};
use crate::journal;
use crate::state::StateLock;

/// The last commands that are shown.
const SHOWN: usize = 5;

/// What `status` prints, and whether the agent is connected.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// The server has answered the registration of a running agent.
    pub connected: bool,
    /// Why not.
    pub reason: Option<String>,
    /// What the agent last wrote down about itself.
    pub agent: Option<StatusFile>,
    /// What it deployed last.
    pub deployed: Option<Deployed>,
    /// Its last commands, newest first.
    pub commands: Vec<ShownCommand>,
    /// Results that the server has not confirmed.
    pub unconfirmed: usize,
    /// No command with a number up to this one will be started.
    pub high_water: u64,
    /// Why the journal cannot be read.
    pub journal_error: Option<String>,
}

/// One command of the journal.
#[derive(Clone, Debug, Serialize)]
pub struct ShownCommand {
    /// Its id.
    pub command_id: CommandId,
    /// Its operation.
    pub op: &'static str,
    /// Its number.
    pub seq: u64,
    /// When it was started.
    pub started_at: Timestamp,
    /// `running`, or how it ended.
    pub status: String,
    /// Its exit code.
    pub exit_code: Option<i64>,
    /// One line about its end.
    pub message: Option<String>,
    /// Whether the server has stored the result.
    pub confirmed: bool,
}

/// Reads what there is to know in the state folder. Changes nothing and needs no running agent.
#[must_use]
pub fn show(folder: &Path) -> Shown {
    let agent = fs::read(folder.join(FILE))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<StatusFile>(&bytes).ok());
    let alive = StateLock::is_taken(folder);
    let reason = match (&agent, alive) {
        (_, Err(error)) => Some(format!("{} cannot be read: {error}", folder.display())),
        (None, Ok(false)) => Some(format!(
            "no agent has run with the state folder {}",
            folder.display()
        )),
        (None, Ok(true)) => Some("the agent is about to start".to_owned()),
        (Some(_), Ok(false)) => Some("the agent is not running; start its service".to_owned()),
        (Some(agent), Ok(true)) => match agent.connection {
            Connection::Connected => None,
            Connection::Stopped => Some("the agent is about to stop or to start".to_owned()),
            Connection::Disconnected => Some(agent.last_error.as_ref().map_or_else(
                || "the agent is about to connect".to_owned(),
                |failure| failure.message.clone(),
            )),
        },
    };
    let (journal, journal_error) = match journal::read(folder) {
        Ok(journal) => {
            let advice = journal.damaged.then(|| journal::advice(folder));
            (journal, advice)
        }
        Err(error) => (Journal::default(), Some(error.to_string())),
    };
    Shown {
        connected: reason.is_none(),
        reason,
        agent,
        commands: commands(&journal),
        unconfirmed: journal.unconfirmed().len(),
        high_water: journal.high_water.0,
        deployed: journal.deployed,
        journal_error,
    }
}

fn commands(journal: &Journal) -> Vec<ShownCommand> {
    let mut all: Vec<(&CommandId, &CommandRecord)> = journal.commands.iter().collect();
    all.sort_by_key(|(_, record)| std::cmp::Reverse(record.seq));
    all.into_iter()
        .take(SHOWN)
        .map(|(id, record)| {
            let result = record.result.as_deref();
            ShownCommand {
                command_id: *id,
                op: record.op.name(),
                seq: record.seq.0,
                started_at: record.started_at,
                status: result.map_or_else(|| "running".to_owned(), |r| r.status.clone()),
                exit_code: result.and_then(|result| result.exit_code),
                message: result.and_then(|result| result.message.clone()),
                confirmed: record.confirmed,
            }
        })
        .collect()
}

impl Shown {
    /// The report for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<12} {value}");
        };
        match (&self.reason, &self.agent) {
            (None, Some(agent)) => line(
                "connected",
                &format!("to {} since {}", agent.server, agent.since),
            ),
            (reason, _) => line("no", reason.as_deref().unwrap_or("connection")),
        }
        if let Some(agent) = &self.agent {
            line("host", &agent.host);
            line(
                "agent",
                &format!(
                    "{} (process {}, started {})",
                    agent.version, agent.pid, agent.started_at
                ),
            );
            if let Some(failure) = &agent.last_error {
                line(
                    "last error",
                    &format!("{}: {}", failure.at, failure.message),
                );
            }
            if let Some(path) = &agent.system.path {
                let claim = agent.system.configuration_revision.as_ref();
                let claim = claim.map_or_else(
                    || "claims no revision".to_owned(),
                    |claim| format!("claims {claim}"),
                );
                line("runs", &format!("{path}, {claim}"));
            }
            if let Some(running) = &agent.running {
                line("running", &format!("{} {}", running.op, running.command_id));
            }
        }
        if let Some(error) = &self.journal_error {
            line("journal", error);
        }
        match &self.deployed {
            None => line("deployed", "nothing yet by this agent"),
            Some(deployed) => line(
                "deployed",
                &format!(
                    "{} at {}",
                    deployed
                        .store_path
                        .as_ref()
                        .map_or("unknown", |p| p.as_str()),
                    deployed
                        .commit
                        .map_or_else(|| "an unknown commit".to_owned(), |c| c.short()),
                ),
            ),
        }
        for command in &self.commands {
            let exit = command.exit_code.map(|code| format!(" (exit {code})"));
            line(
                "command",
                &format!(
                    "{} #{} {} {}{}{}{}",
                    command.started_at,
                    command.seq,
                    command.op,
                    command.status,
                    exit.unwrap_or_default(),
                    if command.confirmed || command.status == "running" {
                        ""
                    } else {
                        ", not yet confirmed by the server"
                    },
                    command
                        .message
                        .as_ref()
                        .map(|message| format!(": {message}"))
                        .unwrap_or_default(),
                ),
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use nixfleet_core::host::RunningSystem;

    use super::*;

    #[test]
    fn what_runs_is_told_with_what_it_claims() {
        let told = |claim: Option<&str>| {
            let system = RunningSystem {
                path: Some("/nix/store/one-system".parse().unwrap()),
                configuration_revision: claim.map(|claim| claim.parse().unwrap()),
                ..RunningSystem::default()
            };
            let agent = StatusFile {
                pid: 7,
                version: "4.0.0".to_owned(),
                host: "web-1".to_owned(),
                server: "ws://server/ws".to_owned(),
                started_at: Timestamp::EPOCH,
                connection: Connection::Connected,
                since: Timestamp::EPOCH,
                last_error: None,
                running: None,
                system,
            };
            let folder = tempfile::tempdir().unwrap();
            fs::write(
                folder.path().join(FILE),
                serde_json::to_vec(&agent).unwrap(),
            )
            .unwrap();
            show(folder.path()).text()
        };
        for (claim, line) in [
            (
                None,
                "runs         /nix/store/one-system, claims no revision\n",
            ),
            (
                Some("abc1234-dirty"),
                "runs         /nix/store/one-system, claims abc1234-dirty\n",
            ),
        ] {
            let text = told(claim);
            assert!(text.contains(line), "{text}");
        }
    }
}
