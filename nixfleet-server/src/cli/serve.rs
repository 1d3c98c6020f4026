//! `nixfleet-server serve`.

use std::io::Write;
use std::sync::Arc;

use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Failure, logging, runtime};
use crate::auth::{Auth, AuthSettings, LoginBudgets};
use crate::clock::Clock;
use crate::config::{Config, ServeArgs, process_environment};
use crate::net::{self, Drain};
use crate::routes::{self, Route, any_of, health::Readiness};
use crate::store::{Condition, DataFolder, Store};

pub(super) fn run(args: &ServeArgs) -> Result<(), Failure> {
    logging::start(args.log.as_deref())?;
    let config = Config::load(args, &process_environment)?;
    show_generated(&config);
    runtime()?.block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), Failure> {
    // 1. The socket first: if the address is taken, the database is not touched.
    let listener = config.listen.bind().await.map_err(|error| {
        Failure::while_doing(
            format!("NIXFLEET_LISTEN: cannot listen on {}", config.listen),
            &error,
        )
    })?;
    let store = open_store(&config).await?;
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
        Arc::new(store.clone()),
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
        all_routes(&auth, &store),
        config.site,
        config.limits,
        shutdown,
    )
    .await;
    housekeeping.await.ok();
    store.close().await;
    match drain {
        Drain::Complete => tracing::info!("stopped"),
        Drain::Cut(open) => tracing::warn!(open, "stopped; some connections were cut"),
    }
    Ok(())
}

fn all_routes(auth: &Arc<Auth>, store: &Store) -> Route {
    any_of([
        routes::auth::routes(auth),
        routes::assets::routes(),
        routes::assets::page(auth),
        routes::health::routes(readiness(store)),
    ])
}

async fn open_store(config: &Config) -> Result<Store, Failure> {
    let folder = DataFolder::take(&config.data_dir)
        .map_err(|error| Failure::while_doing("NIXFLEET_DATA_DIR", &error))?;
    let store = Store::open(folder)
        .await
        .map_err(|error| Failure::while_doing("cannot open the database", &error))?;
    if let Condition::Damaged(what) = store.condition() {
        tracing::error!(
            what,
            "the database is damaged; nothing is written until it is restored"
        );
    }
    Ok(store)
}

fn readiness(store: &Store) -> Readiness {
    let store = store.clone();
    Readiness::new().with("store", move || {
        let condition = store.condition();
        async move {
            match condition {
                Condition::Sound => Ok(()),
                Condition::Damaged(what) => Err(what),
            }
        }
    })
}

fn announce(config: &Config, listener: &TcpListener) {
    let port = listener.local_addr().map_or(0, |address| address.port());
    let url = config.display_url.replace(":0/", &format!(":{port}/"));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), listen = %config.listen, %url, "serving");
    print(&format!("NixFleet {} at {url}", env!("CARGO_PKG_VERSION")));
    if !config.listen.is_loopback() && config.site.public_origin().is_none() {
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
    if let Err(error) = writeln!(std::io::stdout(), "{line}") {
        tracing::warn!(%error, "cannot write to standard output");
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
