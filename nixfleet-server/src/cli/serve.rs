//! `nixfleet-server serve`.

use std::io::Write;
use std::sync::Arc;

use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Failure, logging, runtime};
use crate::auth::{Auth, AuthSettings, LoginBudgets, MemoryCredentials};
use crate::clock::Clock;
use crate::config::{Config, ServeArgs, process_environment};
use crate::net::{self, Drain};
use crate::routes::{self, Route, any_of, health::Readiness};

pub(super) fn run(args: &ServeArgs) -> Result<(), Failure> {
    logging::start(args.log.as_deref())?;
    let config = Config::load(args, &process_environment)?;
    runtime()?.block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), Failure> {
    // 1. The socket first: if the address is taken, nothing else was touched.
    let listener = config.listen.bind().await.map_err(|error| {
        Failure::while_doing(
            format!("NIXFLEET_LISTEN: cannot listen on {}", config.listen),
            &error,
        )
    })?;
    announce(&config, &listener);

    // 2. Who may come in.
    let shutdown = CancellationToken::new();
    let settings = AuthSettings {
        password: config.password,
        agent_token: config.agent_token,
        site: config.site.clone(),
        budgets: LoginBudgets::default(),
    };
    let auth = Arc::new(Auth::new(
        settings,
        Arc::new(MemoryCredentials::new()),
        Clock::system(),
    ));
    let housekeeping = tokio::spawn({
        let (auth, shutdown) = (auth.clone(), shutdown.clone());
        async move { auth.housekeeping(shutdown).await }
    });

    // 3. Serve until a signal, then let everybody finish.
    tokio::spawn(cancel_on_signal(shutdown.clone()));
    let drain = net::serve(
        listener,
        all_routes(&auth),
        config.site,
        config.limits,
        shutdown,
    )
    .await;
    housekeeping.await.ok();
    match drain {
        Drain::Complete => tracing::info!("stopped"),
        Drain::Cut(open) => tracing::warn!(open, "stopped; some connections were cut"),
    }
    Ok(())
}

fn all_routes(auth: &Arc<Auth>) -> Route {
    any_of([
        routes::auth::routes(auth),
        routes::assets::routes(),
        routes::assets::page(auth),
        routes::health::routes(Readiness::new()),
    ])
}

fn announce(config: &Config, listener: &TcpListener) {
    let port = listener.local_addr().map_or(0, |address| address.port());
    let url = config.display_url.replace(":0/", &format!(":{port}/"));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), listen = %config.listen, %url, "serving");
    let mut lines = vec![format!("NixFleet {} at {url}", env!("CARGO_PKG_VERSION"))];
    lines.extend(config.generated.iter().map(|made| {
        format!(
            "New {}, shown this once: {}  (kept for the next start through {})",
            made.what,
            made.secret.expose_secret(),
            made.kept_in.display()
        )
    }));
    if let Err(error) = writeln!(std::io::stdout(), "{}", lines.join("\n")) {
        tracing::warn!(%error, "cannot write to standard output");
    }
    if !config.listen.is_loopback() && config.site.public_origin().is_none() {
        tracing::warn!(
            "this address can be reached from the network without TLS, and host names are not \
             checked; put a TLS proxy in front and set NIXFLEET_PUBLIC_URL"
        );
    }
}

async fn cancel_on_signal(shutdown: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
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
