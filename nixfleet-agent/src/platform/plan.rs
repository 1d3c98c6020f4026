//! From an operation to the stages of a job.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use nixfleet_core::{CommandId, CommitId};

use super::Platform;
use crate::config::{CommandLine, CommitAuthor, Config, InputName, SystemProbe};
use crate::environment;
use crate::exec::{Capture, JobSpec, Run, Stage};
use crate::git::PullRequest;
use crate::update::UpdateRequest;

/// What a host can be told to do that needs processes of its own. `restart` needs none: see
/// [`RestartMethod`](super::RestartMethod).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostOp {
    /// Bring the checkout to the target, or to the head of the branch.
    Pull {
        /// The commit pinned when the command was created.
        target: Option<CommitId>,
    },
    /// Build and activate what is checked out.
    Switch,
    /// Both, in order.
    PullSwitch {
        /// As in `Pull`.
        target: Option<CommitId>,
    },
    /// Build and activate what is checked out, with nothing taken from nix's own caches of
    /// evaluations and downloads.
    ForceRebuild,
    /// Say what a switch would build and fetch; changes nothing.
    DryBuild,
    /// Update the inputs of the configuration, commit and push.
    UpdateInputs {
        /// The one input; all of them if `None`.
        input: Option<InputName>,
    },
    /// Run the tests of this host.
    Test,
    /// Activate an earlier generation.
    Rollback {
        /// Which one.
        to: RollbackTo,
    },
    /// Restart the machine.
    Reboot,
}

/// Where a rollback goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollbackTo {
    /// The generation before the current one.
    Previous,
    /// The generation with this number.
    Generation(u64),
}

/// Why an operation cannot be carried out on this host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Platform `custom` without the command.
    #[error("platform custom has no command for {op}; set {variable}")]
    NotConfigured {
        /// The op.
        op: &'static str,
        /// The variable to set.
        variable: &'static str,
    },
    /// The platform cannot do it.
    #[error("{platform} cannot do this: {advice}")]
    Unsupported {
        /// The platform.
        platform: Platform,
        /// What to do instead.
        advice: &'static str,
    },
    /// The request for a step of this program itself could not be written down.
    #[error("the request could not be prepared: {0}")]
    Request(String),
}

/// Options every rebuild gets: a configuration must not set options of nix that act on this host.
const SAFE: [&str; 3] = ["--option", "accept-flake-config", "false"];

/// What a forced rebuild adds.
const FRESH: [&str; 4] = ["--refresh", "--option", "eval-cache", "false"];

/// The server ends a pull earlier; this is for a host whose server is away.
const PULL_LIMIT_MS: u64 = 10 * 60 * 1000;
/// The same for an update of inputs, which the server ends after 10 min.
const UPDATE_LIMIT_MS: u64 = 15 * 60 * 1000;

/// The platform's own commands: `{repo}`, `{host}`, `{generation}` and `{home}` are filled in word
/// by word; `*SAFE` marks where [`SAFE`] goes.
struct Row {
    platform: Platform,
    name: Template,
    argv: &'static [&'static [&'static str]],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Template {
    Switch,
    DryBuild,
    RollbackPrevious,
    RollbackNamed,
    Reboot,
}

#[rustfmt::skip]
const TABLE: &[Row] = &[
    Row { platform: Platform::Nixos, name: Template::Switch, argv: &[&["nixos-rebuild", "switch", "--flake", "{repo}#{host}", "*SAFE"]] },
    Row { platform: Platform::Nixos, name: Template::DryBuild, argv: &[&["nixos-rebuild", "dry-build", "--flake", "{repo}#{host}", "*SAFE"]] },
    Row { platform: Platform::Nixos, name: Template::RollbackPrevious, argv: &[&["nixos-rebuild", "switch", "--rollback"]] },
    Row { platform: Platform::Nixos, name: Template::RollbackNamed, argv: &[
        &["nix-env", "--profile", "/nix/var/nix/profiles/system", "--switch-generation", "{generation}"],
        &["/nix/var/nix/profiles/system/bin/switch-to-configuration", "switch"],
    ] },
    Row { platform: Platform::Nixos, name: Template::Reboot, argv: &[&["systemctl", "reboot"]] },
    Row { platform: Platform::Darwin, name: Template::Switch, argv: &[&["darwin-rebuild", "switch", "--flake", "{repo}#{host}", "*SAFE"]] },
    Row { platform: Platform::Darwin, name: Template::DryBuild, argv: &[&["nix", "--extra-experimental-features", "nix-command flakes", "build", "--dry-run", "--no-link", "{repo}#darwinConfigurations.{host}.system", "*SAFE"]] },
    Row { platform: Platform::Darwin, name: Template::RollbackPrevious, argv: &[&["darwin-rebuild", "switch", "--rollback"]] },
    Row { platform: Platform::Darwin, name: Template::RollbackNamed, argv: &[&["darwin-rebuild", "switch", "--switch-generation", "{generation}"]] },
    Row { platform: Platform::Darwin, name: Template::Reboot, argv: &[&["/sbin/shutdown", "-r", "now"]] },
    Row { platform: Platform::HomeManager, name: Template::Switch, argv: &[&["home-manager", "switch", "--flake", "{repo}#{host}", "*SAFE"]] },
    Row { platform: Platform::HomeManager, name: Template::DryBuild, argv: &[&["home-manager", "build", "--dry-run", "--no-out-link", "--flake", "{repo}#{host}", "*SAFE"]] },
    Row { platform: Platform::HomeManager, name: Template::RollbackPrevious, argv: &[&["home-manager", "switch", "--rollback"]] },
    Row { platform: Platform::HomeManager, name: Template::RollbackNamed, argv: &[&["{home}/.local/state/nix/profiles/home-manager-{generation}-link/activate"]] },
    Row { platform: Platform::HomeManager, name: Template::Reboot, argv: &[&["systemctl", "reboot"]] },
];

/// The job for one command. `exe` is this program, which carries out the pull itself.
///
/// # Errors
/// [`PlanError`] when the platform or configuration offers no way.
pub fn plan(
    op: &HostOp,
    command_id: CommandId,
    config: &Config,
    exe: &Path,
) -> Result<JobSpec, PlanError> {
    let planner = Planner { config, exe };
    let (name, stages) = match op {
        HostOp::Pull { target } => ("pull", vec![planner.pull(*target)?]),
        HostOp::Switch => ("switch", planner.switch()?),
        HostOp::PullSwitch { target } => {
            let mut stages = vec![planner.pull(*target)?];
            stages.extend(planner.switch()?);
            ("pull-switch", stages)
        }
        HostOp::ForceRebuild => ("force-rebuild", planner.force_rebuild()?),
        HostOp::DryBuild => ("refresh-system", planner.dry_build()?),
        HostOp::UpdateInputs { input } => (
            "update-inputs",
            vec![planner.update_inputs(input.as_ref())?],
        ),
        HostOp::Test => ("test", vec![planner.test()]),
        HostOp::Rollback { to } => ("rollback", planner.rollback(*to)?),
        HostOp::Reboot => ("reboot", planner.reboot()?),
    };
    let mut environment = environment::allowed();
    for (variable, value) in [
        ("NIXFLEET_COMMAND_ID", command_id.to_string()),
        ("NIXFLEET_OP", name.to_owned()),
        ("NIXFLEET_HOSTNAME", config.hostname.to_string()),
        ("NIXFLEET_REPO_DIR", config.repo.dir().display().to_string()),
    ] {
        environment.insert(variable.to_owned(), value);
    }
    Ok(JobSpec {
        command_id,
        op: name.to_owned(),
        stages,
        environment,
        exclusive: *op != HostOp::Reboot,
    })
}

struct Planner<'a> {
    config: &'a Config,
    exe: &'a Path,
}

impl Planner<'_> {
    fn pull(&self, target: Option<CommitId>) -> Result<Stage, PlanError> {
        let request = PullRequest::of(self.config, target);
        let request =
            serde_json::to_string(&request).map_err(|e| PlanError::Request(e.to_string()))?;
        Ok(self.own("pull", request, PULL_LIMIT_MS))
    }

    fn update_inputs(&self, input: Option<&InputName>) -> Result<Stage, PlanError> {
        let config = self.config;
        let author = config.updates.author.clone();
        let author = author.unwrap_or_else(|| CommitAuthor::of_host(config.hostname.as_str()));
        let name = input.map(InputName::as_str);
        let host = ("host", config.hostname.as_str());
        let fill = |command: &CommandLine| command.filled(&[host, ("input", name.unwrap_or(""))]);
        let request = UpdateRequest {
            pull: PullRequest::of(config, None),
            input: name.map(str::to_owned),
            command: config.commands.update.as_ref().map(fill),
            author: author.to_string(),
            push: config.updates.push.as_str().to_owned(),
        };
        let request =
            serde_json::to_string(&request).map_err(|e| PlanError::Request(e.to_string()))?;
        Ok(self.own("update-inputs", request, UPDATE_LIMIT_MS))
    }

    /// A step that this program carries out itself.
    fn own(&self, name: &str, request: String, limit_ms: u64) -> Stage {
        let argv = vec![self.exe.display().to_string(), name.to_owned(), request];
        Stage {
            environment: environment::allowed_for_git(),
            capture: Some(self.capture(false)),
            limit_ms: Some(limit_ms),
            ..stage(name, argv)
        }
    }

    fn switch(&self) -> Result<Vec<Stage>, PlanError> {
        let configured = self.config.commands.switch.as_ref();
        self.commands(
            "switch",
            configured,
            Template::Switch,
            "NIXFLEET_SWITCH_COMMAND",
            "",
        )
    }

    /// A configured switch command learns from `NIXFLEET_OP` that more is asked for.
    fn force_rebuild(&self) -> Result<Vec<Stage>, PlanError> {
        let mut stages = self.switch()?;
        if self.config.commands.switch.is_none()
            && let Some(Run::Command { argv }) = stages.last_mut().map(|stage| &mut stage.run)
        {
            argv.extend(FRESH.map(str::to_owned));
        }
        Ok(stages)
    }

    fn dry_build(&self) -> Result<Vec<Stage>, PlanError> {
        let platform = self.config.platform;
        if self.config.commands.switch.is_some() || platform == Platform::Custom {
            return Err(PlanError::Unsupported {
                platform,
                advice: "nobody knows what the configured switch command would do without running it",
            });
        }
        self.commands("dry-build", None, Template::DryBuild, "", "")
    }

    fn rollback(&self, to: RollbackTo) -> Result<Vec<Stage>, PlanError> {
        let (template, generation) = match to {
            RollbackTo::Previous => (Template::RollbackPrevious, String::new()),
            RollbackTo::Generation(number) => (Template::RollbackNamed, number.to_string()),
        };
        let configured = self.config.commands.rollback.as_ref();
        let variable = "NIXFLEET_ROLLBACK_COMMAND";
        let mut stages = self.commands("rollback", configured, template, variable, &generation)?;
        for stage in &mut stages {
            stage
                .environment
                .insert("NIXFLEET_GENERATION".to_owned(), generation.clone());
        }
        Ok(stages)
    }

    fn reboot(&self) -> Result<Vec<Stage>, PlanError> {
        let configured = self.config.commands.reboot.as_ref();
        self.commands(
            "reboot",
            configured,
            Template::Reboot,
            "NIXFLEET_REBOOT_COMMAND",
            "",
        )
    }

    fn test(&self) -> Stage {
        let limit_ms = millis(self.config.test_limit);
        let repo = self.config.repo.dir();
        let run = match &self.config.commands.test {
            Some(command) => Run::TestCommand {
                argv: self.filled(command, ""),
                limit_ms,
            },
            None => Run::TestScripts {
                folder: repo
                    .join("hosts")
                    .join(self.config.hostname.as_str())
                    .join("tests"),
                limit_ms,
            },
        };
        Stage {
            run,
            folder: Some(repo.to_owned()),
            capture: Some(self.capture(false)),
            ..stage("test", Vec::new())
        }
    }

    /// The configured command if there is one, otherwise the platform's own.
    fn commands(
        &self,
        name: &'static str,
        configured: Option<&CommandLine>,
        template: Template,
        variable: &'static str,
        generation: &str,
    ) -> Result<Vec<Stage>, PlanError> {
        let argvs = match configured {
            Some(command) => vec![self.filled(command, generation)],
            None => self.platforms_own(name, template, variable, generation)?,
        };
        let last = argvs.len().saturating_sub(1);
        let advice = self.config.platform.needs();
        Ok(argvs
            .into_iter()
            .enumerate()
            .map(|(index, argv)| Stage {
                folder: Some(self.config.repo.dir().to_owned()).filter(|dir| dir.is_dir()),
                missing_advice: advice
                    .filter(|(program, _)| argv.first().is_some_and(|p| p == program))
                    .map(|(_, advice)| advice.to_owned()),
                capture: (template != Template::Reboot).then(|| self.capture(true)),
                ..stage(if index < last { "profile" } else { name }, argv)
            })
            .collect())
    }

    fn platforms_own(
        &self,
        op: &'static str,
        template: Template,
        variable: &'static str,
        generation: &str,
    ) -> Result<Vec<Vec<String>>, PlanError> {
        let platform = self.config.platform;
        let row = TABLE
            .iter()
            .find(|row| row.platform == platform && row.name == template)
            .ok_or(PlanError::NotConfigured { op, variable })?;
        let home = std::env::var("HOME").unwrap_or_default();
        if home.is_empty()
            && row
                .argv
                .iter()
                .flat_map(|a| a.iter())
                .any(|w| w.contains("{home}"))
        {
            return Err(PlanError::Unsupported {
                platform,
                advice: "the agent has no HOME; set it in its service",
            });
        }
        let repo = self.config.repo.dir().display().to_string();
        let values = [
            ("{repo}", repo.as_str()),
            ("{host}", self.config.hostname.as_str()),
            ("{generation}", generation),
            ("{home}", home.as_str()),
        ];
        let fill = |word: &&str| {
            values
                .iter()
                .fold((*word).to_owned(), |word, (name, value)| {
                    word.replace(name, value)
                })
        };
        let line = |words: &&'static [&'static str]| {
            words
                .iter()
                .flat_map(|word| match *word {
                    "*SAFE" => SAFE.to_vec(),
                    plain => vec![plain],
                })
                .map(|word| fill(&word))
                .collect()
        };
        Ok(row.argv.iter().map(line).collect())
    }

    fn filled(&self, command: &CommandLine, generation: &str) -> Vec<String> {
        let repo = self.config.repo.dir().display().to_string();
        command.filled(&[
            ("repo", repo.as_str()),
            ("host", self.config.hostname.as_str()),
            ("generation", generation),
        ])
    }

    fn capture(&self, failed_units: bool) -> Capture {
        let home = std::env::var_os("HOME").map(std::path::PathBuf::from);
        let (system_link, system_command) = match &self.config.system_probe {
            Some(SystemProbe::Link(link)) => (Some(link.clone()), None),
            Some(SystemProbe::Command(command)) => (None, Some(command.words().to_vec())),
            None => (self.config.platform.system_link(home.as_deref()), None),
        };
        Capture {
            repo_dir: Some(self.config.repo.dir().to_owned()),
            system_link,
            system_command,
            failed_units: failed_units && self.config.platform == Platform::Nixos,
        }
    }
}

fn stage(name: &str, argv: Vec<String>) -> Stage {
    Stage {
        name: name.to_owned(),
        run: Run::Command { argv },
        folder: None,
        limit_ms: None,
        environment: BTreeMap::new(),
        capture: None,
        missing_advice: None,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
