//! The command line of the agent.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use crate::check;
use crate::config::{Args, Config, Settings, Subcommands, Surroundings, state_dir_only};
use crate::eventloop::{self, Ended};
use crate::exec::supervise;
use crate::git::{PullRequest, pull};
use crate::observe::Binary;
use crate::platform::{RestartMethod, reexec};
use crate::program::find_program;
use crate::status;
use crate::update::{UpdateRequest, update_inputs};
use clap::Parser;
use serde::de::DeserializeOwned;
use tracing_subscriber::EnvFilter;

/// Tells a service manager, also one that only restarts after failures, to start the agent again.
const EXIT_RESTART: u8 = 75;

/// Runs the agent's program with these words, the first being its name.
#[must_use]
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = Args::parse_from(words);
    match args.command.unwrap_or(Subcommands::Run) {
        Subcommands::Run => run_agent(&args.settings),
        Subcommands::Check { push } => run_check(&args.settings, push),
        Subcommands::Status { json } => run_status(&args.settings, json),
        Subcommands::Supervise { folder } => run_supervise(&folder),
        Subcommands::Pull { request } => run_pull(&request),
        Subcommands::UpdateInputs { request } => run_update_inputs(&request),
    }
}

fn run_agent(settings: &Settings) -> ExitCode {
    let log = EnvFilter::try_from_env("NIXFLEET_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(log)
        .with_writer(std::io::stderr)
        // Whoever read the log may be gone; that must not end the one who writes it.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let config = match Config::new(settings, &Surroundings::real()) {
        Ok(config) => config,
        Err(problems) => {
            for problem in &problems {
                eprintln!("error: {problem}");
            }
            return ExitCode::FAILURE;
        }
    };
    let ended = Binary::find()
        .and_then(|binary| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let ended = runtime.block_on(eventloop::run(config, binary.clone()));
            // A thread that waits for a slow disk or program must not keep the process.
            runtime.shutdown_background();
            Ok((ended, binary))
        })
        .map_err(|error| format!("the agent cannot start: {error}"));
    match ended {
        Ok((Ok(Ended::Stopped), _)) => ExitCode::SUCCESS,
        Ok((Ok(Ended::Restart), binary)) => restart(&binary),
        Ok((Err(error), _)) => fail(&error.to_string()),
        Err(error) => fail(&error),
    }
}

/// A service manager starts the program again, perhaps a newer one; where there is none, the
/// program that was named at the start is started in place of this one.
fn restart(binary: &Binary) -> ExitCode {
    match RestartMethod::detect() {
        RestartMethod::Exit => ExitCode::from(EXIT_RESTART),
        RestartMethod::Reexec => {
            let named = std::env::args_os().next().unwrap_or_default();
            let path = std::env::var_os("PATH");
            let found = find_program(&named.to_string_lossy(), path.as_deref());
            let program = found.unwrap_or_else(|| binary.path.clone());
            let error = reexec(&program);
            fail(&format!(
                "{} cannot be started again: {error}",
                program.display()
            ))
        }
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::FAILURE
}

fn run_status(settings: &Settings, json: bool) -> ExitCode {
    let folder = match state_dir_only(settings, &Surroundings::real()) {
        Ok(folder) => folder,
        Err(problems) => {
            for problem in &problems {
                eprintln!("error: {problem}");
            }
            return ExitCode::FAILURE;
        }
    };
    let shown = status::show(&folder);
    if json {
        match serde_json::to_string_pretty(&shown) {
            Ok(text) => println!("{text}"),
            Err(error) => return fail(&error.to_string()),
        }
    } else {
        print!("{}", shown.text());
    }
    if shown.connected {
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}

fn run_check(settings: &Settings, push: bool) -> ExitCode {
    let findings = match Config::new(settings, &Surroundings::real()) {
        Ok(config) => check::check(&config, push),
        Err(problems) => check::of_problems(&problems),
    };
    for finding in &findings {
        println!("{finding}");
    }
    if findings.iter().any(check::Finding::is_problem) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run_supervise(folder: &Path) -> ExitCode {
    match supervise(folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_pull(request: &str) -> ExitCode {
    run_request(request, |request: &PullRequest, folder| {
        pull(request, folder).map(drop)
    })
}

fn run_update_inputs(request: &str) -> ExitCode {
    run_request(request, |request: &UpdateRequest, folder| {
        update_inputs(request, folder).map(drop)
    })
}

/// Carries out a step of a job; the supervisor runs it in the job's private folder.
fn run_request<R: DeserializeOwned, E: Display>(
    request: &str,
    act: impl FnOnce(&R, &Path) -> Result<(), E>,
) -> ExitCode {
    let request: R = match serde_json::from_str(request) {
        Ok(request) => request,
        Err(error) => return fail(&format!("not a request: {error}")),
    };
    let folder = match std::env::current_dir() {
        Ok(folder) => folder,
        Err(error) => return fail(&format!("the job has no folder: {error}")),
    };
    match act(&request, &folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}
