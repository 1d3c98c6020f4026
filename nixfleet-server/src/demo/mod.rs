//! The demo: a small fleet in a throw-away folder, with a real git remote, a real server and real
//! agents, that plays a day of updates and checks every row it shows.

pub mod client;
pub mod error;
pub mod existing;
pub mod flake;
pub mod host;
pub mod live;
pub mod play;
pub mod process;
pub mod rows;
mod screen;
pub mod story;
pub mod upstream;
pub mod wait;
pub mod world;

use std::ffi::OsString;
use std::io::Read;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

use self::error::{DemoError, DemoResult};
use self::host::{HostCommand, HostFolder};
use self::play::{Manner, Player, Sabotage};
use self::screen::Screen;
use self::story::HOSTS;
use self::world::{Programs, Setup, World};
use crate::cli::Failure;
use crate::config::parse_duration;

/// The address that people expect the page at.
const USUAL_ADDRESS: &str = "127.0.0.1:8000";
const ANY_ADDRESS: &str = "127.0.0.1:0";

/// Flags of `demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// Play as fast as it goes, check every row, and end; non-zero if anything differs
    #[arg(long)]
    pub headless: bool,
    /// Keep the folder with the repository, the database and the logs
    #[arg(long)]
    pub keep: bool,
    /// Time between two steps of the story [default: 6s; none with --headless]
    #[arg(long, value_name = "DURATION")]
    pub pause: Option<String>,
    /// How long to wait for any condition
    #[arg(long, value_name = "DURATION", default_value = "30s", hide = true)]
    pub patience: String,
    /// Break something on purpose, to see that it is noticed
    #[arg(long, value_name = "WHAT", hide = true)]
    pub sabotage: Option<Sabotage>,
}

/// Arguments of a command on a host of the demo.
#[derive(Clone, Debug, clap::Args)]
pub struct HostArgs {
    folder: PathBuf,
    command: HostCommand,
    pace: String,
}

/// Runs the demo.
///
/// # Errors
/// [`Failure`] if a row differs from what it should be, or anything else goes wrong.
pub fn run(args: &DemoArgs) -> Result<(), Failure> {
    let told = |error: DemoError| Failure::Other(format!("the demo failed: {error}"));
    let duration = |text: &str| {
        parse_duration(text).map_err(|error| Failure::Other(format!("{text:?}: {error}")))
    };
    let usual = if args.headless { "0s" } else { "6s" };
    let pause = duration(args.pause.as_deref().unwrap_or(usual))?;
    let patience = duration(&args.patience)?;
    let exe = std::env::current_exe()
        .map_err(|error| Failure::while_doing("cannot find this program", &error))?;
    let setup = Setup {
        programs: Programs {
            agent: [exe.as_os_str(), "demo-child".as_ref(), "agent".as_ref()]
                .map(OsString::from)
                .to_vec(),
            server: exe,
            lifeline: true,
        },
        hosts: HOSTS.to_vec(),
        listen: address(args.headless).to_owned(),
        fetch_ttl: "500ms",
        pace: if args.headless {
            Duration::ZERO
        } else {
            Duration::from_secs(2)
        },
        patience,
        keep: args.keep,
        server_environment: Vec::new(),
        agent_environment: Vec::new(),
    };
    let manner = Manner {
        pause,
        interactive: !args.headless,
        sabotage: args.sabotage,
    };
    crate::cli::runtime()?.block_on(async {
        let mut world = World::create(setup).map_err(told)?;
        let ended = tokio::select! {
            played = show(&mut world, manner) => played,
            () = interrupted() => {
                if manner.interactive { Ok(()) } else { Err(DemoError::Wrong("interrupted".to_owned())) }
            }
        };
        if args.keep {
            eprintln!("the folder stays: {}", world.folder().display());
        }
        world.shut_down().await;
        ended.map_err(told)
    })
}

/// Runs a command of a host of the demo.
#[must_use]
pub fn run_on_host(args: HostArgs) -> ExitCode {
    let pace = parse_duration(&args.pace).unwrap_or_default();
    host::perform(&HostFolder::open(args.folder), args.command, pace)
}

/// Ends this process when its standard input ends, which is when the demo is gone.
pub fn hold_lifeline() {
    std::thread::spawn(|| {
        let mut rest = [0; 64];
        let mut stdin = std::io::stdin().lock();
        while matches!(stdin.read(&mut rest), Ok(count) if count > 0) {}
        if kill(Pid::this(), Signal::SIGTERM).is_err() {
            std::process::exit(1);
        }
    });
}

async fn show(world: &mut World, manner: Manner) -> DemoResult<()> {
    let screen = Screen::new();
    world.start_server().await?;
    screen.say(&format!(
        "A fleet at {}/  password {}",
        world.api()?.origin(),
        world.password()
    ));
    screen.say(&format!("Its files are in {}", world.folder().display()));
    if manner.interactive {
        screen.say("Open the page, log in and watch; the story begins now.");
    }
    let _existing = Player::new(world, manner).play().await?;
    if manner.interactive {
        screen.say("\nThe story is over; the fleet stays up for you. Ctrl-C ends it.");
        std::future::pending::<()>().await;
    }
    Ok(())
}

async fn interrupted() {
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = kinds.map(signal) else {
        // Without signals there is no polite end; the children still notice ours.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

/// The usual address if it is free, else any; a run without a browser takes any.
fn address(headless: bool) -> &'static str {
    if !headless && TcpListener::bind(USUAL_ADDRESS).is_ok() {
        return USUAL_ADDRESS;
    }
    ANY_ADDRESS
}
