use std::fs;
use std::os::unix::fs::PermissionsExt;

use secrecy::ExposeSecret;

use super::*;

fn settings() -> Settings {
    let text = |value: &str| Some(value.to_owned());
    Settings {
        url: text("https://fleet.example.org"),
        repo_url: text("/srv/config.git"),
        platform: text("custom"),
        switch_command: text("/bin/true"),
        system_link: text("/run/fake-system"),
        ..Settings::default()
    }
}

fn around() -> Surroundings {
    Surroundings {
        token: Some("secret-token\n".into()),
        hostname: Some("web-1.example.org".into()),
        root: true,
        ..Surroundings::default()
    }
}

#[test]
fn defaults_fill_what_is_not_set() {
    let config = Config::new(&settings(), &around()).unwrap();
    assert_eq!(config.server.to_string(), "wss://fleet.example.org/ws");
    assert_eq!(config.token.expose_secret(), "secret-token");
    assert_eq!(config.branch.as_str(), "main");
    assert_eq!(config.hostname.as_str(), "web-1");
    assert_eq!(config.interval, Duration::from_secs(5));
    assert_eq!(config.repo.dir(), Path::new("/var/lib/nixfleet-agent/repo"));
}

#[test]
fn every_problem_is_named_at_once() {
    let text = |value: &str| Some(value.to_owned());
    let bad = Settings {
        url: text("fleet"),
        branch: text("--upload-pack=x"),
        interval: text("0"),
        hostname: text("../x"),
        platform: text("windows"),
        repo_dir: text("relative"),
        ..Settings::default()
    };
    let problems = Config::new(&bad, &Surroundings::default()).unwrap_err();
    let names: Vec<&str> = problems.iter().map(|p| p.variable).collect();
    for name in [
        "NIXFLEET_URL",
        "NIXFLEET_TOKEN",
        "NIXFLEET_BRANCH",
        "NIXFLEET_STATE_DIR",
        "NIXFLEET_REPO_DIR",
        "NIXFLEET_INTERVAL",
        "NIXFLEET_HOSTNAME",
        "NIXFLEET_PLATFORM",
    ] {
        assert!(names.contains(&name), "{name} missing in {names:?}");
    }
}

#[test]
fn tokens_come_from_private_files_or_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "abc\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let with_file = Settings {
        token_file: Some(file.display().to_string()),
        ..settings()
    };
    let mut around = around();
    around.token = None;
    let problems = Config::new(&with_file, &around).unwrap_err();
    assert!(problems[0].message.contains("chmod 600"), "{problems:?}");

    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let config = Config::new(&with_file, &around).unwrap();
    assert_eq!(config.token.expose_secret(), "abc");
    assert!(!format!("{config:?}").contains("abc"));

    around.credentials = Some(folder.path().to_owned());
    assert!(Config::new(&settings(), &around).is_ok());
    fs::write(&file, "  \n").unwrap();
    assert!(Config::new(&settings(), &around).is_err());
}

#[test]
fn a_custom_platform_must_say_how_it_switches_and_what_runs() {
    let bare = Settings {
        switch_command: None,
        system_link: None,
        ..settings()
    };
    let problems = Config::new(&bare, &around()).unwrap_err();
    let names: Vec<&str> = problems.iter().map(|p| p.variable).collect();
    assert_eq!(names, ["NIXFLEET_SWITCH_COMMAND", "NIXFLEET_SYSTEM_LINK"]);
}

#[test]
fn an_existing_folder_is_never_taken_for_our_own_clone() {
    let existing = Settings {
        repo_url: None,
        repo_dir: Some("/home/me/config".into()),
        ..settings()
    };
    let config = Config::new(&existing, &around()).unwrap();
    let dir = PathBuf::from("/home/me/config");
    assert_eq!(config.repo, Repo::Existing { dir });
}
