//! What must hold at every moment, and at rest.

use std::collections::BTreeMap;

use nixfleet_core::lifecycle::{Command, Phase};
use nixfleet_core::{CommandId, Compartment, Op, Status};

use super::world::World;

#[derive(Default)]
pub struct Checks {
    ended: BTreeMap<CommandId, Phase>,
}

type Verdict = Result<(), String>;

impl Checks {
    pub fn always(&mut self, world: &World) -> Verdict {
        for command in &world.stored.commands {
            self.terminal_is_final(command)?;
            armed(command)?;
            success_has_proof(world, command)?;
        }
        executed_once(world)?;
        let Some(fleet) = &world.fleet else {
            return Ok(());
        };
        for machine in &world.machines {
            let id = machine.name.parse().unwrap();
            let (Some(report), Some(record)) = (fleet.report(&id), fleet.host(&id)) else {
                continue;
            };
            let clients = fleet.sync().state().commands.values();
            let ended = clients.filter(|c| c.host == id && c.phase.is_terminal());
            let ended: Vec<CommandId> = ended.map(|c| c.id).collect();
            if ended != Vec::from_iter(record.last_ended) {
                return Err(format!(
                    "{id}: clients see {ended:?} as the last command, the row is {:?}",
                    record.last_ended
                ));
            }
            let status = |compartment| report.compartments[&compartment].status;
            if status(Compartment::Tests) == Status::Ok
                && status(Compartment::System) != Status::Ok
                && status(Compartment::System) != Status::Working
            {
                return Err(format!("A2: tests ok without system ok on {id}"));
            }
            if status(Compartment::System) == Status::Ok {
                let deployed = record.observation.deployed.clone();
                let deployed =
                    deployed.ok_or_else(|| format!("A1: {id} is ok without a record"))?;
                let path = deployed.store_path.ok_or("A1: no path")?;
                let source = deployed
                    .commit
                    .and_then(|c| u64::from_str_radix(&c.to_string(), 16).ok());
                let source = source.ok_or("A1: no commit")?;
                if !machine.built.contains(&(source, path.clone())) {
                    return Err(format!(
                        "A1: {id} shows {source} at {path}, which was never built so"
                    ));
                }
                let desired = fleet
                    .desired()
                    .remote
                    .commit()
                    .map_err(|_| "A1: ok without remote")?;
                if u64::from_str_radix(&desired.to_string(), 16) != Ok(source) {
                    return Err(format!("A1: {id} is ok at {source}, desired is {desired}"));
                }
                if status(Compartment::Tests) == Status::Ok
                    && !machine.passed.contains(&(source, path))
                {
                    return Err(format!(
                        "A14: tests of {id} are ok, but never passed on {source}"
                    ));
                }
            }
        }
        one_active(&world.stored.commands)
    }

    /// Terminal is final (B2).
    fn terminal_is_final(&mut self, command: &Command) -> Verdict {
        if let Some(before) = self.ended.get(&command.id)
            && *before != command.phase
        {
            return Err(format!(
                "B2: {} was {before:?} and became {:?}",
                command.id, command.phase
            ));
        }
        if command.phase.is_terminal() {
            self.ended.insert(command.id, command.phase);
        }
        Ok(())
    }

    /// After healing and silence: everything has ended, and everybody sees the same.
    pub fn at_rest(&mut self, world: &World) -> Verdict {
        let fleet = world.fleet.as_ref().ok_or("the server runs")?;
        for command in &world.stored.commands {
            if !command.phase.is_terminal() {
                return Err(format!(
                    "B5: {} is still {:?}",
                    command.op.name(),
                    command.phase
                ));
            }
        }
        world.witness.compare(fleet);
        for replica in &world.replicas {
            if replica.version() != Some(fleet.version()) || replica.state() != fleet.sync().state()
            {
                return Err("F6: a client did not converge".into());
            }
        }
        for machine in &world.machines {
            let id = machine.name.parse().unwrap();
            let record = fleet.host(&id).ok_or_else(|| format!("{id} is unknown"))?;
            let seen = record.observation.repo.map(|repo| repo.commit.to_string());
            if seen != Some(super::machine::commit(machine.checkout).to_string()) {
                return Err(format!(
                    "{id}: the server believes {seen:?}, it is at {}; {:?}; agent {:?}",
                    machine.checkout, record.presence, machine.agent
                ));
            }
        }
        Ok(())
    }
}

/// Every live command has a deadline, no ended one has (B4).
fn armed(command: &Command) -> Verdict {
    if command.phase.is_terminal() == command.deadline.is_some() {
        return Err(format!(
            "B4: {:?} with deadline {:?}",
            command.phase, command.deadline
        ));
    }
    Ok(())
}

/// No command is ever executed twice (C1).
fn executed_once(world: &World) -> Verdict {
    for machine in &world.machines {
        if let Some(id) = machine
            .executions
            .keys()
            .find(|id| !world.journaled.contains(id))
        {
            return Err(format!(
                "B17: {id} ran on {} and was never journaled",
                machine.name
            ));
        }
    }
    for machine in &world.machines {
        if let Some((id, times)) = machine.executions.iter().find(|(_, times)| **times > 1) {
            return Err(format!("C1: {id} ran {times} times on {}", machine.name));
        }
    }
    Ok(())
}

/// Success has proof: the host really ran it, once, to exit 0 (B7).
fn success_has_proof(world: &World, command: &Command) -> Verdict {
    let on_host = !matches!(command.op, Op::Restart | Op::Reboot);
    if command.phase != Phase::Success || !on_host {
        return Ok(());
    }
    let machine = world
        .machines
        .iter()
        .find(|machine| machine.name == command.host.as_str());
    let machine = machine.ok_or("B7: success on an unknown host")?;
    if machine.executions.get(&command.id) != Some(&1) || !machine.succeeded.contains(&command.id) {
        return Err(format!(
            "B7: {} of {} is SUCCESS without proof",
            command.op.name(),
            command.host
        ));
    }
    Ok(())
}

/// At most one command occupies a host and lane (B3).
fn one_active(commands: &[Command]) -> Verdict {
    let mut active = BTreeMap::new();
    for command in commands.iter().filter(|command| command.phase.is_active()) {
        if let Some(other) = active.insert((&command.host, command.lane), command.id) {
            return Err(format!(
                "B3: {other} and {} on {}",
                command.id, command.host
            ));
        }
    }
    Ok(())
}
