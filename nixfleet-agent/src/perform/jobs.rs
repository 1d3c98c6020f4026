//! The commands at work: each is a task that starts or finds its job, forwards what it writes, passes
//! on what it is told, and reports its end.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nixfleet_core::agent::{AgentInput, JobExit, JobReport, Journal};
use nixfleet_core::report::ProgressStage;
use nixfleet_core::wire::agent::{AgentFrame, Args, Output, TargetFrame, TestProgress};
use nixfleet_core::{CommandId, CommitId, Op};
use tokio::sync::{mpsc, watch};
use tokio::task::{coop, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::convert;
use super::observer::Lookout;
use crate::config::Config;
use crate::eventloop::Input;
use crate::exec::{
    ExecError, Job, JobEnd, JobEvent, JobSpec, Launcher, Note, OutputLine, Stream, TestOutcome,
};
use crate::link::{self, Outbound};
use crate::observe::Occasion;
use crate::platform::{HostOp, RollbackTo, plan};

/// The reading of one job waits for a slow connection at most so long in all; then lines are dropped.
/// The job itself never waits: it writes to a file.
const PATIENCE: Duration = Duration::from_secs(10);
/// A file that cannot be read now is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// How often is written down which lines were sent.
const NOTE_SENT_EVERY: Duration = Duration::from_secs(1);
/// A machine that is still up so long after its reboot command succeeded does not reboot.
const REBOOT_PATIENCE: Duration = Duration::from_secs(600);
/// In the job's folder: the number of the last line that was sent.
const SENT: &str = "sent";

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

/// What a command is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    GoOn,
    Terminate,
    Kill,
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
        args: Args,
        target: Option<TargetFrame>,
        journal: &Journal,
    ) {
        let task = self.task(id, op);
        let spec = task.spec(&args, target.as_ref(), journal);
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
        Task {
            id,
            op,
            wish,
            wish_open: true,
            around: self.around.clone(),
            sent: Arc::default(),
            noted: 0,
            seen_before: 0,
            error_line: None,
            passed: 0,
            stages: Vec::new(),
        }
    }
}

struct Task {
    id: CommandId,
    op: Op,
    wish: watch::Receiver<Wish>,
    wish_open: bool,
    around: Surroundings,
    /// The number of the last line handed to the connection.
    sent: Arc<AtomicU64>,
    noted: u64,
    /// The lines up to this one were sent by an earlier agent.
    seen_before: u64,
    error_line: Option<String>,
    passed: u32,
    /// The stages by index.
    stages: Vec<ProgressStage>,
}

impl Task {
    /// What is to run; `Ok(None)`: nothing, a close look at the host is all that is asked for.
    fn spec(
        &self,
        args: &Args,
        target: Option<&TargetFrame>,
        journal: &Journal,
    ) -> Result<Option<JobSpec>, String> {
        let commit = || match target {
            None => Ok(None),
            Some(target) => target
                .commit
                .parse::<CommitId>()
                .map(Some)
                .map_err(|error| format!("the target of the command: {error}")),
        };
        let host_op = match self.op {
            Op::Pull => HostOp::Pull { target: commit()? },
            Op::Switch => HostOp::Switch,
            Op::PullSwitch => HostOp::PullSwitch { target: commit()? },
            Op::Test => HostOp::Test,
            Op::Rollback => HostOp::Rollback {
                to: args
                    .generation
                    .map_or(RollbackTo::Previous, RollbackTo::Generation),
            },
            Op::Reboot => HostOp::Reboot,
            Op::CheckVersion | Op::RefreshGit | Op::RefreshLock | Op::RefreshAll => {
                return Ok(None);
            }
            op @ (Op::ForceRebuild | Op::RefreshSystem | Op::UpdateInputs) => {
                return Err(format!(
                    "this agent does not carry out {}; nothing was run",
                    op.name()
                ));
            }
            op @ (Op::Restart
            | Op::MergePr
            | Op::RevertPr
            | Op::SetColor
            | Op::Remove
            | Op::Hold
            | Op::Release) => {
                return Err(format!(
                    "{} runs no process on a host; nothing was run",
                    op.name()
                ));
            }
        };
        let around = &self.around;
        let mut spec = plan(&host_op, self.id, &around.config, &around.exe)
            .map_err(|error| error.to_string())?;
        if let (Op::Rollback, Some(number)) = (self.op, args.generation) {
            name_generation(&mut spec, journal, number);
        }
        Ok(Some(spec))
    }

    async fn run(self, spec: Result<Option<JobSpec>, String>) {
        let spec = match spec {
            Ok(Some(spec)) => spec,
            Ok(None) => {
                let after = self.look().await;
                let report = convert::without_process(JobExit::Code(0), after);
                return self.finish(report).await;
            }
            Err(why) => return self.not_started(why).await,
        };
        let launched = match self.around.launcher.launch(&spec).await {
            // Another agent's record of the very same command: look at it, never start it again.
            Err(ExecError::Exists(_)) => self.around.launcher.attach(self.id, 0),
            other => other,
        };
        match launched {
            Ok(job) => self.follow(job).await,
            Err(error) => self.not_started(error.to_string()).await,
        }
    }

    async fn find(mut self) {
        let folder = self.around.launcher.folder(self.id);
        let sent = std::fs::read_to_string(folder.path().join(SENT)).ok();
        let sent = sent.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        self.sent.store(sent, Ordering::Relaxed);
        self.noted = sent;
        self.seen_before = sent;
        match self.around.launcher.attach(self.id, 0) {
            Ok(job) => self.follow(job).await,
            Err(error) => {
                // Its intent was written down, but not even a folder is left: nobody knows.
                tracing::warn!(command = %self.id, %error, "an earlier command cannot be found");
                let after = self.look().await;
                let report = convert::without_process(JobExit::Interrupted, after);
                self.finish(report).await;
            }
        }
    }

    async fn follow(mut self, mut job: Job) {
        let mut patience = PATIENCE;
        let mut note_at = Instant::now() + NOTE_SENT_EVERY;
        let end = loop {
            // A job that floods its output must leave time for everything else on this thread.
            coop::consume_budget().await;
            let event = tokio::select! {
                event = job.next() => event,
                changed = self.wish.changed(), if self.wish_open => {
                    self.wish_open = changed.is_ok();
                    let wish = *self.wish.borrow_and_update();
                    self.pass_on(&job, wish).await;
                    continue;
                }
                () = sleep_until(note_at) => {
                    note_at = Instant::now() + NOTE_SENT_EVERY;
                    self.note_sent(&job);
                    continue;
                }
            };
            match event {
                Ok(Some(JobEvent::Line(line))) => {
                    self.forward(line);
                    self.wait_for_room(&mut patience).await;
                }
                Ok(Some(JobEvent::Dropped(bytes))) => {
                    self.say(format!("[{bytes} bytes of output were not kept]"));
                }
                Ok(Some(JobEvent::Note(note))) => self.progress(note).await,
                Ok(Some(JobEvent::Ended(end))) => break end,
                Ok(None) => break JobEnd::Interrupted,
                Err(error) => {
                    tracing::warn!(command = %self.id, %error, "the job's files cannot be read; trying again");
                    sleep(RETRY).await;
                }
            }
        };
        if self.op == Op::Reboot && went_well(&end) {
            sleep(REBOOT_PATIENCE).await;
            return self
                .not_started("the reboot command succeeded, but the machine is still up".to_owned())
                .await;
        }
        let after = self.look().await;
        let folder = job.folder().clone();
        let empty = spawn_blocking(move || folder.living_processes().is_empty());
        let report = convert::report(
            end,
            after,
            self.error_line.take(),
            empty.await.unwrap_or(false),
        );
        self.finish(report).await;
    }

    async fn pass_on(&self, job: &Job, wish: Wish) {
        let folder = job.folder().clone();
        let asked = spawn_blocking(move || match wish {
            Wish::GoOn => Ok(()),
            Wish::Terminate => folder.ask_terminate(),
            Wish::Kill => folder.ask_kill(),
        });
        let failed = asked.await.map_err(io::Error::other).and_then(|done| done);
        if let Err(error) = failed {
            tracing::error!(command = %self.id, %error, "the command could not be told to stop");
        }
    }

    fn forward(&mut self, line: OutputLine) {
        let is_error = line.stream == Stream::Err;
        if is_error && !line.text.trim().is_empty() {
            self.error_line = Some(line.text.trim().to_owned());
        }
        if line.n <= self.seen_before {
            return;
        }
        self.output(Output {
            line: line.text,
            stream: Some(if is_error { "stderr" } else { "stdout" }.to_owned()),
            is_error,
            n: Some(line.n),
            ..Output::default()
        });
    }

    fn say(&self, text: String) {
        self.output(Output {
            line: text,
            stream: Some("stderr".to_owned()),
            ..Output::default()
        });
    }

    fn output(&self, output: Output) {
        self.around.outbound.output(link::OutputLine {
            output: Output {
                command: Some(self.op.name().to_owned()),
                command_id: Some(self.id.to_string()),
                ..output
            },
            sent: Arc::clone(&self.sent),
        });
    }

    async fn wait_for_room(&self, patience: &mut Duration) {
        if patience.is_zero() || !self.around.outbound.is_crowded() {
            return;
        }
        let started = Instant::now();
        let _ = timeout(*patience, self.around.outbound.room()).await;
        *patience = patience.saturating_sub(started.elapsed());
    }

    /// So that the next agent goes on where this one was. Only a hint: a line that is sent twice has the
    /// same number.
    fn note_sent(&mut self, job: &Job) {
        let sent = self.sent.load(Ordering::Relaxed);
        if sent > self.noted {
            self.noted = sent;
            let _ = std::fs::write(job.folder().path().join(SENT), sent.to_string());
        }
    }

    async fn progress(&mut self, note: Note) {
        match note {
            Note::ProcessStarted { pid } => {
                let command = self.id;
                let pid = i64::from(pid);
                self.tell(AgentInput::JobStarted { command, pid }).await;
            }
            Note::StageStarted { index, name } => {
                let stage = stage_of(&name);
                self.stages.resize(index + 1, stage);
                self.step(stage, 0, usize::from(stage != ProgressStage::Tests))
                    .await;
            }
            Note::StageEnded { index, code } => {
                if let Some(stage) = self.stages.get(index).copied()
                    && stage != ProgressStage::Tests
                    && code == 0
                {
                    self.step(stage, 1, 1).await;
                }
            }
            Note::TestStarted {
                name,
                current,
                total,
            } => {
                self.step(ProgressStage::Tests, current.saturating_sub(1), total)
                    .await;
                self.test(current, total, true, name);
            }
            Note::TestEnded {
                result,
                current,
                total,
            } => {
                self.passed += u32::from(result.outcome == TestOutcome::Passed);
                self.step(ProgressStage::Tests, current, total).await;
                self.test(current, total, current < total, result.name);
            }
        }
    }

    async fn step(&self, stage: ProgressStage, current: usize, total: usize) {
        self.tell(AgentInput::Progress {
            command: self.id,
            stage,
            current: count(current),
            total: count(total),
        })
        .await;
    }

    /// The frame in which existing dashboards expect the progress of tests.
    fn test(&self, current: usize, total: usize, running: bool, name: String) {
        let progress = AgentFrame::TestProgress(TestProgress {
            current: count(current),
            total: count(total),
            passed: self.passed,
            running,
            result: Some(name),
        });
        self.around.outbound.send_if_registered(&progress);
    }

    async fn not_started(self, why: String) {
        let after = self.look().await;
        let report = convert::not_started(why, after);
        self.finish(report).await;
    }

    async fn look(&self) -> nixfleet_core::agent::AgentObservation {
        let seen = self.around.lookout.look(Occasion::Closely).await;
        seen.unwrap_or_default()
    }

    async fn finish(self, report: JobReport) {
        self.tell(AgentInput::JobFinished {
            command: self.id,
            report: Box::new(report),
        })
        .await;
    }

    async fn tell(&self, input: AgentInput) {
        // Without a loop there is nobody left to tell.
        let _ = self.around.inputs.send(Input::Core(input)).await;
    }
}

fn went_well(end: &JobEnd) -> bool {
    match end {
        JobEnd::Exited(exit) => exit.code == 0,
        JobEnd::Interrupted | JobEnd::NeverStarted => false,
    }
}

/// A configured rollback command that knows no numbers finds the system by its path or commit.
fn name_generation(spec: &mut JobSpec, journal: &Journal, number: u64) {
    let Some(deployed) = journal.deployment_numbered(number) else {
        return;
    };
    let path = deployed.store_path.as_ref().map(ToString::to_string);
    let commit = deployed.commit.map(|commit| commit.to_string());
    for stage in &mut spec.stages {
        for (name, value) in [
            ("NIXFLEET_GENERATION_PATH", &path),
            ("NIXFLEET_GENERATION_COMMIT", &commit),
        ] {
            if let Some(value) = value {
                stage.environment.insert(name.to_owned(), value.clone());
            }
        }
    }
}

/// The compartment in which a stage of a job shows.
fn stage_of(name: &str) -> ProgressStage {
    match name {
        "pull" => ProgressStage::Pull,
        "test" => ProgressStage::Tests,
        _ => ProgressStage::System,
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
