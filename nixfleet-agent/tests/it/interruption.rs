//! The agent, the supervisor or the machine goes away in the middle.

use std::fs;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nixfleet_agent::exec::{Detach, ExecError, JobEnd, JobState, Launcher};

use crate::support::{Place, finish, is_alive, program, script, until, until_line};

/// Writes ten lines, of which the last five wait for a file.
const TEN_LINES: &str = "echo run >> $PLACE/runs
    for n in 1 2 3 4 5; do echo line $n; done
    while ! [ -e $PLACE/go ]; do sleep 0.05; done
    for n in 6 7 8 9 10; do echo line $n; done; exit 5";

fn supervisor_of(folder: &std::path::Path) -> Option<i32> {
    let text = fs::read_to_string(folder.join("started")).ok()?;
    text.trim().strip_prefix("supervisor ")?.parse().ok()
}

#[tokio::test]
async fn c01_another_agent_reads_on_where_the_first_stopped_and_nothing_runs_twice() {
    let place = Place::new();
    let spec = place.spec(vec![place.stage("only", TEN_LINES)]);
    let mut job = place.launcher.launch(&spec).await.unwrap();
    let last = until_line(&mut job, "line 3").await;
    drop(job);

    let launcher = place.another_agent();
    assert_eq!(launcher.list().unwrap(), [spec.command_id]);
    assert_eq!(launcher.state(spec.command_id).unwrap(), JobState::Running);
    assert!(matches!(
        launcher.launch(&spec).await,
        Err(ExecError::Exists(id)) if id == spec.command_id
    ));
    assert!(matches!(
        launcher.forget(spec.command_id),
        Err(ExecError::StillRunning(_))
    ));
    let mut job = launcher.attach(spec.command_id, last.n).unwrap();
    fs::write(place.path("go"), "").unwrap();
    let done = finish(&mut job).await;
    let expected: Vec<String> = (4..=10).map(|n| format!("line {n}")).collect();
    assert_eq!(done.texts(), expected);
    assert_eq!(done.lines()[0].n, last.n + 1);
    assert_eq!(done.exit().code, 5);
    assert_eq!(place.text("runs"), "run\n");

    // The end can be read again, until it is forgotten.
    let mut again = launcher.attach(spec.command_id, 0).unwrap();
    assert_eq!(finish(&mut again).await.texts().len(), 10);
    launcher.forget(spec.command_id).unwrap();
    assert!(matches!(
        launcher.attach(spec.command_id, 0),
        Err(ExecError::Unknown(_))
    ));
}

#[tokio::test]
async fn a_stop_asked_by_another_agent_is_carried_out() {
    let place = Place::new();
    let spec = place.spec(vec![place.stage("only", TEN_LINES)]);
    let mut job = place.launcher.launch(&spec).await.unwrap();
    until_line(&mut job, "line 1").await;
    drop(job);
    let mut job = place.another_agent().attach(spec.command_id, 0).unwrap();
    job.terminate().unwrap();
    assert!(finish(&mut job).await.exit().stopped);
}

#[tokio::test]
async fn c01_a_second_supervisor_runs_nothing() {
    let place = Place::new();
    let spec = place.spec(vec![place.stage("only", "echo run >> $PLACE/runs")]);
    let mut job = place.launcher.launch(&spec).await.unwrap();
    finish(&mut job).await;
    let second = Command::new(program())
        .arg("supervise")
        .arg(job.folder().path())
        .output()
        .unwrap();
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("nothing was run"));
    assert_eq!(place.text("runs"), "run\n");
}

#[tokio::test]
async fn c07_a_killed_supervisor_is_an_interruption_never_a_guess_and_leaves_nothing() {
    let place = Place::new();
    let script = "sleep 600 & echo $! > $PLACE/child
        setsid sh -c 'echo $$ > $PLACE/escaped; sleep 600' &
        printf 'half a line'; while ! [ -s $PLACE/escaped ]; do sleep 0.05; done
        echo > $PLACE/ready; sleep 600";
    let spec = place.spec(vec![place.stage("only", script)]);
    let mut job = place.launcher.launch(&spec).await.unwrap();
    until("it is ready", || place.path("ready").exists()).await;
    let supervisor = supervisor_of(job.folder().path()).unwrap();
    kill(Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();

    let done = finish(&mut job).await;
    assert_eq!(done.end, JobEnd::Interrupted);
    assert_eq!(done.texts(), ["half a line"]);
    for name in ["child", "escaped"] {
        let pid = place.number(name);
        until("what it left behind is gone", || !is_alive(pid)).await;
    }
    assert!(job.folder().living_processes().is_empty());
    let launcher = place.another_agent();
    assert_eq!(
        launcher.state(spec.command_id).unwrap(),
        JobState::Interrupted
    );
}

#[tokio::test]
async fn a_supervisor_told_to_end_ends_its_job_in_order() {
    let place = Place::new();
    let spec = place.spec(vec![place.stage("only", "echo ready; sleep 600")]);
    let mut job = place.launcher.launch(&spec).await.unwrap();
    until_line(&mut job, "ready").await;
    let supervisor = supervisor_of(job.folder().path()).unwrap();
    kill(Pid::from_raw(supervisor), Signal::SIGTERM).unwrap();
    let done = finish(&mut job).await;
    assert_eq!((done.exit().stopped, done.exit().code), (true, 143));
}

#[tokio::test]
async fn c01_a_job_written_down_but_not_started_never_starts_once_given_up() {
    let place = Place::new();
    let spec = place.spec(vec![place.stage("only", "echo run >> $PLACE/runs")]);
    // The agent died between the record and the start of the supervisor.
    let folder = place.launcher.folder(spec.command_id);
    fs::create_dir(folder.path()).unwrap();
    let json = serde_json::to_vec(&spec).unwrap();
    fs::write(folder.path().join("job.json"), json).unwrap();

    let launcher = place.another_agent();
    assert_eq!(
        launcher.state(spec.command_id).unwrap(),
        JobState::Unclaimed
    );
    let mut job = launcher.attach(spec.command_id, 0).unwrap();
    assert_eq!(finish(&mut job).await.end, JobEnd::NeverStarted);

    // The supervisor comes late.
    let late = Command::new(program())
        .arg("supervise")
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(!late.status.success());
    assert_eq!(place.text("runs"), "");
    assert_eq!(
        launcher.state(spec.command_id).unwrap(),
        JobState::NeverStarted
    );
}

#[tokio::test]
async fn the_supervisor_is_in_a_session_of_its_own_and_knows_no_secret() {
    let place = Place::new();
    let spec = place.spec(vec![place.stage("only", "echo ready; sleep 600")]);
    let mut job = place.launcher.launch(&spec).await.unwrap();
    until_line(&mut job, "ready").await;
    let supervisor = supervisor_of(job.folder().path()).unwrap();
    let session = |pid: i32| nix::unistd::getsid(Some(Pid::from_raw(pid))).unwrap();
    assert_eq!(session(supervisor), Pid::from_raw(supervisor));
    assert_ne!(session(supervisor), nix::unistd::getsid(None).unwrap());
    let environment = fs::read(format!("/proc/{supervisor}/environ")).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("CARGO_MANIFEST_DIR"));
    job.kill().unwrap();
    finish(&mut job).await;
}

/// A `systemd-run` that notes its arguments and then does what `act` says with the program it is
/// given.
async fn through_systemd(act: &str) -> (Place, i32) {
    let place = Place::new();
    let systemd_run = place.path("systemd-run");
    let text = format!(
        "echo \"$*\" > {}\nwhile [ \"$1\" != -- ]; do shift; done; shift\n{act}",
        place.path("arguments").display()
    );
    script(&systemd_run, &text, 0o755);
    let detach = Detach::SystemdUnit { systemd_run };
    let launcher = Launcher::new(program(), place.path("jobs"), detach).unwrap();
    let spec = place.spec(vec![place.stage("only", "echo run >> $PLACE/runs; exit 3")]);
    let mut job = launcher.launch(&spec).await.unwrap();
    let code = finish(&mut job).await.exit().code;
    let arguments = place.text("arguments");
    let unit = format!("--unit=nixfleet-cmd-{} --collect", spec.command_id);
    assert!(arguments.starts_with(&unit), "{arguments}");
    (place, code)
}

#[tokio::test]
async fn a_job_runs_once_through_a_transient_unit_or_without_it_whatever_systemd_run_says() {
    for act in ["setsid \"$@\" &", "exit 1", "setsid \"$@\" & exit 1"] {
        let (place, code) = through_systemd(act).await;
        assert_eq!((code, place.text("runs").as_str()), (3, "run\n"), "{act}");
    }
}
