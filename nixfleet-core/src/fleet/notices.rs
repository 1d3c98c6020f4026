//! What people are told about the remote and about hosts that stay away (spec 05).

use super::turn::Turn;
use super::{Fleet, HostRecord, Timer};
use crate::compartment;
use crate::desired::{Remote, RemoteCause};
use crate::host::Presence;
use crate::ids::HostId;
use crate::notice::{Notice, NoticeKind};
use crate::time::Timestamp;

/// The remote as far as people are told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RemoteSeen {
    /// Nobody has looked since the start of the server.
    NotYet,
    /// It can be read.
    Readable,
    /// It cannot, past the grace period.
    Unreachable,
}

impl RemoteSeen {
    pub(super) fn of(remote: &Remote) -> Self {
        match remote {
            Remote::Verified(_) => RemoteSeen::Readable,
            Remote::Failed { why, .. } if why.cause == RemoteCause::NotReadYet => {
                RemoteSeen::NotYet
            }
            Remote::Failed { .. } => RemoteSeen::Unreachable,
        }
    }
}

impl Fleet {
    /// Tells that the remote was lost, or is back.
    pub(super) fn tell_remote(&self, turn: &mut Turn, was: RemoteSeen, now: Timestamp) {
        let notice = match (was, RemoteSeen::of(&self.desired.remote)) {
            (RemoteSeen::NotYet | RemoteSeen::Readable, RemoteSeen::Unreachable) => {
                let why = match &self.desired.remote {
                    Remote::Failed { why, .. } => compartment::remote_sentence(why),
                    Remote::Verified(_) => String::new(),
                };
                let title = "The remote cannot be read";
                Notice::new(NoticeKind::RemoteUnreachable, now, "remote", title, why)
            }
            (RemoteSeen::Unreachable, RemoteSeen::Readable) => {
                let title = "The remote can be read again";
                Notice::new(NoticeKind::RemoteReadable, now, "remote", title, "")
            }
            (RemoteSeen::NotYet, RemoteSeen::NotYet | RemoteSeen::Readable)
            | (RemoteSeen::Readable, RemoteSeen::NotYet | RemoteSeen::Readable)
            | (RemoteSeen::Unreachable, RemoteSeen::NotYet | RemoteSeen::Unreachable) => return,
        };
        turn.notices.push(notice);
    }

    /// Looks at a host again when it has been offline for too long.
    pub(super) fn arm_offline(&mut self, record: &HostRecord, now: Timestamp) {
        let (Some(after), Presence::Offline { since }) =
            (self.config.offline_notice, record.presence)
        else {
            return;
        };
        let at = since + after;
        // What is over already was told before a restart.
        if at > now {
            self.timers.insert((at, Timer::Offline(record.id.clone())));
        }
    }

    /// Tells of a host that has been away since the timer was armed.
    pub(super) fn tell_offline(
        &self,
        turn: &mut Turn,
        id: &HostId,
        due: Timestamp,
        now: Timestamp,
    ) {
        let (Some(host), Some(after)) = (self.hosts.get(id), self.config.offline_notice) else {
            return;
        };
        let Presence::Offline { since } = host.record.presence else {
            return;
        };
        if since + after != due {
            return;
        }
        let title = format!("{id} is offline");
        let body = format!("it was last heard of at {since}");
        let notice = Notice::new(NoticeKind::HostOffline, now, id.as_str(), title, body);
        turn.notices.push(notice.on(id));
    }
}
