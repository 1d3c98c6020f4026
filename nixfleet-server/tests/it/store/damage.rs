//! Rotten bits: whatever flips, nothing false is believed.

use nixfleet_core::Op;
use nixfleet_core::fleet::Snapshot;
use nixfleet_core::host::Presence;
use nixfleet_server::store::Condition;

use super::Home;
use super::day::{Day, command_id};

/// What decides about colours and commands; events and moments of presence do not.
fn believed(mut snapshot: Snapshot) -> Snapshot {
    for host in &mut snapshot.hosts {
        host.presence = Presence::NeverSeen;
    }
    snapshot.events.clear();
    Snapshot {
        version: Default::default(),
        ..snapshot
    }
}

#[tokio::test]
async fn g8_a_flipped_bit_is_noticed_or_changes_nothing_that_is_believed() {
    let home = Home::new();
    let store = home.open().await;
    let (mut day, mut all) = Day::start(store.load().await.unwrap());
    all.extend(day.read('a'));
    for number in 0..12_u8 {
        let name = format!("web-{number}");
        all.extend(day.register(&name, u64::from(number)));
        all.extend(day.dispatch(Op::Pull, &name, command_id(number)));
    }
    store.commit(&all).await.unwrap();
    let good = believed(store.load().await.unwrap());
    store.close().await;
    drop(store);

    let sound = std::fs::read(home.database()).unwrap();
    let mut noticed = 0;
    let mut random = 1_u64;
    for _ in 0..120 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(random >> 33).unwrap() % sound.len();
        let mut bytes = sound.clone();
        bytes[at] ^= 1 << ((random >> 20) % 8);
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", home.database().display()));
        }
        std::fs::write(home.database(), bytes).unwrap();

        let store = home.open().await;
        let loaded = store.load().await.unwrap();
        match store.condition() {
            Condition::Damaged(_) => {
                noticed += 1;
                assert!(
                    store.commit(&[]).await.is_err(),
                    "byte {at}: nothing is written"
                );
            }
            Condition::Sound => assert_eq!(believed(loaded), good, "byte {at}"),
        }
        store.close().await;
    }
    assert!(noticed > 10, "only {noticed} of 120 were noticed");
}
