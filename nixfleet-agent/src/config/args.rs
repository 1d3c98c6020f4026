//! The command line and its environment variables, as text; `Config` gives them their meaning.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

/// The NixFleet agent: reports what this host runs and carries out commands of the fleet.
#[derive(Clone, Debug, Parser)]
#[command(name = "nixfleet-agent", version, about, max_term_width = 100)]
pub struct Args {
    /// What to do; without one, `run`.
    #[command(subcommand)]
    pub command: Option<Subcommands>,
    /// The settings.
    #[command(flatten)]
    pub settings: Settings,
}

/// What the program can do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Subcommands {
    /// Connect to the server and serve it until stopped
    Run,
    /// Check every setting and precondition, and say what to do about each problem
    Check {
        /// Also try to push to the remote, without changing anything there
        #[arg(long)]
        push: bool,
    },
    /// Show what the agent last recorded about itself
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Run one recorded job (internal)
    #[command(hide = true)]
    Supervise {
        /// The folder of the job
        folder: PathBuf,
    },
    /// Update the inputs of the configuration, commit and push (internal)
    #[command(hide = true)]
    UpdateInputs {
        /// The request, as JSON
        request: String,
    },
    /// Bring the checkout up to date (internal)
    #[command(hide = true)]
    Pull {
        /// The request, as JSON
        request: String,
    },
}

/// Every setting as written; empty text counts as not set, as service managers pass it.
/// The token is no flag on purpose: arguments are visible to every user of the machine.
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(next_help_heading = "Settings")]
pub struct Settings {
    /// Address of the server: ws(s):// or http(s)://, with or without /ws
    #[arg(long, env = "NIXFLEET_URL", global = true, value_name = "URL")]
    pub url: Option<String>,
    /// File that holds the token; NIXFLEET_TOKEN (environment only) holds the token itself
    #[arg(long, env = "NIXFLEET_TOKEN_FILE", global = true, value_name = "FILE")]
    pub token_file: Option<String>,
    /// Git repository of the configuration; the agent keeps its own clone of it
    #[arg(long, env = "NIXFLEET_REPO_URL", global = true, value_name = "URL")]
    pub repo_url: Option<String>,
    /// Folder of the configuration: of the agent's own clone if a repository is given, otherwise an
    /// existing checkout that is only ever fast-forwarded
    #[arg(long, env = "NIXFLEET_REPO_DIR", global = true, value_name = "DIR")]
    pub repo_dir: Option<String>,
    /// Branch that is deployed [default: main]
    #[arg(long, env = "NIXFLEET_BRANCH", global = true, value_name = "BRANCH")]
    pub branch: Option<String>,
    /// Time between heartbeats [default: 5s]
    #[arg(long, env = "NIXFLEET_INTERVAL", global = true, value_name = "TIME")]
    pub interval: Option<String>,
    /// Name of this host [default: the system's host name without its domain]
    #[arg(long, env = "NIXFLEET_HOSTNAME", global = true, value_name = "NAME")]
    pub hostname: Option<String>,
    /// Folder for the agent's records [default: $STATE_DIRECTORY, for root /var/lib/nixfleet-agent,
    /// otherwise nixfleet-agent in the user's state folder]
    #[arg(long, env = "NIXFLEET_STATE_DIR", global = true, value_name = "DIR")]
    pub state_dir: Option<String>,
    /// nixos, darwin, home-manager or custom [default: what this machine is]
    #[arg(long, env = "NIXFLEET_PLATFORM", global = true, value_name = "NAME")]
    pub platform: Option<String>,
    /// Command that switches to the checked-out configuration; {repo} and {host} are filled in
    #[arg(
        long,
        env = "NIXFLEET_SWITCH_COMMAND",
        global = true,
        value_name = "COMMAND"
    )]
    pub switch_command: Option<String>,
    /// Command that tests this host, instead of hosts/<host>/tests/*.sh
    #[arg(
        long,
        env = "NIXFLEET_TEST_COMMAND",
        global = true,
        value_name = "COMMAND"
    )]
    pub test_command: Option<String>,
    /// Command that rolls back; {generation} is filled in (empty for the previous one)
    #[arg(
        long,
        env = "NIXFLEET_ROLLBACK_COMMAND",
        global = true,
        value_name = "COMMAND"
    )]
    pub rollback_command: Option<String>,
    /// Command that reboots the machine
    #[arg(
        long,
        env = "NIXFLEET_REBOOT_COMMAND",
        global = true,
        value_name = "COMMAND"
    )]
    pub reboot_command: Option<String>,
    /// Command that updates flake.lock in the folder it runs in, instead of nix; {input} is filled
    /// in (empty for all inputs)
    #[arg(
        long,
        env = "NIXFLEET_UPDATE_COMMAND",
        global = true,
        value_name = "COMMAND"
    )]
    pub update_command: Option<String>,
    /// Where updated inputs are pushed to: main (the deployed branch) or branch (a new one each
    /// time, for a pull request) [default: main]
    #[arg(
        long,
        env = "NIXFLEET_UPDATE_PUSH",
        global = true,
        value_name = "WHERE"
    )]
    pub update_push: Option<String>,
    /// Author of the commits that update inputs, like 'Name <mail@example.org>' [default: NixFleet
    /// on this host]
    #[arg(
        long,
        env = "NIXFLEET_COMMIT_AUTHOR",
        global = true,
        value_name = "AUTHOR"
    )]
    pub commit_author: Option<String>,
    /// Whether automation may update this host: true or false; a setting of the server overrides it
    #[arg(
        long,
        env = "NIXFLEET_AUTO_UPDATE",
        global = true,
        value_name = "YES_NO"
    )]
    pub auto_update: Option<String>,
    /// Place of this host in a rollout: lower numbers go first
    #[arg(
        long,
        env = "NIXFLEET_PRIORITY",
        global = true,
        value_name = "NUMBER",
        allow_hyphen_values = true
    )]
    pub priority: Option<String>,
    /// Whether this host goes first in a rollout, alone and watched: true or false
    #[arg(long, env = "NIXFLEET_CANARY", global = true, value_name = "YES_NO")]
    pub canary: Option<String>,
    /// Symbolic link whose target names the running system
    #[arg(long, env = "NIXFLEET_SYSTEM_LINK", global = true, value_name = "PATH")]
    pub system_link: Option<String>,
    /// Command that prints the name of the running system
    #[arg(
        long,
        env = "NIXFLEET_SYSTEM_COMMAND",
        global = true,
        value_name = "COMMAND"
    )]
    pub system_command: Option<String>,
    /// Time limit of one test [default: 5m]
    #[arg(long, env = "NIXFLEET_TEST_LIMIT", global = true, value_name = "TIME")]
    pub test_limit: Option<String>,
    /// Certificate authority of the server, as PEM
    #[arg(long, env = "NIXFLEET_CA_FILE", global = true, value_name = "FILE")]
    pub ca_file: Option<String>,
    /// File with an access token for the git repository over https
    #[arg(
        long,
        env = "NIXFLEET_GIT_TOKEN_FILE",
        global = true,
        value_name = "FILE"
    )]
    pub git_token_file: Option<String>,
    /// File with a private key for the git repository over ssh
    #[arg(
        long,
        env = "NIXFLEET_GIT_SSH_KEY_FILE",
        global = true,
        value_name = "FILE"
    )]
    pub git_ssh_key_file: Option<String>,
    /// Colour of this host on the page, like #7aa2f7
    #[arg(
        long,
        env = "NIXFLEET_THEME_COLOR",
        global = true,
        value_name = "COLOR"
    )]
    pub theme_color: Option<String>,
    /// Where this host is, in free words
    #[arg(long, env = "NIXFLEET_LOCATION", global = true, value_name = "TEXT")]
    pub location: Option<String>,
    /// What kind of device this is, in free words
    #[arg(long, env = "NIXFLEET_DEVICE_TYPE", global = true, value_name = "TEXT")]
    pub device_type: Option<String>,
}
