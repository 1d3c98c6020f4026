//! The parts of the server, each made from the configuration.

use std::sync::Arc;

use nixfleet_core::Timestamp;
use nixfleet_core::fleet::Snapshot;
use nixfleet_core::host::Presence;
use nixfleet_core::update::UpdatePolicy;

use super::StartError;
use crate::auth::{Auth, AuthSettings, LoginBudgets};
use crate::clock::Clock;
use crate::config::Config;
use crate::forge::memory::Memory;
use crate::forge::{self, Forge};
use crate::hub::Hub;
use crate::routes::agent_ws::AgentChannel;
use crate::routes::api::Api;
use crate::routes::browser_ws::LiveChannel;
use crate::routes::health::Readiness;
use crate::routes::webhooks::Hooks;
use crate::routes::{self, Route, any_of};
use crate::sources::{ForgeSource, GitSource, Limits, Source, VersionJsonSource};
use crate::store::{Condition, Store};
use crate::zones;

pub(super) fn all_routes(
    api: &Api,
    agents: AgentChannel,
    live: LiveChannel,
    readiness: Readiness,
    hooks: Hooks,
) -> Route {
    let auth = &api.auth;
    any_of([
        routes::agent_ws::routes(agents),
        routes::browser_ws::routes(live),
        routes::assets::page(auth),
        routes::assets::routes(),
        routes::auth::routes(auth),
        routes::hosts::routes(api),
        routes::host_edits::routes(api),
        routes::dispatch::routes(api),
        routes::commands::routes(api),
        routes::updates::routes(api),
        routes::rollouts::routes(api),
        routes::upkeep::routes(api),
        routes::holds::routes(api),
        routes::past::routes(api),
        routes::audit::routes(api),
        routes::webhooks::routes(api, hooks),
        routes::tables::routes(auth),
        routes::compat::routes(api),
        routes::health::routes(readiness),
    ])
}

pub(super) fn authentication(config: &Config, store: &Store, clock: Clock) -> Arc<Auth> {
    let settings = AuthSettings {
        password: config.password.clone(),
        agent_token: config.agent_token.clone(),
        site: config.site.clone(),
        budgets: LoginBudgets::default(),
    };
    Arc::new(Auth::new(settings, Arc::new(store.clone()), clock))
}

pub(super) fn readiness(store: &Store, hub: &Hub) -> Readiness {
    let (store, hub) = (store.clone(), hub.clone());
    Readiness::new()
        .with("store", move || {
            let condition = store.condition();
            async move {
                match condition {
                    Condition::Sound => Ok(()),
                    Condition::Damaged(what) => Err(what),
                }
            }
        })
        .with("hub", move || {
            let hub = hub.clone();
            async move { hub.ask(|_| ()).await.map_err(|gone| gone.to_string()) }
        })
}

pub(super) fn is_intact(store: &Store) -> bool {
    match store.condition() {
        Condition::Sound => true,
        Condition::Damaged(what) => {
            tracing::error!(
                what,
                "the database is damaged; nothing is written and no command is taken until it is \
                 restored"
            );
            false
        }
    }
}

/// The configured forge.
pub(super) fn forge(
    config: &Config,
    clock: &Clock,
    memory: Memory,
) -> Result<Option<Arc<dyn Forge>>, StartError> {
    let settings = config.forge.clone();
    let connect = |settings| forge::connect_knowing(settings, clock.clone(), memory);
    Ok(settings.map(connect).transpose()?)
}

/// What the core decides about update pull requests, if a forge is configured.
pub(super) fn update_policy(config: &Config) -> Option<UpdatePolicy> {
    let forge = config.forge.as_ref()?;
    let settings = &config.updates;
    Some(UpdatePolicy {
        label: settings.label.clone(),
        authors: settings.authors.iter().cloned().collect(),
        required_checks: settings.required_checks.iter().cloned().collect(),
        delay: settings.auto_merge_delay,
        auto_merge: settings.auto_merge,
        method: settings.merge_method,
        direct_revert: settings.direct_revert,
        interval: settings.poll,
        ..UpdatePolicy::new(forge.repo.to_string(), forge.branch.as_str())
    })
}

/// The zones of the stored windows as the zone database has them now: rules change. One that is
/// not there any more stays as it was.
pub(super) fn renew_zones(snapshot: &mut Snapshot, now: Timestamp) {
    let settings = &mut snapshot.settings;
    for zone in zones::zones_of(settings.windows.iter(), now) {
        settings.zones.insert(zone.name.clone(), zone);
    }
}

/// The configured source of the desired state. A repository goes before a forge, and that before a
/// page.
pub(super) fn source(
    config: &Config,
    forge: Option<&Arc<dyn Forge>>,
) -> Result<Option<Source>, StartError> {
    if let Some(remote) = &config.repo {
        let folder = config.data_dir.join("mirror");
        let limits = Limits::default();
        let source = GitSource::new(remote.clone(), config.branch.clone(), folder, limits);
        return Ok(Some(Source::Git(Box::new(source))));
    }
    if let Some(forge) = forge {
        let source = ForgeSource::new(Arc::clone(forge), config.branch.clone());
        return Ok(Some(Source::Forge(Box::new(source))));
    }
    match &config.version_url {
        Some(url) => {
            let source = VersionJsonSource::new(url.as_str())?;
            Ok(Some(Source::VersionJson(Box::new(source))))
        }
        None => {
            tracing::warn!(
                "no repository is configured, so nothing will be green; set NIXFLEET_REPO to a git \
                 URL or path, NIXFLEET_GITHUB_REPO to a repository of a forge, or \
                 NIXFLEET_VERSION_URL to a published version.json"
            );
            Ok(None)
        }
    }
}

/// Where the desired state comes from, for people.
pub(super) fn remote_shown(config: &Config, forge: Option<&Arc<dyn Forge>>) -> Option<Arc<str>> {
    match (&config.repo, forge) {
        (Some(remote), _) => Some(remote.shown().into()),
        (None, Some(forge)) => Some(forge.shown().into()),
        (None, None) => None,
    }
}

/// The latest moment that anything stored speaks of.
pub(super) fn last_moment(snapshot: &Snapshot) -> Timestamp {
    let hosts = snapshot.hosts.iter().map(|host| match host.presence {
        Presence::Offline { since } => since.max(host.added),
        Presence::Online | Presence::NeverSeen => host.added,
    });
    let commands = snapshot.commands.iter().map(|command| command.latest);
    let events = snapshot.events.iter().map(|event| event.at);
    let remote = snapshot
        .remote
        .iter()
        .filter_map(|watch| watch.verified_at());
    let rollouts = snapshot.rollouts.iter().map(|rollout| rollout.since);
    let merged = snapshot.updates.merged.iter().map(|merged| merged.at);
    let all = hosts
        .chain(commands)
        .chain(events)
        .chain(remote)
        .chain(rollouts)
        .chain(merged);
    all.max().unwrap_or(Timestamp::EPOCH)
}
