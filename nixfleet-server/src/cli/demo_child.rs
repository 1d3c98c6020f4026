//! Server and agents of the demo, from this same program, so that it works wherever it is installed.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use super::{Cli, Failure};
use crate::demo;

/// What the child is.
#[derive(Clone, Debug, clap::Args)]
pub struct ChildArgs {
    /// `serve` or `agent`, with its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<OsString>,
}

/// What the agent program is called with.
#[derive(Clone, Debug, clap::Args)]
pub struct AgentArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(super) fn run(args: ChildArgs) -> Result<ExitCode, Failure> {
    demo::hold_lifeline();
    if args.command.first().is_some_and(|word| word == "agent") {
        let arguments = args.command.into_iter().skip(1).collect();
        return Ok(run_agent("run", AgentArgs { arguments }));
    }
    let program = OsString::from("nixfleet-server");
    let words = std::iter::once(program).chain(args.command);
    let cli = Cli::try_parse_from(words).map_err(|error| Failure::Other(error.to_string()))?;
    cli.command.run()
}

/// The agents of the demo are started by this program, and so are the programs that they start.
pub(super) fn run_agent(verb: &str, args: AgentArgs) -> ExitCode {
    let program = OsString::from("nixfleet-agent");
    let words = [program, verb.into()].into_iter().chain(args.arguments);
    nixfleet_agent::cli::main(words)
}
