//! The audit trail finds every change to it.

use nixfleet_core::Timestamp;
use nixfleet_core::fleet::{AuditRecord, Record};
use nixfleet_core::host::Actor;
use nixfleet_server::store::AuditVerdict;

use super::Home;
use super::day::{command_id, host};

fn entry(number: i64) -> Record {
    Record::Audit(AuditRecord {
        at: Timestamp::from_seconds(number),
        actor: if number % 2 == 0 {
            Actor::Person("me".into())
        } else {
            Actor::Automation("auto".into())
        },
        action: format!("action-{number}"),
        host: (number % 3 == 0).then(|| host("web-1")),
        command: (number % 2 == 0).then(|| command_id(7)),
        reason: (number % 5 == 0).then(|| "because".into()),
        outcome: "done".into(),
        before: (number % 4 == 0).then(|| "1".into()),
        after: (number % 4 < 2).then(|| "2".into()),
        peer: (number % 7 == 0).then(|| "192.0.2.1".into()),
    })
}

async fn home_with_trail() -> Home {
    let home = Home::new();
    let store = home.open().await;
    let entries: Vec<Record> = (1..=30).map(entry).collect();
    for batch in entries.chunks(7) {
        store.commit(batch).await.unwrap();
    }
    store.close().await;
    home
}

#[tokio::test]
async fn g10_deleting_editing_or_reordering_any_row_is_detected() {
    let home = home_with_trail().await;
    let intact = home.open().await.verify_audit().await.unwrap();
    assert_eq!(intact, AuditVerdict::Intact(30), "control");

    for statement in [
        "UPDATE audit SET actor = 'you' WHERE n = 12",
        "UPDATE audit SET at = at + 1 WHERE n = 12",
        "UPDATE audit SET outcome = 'denied' WHERE n = 12",
        "UPDATE audit SET action = action || 'x' WHERE n = 12",
        "UPDATE audit SET reason = NULL WHERE n = 15",
        "UPDATE audit SET reason = '' WHERE n = 12",
        "UPDATE audit SET host = NULL WHERE n = 12",
        "UPDATE audit SET command = NULL WHERE n = 12",
        "UPDATE audit SET actor_kind = 'automation' WHERE n = 12",
        "UPDATE audit SET digest = zeroblob(32) WHERE n = 12",
        "UPDATE audit SET n = CASE n WHEN 12 THEN -13 ELSE -12 END WHERE n IN (12, 13)",
        "DELETE FROM audit WHERE n = 1",
        "DELETE FROM audit WHERE n = 12",
        "DELETE FROM audit WHERE n = 30",
        "DELETE FROM audit",
    ] {
        let home = home_with_trail().await;
        home.execute(statement).await;
        if statement.contains("-13") {
            home.execute("UPDATE audit SET n = -n WHERE n < 0").await;
        }
        let found = home.open().await.verify_audit().await.unwrap();
        assert!(
            matches!(found, AuditVerdict::Broken(_)),
            "{statement}: {found:?}"
        );
    }
}

#[tokio::test]
async fn an_empty_trail_is_intact() {
    let home = Home::new();
    assert_eq!(
        home.open().await.verify_audit().await.unwrap(),
        AuditVerdict::Intact(0)
    );
}
