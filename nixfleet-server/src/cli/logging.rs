//! Where log lines go.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::config::ConfigError;

const DEFAULT: &str = "info";

/// Logs to stderr what `filter` lets through.
///
/// # Errors
/// [`ConfigError`] for a filter that cannot be read.
pub fn start(filter: Option<&str>) -> Result<(), ConfigError> {
    let text = filter
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .unwrap_or(DEFAULT);
    let filter = EnvFilter::try_new(text).map_err(|error| {
        let problem =
            format!("{text:?}: {error}; expected a filter like info or nixfleet_server=debug");
        ConfigError::new("NIXFLEET_LOG", problem)
    })?;
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // Whoever read the log may be gone; that must not end the one who writes it.
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal())
        .try_init();
    // A second call in one process keeps the first log.
    started.ok();
    Ok(())
}
