//! The files: one line of output is one line, with its stream and the agent's number before it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nixfleet_core::{CommandId, HostId};
use serde::Serialize;
use tokio::sync::{mpsc, watch};

/// The most that is kept of one command's output.
pub const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// A page ends after about this much.
const PAGE_BYTES: usize = 1024 * 1024;
/// Files kept open at a time.
const OPEN: usize = 64;
/// A failing disk is reported this often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A remark of the server: something is missing here.
    Notice,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its number; the first line has 1.
    pub n: u64,
    /// Where it came from.
    pub stream: Stream,
    /// The text.
    pub text: String,
}

/// Consecutive lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Page {
    /// The lines.
    pub lines: Vec<Line>,
    /// Where to go on reading.
    pub next: u64,
    /// Whether there are more lines already.
    pub more: bool,
}

/// A line on its way to its file.
#[derive(Debug)]
pub(super) struct Entry {
    pub host: HostId,
    pub command: CommandId,
    /// The agent's number of the line; 0 if it does not count.
    pub number: u64,
    /// Lines the agent dropped before this one.
    pub dropped: u64,
    pub stream: Stream,
    pub text: String,
}

pub(super) fn path(folder: &Path, host: &HostId, command: CommandId) -> PathBuf {
    folder.join(host.as_str()).join(format!("{command}.log"))
}

/// Writes lines to files.
pub(super) struct Files {
    folder: PathBuf,
    open: HashMap<CommandId, Writer>,
    complained: Option<Instant>,
}

struct Writer {
    file: BufWriter<File>,
    bytes: u64,
    last_number: u64,
    cut: bool,
}

impl Files {
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            open: HashMap::new(),
            complained: None,
        }
    }

    /// Writes until the queue is closed. What was taken out of the queue together is flushed
    /// together, and then told.
    pub fn write_all(mut self, mut queue: mpsc::Receiver<Entry>, written: &watch::Sender<u64>) {
        while let Some(first) = queue.blocking_recv() {
            let mut next = Some(first);
            while let Some(entry) = next {
                if let Err(error) = self.write(&entry) {
                    self.complain(&error);
                }
                next = queue.try_recv().ok();
            }
            self.flush();
            written.send_modify(|count| *count += 1);
        }
    }

    pub fn write(&mut self, entry: &Entry) -> io::Result<()> {
        if self.open.len() >= OPEN && !self.open.contains_key(&entry.command) {
            self.flush();
            self.open.clear();
        }
        let writer =
            match self.open.entry(entry.command) {
                std::collections::hash_map::Entry::Occupied(open) => open.into_mut(),
                std::collections::hash_map::Entry::Vacant(slot) => slot.insert(Writer::open(
                    &path(&self.folder, &entry.host, entry.command),
                )?),
            };
        writer.add(entry)
    }

    pub fn flush(&mut self) {
        let flushed = self.open.values_mut().map(|writer| writer.file.flush());
        let errors: Vec<io::Error> = flushed.filter_map(Result::err).collect();
        for error in errors {
            self.complain(&error);
        }
    }

    fn complain(&mut self, error: &io::Error) {
        let now = Instant::now();
        let due = |last: Instant| now.duration_since(last) >= COMPLAIN_EVERY;
        if self.complained.is_none_or(due) {
            self.complained = Some(now);
            tracing::error!(%error, folder = %self.folder.display(), "command output cannot be written");
        }
    }
}

impl Writer {
    fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let (bytes, last_number, cut) = match File::open(path) {
            Ok(existing) => survey(existing)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => (0, 0, false),
            Err(error) => return Err(error),
        };
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self {
            file: BufWriter::new(file),
            bytes,
            last_number,
            cut,
        })
    }

    fn add(&mut self, entry: &Entry) -> io::Result<()> {
        // A line that was sent again after a reconnect is there already.
        if self.cut || (entry.number != 0 && entry.number <= self.last_number) {
            return Ok(());
        }
        self.last_number = self.last_number.max(entry.number);
        if entry.dropped > 0 {
            let text = format!("{} lines were dropped by the agent", entry.dropped);
            self.put(Stream::Notice, 0, &text)?;
        }
        if self.bytes + len(&entry.text) > MAX_BYTES {
            self.cut = true;
            let limit = MAX_BYTES / (1024 * 1024);
            let text = format!("the output was cut here: it is longer than {limit} MiB");
            return self.put(Stream::Notice, 0, &text);
        }
        self.put(entry.stream, entry.number, &entry.text)
    }

    fn put(&mut self, stream: Stream, number: u64, text: &str) -> io::Result<()> {
        let one_line = text.replace(['\n', '\r', '\0'], " ");
        let line = format!("{}{number} {one_line}\n", letter(stream));
        self.bytes += len(&line);
        self.file.write_all(line.as_bytes())
    }
}

/// The size of a file, the last number in it, and whether it was cut.
fn survey(file: File) -> io::Result<(u64, u64, bool)> {
    let (mut bytes, mut last_number, mut cut) = (0, 0, false);
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        bytes += u64::try_from(line.len()).unwrap_or(u64::MAX);
        let (stream, number, text) = parse(&line);
        last_number = number.max(last_number);
        cut |= stream == Stream::Notice && text.starts_with("the output was cut here");
        line.clear();
    }
    Ok((bytes, last_number, cut))
}

/// Lines from number `from`, at most `most` of them. What is being written just now, and has no
/// end yet, is left for the next time.
pub(super) fn read(path: &Path, from: u64, most: usize) -> io::Result<Page> {
    let from = from.max(1);
    let mut page = Page {
        lines: Vec::new(),
        next: from,
        more: false,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(page),
        Err(error) => return Err(error),
    };
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let (mut n, mut bytes) = (0, 0);
    while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
        n += 1;
        if n >= from {
            if page.lines.len() == most || bytes > PAGE_BYTES {
                page.more = true;
                break;
            }
            bytes += line.len();
            let (stream, _, text) = parse(&line);
            page.lines.push(Line { n, stream, text });
            page.next = n + 1;
        }
        line.clear();
    }
    Ok(page)
}

fn parse(line: &[u8]) -> (Stream, u64, String) {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches('\n');
    let (head, rest) = text.split_once(' ').unwrap_or((text, ""));
    let stream = match head.chars().next() {
        Some('o') => Stream::Stdout,
        Some('e') => Stream::Stderr,
        Some(_) | None => Stream::Notice,
    };
    let number = head.get(1..).and_then(|digits| digits.parse().ok());
    (stream, number.unwrap_or(0), rest.to_owned())
}

const fn letter(stream: Stream) -> char {
    match stream {
        Stream::Stdout => 'o',
        Stream::Stderr => 'e',
        Stream::Notice => '!',
    }
}

fn len(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}
