//! The NixFleet agent.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use nixfleet_agent::check;
use nixfleet_agent::config::{Args, Config, Settings, Subcommands, Surroundings};
use nixfleet_agent::exec::supervise;
use nixfleet_agent::git::{PullRequest, pull};

fn main() -> ExitCode {
    let args = Args::parse();
    match args.command.unwrap_or(Subcommands::Run) {
        Subcommands::Run => unfinished("run"),
        Subcommands::Check => run_check(&args.settings),
        Subcommands::Status { json: _ } => unfinished("status"),
        Subcommands::Supervise { folder } => run_supervise(&folder),
        Subcommands::Pull { request } => run_pull(&request),
    }
}

fn unfinished(name: &str) -> ExitCode {
    eprintln!("error: this build of the agent does not contain `{name}`");
    ExitCode::FAILURE
}

fn run_check(settings: &Settings) -> ExitCode {
    let findings = match Config::new(settings, &Surroundings::real()) {
        Ok(config) => check::check(&config),
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
    let request: PullRequest = match serde_json::from_str(request) {
        Ok(request) => request,
        Err(error) => {
            eprintln!("error: not a pull request: {error}");
            return ExitCode::FAILURE;
        }
    };
    // The supervisor runs this in the job's private folder.
    match pull(&request, Path::new(".")) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
