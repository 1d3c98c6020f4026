//! The agent's view of a job: a stream of events read from its folder. Dropping it changes nothing
//! for the job.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use nixfleet_core::CommandId;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::census;
use super::folder::{JobFolder, JobState};
use super::frames::{Frame, FrameReader, Note, Stream};
use super::lines::{LineSplitter, OutputLine};
use super::spec::JobExit;

const POLL: Duration = Duration::from_millis(25);
/// How long a supervisor may take to claim its job before the agent gives up on it.
const CLAIM_PATIENCE: Duration = Duration::from_secs(30);
/// For SIGKILL to take effect on what an interrupted job left behind.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// What happens in a job, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEvent {
    /// A line of output.
    Line(OutputLine),
    /// So many bytes of output are missing here.
    Dropped(u64),
    /// Progress.
    Note(Note),
    /// The end; nothing follows.
    Ended(JobEnd),
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// Its supervisor recorded the end; nothing of it is left.
    Exited(Box<JobExit>),
    /// Its supervisor vanished (killed, reboot): how far the job came is not known. What was left
    /// of it has been killed.
    Interrupted,
    /// It was never started and never will be.
    NeverStarted,
}

/// A job that runs, or ran.
#[derive(Debug)]
pub struct Job {
    id: CommandId,
    folder: JobFolder,
    reader: FrameReader,
    splitters: [LineSplitter; 2],
    lines: u64,
    skip: u64,
    queue: VecDeque<JobEvent>,
    starter_ended: Option<Arc<AtomicBool>>,
    unclaimed_since: Instant,
    ended: bool,
}

impl Job {
    pub(super) fn new(
        id: CommandId,
        folder: JobFolder,
        skip: u64,
        starter_ended: Option<Arc<AtomicBool>>,
    ) -> Self {
        Self {
            id,
            reader: FrameReader::new(folder.file("output")),
            folder,
            splitters: Default::default(),
            lines: 0,
            skip,
            queue: VecDeque::new(),
            starter_ended,
            unclaimed_since: Instant::now(),
            ended: false,
        }
    }

    /// The command it carries out.
    #[must_use]
    pub fn id(&self) -> CommandId {
        self.id
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &JobFolder {
        &self.folder
    }

    /// The next event; `None` after the end. May be dropped and called again without losing
    /// anything.
    ///
    /// # Errors
    /// When the job's files cannot be read; asking again tries again.
    pub async fn next(&mut self) -> io::Result<Option<JobEvent>> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(None);
            }
            // The state first: whatever was written before an end that we see is then read below.
            let state = self.folder.state()?;
            if self.read_output()? {
                continue;
            }
            match state {
                JobState::Running => sleep(POLL).await,
                JobState::Unclaimed => self.wait_for_claim().await?,
                JobState::Finished(exit) => self.end(JobEnd::Exited(exit)),
                JobState::NeverStarted | JobState::Unknown => self.end(JobEnd::NeverStarted),
                JobState::Interrupted => {
                    self.clear_leftovers().await;
                    self.end(JobEnd::Interrupted);
                }
            }
        }
    }

    /// Asks for SIGTERM to the job's process group. Idempotent; also works after a restart of the
    /// agent.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn terminate(&self) -> io::Result<()> {
        self.folder.ask_terminate()
    }

    /// Asks for SIGKILL to everything the job has started. Idempotent.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn kill(&self) -> io::Result<()> {
        self.folder.ask_kill()
    }

    async fn wait_for_claim(&mut self) -> io::Result<()> {
        let starter_ended = self
            .starter_ended
            .as_ref()
            .is_some_and(|flag| flag.load(Ordering::Relaxed));
        // A job that another agent launched gets no patience: either its supervisor is there by
        // now, or its claim is taken away here, so that it can never come late.
        let out_of_patience =
            self.starter_ended.is_none() || self.unclaimed_since.elapsed() >= CLAIM_PATIENCE;
        if starter_ended || out_of_patience {
            self.folder.abandon()?;
            return Ok(());
        }
        sleep(POLL).await;
        Ok(())
    }

    async fn clear_leftovers(&self) {
        let folder = self.folder.clone();
        let _ = spawn_blocking(move || {
            let deadline = std::time::Instant::now() + KILL_PATIENCE;
            loop {
                let left = folder.living_processes();
                if left.is_empty() || std::time::Instant::now() >= deadline {
                    return;
                }
                census::signal(-1, &left, Signal::SIGKILL);
                std::thread::sleep(POLL);
            }
        })
        .await;
    }

    /// `false`: there is nothing new.
    fn read_output(&mut self) -> io::Result<bool> {
        let frames = self.reader.read()?;
        let any = !frames.is_empty();
        for frame in frames {
            self.take(frame);
        }
        Ok(any)
    }

    fn take(&mut self, frame: Frame) {
        match frame {
            Frame::Output(stream, bytes) => self.split(stream, |s, line| s.push(&bytes, line)),
            Frame::Note(note) => self.queue.push_back(JobEvent::Note(note)),
            Frame::Dropped(bytes) => self.queue.push_back(JobEvent::Dropped(bytes)),
        }
    }

    fn end(&mut self, end: JobEnd) {
        if let Some(frame) = self.reader.rest() {
            self.take(frame);
        }
        for stream in [Stream::Out, Stream::Err] {
            self.split(stream, |s, line| s.finish(line));
        }
        self.queue.push_back(JobEvent::Ended(end));
        self.ended = true;
    }

    fn split(
        &mut self,
        stream: Stream,
        act: impl FnOnce(&mut LineSplitter, &mut dyn FnMut(String, bool)),
    ) {
        let [out, err] = &mut self.splitters;
        let splitter = match stream {
            Stream::Out => out,
            Stream::Err => err,
        };
        let (lines, skip, queue) = (&mut self.lines, self.skip, &mut self.queue);
        act(splitter, &mut |text, continued| {
            *lines += 1;
            if *lines > skip {
                queue.push_back(JobEvent::Line(OutputLine {
                    n: *lines,
                    stream,
                    text,
                    continued,
                }));
            }
        });
    }
}
