//! Waiting for conditions, with a deadline, and never for time alone.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::{DemoError, DemoResult};

/// How often a condition is looked at that nobody announces.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Waits until `condition` gives something; after `patience` the error tells what was `seen`.
///
/// # Errors
/// [`DemoError::Timeout`].
pub async fn until<T>(
    patience: Duration,
    what: &str,
    mut condition: impl FnMut() -> Option<T>,
    seen: impl FnOnce() -> String,
) -> DemoResult<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = condition() {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            return Err(timeout(patience, what, seen()));
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// The error for a condition that was not met within `patience`.
#[must_use]
pub fn timeout(patience: Duration, what: &str, seen: String) -> DemoError {
    DemoError::Timeout {
        what: what.to_owned(),
        seconds: patience.as_secs(),
        seen,
    }
}
