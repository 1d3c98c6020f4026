//! One record into its tables.

use nixfleet_core::desired::{Remote, RemoteWatch};
use nixfleet_core::fleet::{HostRecord, Record};
use nixfleet_core::host::{DeployOutcome, Presence};
use nixfleet_core::lifecycle::Command;
use nixfleet_core::sync::EventView;
use nixfleet_core::{CommandId, HostId, StateVersion};
use sqlx::{Sqlite, Transaction};

use super::audit;
use super::error::StoreError;
use super::fleet::Body;
use super::host_row;
use super::value::{bytes, json, number, sum, text, word};
use super::{rollouts, updates};

type Writing = Transaction<'static, Sqlite>;

/// Writes a record in place of the one with the same key.
pub(super) async fn write_record(writing: &mut Writing, record: &Record) -> Result<(), StoreError> {
    match record {
        Record::Host(host) => write_host(writing, host).await,
        Record::HostRemoved(host) => remove_host(writing, host).await,
        Record::Command(command) => write_command(writing, command).await,
        Record::Remote(watch) => write_remote(writing, watch).await,
        Record::Event(event) => write_event(writing, event).await,
        Record::Audit(record) => audit::append(writing, record).await,
        Record::Version(version) => write_version(writing, *version).await,
        Record::Rollout(rollout) => rollouts::write(writing, rollout).await,
        Record::Settings(settings) => updates::write_settings(writing, settings).await,
        Record::Update(record) => updates::write(writing, record).await,
    }
}

async fn write_host(writing: &mut Writing, host: &HostRecord) -> Result<(), StoreError> {
    host_row::write(writing, host).await?;
    let (online, since) = match host.presence {
        Presence::NeverSeen => (None, None),
        Presence::Online => (Some(true), None),
        Presence::Offline { since } => (Some(false), Some(since)),
    };
    if let Some(online) = online {
        // Without a moment of its own, going online is as old as the host until presence is
        // recorded.
        let known = since.unwrap_or(host.added).as_millis();
        sqlx::query(
            "INSERT INTO presence VALUES (?1, ?2, ?3)
             ON CONFLICT (host) DO UPDATE SET online = ?2, last_seen = max(last_seen, ?3)",
        )
        .bind(host.id.as_str())
        .bind(online)
        .bind(known)
        .execute(&mut **writing)
        .await?;
    }
    write_last_ended(writing, host).await?;
    write_deploy(writing, host).await?;
    write_test_result(writing, host).await
}

async fn write_last_ended(writing: &mut Writing, host: &HostRecord) -> Result<(), StoreError> {
    let statement = match host.last_ended {
        Some(_) => "REPLACE INTO last_ended VALUES (?1, ?2)",
        None => "DELETE FROM last_ended WHERE host = ?1 AND ?2 IS NULL",
    };
    sqlx::query(statement)
        .bind(host.id.as_str())
        .bind(bytes(host.last_ended))
        .execute(&mut **writing)
        .await?;
    Ok(())
}

/// The history of deploys: what became of the last one, under its command.
async fn write_deploy(writing: &mut Writing, host: &HostRecord) -> Result<(), StoreError> {
    let deploy = &host.deploy;
    let (Some(id), Some(at)) = (deploy.command, deploy.at) else {
        return Ok(());
    };
    if deploy.outcome == DeployOutcome::Never {
        return Ok(());
    }
    let record = host.observation.deployed.as_ref();
    let built = record.filter(|deployed| deployed.command == Some(id));
    let path = built.and_then(|deployed| deployed.store_path.as_ref());
    let system = host.observation.system.as_ref();
    let runs = system.filter(|system| path.is_some() && system.path.as_ref() == path);
    let command = find_command(writing, id).await?;
    let command = command.as_ref();
    let target = command.and_then(|command| command.target.or(command.requested_target));
    let actor = command.map(|command| audit::actor_columns(&command.actor));
    sqlx::query(
        "INSERT INTO deploys VALUES
            (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
         ON CONFLICT (command) DO UPDATE SET
            outcome = ?4, at = ?5, detail = ?9, commit_id = coalesce(?6, commit_id),
            lock = coalesce(?7, lock), store_path = coalesce(?8, store_path),
            target_commit = coalesce(?14, target_commit), target_lock = coalesce(?15, target_lock),
            generation = coalesce(?16, generation)",
    )
    .bind(bytes(Some(id)))
    .bind(host.id.as_str())
    .bind(number(deploy.seq.0))
    .bind(word(&deploy.outcome)?)
    .bind(at.as_millis())
    .bind(text(built.and_then(|deployed| deployed.commit)))
    .bind(text(built.and_then(|deployed| deployed.lock)))
    .bind(text(path))
    .bind(deploy.detail.as_deref())
    .bind(command.map(|command| command.op.name()))
    .bind(actor.map(|(kind, _)| kind))
    .bind(actor.map(|(_, name)| name))
    .bind(command.map(|command| command.created.as_millis()))
    .bind(text(target.map(|target| target.commit)))
    .bind(text(target.and_then(|target| target.lock)))
    .bind(runs.and_then(|system| system.profile_number).map(number))
    .execute(&mut **writing)
    .await?;
    Ok(())
}

/// A command of the journal, as it is within this transaction.
async fn find_command(writing: &mut Writing, id: CommandId) -> Result<Option<Command>, StoreError> {
    let found: Option<Body> = sqlx::query_as("SELECT body, sum FROM commands WHERE id = ?")
        .bind(id.as_bytes().as_slice())
        .fetch_optional(&mut **writing)
        .await?;
    // Only history is made of it, so a rotten one is no reason to stop.
    Ok(found.and_then(|body| body.read().ok()))
}

async fn write_test_result(writing: &mut Writing, host: &HostRecord) -> Result<(), StoreError> {
    let Some(tests) = &host.tests else {
        return Ok(());
    };
    let key = tests.key.as_ref();
    sqlx::query(
        "INSERT INTO test_results VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(host.id.as_str())
    .bind(tests.at.as_millis())
    .bind(word(&tests.verdict)?)
    .bind(text(key.map(|key| key.commit)))
    .bind(text(key.map(|key| key.lock)))
    .bind(text(key.and_then(|key| key.store_path.as_ref())))
    .bind(tests.ran)
    .bind(json(&tests.failed)?)
    .bind(tests.skipped)
    .execute(&mut **writing)
    .await?;
    Ok(())
}

/// Its commands, deploys and test results stay as history; what would be read at the next start
/// does not.
async fn remove_host(writing: &mut Writing, host: &HostId) -> Result<(), StoreError> {
    for statement in [
        "DELETE FROM hosts WHERE id = ?",
        "DELETE FROM presence WHERE host = ?",
        "DELETE FROM last_ended WHERE host = ?",
    ] {
        sqlx::query(statement)
            .bind(host.as_str())
            .execute(&mut **writing)
            .await?;
    }
    Ok(())
}

async fn write_command(writing: &mut Writing, command: &Command) -> Result<(), StoreError> {
    let open = !command.phase.is_terminal();
    let body = json(command)?;
    sqlx::query(
        "INSERT INTO commands VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (id) DO UPDATE SET
            lane = ?3, seq = ?4, phase = ?6, open = ?7, active = ?8, body = ?10, sum = ?11",
    )
    .bind(command.id.as_bytes().as_slice())
    .bind(command.host.as_str())
    .bind(word(&command.lane)?)
    .bind(number(command.seq.0))
    .bind(word(&command.op)?)
    .bind(word(&command.phase)?)
    .bind(open)
    .bind(command.phase.is_active())
    .bind(command.created.as_millis())
    .bind(&body)
    .bind(sum(body.as_bytes()))
    .execute(&mut **writing)
    .await?;
    Ok(())
}

async fn write_remote(writing: &mut Writing, watch: &RemoteWatch) -> Result<(), StoreError> {
    let body = json(watch)?;
    sqlx::query("REPLACE INTO remote VALUES (1, ?, ?)")
        .bind(&body)
        .bind(sum(body.as_bytes()))
        .execute(&mut **writing)
        .await?;
    let Remote::Verified(snapshot) = watch.remote() else {
        return Ok(());
    };
    let (Ok(commit), Ok(lock), Some(at)) = (&snapshot.commit, &snapshot.lock, watch.verified_at())
    else {
        return Ok(());
    };
    sqlx::query(
        "INSERT INTO desired_history (at, commit_id, lock, subject)
         SELECT ?1, ?2, ?3, ?4
         WHERE NOT EXISTS (
            SELECT 1 FROM (SELECT commit_id, lock FROM desired_history ORDER BY n DESC LIMIT 1)
            WHERE commit_id = ?2 AND lock = ?3)",
    )
    .bind(at.as_millis())
    .bind(commit.to_string())
    .bind(lock.to_string())
    .bind(snapshot.subject.as_deref())
    .execute(&mut **writing)
    .await?;
    Ok(())
}

async fn write_event(writing: &mut Writing, event: &EventView) -> Result<(), StoreError> {
    sqlx::query("REPLACE INTO events VALUES (?, ?, ?, ?, ?)")
        .bind(number(event.n))
        .bind(event.at.as_millis())
        .bind(event.host.as_ref().map(HostId::as_str))
        .bind(&event.code)
        .bind(&event.text)
        .execute(&mut **writing)
        .await?;
    Ok(())
}

/// Versions only rise, whatever order batches come in.
async fn write_version(writing: &mut Writing, version: StateVersion) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE state_version SET epoch = ?1, number = ?2 WHERE (epoch, number) < (?1, ?2)",
    )
    .bind(number(version.epoch))
    .bind(number(version.number))
    .execute(&mut **writing)
    .await?;
    Ok(())
}
