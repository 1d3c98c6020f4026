//! Which commands belong to which host, so that no host writes into the output of another.

use std::collections::{BTreeMap, VecDeque};

use nixfleet_core::{CommandId, HostId};

/// Commands of one host that may still have something to say.
const KEPT: usize = 4;

/// The most recent commands of every host, the newest last.
#[derive(Debug, Default)]
pub(super) struct Owners(BTreeMap<HostId, VecDeque<Owned>>);

#[derive(Clone, Copy, Debug)]
struct Owned {
    command: CommandId,
    active: bool,
}

impl Owners {
    pub fn note(&mut self, host: &HostId, command: CommandId, active: bool) {
        let owned = self.0.entry(host.clone()).or_default();
        if let Some(known) = owned.iter_mut().find(|known| known.command == command) {
            known.active = active;
            return;
        }
        owned.push_back(Owned { command, active });
        while owned.len() > KEPT {
            let ended = owned.iter().position(|known| !known.active);
            owned.remove(ended.unwrap_or(0));
        }
    }

    pub fn forget(&mut self, host: &HostId) {
        self.0.remove(host);
    }

    pub fn owns(&self, host: &HostId, command: CommandId) -> bool {
        let owned = self.0.get(host);
        owned.is_some_and(|owned| owned.iter().any(|known| known.command == command))
    }

    /// The active command that was made first, else the one that ended last.
    pub fn latest(&self, host: &HostId) -> Option<CommandId> {
        let owned = self.0.get(host)?;
        let active = owned.iter().find(|known| known.active);
        active.or(owned.back()).map(|known| known.command)
    }
}
