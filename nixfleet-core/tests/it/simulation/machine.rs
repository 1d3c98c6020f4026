//! One simulated host: what is on its disk, what runs on it, and an agent that may crash.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nixfleet_core::agent::{
    AgentConfig, AgentCore, AgentObservation, JobExit, JobReport, Journal, Sighting, TestOutcome,
};
use nixfleet_core::host::{Generation, LockReport, Repo, RunningSystem};
use nixfleet_core::{CommandId, CommitId, LockHash, Op, StorePath, Timestamp};

pub fn commit(number: u64) -> CommitId {
    format!("{number:040x}").parse().unwrap()
}

pub fn lock(number: u64) -> LockHash {
    nixfleet_core::lock_hash(&number.to_be_bytes())
}

/// A command's process. It runs under its own supervisor, so it outlives a crash of the agent.
#[derive(Clone)]
pub struct Job {
    pub op: Op,
    pub target: Option<u64>,
    pub ends: Timestamp,
    pub before: AgentObservation,
    pub exit: Option<JobExit>,
    pub tests: Vec<TestOutcome>,
    /// The agent process has read the exit.
    pub reported: bool,
}

pub struct Machine {
    pub name: String,
    pub agent: Option<AgentCore>,
    /// What the agent wrote to its disk.
    pub journal: Journal,
    pub starts: u64,
    pub boots: u64,
    pub checkout: u64,
    pub system: StorePath,
    pub builds: u64,
    pub history: Vec<StorePath>,
    pub jobs: BTreeMap<CommandId, Job>,
    /// How often each command was really started.
    pub executions: BTreeMap<CommandId, u32>,
    /// Exit 0, by command.
    pub succeeded: BTreeSet<CommandId>,
    /// What was really built from what.
    pub built: BTreeSet<(u64, StorePath)>,
    /// What tests really passed on.
    pub passed: BTreeSet<(u64, StorePath)>,
}

impl Machine {
    pub fn new(name: &str) -> Self {
        let system: StorePath = format!("/system/{name}-0").parse().unwrap();
        Self {
            name: name.to_owned(),
            agent: None,
            journal: Journal::default(),
            starts: 0,
            boots: 1,
            checkout: 1,
            history: vec![system.clone()],
            system,
            builds: 0,
            jobs: BTreeMap::new(),
            executions: BTreeMap::new(),
            succeeded: BTreeSet::new(),
            built: BTreeSet::new(),
            passed: BTreeSet::new(),
        }
    }

    pub fn config(&mut self) -> AgentConfig {
        self.starts += 1;
        AgentConfig {
            host: self.name.parse().unwrap(),
            version: "4.0.0".into(),
            host_type: "linux".into(),
            os_version: None,
            location: None,
            device_type: None,
            theme_color: None,
            repo_url: None,
            repo_dir: None,
            interval: Duration::from_secs(5),
            flake_updates: None,
            instance_id: format!("{}-{}", self.name, self.starts).parse().unwrap(),
            boot_id: Some(format!("boot-{}", self.boots).parse().unwrap()),
            machine_id_hash: Some(self.name.parse().unwrap()),
            seed: self.starts,
        }
    }

    pub fn observe(&self) -> AgentObservation {
        let numbered = self.history.iter().zip(1u64..);
        let last = self.history.len() as u64;
        let generations = numbered.map(|(path, number)| Generation {
            number,
            path: Some(path.clone()),
            commit: None,
            created: None,
            current: number == last,
        });
        AgentObservation {
            repo: Some(Repo {
                commit: commit(self.checkout).into(),
                lock: LockReport::Hash(lock(self.checkout)),
                dirty: false,
            }),
            system: RunningSystem {
                path: Some(self.system.clone()),
                ..RunningSystem::default()
            },
            generations: generations.collect(),
            ..AgentObservation::default()
        }
    }

    pub fn spawn(&mut self, id: CommandId, op: Op, target: Option<u64>, ends: Timestamp) {
        *self.executions.entry(id).or_default() += 1;
        let before = self.observe();
        let job = Job {
            op,
            target,
            ends,
            before,
            exit: None,
            tests: Vec::new(),
            reported: false,
        };
        self.jobs.insert(id, job);
    }

    /// The process of a command ends, well or badly.
    pub fn end(&mut self, id: CommandId, well: bool) {
        let Some(mut job) = self.jobs.remove(&id).filter(|job| job.exit.is_none()) else {
            return;
        };
        if well {
            self.effect(&job);
            self.succeeded.insert(id);
        }
        if job.op == Op::Test {
            job.tests.push(TestOutcome {
                name: "one.sh".into(),
                passed: Some(well),
            });
            let unchanged = job.before.system.path.as_ref() == Some(&self.system);
            let source = self
                .built
                .iter()
                .find(|(_, path)| *path == self.system)
                .map(|(source, _)| *source);
            if let Some(source) = source.filter(|_| well && unchanged) {
                self.passed.insert((source, self.system.clone()));
            }
        }
        job.exit = Some(JobExit::Code(i32::from(!well)));
        self.jobs.insert(id, job);
    }

    /// The process of a command is killed by a signal.
    pub fn kill(&mut self, id: CommandId) {
        if let Some(job) = self.jobs.get_mut(&id).filter(|job| job.exit.is_none()) {
            job.exit = Some(JobExit::Signal(15));
        }
    }

    fn effect(&mut self, job: &Job) {
        if matches!(job.op, Op::Pull | Op::PullSwitch) {
            self.checkout = job.target.unwrap_or(self.checkout);
        }
        if matches!(job.op, Op::Switch | Op::PullSwitch) {
            self.builds += 1;
            self.system = format!("/system/{}-{}", self.name, self.builds)
                .parse()
                .unwrap();
            self.history.push(self.system.clone());
            self.built.insert((self.checkout, self.system.clone()));
        }
        if job.op == Op::Rollback && self.history.len() > 1 {
            self.history.pop();
            self.system = self.history.last().unwrap().clone();
        }
    }

    /// What the agent's adapter hands over when it has seen the end of a job.
    pub fn report(&mut self, id: CommandId) -> Option<JobReport> {
        let after = self.observe();
        let job = self.jobs.get_mut(&id)?;
        let exit = job.exit.clone()?;
        if std::mem::replace(&mut job.reported, true) {
            return None;
        }
        // The supervisor of a `pull-switch` looks again between its halves.
        let mut start = Sighting::from(&job.before);
        if job.op == Op::PullSwitch && exit == JobExit::Code(0) {
            start.repo = after.repo;
        }
        Some(JobReport {
            at_start: Some(start),
            at_end: Some(Sighting::from(&after)),
            tests: job.tests.clone(),
            ..JobReport::bare(exit, after)
        })
    }
}
