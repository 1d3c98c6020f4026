//! Commands that wait for their host, and tests that follow a deploy by themselves.
//!
//! At most one intent of a class waits on a host, and the newest one counts (law D9). When the host
//! wakes up they start in the order pull, switch, test, each admitted anew.

use super::Fleet;
use super::turn::Turn;
use super::world::ended;
use crate::admission::{self, Queueable, RefusalCode, admit, admit_to_queue};
use crate::host::Actor;
use crate::ids::{CommandId, HostId, RolloutId};
use crate::lifecycle::{Command, Event, Phase, Target, Withdrawal};
use crate::notice::{Notice, NoticeKind};
use crate::op::{Op, OpClass};
use crate::rollout::{Ended, command_id};
use crate::time::Timestamp;

/// The name under which tests run by themselves.
const TESTER: &str = "tests after switch";

/// The order in which intents that wait start; those of one rank replace each other.
#[must_use]
pub const fn rank(op: Op) -> u8 {
    match op {
        Op::UpdateInputs => 0,
        Op::Pull => 1,
        Op::Switch | Op::PullSwitch | Op::Rollback | Op::ForceRebuild => 2,
        Op::Test => 3,
        Op::Restart => 4,
        Op::Reboot => 5,
        Op::RefreshSystem => 6,
        Op::CheckVersion | Op::RefreshGit | Op::RefreshLock | Op::RefreshAll => 7,
        Op::MergePr | Op::RevertPr | Op::SetColor | Op::Remove | Op::Hold | Op::Release => 8,
    }
}

impl Fleet {
    /// A command waits for its host; an older one of its class is superseded.
    pub(super) fn queue_command(
        &mut self,
        turn: &mut Turn,
        queueable: &Queueable,
        id: CommandId,
        now: Timestamp,
    ) {
        let request = queueable.request();
        for older in self.waiting_on(&request.host) {
            let same = self
                .commands
                .get(&older)
                .is_some_and(|c| rank(c.op) == rank(request.op));
            if same {
                let event = Event::Cancel(Withdrawal::Superseded);
                self.command_event(turn, older, &event, now);
            }
        }
        self.insert_command(turn, Command::queue(queueable, id, now));
    }

    /// The commands that wait on a host, in the order in which they start.
    fn waiting_on(&self, host: &HostId) -> Vec<CommandId> {
        let open = self.hosts.get(host).map(|host| host.open.as_slice());
        let open = open.unwrap_or_default().iter();
        let mut waiting: Vec<&Command> = open
            .filter_map(|id| self.commands.get(id))
            .filter(|command| command.phase == Phase::Pending)
            .collect();
        waiting.sort_by_key(|command| rank(command.op));
        waiting.into_iter().map(|command| command.id).collect()
    }

    /// A command that waited for this host may start now. What is not wanted any more is put down
    /// as superseded; what only has to wait longer lets nothing overtake it.
    pub(super) fn start_next(&mut self, turn: &mut Turn, id: &HostId, now: Timestamp) {
        if self
            .hosts
            .get(id)
            .is_none_or(|host| host.connection.is_none())
        {
            return;
        }
        let Some(next) = self.waiting_on(id).into_iter().next() else {
            return;
        };
        let Some(command) = self.commands.get(&next) else {
            return;
        };
        // Whoever queued it may not have known of the hold (law D9).
        let is_held = self
            .hosts
            .get(id)
            .is_some_and(|host| self.hold_on(&host.record).is_some());
        if is_held && command.op.spec().class != OpClass::Read {
            return;
        }
        let request = command.request();
        let moved_on = command.requested_target.is_some_and(|wanted| {
            Target::desired(&self.desired.remote).is_some_and(|now| now.commit != wanted.commit)
        });
        let admitted = match self.admission(&request, admit) {
            Err(_) if moved_on => Err(true),
            Ok(_) if moved_on => Err(true),
            Ok(admitted) => Ok(admitted),
            Err(refusal) if refusal.code == RefusalCode::AlreadyCurrent => Err(true),
            Err(refusal) if refusal.code.may_wait() => Err(false),
            Err(refusal) => {
                self.command_event(turn, next, &Event::Start, now);
                self.command_event(turn, next, &Event::ValidateFail(refusal), now);
                return;
            }
        };
        match admitted {
            Err(true) => {
                // Its end looks for the next one by itself.
                let event = Event::Cancel(Withdrawal::Superseded);
                self.command_event(turn, next, &event, now);
            }
            Err(false) => {}
            Ok(admitted) => {
                let Some(seq) = self.next_seq(turn, id) else {
                    return;
                };
                self.command_event(turn, next, &Event::Start, now);
                let admitted = Box::new(admitted);
                self.command_event(turn, next, &Event::ValidateOk { admitted, seq }, now);
            }
        }
    }

    /// What people are told of the end of a command, and what follows from it.
    pub(super) fn tell_of_end(
        &mut self,
        turn: &mut Turn,
        id: CommandId,
        host: &HostId,
        now: Timestamp,
    ) {
        let Some(command) = self.commands.get(&id).filter(|command| command.was_sent()) else {
            return;
        };
        let ending = command.ending_text().unwrap_or_default();
        let good = command.phase == Phase::Success && !tests_failed(command);
        let deploys = command.op.spec().class == OpClass::Deploy;
        let told = match (command.op, good) {
            (Op::Rollback, true) => {
                Some((NoticeKind::RolledBack, format!("{host} was rolled back")))
            }
            (Op::Test, false) => Some((NoticeKind::TestsFailed, format!("tests failed on {host}"))),
            (op, false) if deploys && command.phase != Phase::Degraded => Some((
                NoticeKind::HostFailed,
                format!("{} failed on {host}", op.name()),
            )),
            (_, _) => None,
        };
        if let Some((kind, title)) = told {
            let notice = Notice::new(kind, now, &id.to_string(), title, ending).on(host);
            turn.notices.push(notice);
        }
        if good && deploys && !command.actor.is_automation() {
            turn.test_next.push((host.clone(), id));
        }
        // Also where units failed afterwards, or nobody saw how it ended: it may have gone back.
        let may_be_back = match ended(command, false) {
            Ended::Good | Ended::Unknown(_) => true,
            Ended::Failed(_) => false,
        };
        if may_be_back && command.op == Op::Rollback && !command.actor.is_automation() {
            self.hold_back(turn, id, now);
        }
    }

    /// Tests that follow a person's deploy by themselves (spec 05, "After a deploy").
    pub(super) fn run_tests_after(
        &mut self,
        turn: &mut Turn,
        host: &HostId,
        after: CommandId,
        now: Timestamp,
    ) {
        let wanted = self.hosts.get(host).is_some_and(|host| {
            host.record.tests_enabled && host.record.settings.tests_after_switch()
        });
        if !wanted || !self.config.tests_after_switch || !self.config.store_intact {
            return;
        }
        let actor = Actor::Automation(TESTER.to_owned());
        let request = admission::Request::new(host.clone(), Op::Test, actor);
        let id = command_id(
            RolloutId::from_bytes(*after.as_bytes()),
            host,
            "test",
            0,
            now,
        );
        match self.admission(&request, admit) {
            Ok(admitted) => self.start_command(turn, admitted, id, now),
            Err(refusal) if refusal.code == RefusalCode::Held => {}
            Err(_) => {
                if let Ok(queueable) = self.admission(&request, admit_to_queue) {
                    self.queue_command(turn, &queueable, id, now);
                }
            }
        }
    }
}

/// Whether tests ran and did not all pass.
pub(super) fn tests_failed(command: &Command) -> bool {
    let evidence = command.exit.as_ref().and_then(|exit| exit.tests.as_ref());
    command.op == Op::Test
        && evidence.is_some_and(|tests| tests.verdict != crate::host::TestVerdict::Pass)
}
