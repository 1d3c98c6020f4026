//! One command at work: starts or finds its job, forwards what it writes, passes on what it is
//! told, and reports its end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nixfleet_core::agent::{AgentInput, AgentObservation, JobExit, JobReport};
use nixfleet_core::report::ProgressStage;
use nixfleet_core::wire::agent::{AgentFrame, Output, TestProgress};
use nixfleet_core::{CommandId, Op};
use tokio::sync::watch;
use tokio::task::{coop, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::convert;
use super::jobs::Surroundings;
use crate::eventloop::Input;
use crate::exec::{
    ExecError, Job, JobEnd, JobEvent, JobSpec, Note, OutputLine, Stream, TestOutcome,
};
use crate::link;
use crate::observe::Occasion;

/// The reading of one job waits for a slow connection at most so long in all; then lines are
/// dropped. The job itself never waits: it writes to a file.
const PATIENCE: Duration = Duration::from_secs(10);
/// A file that cannot be read now is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// How often is written down which lines were sent.
const NOTE_SENT_EVERY: Duration = Duration::from_secs(1);
/// In the job's folder: the number of the last line that was sent.
const SENT: &str = "sent";

/// What a command is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wish {
    GoOn,
    Terminate,
    Kill,
}

/// See the module.
pub(super) struct Task {
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
    /// Nothing is done yet.
    pub fn new(id: CommandId, op: Op, wish: watch::Receiver<Wish>, around: Surroundings) -> Self {
        Self {
            id,
            op,
            wish,
            wish_open: true,
            around,
            sent: Arc::default(),
            noted: 0,
            seen_before: 0,
            error_line: None,
            passed: 0,
            stages: Vec::new(),
        }
    }
    /// Starts the job, if there is one, and follows it to its end.
    pub async fn run(self, spec: Result<Option<JobSpec>, String>) {
        let spec = match spec {
            Ok(Some(spec)) => spec,
            Ok(None) => {
                let after = self.look().await;
                let report = JobReport::bare(JobExit::Code(0), after);
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

    /// Finds the job of an earlier agent and follows it to its end.
    pub async fn find(mut self) {
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
                let report = JobReport::bare(JobExit::Interrupted, after);
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

    /// So that the next agent goes on where this one was. Only a hint: a line that is sent twice
    /// has the same number.
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

    async fn look(&self) -> AgentObservation {
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

/// The compartment in which a stage of a job shows.
fn stage_of(name: &str) -> ProgressStage {
    match name {
        "pull" => ProgressStage::Pull,
        "update-inputs" => ProgressStage::Lock,
        "test" => ProgressStage::Tests,
        _ => ProgressStage::System,
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
