//! What waits to be sent: frames of the core, and lines of output that must not hold them up.
//!
//! Frames keep their order. A `status` frame also waits for the lines of output before it, so that
//! a result never overtakes its own output; any other frame overtakes lines, so that a heartbeat is
//! never late because of them. Lines beyond the limit are dropped, oldest first, and the next line
//! says how many; frames beyond their limit end the connection.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nixfleet_core::wire::agent::{AgentFrame, Output};
use tokio::sync::Notify;

/// Lines that wait at most.
const MOST_LINES: usize = 2048;
/// Bytes of text in them.
const MOST_BYTES: usize = 1024 * 1024;
/// Frames that wait at most: a peer that takes none of so many is not there.
const MOST_FRAMES: usize = 1024;

/// One line of output on its way.
#[derive(Clone, Debug)]
pub struct OutputLine {
    /// The frame.
    pub output: Output,
    /// Raised to the line's number when the line is handed to the connection.
    pub sent: Arc<AtomicU64>,
}

/// The queue, shared by whoever sends and the one connection that stands.
#[derive(Clone, Debug, Default)]
pub struct Outbound {
    queue: Arc<Mutex<Queue>>,
    news: Arc<Notify>,
    room: Arc<Notify>,
}

/// The connection does not take what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server takes no more frames")]
pub struct Overflow;

#[derive(Debug, Default)]
struct Queue {
    /// The connection that may take something; 0 if none.
    connection: u64,
    /// Lines are held back until the server has answered the registration.
    registered: bool,
    /// The connection closes once the frames are gone.
    closing: bool,
    frames: VecDeque<Frame>,
    lines: VecDeque<Line>,
    bytes: usize,
    /// The number of the first waiting line, counted over all lines ever.
    first_line: u64,
}

#[derive(Debug)]
struct Line {
    line: OutputLine,
    /// An empty line that only says how many were dropped.
    is_marker: bool,
}

#[derive(Debug)]
struct Frame {
    text: String,
    /// Waits until so many lines are gone.
    after_lines: u64,
}

impl Outbound {
    /// Nothing waits and nobody takes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A new connection takes over. Frames meant for an earlier one are void; lines are not.
    pub fn open(&self, connection: u64) {
        let mut queue = self.queue();
        queue.connection = connection;
        queue.registered = false;
        queue.closing = false;
        queue.frames.clear();
        drop(queue);
        self.news.notify_waiters();
    }

    /// Says whether the server has answered the registration.
    pub fn set_registered(&self, registered: bool) {
        self.queue().registered = registered;
        self.news.notify_waiters();
    }

    /// The connection closes once the frames that wait are gone.
    pub fn close(&self) {
        self.queue().closing = true;
        self.news.notify_waiters();
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// [`Overflow`]; the connection is of no use any more.
    pub fn send(&self, frame: &AgentFrame) -> Result<(), Overflow> {
        let text = serde_json::to_string(frame).map_err(|_| Overflow)?;
        let mut queue = self.queue();
        if queue.frames.len() >= MOST_FRAMES {
            return Err(Overflow);
        }
        let after_lines = if matches!(frame, AgentFrame::Status(_)) {
            queue.first_line + queue.lines.len() as u64
        } else {
            queue.frames.back().map_or(0, |frame| frame.after_lines)
        };
        queue.frames.push_back(Frame { text, after_lines });
        drop(queue);
        self.news.notify_waiters();
        Ok(())
    }

    /// Adds a frame that is worth something only now.
    pub fn send_if_registered(&self, frame: &AgentFrame) {
        if self.queue().registered {
            // The core's own next frame will find out that nothing goes through.
            let _ = self.send(frame);
        }
    }

    /// Adds a line of output; never waits.
    pub fn output(&self, line: OutputLine) {
        let mut queue = self.queue();
        queue.bytes += line.output.line.len();
        let is_marker = false;
        queue.lines.push_back(Line { line, is_marker });
        while queue.is_full() && queue.drop_oldest() {}
        drop(queue);
        self.news.notify_waiters();
    }

    /// Whether there is a connection that takes lines, but not fast enough.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        let queue = self.queue();
        queue.registered && (queue.lines.len() > MOST_LINES / 2 || queue.bytes > MOST_BYTES / 2)
    }

    /// Waits until a line was taken. May be dropped.
    pub async fn room(&self) {
        self.room.notified().await;
    }

    /// The next text to send on this connection; `None` when it is to be closed. May be dropped
    /// and called again without losing anything.
    pub async fn next(&self, connection: u64) -> Option<String> {
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            match self.queue().take(connection) {
                Taken::Text(text) => {
                    self.room.notify_waiters();
                    return Some(text);
                }
                Taken::Closed => return None,
                Taken::Nothing => {}
            }
            news.await;
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Taken {
    Text(String),
    Nothing,
    Closed,
}

impl Queue {
    fn take(&mut self, connection: u64) -> Taken {
        if self.connection != connection {
            return Taken::Closed;
        }
        let due = self.frames.front().is_some_and(|frame| {
            !self.registered || frame.after_lines <= self.first_line || self.lines.is_empty()
        });
        if due && let Some(frame) = self.frames.pop_front() {
            return Taken::Text(frame.text);
        }
        if self.closing && self.frames.is_empty() {
            return Taken::Closed;
        }
        if !self.registered {
            return Taken::Nothing;
        }
        let Some(Line { line, .. }) = self.lines.pop_front() else {
            return Taken::Nothing;
        };
        self.bytes -= line.output.line.len();
        self.first_line += 1;
        line.sent
            .fetch_max(line.output.n.unwrap_or(0), Ordering::Relaxed);
        match serde_json::to_string(&AgentFrame::Output(line.output)) {
            Ok(text) => Taken::Text(text),
            Err(_) => Taken::Nothing,
        }
    }

    fn is_full(&self) -> bool {
        self.lines.len() > MOST_LINES || self.bytes > MOST_BYTES
    }

    /// Drops the oldest line; the next one of the same command says so. Where there is none, an
    /// empty line stays in its place to say it. `false`: nothing is left to drop.
    fn drop_oldest(&mut self) -> bool {
        let Some(at) = self.lines.iter().position(|line| !line.is_marker) else {
            return false;
        };
        let Some(mut gone) = self.lines.remove(at) else {
            return false;
        };
        self.bytes -= gone.line.output.line.len();
        let lost = gone.line.output.dropped.unwrap_or(0) + 1;
        match self.lines.get_mut(at) {
            Some(next) if next.line.output.command_id == gone.line.output.command_id => {
                let before = next.line.output.dropped.unwrap_or(0);
                next.line.output.dropped = Some(before + lost);
                self.first_line += 1;
            }
            Some(_) | None => {
                gone.line.output.line.clear();
                gone.line.output.dropped = Some(lost);
                gone.is_marker = true;
                self.lines.insert(at, gone);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nixfleet_core::wire::agent::{Heartbeat, StatusReport};

    fn line(command: &str, n: u64, text: &str) -> OutputLine {
        OutputLine {
            output: Output {
                line: text.to_owned(),
                command_id: Some(command.to_owned()),
                n: Some(n),
                ..Output::default()
            },
            sent: Arc::default(),
        }
    }

    fn heartbeat() -> AgentFrame {
        AgentFrame::Heartbeat(Box::<Heartbeat>::default())
    }

    fn status() -> AgentFrame {
        AgentFrame::Status(Box::<StatusReport>::default())
    }

    async fn all(outbound: &Outbound) -> Vec<AgentFrame> {
        outbound.close();
        let mut frames = Vec::new();
        while let Some(text) = outbound.next(1).await {
            frames.push(serde_json::from_str(&text).unwrap());
        }
        frames
    }

    fn kinds(frames: &[AgentFrame]) -> String {
        frames
            .iter()
            .map(|frame| match frame {
                AgentFrame::Output(_) => 'o',
                AgentFrame::Heartbeat(_) => 'h',
                AgentFrame::Status(_) => 's',
                AgentFrame::Register(_)
                | AgentFrame::CommandRejected(_)
                | AgentFrame::TestProgress(_)
                | AgentFrame::OperationProgress(_)
                | AgentFrame::Accepted(_) => '?',
            })
            .collect()
    }

    #[tokio::test]
    async fn c08_a_heartbeat_overtakes_output_but_a_result_does_not() {
        let outbound = Outbound::new();
        outbound.open(1);
        outbound.set_registered(true);
        for n in 1..=3 {
            outbound.output(line("a", n, "x"));
        }
        outbound.send(&heartbeat()).unwrap();
        outbound.send(&status()).unwrap();
        outbound.output(line("b", 1, "x"));
        outbound.send(&heartbeat()).unwrap();
        assert_eq!(kinds(&all(&outbound).await), "hooosh");
    }

    #[tokio::test]
    async fn output_waits_for_the_registration_and_survives_a_lost_connection() {
        let outbound = Outbound::new();
        outbound.output(line("a", 1, "x"));
        outbound.open(1);
        outbound.send(&heartbeat()).unwrap();
        assert_eq!(kinds(&all(&outbound).await), "h");
        outbound.open(1);
        outbound.set_registered(true);
        outbound.send(&status()).unwrap();
        assert_eq!(kinds(&all(&outbound).await), "os");
    }

    #[tokio::test]
    async fn dropped_lines_are_counted_exactly_and_the_newest_are_kept() {
        let outbound = Outbound::new();
        outbound.open(1);
        outbound.set_registered(true);
        let many = MOST_LINES as u64 + 500;
        for n in 1..=many {
            outbound.output(line("a", n, if n % 2 == 0 { "" } else { "x" }));
        }
        for n in 1..=many {
            outbound.output(line("b", n, ""));
        }
        outbound.send(&status()).unwrap();
        let frames = all(&outbound).await;
        let mut told = std::collections::BTreeMap::<String, (u64, u64)>::new();
        for frame in &frames {
            if let AgentFrame::Output(output) = frame {
                let (lines, last) = told.entry(output.command_id.clone().unwrap()).or_default();
                *lines += output.dropped.unwrap_or(0);
                *lines += u64::from(output.n.unwrap() > *last && !is_marker(output));
                *last = output.n.unwrap();
            }
        }
        assert_eq!(told["a"].0, many);
        assert_eq!(told["b"], (many, many));
        assert!(frames.len() <= MOST_LINES + 3, "{}", frames.len());
        assert!(matches!(frames.last(), Some(AgentFrame::Status(_))));
    }

    /// All lines of "a" went: what is left of it counts itself.
    fn is_marker(output: &Output) -> bool {
        output.command_id.as_deref() == Some("a")
    }

    #[tokio::test]
    async fn an_earlier_connection_gets_nothing_of_the_next_one() {
        let outbound = Outbound::new();
        outbound.open(1);
        outbound.open(2);
        outbound.send(&heartbeat()).unwrap();
        assert_eq!(outbound.next(1).await, None);
        assert!(outbound.next(2).await.is_some());
        for _ in 0..MOST_FRAMES {
            outbound.send(&heartbeat()).unwrap();
        }
        assert_eq!(outbound.send(&heartbeat()), Err(Overflow));
    }
}
