//! WebSockets: limits, pings, closing.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nixfleet_server::net::{CloseReason, Drain, Limits, SocketLimits};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::harness::{PATIENCE, Server, Setup, close_code};

#[tokio::test]
async fn messages_pass_up_to_the_limit_and_a_larger_one_closes_with_1009() {
    let mut server = Server::start().await;
    let mut socket = server.open_agent().await;
    let largest = "x".repeat(SocketLimits::AGENT.message_bytes);
    socket.send(Message::text(largest.clone())).await.unwrap();
    let echoed = timeout(PATIENCE, socket.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(echoed.into_text().unwrap().len(), largest.len());
    socket.send(Message::text(largest + "x")).await.ok();
    assert_eq!(
        close_code(&mut socket).await.map(|(code, _)| code),
        Some(1009)
    );
    assert_eq!(server.next_end().await, CloseReason::TooLarge);
}

#[tokio::test]
async fn a_broken_frame_closes_with_1002_and_leaves_others_alone() {
    let mut server = Server::start().await;
    let mut other = server.open_agent().await;
    let mut socket = server.open_agent().await;
    // Reserved bits set, not masked.
    socket.get_mut().write_all(&[0xff, 0x00]).await.unwrap();
    assert_eq!(
        close_code(&mut socket).await.map(|(code, _)| code),
        Some(1002)
    );
    assert!(matches!(server.next_end().await, CloseReason::Broken(_)));
    other.send(Message::text("hello")).await.unwrap();
    let echoed = timeout(PATIENCE, other.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(echoed.into_text().unwrap().as_str(), "hello");
}

#[tokio::test]
async fn a_goodbye_of_the_peer_is_answered() {
    let mut server = Server::start().await;
    let mut socket = server.open_agent().await;
    socket.close(None).await.unwrap();
    assert_eq!(close_code(&mut socket).await, None);
    assert_eq!(server.next_end().await, CloseReason::Peer(None));
    drop(server.open_agent().await);
    assert_eq!(server.next_end().await, CloseReason::Lost);
}

#[tokio::test]
async fn a_silent_peer_is_pinged_and_dropped_and_one_that_answers_is_kept() {
    let socket = SocketLimits {
        ping_every: Duration::from_millis(50),
        dead_after: Duration::from_millis(400),
        ..SocketLimits::AGENT
    };
    let mut server = Server::with(Setup {
        socket,
        ..Setup::default()
    })
    .await;
    let _silent = server.open_agent().await;
    let mut living = server.open_agent().await;
    let mut pings = 0;
    let reason = loop {
        tokio::select! {
            // Reading is what answers the pings.
            message = living.next() => pings += u32::from(message.unwrap().unwrap().is_ping()),
            reason = server.next_end() => break reason,
        }
    };
    assert_eq!(reason, CloseReason::Silent);
    assert!(pings >= 2, "{pings}");
    living.send(Message::text("still here")).await.unwrap();
    loop {
        let message = timeout(PATIENCE, living.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        if message.is_text() {
            break;
        }
    }
}

#[tokio::test]
async fn shutdown_closes_sockets_with_1012_and_returns() {
    let server = Server::start().await;
    let mut sockets = Vec::new();
    for _ in 0..5 {
        sockets.push(server.open_agent().await);
    }
    server.begin_shutdown();
    for socket in &mut sockets {
        assert_eq!(close_code(socket).await.map(|(code, _)| code), Some(1012));
        // Read to the end, as clients do; that lets the server close first.
        while let Some(Ok(_)) = timeout(PATIENCE, socket.next()).await.unwrap() {}
    }
    assert_eq!(server.stopped().await, Drain::Complete);
}

#[tokio::test]
async fn a_conversation_that_does_not_end_is_cut_at_the_deadline() {
    let limits = Limits {
        drain: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = Server::with(Setup {
        limits,
        ..Setup::default()
    })
    .await;
    let mut socket = server.open("/stubborn", &[]).await.unwrap();
    assert_eq!(server.stopped().await, Drain::Cut(1));
    assert_eq!(close_code(&mut socket).await, None);
}
