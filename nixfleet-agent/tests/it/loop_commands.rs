//! The agent's program against a server: registration, commands, stops, output, generations.

use std::fs;

use nixfleet_core::wire::Field;
use nixfleet_core::wire::agent::{AgentFrame, Args, CommandFrame, GenerationFacts, ServerFrame};

use crate::loop_support::{Host, Server, as_heartbeat, as_output, as_status, id};
use crate::support::{git, is_alive, script, until};

/// Writes its command's id into a file, then changes the running system.
const SWITCH: &str = r#"echo "$NIXFLEET_COMMAND_ID" >> $HOST_DIR/runs
    echo building; echo warning >&2
    n=$(cat $HOST_DIR/next 2>/dev/null || echo 1)
    ln -sfn system-$n $HOST_DIR/system"#;

#[tokio::test]
async fn a_host_registers_is_updated_and_reports_every_step() {
    let server = Server::start().await;
    let host = Host::new(server.url(), SWITCH);
    let _agent = host.agent();

    let (mut line, register) = server.agent().await;
    assert_eq!(register.hostname, "web-1");
    assert_eq!(register.last_seq, Some(0));
    assert!(register.instance_id.is_some() && register.boot_id.is_some());
    let missing = register.facts.repo_error.value().unwrap();
    assert!(missing.contains("does not exist yet"), "{missing}");
    line.heartbeat().await;

    line.command("pull", id(1), 1).await;
    assert_eq!(line.accepted().await, id(1).to_string());
    let result = line.status().await;
    assert_eq!((result.status.as_str(), result.exit_code), ("ok", Some(0)));
    let head = git(&host.remote.author(), &["rev-parse", "HEAD"]);
    assert_eq!(result.facts.repo.clone().value().unwrap().commit, head);
    assert_eq!(line.heartbeat().await.facts.repo, result.facts.repo);
    line.confirm(id(1)).await;

    line.command("switch", id(2), 2).await;
    let (before, result) = line.until(as_status).await;
    let lines: Vec<_> = before.iter().filter_map(as_output).collect();
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert_eq!(line.command.as_deref(), Some("switch"));
        assert_eq!(line.command_id, Some(id(2).to_string()));
        assert_eq!(line.is_error, line.line == "warning");
    }
    assert!(before.iter().any(|frame| matches!(
        frame,
        AgentFrame::Accepted(accepted) if accepted.pid.is_some()
    )));
    let deployed = result.facts.deployed.clone().value().unwrap();
    assert_eq!(deployed.commit.as_deref(), Some(head.as_str()));
    assert!(deployed.clean);
    assert_eq!(result.facts.lock_hash.value(), deployed.lock_hash);
    assert!(deployed.store_path.unwrap().ends_with("system-1"));
    assert_eq!(host.text("runs"), format!("{}\n", id(2)));
}

#[tokio::test]
async fn a_failed_pull_and_an_unknown_operation_are_told_with_reasons() {
    let server = Server::start().await;
    let host = Host::new(server.url(), "exit 3");
    fs::rename(host.path("remote.git"), host.path("away")).unwrap();
    let _agent = host.agent();
    let (mut line, _) = server.agent().await;
    line.command("pull", id(1), 1).await;
    let result = line.status().await;
    assert_eq!(result.status, "error");
    let message = result.message.unwrap();
    assert!(message.contains("cannot fetch branch main"), "{message}");

    line.command("merge-pr", id(2), 2).await;
    let result = line.status().await;
    assert_eq!(result.exit_code, Some(-1));
    assert!(result.message.unwrap().contains("no process on a host"));

    line.command("make-coffee", id(3), 3).await;
    assert_eq!(line.rejected().await, "unknown-op");

    line.command("refresh-git", id(4), 4).await;
    assert_eq!(line.status().await.exit_code, Some(0));
}

#[tokio::test]
async fn tests_are_reported_one_by_one() {
    let server = Server::start().await;
    let host = Host::new(server.url(), SWITCH);
    let tests = host.remote.author().join("hosts/web-1/tests");
    script(&tests.join("a.sh"), "true", 0o755);
    script(&tests.join("b.sh"), "echo broken >&2; false", 0o755);
    script(&tests.join("c.sh"), "true", 0o644);
    host.remote.commit("more", "x");
    let _agent = host.agent();
    let (mut line, _) = server.agent().await;
    line.command("pull-switch", id(1), 1).await;
    assert_eq!(line.status().await.exit_code, Some(0));
    line.command("test", id(2), 2).await;
    let (before, result) = line.until(as_status).await;
    let report = result.tests.unwrap();
    assert_eq!(report.verdict, "fail");
    assert_eq!((report.ran, report.skipped), (2, 1));
    assert_eq!(report.failed, ["b.sh"]);
    assert!(report.key.is_some() && report.key == report.key_end);
    let passed: Vec<_> = before
        .iter()
        .filter_map(|frame| {
            let AgentFrame::TestProgress(progress) = frame else {
                return None;
            };
            Some((progress.current, progress.passed))
        })
        .collect();
    assert_eq!(passed.last(), Some(&(3, 1)));
}

#[tokio::test]
async fn c05_a_child_that_ignores_sigterm_is_killed_after_three_seconds_and_nothing_is_left() {
    let server = Server::start().await;
    let host = Host::new(
        server.url(),
        r#"trap "" TERM; sh -c 'trap "" TERM; echo $$ > $0/child; sleep 600' $HOST_DIR &
        echo ready; while :; do sleep 600; done"#,
    );
    let _agent = host.agent();
    let (mut line, _) = server.agent().await;
    line.command("switch", id(1), 1).await;
    line.line("ready").await;
    until("the child is there", || host.text("child").ends_with('\n')).await;
    let child = host.text("child").trim().parse().unwrap();
    assert!(is_alive(child), "positive control");

    line.stop(id(1)).await;
    let result = line.status().await;
    assert_eq!(
        (result.status.as_str(), result.exit_code),
        ("stopped", Some(130))
    );
    assert!(
        !is_alive(child),
        "the result comes after the end of the whole group"
    );
}

#[tokio::test]
async fn c08_heartbeats_go_on_while_a_command_floods_its_output() {
    let server = Server::start().await;
    let host = Host::new(
        server.url(),
        "yes 'a line of output that is repeated for ever' & sleep 600",
    );
    let _agent = host.agent();
    let (mut line, _) = server.agent().await;
    line.command("switch", id(1), 1).await;
    let (mut lines, mut dropped, mut beats, mut last) = (0_u64, 0_u64, 0, 0);
    while beats < 6 {
        let frame = line.frame().await;
        if let Some(output) = as_output(&frame) {
            let n = output.n.unwrap();
            let skipped = output.dropped.unwrap_or(0);
            assert_eq!(n, last + skipped + 1, "every line is sent or counted");
            last = n;
            lines += 1;
            dropped += skipped;
        } else if let Some(beat) = as_heartbeat(&frame) {
            assert!(lines == 0 || beat.command_id == Some(id(1).to_string()));
            beats += u32::from(lines > 0);
        }
    }
    assert!(lines > 10_000, "{lines} lines, {dropped} dropped");
    line.stop(id(1)).await;
    let (rest, result) = line.until(as_status).await;
    assert_eq!(result.status, "stopped", "{result:?}");
    assert!(rest.iter().any(|frame| as_output(frame).is_some()));
}

#[tokio::test]
async fn an_existing_dashboard_is_served_without_ids() {
    let mut server = Server::start().await;
    server.ours = false;
    let host = Host::new(server.url(), SWITCH);
    let _agent = host.agent();
    let (mut line, _) = server.agent().await;
    let command = |name: &str| {
        ServerFrame::Command(CommandFrame {
            command: name.to_owned(),
            ..CommandFrame::default()
        })
    };
    line.send(command("pull")).await;
    let result = line.status().await;
    assert_eq!(
        (result.command.as_str(), result.status.as_str()),
        ("pull", "ok")
    );
    line.send(command("switch")).await;
    assert_eq!(line.status().await.exit_code, Some(0));
    let rest = line.until_gone().await;
    assert!(rest.iter().any(|frame| as_heartbeat(frame).is_some()));
    assert_eq!(line.closed, Some(1000));

    let (mut line, register) = server.agent().await;
    assert!(register.results.is_empty(), "reported once is done with");
    line.send(command("stop")).await;
    line.send(command("pull")).await;
    assert_eq!(line.status().await.status, "ok");
}

#[tokio::test]
async fn a_custom_host_lists_what_it_deployed_and_rolls_back_to_it() {
    let server = Server::start().await;
    let host = Host::new(server.url(), SWITCH);
    script(
        &host.path("rollback"),
        &format!(
            "echo \"$NIXFLEET_GENERATION $NIXFLEET_GENERATION_COMMIT\" > {0}/asked
             ln -sfn \"$NIXFLEET_GENERATION_PATH\" {0}/system",
            host.path("").display().to_string().trim_end_matches('/')
        ),
        0o755,
    );
    let _agent = host.agent();
    let (mut line, register) = server.agent().await;
    assert_eq!(register.facts.generations, Field::Value(Vec::new()));
    let mut commits = Vec::new();
    for number in [1_u8, 2] {
        fs::write(host.path("next"), number.to_string()).unwrap();
        commits.push(host.remote.commit("version", &number.to_string()));
        line.command("pull-switch", id(number), u64::from(number) * 10)
            .await;
        assert_eq!(line.status().await.exit_code, Some(0));
    }
    let list = |generations: Field<Vec<GenerationFacts>>| {
        let list = generations.value().unwrap();
        let entry = |g: GenerationFacts| (g.number, g.commit.unwrap(), g.current);
        list.into_iter().map(entry).collect::<Vec<_>>()
    };
    let (old, new) = (commits[0].clone(), commits[1].clone());
    let beat =
        |frame: &AgentFrame| as_heartbeat(frame).filter(|beat| !beat.facts.generations.is_absent());
    let generations = line.until(beat).await.1.facts.generations;
    assert_eq!(
        list(generations),
        [(20, new.clone(), true), (10, old.clone(), false)]
    );

    let args = Args {
        generation: Some(10),
        input: None,
    };
    line.command_with("rollback", id(3), 30, Some(args)).await;
    let result = line.status().await;
    assert_eq!(result.exit_code, Some(0), "{:?}", result.message);
    assert_eq!(host.text("asked"), format!("10 {old}\n"));
    assert_eq!(
        list(result.facts.generations),
        [(20, new, false), (10, old.clone(), true)]
    );
    let deployed = result.facts.deployed.value().unwrap();
    assert_eq!(deployed.commit, Some(old));
}

#[tokio::test]
async fn the_inputs_of_a_build_are_unknown_if_they_change_while_it_runs() {
    let server = Server::start().await;
    let host = Host::new(
        server.url(),
        "cd $NIXFLEET_REPO_DIR && echo '{}' > flake.lock; ln -sfn system-1 $HOST_DIR/system",
    );
    let _agent = host.agent();
    let (mut line, _) = server.agent().await;
    line.command("pull-switch", id(1), 1).await;
    let result = line.status().await;
    assert_eq!(result.exit_code, Some(0));
    let deployed = result.facts.deployed.value().unwrap();
    assert!(deployed.commit.is_none() && !deployed.clean, "{deployed:?}");
    assert!(result.facts.repo.value().unwrap().dirty);
}

#[tokio::test]
async fn a_reboot_command_that_fails_is_reported_and_the_host_is_idle_again() {
    let server = Server::start().await;
    let host = Host::new(server.url(), SWITCH);
    let _agent = host.agent();
    let (mut line, _) = server.agent().await;
    line.command("reboot", id(1), 1).await;
    assert_eq!(line.status().await.exit_code, Some(1));
    line.command("pull", id(2), 2).await;
    assert_eq!(line.status().await.exit_code, Some(0));
}

#[tokio::test]
async fn a_stop_is_answered_although_a_reboot_command_without_effect_has_ended() {
    let server = Server::start().await;
    let host = Host::new(server.url(), SWITCH);
    let _agent = host.agent_with(|command| {
        command.env("NIXFLEET_REBOOT_COMMAND", "true");
    });
    let (mut line, _) = server.agent().await;
    line.command("reboot", id(1), 1).await;
    let ended = |frame: &AgentFrame| {
        let AgentFrame::OperationProgress(report) = frame else {
            return None;
        };
        report
            .progress
            .system
            .clone()
            .filter(|step| step.current == 1)
    };
    line.until(ended).await;
    let beat = line.heartbeat().await;
    assert_eq!(beat.pending_command.as_deref(), Some("reboot"));
    line.stop(id(1)).await;
    let result = line.status().await;
    assert_eq!(
        (result.status.as_str(), result.exit_code),
        ("error", Some(0))
    );
    let message = result.message.unwrap();
    assert!(message.ends_with("the machine is still up"), "{message}");
    line.command("pull", id(2), 2).await;
    assert_eq!(line.status().await.exit_code, Some(0));
}
