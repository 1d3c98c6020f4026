//! Everything a client knows, and how a change alters it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::compact::{CompactStatus, World};
use super::{Change, CommandView, DesiredView, EventView, HostView, StatusUpdate, StatusView};
use crate::desired::PendingPr;
use crate::ids::{CommandId, HostId, RolloutId};
use crate::rollout::RolloutView;
use crate::time::Timestamp;
use crate::update::UpdatesView;

/// How many events clients keep.
pub const KEPT_EVENTS: usize = 200;
/// How many ended rollouts clients keep.
pub const KEPT_ROLLOUTS: usize = 20;

/// Everything a client knows. Entities are replaced whole, by key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncState {
    /// What the repository says should run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired: Option<DesiredView>,
    /// The open update pull request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_pr: Option<PendingPr>,
    /// Hosts: identity and facts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<HostId, HostView>,
    /// Their five statuses with reasons.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub statuses: BTreeMap<HostId, StatusView>,
    /// Open commands, and the last ended one of each host.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub commands: BTreeMap<CommandId, CommandView>,
    /// The last [`KEPT_EVENTS`] events.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "numbered"
    )]
    pub events: BTreeMap<u64, EventView>,
    /// Rollouts that have not ended, and the last [`KEPT_ROLLOUTS`] that have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rollouts: BTreeMap<RolloutId, RolloutView>,
    /// Update pull requests, if a forge is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updates: Option<Box<UpdatesView>>,
}

/// Keys of JSON objects are texts. Serde reads them as numbers only where it has not buffered the
/// object first, as it does if `payload` comes before `type`.
fn numbered<'de, D>(input: D) -> Result<BTreeMap<u64, EventView>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    let by_text = BTreeMap::<String, EventView>::deserialize(input)?;
    let number = |(key, event): (String, EventView)| match key.parse() {
        Ok(number) => Ok((number, event)),
        Err(_) => Err(serde::de::Error::custom(format!(
            "the number of an event is an integer, not {key:?}"
        ))),
    };
    by_text.into_iter().map(number).collect()
}

/// A compact change needs something that this state does not have: only a full state helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the change refers to something that is not in this state")]
pub struct NotHere;

impl SyncState {
    /// Applies a change; tells whether it changed anything, or that the change needs something
    /// that is not here.
    ///
    /// # Errors
    /// [`NotHere`]; then nothing was changed.
    pub fn apply(&mut self, change: &Change) -> Result<bool, NotHere> {
        Ok(match change {
            Change::HostAdded(host) | Change::HostUpdated(host) => {
                replace(&mut self.hosts, &host.id, &**host)
            }
            Change::StatusUpdated(StatusUpdate::Whole(status)) => {
                replace(&mut self.statuses, &status.id, &**status)
            }
            Change::StatusUpdated(StatusUpdate::Compact(status)) => {
                let whole = status.whole(self).ok_or(NotHere)?;
                replace(&mut self.statuses, &status.id, &whole)
            }
            Change::HostRemoved(id) => self.remove_host(id),
            Change::CommandStarted(command)
            | Change::CommandProgress(command)
            | Change::CommandFinished(command) => self.put_command(command),
            Change::UpdatePrChanged(pr) => {
                let changed = self.update_pr != *pr;
                self.update_pr.clone_from(pr);
                changed
            }
            Change::DesiredChanged(desired) => {
                let changed = self.desired.as_ref() != Some(desired);
                self.desired = Some((**desired).clone());
                changed
            }
            Change::Event(event) => self.put_event(event),
            Change::RolloutUpdated(rollout) => self.put_rollout(rollout),
            Change::UpdatesChanged(updates) => {
                let changed = self.updates.as_ref() != Some(updates);
                self.updates = Some(updates.clone());
                changed
            }
        })
    }

    /// Takes in the statuses of a host, and tells them as they go out: in few bytes if a client that
    /// has this state gets exactly them from these. `None` if nothing changes.
    pub(super) fn put_status(&mut self, view: Box<StatusView>) -> Option<StatusUpdate> {
        let before = self.statuses.get_mut(&view.id);
        if before.as_deref() == Some(&*view) {
            return None;
        }
        let compact = CompactStatus::of(&view);
        let whole = self.hosts.get(&view.id).and_then(|host| {
            compact.whole_in(&World {
                host,
                desired: self.desired.as_ref(),
                update_pr: self.update_pr.as_ref(),
                before: before.as_deref(),
            })
        });
        let fits = whole.as_ref() == Some(&*view);
        let id = view.id.clone();
        let (kept, told) = match whole.filter(|_| fits) {
            Some(whole) => (whole, StatusUpdate::Compact(Box::new(compact))),
            None => ((*view).clone(), StatusUpdate::Whole(view)),
        };
        match before {
            Some(before) => *before = kept,
            None => drop(self.statuses.insert(id, kept)),
        }
        Some(told)
    }

    /// Takes in a part of a full state.
    pub fn merge(&mut self, part: SyncState) {
        self.desired = part.desired.or(self.desired.take());
        self.update_pr = part.update_pr.or(self.update_pr.take());
        self.updates = part.updates.or(self.updates.take());
        self.hosts.extend(part.hosts);
        self.statuses.extend(part.statuses);
        self.commands.extend(part.commands);
        self.events.extend(part.events);
        self.rollouts.extend(part.rollouts);
    }

    /// Pieces with at most `hosts` hosts each; at least one piece.
    #[must_use]
    pub fn split(&self, hosts: usize) -> Vec<SyncState> {
        let mut pieces = Vec::new();
        let mut all = self.hosts.iter().peekable();
        while all.peek().is_some() {
            let mut piece = SyncState::default();
            for (id, host) in all.by_ref().take(hosts.max(1)) {
                piece.hosts.insert(id.clone(), host.clone());
                if let Some(status) = self.statuses.get(id) {
                    piece.statuses.insert(id.clone(), status.clone());
                }
            }
            pieces.push(piece);
        }
        if pieces.is_empty() {
            pieces.push(SyncState::default());
        }
        if let Some(first) = pieces.first_mut() {
            first.desired.clone_from(&self.desired);
            first.update_pr.clone_from(&self.update_pr);
            first.updates.clone_from(&self.updates);
            first.commands.clone_from(&self.commands);
            first.events.clone_from(&self.events);
            first.rollouts.clone_from(&self.rollouts);
        }
        pieces
    }

    fn remove_host(&mut self, id: &HostId) -> bool {
        let known = self.hosts.remove(id).is_some();
        let status = self.statuses.remove(id).is_some();
        let before = self.commands.len();
        self.commands.retain(|_, command| command.host != *id);
        known || status || before != self.commands.len()
    }

    /// Of the ended commands of a host only the newest is kept, and an older one never comes back.
    fn put_command(&mut self, new: &CommandView) -> bool {
        if new.phase.is_terminal() {
            let newer =
                |c: &CommandView| c.host == new.host && c.phase.is_terminal() && c.seq > new.seq;
            if self.commands.values().any(newer) {
                return self.commands.remove(&new.id).is_some();
            }
            self.commands.retain(|id, c| {
                *id == new.id || c.host != new.host || !c.phase.is_terminal() || c.seq > new.seq
            });
        }
        replace(&mut self.commands, &new.id, new)
    }

    fn put_rollout(&mut self, rollout: &RolloutView) -> bool {
        let changed = replace(&mut self.rollouts, &rollout.id, rollout);
        let mut ended: Vec<(Timestamp, RolloutId)> = self
            .rollouts
            .values()
            .filter(|one| one.state.is_terminal())
            .map(|one| (one.since, one.id))
            .collect();
        ended.sort_unstable();
        let surplus = ended.len().saturating_sub(KEPT_ROLLOUTS);
        for (_, id) in ended.into_iter().take(surplus) {
            self.rollouts.remove(&id);
        }
        changed
    }

    fn put_event(&mut self, event: &EventView) -> bool {
        let newest = self.events.last_key_value().map_or(0, |(n, _)| *n);
        let kept = u64::try_from(KEPT_EVENTS).unwrap_or(u64::MAX);
        if event.n.saturating_add(kept) <= newest {
            return false;
        }
        let changed = replace(&mut self.events, &event.n, event);
        let newest = newest.max(event.n);
        // Only the oldest can be too old: what is kept must not be looked at every time.
        while let Some(oldest) = self.events.first_entry() {
            if oldest.key().saturating_add(kept) > newest {
                break;
            }
            oldest.remove();
        }
        changed
    }
}

fn replace<K, V>(map: &mut BTreeMap<K, V>, key: &K, value: &V) -> bool
where
    K: Ord + Clone,
    V: PartialEq + Clone,
{
    match map.get_mut(key) {
        Some(old) if old == value => return false,
        Some(old) => old.clone_from(value),
        None => drop(map.insert(key.clone(), value.clone())),
    }
    true
}
