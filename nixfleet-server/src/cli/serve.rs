//! `nixfleet-server serve`.

use std::io::{self, Write};
use std::net::SocketAddr;

use secrecy::ExposeSecret;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Failure, logging, runtime};
use crate::app::{Replacements, Server, StartError};
use crate::config::{Config, Listen, ServeArgs, process_environment};
use crate::net::Drain;

pub(super) fn run(args: &ServeArgs) -> Result<(), Failure> {
    logging::start(args.log.as_deref())?;
    let config = Config::load(args, &process_environment)?;
    show_generated(&config);
    runtime()?.block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), Failure> {
    let display_url = config.display_url.clone();
    let exposed = !config.listen.is_loopback() && config.site.public_origin().is_none();
    let server = Server::start(config, Replacements::default()).await?;
    // Before anybody can know that there is something to stop.
    let signals = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    tokio::spawn(cancel_on_signal(signals, server.shutdown()));
    announce(&display_url, server.address, exposed);
    match server.ended().await {
        Ok(Drain::Complete) => tracing::info!("stopped"),
        Ok(Drain::Cut(open)) => tracing::warn!(open, "stopped; some connections were cut"),
        Err(error) => {
            return Err(Failure::while_doing("stopped by itself", &error));
        }
    }
    Ok(())
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Failure::while_doing("cannot start", &error)
    }
}

fn announce(display_url: &str, address: SocketAddr, exposed: bool) {
    let version = env!("CARGO_PKG_VERSION");
    let url = display_url.replace(":0/", &format!(":{}/", address.port()));
    tracing::info!(version, %address, url, "serving");
    print(&format!("NixFleet {version} at {url}"));
    let local = Listen::from(address).display_url();
    print(&format!("listening on {}", local.trim_end_matches('/')));
    if exposed {
        tracing::warn!(
            "this address can be reached from the network without TLS, and host names are not \
             checked; put a TLS proxy in front and set NIXFLEET_PUBLIC_URL"
        );
    }
}

/// At once, before anything can fail: of the password only the hash is kept.
fn show_generated(config: &Config) {
    for made in &config.generated {
        print(&format!(
            "New {}, shown this once: {}  (kept for the next start through {})",
            made.what,
            made.secret.expose_secret(),
            made.kept_in.display()
        ));
    }
}

fn print(line: &str) {
    if let Err(error) = writeln!(io::stdout(), "{line}") {
        tracing::warn!(%error, "cannot write to standard output");
    }
}

async fn cancel_on_signal(
    signals: (io::Result<Signal>, io::Result<Signal>),
    shutdown: CancellationToken,
) {
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        tracing::error!("signals cannot be received; stop the server with SIGKILL");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping; a second signal ends the server at once");
    shutdown.cancel();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    std::process::exit(1);
}
