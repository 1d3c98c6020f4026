//! Whoever is told of things: takes in every request and answers 200.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::forge::http;
use crate::forge::{Answer, Request};

/// A receiver on the loopback address; it ends when this is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Request>>>,
    task: AbortHandle,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn hear(heard: &Mutex<Vec<Request>>, request: Request) {
    let mut all = heard.lock().unwrap_or_else(PoisonError::into_inner);
    all.push(request);
}

impl Receiver {
    /// Starts one.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                if let Some(request) = http::read(&mut stream).await {
                    hear(&shared, request);
                    let answer = Answer::json(200, &json!({ "ok": true }));
                    http::write(&mut stream, &answer, None, std::future::ready(())).await;
                }
            }
        });
        Self {
            address,
            heard,
            task: task.abort_handle(),
        }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What it was told, in order.
    #[must_use]
    pub fn heard(&self) -> Vec<Request> {
        let all = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        all.clone()
    }
}
