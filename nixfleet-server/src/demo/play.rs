//! Playing the story: performs each act, waits for what must be seen, and prints it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use nixfleet_core::{CommandId, Op, Phase};

use super::error::{DemoError, DemoResult};
use super::existing::{ExistingAgent, ExistingSetup};
use super::host::{Habit, HostCommand};
use super::rows::Situation;
use super::screen::Screen;
use super::story::{ATTIC, Act, STORY, Step, WEB};
use super::world::{Started, World, phase_name};

/// Something that is broken on purpose, to show that the demo notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sabotage {
    /// The switch command of web-1 claims success and changes nothing.
    NoopSwitch,
    /// Pulls are left out.
    SkipPull,
}

/// How the story is played.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Time between steps, for people who watch.
    pub pause: Duration,
    /// Whether people may interfere on the page; then what is seen may differ.
    pub interactive: bool,
    /// What is broken on purpose, from the first merge on.
    pub sabotage: Option<Sabotage>,
}

/// Plays the story.
pub struct Player<'a> {
    world: &'a mut World,
    screen: Screen,
    manner: Manner,
    existing: Option<ExistingAgent>,
    rows: BTreeMap<&'static str, Situation>,
    /// Commands that rightly executed nothing.
    idle: BTreeSet<CommandId>,
    merged: bool,
    /// How commands of this step ended, where they should have ended otherwise.
    surprises: Vec<String>,
}

impl<'a> Player<'a> {
    /// A player at the beginning of the story; the server runs.
    #[must_use]
    pub fn new(world: &'a mut World, manner: Manner) -> Self {
        Self {
            world,
            screen: Screen::new(),
            manner,
            existing: None,
            rows: BTreeMap::new(),
            idle: BTreeSet::new(),
            merged: false,
            surprises: Vec::new(),
        }
    }

    /// Plays all of it. The agent of the existing installation lives as long as the answer.
    ///
    /// # Errors
    /// [`DemoError`] that names the step, and what was expected and seen.
    pub async fn play(mut self) -> DemoResult<Option<ExistingAgent>> {
        let began = Instant::now();
        let mut deviations = 0;
        for (number, step) in STORY.iter().enumerate() {
            let title = format!("{:2}/{}  {}", number + 1, STORY.len(), step.caption);
            self.screen.say(&format!("\n{title}"));
            let played = self.step(step).await;
            for (host, situation) in step.then {
                self.rows.insert(host, *situation);
            }
            match played {
                Ok(()) => self.screen.rows(&self.rows),
                Err(error) if self.manner.interactive => {
                    deviations += 1;
                    let note = "this step went differently, perhaps by a click on the page";
                    self.screen.say(&format!("      {note}: {error}"));
                }
                Err(error) => {
                    return Err(DemoError::Wrong(format!("step {title}\n{error}")));
                }
            }
            tokio::time::sleep(self.manner.pause).await;
        }
        match self.check_once() {
            Ok(executions) if deviations == 0 => {
                let (steps, commands) = (STORY.len(), self.world.dispatched().len());
                self.screen.say(&format!(
                    "\n{steps} steps, every row as expected over HTTP and in the live replica; \
                     {commands} commands, {executions} executions, each exactly once; {:.1} s",
                    began.elapsed().as_secs_f64()
                ));
            }
            // Commands from the page are not in the story's books.
            Ok(_) => {}
            Err(_) if self.manner.interactive => {}
            Err(error) => return Err(error),
        }
        Ok(self.existing)
    }

    async fn step(&mut self, step: &Step) -> DemoResult<()> {
        for act in step.acts {
            self.act(*act).await?;
        }
        let mut rows = self.rows.clone();
        rows.extend(step.then.iter().copied());
        let expected = rows
            .iter()
            .map(|(host, situation)| {
                let row = (situation.row(), situation.words());
                ((*host).to_owned(), row)
            })
            .collect();
        let settled = self.world.settle(&expected).await;
        if self.surprises.is_empty() {
            return settled;
        }
        let mut told = self.surprises.join("\n");
        self.surprises.clear();
        if let Err(error) = settled {
            told.push_str(&format!("\n{error}"));
        }
        Err(DemoError::Wrong(told))
    }

    async fn act(&mut self, act: Act) -> DemoResult<()> {
        match act {
            Act::StartAgents => self.world.start_agents(),
            Act::Announce(host) => self.world.api()?.add_host(host).await,
            Act::JoinExisting => self.join_existing(),
            Act::TellLockHash => {
                if let Some(agent) = &self.existing {
                    agent.tell_lock_hash();
                }
                Ok(())
            }
            Act::Merge(inputs) => self.merge(inputs),
            Act::WriteTest(host) => self
                .world
                .upstream
                .write_program(&format!("hosts/{host}/tests/10-answers.sh"), TEST_SCRIPT),
            Act::Run(op, hosts) => self.run(op, hosts, Phase::Success).await,
            Act::RunUntil(op, host, phase) => self.run(op, &[host], phase).await,
            Act::Forgive(host) => {
                let commit = self.world.upstream.remote().head()?;
                self.world.api()?.forgive(host, commit).await
            }
            Act::Tell(host, command, habit) => self.world.host(host)?.tell(command, habit),
            Act::Cut => self.world.upstream.remote().cut(),
            Act::Restore => self.world.upstream.remote().restore(),
        }
    }

    fn join_existing(&mut self) -> DemoResult<()> {
        let setup = ExistingSetup {
            origin: self.world.api()?.origin().to_owned(),
            token: self.world.agent_token().to_owned(),
            hostname: ATTIC.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            remote: self.world.upstream.remote().clone(),
        };
        self.existing = Some(ExistingAgent::start(setup)?);
        Ok(())
    }

    fn merge(&mut self, inputs: &[&str]) -> DemoResult<()> {
        self.world.upstream.update(inputs)?;
        self.merged = true;
        if self.manner.sabotage == Some(Sabotage::NoopSwitch) {
            let host = self.world.host(WEB)?;
            host.tell(HostCommand::Switch, Habit::ChangesNothing)?;
        }
        Ok(())
    }

    async fn run(&mut self, op: Op, hosts: &[&str], expected: Phase) -> DemoResult<()> {
        let skipped = self.manner.sabotage == Some(Sabotage::SkipPull) && self.merged;
        if op == Op::Pull && skipped {
            return Ok(());
        }
        let ids = self.world.dispatch(op, hosts).await?;
        let views = self.world.ended(&ids).await?;
        for view in &views {
            let message = view.message.as_deref().unwrap_or_default();
            let (host, phase) = (&view.host, phase_name(view.phase));
            let told = format!("{} on {host}: {phase} {message}", op.name());
            if view.phase != expected {
                let wanted = phase_name(expected);
                self.surprises.push(format!("{told} (expected {wanted})"));
            } else if view.phase != Phase::Success {
                self.screen.say(&format!("      {told}"));
            }
        }
        if (op, expected) == (Op::Test, Phase::Partial) {
            self.idle.extend(ids);
        }
        Ok(())
    }

    /// Every command ran exactly once, on the demo's own hosts and on the existing agent's.
    fn check_once(&self) -> DemoResult<usize> {
        let executes = |started: &Started| {
            let by_command = matches!(started.op, Op::Switch | Op::Test | Op::Rollback);
            by_command && started.host != ATTIC && !self.idle.contains(&started.id)
        };
        let count = self.world.check_once(executes)?;
        let Some(existing) = &self.existing else {
            return Ok(count);
        };
        let asked: Vec<&str> = self
            .world
            .dispatched()
            .iter()
            .filter(|started| started.host == ATTIC)
            .map(|started| started.op.name())
            .collect();
        let executed = existing.executed();
        if executed != asked {
            return Err(DemoError::Wrong(format!(
                "{ATTIC} was asked for {asked:?} and executed {executed:?}"
            )));
        }
        Ok(count + executed.len())
    }
}

/// What a test in the repository looks like; it leaves a trace so that runs can be counted.
const TEST_SCRIPT: &str = "#!/bin/sh\n\
    echo \"$NIXFLEET_COMMAND_ID test\" >> \"$NIXFLEET_REPO_DIR/../../executions.log\"\n\
    echo 'the laptop answers'\n";
