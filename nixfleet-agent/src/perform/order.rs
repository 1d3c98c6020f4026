//! From a command of the core to the job that carries it out.

use nixfleet_core::agent::Journal;
use nixfleet_core::lifecycle::{CommandArgs, Target};
use nixfleet_core::{CommandId, Op};

use super::jobs::Surroundings;
use crate::config::InputName;
use crate::exec::JobSpec;
use crate::platform::{HostOp, RollbackTo, plan};

/// What is to run; `Ok(None)`: nothing, a close look at the host is all that is asked for.
pub(super) fn order(
    id: CommandId,
    op: Op,
    around: &Surroundings,
    args: &CommandArgs,
    target: Option<Target>,
    journal: &Journal,
) -> Result<Option<JobSpec>, String> {
    let target = target.map(|target| target.commit);
    let host_op = match op {
        Op::Pull => HostOp::Pull { target },
        Op::Switch => HostOp::Switch,
        Op::PullSwitch => HostOp::PullSwitch { target },
        Op::Test => HostOp::Test,
        Op::Rollback => HostOp::Rollback {
            to: args
                .generation
                .map_or(RollbackTo::Previous, RollbackTo::Generation),
        },
        Op::Reboot => HostOp::Reboot,
        Op::CheckVersion | Op::RefreshGit | Op::RefreshLock | Op::RefreshAll => {
            return Ok(None);
        }
        Op::ForceRebuild => HostOp::ForceRebuild,
        Op::RefreshSystem => HostOp::DryBuild,
        Op::UpdateInputs => HostOp::UpdateInputs {
            input: match args.input.as_deref() {
                None => None,
                Some(name) => Some(name.parse::<InputName>().map_err(|error| error.0)?),
            },
        },
        op @ (Op::Restart
        | Op::MergePr
        | Op::RevertPr
        | Op::SetColor
        | Op::Remove
        | Op::Hold
        | Op::Release) => {
            return Err(format!(
                "{} runs no process on a host; nothing was run",
                op.name()
            ));
        }
    };
    let mut spec =
        plan(&host_op, id, &around.config, &around.exe).map_err(|error| error.to_string())?;
    if let (Op::Rollback, Some(number)) = (op, args.generation) {
        name_generation(&mut spec, journal, number);
    }
    Ok(Some(spec))
}

/// A configured rollback command that knows no numbers finds the system by its path or commit.
fn name_generation(spec: &mut JobSpec, journal: &Journal, number: u64) {
    let Some(deployed) = journal.deployment_numbered(number) else {
        return;
    };
    let path = deployed.store_path.as_ref().map(ToString::to_string);
    let commit = deployed.commit.map(|commit| commit.to_string());
    for stage in &mut spec.stages {
        for (name, value) in [
            ("NIXFLEET_GENERATION_PATH", &path),
            ("NIXFLEET_GENERATION_COMMIT", &commit),
        ] {
            if let Some(value) = value {
                stage.environment.insert(name.to_owned(), value.clone());
            }
        }
    }
}
