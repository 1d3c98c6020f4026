//! The file with the output of a job: a sequence of frames {kind, length, bytes}. A frame that was
//! cut short by a crash is simply the end.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::spec::TestResult;

/// Output that is kept from the start of a job, and, beyond it, from its end, where the errors are.
const KEPT_HEAD: usize = 12 * 1024 * 1024;
const KEPT_TAIL: usize = 4 * 1024 * 1024;

const HEADER: usize = 5;
const LARGEST: usize = 1024 * 1024;

/// Where a line was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// What the supervisor tells about its progress, in order with the output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// A stage begins.
    StageStarted {
        /// Its index in the job.
        index: usize,
        /// Its name.
        name: String,
    },
    /// A process was started.
    ProcessStarted {
        /// Its id, which is also that of its group.
        pid: i32,
    },
    /// A stage is over.
    StageEnded {
        /// Its index in the job.
        index: usize,
        /// Its exit code.
        code: i32,
    },
    /// A test begins.
    TestStarted {
        /// Its name.
        name: String,
        /// The how-manieth, from 1.
        current: usize,
        /// Of how many.
        total: usize,
    },
    /// A test is over or was skipped.
    TestEnded {
        /// What became of it.
        result: TestResult,
        /// The how-manieth, from 1.
        current: usize,
        /// Of how many.
        total: usize,
    },
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Output(Stream, Vec<u8>),
    Note(Note),
    /// So many bytes are missing at this place.
    Dropped(u64),
}

/// Writes the file. Output beyond the limit, or that the disk does not take, is counted instead.
pub(super) struct FrameWriter {
    file: File,
    length: u64,
    head: usize,
    tail: VecDeque<(Stream, Vec<u8>)>,
    tail_bytes: usize,
    dropped: u64,
    lost_tail_room: usize,
}

impl FrameWriter {
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self {
            file,
            length: 0,
            head: KEPT_HEAD,
            tail: VecDeque::new(),
            tail_bytes: 0,
            dropped: 0,
            lost_tail_room: KEPT_TAIL,
        })
    }

    #[cfg(test)]
    fn with_limits(mut self, head: usize, tail: usize) -> Self {
        self.head = head;
        self.lost_tail_room = tail;
        self
    }

    pub fn output(&mut self, stream: Stream, bytes: &[u8]) {
        let (now, later) = bytes.split_at(bytes.len().min(self.head));
        self.head -= now.len();
        self.write_output(stream, now);
        if later.is_empty() {
            return;
        }
        self.tail_bytes += later.len();
        self.tail.push_back((stream, later.to_vec()));
        while self.tail_bytes > self.lost_tail_room {
            let excess = self.tail_bytes - self.lost_tail_room;
            let Some((_, oldest)) = self.tail.front_mut() else {
                break;
            };
            let gone = excess.min(oldest.len());
            oldest.drain(..gone);
            if oldest.is_empty() {
                self.tail.pop_front();
            }
            self.tail_bytes -= gone;
            self.dropped += gone as u64;
        }
    }

    pub fn note(&mut self, note: &Note) {
        if let Ok(json) = serde_json::to_vec(note) {
            // A lost note costs a progress display; the results are in `exit.json`.
            let _ = self.frame(3, &json);
        }
    }

    /// Writes what was held back, and makes everything durable. Returns the number of bytes lost.
    pub fn finish(&mut self) -> u64 {
        if self.dropped > 0 {
            let _ = self.frame(4, &self.dropped.to_le_bytes());
        }
        for (stream, bytes) in std::mem::take(&mut self.tail) {
            self.write_output(stream, &bytes);
        }
        self.tail_bytes = 0;
        let _ = self.file.sync_all();
        self.dropped
    }

    fn write_output(&mut self, stream: Stream, bytes: &[u8]) {
        let kind = match stream {
            Stream::Out => 1,
            Stream::Err => 2,
        };
        for part in bytes.chunks(LARGEST) {
            if self.frame(kind, part).is_err() {
                self.dropped += part.len() as u64;
            }
        }
    }

    fn frame(&mut self, kind: u8, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let mut frame = Vec::with_capacity(HEADER + bytes.len());
        frame.push(kind);
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(bytes);
        let written = self.file.write_all(&frame);
        if written.is_ok() {
            self.length += frame.len() as u64;
        } else {
            // Half a frame would hide everything after it.
            let _ = self.file.set_len(self.length);
            let _ = io::Seek::seek(&mut self.file, io::SeekFrom::Start(self.length));
        }
        written
    }
}

/// Reads the file while it grows.
#[derive(Debug)]
pub(super) struct FrameReader {
    path: std::path::PathBuf,
    file: Option<File>,
    buffer: Vec<u8>,
}

impl FrameReader {
    pub fn new(path: std::path::PathBuf) -> Self {
        Self {
            path,
            file: None,
            buffer: Vec::new(),
        }
    }

    /// The next frames that are there, at most about a quarter megabyte; none if there is nothing
    /// new.
    pub fn read(&mut self) -> io::Result<Vec<Frame>> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            }
        }
        let Some(file) = &mut self.file else {
            return Ok(Vec::new());
        };
        loop {
            let got = file.take(256 * 1024).read_to_end(&mut self.buffer)?;
            let frames = self::split(&mut self.buffer)?;
            if got == 0 || !frames.is_empty() {
                return Ok(frames);
            }
        }
    }

    /// The bytes of a last frame that was cut short.
    pub fn rest(&mut self) -> Option<Frame> {
        let buffer = std::mem::take(&mut self.buffer);
        let stream = match buffer.first()? {
            1 => Stream::Out,
            2 => Stream::Err,
            _ => return None,
        };
        let bytes = buffer.get(HEADER..)?.to_vec();
        Some(Frame::Output(stream, bytes))
    }
}

fn split(buffer: &mut Vec<u8>) -> io::Result<Vec<Frame>> {
    let mut frames = Vec::new();
    let mut at = 0;
    while let Some(header) = buffer.get(at..at + HEADER) {
        let length = u32::from_le_bytes([header[1], header[2], header[3], header[4]]) as usize;
        if length > LARGEST {
            return Err(io::Error::other("the output file of the job is damaged"));
        }
        let Some(bytes) = buffer.get(at + HEADER..at + HEADER + length) else {
            break;
        };
        match header[0] {
            1 => frames.push(Frame::Output(Stream::Out, bytes.to_vec())),
            2 => frames.push(Frame::Output(Stream::Err, bytes.to_vec())),
            3 => frames.extend(serde_json::from_slice(bytes).ok().map(Frame::Note)),
            4 => frames.extend(
                bytes
                    .try_into()
                    .ok()
                    .map(|n| Frame::Dropped(u64::from_le_bytes(n))),
            ),
            // Written by a newer supervisor.
            _ => {}
        }
        at += HEADER + length;
    }
    buffer.drain(..at);
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(path: &Path) -> Vec<Frame> {
        let mut reader = FrameReader::new(path.to_owned());
        let mut frames = Vec::new();
        loop {
            let more = reader.read().unwrap();
            if more.is_empty() {
                frames.extend(reader.rest());
                return frames;
            }
            frames.extend(more);
        }
    }

    #[test]
    fn head_and_tail_are_kept_and_the_middle_is_counted_exactly() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output");
        let mut writer = FrameWriter::create(&path).unwrap().with_limits(4, 3);
        writer.output(Stream::Out, b"abcdef");
        writer.output(Stream::Err, b"ghij");
        assert_eq!(writer.finish(), 3);
        assert_eq!(
            all(&path),
            [
                Frame::Output(Stream::Out, b"abcd".to_vec()),
                Frame::Dropped(3),
                Frame::Output(Stream::Err, b"hij".to_vec()),
            ]
        );
    }

    #[test]
    fn a_frame_cut_short_still_gives_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output");
        let mut writer = FrameWriter::create(&path).unwrap();
        writer.note(&Note::ProcessStarted { pid: 7 });
        writer.output(Stream::Out, b"hello world");
        let length = std::fs::metadata(&path).unwrap().len();
        writer.file.set_len(length - 6).unwrap();
        assert_eq!(
            all(&path),
            [
                Frame::Note(Note::ProcessStarted { pid: 7 }),
                Frame::Output(Stream::Out, b"hello".to_vec()),
            ]
        );
    }
}
