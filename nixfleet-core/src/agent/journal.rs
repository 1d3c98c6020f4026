//! The agent's durable memory: which commands it started, how they ended, what it deployed
//! (spec 02 rules 2 and 3, spec 06 C).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::host::Deployed;
use crate::ids::{CommandId, Sequence, StorePath, Token};
use crate::op::Op;
use crate::time::Timestamp;
use crate::wire::agent::StatusReport;

/// How many confirmed commands are remembered, to answer redelivered ids with their result.
pub const REMEMBERED_COMMANDS: usize = 256;
/// How many deployments are remembered, to know what a rollback went back to.
pub const REMEMBERED_DEPLOYMENTS: usize = 64;

/// One durable step. The adapter makes it durable before it performs what follows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case")]
pub enum JournalEntry {
    /// A command is about to be started.
    Intent {
        /// The command.
        command: CommandId,
        /// What it remembers.
        record: CommandRecord,
    },
    /// A command was refused; nothing at or below its number will ever start.
    Refused {
        /// Its sequence number.
        seq: Sequence,
    },
    /// A command ended.
    Finished {
        /// The command.
        command: CommandId,
        /// The frame that reports it, re-sent unchanged until confirmed.
        result: Box<StatusReport>,
        /// What is deployed now, if the command changed that.
        deployed: Option<Deployed>,
    },
    /// The server stored the result.
    Confirmed {
        /// The command.
        command: CommandId,
    },
}

/// What the journal knows of one command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// The operation.
    pub op: Op,
    /// Its sequence number.
    pub seq: Sequence,
    /// When it was journaled.
    pub started_at: Timestamp,
    /// The boot in which it was journaled.
    pub boot_id: Option<Token>,
    /// The frame that reports its end, once it ended.
    pub result: Option<Box<StatusReport>>,
    /// Whether the server has stored that.
    pub confirmed: bool,
}

/// The journal as a value. Serialised as a whole for compaction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    /// Nothing at or below this number is ever started.
    pub high_water: Sequence,
    /// Commands by id.
    pub commands: BTreeMap<CommandId, CommandRecord>,
    /// The last deployment; `None` if there was none.
    pub deployed: Option<Deployed>,
    /// Deployments with known inputs, oldest first, at most one for each store path.
    pub deployments: Vec<Deployment>,
    /// A part of it was lost and nobody has dealt with that yet: nothing may be started, because it
    /// may have been started before. The adapter keeps this, beside the journal.
    #[serde(skip)]
    pub damaged: bool,
}

/// A deployment that can be rolled back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The sequence number of the command that made it: the number of the generation on hosts that
    /// keep no list of their own. It stays when a rollback goes back to it.
    pub number: u64,
    /// When that command was started.
    pub at: Timestamp,
    /// What was deployed.
    pub deployed: Deployed,
}

impl Journal {
    /// Takes in one entry. Applying an entry twice equals applying it once.
    pub fn apply(&mut self, entry: &JournalEntry) {
        match entry {
            JournalEntry::Intent { command, record } => {
                self.high_water = self.high_water.max(record.seq);
                self.commands
                    .entry(*command)
                    .or_insert_with(|| record.clone());
            }
            JournalEntry::Refused { seq } => self.high_water = self.high_water.max(*seq),
            JournalEntry::Finished {
                command,
                result,
                deployed,
            } => {
                if let Some(record) = self.commands.get_mut(command)
                    && record.result.is_none()
                {
                    record.result = Some(result.clone());
                    let (number, at) = (record.seq.0, record.started_at);
                    if let Some(deployed) = deployed {
                        self.remember(number, at, deployed.clone());
                    }
                }
            }
            JournalEntry::Confirmed { command } => {
                if let Some(record) = self.commands.get_mut(command) {
                    record.confirmed = record.result.is_some();
                }
                self.forget_old();
            }
        }
    }

    /// A part of what was written here can no longer be read. What else is there stays, but it is
    /// not known any more what runs: the lost part may have told of a deployment, even of one under
    /// a name that an earlier one has, too.
    pub fn lose_part(&mut self) {
        self.damaged = true;
        self.deployed = Some(Deployed {
            commit: None,
            lock: None,
            store_path: None,
            clean: false,
            command: None,
            inferred: false,
        });
        self.deployments.retain(|deployment| {
            let path = deployment.deployed.store_path.as_ref();
            path.is_some_and(StorePath::is_content_addressed)
        });
    }

    /// The command that was started and has not ended, if there is one (not `restart`).
    #[must_use]
    pub fn unfinished(&self) -> Vec<(CommandId, &CommandRecord)> {
        let open = self
            .commands
            .iter()
            .filter(|(_, record)| record.result.is_none());
        open.map(|(id, record)| (*id, record)).collect()
    }

    /// Results the server has not confirmed, oldest first.
    #[must_use]
    pub fn unconfirmed(&self) -> Vec<(CommandId, &StatusReport)> {
        let mut open: Vec<_> = self
            .commands
            .iter()
            .filter(|(_, record)| !record.confirmed)
            .collect();
        open.sort_by_key(|(_, record)| record.seq);
        open.into_iter()
            .filter_map(|(id, record)| Some((*id, record.result.as_deref()?)))
            .collect()
    }

    /// The deployment that made this store path, if its inputs are known.
    #[must_use]
    pub fn deployment_of(&self, path: &StorePath) -> Option<&Deployed> {
        self.deployments
            .iter()
            .map(|deployment| &deployment.deployed)
            .find(|deployed| deployed.store_path.as_ref() == Some(path))
    }

    /// The deployment with this number, if its inputs are known.
    #[must_use]
    pub fn deployment_numbered(&self, number: u64) -> Option<&Deployed> {
        let mut all = self.deployments.iter();
        let found = all.find(|deployment| deployment.number == number);
        found.map(|deployment| &deployment.deployed)
    }

    fn remember(&mut self, number: u64, at: Timestamp, deployed: Deployed) {
        if deployed.commit.is_some() && deployed.clean && deployed.store_path.is_some() {
            let mut all = self.deployments.iter_mut();
            match all.find(|known| known.deployed.store_path == deployed.store_path) {
                Some(known) => known.deployed = deployed.clone(),
                None => self.deployments.push(Deployment {
                    number,
                    at,
                    deployed: deployed.clone(),
                }),
            }
            let surplus = self
                .deployments
                .len()
                .saturating_sub(REMEMBERED_DEPLOYMENTS);
            self.deployments.drain(..surplus);
        }
        self.deployed = Some(deployed);
    }

    fn forget_old(&mut self) {
        let mut confirmed: Vec<_> = self
            .commands
            .iter()
            .filter(|(_, record)| record.confirmed)
            .map(|(id, record)| (record.seq, *id))
            .collect();
        confirmed.sort_unstable();
        let surplus = confirmed.len().saturating_sub(REMEMBERED_COMMANDS);
        for (_, id) in confirmed.into_iter().take(surplus) {
            self.commands.remove(&id);
        }
    }
}
