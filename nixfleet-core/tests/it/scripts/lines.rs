//! The lines between the agents and the server of a script, and our agents at their end.

use nixfleet_core::agent::{AgentCore, AgentEffect, AgentInput, JobExit};
use nixfleet_core::fleet::Input;
use nixfleet_core::wire::agent::{AgentFrame, ServerFrame};
use nixfleet_core::wire::{agent_message, decode_agent_frame, decode_server_frame, server_order};
use nixfleet_core::{CommandId, ConnectionId, Op};

use super::machine::{Agent, Job, interrupted};
use super::stage::Stage;
use super::{existing, tell};

impl Stage {
    pub fn connect(&mut self, name: &str) {
        let machine = self.machines.get_mut(name).unwrap();
        if machine.line.away || self.fleet.is_none() {
            return self.agent(name, AgentInput::Disconnected);
        }
        self.connections += 1;
        machine.connection = Some(ConnectionId(self.connections));
        if machine.is_existing() {
            existing::register(self, name);
        } else {
            let seen = machine.observe();
            self.agent(name, AgentInput::Connected(seen));
        }
    }

    pub fn cut(&mut self, name: &str) {
        let machine = self.machines.get_mut(name).unwrap();
        if let Some(connection) = machine.connection.take() {
            self.server(Input::Disconnected { connection });
            self.agent(name, AgentInput::Disconnected);
        }
    }

    pub fn send_down(
        &mut self,
        connection: ConnectionId,
        command: Option<CommandId>,
        frame: &ServerFrame,
    ) {
        let Some(name) = self.owner(connection) else {
            return;
        };
        let line = self.machines[&name].line;
        let told = tell::down(frame, |id| self.number(id));
        if let (Some(command), Some(nothing_left)) = (command, line.fails) {
            self.say(format!(
                "{name} ← {} (sending fails)",
                told.unwrap_or_default()
            ));
            let why = "connection reset".to_owned();
            return self.server(Input::SendFailed {
                command,
                nothing_left,
                why,
            });
        }
        if let Some(told) = told {
            let lost = if line.down_lost { " (lost)" } else { "" };
            self.say(format!("{name} ← {told}{lost}"));
        }
        if line.down_lost {
            return;
        }
        let text = serde_json::to_string(frame).unwrap();
        let frame = decode_server_frame(&text).unwrap();
        if self.machines[&name].is_existing() {
            existing::frame(self, &name, frame);
        } else {
            let order = server_order(frame);
            self.spare_ids += 1;
            let fresh_id =
                CommandId::from_bytes(u128::from(u64::MAX - self.spare_ids).to_be_bytes());
            self.agent(&name, AgentInput::Order { order, fresh_id });
        }
    }

    /// An agent's frame, on its way as text.
    pub fn send_up(&mut self, name: &str, frame: &AgentFrame) {
        let machine = &self.machines[name];
        let (Some(connection), line) = (machine.connection, machine.line) else {
            return;
        };
        if let Some(told) = tell::up(frame, |id| self.number(id)) {
            let lost = if line.up_lost { " (lost)" } else { "" };
            self.say(format!("{name} → {told}{lost}"));
        }
        if line.up_lost {
            return;
        }
        let text = serde_json::to_string(frame).unwrap();
        let Some(fleet) = self.fleet.as_ref() else {
            return;
        };
        let host = fleet.host_of(connection).and_then(|id| fleet.host(id));
        let identity = host.map(|host| host.identity.clone()).unwrap_or_default();
        let frame = decode_agent_frame(&text).unwrap();
        if let Some(report) = agent_message(frame, &identity).unwrap() {
            let bound = None;
            self.server(Input::Agent {
                connection,
                bound,
                report,
            });
        }
    }

    pub fn start_agent(&mut self, name: &str) {
        let machine = self.machines.get_mut(name).unwrap();
        if machine.is_existing() {
            return self.connect(name);
        }
        let config = machine.config();
        let (agent, effects) = AgentCore::start(config, machine.journal.clone(), self.now);
        machine.agent = Agent::Ours(Some(Box::new(agent)));
        self.agent_effects(name, effects);
    }

    pub fn stop_agent(&mut self, name: &str) {
        let machine = self.machines.get_mut(name).unwrap();
        if let Agent::Ours(agent) = &mut machine.agent {
            *agent = None;
        }
        self.cut(name);
    }

    pub fn agent(&mut self, name: &str, input: AgentInput) {
        let now = self.now;
        let machine = self.machines.get_mut(name).unwrap();
        if let Agent::Ours(Some(agent)) = &mut machine.agent {
            let effects = agent.handle(input, now);
            self.agent_effects(name, effects);
        }
    }

    pub fn agent_effects(&mut self, name: &str, effects: Vec<AgentEffect>) {
        for effect in effects {
            let machine = self.machines.get_mut(name).unwrap();
            if matches!(machine.agent, Agent::Ours(None)) {
                return;
            }
            match effect {
                AgentEffect::Journal(entry) => machine.journal.apply(&entry),
                AgentEffect::Spawn {
                    command,
                    op,
                    target,
                    args,
                } => {
                    let target = target.and_then(|target| target.commit.to_string().chars().next());
                    machine.spawn(command, op, target, args.generation);
                    let pid = 4711;
                    self.agent(name, AgentInput::JobStarted { command, pid });
                }
                AgentEffect::Attach { command, .. } => self.attach(name, command),
                AgentEffect::Terminate(id) | AgentEffect::Kill(id) => self.signal(name, id),
                AgentEffect::Send(frame) => self.send_up(name, &frame),
                AgentEffect::Observe => {
                    let seen = machine.observe();
                    self.agent(name, AgentInput::Observed(seen));
                }
                AgentEffect::Connect => self.connect(name),
                AgentEffect::Close => self.cut(name),
                AgentEffect::RestartSelf => {
                    self.say(format!("{name} restarts its agent"));
                    self.stop_agent(name);
                    return self.start_agent(name);
                }
                AgentEffect::Reboot(command) if machine.stays_up => {
                    machine.spawn(command, Op::Reboot, None, None);
                }
                AgentEffect::Reboot(_) => {
                    self.say(format!("{name} goes down"));
                    return self.stop_agent(name);
                }
            }
        }
    }

    /// A new agent process looks for the process of a command of an earlier one.
    fn attach(&mut self, name: &str, command: CommandId) {
        let machine = self.machines.get_mut(name).unwrap();
        let job = machine.job.take_if(|job| job.id == command);
        let report = match job {
            None => interrupted(machine.observe()),
            Some(Job {
                ended: Some(report),
                ..
            }) => report,
            Some(running) => {
                machine.job = Some(running);
                return;
            }
        };
        let report = Box::new(report);
        self.agent(name, AgentInput::JobFinished { command, report });
    }

    fn signal(&mut self, name: &str, id: CommandId) {
        let machine = self.machines.get_mut(name).unwrap();
        let Some(job) = machine.job.take_if(|job| job.id == id && !job.stubborn) else {
            return;
        };
        let exit = JobExit::Signal(15);
        let report = Box::new(machine.report(&job, exit, Vec::new()));
        let command = id;
        self.agent(name, AgentInput::JobFinished { command, report });
    }
}
