//! The task that reads a source again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nixfleet_core::Timestamp;
use nixfleet_server::clock::Clock;
use nixfleet_server::sources::{Poll, Poller, Source, VersionJsonSource};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::repo::{Repo, lock};
use super::web::{Web, answer};

const LONG: Duration = Duration::from_secs(3600);

fn start(source: Source, ttl: Duration) -> (Poller, mpsc::Receiver<Poll>, CancellationToken) {
    let (readings, receiver) = mpsc::channel(64);
    let cancelled = CancellationToken::new();
    let clock = Clock::manual(Timestamp::from_seconds(7));
    let poller = Poller::start(source, ttl, clock, readings, cancelled.clone());
    (poller, receiver, cancelled)
}

#[tokio::test]
async fn a_refresh_sees_what_was_pushed_before_it() {
    let repo = Repo::new();
    repo.commit_lock(lock('1'));
    let (poller, mut readings, _cancelled) = start(Source::Git(Box::new(repo.source())), LONG);
    let first = readings.recv().await.unwrap();
    assert!(first.outcome.is_ok());
    assert_eq!(first.started, Timestamp::from_seconds(7));
    for digit in ['2', '3'] {
        let head = repo.commit_lock(lock(digit));
        assert!(poller.refresh().await);
        let mut last = None;
        while let Ok(poll) = readings.try_recv() {
            last = Some(poll);
        }
        assert_eq!(last.unwrap().outcome.unwrap().snapshot.commit, Ok(head));
    }
}

#[tokio::test]
async fn pokes_are_joined_and_readings_never_overlap() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, peak) = (Arc::clone(&running), Arc::clone(&most));
    let web = Web::start(move |_| {
        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::yield_now();
        now.fetch_sub(1, Ordering::SeqCst);
        answer(404, &[], b"")
    })
    .await;
    let url = format!("http://{}/", web.address());
    let source = Source::VersionJson(Box::new(VersionJsonSource::new(&url).unwrap()));
    let (poller, mut readings, _cancelled) = start(source, LONG);
    readings.recv().await.unwrap();
    for _ in 0..1000 {
        poller.poke();
    }
    assert!(poller.refresh().await);
    assert!(
        web.requests().len() <= 4,
        "{} readings for 1001 pokes",
        web.requests().len()
    );
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

/// Whoever repeats a signed message does not make the server ask the forge again and again; a person
/// does not wait for that.
#[tokio::test]
async fn hints_are_kept_apart_and_hold_up_no_person() {
    let web = Web::start(|_| answer(404, &[], b"")).await;
    let url = format!("http://{}/", web.address());
    let source = Source::VersionJson(Box::new(VersionJsonSource::new(&url).unwrap()));
    let (poller, mut readings, _cancelled) = start(source, LONG);
    readings.recv().await.unwrap();
    poller.hint();
    // Positive control: the first hint leads to a reading.
    readings.recv().await.unwrap();
    for _ in 0..100 {
        poller.hint();
        tokio::task::yield_now().await;
    }
    assert!(poller.refresh().await);
    assert!(poller.refresh().await);
    let all = web.requests().len();
    assert!((4..=5).contains(&all), "{all} readings for 101 hints");
}

#[tokio::test]
async fn polling_goes_on_by_itself_and_ends_when_cancelled() {
    let web = Web::start(|_| answer(404, &[], b"")).await;
    let url = format!("http://{}/", web.address());
    let source = Source::VersionJson(Box::new(VersionJsonSource::new(&url).unwrap()));
    let (poller, mut readings, cancelled) = start(source, Duration::from_millis(1));
    for _ in 0..3 {
        assert!(readings.recv().await.unwrap().outcome.is_err());
    }
    cancelled.cancel();
    while readings.recv().await.is_some() {}
    assert!(!poller.refresh().await);
}
