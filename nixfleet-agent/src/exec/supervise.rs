//! The supervisor: runs one recorded job, once and for ever.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::capture::capture;
use super::folder::{JobFolder, try_lock};
use super::frames::{FrameWriter, Note};
use super::process::{End, Order, Scene};
use super::spec::{JobExit, JobSpec, Run, Stage, StageExit, TestOutcome, TestReport, TestResult};
use crate::program::is_executable;

/// An agent that looks at a lock holds it for an instant; nobody else ever holds one for long.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// The job before may still be clearing up.
const TURN_PATIENCE: Duration = Duration::from_secs(15);
const RECORD_PATIENCE: Duration = Duration::from_secs(120);
/// Taken by the supervisor of every exclusive job, beside the folders of the jobs.
pub(super) const TURN: &str = "active.lock";

/// Why a supervisor did not run its job.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// The folder or one of its files cannot be used.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Another supervisor has it.
    #[error("another supervisor runs this job")]
    Locked,
    /// It was claimed before; nothing runs twice.
    #[error("this job was started or given up before; nothing was run")]
    Claimed,
}

/// Runs the job recorded in `path`, unless anybody ever claimed it. Returns when nothing of it is
/// left.
///
/// # Errors
/// [`SuperviseError`]; nothing was run then.
pub fn supervise(path: &Path) -> Result<(), SuperviseError> {
    let file_error = |source| SuperviseError::File {
        path: path.to_owned(),
        source,
    };
    // Fails only for a process that leads a group already; then it has left the agent's, too.
    let _ = nix::unistd::setsid();
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_child_subreaper(true);

    let path = fs::canonicalize(path).map_err(file_error)?;
    let folder = JobFolder::new(&path);
    let spec = folder.spec().map_err(file_error)?;
    let Some(_lock) = patiently(&folder.file("lock"), LOCK_PATIENCE).map_err(file_error)? else {
        return Err(SuperviseError::Locked);
    };
    if !folder.claim().map_err(file_error)? {
        return Err(SuperviseError::Claimed);
    }
    let started = Instant::now();
    let turn = match (spec.exclusive, path.parent()) {
        (true, Some(parent)) => {
            patiently(&parent.join(TURN), TURN_PATIENCE).map(|lock| lock.map(Some))
        }
        (false, _) | (true, None) => Ok(Some(None)),
    };
    let mut exit = match turn {
        Ok(Some(_turn)) => run_job(&folder, &spec).map_err(file_error)?,
        Ok(None) => refused("another command still runs on this host; nothing was run"),
        Err(error) => refused(&format!(
            "the lock of running commands cannot be used: {error}"
        )),
    };
    exit.duration_ms = millis(started.elapsed());
    record_exit(&folder, &exit).map_err(file_error)
}

/// On a full disk the end of a job would be lost, so it waits a while for room.
fn record_exit(folder: &JobFolder, exit: &JobExit) -> io::Result<()> {
    let deadline = Instant::now() + RECORD_PATIENCE;
    loop {
        let recorded = folder.record_exit(exit);
        if recorded.is_ok() || Instant::now() >= deadline {
            return recorded;
        }
        thread::sleep(Duration::from_secs(1));
    }
}

fn refused(problem: &str) -> JobExit {
    JobExit {
        code: 125,
        problem: Some(problem.to_owned()),
        ..JobExit::default()
    }
}

fn run_job(folder: &JobFolder, spec: &JobSpec) -> io::Result<JobExit> {
    let output = FrameWriter::create(&folder.file("output"))?;
    let mut scene = Scene {
        folder: folder.clone(),
        command_id: spec.command_id.to_string(),
        output: Arc::new(Mutex::new(output)),
        told_to_end: watch_signals(),
        survivors: Vec::new(),
    };
    let mut exit = JobExit::default();
    for (index, stage) in spec.stages.iter().enumerate() {
        if scene.stop_asked() {
            break;
        }
        let end = run_stage(&mut scene, spec, index, stage, &mut exit);
        exit.code = end.code;
        exit.signal = end.signal;
        exit.timed_out = end.timed_out;
        exit.problem = end.problem;
        if end.code != 0 {
            break;
        }
    }
    exit.stopped = scene.stop_asked();
    let finished = exit.stages.len() == spec.stages.len();
    if exit.stopped && !finished && exit.code == 0 {
        exit.code = 143;
        exit.problem = Some("stopped before it was complete".to_owned());
    }
    exit.update = folder.update_record();
    folder.tidy();
    exit.dropped_bytes = scene.writer(FrameWriter::finish);
    exit.survivors = scene.survivors;
    Ok(exit)
}

fn run_stage(
    scene: &mut Scene,
    spec: &JobSpec,
    index: usize,
    stage: &Stage,
    exit: &mut JobExit,
) -> End {
    scene.note(&Note::StageStarted {
        index,
        name: stage.name.clone(),
    });
    let before = stage.capture.as_ref().map(capture);
    let started = Instant::now();
    let mut environment = spec.environment.clone();
    environment.extend(stage.environment.clone());
    let own = scene.folder.path().to_owned();
    let order = Order {
        argv: &[],
        folder: stage.folder.as_deref().unwrap_or(&own),
        environment: &environment,
        limit: stage.limit_ms.map(Duration::from_millis),
        missing_advice: stage.missing_advice.as_deref(),
    };
    let end = match &stage.run {
        Run::Command { argv } => scene.run(&Order { argv, ..order }),
        Run::TestScripts { folder, limit_ms } => {
            let limit = Some(Duration::from_millis(*limit_ms));
            let (report, end) = run_scripts(scene, folder, &Order { limit, ..order });
            exit.tests = Some(report);
            end
        }
        Run::TestCommand { argv, limit_ms } => {
            let limit = Some(Duration::from_millis(*limit_ms));
            let name = argv.first().cloned().unwrap_or_default();
            let name = name.rsplit('/').next().unwrap_or(&name).to_owned();
            let tests = vec![Test {
                name,
                argv: argv.clone(),
                executable: true,
            }];
            let (report, end) = run_tests(scene, tests, &Order { limit, ..order });
            exit.tests = Some(report);
            end
        }
    };
    exit.stages.push(StageExit {
        name: stage.name.clone(),
        code: end.code,
        duration_ms: millis(started.elapsed()),
        before,
        after: stage.capture.as_ref().map(capture),
    });
    scene.note(&Note::StageEnded {
        index,
        code: end.code,
    });
    end
}

struct Test {
    name: String,
    argv: Vec<String>,
    executable: bool,
}

fn run_scripts(scene: &mut Scene, folder: &Path, order: &Order<'_>) -> (TestReport, End) {
    match scripts(folder) {
        Ok(tests) => run_tests(scene, tests, order),
        Err(error) => {
            let problem = format!("the tests in {} cannot be read: {error}", folder.display());
            let end = End {
                code: 1,
                problem: Some(problem),
                ..End::default()
            };
            (TestReport::default(), end)
        }
    }
}

/// The `*.sh` files in the order of their names; a folder that does not exist has none.
fn scripts(folder: &Path) -> io::Result<Vec<Test>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut tests = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "sh") && path.is_file() {
            tests.push(Test {
                name: path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                executable: is_executable(&path),
                argv: vec![path.display().to_string()],
            });
        }
    }
    tests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tests)
}

/// Runs all of them, also after a failure: the exit is 1 if any failed, 0 otherwise. That nothing
/// ran is the report's to say, not the exit's.
fn run_tests(scene: &mut Scene, tests: Vec<Test>, order: &Order<'_>) -> (TestReport, End) {
    let total = tests.len();
    let mut report = TestReport::default();
    for (index, test) in tests.into_iter().enumerate() {
        let current = index + 1;
        if scene.stop_asked() {
            break;
        }
        scene.note(&Note::TestStarted {
            name: test.name.clone(),
            current,
            total,
        });
        let result = run_test(scene, &test, order);
        scene.note(&Note::TestEnded {
            result: result.clone(),
            current,
            total,
        });
        report.results.push(result);
    }
    report.aborted = scene.stop_asked();
    let failed = report.failed().count();
    let end = End {
        code: i32::from(failed > 0),
        problem: (failed > 0).then(|| format!("{failed} of {} tests failed", report.ran())),
        ..End::default()
    };
    (report, end)
}

fn run_test(scene: &mut Scene, test: &Test, order: &Order<'_>) -> TestResult {
    if !test.executable {
        return TestResult {
            name: test.name.clone(),
            outcome: TestOutcome::Skipped,
            code: 0,
            duration_ms: 0,
        };
    }
    let started = Instant::now();
    let argv = &test.argv;
    let end = scene.run(&Order { argv, ..*order });
    let outcome = match (end.code, end.timed_out) {
        (_, true) => TestOutcome::TimedOut,
        (0, false) => TestOutcome::Passed,
        (_, false) => TestOutcome::Failed,
    };
    TestResult {
        name: test.name.clone(),
        outcome,
        code: end.code,
        duration_ms: millis(started.elapsed()),
    }
}

/// SIGTERM, SIGINT and SIGHUP to the supervisor end the job in an orderly way. Handlers, unlike a
/// blocked mask, are not inherited by the processes it starts.
fn watch_signals() -> Arc<AtomicBool> {
    use tokio::signal::unix::{SignalKind, signal};
    let told = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&told);
    let (ready, is_ready) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = (
                signal(SignalKind::terminate()),
                signal(SignalKind::interrupt()),
                signal(SignalKind::hangup()),
            ) else {
                return;
            };
            let _ = ready.send(());
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {}
            }
            flag.store(true, Ordering::Relaxed);
            // Handlers stay installed; there is nothing more to learn from further signals.
        });
    });
    let _ = is_ready.recv_timeout(Duration::from_secs(5));
    told
}

fn patiently(path: &Path, patience: Duration) -> io::Result<Option<nix::fcntl::Flock<fs::File>>> {
    let deadline = Instant::now() + patience;
    loop {
        let lock = try_lock(path)?;
        if lock.is_some() || Instant::now() >= deadline {
            return Ok(lock);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
