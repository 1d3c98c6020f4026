//! What people settle: maintenance windows, the quarantine, how automation treats a host.

use http::StatusCode;
use nixfleet_core::fleet::Request;
use nixfleet_core::host::HostSettings;
use nixfleet_core::notice::{Notice, NoticeKind};
use nixfleet_core::window::{Opening, Window};
use nixfleet_core::{CommitId, LockHash};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::unknown;
use super::api::{Api, Nothing, host_id, unknown_host, unprocessable, unwritable_store};
use super::asks;
use super::endpoint::{Call, change, read, words};
use super::{Route, any_of, mutations};
use crate::keyed::{self, Claim, Taken};
use crate::reject::Problem;
use crate::zones;

/// `/api/v1/windows…`, `/api/v1/quarantine…`, `…/hosts/{id}/settings`, `…/notifications/test`.
#[must_use]
pub fn routes(api: &Api) -> Route {
    any_of([
        read(api, words(&["windows"]), |api, (), _| async move {
            windows(&api).await
        }),
        change(
            api,
            &mutations::WINDOW_SET,
            |call: Call<String, Value>| async move { window_set(call).await },
        ),
        change(
            api,
            &mutations::WINDOW_REMOVE,
            |call: Call<String, Nothing>| async move {
                let request = Request::RemoveWindow { id: call.path };
                call.api.submit(&call.caller, request).await?;
                Ok(json!({ "status": "ok" }))
            },
        ),
        read(api, words(&["quarantine"]), |api, (), _| async move {
            let quarantine = api.hub.ask(|fleet| fleet.quarantine().to_vec()).await?;
            Ok(json!({ "quarantine": quarantine }))
        }),
        change(
            api,
            &mutations::QUARANTINE_LIFT,
            |call: Call<(), LiftBody>| async move { lifted(call).await },
        ),
        change(
            api,
            &mutations::HOST_SETTINGS,
            |call: Call<String, Value>| async move { settings_set(call).await },
        ),
        change(
            api,
            &mutations::NOTIFICATION_TEST,
            |call: Call<(), Nothing>| async move { notice_sent(&call).await },
        ),
    ])
}

async fn windows(api: &Api) -> Result<Value, Problem> {
    let windows = api.hub.ask(|fleet| fleet.windows().to_vec()).await?;
    let now = api.clock.now();
    let rows = windows.iter().map(|window| {
        let mut row = json!(window);
        if let Ok(zone) = zones::zone(&window.zone, now) {
            row["open"] = json!(window.covers(now, &zone));
            row["next_opening"] = match window.opening(now, &zone) {
                Opening::Open => Value::Null,
                Opening::Closed(next) => json!(next),
            };
        }
        row
    });
    Ok(json!({ "windows": rows.collect::<Vec<_>>() }))
}

async fn window_set(call: Call<String, Value>) -> Result<Value, Problem> {
    let mut said = call.body;
    let id = said.get("id").and_then(Value::as_str);
    if id.is_some_and(|id| id != call.path) {
        return Err(unprocessable(
            "bad_window",
            format!("id: the window is named {:?} in the address", call.path),
        ));
    }
    if let Value::Object(said) = &mut said {
        said.insert("id".to_owned(), json!(call.path));
    }
    let window: Window = asks::from_object("bad_window", "window", said)?;
    let zone = zones::zone(&window.zone, call.api.clock.now());
    let request = Request::SetWindow {
        window: Box::new(window.clone()),
        zone: asks::value("bad_zone", "zone", zone)?,
    };
    call.api.submit(&call.caller, request).await?;
    Ok(json!(window))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LiftBody {
    commit: String,
    #[serde(default)]
    lock: Option<String>,
    reason: String,
}

async fn lifted(call: Call<(), LiftBody>) -> Result<Value, Problem> {
    let body = call.body;
    let commit: CommitId = asks::value("bad_commit", "commit", body.commit.parse())?;
    let lock = body.lock.as_deref().map(str::parse::<LockHash>).transpose();
    let lock = asks::value("bad_lock", "lock", lock)?;
    let Some(reason) = asks::reason(Some(body.reason))? else {
        let expected = "reason: say why it may be deployed again";
        return Err(unprocessable("bad_reason", expected));
    };
    let other_lock = call
        .api
        .hub
        .ask(move |fleet| {
            let mut all = fleet.quarantine().iter();
            let found = all.find(|one| one.target.commit == commit);
            found.is_some_and(|one| lock.is_some() && one.target.lock != lock)
        })
        .await?;
    if other_lock {
        return Err(unknown(
            "not_quarantined",
            "The commit is not quarantined",
            format!("{commit} is in quarantine with another lock. See /api/v1/quarantine"),
        ));
    }
    let request = Request::LiftQuarantine { commit, reason };
    call.api.submit(&call.caller, request).await?;
    Ok(json!({ "status": "ok" }))
}

async fn settings_set(call: Call<String, Value>) -> Result<Value, Problem> {
    let settings: HostSettings = asks::from_object("bad_settings", "settings", call.body)?;
    let host = host_id(&call.path)?;
    let known = {
        let host = host.clone();
        call.api.hub.ask(move |fleet| fleet.host(&host).is_some())
    };
    if !known.await? {
        return Err(unknown_host(&call.path));
    }
    let request = Request::SetHostSettings {
        host,
        settings: Box::new(settings.clone()),
    };
    call.api.submit(&call.caller, request).await?;
    Ok(json!(settings))
}

/// A notice to everybody who is told of things, so that a person sees whether they arrive.
async fn notice_sent(call: &Call<(), Nothing>) -> Result<Value, Problem> {
    let queued = json!({ "status": "queued" });
    let taken = match keyed::claim() {
        Claim::CarriedOut(_) => return Ok(queued),
        Claim::Fresh(request) => Some(Taken {
            request,
            note: queued.to_string(),
        }),
        Claim::None => None,
    };
    let notifier = &call.api.notifier;
    if !notifier.has_channels() {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "nobody_to_tell",
            "Nobody is told of anything",
        )
        .detail("no notification target is configured: set NIXFLEET_NOTIFY_*"));
    }
    let now = call.api.clock.now();
    let title = "NixFleet: a test";
    let body = format!(
        "{} wanted to see whether notices arrive.",
        call.caller.label()
    );
    let subject = now.as_millis().to_string();
    let notice = Notice::new(NoticeKind::Test, now, &subject, title, body);
    let owed = notifier.owed(&notice).unwrap_or_default();
    let kept = call
        .api
        .store
        .commit_all(&[], &owed, taken.as_slice())
        .await;
    kept.map_err(|error| unwritable_store(&error))?;
    // Whatever finds no room now is told from the store.
    drop(notifier.hand_over(owed));
    Ok(queued)
}
