//! Holds on every host that a selector matches (spec 05, "Holds"). Whether a host is held is worked
//! out each time from what is known of it, so a host that newly matches is held, and one that no
//! longer matches is not.

use serde::{Deserialize, Serialize};

use super::input::Reply;
use super::settings::labels;
use super::turn::Turn;
use super::{AuditRecord, Fleet, HostRecord, Record, Timer};
use crate::host::{Actor, Hold};
use crate::ids::HostId;
use crate::selector::Selector;
use crate::time::Timestamp;

/// The most holds by selector that a fleet may have.
pub const MAX_HOLDS: usize = 256;

/// The most characters of a selector in the sentences about a host; the list of holds has it whole.
const SHOWN_SELECTOR: usize = 40;

/// A hold on every host that a selector matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct SelectorHold {
    stored: Stored,
    /// As the hosts that it matches show it.
    shown: Hold,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    id: u64,
    selector: Selector,
    by: String,
    why: String,
    since: Timestamp,
    until: Option<Timestamp>,
}

impl SelectorHold {
    /// Its number, which no other hold of this fleet ever has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.stored.id
    }

    /// Which hosts it keeps every automation away from.
    #[must_use]
    pub fn selector(&self) -> &Selector {
        &self.stored.selector
    }

    /// When it ends by itself.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        self.stored.until
    }
}

impl From<Stored> for SelectorHold {
    fn from(stored: Stored) -> Self {
        let selector = stored.selector.to_string();
        let mut short: String = selector.chars().take(SHOWN_SELECTOR).collect();
        if short.len() < selector.len() {
            short.push('…');
        }
        let shown = Hold {
            by: format!("selector {short}, by {}", stored.by),
            why: stored.why.clone(),
            until: stored.until,
        };
        Self { stored, shown }
    }
}

impl From<SelectorHold> for Stored {
    fn from(hold: SelectorHold) -> Self {
        hold.stored
    }
}

/// A hold by selector cannot be placed; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldError {
    /// It would end before it begins.
    #[error("until: the hold would have ended already; choose a later moment, or none")]
    Over,
    /// There are too many.
    #[error("a fleet has at most {MAX_HOLDS} holds by selector: release one first")]
    TooMany,
}

/// What keeps automations away from a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held<'a> {
    /// The hold, as it is shown.
    pub hold: &'a Hold,
    /// The number of the hold by selector, if it is one.
    pub by_selector: Option<u64>,
}

impl Fleet {
    /// The holds by selector, oldest first.
    #[must_use]
    pub fn selector_holds(&self) -> &[SelectorHold] {
        &self.settings.holds
    }

    /// The hosts that a hold by selector matches now.
    pub fn hosts_of_hold<'a>(&'a self, hold: &'a SelectorHold) -> impl Iterator<Item = &'a HostId> {
        let records = self.hosts.values().map(|host| &host.record);
        let matching = |record: &&HostRecord| hold.selector().matches(&labels(record));
        records.filter(matching).map(|record| &record.id)
    }

    /// The hold by selector that lasts longest on a host.
    fn held(&self, record: &HostRecord) -> Option<Held<'_>> {
        let matching = self.settings.holds.iter();
        let matching = matching.filter(|one| one.selector().matches(&labels(record)));
        matching
            .map(|one| Held {
                hold: &one.shown,
                by_selector: Some(one.id()),
            })
            .reduce(|first, other| {
                if lasts_longer(other.hold, first.hold) {
                    other
                } else {
                    first
                }
            })
    }

    /// Everything that keeps automations away from a host is asked of this.
    pub(super) fn hold_on<'a>(&'a self, record: &'a HostRecord) -> Option<&'a Hold> {
        self.hold_and_source(record).map(|held| held.hold)
    }

    /// The hold that lasts longest of all on a host; its own one, where several do.
    pub(super) fn hold_and_source<'a>(&'a self, record: &'a HostRecord) -> Option<Held<'a>> {
        let own = record.hold.as_ref().map(|hold| Held {
            hold,
            by_selector: None,
        });
        match (own, self.held(record)) {
            (Some(own), Some(other)) if lasts_longer(other.hold, own.hold) => Some(other),
            (Some(own), _) => Some(own),
            (None, other) => other,
        }
    }

    pub(super) fn hold_by_selector(
        &mut self,
        turn: &mut Turn,
        actor: &Actor,
        selector: Selector,
        why: String,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Reply {
        if until.is_some_and(|until| until <= now) {
            return Reply::BadHold(HoldError::Over);
        }
        if self.settings.holds.len() >= MAX_HOLDS {
            return Reply::BadHold(HoldError::TooMany);
        }
        self.settings.last_hold += 1;
        let hold = SelectorHold::from(Stored {
            id: self.settings.last_hold,
            selector,
            by: actor.name().to_owned(),
            why,
            since: now,
            until,
        });
        self.settings.holds.push(hold.clone());
        self.arm_selector_hold(&hold);
        let row = AuditRecord::new(now, actor, "hold.selector", "done");
        let row = row.because(Some(&hold.stored.why));
        let row = row.changed(&None::<SelectorHold>, &hold);
        self.holds_changed(turn, row);
        Reply::HeldBySelector(Box::new(hold))
    }

    pub(super) fn release_selector(
        &mut self,
        turn: &mut Turn,
        actor: &Actor,
        id: u64,
        now: Timestamp,
    ) -> Reply {
        let Some(index) = self.settings.holds.iter().position(|one| one.id() == id) else {
            return Reply::UnknownHold(id);
        };
        self.take_hold(turn, actor, index, now);
        Reply::Done
    }

    /// The end of a hold by selector has come.
    pub(super) fn end_selector_hold(&mut self, turn: &mut Turn, id: u64, now: Timestamp) {
        let over =
            |one: &SelectorHold| one.id() == id && one.until().is_some_and(|until| until <= now);
        if let Some(index) = self.settings.holds.iter().position(over) {
            let actor = Actor::Automation("end of the hold".to_owned());
            self.take_hold(turn, &actor, index, now);
        }
    }

    fn take_hold(&mut self, turn: &mut Turn, actor: &Actor, index: usize, now: Timestamp) {
        let before = Some(self.settings.holds.remove(index));
        let row = AuditRecord::new(now, actor, "release.selector", "done");
        let row = row.changed(&before, &None::<SelectorHold>);
        self.holds_changed(turn, row);
    }

    fn holds_changed(&mut self, turn: &mut Turn, row: AuditRecord) {
        turn.records
            .push(Record::Settings(Box::new(self.settings.clone())));
        turn.records.push(Record::Audit(row));
        turn.show_all(self.hosts.keys());
        turn.look_at_all = true;
    }

    pub(super) fn arm_selector_hold(&mut self, hold: &SelectorHold) {
        if let Some(until) = hold.until() {
            self.timers.insert((until, Timer::SelectorHold(hold.id())));
        }
    }
}

fn lasts_longer(one: &Hold, other: &Hold) -> bool {
    match (one.until, other.until) {
        (None, Some(_)) => true,
        (Some(one), Some(other)) => one > other,
        (Some(_) | None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(until: Option<i64>) -> Hold {
        Hold {
            by: "x".into(),
            why: "y".into(),
            until: until.map(Timestamp::from_seconds),
        }
    }

    #[test]
    fn no_end_lasts_longest() {
        let ascending = [hold(Some(1)), hold(Some(2)), hold(None)];
        for (i, one) in ascending.iter().enumerate() {
            for (j, other) in ascending.iter().enumerate() {
                assert_eq!(lasts_longer(one, other), i > j, "{i} {j}");
            }
        }
    }

    #[test]
    fn it_is_stored_without_what_is_made_of_it_and_a_long_selector_is_cut_in_sentences_only() {
        let selector: Selector =
            format!("type:server,{}", "web-1,".repeat(20).trim_end_matches(','))
                .parse()
                .unwrap();
        let made = SelectorHold::from(Stored {
            id: 3,
            selector: selector.clone(),
            by: "ann".into(),
            why: "disks".into(),
            since: Timestamp::EPOCH,
            until: None,
        });
        assert!(made.shown.by.starts_with("selector type:server,web-1"));
        assert!(made.shown.by.ends_with("…, by ann"));
        let text = serde_json::to_value(&made).unwrap();
        assert_eq!(text["selector"], selector.to_string());
        assert!(text.get("shown").is_none(), "{text}");
        assert_eq!(serde_json::from_value::<SelectorHold>(text).unwrap(), made);
    }
}
