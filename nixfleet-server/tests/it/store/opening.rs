//! Opening: new, migrated, newer, foreign, damaged, and in use.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nixfleet_core::Timestamp;
use nixfleet_server::auth::roles::Role;
use nixfleet_server::auth::store::{CredentialStore, SecretHash, SessionRecord};
use nixfleet_server::store::{Condition, DataFolder, Store, StoreError};
use sqlx::Connection;

use super::Home;

fn session(name: &str) -> SessionRecord {
    SessionRecord {
        hash: SecretHash::of(name),
        account: name.to_owned(),
        role: Role::Operator,
        created_at: Timestamp::from_seconds(1),
        last_used_at: Timestamp::from_seconds(1),
        expires_at: Timestamp::from_seconds(9),
    }
}

#[tokio::test]
async fn a_new_database_is_private_durable_and_strict() {
    let home = Home::new();
    let store = home.open().await;
    assert_eq!(store.condition(), Condition::Sound);
    assert_eq!(store.check().await, Condition::Sound);
    let mode = home.database().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut raw = home.raw().await;
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut raw)
        .await
        .unwrap();
    assert_eq!(journal, "wal");
    let lax: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM pragma_table_list
         WHERE type = 'table' AND strict = 0 AND name NOT LIKE 'sqlite_%' AND name <> '_sqlx_migrations'",
    )
    .fetch_all(&mut raw)
    .await
    .unwrap();
    assert_eq!(lax, Vec::<String>::new());
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let home = Home::new();
    let store = home.open().await;
    store.insert_session(session("a")).await.unwrap();
    store.close().await;
    drop(store);
    let store = home.open().await;
    assert_eq!(store.list_sessions().await.unwrap(), [session("a")]);
}

#[tokio::test]
async fn a_second_server_is_refused_and_a_tool_is_not() {
    let home = Home::new();
    let store = home.open().await;
    let refused = home.try_open().await.unwrap_err();
    assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
    let beside = Store::open_beside(home.0.path()).await.unwrap();
    beside.insert_session(session("a")).await.unwrap();
    assert_eq!(store.list_sessions().await.unwrap().len(), 1);
    drop(store);
    assert!(home.try_open().await.is_ok());
}

#[tokio::test]
async fn a_newer_schema_refuses_to_start() {
    let home = Home::new();
    home.open().await.close().await;
    let mut connection = home.raw().await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'of the future', 1, x'00', 0)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    let refused = home.try_open().await.unwrap_err();
    assert!(
        matches!(refused, StoreError::Newer { found: 9999, .. }),
        "{refused}"
    );
    assert!(refused.to_string().contains("newer server"));
    let refused = Store::open_beside(home.0.path()).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::Newer { found: 9999, .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn the_database_of_another_program_is_left_alone() {
    let home = Home::new();
    let mut other = home.raw().await;
    sqlx::query("CREATE TABLE notes (text TEXT)")
        .execute(&mut other)
        .await
        .unwrap();
    other.close().await.unwrap();
    let before = std::fs::read(home.database()).unwrap();
    let refused = home.try_open().await.unwrap_err();
    assert!(matches!(refused, StoreError::NotOurs(_)), "{refused}");
    // Opening switches the journal to WAL, which is two bytes of the header; nothing else.
    let after = std::fs::read(home.database()).unwrap();
    assert_eq!(before[100..], after[100..]);
}

#[tokio::test]
async fn a_damaged_database_is_only_read() {
    let home = Home::new();
    let store = home.open().await;
    for number in 0..500 {
        store
            .insert_session(session(&number.to_string()))
            .await
            .unwrap();
    }
    store.close().await;
    drop(store);
    let sound = std::fs::read(home.database()).unwrap();
    let last_page = sound.len() - 4096;
    let damages: [(&str, Vec<u8>); 4] = [
        ("truncated", sound[..sound.len() - 5000].to_vec()),
        (
            "zeroed page",
            [&sound[..last_page], &[0; 4096][..]].concat(),
        ),
        (
            "bad header",
            [b"not a database at all".as_slice(), &sound[21..]].concat(),
        ),
        ("bad id", [&sound[..68], b"XXXX", &sound[72..]].concat()),
    ];
    for (name, bytes) in damages {
        std::fs::write(home.database(), bytes).unwrap();
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", home.database().display()));
        }
        let store = home.open().await;
        assert!(matches!(store.condition(), Condition::Damaged(_)), "{name}");
        assert!(
            store.insert_session(session("late")).await.is_err(),
            "{name}"
        );
        store.close().await;
    }
    std::fs::write(home.database(), sound).unwrap();
    let store = home.open().await;
    assert_eq!(
        store.condition(),
        Condition::Sound,
        "control: the same file undamaged"
    );
    assert_eq!(store.list_sessions().await.unwrap().len(), 500);
}

#[tokio::test]
async fn a_backup_can_be_opened_as_a_database() {
    let home = Home::new();
    let store = home.open().await;
    store.insert_session(session("a")).await.unwrap();
    let restored = Home::new();
    store.back_up(&restored.database()).await.unwrap();
    store.insert_session(session("after")).await.unwrap();
    assert!(
        store.back_up(&restored.database()).await.is_err(),
        "never overwritten"
    );
    assert_eq!(
        restored.open().await.list_sessions().await.unwrap(),
        [session("a")]
    );
}

/// Runs this test again as a child that writes until it is killed.
#[tokio::test]
async fn acknowledged_writes_survive_a_kill() {
    const CHILD: &str = "NIXFLEET_TEST_KILLED_FOLDER";
    if let Some(folder) = std::env::var_os(CHILD) {
        let folder = DataFolder::take(folder.as_ref()).unwrap();
        let store = Store::open(folder).await.unwrap();
        for number in 0.. {
            store
                .insert_session(session(&number.to_string()))
                .await
                .unwrap();
            println!("written {number}");
        }
    }
    let home = Home::new();
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "store::opening::acknowledged_writes_survive_a_kill",
                "--nocapture",
            ])
            .env(CHILD, home.0.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines =
            std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let mut last = None;
        while let Some(Ok(line)) = lines.next() {
            last = line
                .rsplit_once("written ")
                .and_then(|(_, number)| number.parse::<usize>().ok())
                .or(last);
            if last == Some(10 * round) {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let store = home.open().await;
        assert_eq!(store.condition(), Condition::Sound);
        let kept = store.list_sessions().await.unwrap().len();
        assert!(
            kept > last.unwrap(),
            "{kept} sessions kept, {} acknowledged",
            last.unwrap() + 1
        );
        for record in store.list_sessions().await.unwrap() {
            store.delete_session(record.hash).await.unwrap();
        }
        store.close().await;
    }
}
