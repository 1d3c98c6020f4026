//! The version of the synchronised state over restarts, restores and copies.

use nixfleet_core::StateVersion;
use nixfleet_core::fleet::Record;
use nixfleet_server::store::Store;

use super::Home;

async fn version(store: &Store) -> StateVersion {
    store.load().await.unwrap().version
}

async fn raise(store: &Store, by: u64) -> StateVersion {
    let mut version = version(store).await;
    version.number += by;
    store.commit(&[Record::Version(version)]).await.unwrap();
    version
}

#[tokio::test]
async fn f4_the_version_survives_a_restart_and_never_goes_back() {
    let home = Home::new();
    let store = home.open().await;
    let high = raise(&store, 10).await;
    let lower = StateVersion { number: 3, ..high };
    store.commit(&[Record::Version(lower)]).await.unwrap();
    drop(store);
    assert_eq!(version(&home.open().await).await, high);
}

#[tokio::test]
async fn f5_a_restored_database_begins_a_new_epoch() {
    let home = Home::new();
    let store = home.open().await;
    raise(&store, 10).await;
    let backup = home.0.path().join("backup");
    store.back_up(&backup).await.unwrap();
    let later = raise(&store, 10).await;
    store.close().await;
    drop(store);

    // Restored in the same folder, although nothing was started in between.
    std::fs::copy(&backup, home.database()).unwrap();
    let store = home.open().await;
    let restored = version(&store).await;
    assert!(restored.epoch > later.epoch, "{restored:?} after {later:?}");
    store.close().await;
    drop(store);
    let store = home.open().await;
    assert_eq!(version(&store).await, restored, "control: only once");
    store.close().await;
    drop(store);

    // An old copy of the file, made while the server was stopped.
    let copy = std::fs::read(home.database()).unwrap();
    let store = home.open().await;
    let newest = raise(&store, 5).await;
    store.close().await;
    drop(store);
    std::fs::write(home.database(), copy).unwrap();
    let restored = version(&home.open().await).await;
    assert!(restored.epoch > newest.epoch);
}

#[tokio::test]
async fn f5_the_database_in_another_folder_begins_a_new_epoch() {
    let home = Home::new();
    let store = home.open().await;
    let here = raise(&store, 10).await;
    store.close().await;
    drop(store);
    let other = Home::new();
    std::fs::copy(home.database(), other.database()).unwrap();
    assert!(version(&other.open().await).await.epoch > here.epoch);
}
