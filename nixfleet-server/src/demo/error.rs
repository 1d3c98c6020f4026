//! Why the demo could not go on.

use std::io;

/// Why the demo could not go on, or what it saw that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The operating system said no.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The cause.
        source: io::Error,
    },
    /// Git failed.
    #[error("git {arguments} failed: {message}")]
    Git {
        /// The arguments, with spaces between them.
        arguments: String,
        /// What git wrote to standard error.
        message: String,
    },
    /// The server answered something else than was asked for, or not at all.
    #[error("{request}: {problem}")]
    Answer {
        /// Method and path.
        request: String,
        /// What came instead.
        problem: String,
    },
    /// A condition was not met in time.
    #[error("waited {seconds} s for {what}; {seen}")]
    Timeout {
        /// The condition.
        what: String,
        /// How long.
        seconds: u64,
        /// What was there instead.
        seen: String,
    },
    /// Something other than it should be.
    #[error("{0}")]
    Wrong(String),
}

/// The result of a step of the demo.
pub type DemoResult<T> = Result<T, DemoError>;

impl DemoError {
    /// An error of the operating system while doing `what`.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
