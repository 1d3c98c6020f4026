use std::path::PathBuf;

use super::*;
use crate::config::{Settings, Surroundings};

fn id() -> CommandId {
    CommandId::from_bytes([7; 16])
}

fn config(platform: &str, change: impl FnOnce(&mut Settings)) -> Config {
    let text = |value: &str| Some(value.to_owned());
    let mut settings = Settings {
        url: text("ws://localhost:1"),
        repo_url: text("/srv/config.git"),
        repo_dir: text("/srv/check out"),
        state_dir: text("/srv/state"),
        hostname: text("web-1"),
        platform: text(platform),
        ..Settings::default()
    };
    change(&mut settings);
    let around = Surroundings {
        token: Some("secret-canary".into()),
        ..Surroundings::default()
    };
    Config::new(&settings, &around).unwrap()
}

fn argvs(op: &HostOp, config: &Config) -> Vec<Vec<String>> {
    let job = plan(op, id(), config, Path::new("/bin/agent")).unwrap();
    job.stages
        .into_iter()
        .map(|stage| match stage.run {
            Run::Command { argv } | Run::TestCommand { argv, .. } => argv,
            Run::TestScripts { folder, .. } => vec![folder.display().to_string()],
        })
        .collect()
}

#[test]
fn c06_argv_is_the_template_with_each_value_inside_one_word() {
    let nixos = config("nixos", |_| {});
    assert_eq!(
        argvs(&HostOp::Switch, &nixos),
        [[
            "nixos-rebuild",
            "switch",
            "--flake",
            "/srv/check out#web-1",
            "--option",
            "accept-flake-config",
            "false"
        ]]
    );
    let to = RollbackTo::Generation(42);
    let named = argvs(&HostOp::Rollback { to }, &nixos);
    assert_eq!(named[0].last().map(String::as_str), Some("42"));
    assert_eq!(named.len(), 2);
    let to = RollbackTo::Previous;
    assert_eq!(
        argvs(&HostOp::Rollback { to }, &nixos),
        [["nixos-rebuild", "switch", "--rollback"]]
    );
}

#[test]
fn every_platform_of_the_table_does_every_op_and_never_accepts_flake_config() {
    for platform in Platform::ALL {
        for name in [
            Template::Switch,
            Template::DryBuild,
            Template::RollbackPrevious,
            Template::RollbackNamed,
            Template::Reboot,
        ] {
            let rows: Vec<&Row> = TABLE
                .iter()
                .filter(|row| row.platform == platform && row.name == name)
                .collect();
            assert_eq!(rows.len(), usize::from(platform != Platform::Custom));
            for words in rows.iter().flat_map(|row| row.argv) {
                let builds = words.iter().any(|word| word.contains("{repo}"));
                assert_eq!(builds, words.contains(&"*SAFE"), "{words:?}");
            }
        }
    }
}

#[test]
fn a_custom_host_does_only_what_is_configured() {
    let custom = config("custom", |s| {
        s.switch_command = Some("activate {repo} {host}".into());
        s.system_link = Some("/srv/system".into());
    });
    assert_eq!(
        argvs(&HostOp::Switch, &custom),
        [["activate", "/srv/check out", "web-1"]]
    );
    let refused = plan(&HostOp::Reboot, id(), &custom, Path::new("/bin/agent"));
    assert!(matches!(
        refused,
        Err(PlanError::NotConfigured {
            variable: "NIXFLEET_REBOOT_COMMAND",
            ..
        })
    ));
    let job = plan(&HostOp::Switch, id(), &custom, Path::new("/bin/agent")).unwrap();
    let capture = job.stages[0].capture.clone().unwrap();
    assert_eq!(capture.system_link, Some(PathBuf::from("/srv/system")));
}

#[test]
fn a_pull_is_this_program_with_a_request_that_holds_no_secret() {
    let nixos = config("nixos", |_| {});
    let target = Some("a".repeat(40).parse().unwrap());
    let job = plan(
        &HostOp::PullSwitch { target },
        id(),
        &nixos,
        Path::new("/bin/agent"),
    )
    .unwrap();
    assert_eq!(job.stages.len(), 2);
    assert_eq!(job.op, "pull-switch");
    let text = serde_json::to_string(&job).unwrap();
    assert!(!text.contains("secret-canary"));
    assert!(text.contains("NIXFLEET_COMMAND_ID"));
    let Run::Command { argv } = &job.stages[0].run else {
        panic!("a pull is a command");
    };
    let request: PullRequest = serde_json::from_str(&argv[2]).unwrap();
    assert_eq!(request.target, Some("a".repeat(40)));
}

#[test]
fn tests_are_the_scripts_of_this_host_unless_a_command_is_configured() {
    let nixos = config("nixos", |_| {});
    assert_eq!(
        argvs(&HostOp::Test, &nixos),
        [["/srv/check out/hosts/web-1/tests"]]
    );
    let configured = config("nixos", |s| {
        s.test_command = Some("check --host {host}".into())
    });
    assert_eq!(
        argvs(&HostOp::Test, &configured),
        [["check", "--host", "web-1"]]
    );
}

#[test]
fn a_forced_rebuild_is_a_switch_without_caches_and_a_dry_build_only_looks() {
    let nixos = config("nixos", |_| {});
    let switch = argvs(&HostOp::Switch, &nixos);
    let forced = argvs(&HostOp::ForceRebuild, &nixos);
    assert_eq!(forced[0][..switch[0].len()], switch[0]);
    assert_eq!(forced[0][switch[0].len()..], FRESH);
    let dry = argvs(&HostOp::DryBuild, &nixos);
    assert_eq!(dry[0][..2], ["nixos-rebuild", "dry-build"]);

    let own = config("nixos", |s| {
        s.switch_command = Some("my-switch {repo}".into())
    });
    let forced = argvs(&HostOp::ForceRebuild, &own);
    assert_eq!(forced, [["my-switch", "/srv/check out"]]);
    let job = plan(&HostOp::ForceRebuild, id(), &own, Path::new("/bin/agent")).unwrap();
    assert_eq!(job.environment["NIXFLEET_OP"], "force-rebuild");
    let refused = plan(&HostOp::DryBuild, id(), &own, Path::new("/bin/agent"));
    assert!(matches!(refused, Err(PlanError::Unsupported { .. })));
}

#[test]
fn an_update_of_inputs_is_this_program_with_a_request_that_holds_no_secret() {
    let request = |config: &Config, input: Option<&str>| {
        let input = input.map(|name| name.parse().unwrap());
        let op = HostOp::UpdateInputs { input };
        let job = plan(&op, id(), config, Path::new("/bin/agent")).unwrap();
        let text = serde_json::to_string(&job).unwrap();
        assert!(!text.contains("secret-canary"));
        assert_eq!((job.op.as_str(), job.stages.len()), ("update-inputs", 1));
        let Run::Command { argv } = &job.stages[0].run else {
            panic!("an update is a command");
        };
        assert_eq!(argv[..2], ["/bin/agent", "update-inputs"]);
        serde_json::from_str::<UpdateRequest>(&argv[2]).unwrap()
    };
    for platform in ["nixos", "darwin", "home-manager"] {
        let asked = request(&config(platform, |_| {}), Some("nixpkgs"));
        assert_eq!(asked.input.as_deref(), Some("nixpkgs"));
        assert_eq!((asked.command, asked.pull.target), (None, None));
        assert_eq!(asked.author, "NixFleet <nixfleet@web-1>");
        assert_eq!(asked.push, "main");
    }
    let own = config("custom", |s| {
        s.switch_command = Some("true".into());
        s.system_link = Some("/srv/system".into());
        s.update_command = Some("bump --in {repo} --host {host} --input={input}".into());
        s.update_push = Some("branch".into());
        s.commit_author = Some("Fleet <fleet@example.org>".into());
    });
    let words = |asked: &UpdateRequest| asked.command.clone().unwrap().join(" ");
    let asked = request(&own, None);
    assert_eq!(words(&asked), "bump --in {repo} --host web-1 --input=");
    assert_eq!(asked.author, "Fleet <fleet@example.org>");
    assert_eq!(asked.push, "branch");
    let asked = request(&own, Some("tools"));
    assert_eq!(words(&asked), "bump --in {repo} --host web-1 --input=tools");
}
