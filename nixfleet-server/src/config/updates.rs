//! Settings of the forge and of the update workflow.

use std::time::Duration;

use nixfleet_core::update::MergeMethod;
use secrecy::{ExposeSecret, SecretString};

use super::secrets::{Sources, configured};
use super::{ConfigError, Environment, parse_duration, parsed, set};
use crate::forge::{ApiAddress, ForgeKind, ForgeSettings, Patience, Phases, RepoName};
use crate::sources::Branch;

const DEFAULT_DELAY: Duration = Duration::from_secs(60 * 60);
const DEFAULT_POLL: Duration = Duration::from_secs(60 * 60);
const SHORTEST_POLL: Duration = Duration::from_secs(60);
const LONGEST_DELAY: Duration = Duration::from_secs(30 * 86_400);
/// With a token, an answer that nothing changed costs nothing; without one it is counted, and
/// there are only sixty an hour.
const TTL_WITH_TOKEN: Duration = Duration::from_secs(30);
const TTL_WITHOUT_TOKEN: Duration = Duration::from_secs(120);
const DEFAULT_LABEL: &str = "automated";
/// Who opens update pull requests on GitHub, unless it is set otherwise.
const GITHUB_ROBOT: &str = "github-actions[bot]";
const LONGEST_SECRET: usize = 512;

/// Flags of `serve` about the forge and updates.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct UpdateArgs {
    /// Repository on the forge, as owner/name; its pull requests are the updates
    #[arg(long, env = "NIXFLEET_GITHUB_REPO", value_name = "OWNER/NAME")]
    pub github_repo: Option<String>,
    /// Kind of forge: github, forgejo or gitea [default: github]
    #[arg(long, env = "NIXFLEET_FORGE", value_name = "KIND")]
    pub forge: Option<String>,
    /// Address of the forge's API [default: https://api.github.com]
    #[arg(long, env = "NIXFLEET_GITHUB_API_URL", value_name = "URL")]
    pub github_api_url: Option<String>,
    /// How long an answer of the forge about the branch counts as fresh [default: 30s, without a token 2m]
    #[arg(long, env = "NIXFLEET_GITHUB_POLL_TTL", value_name = "DURATION")]
    pub github_poll_ttl: Option<String>,
    /// File with the token for the forge
    #[arg(long, env = "NIXFLEET_GITHUB_TOKEN_FILE", value_name = "FILE")]
    pub github_token_file: Option<String>,
    /// File with the token that is used only for merges and reverts
    #[arg(long, env = "NIXFLEET_GITHUB_MERGE_TOKEN_FILE", value_name = "FILE")]
    pub github_merge_token_file: Option<String>,
    /// Merge and roll out updates that meet every condition without being asked [default: false]
    #[arg(long, env = "NIXFLEET_AUTO_MERGE", value_name = "BOOL")]
    pub auto_merge: Option<String>,
    /// How long an update must be unchanged before it is merged by itself; a bare number means minutes [default: 60]
    #[arg(long, env = "NIXFLEET_AUTO_MERGE_DELAY", value_name = "DURATION")]
    pub auto_merge_delay: Option<String>,
    /// How updates are merged: merge, squash or rebase [default: merge]
    #[arg(long, env = "NIXFLEET_MERGE_METHOD", value_name = "METHOD")]
    pub merge_method: Option<String>,
    /// Label that marks a pull request as an update [default: automated]
    #[arg(long, env = "NIXFLEET_UPDATE_LABEL", value_name = "LABEL")]
    pub update_label: Option<String>,
    /// Authors whose updates may be merged by themselves, separated by commas [default: on GitHub github-actions[bot], elsewhere nobody]
    #[arg(long, env = "NIXFLEET_UPDATE_AUTHORS", value_name = "LOGINS")]
    pub update_authors: Option<String>,
    /// Checks that must succeed, separated by commas [default: those of the last merged update]
    #[arg(long, env = "NIXFLEET_REQUIRED_CHECKS", value_name = "NAMES")]
    pub required_checks: Option<String>,
    /// Allow a revert as a commit on the branch, without a pull request [default: false]
    #[arg(long, env = "NIXFLEET_DIRECT_REVERT", value_name = "BOOL")]
    pub direct_revert: Option<String>,
    /// How often updates are looked for [default: 1h]
    #[arg(long, env = "NIXFLEET_UPDATE_POLL", value_name = "DURATION")]
    pub update_poll: Option<String>,
    /// File with the secret that signs webhooks of the forge
    #[arg(long, env = "NIXFLEET_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    pub webhook_secret_file: Option<String>,
    /// Offer updates that a chosen host makes with `nix flake update` [default: false]
    #[arg(long, env = "NIXFLEET_HOST_DRIVEN", value_name = "BOOL")]
    pub host_driven: Option<String>,
    /// Run the tests of a host after it was switched by hand, unless they are off for that host [default: true]
    #[arg(long, env = "NIXFLEET_TESTS_AFTER_SWITCH", value_name = "BOOL")]
    pub tests_after_switch: Option<String>,
}

/// How updates are found, merged and reverted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateSettings {
    /// Whether updates are merged without being asked.
    pub auto_merge: bool,
    /// How long an update must be unchanged before that.
    pub auto_merge_delay: Duration,
    /// How updates are merged.
    pub merge_method: MergeMethod,
    /// The label that marks one.
    pub label: String,
    /// Whose updates may be merged without being asked.
    pub authors: Vec<String>,
    /// The checks that must succeed; none means those of the last merged update.
    pub required_checks: Vec<String>,
    /// Whether a revert may be a commit on the branch.
    pub direct_revert: bool,
    /// How often updates are looked for.
    pub poll: Duration,
    /// Whether a chosen host may make updates.
    pub host_driven: bool,
    /// Whether hosts run their tests by themselves after a deploy by hand.
    pub tests_after_switch: bool,
}

/// All of it, checked.
pub(super) struct Updates {
    pub settings: UpdateSettings,
    pub forge: Option<ForgeSettings>,
    pub poll_ttl: Duration,
    pub webhook_secret: Option<SecretString>,
}

const TOKEN: Sources = Sources {
    setting: "NIXFLEET_GITHUB_TOKEN",
    file_setting: "NIXFLEET_GITHUB_TOKEN_FILE",
    name: "github-token",
    missing: "not set",
};
const MERGE_TOKEN: Sources = Sources {
    setting: "NIXFLEET_GITHUB_MERGE_TOKEN",
    file_setting: "NIXFLEET_GITHUB_MERGE_TOKEN_FILE",
    name: "github-merge-token",
    missing: "not set",
};
const WEBHOOK_SECRET: Sources = Sources {
    setting: "NIXFLEET_WEBHOOK_SECRET",
    file_setting: "NIXFLEET_WEBHOOK_SECRET_FILE",
    name: "webhook-secret",
    missing: "not set",
};

impl Updates {
    pub fn load(
        args: &UpdateArgs,
        environment: Environment<'_>,
        branch: &Branch,
    ) -> Result<Self, ConfigError> {
        let kind = match set(&args.forge) {
            Some(text) => parsed::<ForgeKind>("NIXFLEET_FORGE", text)?,
            None => ForgeKind::GitHub,
        };
        let repo = set(&args.github_repo)
            .map(|text| parsed::<RepoName>("NIXFLEET_GITHUB_REPO", text))
            .transpose()?;
        let api = api(kind, set(&args.github_api_url), repo.is_some())?;
        let token = token(&TOKEN, set(&args.github_token_file), environment)?;
        let merge_token = token_for_changes(args, environment)?;
        let webhook_secret =
            configured(&WEBHOOK_SECRET, set(&args.webhook_secret_file), environment)?;
        if webhook_secret
            .as_ref()
            .is_some_and(|secret| secret.expose_secret().len() < 16)
        {
            tracing::warn!(
                setting = WEBHOOK_SECRET.setting,
                "the webhook secret is short enough to be guessed; use at least 32 random characters"
            );
        }
        let settings = UpdateSettings::load(args, kind)?;
        if settings.auto_merge {
            let needs = |setting: &str| {
                let problem = format!("true needs {setting} as well; set it, or leave this out");
                ConfigError::new("NIXFLEET_AUTO_MERGE", problem)
            };
            if repo.is_none() {
                return Err(needs("NIXFLEET_GITHUB_REPO"));
            }
            if token.is_none() && merge_token.is_none() {
                return Err(needs(TOKEN.setting));
            }
        }
        let poll_ttl = poll_ttl(set(&args.github_poll_ttl), token.is_some())?;
        let label = settings.label.clone();
        let forge = repo.zip(api).map(|(repo, api)| ForgeSettings {
            kind,
            api,
            repo,
            branch: branch.clone(),
            token,
            merge_token,
            label,
            phases: Phases::default(),
            patience: Patience::default(),
        });
        Ok(Self {
            settings,
            forge,
            poll_ttl,
            webhook_secret,
        })
    }
}

impl UpdateSettings {
    fn load(args: &UpdateArgs, kind: ForgeKind) -> Result<Self, ConfigError> {
        let authors = match (set(&args.update_authors), kind) {
            (Some(text), _) => list("NIXFLEET_UPDATE_AUTHORS", text)?,
            (None, ForgeKind::GitHub) => vec![GITHUB_ROBOT.to_owned()],
            (None, ForgeKind::Forgejo | ForgeKind::Gitea) => Vec::new(),
        };
        let checks = set(&args.required_checks);
        let poll = match set(&args.update_poll) {
            Some(text) => super::duration("NIXFLEET_UPDATE_POLL", Some(text), DEFAULT_POLL)?,
            None => DEFAULT_POLL,
        };
        if poll < SHORTEST_POLL {
            let problem = format!("{poll:?} is too short; expected at least 1m");
            return Err(ConfigError::new("NIXFLEET_UPDATE_POLL", problem));
        }
        Ok(Self {
            auto_merge: flag("NIXFLEET_AUTO_MERGE", set(&args.auto_merge), false)?,
            auto_merge_delay: minutes(
                "NIXFLEET_AUTO_MERGE_DELAY",
                set(&args.auto_merge_delay),
                DEFAULT_DELAY,
            )?,
            merge_method: method(set(&args.merge_method))?,
            label: set(&args.update_label).unwrap_or(DEFAULT_LABEL).to_owned(),
            authors,
            required_checks: checks
                .map(|text| list("NIXFLEET_REQUIRED_CHECKS", text))
                .transpose()?
                .unwrap_or_default(),
            direct_revert: flag("NIXFLEET_DIRECT_REVERT", set(&args.direct_revert), false)?,
            poll,
            host_driven: flag("NIXFLEET_HOST_DRIVEN", set(&args.host_driven), false)?,
            tests_after_switch: flag(
                "NIXFLEET_TESTS_AFTER_SWITCH",
                set(&args.tests_after_switch),
                true,
            )?,
        })
    }
}

/// `true` or `false`, in the usual spellings; not set is false.
fn flag(setting: &'static str, text: Option<&str>, default: bool) -> Result<bool, ConfigError> {
    let Some(text) = text else { return Ok(default) };
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(ConfigError::new(
            setting,
            format!("{text:?}: expected true or false"),
        )),
    }
}

/// A duration of which a bare number means minutes.
fn minutes(
    setting: &'static str,
    text: Option<&str>,
    default: Duration,
) -> Result<Duration, ConfigError> {
    let Some(text) = text else {
        return Ok(default);
    };
    let expected = || {
        let problem = format!(
            "{text:?}: expected a number of minutes like 60, or a duration like 90m or 2h, of at \
             most 30 days"
        );
        ConfigError::new(setting, problem)
    };
    let bare = text.bytes().all(|byte| byte.is_ascii_digit());
    let with_unit = if bare {
        format!("{text}m")
    } else {
        text.to_owned()
    };
    let delay = parse_duration(&with_unit).map_err(|_| expected())?;
    if delay > LONGEST_DELAY {
        return Err(expected());
    }
    Ok(delay)
}

fn method(text: Option<&str>) -> Result<MergeMethod, ConfigError> {
    match text {
        None | Some("merge") => Ok(MergeMethod::Merge),
        Some("squash") => Ok(MergeMethod::Squash),
        Some("rebase") => Ok(MergeMethod::Rebase),
        Some(text) => Err(ConfigError::new(
            "NIXFLEET_MERGE_METHOD",
            format!("{text:?}: expected merge, squash or rebase"),
        )),
    }
}

/// Names separated by commas; at least one.
fn list(setting: &'static str, text: &str) -> Result<Vec<String>, ConfigError> {
    let names: Vec<String> = text
        .split(',')
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    let bad = |name: &String| name.len() > 200 || name.chars().any(char::is_control);
    if names.is_empty() || names.iter().any(bad) {
        let problem = format!("{text:?}: expected names separated by commas");
        return Err(ConfigError::new(setting, problem));
    }
    Ok(names)
}

fn api(
    kind: ForgeKind,
    text: Option<&str>,
    has_repo: bool,
) -> Result<Option<ApiAddress>, ConfigError> {
    const SETTING: &str = "NIXFLEET_GITHUB_API_URL";
    match (text, kind) {
        (Some(text), _) => ApiAddress::configured(text)
            .map(Some)
            .map_err(|error| ConfigError::new(SETTING, error.to_string())),
        (None, ForgeKind::GitHub) => Ok(ApiAddress::github()),
        (None, ForgeKind::Forgejo | ForgeKind::Gitea) if has_repo => Err(ConfigError::new(
            SETTING,
            "not set; expected the address of the API, like https://forge.example/api/v1",
        )),
        (None, ForgeKind::Forgejo | ForgeKind::Gitea) => Ok(None),
    }
}

fn poll_ttl(text: Option<&str>, has_token: bool) -> Result<Duration, ConfigError> {
    const SETTING: &str = "NIXFLEET_GITHUB_POLL_TTL";
    let default = if has_token {
        TTL_WITH_TOKEN
    } else {
        TTL_WITHOUT_TOKEN
    };
    let ttl = super::duration(SETTING, text, default)?;
    if ttl.is_zero() {
        return Err(ConfigError::new(
            SETTING,
            "expected more than 0s, like 30s: the forge limits how often it may be asked",
        ));
    }
    if !has_token && ttl < TTL_WITHOUT_TOKEN {
        tracing::warn!(
            setting = SETTING,
            "without a token a forge may refuse to answer so often; set NIXFLEET_GITHUB_TOKEN"
        );
    }
    Ok(ttl)
}

fn token_for_changes(
    args: &UpdateArgs,
    environment: Environment<'_>,
) -> Result<Option<SecretString>, ConfigError> {
    token(
        &MERGE_TOKEN,
        set(&args.github_merge_token_file),
        environment,
    )
}

fn token(
    sources: &Sources,
    file: Option<&str>,
    environment: Environment<'_>,
) -> Result<Option<SecretString>, ConfigError> {
    let Some(token) = configured(sources, file, environment)? else {
        return Ok(None);
    };
    let text = token.expose_secret();
    let usable = (8..=LONGEST_SECRET).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if usable {
        return Ok(Some(token));
    }
    // What was set by mistake is not repeated.
    Err(ConfigError::new(
        sources.setting,
        "expected a token of 8 to 512 visible ASCII characters without spaces",
    ))
}
