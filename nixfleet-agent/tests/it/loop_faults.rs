//! The agent, its connection or its state go away in the middle.

use std::fs;

use nix::sys::signal::Signal;
use nixfleet_core::wire::agent::AgentFrame;

use crate::loop_support::{Host, Server, TOKEN, as_output, as_status, id};
use crate::support::until;

/// Says ten lines, of which the last five wait for a file.
const SLOW: &str = r#"echo "$NIXFLEET_COMMAND_ID" >> $HOST_DIR/runs
    for n in 1 2 3 4 5; do echo line $n; done
    while ! [ -e $HOST_DIR/go ]; do sleep 0.05; done
    for n in 6 7 8 9 10; do echo line $n; done
    ln -sfn system-1 $HOST_DIR/system"#;

#[tokio::test]
async fn c01_c04_c07_a_killed_agent_finds_its_command_again_and_reports_it_until_confirmed() {
    let server = Server::start().await;
    let host = Host::new(server.url(), SLOW);
    let agent = host.agent();
    let (mut line, _) = server.agent().await;
    line.command("pull", id(1), 1).await;
    line.status().await;
    line.confirm(id(1)).await;
    line.command("switch", id(2), 2).await;
    line.line("line 5").await;
    agent.crash();
    line.until_gone().await;

    let agent = host.agent();
    let (mut line, register) = server.agent().await;
    let running = register.running.expect("it says what it runs");
    assert_eq!(running.command_id, id(2).to_string());
    assert_eq!(register.last_seq, Some(2));
    // The server is not sure and sends it again; and something else.
    line.command("switch", id(2), 2).await;
    line.command("pull", id(3), 3).await;
    assert_eq!(line.rejected().await, "busy");
    fs::write(host.path("go"), "").unwrap();
    let (before, result) = line.until(as_status).await;
    assert_eq!(result.command_id, Some(id(2).to_string()));
    assert_eq!(result.exit_code, Some(0));
    let deployed = result.facts.deployed.clone().value().unwrap();
    assert!(
        deployed.commit.is_some(),
        "the look before survived: {deployed:?}"
    );
    let lines: Vec<_> = before.iter().filter_map(as_output).collect();
    let last = lines.last().unwrap();
    assert_eq!((last.line.as_str(), last.n), ("line 10", Some(10)));

    // The result is lost with the connection, and with the agent.
    line.cut();
    let (line, register) = server.agent().await;
    assert_eq!(register.results, std::slice::from_ref(&result));
    agent.crash();
    drop(line);
    let _agent = host.agent();
    let (mut line, register) = server.agent().await;
    assert_eq!(register.results, std::slice::from_ref(&result));
    line.command("switch", id(2), 2).await;
    assert_eq!(line.status().await, result, "the same, and not run again");
    line.confirm(id(2)).await;
    line.command("pull", id(4), 4).await;
    line.status().await;
    line.cut();
    let (_line, register) = server.agent().await;
    let open: Vec<_> = register.results.into_iter().map(|r| r.command_id).collect();
    assert_eq!(open, [Some(id(4).to_string())], "confirmed is done with");
    assert_eq!(host.text("runs"), format!("{}\n", id(2)), "one execution");
}

#[tokio::test]
async fn c01_killed_after_any_number_of_frames_every_command_runs_at_most_once() {
    let server = Server::start().await;
    let host = Host::new(
        server.url(),
        "echo $NIXFLEET_COMMAND_ID >> $HOST_DIR/runs; echo one; echo two; ln -sfn s $HOST_DIR/system",
    );
    let mut started = 0;
    for (number, frames) in (1_u8..).zip([0, 1, 2, 3, 4, 6]) {
        let agent = host.agent();
        let (mut line, _) = server.agent().await;
        line.heartbeat().await;
        let seq = u64::from(number);
        line.command("switch", id(number), seq).await;
        for _ in 0..frames {
            line.frame().await;
        }
        agent.crash();
        line.until_gone().await;

        // The server sends it again until it has a result.
        let _agent = host.agent();
        let (mut line, register) = server.agent().await;
        line.command("switch", id(number), seq).await;
        // A confirmation may have been lost with the agent, so earlier results may come again.
        let own = Some(id(number).to_string());
        let mut results = register.results.into_iter();
        let result = match results.find(|result| result.command_id == own) {
            Some(result) => result,
            None => loop {
                let result = line.status().await;
                if result.command_id == own {
                    break result;
                }
            },
        };
        line.confirm(id(number)).await;
        started += usize::from(result.exit_code == Some(0));
        let runs = host.text("runs");
        let of_this = runs.lines().filter(|run| **run == id(number).to_string());
        let of_this = of_this.count();
        assert!(of_this <= 1, "{frames} frames: {runs}");
        assert_eq!(of_this == 1, result.exit_code == Some(0), "{result:?}");
    }
    assert!(started >= 3, "positive control: {started}");
}

#[tokio::test]
async fn sigterm_closes_the_connection_and_leaves_the_command_running() {
    let server = Server::start().await;
    let host = Host::new(server.url(), SLOW);
    let mut agent = host.agent();
    let (mut line, _) = server.agent().await;
    line.command("switch", id(1), 1).await;
    line.line("line 5").await;
    agent.signal(Signal::SIGTERM);
    line.until_gone().await;
    assert_eq!(line.closed, Some(1000));
    assert_eq!(agent.ended().await, Some(0));
    let status = host.ask(&["status"]);
    assert_eq!(status.status.code(), Some(1));
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(text.contains("the agent is not running"), "{text}");

    // It ends while nobody is there.
    fs::write(host.path("go"), "").unwrap();
    until("the command has ended", || {
        host.state()
            .join("jobs")
            .join(id(1).to_string())
            .join("exit.json")
            .exists()
    })
    .await;
    let _agent = host.agent();
    let (mut line, register) = server.agent().await;
    let result = match register.results.into_iter().next() {
        Some(result) => result,
        None => line.status().await,
    };
    assert_eq!(result.exit_code, Some(0));
    assert_eq!(host.text("runs"), format!("{}\n", id(1)));
}

#[tokio::test]
async fn a_lost_connection_does_not_touch_the_command_and_its_output_follows() {
    let server = Server::start().await;
    let host = Host::new(server.url(), SLOW);
    let _agent = host.agent();
    let (mut line, _) = server.agent().await;
    line.command("switch", id(1), 1).await;
    line.line("line 5").await;
    line.cut();
    // While the agent is away, the command goes on.
    let mut line = server.accept().await;
    fs::write(host.path("go"), "").unwrap();
    let AgentFrame::Register(register) = line.frame().await else {
        panic!("not registered first")
    };
    until("the command has ended", || {
        host.state()
            .join("jobs")
            .join(id(1).to_string())
            .join("exit.json")
            .exists()
    })
    .await;
    line.registered(true).await;
    let (before, result) = match register.results.into_iter().next() {
        Some(result) => (Vec::new(), result),
        None => line.until(as_status).await,
    };
    assert_eq!(result.exit_code, Some(0));
    let lines: Vec<_> = before.iter().filter_map(as_output).collect();
    let texts: Vec<_> = lines.iter().map(|line| line.line.as_str()).collect();
    assert_eq!(texts, ["line 6", "line 7", "line 8", "line 9", "line 10"]);
}

#[tokio::test]
async fn restart_is_a_new_process_of_the_same_program_while_a_command_goes_on() {
    let server = Server::start().await;
    let host = Host::new(server.url(), SLOW);
    let agent = host.agent();
    let (mut line, first) = server.agent().await;
    line.command("switch", id(1), 1).await;
    line.line("line 5").await;
    line.command("restart", id(2), 2).await;
    // The start of the first one is told twice: when it is written down and when its process is
    // known.
    while line.accepted().await != id(2).to_string() {}
    line.until_gone().await;

    let (mut line, second) = server.agent().await;
    assert_ne!(first.instance_id, second.instance_id);
    assert_eq!(second.results.len(), 1);
    assert_eq!(second.results[0].command_id, Some(id(2).to_string()));
    assert_eq!(second.running.unwrap().command_id, id(1).to_string());
    assert!(std::path::Path::new(&format!("/proc/{}", agent.pid())).exists());
    fs::write(host.path("go"), "").unwrap();
    assert_eq!(line.status().await.exit_code, Some(0));
}

#[tokio::test]
async fn under_a_service_manager_restart_is_an_exit_that_asks_for_a_new_start() {
    let server = Server::start().await;
    let host = Host::new(server.url(), "true");
    let mut agent = host.agent_with(|command| {
        command.env("INVOCATION_ID", "0123456789abcdef");
    });
    let (mut line, _) = server.agent().await;
    line.command("restart", id(1), 1).await;
    line.until_gone().await;
    assert_eq!(agent.ended().await, Some(75));
    let _agent = host.agent();
    let (_line, register) = server.agent().await;
    assert_eq!(register.results[0].status, "ok");
}

#[tokio::test]
async fn c02_a_second_agent_with_the_same_state_folder_is_refused() {
    let server = Server::start().await;
    let host = Host::new(server.url(), "true");
    let agent = host.agent();
    let (mut line, _) = server.agent().await;
    line.heartbeat().await;
    let second = host.ask(&["run"]);
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    let expected = format!("another nixfleet-agent (process {}) uses", agent.pid());
    assert!(said.contains(&expected), "{said}");
    // The first one is none the wiser.
    line.heartbeat().await;
    line.heartbeat().await;
}

#[tokio::test]
async fn a_damaged_journal_starts_nothing_but_the_host_stays_visible_and_a_person_can_help() {
    let server = Server::start().await;
    let host = Host::new(server.url(), "true");
    let agent = host.agent();
    let (mut line, _) = server.agent().await;
    for number in 1..=2 {
        line.command("refresh-git", id(number), u64::from(number))
            .await;
        line.status().await;
    }
    agent.crash();
    let path = host.state().join("journal.jsonl");
    let mut bytes = fs::read(&path).unwrap();
    bytes[200] ^= 1;
    fs::write(&path, bytes).unwrap();
    let agent = host.agent();
    let (mut line, register) = server.agent().await;
    assert_eq!(register.last_seq, Some(2), "the rest is kept");
    line.heartbeat().await;
    line.command("refresh-git", id(3), 3).await;
    assert_eq!(line.rejected().await, "journal-damaged");
    let log = host.log();
    assert!(log.contains("journal.jsonl, line 1: its checksum"), "{log}");
    let mark = host.state().join("journal.damaged");
    let said = String::from_utf8_lossy(&host.ask(&["status"]).stdout).into_owned();
    assert!(
        said.contains(&format!("remove {}", mark.display())),
        "{said}"
    );

    agent.crash();
    fs::remove_file(mark).unwrap();
    let agent = host.agent();
    let (mut line, _) = server.agent().await;
    line.command("refresh-git", id(4), 4).await;
    line.status().await;

    // A torn last line is what a crash leaves, and no reason to stop.
    agent.crash();
    let good = fs::read(&path).unwrap();
    fs::write(&path, [&good[..], b"{\"sum\":\"01"].concat()).unwrap();
    let _agent = host.agent();
    let (mut line, register) = server.agent().await;
    assert_eq!(register.last_seq, Some(4));
    let log = host.log();
    assert!(log.contains("cut short by a crash"), "{log}");
    line.command("refresh-git", id(5), 5).await;
    line.status().await;
}

#[tokio::test]
async fn what_is_wrong_with_the_connection_is_told_in_words_that_help() {
    let server = Server::start().await;
    let host = Host::new(server.url(), "true");
    let _agent = host.agent();
    let cases = [
        (
            "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/problem+json\r\ncontent-length: 31\r\n\r\n{\"detail\":\"the token is wrong\"}",
            "refused the token of this host (401): \"the token is wrong\"; create a token",
        ),
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "there is no NixFleet server at",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
            "there is no NixFleet server at",
        ),
        (
            "HTTP/1.1 308 Permanent Redirect\r\nlocation: https://elsewhere/ws\r\ncontent-length: 0\r\n\r\n",
            "redirects to https://elsewhere/ws",
        ),
        (
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
            "cannot take the connection now (503",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
            "does not speak WebSocket",
        ),
        ("nonsense\r\n\r\n", "cannot be reached"),
    ];
    for (answer, expected) in cases {
        server.answer(answer).await;
        let told = || {
            let status = host.ask(&["status", "--json"]);
            assert_eq!(status.status.code(), Some(1));
            let json: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
            json["reason"].as_str().unwrap().contains(expected)
        };
        until(expected, told).await;
    }
    let status = host.ask(&["status"]);
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(text.starts_with("no "), "{text}");
    assert!(!host.log().contains(TOKEN) && !text.contains(TOKEN));

    // And then it works.
    let (mut line, _) = server.agent().await;
    line.heartbeat().await;
    let connected = || host.ask(&["status"]).status.success();
    until("it is connected", connected).await;
    let text = host.ask(&["status"]).stdout;
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.starts_with("connected"), "{text}");
}

#[tokio::test]
async fn nobody_there_no_name_and_a_foreign_certificate_are_told_apart() {
    let server = Server::start().await;
    for (url, expected) in [
        ("http://127.0.0.1:1".to_owned(), "connection refused"),
        ("http://no-such-host.invalid".to_owned(), "has no address"),
        (
            server.url().replace("http:", "https:"),
            "no secure connection",
        ),
    ] {
        let host = Host::new(url, "true");
        let _agent = host.agent();
        let told = || {
            let json = host.ask(&["status", "--json"]).stdout;
            let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
            json["reason"].as_str().unwrap().contains(expected)
        };
        if expected == "no secure connection" {
            server.answer_anything().await;
        }
        until(expected, told).await;
    }
}
