//! One simulated host of a script: what is on its disk, what runs on it, and its agent.

use std::time::Duration;

use nixfleet_core::agent::{
    AgentConfig, AgentCore, AgentObservation, JobExit, JobReport, Journal, Sighting, TestOutcome,
};
use nixfleet_core::host::{AgentBinary, Generation, LockReport, Repo, RunningSystem};
use nixfleet_core::{
    ClaimedRevision, CommandId, CommitId, ConnectionId, LockHash, Op, StorePath, Timestamp,
    lock_hash,
};

pub fn commit(letter: char) -> CommitId {
    letter.to_string().repeat(40).parse().unwrap()
}

pub fn lock(letter: char) -> LockHash {
    lock_hash(letter.to_string().as_bytes())
}

/// What becomes of frames on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The agent cannot connect.
    pub away: bool,
    /// Frames to the agent are lost.
    pub down_lost: bool,
    /// Frames of the agent are lost.
    pub up_lost: bool,
    /// Sending a command fails: `Some(true)` before a byte left, `Some(false)` half way.
    pub fails: Option<bool>,
}

/// The process of a command.
pub struct Job {
    pub id: CommandId,
    pub op: Op,
    pub target: Option<char>,
    pub generation: Option<u64>,
    pub before: AgentObservation,
    /// How it ended, if the agent was not there to see it.
    pub ended: Option<JobReport>,
    /// It ignores signals.
    pub stubborn: bool,
}

/// Which agent runs on the host.
pub enum Agent {
    /// Ours; `None` while its process is down.
    Ours(Option<Box<AgentCore>>),
    /// An existing one, with the operation it runs, and when it connects again.
    Existing {
        running: Option<Op>,
        back_at: Option<Timestamp>,
    },
}

pub struct Machine {
    pub name: String,
    pub agent: Agent,
    pub journal: Journal,
    pub connection: Option<ConnectionId>,
    pub line: Line,
    pub version: String,
    pub starts: u64,
    pub boots: u64,
    pub repo: Option<Repo>,
    pub repo_error: Option<String>,
    pub path: Option<StorePath>,
    pub claim: Option<ClaimedRevision>,
    /// The running system tells the revision it was built from.
    pub claims: bool,
    /// Paths are just names: they do not change with what they hold.
    pub names: bool,
    pub units: Option<Vec<String>>,
    pub binary: AgentBinary,
    pub history: Vec<StorePath>,
    pub reboot_required: bool,
    /// A reboot command has no effect.
    pub stays_up: bool,
    pub job: Option<Job>,
    pub machine_id: String,
}

impl Machine {
    pub fn new(name: &str, existing: bool, checkout: char) -> Self {
        Self {
            name: name.to_owned(),
            agent: if existing {
                Agent::Existing {
                    running: None,
                    back_at: None,
                }
            } else {
                Agent::Ours(None)
            },
            journal: Journal::default(),
            connection: None,
            line: Line::default(),
            version: "4.0.0".to_owned(),
            starts: 0,
            boots: 1,
            repo: Some(Repo {
                commit: commit(checkout).into(),
                lock: LockReport::Hash(lock(checkout)),
                dirty: false,
            }),
            repo_error: None,
            path: Some("/nix/store/installed-system".parse().unwrap()),
            claim: None,
            claims: false,
            names: false,
            units: None,
            binary: AgentBinary::default(),
            history: vec!["/nix/store/installed-system".parse().unwrap()],
            reboot_required: false,
            stays_up: false,
            job: None,
            machine_id: format!("machine-{name}"),
        }
    }

    pub fn is_existing(&self) -> bool {
        matches!(self.agent, Agent::Existing { .. })
    }

    pub fn config(&mut self) -> AgentConfig {
        self.starts += 1;
        AgentConfig {
            host: self.name.parse().unwrap(),
            version: self.version.clone(),
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
            machine_id_hash: Some(self.machine_id.parse().unwrap()),
            seed: 1,
        }
    }

    pub fn observe(&self) -> AgentObservation {
        let last = self.history.len() as u64;
        let numbered = self.history.iter().zip(1u64..);
        let generations = numbered.map(|(path, number)| Generation {
            number,
            path: Some(path.clone()),
            commit: None,
            created: None,
            current: number == last,
        });
        AgentObservation {
            repo: self.repo,
            repo_error: self.repo_error.clone(),
            system: RunningSystem {
                path: self.path.clone(),
                configuration_revision: self.claim.clone(),
                profile_number: Some(last),
                profile_path: None,
                booted_path: None,
                reboot_required: self.reboot_required,
            },
            failed_units: self.units.clone(),
            generations: generations.collect(),
            binary: self.binary.clone(),
            nixpkgs_version: None,
            metrics: None,
        }
    }

    pub fn spawn(&mut self, id: CommandId, op: Op, target: Option<char>, generation: Option<u64>) {
        self.job = Some(Job {
            id,
            op,
            target,
            generation,
            before: self.observe(),
            ended: None,
            stubborn: false,
        });
    }

    /// What the commands of this operation do when they work.
    pub fn perform(&mut self, op: Op, target: Option<char>, generation: Option<u64>) {
        if matches!(op, Op::Pull | Op::PullSwitch)
            && let Some(letter) = target
        {
            self.repo = Some(Repo {
                commit: commit(letter).into(),
                lock: LockReport::Hash(lock(letter)),
                dirty: false,
            });
        }
        if matches!(op, Op::Switch | Op::PullSwitch | Op::ForceRebuild) {
            self.activate_checkout();
        }
        if op == Op::Rollback && self.history.len() > 1 {
            let keep = generation.map_or(self.history.len() - 1, |number| number as usize);
            self.history.truncate(keep.max(1));
            self.path = self.history.last().cloned();
            self.claim = None;
        }
    }

    fn activate_checkout(&mut self) {
        let commit = self.repo.map(|repo| repo.commit);
        let short = commit.map_or_else(|| "unknown".to_owned(), |commit| commit.short());
        let path: StorePath = if self.names {
            "/srv/app".parse().unwrap()
        } else {
            format!("/nix/store/{short}-system").parse().unwrap()
        };
        if self.history.last() != Some(&path) {
            self.history.push(path.clone());
        }
        self.path = Some(path);
        self.claim = commit.filter(|_| self.claims).map(Into::into);
    }

    /// What the agent's adapter reports of the command that ended.
    pub fn report(&self, job: &Job, exit: JobExit, tests: Vec<TestOutcome>) -> JobReport {
        let after = self.observe();
        // The supervisor of a `pull-switch` looks again between its halves.
        let mut start = Sighting::from(&job.before);
        if job.op == Op::PullSwitch && exit == JobExit::Code(0) {
            start.repo = after.repo;
        }
        JobReport {
            at_start: Some(start),
            at_end: Some(Sighting::from(&after)),
            tests,
            ..JobReport::bare(exit, after)
        }
    }
}

/// The result of a process that nobody can find again.
pub fn interrupted(after: AgentObservation) -> JobReport {
    JobReport::bare(JobExit::Interrupted, after)
}
