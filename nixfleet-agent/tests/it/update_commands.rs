//! `update-inputs` from the server's command to the result, and what is left when it is stopped.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nixfleet_core::wire::agent::{Args, FlakeUpdates};

use crate::loop_support::{Host, Server, id};
use crate::support::{git, is_alive, script, until};
use crate::updates::lock;

fn bump(host: &Host, text: &str) -> String {
    let dir = host.path("");
    let dir = dir.display().to_string();
    script(
        &host.path("bump"),
        &format!("HOST_DIR={}\n{text}", dir.trim_end_matches('/')),
        0o755,
    );
    host.path("bump").display().to_string()
}

fn head(host: &Host) -> String {
    git(&host.path("remote.git"), &["rev-parse", "main"])
}

fn checked_out(host: &Host) -> String {
    let repo = host.state().join("repo");
    assert_eq!(git(&repo, &["status", "--porcelain"]), "");
    git(&repo, &["rev-parse", "HEAD"])
}

#[tokio::test]
async fn an_update_is_told_with_what_proves_it_and_the_policy_with_the_registration() {
    let server = Server::start().await;
    let host = Host::new(server.url(), "true");
    let base = host.remote.commit("flake.lock", &lock('1'));
    let command = bump(
        &host,
        &format!(
            "echo \"$1 $NIXFLEET_INPUT $NIXFLEET_OP\" >> $HOST_DIR/asked
             test \"$1\" = --input= || printf '%s' '{}' > flake.lock",
            lock('2')
        ),
    );
    let _agent = host.agent_with(|agent| {
        agent
            .env(
                "NIXFLEET_UPDATE_COMMAND",
                format!("{command} --input={{input}}"),
            )
            .env("NIXFLEET_AUTO_UPDATE", "true")
            .env("NIXFLEET_PRIORITY", "90")
            .env("NIXFLEET_CANARY", "");
    });
    let (mut line, register) = server.agent().await;
    let policy = FlakeUpdates {
        auto_update: Some(true),
        priority: Some(90),
        canary: None,
    };
    assert_eq!(register.flake_updates, Some(policy));

    line.command("update-inputs", id(1), 1).await;
    let result = line.status().await;
    assert_eq!(result.exit_code, Some(0), "{:?}", result.message);
    let update = result.update.unwrap();
    assert_eq!((&update.base, &update.commit), (&base, &None));
    assert_eq!(update.lock_before, update.lock_after);

    let args = Args {
        generation: None,
        input: Some("tools".to_owned()),
    };
    line.command_with("update-inputs", id(2), 2, Some(args))
        .await;
    let result = line.status().await;
    assert_eq!(result.exit_code, Some(0), "{:?}", result.message);
    let update = result.update.unwrap();
    assert_eq!((&update.base, &update.commit), (&base, &Some(head(&host))));
    assert_eq!(update.branch.as_deref(), Some("main"));
    assert_ne!(update.lock_before, update.lock_after);
    assert_eq!(result.facts.lock_hash.value(), update.lock_after);
    assert_eq!(result.facts.repo.value().unwrap().commit, head(&host));
    assert_eq!(
        host.text("asked"),
        "--input=  update-inputs\n--input=tools tools update-inputs\n"
    );

    let hostile = Args {
        generation: None,
        input: Some("--impure".to_owned()),
    };
    line.command_with("update-inputs", id(3), 3, Some(hostile))
        .await;
    let result = line.status().await;
    assert_eq!((result.exit_code, result.update), (Some(-1), None));
    assert_eq!(host.text("asked").lines().count(), 2);
}

/// Stops an update at some point of its way; whatever that is, a new one works afterwards.
async fn stopped_at(point: &str, signal: Option<Signal>) {
    let server = Server::start().await;
    let host = Host::new(server.url(), "true");
    let base = host.remote.commit("flake.lock", &lock('1'));
    let wait = format!(
        "echo $$ > {0}/pid; while ! test -e {0}/go; do sleep 0.05; done",
        host.path("").display().to_string().trim_end_matches('/')
    );
    let put = format!("printf '%s' '{}' > flake.lock", lock('2'));
    let command = if point == "nix" {
        bump(&host, &format!("{put}\n{wait}"))
    } else {
        script(
            &host.path(&format!("remote.git/hooks/{point}")),
            &wait,
            0o755,
        );
        bump(&host, &put)
    };
    let agent = host.agent_with(|agent| {
        agent.env("NIXFLEET_UPDATE_COMMAND", &command);
    });
    let (mut line, _) = server.agent().await;
    line.command("update-inputs", id(1), 1).await;
    until("it gets there", || !host.text("pid").trim().is_empty()).await;
    let pid: i32 = host.text("pid").trim().parse().unwrap();
    match signal {
        None => line.stop(id(1)).await,
        Some(signal) => {
            // Everything at once, as when the machine loses its power.
            let jobs = std::fs::read_dir(host.state().join("jobs")).unwrap();
            let job = jobs.flatten().find(|job| job.path().is_dir()).unwrap();
            let note = std::fs::read_to_string(job.path().join("pid")).unwrap();
            let group = note
                .split(|c: char| !c.is_ascii_digit())
                .find(|n| !n.is_empty());
            let group: i32 = group.unwrap().parse().unwrap();
            agent.signal(signal);
            let supervisor = std::fs::read_to_string(format!("/proc/{group}/stat")).unwrap();
            let parent = supervisor.rsplit_once(") ").unwrap().1;
            let parent: i32 = parent.split(' ').nth(1).unwrap().parse().unwrap();
            kill(Pid::from_raw(parent), signal).unwrap();
            let _ = kill(Pid::from_raw(-group), signal);
        }
    }
    let agent = if signal.is_some() {
        drop(agent);
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        let again = host.agent_with(|agent| {
            agent.env("NIXFLEET_UPDATE_COMMAND", &command);
        });
        line = server.agent().await.0;
        again
    } else {
        agent
    };
    let result = line.status().await;
    assert_ne!(result.exit_code, Some(0), "{result:?}");
    if signal.is_none() {
        let jobs = std::fs::read_dir(host.state().join("jobs")).unwrap();
        let jobs: Vec<_> = jobs.flatten().filter(|job| job.path().is_dir()).collect();
        assert!(jobs.iter().any(|job| job.path().join("exit.json").exists()));
        assert!(jobs.iter().all(|job| !job.path().join("update").exists()));
    }
    assert_eq!(result.update, None);
    until("nothing of it is left", || !is_alive(pid)).await;
    assert_eq!(head(&host), base, "nothing was pushed");
    assert_eq!(checked_out(&host), base);

    std::fs::write(host.path("go"), "").unwrap();
    line.command("pull", id(2), 2).await;
    let pulled = line.until(|frame| {
        crate::loop_support::as_status(frame).filter(|status| status.command == "pull")
    });
    assert_eq!(pulled.await.1.exit_code, Some(0));
    line.command("update-inputs", id(3), 3).await;
    let done = line.until(|frame| {
        crate::loop_support::as_status(frame).filter(|status| status.seq == Some(3))
    });
    let done = done.await.1;
    assert_eq!(done.exit_code, Some(0), "the control: {:?}", done.message);
    assert_eq!(done.update.unwrap().commit, Some(head(&host)));
    assert_eq!(checked_out(&host), head(&host));
    drop(agent);
}

#[tokio::test]
async fn a_stop_while_inputs_are_updated_leaves_the_checkout_at_the_remotes_head() {
    stopped_at("nix", None).await;
}

#[tokio::test]
async fn a_stop_while_the_remote_decides_leaves_nothing_half_done() {
    stopped_at("pre-receive", None).await;
}

#[tokio::test]
async fn a_kill_of_everything_while_inputs_are_updated_leaves_nothing_half_done() {
    stopped_at("nix", Some(Signal::SIGKILL)).await;
}

#[tokio::test]
async fn a_kill_of_everything_while_the_remote_decides_leaves_nothing_half_done() {
    stopped_at("pre-receive", Some(Signal::SIGKILL)).await;
}
