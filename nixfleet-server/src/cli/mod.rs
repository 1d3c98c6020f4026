//! The command line. Data goes to stdout, everything else to stderr.

mod demo_child;
mod hash_password;
mod logging;
mod serve;
pub mod token;

use std::fmt;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{ConfigError, ServeArgs};
use crate::demo::{self, DemoArgs, HostArgs};

/// The NixFleet dashboard server.
#[derive(Debug, Parser)]
#[command(
    name = "nixfleet-server",
    version,
    about,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the dashboard server
    Serve(Box<ServeArgs>),
    /// Read a password from standard input and print its argon2id hash for NIXFLEET_PASSWORD_HASH
    HashPassword,
    /// Make, list and revoke the tokens of programs and agents
    Token(token::TokenArgs),
    /// Play a day of updates on a small fleet in a throw-away folder
    Demo(DemoArgs),
    /// Run a command of a host of the demo (internal)
    #[command(hide = true)]
    DemoHost(HostArgs),
    /// Run server or agent for as long as the demo lives (internal)
    #[command(hide = true)]
    DemoChild(demo_child::ChildArgs),
    /// Run one recorded job of an agent of the demo (internal)
    #[command(hide = true)]
    Supervise(demo_child::AgentArgs),
    /// Bring the checkout of an agent of the demo up to date (internal)
    #[command(hide = true)]
    Pull(demo_child::AgentArgs),
}

/// Runs the command of this process. Exit codes: 0 success, 1 failure, 2 wrong usage or settings.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.run() {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("nixfleet-server: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

impl Command {
    fn run(self) -> Result<ExitCode, Failure> {
        let done = |()| ExitCode::SUCCESS;
        match self {
            Command::Serve(args) => serve::run(&args).map(done),
            Command::HashPassword => hash_password::run().map(done),
            Command::Token(args) => token::run(args).map(done),
            Command::Demo(args) => demo::run(&args).map(done),
            Command::DemoHost(args) => Ok(demo::run_on_host(args)),
            Command::DemoChild(args) => demo_child::run(args),
            Command::Supervise(args) => Ok(demo_child::run_agent("supervise", args)),
            Command::Pull(args) => Ok(demo_child::run_agent("pull", args)),
        }
    }
}

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// A setting cannot be used; exit code 2, as for a wrong flag.
    Config(ConfigError),
    /// Anything else, with all its causes; exit code 1.
    Other(String),
}

impl Failure {
    /// A failure while doing something, with the chain of causes behind it.
    pub fn while_doing(what: impl fmt::Display, error: &dyn std::error::Error) -> Self {
        let mut text = format!("{what}: {error}");
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        Failure::Other(text)
    }

    const fn exit_code(&self) -> u8 {
        match self {
            Failure::Config(_) => 2,
            Failure::Other(_) => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Config(error) => error.fmt(f),
            Failure::Other(text) => f.write_str(text),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure::Config(error)
    }
}

/// The asynchronous runtime of commands that need one.
///
/// # Errors
/// [`Failure`] if the operating system has no threads for it.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::while_doing("cannot start the runtime", &error))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_help_names_the_environment() {
        Cli::command().debug_assert();
        let mut command = Cli::command();
        let serve = command.find_subcommand_mut("serve").unwrap();
        let help = serve.render_long_help().to_string();
        for variable in [
            "NIXFLEET_LISTEN",
            "NIXFLEET_DATA_DIR",
            "NIXFLEET_AGENT_TOKEN",
            "NIXFLEET_PASSWORD_HASH",
            "NIXFLEET_VERSION_URL",
            "NIXFLEET_VERSION_FETCH_TTL",
            "NIXFLEET_REPO",
            "NIXFLEET_BRANCH",
            "NIXFLEET_REMOTE_GRACE",
            "NIXFLEET_EXPECTED_AGENT_VERSION",
            "NIXFLEET_PUBLIC_URL",
            "NIXFLEET_LOG",
        ] {
            assert!(help.contains(variable), "{variable}");
        }
        for secret_flag in ["--agent-token <", "--password-hash <", "--password <"] {
            assert!(!help.contains(secret_flag), "{secret_flag}");
        }
    }
}
