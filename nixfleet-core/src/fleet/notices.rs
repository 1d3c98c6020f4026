//! What people are told about the remote and about hosts that stay away (spec 05).

use super::turn::Turn;
use super::{Fleet, HostRecord, Record, Timer};
use crate::compartment;
use crate::credential::Credential;
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

    /// Takes in when a credential ends.
    pub(super) fn credential(
        &mut self,
        turn: &mut Turn,
        credential: &Credential,
        ends: Option<Timestamp>,
        made: Option<Timestamp>,
        now: Timestamp,
    ) {
        if !self.config.store_intact {
            return;
        }
        let watch = &mut self.settings.credentials;
        if watch.note(credential, ends, made, now) {
            turn.notices.extend(watch.tell(now));
            self.credentials_changed(turn, now);
        }
    }

    /// Without a forge nobody can tell any more when its credentials end.
    pub(super) fn forget_credentials(&mut self, turn: &mut Turn) {
        let has_forge = self.config.updates.is_some();
        let is_kept = |known: &Credential| has_forge || !known.is_of_forge();
        if self.config.store_intact && self.settings.credentials.keep(is_kept) {
            let settings = Box::new(self.settings.clone());
            turn.records.push(Record::Settings(settings));
        }
        self.show_credentials();
    }

    /// Tells of credentials whose end has come near.
    pub(super) fn tell_credentials(&mut self, turn: &mut Turn, now: Timestamp) {
        let watch = &mut self.settings.credentials;
        let due = watch.poll_timeout().is_some_and(|due| due <= now);
        if due && self.config.store_intact {
            turn.notices.extend(watch.tell(now));
            self.credentials_changed(turn, now);
        }
    }

    fn credentials_changed(&mut self, turn: &mut Turn, now: Timestamp) {
        let settings = Box::new(self.settings.clone());
        turn.records.push(Record::Settings(settings));
        self.show_credentials();
        self.settle_updates(turn, now);
    }

    /// Those of the forge are shown together with its updates.
    fn show_credentials(&mut self) {
        let ends = self.settings.credentials.ends();
        let of_forge = ends.filter(|known| known.credential.is_of_forge());
        let of_forge = of_forge.cloned().collect();
        if let Some(updates) = self.updates.as_mut() {
            updates.show_credentials(of_forge);
        }
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
        // Another absence is another thing, however soon it comes.
        let subject = format!("{id}@{}", since.as_millis());
        let notice = Notice::new(NoticeKind::HostOffline, now, &subject, title, body);
        turn.notices.push(notice.on(id));
    }
}
