//! Keyed requests in the store: with what they changed, and for a day.

use std::time::Duration;

use nixfleet_core::Timestamp;
use nixfleet_core::fleet::Record;
use nixfleet_core::sync::EventView;
use nixfleet_server::keyed::{KeyedAnswer, KeyedRequest, Known, Taken};
use nixfleet_server::store::{KEEP_KEYS, Retention};

use super::Home;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn request(key: &str, at: Timestamp) -> KeyedRequest {
    KeyedRequest {
        principal: "ann".to_owned(),
        key: key.to_owned(),
        request: [7; 32],
        at,
    }
}

fn taken(key: &str, at: Timestamp) -> Taken {
    Taken {
        request: request(key, at),
        note: "\"done\"".to_owned(),
    }
}

fn event(n: u64) -> Record {
    Record::Event(EventView {
        n,
        at: NOW,
        host: None,
        code: "x".to_owned(),
        text: "x".to_owned(),
    })
}

fn answer(status: u16) -> KeyedAnswer {
    KeyedAnswer {
        status,
        media: "application/json".to_owned(),
        body: "{}".into(),
    }
}

#[tokio::test]
async fn a_key_is_on_record_with_what_it_changed_or_neither_is() {
    let home = Home::new();
    let store = home.open().await;
    let key = [taken("a", NOW)];
    store.commit_all(&[event(1)], &[], &key).await.unwrap();
    let known = store.find_key("ann", "a", NOW).await.unwrap();
    let expected = Known {
        request: [7; 32],
        at: NOW,
        note: Some("\"done\"".to_owned()),
        answer: None,
    };
    assert_eq!(known, Some(expected.clone()));
    // A note that is no JSON is refused by the database, and everything of its transaction with it.
    let broken = Taken {
        note: "{".to_owned(),
        ..taken("b", NOW)
    };
    assert!(store.commit_all(&[event(2)], &[], &[broken]).await.is_err());
    assert_eq!(store.find_key("ann", "b", NOW).await.unwrap(), None);
    let events = store.load().await.unwrap().events;
    assert_eq!(events.iter().map(|one| one.n).collect::<Vec<_>>(), [1]);
    // The answer follows, and stays over a restart; another principal's key is another.
    store
        .keep_answer(&request("a", NOW), &answer(201))
        .await
        .unwrap();
    store.close().await;
    drop(store);
    let store = home.open().await;
    let known = store.find_key("ann", "a", NOW).await.unwrap();
    let answered = Known {
        answer: Some(answer(201)),
        ..expected
    };
    assert_eq!(known, Some(answered));
    assert_eq!(store.find_key("bob", "a", NOW).await.unwrap(), None);
}

#[tokio::test]
async fn a_key_is_known_for_a_day_and_then_removed() {
    let home = Home::new();
    let store = home.open().await;
    let old = NOW - KEEP_KEYS - Duration::from_secs(1);
    for (key, at) in [
        ("old", old),
        ("young", NOW - KEEP_KEYS + Duration::from_secs(60)),
    ] {
        store
            .keep_answer(&request(key, at), &answer(409))
            .await
            .unwrap();
    }
    assert!(
        store.find_key("ann", "old", old).await.unwrap().is_some(),
        "control"
    );
    assert_eq!(
        store.find_key("ann", "old", NOW).await.unwrap(),
        None,
        "not any more"
    );
    let removed = store.prune(NOW, Retention::default(), 100).await.unwrap();
    assert_eq!(removed, 1);
    assert_eq!(
        store.find_key("ann", "old", old).await.unwrap(),
        None,
        "gone"
    );
    assert!(store.find_key("ann", "young", NOW).await.unwrap().is_some());
    // The same key may come with another request then.
    store
        .commit_all(&[], &[], &[taken("old", NOW)])
        .await
        .unwrap();
    assert!(
        store
            .find_key("ann", "old", NOW)
            .await
            .unwrap()
            .unwrap()
            .answer
            .is_none()
    );
}
