use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;

const HASH: &str = "$2b$04$abcdefghijklmnopqrstuuK3ZlPCg7JTh8mKfOGuAgoUxkYhBGc7i";

struct Setup {
    dir: TempDir,
    variables: BTreeMap<&'static str, String>,
    args: ServeArgs,
}

impl Setup {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let args = ServeArgs {
            data_dir: Some(dir.path().join("data").display().to_string()),
            ..ServeArgs::default()
        };
        Self {
            dir,
            variables: BTreeMap::new(),
            args,
        }
    }

    fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.variables.insert(name, value.to_owned());
        self
    }

    fn args(mut self, change: impl FnOnce(&mut ServeArgs)) -> Self {
        change(&mut self.args);
        self
    }

    fn load(&self) -> Result<Config, ConfigError> {
        Config::load(&self.args, &|name: &str| self.variables.get(name).cloned())
    }

    fn refusal(&self) -> String {
        self.load().unwrap_err().to_string()
    }
}

fn both_secrets() -> Setup {
    Setup::new()
        .variable("NIXFLEET_PASSWORD_HASH", HASH)
        .variable("NIXFLEET_AGENT_TOKEN", "0123456789abcdef0123")
}

#[test]
fn on_loopback_missing_secrets_are_made_once_kept_privately_and_reused() {
    let setup = Setup::new();
    let first = setup.load().unwrap();
    let names: Vec<_> = first.generated.iter().map(|made| made.what).collect();
    assert_eq!(names, ["password", "agent token"]);
    for made in &first.generated {
        let mode = std::fs::metadata(&made.kept_in)
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{}", made.kept_in.display());
    }
    let dir_mode = std::fs::metadata(&first.data_dir)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(dir_mode & 0o777, 0o700);
    let kept = std::fs::read_to_string(first.data_dir.join("password-hash")).unwrap();
    assert!(
        !kept.contains(first.generated[0].secret.expose_secret()),
        "only the hash is kept"
    );

    let second = setup.load().unwrap();
    assert!(second.generated.is_empty());
    assert_eq!(
        second.agent_token.expose_secret(),
        first.agent_token.expose_secret()
    );
    assert_eq!(second.password.expose(), first.password.expose());
}

#[test]
fn on_the_network_the_server_refuses_to_start_without_secrets_and_says_what_to_set() {
    for listen in [":8000", "0.0.0.0:8000", "192.0.2.1:8000", "[::]:8000"] {
        let open = |args: &mut ServeArgs| args.listen = Some(listen.to_owned());
        let nothing = Setup::new().args(open).refusal();
        assert!(nothing.contains("NIXFLEET_PASSWORD_HASH"), "{nothing}");
        let no_token = Setup::new()
            .variable("NIXFLEET_PASSWORD_HASH", HASH)
            .args(open)
            .refusal();
        assert!(
            no_token.starts_with("NIXFLEET_AGENT_TOKEN: not set"),
            "{no_token}"
        );
        let complete = both_secrets().args(open).load().unwrap();
        assert!(complete.generated.is_empty());
    }
}

#[test]
fn secrets_kept_from_loopback_do_not_open_the_network() {
    let setup = Setup::new();
    setup.load().unwrap();
    let exposed = setup.args(|args| args.listen = Some(":8000".to_owned()));
    assert!(
        exposed
            .refusal()
            .starts_with("NIXFLEET_PASSWORD_HASH: not set")
    );
}

#[test]
fn sec02_an_empty_token_is_no_token() {
    for empty in ["", " ", "\n"] {
        let setup = both_secrets()
            .variable("NIXFLEET_AGENT_TOKEN", empty)
            .args(|args| args.listen = Some(":8000".to_owned()));
        assert!(
            setup.refusal().starts_with("NIXFLEET_AGENT_TOKEN: not set"),
            "{empty:?}"
        );
    }
    let setup = both_secrets();
    let file = setup.dir.path().join("token");
    std::fs::write(&file, "\n").unwrap();
    let mut setup = setup.args(|args| args.agent_token_file = Some(file.display().to_string()));
    setup.variables.remove("NIXFLEET_AGENT_TOKEN");
    assert!(setup.refusal().contains("empty"), "{}", setup.refusal());
}

#[test]
fn secrets_come_from_files_and_systemd_credentials_but_from_one_place_only() {
    let setup = Setup::new();
    let folder = setup.dir.path().to_owned();
    std::fs::write(folder.join("agent-token"), "from-systemd-0123456789\n").unwrap();
    std::fs::write(folder.join("hash"), format!("{HASH}\n")).unwrap();
    let setup = setup
        .variable("CREDENTIALS_DIRECTORY", &folder.display().to_string())
        .args(|args| args.password_hash_file = Some(folder.join("hash").display().to_string()));
    let config = setup.load().unwrap();
    assert_eq!(
        config.agent_token.expose_secret(),
        "from-systemd-0123456789"
    );
    assert_eq!(config.password.expose(), HASH);
    assert!(config.generated.is_empty());

    let twice = setup.variable("NIXFLEET_PASSWORD_HASH", HASH).refusal();
    assert!(twice.contains("NIXFLEET_PASSWORD_HASH_FILE"), "{twice}");
    let gone = both_secrets().args(|args| args.agent_token_file = Some("/nonexistent".to_owned()));
    assert!(gone.refusal().contains("NIXFLEET_AGENT_TOKEN"));
}

#[test]
fn a_bad_value_names_its_setting_and_what_would_be_right() {
    type Change = fn(&mut ServeArgs);
    let cases: [(&str, Change); 26] = [
        ("NIXFLEET_LISTEN", |args| {
            args.listen = Some("nonsense".to_owned())
        }),
        ("NIXFLEET_VERSION_URL", |args| {
            args.version_url = Some("ftp://x/y".to_owned())
        }),
        ("NIXFLEET_VERSION_URL", |args| {
            args.version_url = Some("not a url".to_owned())
        }),
        ("NIXFLEET_VERSION_FETCH_TTL", |args| {
            args.version_fetch_ttl = Some("soon".to_owned())
        }),
        ("NIXFLEET_REMOTE_GRACE", |args| {
            args.remote_grace = Some("61s".to_owned())
        }),
        ("NIXFLEET_BRANCH", |args| {
            args.branch = Some("--upload-pack=x".to_owned())
        }),
        ("NIXFLEET_REPO", |args| {
            args.repo = Some("--upload-pack=x".to_owned())
        }),
        ("NIXFLEET_PUBLIC_URL", |args| {
            args.public_url = Some("https://x/path".to_owned())
        }),
        ("NIXFLEET_ALLOWED_HOSTS", |args| {
            args.allowed_hosts = Some("https://x".to_owned())
        }),
        ("NIXFLEET_CONNECTIONS_PER_ADDRESS", |args| {
            args.connections_per_address = Some("0".to_owned());
        }),
        ("NIXFLEET_GITHUB_REPO", |args| {
            args.updates.github_repo = Some("https://github.com/a/b".to_owned());
        }),
        ("NIXFLEET_FORGE", |args| {
            args.updates.forge = Some("sourcehut".to_owned());
        }),
        ("NIXFLEET_GITHUB_API_URL", |args| {
            args.updates.github_api_url = Some("http://forge.example/api/v1".to_owned());
        }),
        ("NIXFLEET_GITHUB_API_URL", |args| {
            args.updates.forge = Some("forgejo".to_owned());
            args.updates.github_repo = Some("a/b".to_owned());
        }),
        ("NIXFLEET_GITHUB_POLL_TTL", |args| {
            args.updates.github_poll_ttl = Some("0".to_owned());
        }),
        ("NIXFLEET_AUTO_MERGE", |args| {
            args.updates.auto_merge = Some("maybe".to_owned());
        }),
        ("NIXFLEET_AUTO_MERGE", |args| {
            args.updates.auto_merge = Some("true".to_owned());
        }),
        ("NIXFLEET_AUTO_MERGE_DELAY", |args| {
            args.updates.auto_merge_delay = Some("-5".to_owned());
        }),
        ("NIXFLEET_AUTO_MERGE_DELAY", |args| {
            args.updates.auto_merge_delay = Some("60 minutes".to_owned());
        }),
        ("NIXFLEET_MERGE_METHOD", |args| {
            args.updates.merge_method = Some("octopus".to_owned());
        }),
        ("NIXFLEET_UPDATE_AUTHORS", |args| {
            args.updates.update_authors = Some(" , ".to_owned());
        }),
        ("NIXFLEET_UPDATE_POLL", |args| {
            args.updates.update_poll = Some("5s".to_owned());
        }),
        ("NIXFLEET_HOST_DRIVEN", |args| {
            args.updates.host_driven = Some("2".to_owned());
        }),
        ("NIXFLEET_NOTIFY_APPRISE_URL", |args| {
            args.notify.notify_apprise_url = Some("http://apprise.example/notify/k".to_owned());
        }),
        ("NIXFLEET_NOTIFY_NTFY_URL", |args| {
            args.notify.notify_ntfy_url = Some("https://ntfy.sh/".to_owned());
        }),
        ("NIXFLEET_NOTIFY_WEBHOOK_SECRET", |args| {
            args.notify.notify_webhook_url = Some("https://hooks.example/x".to_owned());
        }),
    ];
    for (setting, change) in cases {
        let refusal = both_secrets().args(change).refusal();
        assert!(refusal.starts_with(&format!("{setting}: ")), "{refusal}");
    }
    let refusal = both_secrets()
        .variable("NIXFLEET_PASSWORD_HASH", "hunter2")
        .refusal();
    assert!(
        refusal.starts_with("NIXFLEET_PASSWORD_HASH: expected a bcrypt hash"),
        "{refusal}"
    );
    assert!(
        !refusal.contains("hunter2"),
        "a password set by mistake is not repeated"
    );
    let refusal = both_secrets()
        .variable("NIXFLEET_AGENT_TOKEN", "a b")
        .refusal();
    assert!(refusal.starts_with("NIXFLEET_AGENT_TOKEN: "), "{refusal}");
}

#[test]
fn defaults_and_empty_values_are_the_same() {
    let filled = both_secrets().load().unwrap();
    let emptied = both_secrets()
        .args(|args| {
            let empty = || Some(String::new());
            args.listen = empty();
            args.branch = empty();
            args.repo = empty();
            args.version_url = empty();
            args.version_fetch_ttl = empty();
            args.remote_grace = empty();
            args.expected_agent_version = empty();
            args.public_url = empty();
        })
        .load()
        .unwrap();
    for config in [filled, emptied] {
        assert_eq!(config.listen.to_string(), "127.0.0.1:8000");
        assert_eq!(config.branch.as_str(), "main");
        assert!(config.repo.is_none() && config.version_url.is_none());
        assert_eq!(config.fetch_ttl, Duration::from_secs(5));
        assert_eq!(config.remote_grace, Duration::ZERO);
        assert_eq!(config.expected_agent_version, env!("CARGO_PKG_VERSION"));
        assert_eq!(config.display_url, "http://127.0.0.1:8000/");
    }
}

#[test]
fn the_data_directory_is_the_named_one_then_systemds_then_the_users() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let (state, xdg, home) = (format!("{}:/second", at("state")), at("xdg"), at("home"));
    let all = [
        ("STATE_DIRECTORY", state),
        ("XDG_DATA_HOME", xdg),
        ("HOME", home),
    ];
    let expected = [
        "state",
        "xdg/nixfleet-server",
        "home/.local/share/nixfleet-server",
    ];
    for (skip, expected) in expected.iter().enumerate() {
        let environment = |name: &str| {
            let found = all.iter().skip(skip).find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone())
        };
        assert_eq!(
            data_dir(None, &environment).unwrap(),
            dir.path().join(expected)
        );
        assert_eq!(
            data_dir(Some(&at("own")), &environment).unwrap(),
            dir.path().join("own")
        );
    }
    let nothing = data_dir(None, &|_: &str| None).unwrap_err().to_string();
    assert!(
        nothing.starts_with("NIXFLEET_DATA_DIR: not set"),
        "{nothing}"
    );
}

#[test]
fn a_refused_start_makes_nothing_up_that_nobody_was_shown() {
    let refused = Setup::new().variable("NIXFLEET_AGENT_TOKEN", "a b");
    assert!(refused.refusal().starts_with("NIXFLEET_AGENT_TOKEN"));
    let corrected = refused.variable("NIXFLEET_AGENT_TOKEN", "0123456789abcdef0123");
    let names: Vec<_> = corrected
        .load()
        .unwrap()
        .generated
        .iter()
        .map(|made| made.what)
        .collect();
    assert_eq!(names, ["password"], "made now, and shown now");
}

#[test]
fn a_delay_of_automatic_merges_is_in_minutes_unless_it_says_otherwise() {
    for (text, minutes) in [
        ("", 60),
        ("60", 60),
        ("5", 5),
        ("0", 0),
        ("90m", 90),
        ("1h30m", 90),
    ] {
        let setup =
            both_secrets().args(|args| args.updates.auto_merge_delay = Some(text.to_owned()));
        let delay = setup.load().unwrap().updates.auto_merge_delay;
        assert_eq!(delay, Duration::from_secs(60 * minutes), "{text:?}");
    }
    let bad = both_secrets().args(|args| args.updates.auto_merge_delay = Some("soon".to_owned()));
    let refusal = bad.refusal();
    assert!(
        refusal.contains("\"soon\"") && refusal.contains("90m"),
        "{refusal}"
    );
}

#[test]
fn updates_are_off_and_careful_unless_somebody_says_otherwise() {
    let config = both_secrets().load().unwrap();
    assert!(config.forge.is_none() && config.webhook_secret.is_none());
    let updates = config.updates;
    assert!(!updates.auto_merge && !updates.direct_revert && !updates.host_driven);
    assert_eq!(updates.label, "automated");
    assert_eq!(updates.authors, ["github-actions[bot]"]);
    assert!(updates.required_checks.is_empty());
    assert_eq!(updates.poll, Duration::from_secs(3600));

    let full = both_secrets()
        .variable("NIXFLEET_GITHUB_TOKEN", "ghp_0123456789")
        .args(|args| {
            let some = |text: &str| Some(text.to_owned());
            args.updates.github_repo = some("nixfleet/hosts");
            args.updates.auto_merge = some("yes");
            args.updates.merge_method = some("squash");
            args.updates.update_authors = some("renovate[bot], robot");
            args.updates.required_checks = some("build,check");
            args.updates.direct_revert = some("true");
        });
    let config = full.load().unwrap();
    assert!(config.updates.auto_merge && config.updates.direct_revert);
    assert_eq!(config.updates.authors, ["renovate[bot]", "robot"]);
    assert_eq!(config.updates.required_checks, ["build", "check"]);
    let forge = config.forge.unwrap();
    assert_eq!(forge.repo.to_string(), "nixfleet/hosts");
    assert_eq!(forge.api.url().as_str(), "https://api.github.com/");
    assert!(!forge.api.is_configured());
    // A robot of one forge is a stranger on another.
    let elsewhere = full.args(|args| {
        args.updates.update_authors = None;
        args.updates.forge = Some("forgejo".to_owned());
        args.updates.github_api_url = Some("https://forge.example/api/v1/".to_owned());
    });
    assert!(elsewhere.load().unwrap().updates.authors.is_empty());
}

#[test]
fn the_forge_is_asked_at_its_own_pace_where_it_is_the_source() {
    let with = |token: bool, change: fn(&mut ServeArgs)| {
        let setup = both_secrets().args(|args| {
            args.updates.github_repo = Some("a/b".to_owned());
            change(args);
        });
        let setup = match token {
            true => setup.variable("NIXFLEET_GITHUB_TOKEN", "ghp_0123456789"),
            false => setup,
        };
        setup.load().unwrap().fetch_ttl.as_secs()
    };
    assert_eq!(with(true, |_| {}), 30);
    assert_eq!(with(false, |_| {}), 120);
    let own: fn(&mut ServeArgs) = |args| args.updates.github_poll_ttl = Some("45s".to_owned());
    assert_eq!(with(true, own), 45);
    let git: fn(&mut ServeArgs) = |args| args.repo = Some("/srv/hosts.git".to_owned());
    assert_eq!(with(true, git), 5, "a git remote goes first");
}

#[test]
fn e08_tokens_come_from_one_place_and_are_never_repeated() {
    const CANARY: &str = "canary-7f3a-0123456789";
    let setup = Setup::new();
    let file = setup.dir.path().join("token");
    std::fs::write(&file, format!("{CANARY}\n")).unwrap();
    let setup = both_secrets().args(|args| {
        args.updates.github_repo = Some("a/b".to_owned());
        args.updates.github_token_file = Some(file.display().to_string());
        args.notify.notify_webhook_url = Some(format!("https://hooks.example/{CANARY}"));
        args.notify.notify_ntfy_url = Some("https://ntfy.example/secret-topic".to_owned());
    });
    let setup = setup
        .variable("NIXFLEET_GITHUB_MERGE_TOKEN", CANARY)
        .variable("NIXFLEET_WEBHOOK_SECRET", CANARY)
        .variable("NIXFLEET_NOTIFY_WEBHOOK_SECRET", CANARY);
    let config = setup.load().unwrap();
    let forge = config.forge.as_ref().unwrap();
    assert_eq!(forge.token.as_ref().unwrap().expose_secret(), CANARY);
    assert_eq!(forge.merge_token.as_ref().unwrap().expose_secret(), CANARY);
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("canary") && !shown.contains("secret-topic"),
        "{shown}"
    );

    let twice = setup.variable("NIXFLEET_GITHUB_TOKEN", CANARY).refusal();
    assert!(twice.starts_with("NIXFLEET_GITHUB_TOKEN_FILE"), "{twice}");
    for bad in ["canary", "canary canary", "canary-\u{e9}-0123456789"] {
        let refusal = both_secrets()
            .variable("NIXFLEET_GITHUB_TOKEN", bad)
            .refusal();
        assert!(refusal.starts_with("NIXFLEET_GITHUB_TOKEN: "), "{refusal}");
        assert!(!refusal.contains("canary"), "{refusal}");
    }
}
