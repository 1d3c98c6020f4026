//! Every host, found by its id in the order of ids, or at once by the place it was given.

use std::collections::BTreeMap;

use super::Host;
use crate::ids::HostId;

/// Where a host is kept. It stays there until it is removed; nobody gets its place then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(usize);

/// Every host. Whoever hears of one again and again remembers its [`Slot`]: finding an id costs
/// more, the more hosts there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    by_id: BTreeMap<HostId, Slot>,
    slots: Vec<Option<Box<Host>>>,
}

impl Hosts {
    pub(super) fn slot(&self, id: &HostId) -> Option<Slot> {
        self.by_id.get(id).copied()
    }

    pub(super) fn at(&self, slot: Slot) -> Option<&Host> {
        self.slots.get(slot.0)?.as_deref()
    }

    pub(super) fn at_mut(&mut self, slot: Slot) -> Option<&mut Host> {
        self.slots.get_mut(slot.0)?.as_deref_mut()
    }

    pub(super) fn get(&self, id: &HostId) -> Option<&Host> {
        self.at(self.slot(id)?)
    }

    pub(super) fn get_mut(&mut self, id: &HostId) -> Option<&mut Host> {
        self.at_mut(self.slot(id)?)
    }

    pub(super) fn contains_key(&self, id: &HostId) -> bool {
        self.by_id.contains_key(id)
    }

    pub(super) fn insert(&mut self, id: HostId, host: Host) {
        let host = Some(Box::new(host));
        if let Some(place) = self.slot(&id).and_then(|slot| self.slots.get_mut(slot.0)) {
            *place = host;
            return;
        }
        self.by_id.insert(id, Slot(self.slots.len()));
        self.slots.push(host);
    }

    pub(super) fn remove(&mut self, id: &HostId) -> Option<Host> {
        let slot = self.by_id.remove(id)?;
        self.slots.get_mut(slot.0)?.take().map(|host| *host)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&HostId, &Host)> {
        self.by_id
            .iter()
            .filter_map(|(id, slot)| Some((id, self.at(*slot)?)))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &HostId> {
        self.by_id.keys()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Host> {
        self.iter().map(|(_, host)| host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::HostRecord;
    use crate::time::Timestamp;

    #[test]
    fn a_host_keeps_its_slot_and_nobody_gets_that_of_a_removed_one() {
        let id = |name: &str| name.parse::<HostId>().unwrap();
        let host = |name: &str| Host::new(HostRecord::new(id(name), Timestamp::EPOCH));
        let mut hosts = Hosts::default();
        for name in ["c", "a", "b"] {
            hosts.insert(id(name), host(name));
        }
        let (a, b) = (hosts.slot(&id("a")).unwrap(), hosts.slot(&id("b")).unwrap());
        assert!(hosts.remove(&id("a")).is_some());
        hosts.insert(id("a"), host("a"));
        assert!(hosts.at(a).is_none());
        assert_eq!(hosts.at(b).unwrap().record.id, id("b"));
        hosts.insert(id("b"), host("b"));
        assert_eq!(hosts.slot(&id("b")), Some(b));
        let names: Vec<&str> = hosts.keys().map(HostId::as_str).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let records = hosts.values().map(|host| host.record.id.as_str());
        assert_eq!(records.collect::<Vec<_>>(), names);
    }
}
