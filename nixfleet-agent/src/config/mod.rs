//! The settings of the agent, validated: every problem is found at once and names its variable.

mod args;
mod problems;
mod secret;
mod updates;
mod values;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nixfleet_core::HostId;
use secrecy::SecretString;

pub use args::{Args, Settings, Subcommands};
pub use problems::Problem;
use problems::{Problems, set};
pub use secret::read_secret;
use secret::secret;
pub use updates::{CommitAuthor, InputName, PushTo, Updates};
pub use values::{
    BranchName, CommandLine, RemoteUrl, ServerUrl, ValueError, absolute_path, duration,
};

use crate::platform::Platform;
use crate::program::find_program;

/// Everything the agent is configured with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server.
    pub server: ServerUrl,
    /// What proves to the server who we are; only ever sent to the server.
    pub token: SecretString,
    /// The configuration repository.
    pub repo: Repo,
    /// The branch that is deployed.
    pub branch: BranchName,
    /// How git gets into the remote.
    pub git: GitAccess,
    /// Time between heartbeats.
    pub interval: Duration,
    /// The name of this host.
    pub hostname: HostId,
    /// Where the journal, the jobs and the own clone live.
    pub state_dir: PathBuf,
    /// What kind of system this is.
    pub platform: Platform,
    /// Commands that replace the platform's own.
    pub commands: Commands,
    /// How to find out what is running; `None`: as the platform does.
    pub system_probe: Option<SystemProbe>,
    /// Time limit of one test.
    pub test_limit: Duration,
    /// An additional certificate authority for the server.
    pub ca_file: Option<PathBuf>,
    /// What the page shows about this host.
    pub labels: Labels,
    /// How inputs are updated, and this host's part in rollouts.
    pub updates: Updates,
}

/// The checkout that is deployed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repo {
    /// The agent's own clone: fetched, reset and cleaned.
    Isolated {
        /// The remote.
        url: RemoteUrl,
        /// The clone.
        dir: PathBuf,
    },
    /// Somebody's checkout: only ever fast-forwarded.
    Existing {
        /// The checkout.
        dir: PathBuf,
    },
}

impl Repo {
    /// The folder of the checkout.
    #[must_use]
    pub fn dir(&self) -> &Path {
        match self {
            Repo::Isolated { dir, .. } | Repo::Existing { dir } => dir,
        }
    }
}

/// Secrets for git, as files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitAccess {
    /// A token for https.
    pub token_file: Option<PathBuf>,
    /// A private key for ssh.
    pub ssh_key_file: Option<PathBuf>,
}

/// Configured commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    /// Replaces the platform's switch.
    pub switch: Option<CommandLine>,
    /// Replaces the test scripts of the repository.
    pub test: Option<CommandLine>,
    /// Replaces the platform's rollback.
    pub rollback: Option<CommandLine>,
    /// Replaces the platform's reboot.
    pub reboot: Option<CommandLine>,
    /// Replaces `nix flake update`.
    pub update: Option<CommandLine>,
}

/// What names the running system where the platform does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemProbe {
    /// The target of a symbolic link.
    Link(PathBuf),
    /// The first line a command prints.
    Command(CommandLine),
}

/// Free words for the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Colour of the host.
    pub theme_color: Option<String>,
    /// Where it is.
    pub location: Option<String>,
    /// What it is.
    pub device_type: Option<String>,
}

/// What surrounds the process and supplies defaults; a value, so that tests need no real
/// environment.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `NIXFLEET_TOKEN`.
    pub token: Option<String>,
    /// `CREDENTIALS_DIRECTORY`, set by systemd's `LoadCredential`.
    pub credentials: Option<PathBuf>,
    /// `STATE_DIRECTORY`, set by systemd.
    pub state_directory: Option<PathBuf>,
    /// `XDG_STATE_HOME`.
    pub xdg_state: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `PATH`.
    pub path: Option<OsString>,
    /// The system's host name.
    pub hostname: Option<String>,
    /// Whether the process runs as root.
    pub root: bool,
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn real() -> Self {
        let absolute = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        Self {
            token: std::env::var("NIXFLEET_TOKEN").ok(),
            credentials: absolute("CREDENTIALS_DIRECTORY"),
            // With several state directories configured, the first is the agent's.
            state_directory: std::env::var("STATE_DIRECTORY")
                .ok()
                .and_then(|all| all.split(':').next().map(PathBuf::from))
                .filter(|path| path.is_absolute()),
            xdg_state: absolute("XDG_STATE_HOME"),
            home: absolute("HOME"),
            path: std::env::var_os("PATH"),
            hostname: sysinfo::System::host_name().ok(),
            root: nix::unistd::geteuid().is_root(),
        }
    }
}

impl Config {
    /// Validates the settings; on failure returns every problem, not only the first.
    ///
    /// # Errors
    /// All [`Problem`]s.
    pub fn new(settings: &Settings, around: &Surroundings) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        let p = &mut problems;
        let server = p.required::<ServerUrl>(
            "NIXFLEET_URL",
            &settings.url,
            "set it to the address of the server, like https://fleet.example.org",
        );
        let token = p.take("NIXFLEET_TOKEN", token(settings, around));
        let branch = p.parsed("NIXFLEET_BRANCH", &settings.branch);
        let state_dir = state_dir(settings, around, p);
        let repo = repo(settings, state_dir.as_deref(), p);
        let git = GitAccess {
            token_file: p
                .path("NIXFLEET_GIT_TOKEN_FILE", &settings.git_token_file)
                .or_else(|| credential(around, "git-token")),
            ssh_key_file: p
                .path("NIXFLEET_GIT_SSH_KEY_FILE", &settings.git_ssh_key_file)
                .or_else(|| credential(around, "git-ssh-key")),
        };
        let interval = p.time("NIXFLEET_INTERVAL", &settings.interval, 5, 1..=3600);
        let test_limit = p.time("NIXFLEET_TEST_LIMIT", &settings.test_limit, 300, 1..=86_400);
        let hostname = hostname(settings, around, p);
        let commands = Commands {
            switch: p.parsed("NIXFLEET_SWITCH_COMMAND", &settings.switch_command),
            test: p.parsed("NIXFLEET_TEST_COMMAND", &settings.test_command),
            rollback: p.parsed("NIXFLEET_ROLLBACK_COMMAND", &settings.rollback_command),
            reboot: p.parsed("NIXFLEET_REBOOT_COMMAND", &settings.reboot_command),
            update: p.parsed("NIXFLEET_UPDATE_COMMAND", &settings.update_command),
        };
        let platform = platform(settings, around, p);
        let system_probe = system_probe(settings, p);
        if platform == Some(Platform::Custom) {
            if commands.switch.is_none() && set(&settings.switch_command).is_none() {
                p.add(
                    "NIXFLEET_SWITCH_COMMAND",
                    "platform custom needs the command that switches this host",
                );
            }
            if system_probe.is_none() {
                p.add(
                    "NIXFLEET_SYSTEM_LINK",
                    "platform custom needs the link (or NIXFLEET_SYSTEM_COMMAND, a command) that names the running system",
                );
            }
        }
        let ca_file = p.path("NIXFLEET_CA_FILE", &settings.ca_file);
        let labels = Labels {
            theme_color: owned(&settings.theme_color),
            location: owned(&settings.location),
            device_type: owned(&settings.device_type),
        };
        let updates = Updates::new(settings, p);
        match (server, token, repo, hostname, state_dir, platform) {
            (
                Some(server),
                Some(token),
                Some(repo),
                Some(hostname),
                Some(state_dir),
                Some(platform),
            ) if problems.0.is_empty() => Ok(Self {
                server,
                token,
                repo,
                branch: branch.unwrap_or_default(),
                git,
                interval,
                hostname,
                state_dir,
                platform,
                commands,
                system_probe,
                test_limit,
                ca_file,
                labels,
                updates,
            }),
            _ => Err(problems.0),
        }
    }
}

/// The folder of the agent's records alone, for commands that need nothing else.
///
/// # Errors
/// The [`Problem`]s of that one setting.
pub fn state_dir_only(settings: &Settings, around: &Surroundings) -> Result<PathBuf, Vec<Problem>> {
    let mut problems = Problems::default();
    state_dir(settings, around, &mut problems).ok_or(problems.0)
}

fn token(settings: &Settings, around: &Surroundings) -> Result<SecretString, ValueError> {
    if let Some(text) = set(&around.token) {
        return secret(text.trim());
    }
    if let Some(file) = set(&settings.token_file) {
        return read_secret(&absolute_path(file)?, true);
    }
    if let Some(file) = credential(around, "token") {
        return read_secret(&file, false);
    }
    Err(ValueError(
        "no token; set NIXFLEET_TOKEN_FILE to a file that holds the token of this host (or NIXFLEET_TOKEN to the token)"
            .into(),
    ))
}

fn credential(around: &Surroundings, name: &str) -> Option<PathBuf> {
    let file = around.credentials.as_ref()?.join(name);
    file.is_file().then_some(file)
}

fn state_dir(settings: &Settings, around: &Surroundings, p: &mut Problems) -> Option<PathBuf> {
    if set(&settings.state_dir).is_some() {
        return p.path("NIXFLEET_STATE_DIR", &settings.state_dir);
    }
    let user_state = || {
        let home = || Some(around.home.as_ref()?.join(".local/state"));
        let base = around.xdg_state.clone().or_else(home)?;
        Some(base.join("nixfleet-agent"))
    };
    let found = around.state_directory.clone().or_else(|| {
        if around.root {
            return Some(PathBuf::from("/var/lib/nixfleet-agent"));
        }
        user_state()
    });
    if found.is_none() {
        p.add(
            "NIXFLEET_STATE_DIR",
            "set it to a folder for the agent's records",
        );
    }
    found
}

fn repo(settings: &Settings, state_dir: Option<&Path>, p: &mut Problems) -> Option<Repo> {
    let dir = p.path("NIXFLEET_REPO_DIR", &settings.repo_dir);
    if set(&settings.repo_url).is_some() {
        let url = p.parsed::<RemoteUrl>("NIXFLEET_REPO_URL", &settings.repo_url)?;
        let dir = dir.or_else(|| Some(state_dir?.join("repo")))?;
        return Some(Repo::Isolated { url, dir });
    }
    if dir.is_none() && set(&settings.repo_dir).is_none() {
        p.add(
            "NIXFLEET_REPO_URL",
            "set it to the git repository of the configuration, or NIXFLEET_REPO_DIR to an existing checkout",
        );
    }
    Some(Repo::Existing { dir: dir? })
}

fn hostname(settings: &Settings, around: &Surroundings, p: &mut Problems) -> Option<HostId> {
    if set(&settings.hostname).is_some() {
        return p.parsed("NIXFLEET_HOSTNAME", &settings.hostname);
    }
    let system = around.hostname.as_deref().unwrap_or_default();
    let short = system.split('.').next().unwrap_or_default().to_owned();
    p.required(
        "NIXFLEET_HOSTNAME",
        &Some(short),
        "the system has no host name; set this one",
    )
}

fn platform(settings: &Settings, around: &Surroundings, p: &mut Problems) -> Option<Platform> {
    if set(&settings.platform).is_some() {
        return p.parsed("NIXFLEET_PLATFORM", &settings.platform);
    }
    let home_manager = find_program("home-manager", around.path.as_deref()).is_some();
    let custom = set(&settings.switch_command).is_some();
    let found = Platform::detect(Path::new("/etc/NIXOS").exists(), home_manager, custom);
    if found.is_none() {
        p.add(
            "NIXFLEET_PLATFORM",
            "this is neither NixOS nor macOS and home-manager is not in PATH; set it to custom and set NIXFLEET_SWITCH_COMMAND",
        );
    }
    found
}

fn system_probe(settings: &Settings, p: &mut Problems) -> Option<SystemProbe> {
    let link = p.path("NIXFLEET_SYSTEM_LINK", &settings.system_link);
    let command = p.parsed("NIXFLEET_SYSTEM_COMMAND", &settings.system_command);
    if link.is_some() && command.is_some() {
        p.add(
            "NIXFLEET_SYSTEM_COMMAND",
            "set either this or NIXFLEET_SYSTEM_LINK, not both",
        );
    }
    link.map(SystemProbe::Link)
        .or(command.map(SystemProbe::Command))
}

fn owned(value: &Option<String>) -> Option<String> {
    set(value).map(str::to_owned)
}

#[cfg(test)]
mod tests;
