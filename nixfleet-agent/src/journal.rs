//! The journal on disk: one line for each step, durable before anything that follows from it.
//!
//! | file | content |
//! |---|---|
//! | `journal.snapshot.json` | the journal as a whole, up to a numbered line |
//! | `journal.jsonl` | every line after that |
//! | `journal.damaged` | both as they were found damaged; while it is there, nothing is started |
//!
//! Each record starts with a checksum of the rest of its line. A last line without its end is what
//! a crash leaves of a step that nothing followed from, and is ignored. After any other damage the
//! rest is kept, and a person has to look: a forgotten step could make a command run twice.
//!
//! Everything here blocks on the disk; the event loop calls it on a thread for blocking work.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nixfleet_core::agent::{Journal, JournalEntry};
use nixfleet_core::lock_hash;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::durable;

const LINES: &str = "journal.jsonl";
const SNAPSHOT: &str = "journal.snapshot.json";
const DAMAGED: &str = "journal.damaged";

/// Beyond this the lines are replaced by a snapshot.
const LARGE: u64 = 512 * 1024;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl JournalError {
    pub(crate) fn lost() -> Self {
        JournalError::File {
            path: PathBuf::from(LINES),
            source: io::Error::other("the thread that writes it ended"),
        }
    }
}

/// The open journal; the only writer of its files.
#[derive(Debug)]
pub struct JournalStore {
    folder: PathBuf,
    file: File,
    length: u64,
    next: u64,
}

#[derive(Serialize, Deserialize)]
struct Line {
    n: u64,
    entry: JournalEntry,
}

#[derive(Default, Serialize, Deserialize)]
struct Snapshot {
    /// The number of the first line that is not part of it.
    next: u64,
    journal: Journal,
}

impl JournalStore {
    /// Reads the journal in `folder`, creating it if there is none, and makes a fresh snapshot.
    /// What is damaged is set aside, and the rest is kept.
    ///
    /// # Errors
    /// [`JournalError`]; nothing was changed then.
    pub fn open(folder: &Path) -> Result<(Self, Journal), JournalError> {
        let found = Found::read(folder)?;
        for damage in &found.damage {
            tracing::error!("the journal is damaged: {damage}");
        }
        if !found.damage.is_empty() {
            set_aside(folder)?;
        }
        if found.journal.damaged {
            tracing::error!("{}", advice(folder));
        }
        if found.torn > 0 {
            tracing::warn!(
                bytes = found.torn,
                "the journal ends in a line that was cut short by a crash; ignored"
            );
        }
        let path = folder.join(LINES);
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .and_then(|file| {
                file.set_len(found.length)?;
                file.sync_all()?;
                durable::sync_dir(folder)?;
                Ok(file)
            })
            .map_err(|source| JournalError::File { path, source })?;
        let mut store = Self {
            folder: folder.to_owned(),
            file,
            length: found.length,
            next: found.next,
        };
        if (store.length > 0 || !found.damage.is_empty())
            && let Err(error) = store.compact(&found.journal)
        {
            // The lines still hold everything, so a full disk is no reason not to start.
            tracing::warn!(%error, "the journal could not be compacted");
        }
        Ok((store, found.journal))
    }

    /// Appends one step; it is durable when this returns. After an error the step is not part of
    /// the journal, and the same step may be appended again.
    ///
    /// # Errors
    /// [`JournalError::File`].
    pub fn append(&mut self, entry: &JournalEntry) -> Result<(), JournalError> {
        let line = Line {
            n: self.next,
            entry: entry.clone(),
        };
        let written = sealed(&line).and_then(|mut text| {
            text.push('\n');
            self.file.write_all(text.as_bytes())?;
            self.file.sync_data()?;
            Ok(text.len() as u64)
        });
        match written {
            Ok(bytes) => {
                self.length += bytes;
                self.next += 1;
                Ok(())
            }
            Err(source) => {
                // What was written of it must not stand before the next attempt.
                let _ = self.file.set_len(self.length);
                let path = self.folder.join(LINES);
                Err(JournalError::File { path, source })
            }
        }
    }

    /// Whether it is time for [`JournalStore::compact`].
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.length > LARGE
    }

    /// Replaces all lines by a snapshot of what they amount to.
    ///
    /// # Errors
    /// [`JournalError::File`]; the journal is then as it was.
    pub fn compact(&mut self, journal: &Journal) -> Result<(), JournalError> {
        let path = self.folder.join(SNAPSHOT);
        let snapshot = Snapshot {
            next: self.next,
            journal: journal.clone(),
        };
        sealed(&snapshot)
            .and_then(|text| durable::write_atomic(&path, text.as_bytes()))
            .map_err(|source| JournalError::File { path, source })?;
        // A crash in between leaves lines that the snapshot's number tells to skip.
        let emptied = self.file.set_len(0).and_then(|()| self.file.sync_all());
        emptied.map_err(|source| JournalError::File {
            path: self.folder.join(LINES),
            source,
        })?;
        self.length = 0;
        Ok(())
    }
}

/// What the journal in `folder` says, without changing anything; for `status`.
///
/// # Errors
/// [`JournalError`].
pub fn read(folder: &Path) -> Result<Journal, JournalError> {
    Ok(Found::read(folder)?.journal)
}

/// What to do about a journal that was found damaged, for people.
#[must_use]
pub fn advice(folder: &Path) -> String {
    format!(
        "the journal was found damaged; what could still be read of it is kept, but no command is started, because it may have been started before. Make sure that the server has no command pending for this host, remove {}, and restart the agent",
        folder.join(DAMAGED).display()
    )
}

struct Found {
    journal: Journal,
    next: u64,
    /// Length of the whole lines.
    length: u64,
    /// Length of what follows them.
    torn: usize,
    /// What is wrong, for people.
    damage: Vec<String>,
    /// Lines that cannot be read since the last one that can.
    unread: u64,
}

impl Found {
    fn read(folder: &Path) -> Result<Self, JournalError> {
        let lines_path = folder.join(LINES);
        let bytes = contents(&lines_path)?.unwrap_or_default();
        let whole = bytes
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(0, |at| at + 1);
        let mut found = Self {
            journal: Journal::default(),
            next: 0,
            length: whole as u64,
            torn: bytes.len() - whole,
            damage: Vec::new(),
            unread: 0,
        };
        let path = folder.join(SNAPSHOT);
        match contents(&path)?.map(|bytes| unsealed::<Snapshot>(&bytes)) {
            None => {}
            Some(Ok(snapshot)) => (found.journal, found.next) = (snapshot.journal, snapshot.next),
            Some(Err(why)) => found.lose(format!("{}: {why}", path.display())),
        }
        let lines = bytes.get(..whole).unwrap_or_default();
        for (index, text) in lines.split_inclusive(|&b| b == b'\n').enumerate() {
            let text = text.strip_suffix(b"\n").unwrap_or(text);
            let place = format!("{}, line {}", lines_path.display(), index + 1);
            match unsealed(text) {
                Ok(line) => found.take(&line, &place),
                Err(why) => {
                    found.unread += 1;
                    found.lose(format!("{place}: {why}"));
                }
            }
        }
        found.journal.damaged |= folder.join(DAMAGED).exists();
        Ok(found)
    }

    fn take(&mut self, line: &Line, place: &str) {
        let unread = std::mem::take(&mut self.unread);
        if line.n < self.next {
            return;
        }
        if line.n > self.next + unread {
            self.lose(format!(
                "{place}: line number {} is missing",
                self.next + unread
            ));
        }
        self.journal.apply(&line.entry);
        self.next = line.n + 1;
    }

    fn lose(&mut self, what: String) {
        self.damage.push(what);
        self.journal.lose_part();
    }
}

/// Keeps both files as they are, behind what was kept before, for people.
fn set_aside(folder: &Path) -> Result<(), JournalError> {
    let path = folder.join(DAMAGED);
    let mut kept = Vec::new();
    for name in [SNAPSHOT, LINES] {
        if let Some(bytes) = contents(&folder.join(name))? {
            kept.extend_from_slice(format!("--- {name}\n").as_bytes());
            kept.extend_from_slice(&bytes);
            kept.push(b'\n');
        }
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| {
            file.write_all(&kept)?;
            file.sync_all()?;
            durable::sync_dir(folder)
        })
        .map_err(|source| JournalError::File { path, source })
}

fn contents(path: &Path) -> Result<Option<Vec<u8>>, JournalError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(JournalError::File {
            path: path.to_owned(),
            source,
        }),
    }
}

const SEAL: &str = "{\"sum\":\"";
const SUM: usize = 16;

/// A JSON object whose first field is a checksum of everything behind it.
fn sealed(value: &impl Serialize) -> io::Result<String> {
    let json = serde_json::to_string(value)?;
    let body = json.strip_prefix('{').unwrap_or(&json);
    Ok(format!("{SEAL}{}\",{body}", checksum(body.as_bytes())))
}

fn unsealed<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    let start = SEAL.len() + SUM + 2;
    let sum = text.get(SEAL.len()..SEAL.len() + SUM);
    let body = text.get(start..).ok_or("it is too short")?;
    if !text.starts_with(SEAL.as_bytes()) || sum != Some(checksum(body).as_bytes()) {
        return Err("its checksum does not match".to_owned());
    }
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

fn checksum(bytes: &[u8]) -> String {
    let mut text = lock_hash(bytes).to_string();
    text.truncate(SUM);
    text
}

#[cfg(test)]
mod tests;
