//! Jobs that run to their end: output, exit, environment, stopping.

use std::collections::BTreeSet;

use nixfleet_agent::exec::{JobEvent, LINE_LIMIT, Note, Stream};

use crate::support::{Place, finish, is_alive, next, until, until_line};

#[tokio::test]
async fn output_and_exit_code_arrive_and_nothing_is_lost_without_a_newline() {
    let place = Place::new();
    let done = place
        .sh("echo one; echo two >&2; printf 'three'; exit 7")
        .await;
    assert_eq!(done.exit().code, 7);
    let mut seen: Vec<_> = done
        .lines()
        .iter()
        .map(|l| (l.stream, l.text.clone()))
        .collect();
    seen.sort_by(|a, b| a.1.cmp(&b.1));
    assert_eq!(
        seen,
        [
            (Stream::Out, "one".to_owned()),
            (Stream::Out, "three".to_owned()),
            (Stream::Err, "two".to_owned()),
        ]
    );
}

#[tokio::test]
async fn c06_env_is_exactly_what_the_job_says() {
    assert!(std::env::var("CARGO_MANIFEST_DIR").is_ok(), "the control");
    let place = Place::new();
    let done = place.sh("env").await;
    let names: BTreeSet<&str> = done
        .texts()
        .iter()
        .filter_map(|line| line.split('=').next())
        .filter(|name| !matches!(*name, "PWD" | "OLDPWD" | "SHLVL" | "_"))
        .collect();
    assert_eq!(
        names,
        BTreeSet::from(["NIXFLEET_COMMAND_ID", "PATH", "PLACE"])
    );
}

#[tokio::test]
async fn c10_a_line_of_100_mib_is_read_to_its_end_and_dropped_bytes_are_counted_exactly() {
    let place = Place::new();
    let size = 100 * 1024 * 1024;
    let done = place
        .sh(&format!(
            "head -c {size} /dev/zero | tr '\\0' x; echo; echo end"
        ))
        .await;
    let exit = done.exit();
    assert_eq!(exit.code, 0);
    let lines = done.lines();
    assert!(lines.iter().all(|line| line.text.len() <= LINE_LIMIT));
    assert_eq!(lines.last().unwrap().text, "end");
    assert!(lines[0].continued);
    // Everything but the two line ends and "end" is an x.
    let kept: usize = lines.iter().map(|line| line.text.len()).sum();
    assert_eq!(kept as u64 - 3 + exit.dropped_bytes, size);
    assert_eq!(kept + 2, 16 * 1024 * 1024);
    assert_eq!(done.dropped(), exit.dropped_bytes);
}

#[tokio::test]
async fn c10_invalid_utf8_is_replaced() {
    let place = Place::new();
    let done = place.sh(r"printf 'a\377b\n\342\202\n\033[2J'").await;
    assert_eq!(done.texts(), ["a\u{fffd}b", "\u{fffd}", "\\u{1b}[2J"]);
}

#[tokio::test]
async fn stages_run_in_order_and_the_first_failure_ends_the_job() {
    let place = Place::new();
    let stages = vec![
        place.stage("one", "echo 1 >> $PLACE/ran"),
        place.stage("two", "echo 2 >> $PLACE/ran; exit 3"),
        place.stage("three", "echo 3 >> $PLACE/ran"),
    ];
    let done = place.run(stages).await;
    assert_eq!(place.text("ran"), "1\n2\n");
    let stages: Vec<_> = done
        .exit()
        .stages
        .iter()
        .map(|s| (s.name.as_str(), s.code))
        .collect();
    assert_eq!(stages, [("one", 0), ("two", 3)]);
    assert_eq!(done.exit().code, 3);
}

#[tokio::test]
async fn a_missing_program_is_named_with_what_to_do() {
    let place = Place::new();
    let mut stage = place.stage("switch", "");
    stage.run = nixfleet_agent::exec::Run::Command {
        argv: vec!["nixos-rebuild-that-is-not-there".to_owned()],
    };
    stage.missing_advice = Some("run the agent on NixOS".to_owned());
    let done = place.run(vec![stage]).await;
    assert_eq!(done.exit().code, 127);
    let problem = done.exit().problem.clone().unwrap();
    assert!(
        problem.contains("nixos-rebuild-that-is-not-there")
            && problem.contains("run the agent on NixOS"),
        "{problem}"
    );
    assert!(done.texts().iter().any(|text| text.contains(&problem)));
}

#[tokio::test]
async fn c05_no_descendant_survives_the_end() {
    let place = Place::new();
    let done = place
        .sh("sleep 600 & echo $! > $PLACE/child
             setsid sh -c 'sleep 600 & echo $! > $PLACE/escaped; echo $$ > $PLACE/leader; sleep 600' &
             while ! [ -s $PLACE/leader ]; do sleep 0.05; done")
        .await;
    assert_eq!(done.exit().code, 0);
    for name in ["child", "escaped", "leader"] {
        assert!(!is_alive(place.number(name)), "{name} lives");
    }
    assert!(done.exit().survivors.is_empty());
}

#[tokio::test]
async fn a_helper_at_the_end_of_the_output_may_finish() {
    let place = Place::new();
    let done = place.sh("(sleep 0.2; echo late) & exit 0").await;
    assert_eq!(done.texts(), ["late"]);
}

#[tokio::test]
async fn terminate_reaches_the_whole_group_and_later_stages_do_not_run() {
    let place = Place::new();
    let stages = vec![
        place.stage("one", "sh -c 'echo $$; sleep 600'; echo not reached"),
        place.stage("two", "echo > $PLACE/two"),
    ];
    let spec = place.spec(stages);
    let mut job = place.launcher.launch(&spec).await.unwrap();
    let pid: i32 = loop {
        if let JobEvent::Line(line) = next(&mut job).await {
            break line.text.parse().unwrap();
        }
    };
    assert!(is_alive(pid) && !job.folder().living_processes().is_empty());
    job.terminate().unwrap();
    let done = finish(&mut job).await;
    assert!(done.exit().stopped);
    assert_eq!(done.exit().signal, Some(15));
    assert_eq!(done.exit().code, 143);
    assert!(job.folder().living_processes().is_empty() && !is_alive(pid));
    assert!(!place.path("two").exists());
}

#[tokio::test]
async fn a_process_that_ignores_sigterm_ends_with_kill() {
    let place = Place::new();
    let script = "trap 'echo refused' TERM; echo ready; while :; do sleep 0.1; done";
    let spec = place.spec(vec![place.stage("only", script)]);
    let mut job = place.launcher.launch(&spec).await.unwrap();
    until_line(&mut job, "ready").await;
    job.terminate().unwrap();
    until_line(&mut job, "refused").await;
    assert!(!job.folder().living_processes().is_empty());
    job.kill().unwrap();
    let done = finish(&mut job).await;
    assert_eq!((done.exit().signal, done.exit().stopped), (Some(9), true));
    assert!(job.folder().living_processes().is_empty());
}

#[tokio::test]
async fn a_stage_beyond_its_limit_is_ended() {
    let place = Place::new();
    let mut stage = place.stage("only", "sleep 600");
    stage.limit_ms = Some(100);
    let done = place.run(vec![stage]).await;
    assert_eq!((done.exit().code, done.exit().timed_out), (124, true));
    assert!(!done.exit().stopped);
}

#[tokio::test]
async fn c02_a_second_job_waits_until_nothing_of_the_first_is_left() {
    let place = Place::new();
    let first = place.spec(vec![place.stage(
        "first",
        "echo first starts >> $PLACE/log; while ! [ -e $PLACE/go ]; do sleep 0.05; done; echo first ends >> $PLACE/log",
    )]);
    let second = place.spec(vec![place.stage("second", "echo second >> $PLACE/log")]);
    let mut first = place.launcher.launch(&first).await.unwrap();
    until("the first runs", || !place.text("log").is_empty()).await;
    let mut second = place.launcher.launch(&second).await.unwrap();
    until("the second is claimed", || {
        second.folder().path().join("started").exists()
    })
    .await;
    std::fs::write(place.path("go"), "").unwrap();
    assert_eq!(finish(&mut first).await.exit().code, 0);
    assert_eq!(finish(&mut second).await.exit().code, 0);
    assert_eq!(place.text("log"), "first starts\nfirst ends\nsecond\n");
}

#[tokio::test]
async fn progress_is_told_in_order() {
    let place = Place::new();
    let done = place.sh("true").await;
    let notes: Vec<&Note> = done
        .events
        .iter()
        .filter_map(|event| match event {
            JobEvent::Note(note) => Some(note),
            JobEvent::Line(_) | JobEvent::Dropped(_) | JobEvent::Ended(_) => None,
        })
        .collect();
    assert!(matches!(
        notes[..],
        [
            Note::StageStarted { index: 0, .. },
            Note::ProcessStarted { .. },
            Note::StageEnded { index: 0, code: 0 }
        ]
    ));
}
