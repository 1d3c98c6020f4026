//! Settings of the fleet as a whole: maintenance windows and the quarantine (spec 05).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::holds::SelectorHold;
use super::input::Reply;
use super::turn::Turn;
use super::{AuditRecord, Fleet, HeldBack, Host, HostRecord, Record};
use crate::admission::{Request, WindowState};
use crate::credential::CredentialWatch;
use crate::host::Actor;
use crate::ids::{CommitId, HostId};
use crate::lifecycle::Target;
use crate::selector::HostLabels;
use crate::time::Timestamp;
use crate::window::{ActionClass, MAX_WINDOWS, Opening, Window, WindowError, Zone, opening};

/// The most quarantined targets that are remembered; the oldest goes first.
const MAX_QUARANTINED: usize = 100;

/// Settings of the fleet as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FleetSettings {
    /// Maintenance windows, by id.
    pub windows: Vec<Window>,
    /// The data of their time zones.
    pub zones: BTreeMap<String, Zone>,
    /// What no automation deploys.
    pub quarantine: Vec<Quarantined>,
    /// Holds by selector, oldest first.
    pub holds: Vec<SelectorHold>,
    /// The number of the last of them that was placed.
    pub last_hold: u64,
    /// The holds that persons' rollbacks placed, by host.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub held_back: BTreeMap<HostId, HeldBack>,
    /// Credentials that end, and what people were told of that.
    #[serde(skip_serializing_if = "CredentialWatch::is_empty")]
    pub credentials: CredentialWatch,
}

/// A target that no automation deploys, until a person lifts it. A newer commit is another target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The commit and lock.
    pub target: Target,
    /// Since when.
    pub since: Timestamp,
    /// Who put it there.
    pub by: String,
    /// Why.
    pub why: String,
}

impl Quarantined {
    /// Whether a rollout put it there, and not a person by a rollback of theirs.
    #[must_use]
    pub fn by_rollout(&self) -> bool {
        Actor::Automation(self.by.clone()).as_rollout().is_some()
    }
}

/// What selectors see of a host.
pub(super) fn labels(record: &HostRecord) -> HostLabels<'_> {
    HostLabels {
        name: record.id.as_str(),
        tags: &record.settings.tags,
        location: record.identity.location.as_deref(),
        device_type: record.identity.device_type.as_deref(),
        host_type: record.identity.host_type.as_deref(),
    }
}

impl Fleet {
    /// The maintenance windows.
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        &self.settings.windows
    }

    /// What no automation deploys.
    #[must_use]
    pub fn quarantine(&self) -> &[Quarantined] {
        &self.settings.quarantine
    }

    /// Whether automation may act on a host at a moment, and if not, when it may next.
    #[must_use]
    pub fn opening(&self, record: &HostRecord, class: ActionClass, at: Timestamp) -> Opening {
        let settings = &self.settings;
        let mut zoned = Vec::with_capacity(settings.windows.len());
        for window in &settings.windows {
            match settings.zones.get(&window.zone) {
                Some(zone) => zoned.push((window, zone)),
                // Nobody knows when it begins or ends: it lets nothing through.
                None if window.concerns(class) && window.selector.matches(&labels(record)) => {
                    return Opening::Closed(None);
                }
                None => {}
            }
        }
        opening(zoned.into_iter(), &labels(record), class, at)
    }

    pub(super) fn window_for(
        &self,
        host: &Host,
        class: ActionClass,
        request: &Request,
    ) -> WindowState {
        // Windows bind automations only; nobody else has to wait for the answer.
        if !request.actor.is_automation() || self.settings.windows.is_empty() {
            return WindowState::Open;
        }
        match self.opening(&host.record, class, self.clock) {
            Opening::Open => WindowState::Open,
            Opening::Closed(opens) => WindowState::Closed { opens },
        }
    }

    /// Why automation must not deploy a target, if so.
    pub(super) fn quarantined(&self, target: &Target) -> Option<&Quarantined> {
        let mut all = self.settings.quarantine.iter();
        all.find(|one| one.target.commit == target.commit)
    }

    /// Whether automation gave up on a host: a rollout brought it back and holds it.
    pub(super) fn given_up(&self, record: &HostRecord) -> bool {
        let by = record.hold.as_ref().map(|hold| hold.by.as_str());
        self.settings
            .quarantine
            .iter()
            .any(|one| one.by_rollout() && by == Some(one.by.as_str()))
    }

    pub(super) fn put_in_quarantine(
        &mut self,
        turn: &mut Turn,
        by: &Actor,
        target: Target,
        why: &str,
        now: Timestamp,
    ) {
        if self.quarantined(&target).is_some() {
            return;
        }
        let before = self.settings.quarantine.clone();
        self.settings.quarantine.push(Quarantined {
            target,
            since: now,
            by: by.name().to_owned(),
            why: why.to_owned(),
        });
        let surplus = self
            .settings
            .quarantine
            .len()
            .saturating_sub(MAX_QUARANTINED);
        self.settings.quarantine.drain(..surplus);
        let row = AuditRecord::new(now, by, "quarantine", "done").because(Some(why));
        let row = row.changed(&before, &self.settings.quarantine);
        self.settings_changed(turn, row);
    }

    /// A newer commit is another target, so the holds that kept hosts from the old one end. The
    /// old one itself stays in quarantine, should the branch ever go back to it.
    pub(super) fn newer_commit(&mut self, turn: &mut Turn, now: Timestamp) {
        let Some(desired) = Target::desired(&self.desired.remote) else {
            return;
        };
        self.anchor_held_back(turn, &desired);
        let held = self.hosts.values().filter(|host| {
            let hold = host.record.hold.as_ref();
            let by_person = self.held_back(&host.record);
            hold.is_some_and(|hold| match by_person {
                Some(own) => own.is_over(&desired),
                None => self.is_over(&hold.by, &desired),
            })
        });
        let held: Vec<_> = held.map(|host| host.record.id.clone()).collect();
        for id in held {
            let Some(host) = self.hosts.get_mut(&id) else {
                continue;
            };
            let before = host.record.hold.take();
            turn.host_changed(&id);
            let actor = Actor::Automation("newer commit".to_owned());
            let row = AuditRecord::new(now, &actor, "release", "done").on(&id);
            let row = row.because(Some("a newer commit is desired"));
            turn.records
                .push(Record::Audit(row.changed(&before, &host.record.hold)));
        }
        self.forget_held_back(turn);
    }

    /// Whether the hold that a rollout placed keeps a host from something that is not desired any
    /// more. Of several rollouts of one target only the first is named by the quarantine.
    fn is_over(&self, held_by: &str, desired: &Target) -> bool {
        let Some(id) = Actor::Automation(held_by.to_owned()).as_rollout() else {
            return false;
        };
        let mut quarantine = self.settings.quarantine.iter();
        let named = quarantine.rfind(|one| one.by == held_by);
        let target = named.map(|one| one.target);
        let target = target.or_else(|| self.rollouts.get(&id)?.target);
        match target {
            Some(target) => target.commit != desired.commit,
            None => self.quarantined(desired).is_none(),
        }
    }

    fn settings_changed(&mut self, turn: &mut Turn, row: AuditRecord) {
        turn.automation_may_go_on = true;
        turn.records
            .push(Record::Settings(Box::new(self.settings.clone())));
        turn.records.push(Record::Audit(row));
        turn.look_at_all = true;
        turn.refresh_all(self.hosts.keys());
    }

    pub(super) fn set_window(
        &mut self,
        turn: &mut Turn,
        actor: &Actor,
        window: Window,
        zone: Zone,
        now: Timestamp,
    ) -> Reply {
        if let Err(why) = window.check(&zone) {
            return Reply::BadWindow(why);
        }
        let known = self
            .settings
            .windows
            .iter()
            .position(|own| own.id == window.id);
        if known.is_none() && self.settings.windows.len() >= MAX_WINDOWS {
            return Reply::BadWindow(WindowError::TooMany);
        }
        let before = known.map(|index| self.settings.windows.remove(index));
        let row = AuditRecord::new(now, actor, "window.set", "done");
        let row = row.changed(&before, &window);
        self.settings.zones.insert(zone.name.clone(), zone);
        self.settings.windows.push(window);
        self.settings
            .windows
            .sort_by(|one, other| one.id.cmp(&other.id));
        self.forget_zones();
        self.settings_changed(turn, row);
        Reply::Done
    }

    pub(super) fn remove_window(
        &mut self,
        turn: &mut Turn,
        actor: &Actor,
        id: &str,
        now: Timestamp,
    ) -> Reply {
        let Some(index) = self.settings.windows.iter().position(|own| own.id == id) else {
            return Reply::UnknownWindow(id.to_owned());
        };
        let before = Some(self.settings.windows.remove(index));
        let row = AuditRecord::new(now, actor, "window.remove", "done");
        let row = row.changed(&before, &None::<Window>);
        self.forget_zones();
        self.settings_changed(turn, row);
        Reply::Done
    }

    fn forget_zones(&mut self) {
        let windows = &self.settings.windows;
        let used = |name: &String| windows.iter().any(|window| window.zone == *name);
        self.settings.zones.retain(|name, _| used(name));
    }

    pub(super) fn lift_quarantine(
        &mut self,
        turn: &mut Turn,
        actor: &Actor,
        commit: CommitId,
        reason: &str,
        now: Timestamp,
    ) -> Reply {
        let before = self.settings.quarantine.clone();
        self.settings
            .quarantine
            .retain(|one| one.target.commit != commit);
        if before.len() == self.settings.quarantine.len() {
            return Reply::NotQuarantined(commit);
        }
        let row = AuditRecord::new(now, actor, "quarantine.lift", "done").because(Some(reason));
        let row = row.changed(&before, &self.settings.quarantine);
        self.settings_changed(turn, row);
        Reply::Done
    }
}
