//! The commands at work: starting them, finding them again, telling them to stop.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use nixfleet_core::agent::Journal;
use nixfleet_core::lifecycle::{CommandArgs, Target};
use nixfleet_core::{CommandId, Op};
use tokio::sync::{mpsc, watch};

use super::observer::Lookout;
use super::order::order;
use super::task::{Task, Wish};
use crate::config::Config;
use crate::eventloop::Input;
use crate::exec::Launcher;
use crate::link::Outbound;

/// What every command needs.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The settings.
    pub config: Arc<Config>,
    /// This program.
    pub exe: PathBuf,
    /// Starts and finds jobs.
    pub launcher: Launcher,
    /// Looks at the host.
    pub lookout: Lookout,
    /// Where output goes.
    pub outbound: Outbound,
    /// Where everything else goes.
    pub inputs: mpsc::Sender<Input>,
}

/// The commands at work.
#[derive(Debug)]
pub struct Jobs {
    around: Surroundings,
    wishes: BTreeMap<CommandId, watch::Sender<Wish>>,
}

impl Jobs {
    /// None.
    #[must_use]
    pub fn new(around: Surroundings) -> Self {
        Self {
            around,
            wishes: BTreeMap::new(),
        }
    }

    /// Starts a command.
    pub fn start(
        &mut self,
        id: CommandId,
        op: Op,
        args: CommandArgs,
        target: Option<Target>,
        journal: &Journal,
    ) {
        let task = self.task(id, op);
        let spec = order(id, op, &self.around, &args, target, journal);
        tokio::spawn(task.run(spec));
    }

    /// Finds a command that an earlier agent started.
    pub fn attach(&mut self, id: CommandId, op: Op) {
        let task = self.task(id, op);
        tokio::spawn(task.find());
    }

    /// SIGTERM to the command's process group.
    pub fn terminate(&self, id: CommandId) {
        self.wish(id, Wish::Terminate);
    }

    /// SIGKILL to everything the command has started.
    pub fn kill(&self, id: CommandId) {
        self.wish(id, Wish::Kill);
    }

    /// A command ended: nothing can be wished of it any more.
    pub fn ended(&mut self, id: CommandId) {
        self.wishes.remove(&id);
    }

    fn wish(&self, id: CommandId, wish: Wish) {
        if let Some(sender) = self.wishes.get(&id) {
            sender.send_if_modified(|now| {
                let more = wish > *now;
                *now = wish.max(*now);
                more
            });
        }
    }

    fn task(&mut self, id: CommandId, op: Op) -> Task {
        let (sender, wish) = watch::channel(Wish::GoOn);
        self.wishes.insert(id, sender);
        Task::new(id, op, wish, self.around.clone())
    }
}
