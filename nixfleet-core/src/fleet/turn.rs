//! One call of the fleet: what changed is collected, and turned into ordered effects at the end.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::hosts::Slot;
use super::{Effect, Fleet, Record};
use crate::ids::{CommandId, HostId, RolloutId};
use crate::notice::Notice;
use crate::sync::{Change, Delta};

/// What one call has changed so far.
#[derive(Default)]
pub(super) struct Turn {
    /// Hosts whose record changed: to be stored, judged again and published.
    changed: BTreeSet<HostId>,
    /// Hosts to be judged again although their record did not change.
    refresh: BTreeSet<HostId>,
    /// Hosts to be judged and published again although their record did not change.
    shown: BTreeSet<HostId>,
    /// Commands to be stored.
    pub(super) commands: BTreeSet<CommandId>,
    /// Ended commands that need not be kept in memory any longer.
    pub(super) forget: Vec<CommandId>,
    /// Other records to be stored.
    pub(super) records: Vec<Record>,
    /// Frames and closings, in order.
    pub(super) sends: Vec<Effect>,
    /// What the repository says should run, to be published before the statuses that refer to it.
    desired: Vec<Change>,
    /// Changes to be published behind those of hosts.
    changes: Vec<Change>,
    /// Answers, in order.
    pub(super) replies: Vec<Effect>,
    /// What people are to be told.
    pub(super) notices: Vec<Notice>,
    /// Hosts that were heard of: rollouts look at them again.
    pub(super) heard: BTreeSet<HostId>,
    /// Commands that ended.
    pub(super) ended: Vec<CommandId>,
    /// Rollouts to be looked at again.
    pub(super) look: BTreeSet<RolloutId>,
    /// Whether every rollout is to be looked at again.
    pub(super) look_at_all: bool,
    /// Rollouts that changed: to be stored and published.
    pub(super) rollouts: BTreeSet<RolloutId>,
    /// Hosts whose tests may run by themselves now, and the command that led to it.
    pub(super) test_next: Vec<(HostId, CommandId)>,
    /// Hosts on which a command of a rollout has ended: what is queued there starts after the rollout
    /// was told, as it may hold the host now.
    pub(super) start_next: Vec<HostId>,
    /// Whether something is gone that may have kept an automatic merge waiting.
    pub(super) automation_may_go_on: bool,
}

impl Turn {
    pub(super) fn host_changed(&mut self, id: &HostId) {
        self.changed.insert(id.clone());
    }

    pub(super) fn refresh(&mut self, id: &HostId) {
        self.refresh.insert(id.clone());
    }

    pub(super) fn refresh_all<'a>(&mut self, ids: impl Iterator<Item = &'a HostId>) {
        self.refresh.extend(ids.cloned());
    }

    pub(super) fn show_all<'a>(&mut self, ids: impl Iterator<Item = &'a HostId>) {
        self.shown.extend(ids.cloned());
    }

    /// Hosts that something happened to, so far.
    pub(super) fn touched(&self) -> impl Iterator<Item = &HostId> {
        self.changed.iter().chain(&self.refresh).chain(&self.heard)
    }

    pub(super) fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    pub(super) fn desired_changed(&mut self, change: Change) {
        self.desired.push(change);
    }
}

impl Fleet {
    /// Persist, then send, then publish, then answer.
    pub(super) fn finish(&mut self, mut turn: Turn) -> Vec<Effect> {
        let mut deltas: Vec<Arc<Delta>> = Vec::new();
        for change in std::mem::take(&mut turn.desired) {
            deltas.extend(self.log.publish(change));
        }
        // Each is looked for once: that costs more, the more hosts there are.
        let slot = |id: &HostId| self.hosts.slot(id);
        let changed: Vec<Slot> = turn.changed.iter().filter_map(slot).collect();
        // What does not change, but is shown in another way: who holds a host.
        let shown = turn.shown.difference(&turn.changed).filter_map(slot);
        let shown: Vec<Slot> = shown.collect();
        turn.refresh.append(&mut turn.shown);
        let judged = turn.changed.union(&turn.refresh).filter_map(slot);
        let judged: Vec<Slot> = match turn.refresh.is_subset(&turn.changed) {
            true => changed.clone(),
            false => judged.collect(),
        };
        for slot in changed.iter().chain(&shown) {
            deltas.extend(self.publish_host(*slot));
        }
        for slot in judged {
            deltas.extend(self.publish_status(slot));
        }
        for id in &turn.rollouts {
            if let Some(rollout) = self.rollouts.get(id) {
                turn.changes
                    .push(Change::RolloutUpdated(Box::new(rollout.view())));
            }
        }
        let changes = std::mem::take(&mut turn.changes);
        deltas.extend(
            changes
                .into_iter()
                .filter_map(|change| self.log.publish(change)),
        );

        let mut records: Vec<Record> = Vec::new();
        let hosts = changed.iter().filter_map(|slot| self.hosts.at(*slot));
        records.extend(hosts.map(|host| Record::Host(host.record.clone())));
        let commands = turn.commands.iter().filter_map(|id| self.commands.get(id));
        records.extend(commands.cloned().map(Record::Command));
        let rollouts = turn.rollouts.iter().filter_map(|id| self.rollouts.get(id));
        records.extend(rollouts.cloned().map(|one| Record::Rollout(Box::new(one))));
        records.append(&mut turn.records);
        if !deltas.is_empty() {
            records.push(Record::Version(self.log.version()));
        }
        for id in &turn.forget {
            self.commands.remove(id);
        }

        let persist = records
            .into_iter()
            .map(|record| Effect::Persist(Box::new(record)));
        let mut effects: Vec<Effect> = persist.collect();
        effects.append(&mut turn.sends);
        effects.extend(deltas.into_iter().map(Effect::Publish));
        let notices = turn.notices.into_iter().map(Box::new);
        effects.extend(notices.map(Effect::Notify));
        effects.append(&mut turn.replies);
        effects
    }
}
