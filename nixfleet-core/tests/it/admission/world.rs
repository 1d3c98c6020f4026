//! A host that owns what conditions borrow.

use nixfleet_core::admission::{Check, Conditions, Occupant, PrState, Request, WindowState};
use nixfleet_core::compartment::Status;
use nixfleet_core::desired::{Remote, RemoteCause, Snapshot, Unavailable};
use nixfleet_core::host::{
    Actor, Generation, Hold, HostIdentity, HostObservation, LockReport, Presence, Repo,
};
use nixfleet_core::ids::{CommitId, HostId};
use nixfleet_core::op::Need;
use nixfleet_core::{Op, Timestamp, lock_hash};

pub fn host() -> HostId {
    "web-1".parse().unwrap()
}

pub fn commit() -> CommitId {
    "b".repeat(40).parse().unwrap()
}

pub fn person() -> Actor {
    Actor::Person("ada".to_owned())
}

pub fn automation() -> Actor {
    Actor::Automation("rollout".to_owned())
}

pub fn hold() -> Hold {
    Hold {
        by: "ada".to_owned(),
        why: "disk".to_owned(),
        until: None,
    }
}

pub fn good_remote() -> Remote {
    Remote::Verified(Snapshot {
        commit: Ok(commit()),
        lock: Ok(lock_hash(b"new")),
        subject: None,
        commit_time: None,
        branch: None,
        rewritten: false,
    })
}

pub fn bad_remote() -> Remote {
    Remote::Failed {
        why: Unavailable::new(RemoteCause::Unreachable, "no route"),
        since: Timestamp::EPOCH,
        last_good: None,
    }
}

pub fn observation(dirty: bool) -> HostObservation {
    let generation = |number: u64| Generation {
        number,
        path: None,
        commit: None,
        created: None,
        current: number == 5,
    };
    HostObservation {
        repo: Some(Repo {
            commit: commit().into(),
            lock: LockReport::Hash(lock_hash(b"new")),
            dirty,
        }),
        generations: [5, 3, 4].map(generation).to_vec(),
        ..HostObservation::default()
    }
}

/// A world that owns what conditions borrow.
pub struct World {
    pub identity: HostIdentity,
    pub observation: HostObservation,
    pub remote: Remote,
    pub hold: Option<Hold>,
    pub pr: PrState,
    pub presence: Presence,
    pub active: Option<Occupant>,
    pub restarting: Option<Occupant>,
    pub git: Status,
    pub lock: Status,
    pub quarantined: bool,
    pub signature: Check,
    pub window: WindowState,
    pub host_driven: bool,
}

impl World {
    /// Nothing stands in the way of `op`.
    pub fn fine_for(op: Op) -> Self {
        let needs = op.spec().needs;
        Self {
            identity: HostIdentity::default(),
            observation: observation(false),
            remote: good_remote(),
            hold: None,
            pr: PrState::Eligible,
            presence: if needs.contains(&Need::Offline) {
                Presence::NeverSeen
            } else {
                Presence::Online
            },
            active: None,
            restarting: None,
            git: if op == Op::Pull {
                Status::Outdated
            } else {
                Status::Ok
            },
            lock: Status::Ok,
            quarantined: false,
            signature: Check::Passed,
            window: WindowState::Open,
            host_driven: true,
        }
    }

    pub fn conditions(&self) -> Conditions<'_> {
        Conditions {
            presence: self.presence,
            identity: &self.identity,
            observation: &self.observation,
            active: self.active,
            restarting: self.restarting,
            agent: Status::Ok,
            git: self.git,
            lock: self.lock,
            remote: &self.remote,
            test_key: None,
            hold: self.hold.as_ref(),
            quarantined: self.quarantined,
            signature: self.signature,
            window: self.window,
            host_driven: self.host_driven,
            pr: &self.pr,
        }
    }
}

pub fn request(op: Op, actor: Actor) -> Request {
    Request {
        confirmed: true,
        second_factor: Check::Passed,
        ..Request::new(host(), op, actor)
    }
}

pub fn switching() -> Occupant {
    Occupant {
        id: None,
        op: Op::Switch,
    }
}
