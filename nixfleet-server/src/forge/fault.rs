//! Why a request to a forge gave no usable answer, told apart as far as callers need it.

use nixfleet_core::Timestamp;
use nixfleet_core::desired::{RemoteCause, Unavailable};
use nixfleet_core::update::ForgeFailure;

/// Why there is no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not sent: it is too early (law E6).
    TooEarly {
        /// Until when.
        until: Timestamp,
        /// Why.
        why: &'static str,
        /// Whether this is so for polling alone: what people ask for may leave.
        polling_only: bool,
    },
    /// Not sent: no connection came about.
    NoConnection {
        /// It took too long.
        timed_out: bool,
        /// What the system said.
        why: String,
    },
    /// Sent, but the answer did not come in time.
    TimedOut(&'static str),
    /// Sent, but the answer broke off.
    BrokenOff(String),
    /// Refused because of a limit; not processed.
    Limited {
        /// The status.
        status: u16,
        /// Until when.
        until: Timestamp,
    },
    /// An answer that points elsewhere; not processed.
    Redirected(String),
    /// An answer with a status that is no success.
    Status {
        /// The status.
        status: u16,
        /// What the forge said, one line.
        said: String,
    },
    /// A success whose content is not what it should be.
    Malformed(String),
}

impl Fault {
    /// A success whose content is not what it should be.
    pub fn malformed(why: impl Into<String>) -> Self {
        Fault::Malformed(why.into())
    }

    /// Whether the forge certainly did nothing (law E4).
    #[must_use]
    pub fn nothing_was_done(&self) -> bool {
        match self {
            Fault::TooEarly { .. }
            | Fault::NoConnection { .. }
            | Fault::Limited { .. }
            | Fault::Redirected(_) => true,
            Fault::Status { status, .. } => (400..500).contains(status) && *status != 408,
            Fault::TimedOut(_) | Fault::BrokenOff(_) | Fault::Malformed(_) => false,
        }
    }

    /// Whether it is this status.
    #[must_use]
    pub fn is_status(&self, wanted: u16) -> bool {
        matches!(self, Fault::Status { status, .. } if *status == wanted)
    }

    /// One line for people.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Fault::TooEarly { until, why, .. } => format!("{why}; the next request is at {until}"),
            Fault::NoConnection { why, .. } => {
                format!("no connection to the forge (check address, name and certificate): {why}")
            }
            Fault::TimedOut(phase) => format!("the forge was too slow: {phase}"),
            Fault::BrokenOff(why) => format!("the answer of the forge broke off: {why}"),
            Fault::Limited { status, until } => {
                format!("the forge limits requests ({status}); the next request is at {until}")
            }
            Fault::Redirected(why) => {
                format!("{why}; if the repository moved, set NIXFLEET_GITHUB_REPO to its new name")
            }
            Fault::Status { status, said } => {
                let hint = match status {
                    401 => " (the token is not valid: check NIXFLEET_GITHUB_TOKEN)",
                    403 => {
                        " (the token may not do this: it needs access to contents and pull \
                            requests of the repository)"
                    }
                    404 => " (check NIXFLEET_GITHUB_REPO, and that the token may see it)",
                    _ => "",
                };
                format!("the forge answered {status}{hint}: {said}")
            }
            Fault::Malformed(why) => format!("the answer of the forge is not usable: {why}"),
        }
    }

    /// For whoever asked.
    #[must_use]
    pub fn failure(&self) -> ForgeFailure {
        let not_before = match self {
            // Nobody else has to wait for what polling may not do.
            Fault::TooEarly {
                polling_only: true, ..
            } => None,
            Fault::TooEarly { until, .. } | Fault::Limited { until, .. } => Some(*until),
            Fault::NoConnection { .. }
            | Fault::TimedOut(_)
            | Fault::BrokenOff(_)
            | Fault::Redirected(_)
            | Fault::Status { .. }
            | Fault::Malformed(_) => None,
        };
        ForgeFailure {
            what: self.told(),
            not_before,
        }
    }

    /// For the desired state.
    #[must_use]
    pub fn unavailable(&self) -> Unavailable {
        Unavailable::new(self.cause(), self.told())
    }

    fn cause(&self) -> RemoteCause {
        match self {
            Fault::TooEarly { .. } => RemoteCause::HttpStatus(429),
            Fault::NoConnection {
                timed_out: false, ..
            }
            | Fault::BrokenOff(_) => RemoteCause::Unreachable,
            Fault::NoConnection {
                timed_out: true, ..
            }
            | Fault::TimedOut(_) => RemoteCause::TimedOut,
            // A limit is no lack of permission, whatever the status.
            Fault::Limited { .. } => RemoteCause::HttpStatus(429),
            Fault::Redirected(_) | Fault::Malformed(_) => RemoteCause::Malformed,
            Fault::Status { status, .. } => RemoteCause::of_http_status(*status),
        }
    }

    /// Whether asking again at once may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Fault::TooEarly { .. } | Fault::Limited { .. } => false,
            Fault::NoConnection { .. }
            | Fault::TimedOut(_)
            | Fault::BrokenOff(_)
            | Fault::Redirected(_)
            | Fault::Status { .. }
            | Fault::Malformed(_) => self.cause().is_transient(),
        }
    }
}
