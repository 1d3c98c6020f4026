//! A person's rollback of a host: it is held, and what it leaves is quarantined (spec 05, "Holds").

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::turn::Turn;
use super::{AuditRecord, Fleet, HostRecord, Record};
use crate::history::PrefixMatch;
use crate::host::Hold;
use crate::ids::{CommandId, CommitId, CommitRef, RolloutId};
use crate::lifecycle::{Command, Target};
use crate::time::Timestamp;

/// A hold that a person's rollback placed: unlike one placed by hand, a newer commit ends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    /// The hold, as it was placed. Another one is somebody's own.
    pub hold: Hold,
    /// What the host ran before, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<CommitId>,
    /// What was desired then; where neither was known, what was desired first after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<CommitId>,
}

impl HeldBack {
    /// Whether something newer is desired than what the host was brought back from.
    pub(super) fn is_over(&self, desired: &Target) -> bool {
        let now = Some(desired.commit);
        now != self.left && now != self.desired
    }
}

impl Fleet {
    /// What follows from a person's rollback that succeeded.
    pub(super) fn hold_back(&mut self, turn: &mut Turn, id: CommandId, now: Timestamp) {
        let Some(command) = self.commands.get(&id) else {
            return;
        };
        let (host, actor) = (command.host.clone(), command.actor.clone());
        let seen = self.left_by(command);
        let left = seen.and_then(|seen| self.target_of(seen, command));
        let why = match seen {
            Some(CommitRef::Full(commit)) => format!("rolled back from {}", commit.short()),
            Some(CommitRef::Abbreviated(prefix)) => format!("rolled back from {prefix}"),
            None => "rolled back".to_owned(),
        };
        if let Some(target) = left {
            let why = format!("{host} was rolled back from it");
            self.put_in_quarantine(turn, &actor, target, &why, now);
            let at_work: Vec<RolloutId> = self
                .rollouts
                .values()
                .filter(|one| !one.state.is_terminal())
                .filter(|one| one.target.is_some_and(|own| own.commit == target.commit))
                .map(|one| one.id)
                .collect();
            for id in at_work {
                self.with_rollout(turn, id, now, |rollout, _| {
                    rollout.was_rolled_back(&host);
                    Vec::new()
                });
            }
        }
        let desired = Target::desired(&self.desired.remote).map(|desired| desired.commit);
        let Some(own) = self.hosts.get_mut(&host) else {
            return;
        };
        // A hold that is there already says more, and lasts as long as who placed it wants.
        if own.record.hold.is_some() {
            return;
        }
        let hold = Hold {
            by: actor.name().to_owned(),
            why,
            until: None,
        };
        let row = AuditRecord::new(now, &actor, "hold", "done").on(&host);
        let row = row.because(Some(&hold.why));
        let row = row.changed(&own.record.hold, &Some(&hold));
        own.record.hold = Some(hold.clone());
        turn.host_changed(&host);
        turn.records.push(Record::Audit(row));
        let held_back = HeldBack {
            hold,
            left: left.map(|target| target.commit),
            desired,
        };
        self.settings.held_back.insert(host, held_back);
        self.store_settings(turn);
    }

    /// What the host ran when the command started: by its deployment record, if that is about the
    /// system that ran, else by its list of generations. A rollback to what ran leaves what the
    /// profile named.
    pub(super) fn left_by(&self, command: &Command) -> Option<CommitRef> {
        let ran = command.baseline.system_path.as_ref();
        let back_to = command.rollback.as_ref().and_then(|one| one.path.as_ref());
        let stays = ran.is_some() && ran == back_to;
        let ran = if stays {
            command.baseline.profile_path.as_ref()
        } else {
            ran
        };
        let deployed = command.baseline.deployed.as_ref().filter(|deployed| {
            let path = deployed.store_path.as_ref();
            !stays && (path.is_none() || ran.is_none() || path == ran)
        });
        let by_record = deployed.and_then(|deployed| deployed.commit);
        let by_list = || {
            let observation = &self.hosts.get(&command.host)?.record.observation;
            let mut listed = observation.generations.iter();
            listed
                .find(|one| ran.is_some() && one.path.as_ref() == ran)
                .and_then(|one| one.commit)
        };
        by_record.or_else(by_list)
    }

    fn target_of(&self, seen: CommitRef, command: &Command) -> Option<Target> {
        let commit = self.full_commit(seen)?;
        let deployed = command.baseline.deployed.as_ref();
        let recorded = deployed.filter(|deployed| deployed.commit == Some(seen));
        let history = self.desired.history.as_ref();
        let listed = history.and_then(|history| {
            let mut versions = history.locks.versions().iter();
            versions.find(|one| one.commit == commit)
        });
        let rolled_out = || {
            let mut targets = self.rollouts.values().filter_map(|one| one.target);
            targets.find(|target| target.commit == commit)?.lock
        };
        let lock = recorded.and_then(|deployed| deployed.lock);
        let lock = lock.or(listed.map(|one| one.hash)).or_else(rolled_out);
        Some(Target { commit, lock })
    }

    /// The one commit that is meant, among all that are known.
    fn full_commit(&self, seen: CommitRef) -> Option<CommitId> {
        let prefix = match seen {
            CommitRef::Full(commit) => return Some(commit),
            CommitRef::Abbreviated(prefix) => prefix,
        };
        let mut known: BTreeSet<CommitId> = BTreeSet::new();
        if let Some(history) = &self.desired.history {
            match history.commits.resolve(&prefix) {
                PrefixMatch::Ambiguous => return None,
                PrefixMatch::Unique(commit) => {
                    known.insert(commit);
                }
                PrefixMatch::None => {}
            }
            known.extend(history.locks.versions().iter().map(|one| one.commit));
        }
        known.extend(Target::desired(&self.desired.remote).map(|desired| desired.commit));
        let targets = self.rollouts.values().filter_map(|one| one.target);
        known.extend(targets.map(|target| target.commit));
        let merged = self.updates.iter().flat_map(|own| own.merged().values());
        known.extend(merged.filter_map(|one| one.commit));
        known.retain(|commit| commit.starts_with(&prefix));
        let mut known = known.into_iter();
        known.next().filter(|_| known.next().is_none())
    }

    /// The person's rollback that placed the hold on a host, if one did.
    pub(super) fn held_back(&self, record: &HostRecord) -> Option<&HeldBack> {
        let own = self.settings.held_back.get(&record.id)?;
        (record.hold.as_ref() == Some(&own.hold)).then_some(own)
    }

    /// Where nobody knew what was left and what was desired, what is desired first is what the
    /// host was held back from.
    pub(super) fn anchor_held_back(&mut self, turn: &mut Turn, desired: &Target) {
        let mut any = false;
        for own in self.settings.held_back.values_mut() {
            if own.left.is_none() && own.desired.is_none() {
                own.desired = Some(desired.commit);
                any = true;
            }
        }
        if any {
            self.store_settings(turn);
        }
    }

    /// Forgets rollbacks whose holds have ended or were replaced.
    pub(super) fn forget_held_back(&mut self, turn: &mut Turn) {
        let known = self.settings.held_back.len();
        let hosts = &self.hosts;
        self.settings.held_back.retain(|id, own| {
            let hold = hosts.get(id).and_then(|host| host.record.hold.as_ref());
            hold == Some(&own.hold)
        });
        if self.settings.held_back.len() != known {
            self.store_settings(turn);
        }
    }

    fn store_settings(&self, turn: &mut Turn) {
        let settings = Box::new(self.settings.clone());
        turn.records.push(Record::Settings(settings));
    }
}
