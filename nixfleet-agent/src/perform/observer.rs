//! Looking at the host, one look at a time, on a thread of its own: git or systemd may take long,
//! and heartbeats must not wait for them.

use std::sync::mpsc;
use std::thread;

use nixfleet_core::agent::AgentObservation;
use tokio::sync::oneshot;

use super::convert;
use crate::observe::{Binary, Observer, Occasion};

/// Asks for looks at the host. They are carried out, and answered, in order.
#[derive(Clone, Debug)]
pub struct Lookout {
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
struct Request {
    occasion: Occasion,
    answer: oneshot::Sender<AgentObservation>,
}

impl Lookout {
    /// Starts the thread. It ends when the last handle is gone.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(mut observer: Observer, binary: Binary) -> std::io::Result<Self> {
        let (requests, next) = mpsc::channel::<Request>();
        let work = move || {
            let mut complaint = None;
            for request in next {
                let seen = observer.observe(request.occasion);
                if seen.system.error != complaint {
                    complaint.clone_from(&seen.system.error);
                    if let Some(why) = &complaint {
                        tracing::warn!("the running system is not known: {why}");
                    }
                }
                let _ = request.answer.send(convert::observation(seen, &binary));
            }
        };
        thread::Builder::new()
            .name("observer".to_owned())
            .spawn(work)?;
        Ok(Self { requests })
    }

    /// Looks at the host; `None` only if the thread is gone.
    pub async fn look(&self, occasion: Occasion) -> Option<AgentObservation> {
        let (answer, seen) = oneshot::channel();
        self.requests.send(Request { occasion, answer }).ok()?;
        seen.await.ok()
    }
}
