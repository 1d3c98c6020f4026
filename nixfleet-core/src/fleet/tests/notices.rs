//! What people are told about the remote and about hosts that stay away.

use super::*;
use crate::desired::{RemoteCause, Unavailable};
use crate::host::ObservationUpdate;
use crate::notice::NoticeKind;
use crate::report::{AgentReport, Registration};

const AFTER: Duration = Duration::from_secs(900);

struct Told {
    fleet: Fleet,
    now: Timestamp,
    stored: Snapshot,
}

impl Told {
    fn new(stored: Snapshot, now: Timestamp) -> Self {
        let config = FleetConfig {
            offline_notice: Some(AFTER),
            ..config()
        };
        let (fleet, _) = Fleet::restore(config, stored.clone(), now);
        Self { fleet, now, stored }
    }

    fn take(&mut self, effects: Vec<Effect>) -> Vec<NoticeKind> {
        let mut told = Vec::new();
        let mut records = Vec::new();
        for effect in effects {
            match effect {
                Effect::Persist(record) => records.push(*record),
                Effect::Notify(notice) => told.push(notice.kind),
                Effect::Send { .. }
                | Effect::Close { .. }
                | Effect::Publish(_)
                | Effect::Reply { .. }
                | Effect::ReadRemote
                | Effect::Forge(_) => {}
            }
        }
        self.stored.commit(records);
        told
    }

    fn input(&mut self, input: Input) -> Vec<NoticeKind> {
        let effects = self.fleet.handle(input, self.now);
        self.take(effects)
    }

    fn read(&mut self, outcome: Result<char, RemoteCause>) -> Vec<NoticeKind> {
        let reading = match outcome {
            Ok(letter) => Ok(Reading {
                snapshot: Desired {
                    commit: Ok(commit(letter)),
                    lock: Ok(lock(letter)),
                    subject: None,
                    commit_time: None,
                    branch: None,
                    rewritten: false,
                },
                history: None,
            }),
            Err(cause) => Err(Unavailable::new(cause, "")),
        };
        self.input(Input::Read(Box::new(reading)))
    }

    fn register(&mut self, connection: u64) {
        self.input(Input::Agent {
            connection: ConnectionId(connection),
            bound: None,
            report: AgentReport::Registered(Box::new(Registration {
                host: HOST.parse().unwrap(),
                identity: crate::host::HostIdentity::default(),
                facts: ObservationUpdate::default(),
                last_seq: None,
                running: None,
                results: Vec::new(),
            })),
        });
    }

    fn disconnect(&mut self, connection: u64) {
        let connection = ConnectionId(connection);
        assert_eq!(self.input(Input::Disconnected { connection }), []);
    }

    fn pass(&mut self, time: Duration) -> Vec<NoticeKind> {
        self.now = self.now + time;
        let effects = self.fleet.handle_timeout(self.now);
        self.take(effects)
    }
}

#[test]
fn the_loss_of_the_remote_and_its_return_are_told_once() {
    let mut fleet = Told::new(Snapshot::default(), Timestamp::from_seconds(1_000_000));
    assert_eq!(
        fleet.read(Ok('a')),
        [],
        "the first reading is nothing to tell"
    );
    assert_eq!(
        fleet.read(Err(RemoteCause::TimedOut)),
        [NoticeKind::RemoteUnreachable]
    );
    assert_eq!(fleet.read(Err(RemoteCause::TimedOut)), []);
    assert_eq!(fleet.read(Ok('a')), [NoticeKind::RemoteReadable]);
    assert_eq!(fleet.read(Ok('b')), []);
}

#[test]
fn a_host_that_stays_away_is_told_once_also_over_a_restart() {
    let mut fleet = Told::new(Snapshot::default(), Timestamp::from_seconds(1_000_000));
    fleet.register(1);
    fleet.disconnect(1);
    fleet.pass(Duration::from_secs(60));
    fleet.register(2);
    assert_eq!(fleet.pass(AFTER), [], "it came back");
    fleet.disconnect(2);
    assert_eq!(fleet.pass(AFTER), [NoticeKind::HostOffline]);
    let mut again = Told::new(fleet.stored.clone(), fleet.now + Duration::from_secs(5));
    assert_eq!(again.pass(AFTER), [], "it was told before the restart");
}

/// An end in between makes the same thing another one.
#[test]
fn what_ends_and_comes_again_is_another_thing() {
    let at = Timestamp::from_seconds(5);
    let lost = crate::notice::Notice::new(NoticeKind::RemoteUnreachable, at, "remote", "", "");
    let back = crate::notice::Notice::new(NoticeKind::RemoteReadable, at, "remote", "", "");
    assert_eq!(back.ends(), Some(lost.key.clone()));
    assert_eq!(lost.ends(), Some(back.key));
    for kind in NoticeKind::ALL {
        let ended = kind.ends();
        assert_eq!(ended.and_then(NoticeKind::ends), ended.map(|_| *kind));
    }
}

#[test]
fn every_absence_of_a_host_has_a_key_of_its_own() {
    let mut fleet = Told::new(Snapshot::default(), Timestamp::from_seconds(1_000_000));
    let mut keys = std::collections::BTreeSet::new();
    for round in 1..4 {
        fleet.register(round);
        fleet.disconnect(round);
        fleet.now = fleet.now + AFTER;
        for effect in fleet.fleet.handle_timeout(fleet.now) {
            if let Effect::Notify(notice) = effect {
                assert_eq!(notice.kind, NoticeKind::HostOffline);
                keys.insert(notice.key.clone());
            }
        }
    }
    assert_eq!(keys.len(), 3, "{keys:?}");
}
