use std::collections::VecDeque;
use std::net::SocketAddr;

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use nixfleet_core::notice::NoticeKind;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::{Ntfy, SignedWebhook};

const SECRET: &str = "canary-secret-0123456789";

/// A receiver on this machine that answers as told, and then with 200.
struct Receiver {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Got>>>,
    answers: Arc<Mutex<VecDeque<&'static str>>>,
}

#[derive(Clone, Debug)]
struct Got {
    head: String,
    body: serde_json::Value,
    raw: String,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value)
    }
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Got>>> = Arc::default();
        let answers: Arc<Mutex<VecDeque<&'static str>>> = Arc::default();
        let (got, script) = (seen.clone(), answers.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut text = Vec::new();
                let mut buffer = [0; 4096];
                let whole = loop {
                    match stream.read(&mut buffer).await {
                        Ok(read) if read > 0 => text.extend_from_slice(&buffer[..read]),
                        _ => break None,
                    }
                    let text = String::from_utf8_lossy(&text).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else {
                        continue;
                    };
                    let length = head.lines().find_map(|line| {
                        line.to_lowercase()
                            .strip_prefix("content-length: ")?
                            .parse::<usize>()
                            .ok()
                    });
                    if length == Some(body.len()) {
                        break Some((head.to_owned(), body.to_owned()));
                    }
                };
                let Some((head, raw)) = whole else { continue };
                let body = serde_json::from_str(&raw).unwrap();
                got.lock().unwrap().push(Got { head, body, raw });
                let answer = script.lock().unwrap().pop_front();
                match answer {
                    Some("hang") => {
                        tokio::spawn(async move {
                            let _stream = stream;
                            std::future::pending::<()>().await;
                        });
                        continue;
                    }
                    Some("drop") => continue,
                    status => {
                        let status = status.unwrap_or("200 OK");
                        let text = format!(
                            "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                        );
                        stream.write_all(text.as_bytes()).await.ok();
                    }
                }
            }
        });
        Self {
            address,
            seen,
            answers,
        }
    }

    fn answers(&self, answers: &[&'static str]) {
        self.answers.lock().unwrap().extend(answers);
    }

    fn seen(&self) -> Vec<Got> {
        self.seen.lock().unwrap().clone()
    }

    fn settings(&self) -> NotifySettings {
        let url = |path: &str| format!("http://{}{path}", self.address).parse().unwrap();
        NotifySettings {
            apprise: Some(url("/notify/canary-key")),
            ntfy: Some(Ntfy {
                server: url("/"),
                topic: "canary-topic".to_owned(),
                token: Some(SecretString::from("tk_canary")),
            }),
            webhook: Some(SignedWebhook {
                url: url("/hook/canary-path"),
                secret: SECRET.into(),
            }),
            offline_after: Duration::from_secs(900),
        }
    }
}

fn rules() -> Rules {
    Rules {
        pause: Duration::from_millis(5),
        longest: Duration::from_millis(20),
        attempts: 4,
        queue: 8,
        ..Rules::default()
    }
}

fn clock() -> Clock {
    Clock::manual(Timestamp::from_seconds(1_800_000_000))
}

fn notice(subject: &str) -> Notice {
    let at = Timestamp::from_seconds(1_799_999_000);
    Notice::new(
        NoticeKind::HostFailed,
        at,
        subject,
        "web-1 failed",
        "exit 1\n",
    )
}

struct Running {
    notifier: Notifier,
    delivering: Delivering,
    log: Arc<MemoryLog>,
    clock: Clock,
    stop: CancellationToken,
}

fn run(settings: &NotifySettings, rules: Rules, owed: Vec<Owed>) -> Running {
    let log = Arc::new(MemoryLog::default());
    let kept: Arc<dyn DeliveryLog> = log.clone();
    let (clock, stop) = (clock(), CancellationToken::new());
    let all = channels(settings).unwrap();
    let (notifier, delivering) = start(all, &kept, &clock, rules, owed, &stop);
    Running {
        notifier,
        delivering,
        log,
        clock,
        stop,
    }
}

impl Running {
    async fn attempts(&self, count: usize) -> Vec<Attempt> {
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            while self.log.attempts().len() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        waited.await.unwrap();
        self.log.attempts()
    }
}

fn only_webhook(receiver: &Receiver) -> NotifySettings {
    NotifySettings {
        apprise: None,
        ntfy: None,
        ..receiver.settings()
    }
}

#[tokio::test]
async fn every_receiver_gets_a_notice_in_its_own_form() {
    let receiver = Receiver::start().await;
    let running = run(&receiver.settings(), rules(), Vec::new());
    assert_eq!(running.notifier.notify(&notice("web-1")), Accepted::Queued);
    let attempts = running.attempts(3).await;
    assert!(
        attempts
            .iter()
            .all(|attempt| attempt.outcome == Outcome::Delivered)
    );
    let seen = receiver.seen();
    let to = |path: &str| {
        let line = format!("POST {path} HTTP/1.1");
        seen.iter().find(|got| got.head.starts_with(&line)).unwrap()
    };
    let apprise = &to("/notify/canary-key").body;
    assert_eq!(apprise["title"], "web-1 failed");
    assert_eq!(
        (&apprise["body"], &apprise["type"]),
        (&"exit 1\n".into(), &"failure".into())
    );
    let ntfy = to("/");
    assert_eq!(ntfy.header("authorization"), Some("Bearer tk_canary"));
    assert_eq!(
        (&ntfy.body["topic"], &ntfy.body["priority"]),
        (&"canary-topic".into(), &5.into())
    );
    assert_eq!(ntfy.body["message"], "exit 1\n");
    let webhook = to("/hook/canary-path");
    assert_eq!(webhook.body["type"], "nixfleet.host-failed");
    assert_eq!(webhook.body["data"]["key"], "host-failed:web-1");
    let id = webhook.header("webhook-id").unwrap();
    let at = webhook.header("webhook-timestamp").unwrap();
    assert_eq!(at, "1800000000");
    // The receiver's own check.
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{id}.{at}.{}", webhook.raw).as_bytes());
    let signature = webhook.header("webhook-signature").unwrap();
    let bytes = data_encoding::BASE64
        .decode(signature.strip_prefix("v1,").unwrap().as_bytes())
        .unwrap();
    mac.verify_slice(&bytes).unwrap();
    running.stop.cancel();
    assert_eq!(running.delivering.ended().await, []);
}

#[tokio::test]
async fn a_failed_attempt_is_repeated_with_the_same_id_and_every_one_is_recorded() {
    let receiver = Receiver::start().await;
    receiver.answers(&["503 Busy", "drop", "429 Later"]);
    let running = run(&only_webhook(&receiver), rules(), Vec::new());
    assert_eq!(running.notifier.notify(&notice("web-1")), Accepted::Queued);
    let attempts = running.attempts(4).await;
    let told: Vec<_> = attempts
        .iter()
        .map(|attempt| {
            (
                attempt.number,
                matches!(attempt.outcome, Outcome::Failed { .. }),
            )
        })
        .collect();
    assert_eq!(told, [(1, true), (2, true), (3, true), (4, false)]);
    assert_eq!(attempts[3].outcome, Outcome::Delivered);
    let ids: std::collections::BTreeSet<_> = receiver
        .seen()
        .iter()
        .map(|got| got.header("webhook-id").unwrap().to_owned())
        .collect();
    assert_eq!((receiver.seen().len(), ids.len()), (4, 1));
}

#[tokio::test]
async fn what_cannot_help_is_not_repeated_and_what_can_is_given_up_at_last() {
    for (answers, count) in [
        (vec!["400 Bad"], 1),
        (vec!["404 Gone"], 1),
        (vec!["301 Moved"], 1),
        (vec!["500 No"; 10], 4),
    ] {
        let receiver = Receiver::start().await;
        receiver.answers(&answers);
        let running = run(&only_webhook(&receiver), rules(), Vec::new());
        assert_eq!(running.notifier.notify(&notice("web-1")), Accepted::Queued);
        let attempts = running.attempts(count).await;
        assert!(
            matches!(attempts[count - 1].outcome, Outcome::GivenUp { .. }),
            "{answers:?}"
        );
        running.stop.cancel();
        assert_eq!(running.delivering.ended().await, []);
        assert_eq!(running.log.attempts().len(), count, "{answers:?}");
    }
}

#[tokio::test]
async fn the_same_key_is_told_once_in_its_time() {
    let receiver = Receiver::start().await;
    let running = run(&only_webhook(&receiver), rules(), Vec::new());
    let tell = |subject: &str| running.notifier.notify(&notice(subject));
    assert_eq!(tell("web-1"), Accepted::Queued);
    assert_eq!(tell("web-1"), Accepted::Repeated);
    assert_eq!(tell("web-2"), Accepted::Queued);
    running.clock.advance(Duration::from_secs(601));
    assert_eq!(tell("web-1"), Accepted::Queued, "later it is news again");
    running.attempts(3).await;
    assert_eq!(receiver.seen().len(), 3);
}

#[tokio::test]
async fn nothing_that_is_owed_is_lost_at_the_end_and_it_is_delivered_after_the_next_start() {
    let receiver = Receiver::start().await;
    receiver.answers(&["hang"]);
    let running = run(&only_webhook(&receiver), rules(), Vec::new());
    let mut kept = Vec::new();
    for n in 0..20 {
        match running.notifier.notify(&notice(&format!("host-{n}"))) {
            Accepted::Queued => {}
            Accepted::Full(owed) => kept.extend(owed),
            Accepted::Repeated => panic!("each is another one"),
        }
    }
    assert!(!kept.is_empty(), "the queue is bounded");
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while receiver.seen().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.unwrap();
    running.stop.cancel();
    kept.extend(running.delivering.ended().await);
    let keys = |owed: &[Owed]| {
        let mut keys: Vec<_> = owed.iter().map(|owed| owed.notice.key.clone()).collect();
        keys.sort();
        keys.dedup();
        keys.len()
    };
    assert_eq!((kept.len(), keys(&kept)), (20, 20));
    let text = serde_json::to_string(&kept).unwrap();
    let stored: Vec<Owed> = serde_json::from_str(&text).unwrap();
    let again = run(&only_webhook(&receiver), rules(), stored);
    let attempts = again.attempts(20).await;
    assert!(
        attempts
            .iter()
            .all(|attempt| attempt.outcome == Outcome::Delivered)
    );
}

#[tokio::test]
async fn a_dead_receiver_holds_up_no_other_and_no_secret_is_told() {
    let (dead, alive) = (Receiver::start().await, Receiver::start().await);
    dead.answers(&["hang"; 10]);
    let settings = NotifySettings {
        apprise: dead.settings().apprise,
        ..alive.settings()
    };
    let running = run(&settings, rules(), Vec::new());
    for n in 0..5 {
        assert_eq!(
            running.notifier.notify(&notice(&format!("h{n}"))),
            Accepted::Queued
        );
    }
    let attempts = running.attempts(10).await;
    assert!(attempts.iter().all(|attempt| attempt.channel != "apprise"));
    running.stop.cancel();
    assert_eq!(running.delivering.ended().await.len(), 5);

    // Nobody listens any more.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let gone = Receiver {
        address,
        seen: Arc::default(),
        answers: Arc::default(),
    };
    let running = run(&gone.settings(), rules(), Vec::new());
    assert_eq!(running.notifier.notify(&notice("web-1")), Accepted::Queued);
    let attempts = running.attempts(12).await;
    let text = format!("{attempts:?} {:?} {:?}", running.notifier, gone.settings());
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test]
async fn what_ended_in_between_is_told_again() {
    let receiver = Receiver::start().await;
    let running = run(&only_webhook(&receiver), rules(), Vec::new());
    let tell = |kind, second: i64| {
        let at = Timestamp::from_seconds(1_799_999_000 + second);
        running
            .notifier
            .notify(&Notice::new(kind, at, "remote", "x", ""))
    };
    let (lost, back) = (NoticeKind::RemoteUnreachable, NoticeKind::RemoteReadable);
    assert_eq!(tell(lost, 1), Accepted::Queued);
    assert_eq!(tell(lost, 2), Accepted::Repeated);
    assert_eq!(tell(back, 3), Accepted::Queued);
    assert_eq!(tell(back, 4), Accepted::Repeated);
    assert_eq!(tell(lost, 5), Accepted::Queued, "a second loss");
    assert_eq!(tell(back, 6), Accepted::Queued, "and its end");
    running.attempts(4).await;
    assert_eq!(receiver.seen().len(), 4);
}

/// What a store keeps of notices.
#[derive(Default)]
struct Shelf {
    owed: Mutex<Vec<Owed>>,
    /// So many times more it cannot be read.
    stuck: AtomicUsize,
    delivered: MemoryLog,
}

impl DeliveryLog for Shelf {
    fn record(&self, attempt: Attempt) -> BoxFuture<'_, ()> {
        let mut owed = self.owed.lock().unwrap();
        owed.retain(|one| one.id != attempt.id || one.channel != attempt.channel);
        self.delivered.record(attempt)
    }

    fn owed(&self, channel: &'static str, most: usize) -> BoxFuture<'_, Option<Vec<Owed>>> {
        let fewer = |left: usize| left.checked_sub(1);
        if self.stuck.fetch_update(SeqCst, SeqCst, fewer).is_ok() {
            return Box::pin(std::future::ready(None));
        }
        let owed = self.owed.lock().unwrap();
        let own = owed.iter().filter(|one| one.channel == channel);
        let own: Vec<Owed> = own.take(most).cloned().collect();
        Box::pin(std::future::ready(Some(own)))
    }
}

#[tokio::test]
async fn what_could_not_be_read_from_the_store_is_read_later() {
    let receiver = Receiver::start().await;
    let shelf = Arc::new(Shelf::default());
    let kept: Arc<dyn DeliveryLog> = shelf.clone();
    let (clock, stop) = (clock(), CancellationToken::new());
    let channels = channels(&only_webhook(&receiver)).unwrap();
    shelf.stuck.store(2, SeqCst);
    let (notifier, delivering) = start(channels, &kept, &clock, rules(), Vec::new(), &stop);
    // In the store alone: nobody hands it over, and nothing else happens.
    let owed = notifier.owed(&notice("host-1")).unwrap();
    shelf.owed.lock().unwrap().extend(owed);
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while receiver.seen().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.unwrap();
    assert_eq!(shelf.stuck.load(SeqCst), 0, "control: it was stuck");
    stop.cancel();
    assert_eq!(delivering.ended().await, []);
}

#[tokio::test]
async fn what_the_queue_has_no_room_for_is_told_from_the_store_once_each() {
    let receiver = Receiver::start().await;
    let shelf = Arc::new(Shelf::default());
    let kept: Arc<dyn DeliveryLog> = shelf.clone();
    let (clock, stop) = (clock(), CancellationToken::new());
    let channels = channels(&only_webhook(&receiver)).unwrap();
    let (notifier, delivering) = start(channels, &kept, &clock, rules(), Vec::new(), &stop);
    let mut left = 0;
    for n in 0..100 {
        let owed = notifier.owed(&notice(&format!("host-{n}"))).unwrap();
        // Stored first, as the journal does.
        shelf.owed.lock().unwrap().extend(owed.clone());
        left += notifier.hand_over(owed).len();
    }
    assert!(left > 50, "the queue is bounded: {left}");
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !shelf.owed.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.unwrap();
    // Later ones come through as ever.
    let owed = notifier.owed(&notice("late")).unwrap();
    assert_eq!(notifier.hand_over(owed), []);
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while receiver.seen().len() < 101 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.unwrap();
    stop.cancel();
    assert_eq!(delivering.ended().await, []);
    let ids: std::collections::BTreeSet<String> = receiver
        .seen()
        .iter()
        .map(|got| got.header("webhook-id").unwrap().to_owned())
        .collect();
    assert_eq!((ids.len(), receiver.seen().len()), (101, 101), "each once");
}
