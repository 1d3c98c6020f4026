//! The configuration of `serve`: flags and environment, parsed once, refused with the name of the
//! setting that is wrong.

mod duration;
mod listen;
mod notify;
mod secrets;
mod updates;

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

pub use duration::{BadDuration, parse_duration};
pub use listen::Listen;
pub use notify::{NotifyArgs, NotifySettings, Ntfy, SignedWebhook};
pub use secrets::{Generated, Secrets};
pub use updates::{UpdateArgs, UpdateSettings};

use crate::auth::PasswordHash;
use crate::forge::ForgeSettings;
use crate::net::{Limits, Site};
use crate::sources::{Branch, Remote, RemoteError};
use updates::Updates;

const LONGEST_GRACE: Duration = Duration::from_secs(60);
const DEFAULT_FETCH_TTL: Duration = Duration::from_secs(5);

/// Flags of `serve`. An empty value is as good as none.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ServeArgs {
    /// Address to listen on; `:8000` means every interface [default: 127.0.0.1:8000]
    #[arg(long, env = "NIXFLEET_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Directory for the database and generated secrets [default: $STATE_DIRECTORY or the XDG data directory]
    #[arg(long, env = "NIXFLEET_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Git remote (URL or path) that says what should run
    #[arg(
        long,
        env = "NIXFLEET_REPO",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub repo: Option<String>,
    /// Branch of the remote [default: main]
    #[arg(long, env = "NIXFLEET_BRANCH", value_name = "NAME")]
    pub branch: Option<String>,
    /// URL of a version.json that says what should run
    #[arg(
        long,
        env = "NIXFLEET_VERSION_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub version_url: Option<String>,
    /// How long an answer of the remote counts as fresh [default: 5s]
    #[arg(long, env = "NIXFLEET_VERSION_FETCH_TTL", value_name = "DURATION")]
    pub version_fetch_ttl: Option<String>,
    /// How long a failing remote keeps its last answer, 0 to 60 s [default: 0]
    #[arg(long, env = "NIXFLEET_REMOTE_GRACE", value_name = "DURATION")]
    pub remote_grace: Option<String>,
    /// Agent version that counts as current [default: the version of this server]
    #[arg(long, env = "NIXFLEET_EXPECTED_AGENT_VERSION", value_name = "VERSION")]
    pub expected_agent_version: Option<String>,
    /// Address under which people and agents reach this server, like https://fleet.example
    #[arg(long, env = "NIXFLEET_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// Further host names to answer for, separated by commas
    #[arg(long, env = "NIXFLEET_ALLOWED_HOSTS", value_name = "NAMES")]
    pub allowed_hosts: Option<String>,
    /// Open connections that one address may have; raise it if all agents come through one proxy [default: 256]
    #[arg(long, env = "NIXFLEET_CONNECTIONS_PER_ADDRESS", value_name = "NUMBER")]
    pub connections_per_address: Option<String>,
    /// File with the token that agents present
    #[arg(long, env = "NIXFLEET_AGENT_TOKEN_FILE", value_name = "FILE")]
    pub agent_token_file: Option<String>,
    /// File with the hash of the dashboard's password
    #[arg(long, env = "NIXFLEET_PASSWORD_HASH_FILE", value_name = "FILE")]
    pub password_hash_file: Option<String>,
    /// What to log, like `info` or `nixfleet_server=debug` [default: info]
    #[arg(long, env = "NIXFLEET_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// About the forge and updates.
    #[command(flatten)]
    pub updates: UpdateArgs,
    /// About notifications.
    #[command(flatten)]
    pub notify: NotifyArgs,
}

/// What `--help` says about secrets, which have no flag.
pub const AFTER_HELP: &str = "\
Secrets never stand on the command line:
  NIXFLEET_AGENT_TOKEN      token that agents present (or NIXFLEET_AGENT_TOKEN_FILE)
  NIXFLEET_PASSWORD_HASH    bcrypt or argon2id hash of the dashboard's password
                            (or NIXFLEET_PASSWORD_HASH_FILE); see `nixfleet-server hash-password`
  NIXFLEET_GITHUB_TOKEN     token for the forge: contents and pull requests of the one repository
  NIXFLEET_GITHUB_MERGE_TOKEN
                            token that is used only to merge and revert; the other may then be
                            one that only reads
  NIXFLEET_WEBHOOK_SECRET   secret that signs webhooks of the forge; without it all are refused
  NIXFLEET_NOTIFY_NTFY_TOKEN, NIXFLEET_NOTIFY_WEBHOOK_SECRET
                            token for ntfy, secret that signs notices to a webhook
Each of them may be a file (NIXFLEET_..._FILE), or a systemd credential named agent-token,
password-hash, github-token, github-merge-token, webhook-secret, ntfy-token and
notify-webhook-secret.
On a loopback address the first two are made up, kept in the data directory and printed once if they are not
set; on any other address the server does not start without them.
Durations are written like 1s, 5m or 24h; a bare number means seconds.";

/// A checked configuration.
#[derive(Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: Listen,
    /// Where data is kept; exists, and is readable by the owner only.
    pub data_dir: PathBuf,
    /// The hash of the dashboard's password.
    pub password: PasswordHash,
    /// The token that agents share.
    pub agent_token: SecretString,
    /// Secrets that were made up just now, to be printed once.
    pub generated: Vec<Generated>,
    /// The git remote.
    pub repo: Option<Remote>,
    /// The branch of the git remote.
    pub branch: Branch,
    /// The URL of version.json.
    pub version_url: Option<Url>,
    /// How long an answer of the remote counts as fresh.
    pub fetch_ttl: Duration,
    /// How long a failing remote keeps its last answer; at most a minute.
    pub remote_grace: Duration,
    /// The agent version that counts as current.
    pub expected_agent_version: String,
    /// The names of this server.
    pub site: Site,
    /// The URL to show to a person.
    pub display_url: String,
    /// Bounds of the network side.
    pub limits: Limits,
    /// The forge.
    pub forge: Option<ForgeSettings>,
    /// How updates are found, merged and reverted.
    pub updates: UpdateSettings,
    /// What signs webhooks of the forge; without it they are refused.
    pub webhook_secret: Option<SecretString>,
    /// Where notices go.
    pub notify: NotifySettings,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct ConfigError {
    /// The name of the setting, as in the environment.
    pub setting: &'static str,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl ConfigError {
    /// A setting and what is wrong with it.
    pub fn new(setting: &'static str, problem: impl Into<String>) -> Self {
        Self {
            setting,
            problem: problem.into(),
        }
    }
}

/// Reads a variable of the environment; empty values count as unset.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The environment of this process.
#[must_use]
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.trim().is_empty())
}

impl Config {
    /// Checks flags and environment. Makes the data directory, and secrets where that is allowed.
    ///
    /// # Errors
    /// [`ConfigError`] for the first setting that cannot be used.
    pub fn load(args: &ServeArgs, environment: Environment<'_>) -> Result<Self, ConfigError> {
        let listen: Listen = match set(&args.listen) {
            Some(text) => parsed("NIXFLEET_LISTEN", text)?,
            None => Listen::default(),
        };
        let public_url = match set(&args.public_url) {
            Some(text) => Some(public_url(text)?),
            None => None,
        };
        let version_url = match set(&args.version_url) {
            Some(text) => Some(web_url("NIXFLEET_VERSION_URL", text)?),
            None => None,
        };
        let fetch_ttl = duration(
            "NIXFLEET_VERSION_FETCH_TTL",
            set(&args.version_fetch_ttl),
            DEFAULT_FETCH_TTL,
        )?;
        let remote_grace = duration(
            "NIXFLEET_REMOTE_GRACE",
            set(&args.remote_grace),
            Duration::ZERO,
        )?;
        if remote_grace > LONGEST_GRACE {
            return Err(ConfigError::new(
                "NIXFLEET_REMOTE_GRACE",
                format!("{remote_grace:?} is too long; expected 0s to 60s"),
            ));
        }
        let branch = Branch::parse(set(&args.branch).unwrap_or("main"))
            .map_err(|error| refused("NIXFLEET_BRANCH", &error))?;
        let repo = remote(set(&args.repo))?;
        let limits = limits(set(&args.connections_per_address))?;
        let site = site(
            listen.is_loopback(),
            public_url.as_ref(),
            set(&args.allowed_hosts),
        )?;
        let updates = Updates::load(&args.updates, environment, &branch)?;
        let notify = NotifySettings::load(&args.notify, environment)?;
        let from_forge = repo.is_none() && updates.forge.is_some();
        let data_dir = data_dir(set(&args.data_dir), environment)?;
        let secrets = Secrets::load(args, environment, &listen, &data_dir)?;
        let expected = set(&args.expected_agent_version).unwrap_or(env!("CARGO_PKG_VERSION"));
        Ok(Self {
            display_url: public_url.map_or_else(|| listen.display_url(), |url| url.to_string()),
            listen,
            data_dir,
            password: secrets.password,
            agent_token: secrets.agent_token,
            generated: secrets.generated,
            repo,
            branch,
            version_url,
            // The API of a forge has a time of its own, because it counts requests.
            fetch_ttl: if from_forge {
                updates.poll_ttl
            } else {
                fetch_ttl
            },
            remote_grace,
            expected_agent_version: expected.to_owned(),
            site,
            limits,
            forge: updates.forge,
            updates: updates.settings,
            webhook_secret: updates.webhook_secret,
            notify,
        })
    }
}

/// The directory for data: the one named, else systemd's, else the user's.
///
/// # Errors
/// [`ConfigError`] if there is none or it cannot be made.
pub fn data_dir(named: Option<&str>, environment: Environment<'_>) -> Result<PathBuf, ConfigError> {
    const SETTING: &str = "NIXFLEET_DATA_DIR";
    let systemd = || {
        let list = environment("STATE_DIRECTORY")?;
        list.split(':').next().map(PathBuf::from)
    };
    let user = || {
        let base = environment("XDG_DATA_HOME")
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute());
        let home = || Some(PathBuf::from(environment("HOME")?).join(".local/share"));
        Some(base.or_else(home)?.join("nixfleet-server"))
    };
    let dir = named
        .map(PathBuf::from)
        .or_else(systemd)
        .or_else(user)
        .ok_or_else(|| {
            ConfigError::new(SETTING, "not set, and there is no HOME to fall back to")
        })?;
    let failed = |error: std::io::Error| {
        ConfigError::new(SETTING, format!("cannot use {}: {error}", dir.display()))
    };
    secrets::make_private_dir(&dir).map_err(failed)?;
    Ok(dir)
}

fn set(value: &Option<String>) -> Option<&str> {
    value
        .as_deref()
        .map(str::trim)
        .filter(|value| !value.is_empty())
}

fn parsed<T>(setting: &'static str, text: &str) -> Result<T, ConfigError>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error: T::Err| ConfigError::new(setting, format!("{text:?}: {error}")))
}

fn duration(
    setting: &'static str,
    text: Option<&str>,
    default: Duration,
) -> Result<Duration, ConfigError> {
    let Some(text) = text else {
        return Ok(default);
    };
    parse_duration(text).map_err(|error| ConfigError::new(setting, format!("{text:?}: {error}")))
}

fn web_url(setting: &'static str, text: &str) -> Result<Url, ConfigError> {
    let url: Url = parsed(setting, text)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(ConfigError::new(
            setting,
            format!("{text:?}: expected an http or https URL"),
        ));
    }
    Ok(url)
}

fn public_url(text: &str) -> Result<Url, ConfigError> {
    const SETTING: &str = "NIXFLEET_PUBLIC_URL";
    let url = web_url(SETTING, text)?;
    let bare = matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !bare {
        return Err(ConfigError::new(
            SETTING,
            "expected scheme, host and perhaps a port, like https://fleet.example",
        ));
    }
    Ok(url)
}

fn site(
    loopback: bool,
    public_url: Option<&Url>,
    names: Option<&str>,
) -> Result<Site, ConfigError> {
    let names: Vec<String> = names
        .unwrap_or_default()
        .split(',')
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    let bad = names.iter().find(|name| {
        !name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    });
    match bad {
        Some(bad) => Err(ConfigError::new(
            "NIXFLEET_ALLOWED_HOSTS",
            format!("{bad:?} is not a host name; give names without scheme and port"),
        )),
        None => Ok(Site::new(loopback, public_url, &names)),
    }
}

fn remote(text: Option<&str>) -> Result<Option<Remote>, ConfigError> {
    let parse = |text| Remote::parse(text).map_err(|error| refused("NIXFLEET_REPO", &error));
    text.map(parse).transpose()
}

fn refused(setting: &'static str, error: &RemoteError) -> ConfigError {
    ConfigError::new(setting, error.to_string())
}

fn limits(per_address: Option<&str>) -> Result<Limits, ConfigError> {
    const SETTING: &str = "NIXFLEET_CONNECTIONS_PER_ADDRESS";
    let mut limits = Limits::default();
    if let Some(text) = per_address {
        limits.connections_per_address = parsed(SETTING, text)?;
        if limits.connections_per_address == 0 {
            return Err(ConfigError::new(SETTING, "expected at least 1"));
        }
    }
    Ok(limits)
}

#[cfg(test)]
mod tests;
