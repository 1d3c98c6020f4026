use std::sync::{Arc, Mutex};

use tokio::io::duplex;

use super::*;

type Told = Arc<Mutex<Vec<LinkEvent>>>;

fn teller(told: &Told) -> impl Fn(LinkEvent) -> std::future::Ready<()> + use<> {
    let told = Arc::clone(told);
    move |event| {
        told.lock().unwrap().push(event);
        std::future::ready(())
    }
}

async fn pair() -> (
    WebSocketStream<tokio::io::DuplexStream>,
    WebSocketStream<tokio::io::DuplexStream>,
) {
    let (ours, theirs) = duplex(64 * 1024);
    (
        WebSocketStream::from_raw_socket(ours, Role::Client, Some(limits())).await,
        WebSocketStream::from_raw_socket(theirs, Role::Server, None).await,
    )
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_dead_after_45_seconds_and_pings_keep_it_alive() {
    let (ours, mut theirs) = pair().await;
    let outbound = Outbound::new();
    outbound.open(1);
    let told = Told::default();
    let tell = teller(&told);
    let started = tokio::time::Instant::now();
    let server = async {
        // Reading answers pings: the connection lives.
        let mut pings = 0;
        while pings < 20 {
            if let Some(Ok(Message::Ping(_))) = theirs.next().await {
                pings += 1;
            }
        }
        // From now on nothing is read, so nothing is answered.
        std::future::pending::<()>().await;
    };
    let end = tokio::select! {
        end = serve(ours, &outbound, 1, &tell) => end,
        () = server => unreachable!(),
    };
    assert!(matches!(end, LinkEnd::Silent), "{end:?}");
    let lived = started.elapsed();
    // The answer to the last ping may not have been sent.
    assert!(lived >= PING_EVERY * 18 + DEAD_AFTER, "{lived:?}");
    assert!(lived <= PING_EVERY * 20 + DEAD_AFTER, "{lived:?}");
}

#[tokio::test]
async fn what_is_queued_is_sent_before_the_goodbye_and_nonsense_is_ignored() {
    let (ours, mut theirs) = pair().await;
    let outbound = Outbound::new();
    outbound.open(1);
    let told = Told::default();
    let tell = teller(&told);
    let beat = nixfleet_core::wire::agent::AgentFrame::Heartbeat(Box::default());
    let server = async {
        for text in [
            "nonsense",
            r#"{"type":"from_the_future","payload":{}}"#,
            r#"{"type":"registered","payload":{"host_id":"a"}}"#,
        ] {
            theirs.send(Message::text(text)).await.unwrap();
        }
        theirs.flush().await.unwrap();
        while told.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        outbound.send(&beat).unwrap();
        outbound.close();
        let mut seen = String::new();
        while let Some(Ok(message)) = theirs.next().await {
            match message {
                Message::Text(_) => seen.push('t'),
                Message::Close(frame) => {
                    assert_eq!(frame.unwrap().code, CloseCode::Normal);
                    seen.push('c');
                }
                Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
            }
        }
        seen
    };
    let (end, seen) = tokio::join!(serve(ours, &outbound, 1, &tell), server);
    assert!(matches!(end, LinkEnd::Ours), "{end:?}");
    assert_eq!(seen, "tc");
    assert!(matches!(
        &told.lock().unwrap()[..],
        [LinkEvent::Order(order)] if matches!(&**order, Ok(ServerOrder::Registered(_)))
    ));
}

#[tokio::test]
async fn a_close_of_the_server_is_told_with_its_reason() {
    let (ours, mut theirs) = pair().await;
    let outbound = Outbound::new();
    outbound.open(1);
    let tell = teller(&Told::default());
    let server = async {
        let frame = CloseFrame {
            code: CloseCode::Policy,
            reason: "replaced".into(),
        };
        theirs.close(Some(frame)).await.unwrap();
        while theirs.next().await.is_some_and(|message| message.is_ok()) {}
    };
    let (end, ()) = tokio::join!(serve(ours, &outbound, 1, &tell), server);
    assert_eq!(
        end.to_string(),
        "the server closed the connection (code 1008): replaced"
    );
}

#[tokio::test]
async fn a_message_beyond_the_limit_ends_the_connection() {
    let (ours, mut theirs) = pair().await;
    let outbound = Outbound::new();
    outbound.open(1);
    let tell = teller(&Told::default());
    let server = async {
        let _ = theirs
            .send(Message::text("x".repeat(LARGEST_MESSAGE + 1)))
            .await;
    };
    let (end, ()) = tokio::join!(serve(ours, &outbound, 1, &tell), server);
    assert!(matches!(end, LinkEnd::Lost(_)), "{end:?}");
}
