//! Asks the forge what the fleet wants to know or have done, one call after the other, and brings
//! the answers back.

use std::sync::Arc;

use nixfleet_core::fleet::Input;
use nixfleet_core::update::ForgeCall;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::forge::Forge;
use crate::hub::Hub;

/// Asks until it is stopped or the hub has ended. A call without an answer loses nothing: its intent
/// is on record, and whatever is unclear is read again.
pub(super) async fn ask(
    forge: Arc<dyn Forge>,
    hub: Hub,
    mut calls: mpsc::UnboundedReceiver<ForgeCall>,
    stop: CancellationToken,
) {
    while let Some(Some(call)) = stop.run_until_cancelled(calls.recv()).await {
        // In a task of its own, so that a panic of the client is only a call without an answer.
        let asked = {
            let forge = forge.clone();
            AbortOnDropHandle::new(tokio::spawn(async move { forge.call(call).await }))
        };
        let answer = match stop.run_until_cancelled(asked).await {
            Some(Ok(answer)) => answer,
            Some(Err(error)) => {
                tracing::error!(%error, "asking the forge was broken off by a fault of the server");
                continue;
            }
            None => return,
        };
        if hub.submit(Input::Forge(answer)).await.is_err() {
            return;
        }
    }
}
