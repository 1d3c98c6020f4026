//! One conformance suite for every credential store.

use nixfleet_core::Timestamp;
use nixfleet_server::auth::memory::MemoryCredentials;
use nixfleet_server::auth::roles::Role;
use nixfleet_server::auth::store::{
    CredentialError, CredentialStore, SecretHash, SessionRecord, TokenRecord, TokenScope,
};

use super::Home;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn session(name: &str, created: i64) -> SessionRecord {
    SessionRecord {
        hash: SecretHash::of(name),
        account: "me".to_owned(),
        role: Role::Viewer,
        created_at: at(created),
        last_used_at: at(created),
        expires_at: at(created + 100),
    }
}

fn token(name: &str, scope: TokenScope) -> TokenRecord {
    TokenRecord {
        hash: SecretHash::of(name),
        name: name.to_owned(),
        scope,
        created_at: at(1),
        expires_at: Some(at(50)),
        last_used_at: None,
    }
}

async fn sessions(store: &dyn CredentialStore) {
    let (old, new) = (session("old", 1), session("new", 50));
    store.insert_session(new.clone()).await.unwrap();
    store.insert_session(old.clone()).await.unwrap();
    assert_eq!(
        store.list_sessions().await.unwrap(),
        [old.clone(), new.clone()]
    );
    assert_eq!(
        store.find_session(old.hash).await.unwrap(),
        Some(old.clone())
    );
    assert_eq!(store.find_session(SecretHash::of("x")).await.unwrap(), None);

    store.touch_session(new.hash, at(70)).await.unwrap();
    store
        .touch_session(SecretHash::of("x"), at(70))
        .await
        .unwrap();
    let touched = store.find_session(new.hash).await.unwrap().unwrap();
    assert_eq!(touched.last_used_at, at(70));

    assert_eq!(
        store.purge_sessions(at(101), at(0)).await.unwrap(),
        1,
        "ended"
    );
    assert_eq!(store.purge_sessions(at(101), at(70)).await.unwrap(), 0);
    assert_eq!(
        store.purge_sessions(at(101), at(71)).await.unwrap(),
        1,
        "idle"
    );
    store.insert_session(old.clone()).await.unwrap();
    assert!(store.delete_session(old.hash).await.unwrap());
    assert!(!store.delete_session(old.hash).await.unwrap());
    assert_eq!(store.list_sessions().await.unwrap(), []);
}

async fn tokens(store: &dyn CredentialStore) {
    let api = token("robot", TokenScope::Api(Role::Admin));
    let agent = token("agent", TokenScope::Agent("web-1".parse().unwrap()));
    store.insert_token(api.clone()).await.unwrap();
    store.insert_token(agent.clone()).await.unwrap();
    assert_eq!(
        store.list_tokens().await.unwrap(),
        [agent.clone(), api.clone()]
    );
    assert_eq!(
        store.find_token(agent.hash).await.unwrap(),
        Some(agent.clone())
    );

    let same_name = TokenRecord {
        hash: SecretHash::of("other"),
        ..api.clone()
    };
    let refused = store.insert_token(same_name).await;
    assert!(matches!(refused, Err(CredentialError::NameTaken(name)) if name == "robot"));
    assert_eq!(store.list_tokens().await.unwrap().len(), 2);

    store.touch_token(api.hash, at(7)).await.unwrap();
    let used = TokenRecord {
        last_used_at: Some(at(7)),
        ..api
    };
    assert_eq!(
        store.find_token(used.hash).await.unwrap(),
        Some(used.clone())
    );
    assert_eq!(store.delete_token("robot").await.unwrap(), Some(used));
    assert_eq!(store.delete_token("robot").await.unwrap(), None);
    assert_eq!(store.list_tokens().await.unwrap(), [agent]);
}

#[tokio::test]
async fn in_memory() {
    sessions(&MemoryCredentials::new()).await;
    tokens(&MemoryCredentials::new()).await;
}

#[tokio::test]
async fn in_the_database() {
    let home = Home::new();
    let store = home.open().await;
    sessions(&store).await;
    tokens(&store).await;
}

#[tokio::test]
async fn many_writers_at_once_all_succeed() {
    let home = Home::new();
    let store = home.open().await;
    let writers = (0..200).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let session = session(&number.to_string(), number);
            store.insert_session(session.clone()).await.unwrap();
            store
                .touch_session(session.hash, at(number + 1))
                .await
                .unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(store.list_sessions().await.unwrap().len(), 200);
}
