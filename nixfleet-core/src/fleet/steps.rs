//! Commands of the fleet: events go to the lifecycle, its steps become changes and effects.

use super::turn::Turn;
use super::{Effect, Fleet, Timer};
use crate::admission::Admitted;
use crate::host::{DeployEvidence, Update};
use crate::ids::{CommandId, HostId, Sequence};
use crate::lifecycle::{
    Command, CommandArgs, Event, ExitReport, Phase, Signal, Step, Transcript, late_result,
};
use crate::order::{ServerOrder, StartOrder};
use crate::report::{CommandResult, ResultKind};
use crate::time::Timestamp;

/// The exit code with which an existing agent tells the end of a stopped command again (spec 03).
const CODE_OF_SECOND_END: i32 = -1;

impl Fleet {
    /// Journals and sends an admitted command.
    pub(super) fn start_command(
        &mut self,
        turn: &mut Turn,
        admitted: Admitted,
        id: CommandId,
        now: Timestamp,
    ) {
        let host = admitted.request().host.clone();
        let Some(seq) = self.next_seq(turn, &host) else {
            return;
        };
        let (command, trace) = Command::start_traced(admitted, id, seq, now);
        self.note_rows(id, &trace);
        self.insert_command(turn, command);
        self.after_command(turn, id, trace.steps, now);
    }

    /// The next sequence number of a host; it is stored with the command.
    pub(super) fn next_seq(&mut self, turn: &mut Turn, host: &HostId) -> Option<Sequence> {
        let record = &mut self.hosts.get_mut(host)?.record;
        record.last_seq = record.last_seq.next();
        turn.host_changed(host);
        Some(record.last_seq)
    }

    pub(super) fn insert_command(&mut self, turn: &mut Turn, command: Command) {
        let id = command.id;
        if let Some(host) = self.hosts.get_mut(&command.host) {
            host.open.push(id);
        }
        self.arm(id, None, command.poll_timeout().map(|deadline| deadline.at));
        turn.commands.insert(id);
        self.commands.insert(id, command);
        self.publish_command(turn, id, None);
    }

    pub(super) fn command_event(
        &mut self,
        turn: &mut Turn,
        id: CommandId,
        event: &Event<'_>,
        now: Timestamp,
    ) {
        let Some(command) = self.commands.get_mut(&id) else {
            return;
        };
        let before = command.poll_timeout().map(|deadline| deadline.at);
        let unchanged = command.clone();
        let trace = command.handle_traced(event, now);
        let nothing = *command == unchanged && trace.steps.is_empty();
        let after = command.poll_timeout().map(|deadline| deadline.at);
        self.note_rows(id, &trace);
        if nothing {
            return;
        }
        self.arm(id, before, after);
        self.after_command(turn, id, trace.steps, now);
    }

    pub(super) fn note_rows(&mut self, id: CommandId, trace: &Transcript) {
        self.rows_used
            .extend(trace.rows.iter().map(|row| (id, *row)));
    }

    pub(super) fn arm(
        &mut self,
        id: CommandId,
        before: Option<Timestamp>,
        after: Option<Timestamp>,
    ) {
        if before != after
            && let Some(at) = before
        {
            self.timers.remove(&(at, Timer::Command(id)));
        }
        if let Some(at) = after {
            self.timers.insert((at, Timer::Command(id)));
        }
    }

    /// Turns the steps of a command into changes and effects. Called after every change of it.
    pub(super) fn after_command(
        &mut self,
        turn: &mut Turn,
        id: CommandId,
        steps: Vec<Step>,
        now: Timestamp,
    ) {
        let Some(command) = self.commands.get(&id) else {
            return;
        };
        let host = command.host.clone();
        self.arm(id, None, command.poll_timeout().map(|deadline| deadline.at));
        turn.commands.insert(id);
        turn.refresh(&host);
        let ended = steps.contains(&Step::Finished);
        for step in steps {
            self.step(turn, id, &host, step, now);
        }
        self.publish_command(turn, id, None);
        // Only now: the next one may end at once, and clients take the last they hear of.
        let of_rollout = |id: &CommandId| {
            let command = self.commands.get(id);
            command.is_some_and(|command| command.actor.as_rollout().is_some())
        };
        if ended && of_rollout(&id) {
            turn.start_next.push(host);
        } else if ended {
            self.start_next(turn, &host, now);
        }
    }

    fn step(&mut self, turn: &mut Turn, id: CommandId, host: &HostId, step: Step, now: Timestamp) {
        match step {
            Step::SendCommand { .. } => self.send_command(turn, id),
            Step::PerformOnServer => turn.sends.push(Effect::ReadRemote),
            Step::SendKill { signal } => self.send_kill(turn, id, signal),
            Step::Confirm => self.confirm(turn, host, id, now),
            Step::Started => {
                let text = self
                    .commands
                    .get(&id)
                    .map(|c| format!("{} started on {host}", c.op.name()));
                self.event(
                    turn,
                    Some(host),
                    "command-started",
                    text.unwrap_or_default(),
                    now,
                );
            }
            Step::DeployOutcome {
                outcome,
                needs_reconcile,
                detail,
            } => {
                let seq = self.commands.get(&id).map(|c| c.seq).unwrap_or_default();
                let evidence = DeployEvidence {
                    outcome,
                    command: Some(id),
                    seq,
                    needs_reconcile: false,
                    at: Some(now),
                    detail: Some(detail),
                };
                self.set_deploy(turn, host, evidence, needs_reconcile);
            }
            Step::RecordDeployment(deployed) => {
                let update = deployed.map_or(Update::Gone, Update::Set);
                if let Some(host_state) = self.hosts.get_mut(host)
                    && update.apply(&mut host_state.record.observation.deployed)
                {
                    turn.host_changed(host);
                }
            }
            Step::TestResult(evidence) => self.set_tests(turn, host, evidence),
            Step::Finished => self.finished(turn, id, host, now),
            Step::Late { code, .. } => {
                let text = format!("a result for an ended command arrived late: exit code {code}");
                self.event(turn, Some(host), "late-result", text, now);
            }
        }
    }

    fn finished(&mut self, turn: &mut Turn, id: CommandId, host: &HostId, now: Timestamp) {
        let Some(command) = self.commands.get(&id) else {
            return;
        };
        let ending = command.ending_text().unwrap_or_default();
        let text = format!("{} on {host}: {ending}", command.op.name());
        let executed = command.was_sent();
        let Some(state) = self.hosts.get_mut(host) else {
            return;
        };
        state.open.retain(|open| *open != id);
        turn.ended.push(id);
        let shown = state
            .record
            .last_ended
            .and_then(|id| self.commands.get(&id));
        if shown.is_none_or(|shown| command.is_shown_instead_of(shown)) {
            turn.forget.extend(state.record.last_ended.replace(id));
            turn.host_changed(host);
        } else {
            turn.forget.push(id);
        }
        let code = if executed {
            "command-finished"
        } else {
            "command-not-started"
        };
        self.event(turn, Some(host), code, text, now);
        self.tell_of_end(turn, id, host, now);
    }

    fn send_command(&mut self, turn: &mut Turn, id: CommandId) {
        let Some(command) = self.commands.get(&id) else {
            return;
        };
        if let Some(host) = self.hosts.get_mut(&command.host) {
            host.system_proven = false;
        }
        let Some(connection) = self
            .hosts
            .get(&command.host)
            .and_then(|host| host.connection)
        else {
            return;
        };
        let existing = command.protocol == crate::host::AgentProtocol::Existing;
        let mut order = StartOrder::of(command.op);
        if !existing {
            let generation = command.rollback.as_ref();
            order = StartOrder {
                command: Some(id),
                seq: Some(command.seq),
                not_after: command.not_after,
                args: CommandArgs {
                    generation: generation.map(|generation| generation.number),
                    input: command.args.input.clone(),
                },
                target: command.target,
                ..order
            };
        }
        turn.sends.push(Effect::Send {
            connection,
            command: Some(id),
            order: Box::new(ServerOrder::Start(order)),
        });
    }

    /// An existing agent is stopped by the operation `stop`; it never gets a `kill_command`.
    fn send_kill(&mut self, turn: &mut Turn, id: CommandId, signal: Signal) {
        let Some(command) = self.commands.get(&id) else {
            return;
        };
        let Some(connection) = self
            .hosts
            .get(&command.host)
            .and_then(|host| host.connection)
        else {
            return;
        };
        let order = if command.protocol == crate::host::AgentProtocol::Existing {
            ServerOrder::StopRunning(Signal::Term)
        } else {
            ServerOrder::Stop {
                command: id,
                signal,
                pid: command.pid,
            }
        };
        turn.sends.push(Effect::Send {
            connection,
            command: None,
            order: Box::new(order),
        });
    }

    /// Tells the agent that a result is stored. Effects put this behind the storing.
    pub(super) fn confirm(
        &mut self,
        turn: &mut Turn,
        host: &HostId,
        id: CommandId,
        now: Timestamp,
    ) {
        let Some(connection) = self.hosts.get(host).and_then(|host| host.connection) else {
            return;
        };
        let order = ServerOrder::Confirm {
            command: id,
            server_time: Some(now),
        };
        turn.sends.push(Effect::Send {
            connection,
            command: None,
            order: Box::new(order),
        });
    }

    /// A result outside a registration.
    pub(super) fn result(
        &mut self,
        turn: &mut Turn,
        host: &HostId,
        result: CommandResult,
        now: Timestamp,
    ) {
        let facts = result.facts.clone();
        let idle = facts.tells_system();
        let named = result.command;
        let report = ExitReport::from_result(&result, now);
        self.take_in(turn, host, facts, now);
        if named.is_none() && self.is_second_end(host, &report) {
            return;
        }
        self.note_agent_runs(host, None);
        let id = named.or_else(|| self.running_on(host));
        match id.filter(|id| self.is_open_on(host, *id)) {
            Some(id) => {
                self.command_event(turn, id, &Event::Exited(Box::new(report)), now);
                // The result carries facts seen after the exit.
                if let Some(observation) =
                    self.observation(host).cloned().filter(|_| named.is_some())
                {
                    let event = Event::Heartbeat {
                        running: None,
                        observation: &observation,
                    };
                    self.command_event(turn, id, &event, now);
                }
            }
            None => self.late_result(turn, host, named, &report, now),
        }
        // The agent ran this and nothing else.
        self.note_proof(host, idle);
    }

    /// Whether an existing agent tells once more that a stopped command has ended; by then the next
    /// one may run under the same name. Remembers which will be told twice.
    fn is_second_end(&mut self, host: &HostId, report: &ExitReport) -> bool {
        let Some(host) = self.hosts.get_mut(host) else {
            return false;
        };
        let awaited = host.second_end.take();
        if report.kind == ResultKind::Stopped {
            host.second_end = report.op;
            return false;
        }
        awaited.is_some() && awaited == report.op && report.code == CODE_OF_SECOND_END
    }

    /// A result of a command that has ended, or that this server does not know: its facts are
    /// used, the agent may forget it, and the newest one settles the deploy record.
    pub(super) fn late_result(
        &mut self,
        turn: &mut Turn,
        host: &HostId,
        id: Option<CommandId>,
        report: &ExitReport,
        now: Timestamp,
    ) {
        let Some(id) = id else { return };
        let last_seq = self.hosts.get(host).map(|host| host.record.last_seq);
        if let Some(command) = self
            .commands
            .get(&id)
            .filter(|c| c.host == *host && c.phase.is_terminal())
        {
            let is_newest = Some(command.seq) == last_seq;
            for step in late_result(command, report, is_newest) {
                self.step(turn, id, host, step, now);
            }
        }
        self.confirm(turn, host, id, now);
    }

    /// Commands of a fleet that was read back: they learn of the restart and keep their deadlines.
    pub(super) fn resume_commands(&mut self, turn: &mut Turn, now: Timestamp) {
        let open: Vec<CommandId> = self
            .commands
            .values()
            .filter(|c| !c.phase.is_terminal())
            .map(|c| c.id)
            .collect();
        for id in open {
            self.command_event(turn, id, &Event::ServerRestart, now);
            let due = self
                .commands
                .get(&id)
                .and_then(Command::poll_timeout)
                .map(|deadline| deadline.at);
            self.arm(id, None, due);
        }
    }

    /// The command that is laid over the statuses of a host: from `EXECUTING` to `VERIFYING`.
    pub(super) fn working_command(&self, open: &[CommandId]) -> Option<&Command> {
        let mut commands = open.iter().filter_map(|id| self.commands.get(id));
        commands.find(|command| command.phase.is_active() && command.phase != Phase::Validating)
    }
}
