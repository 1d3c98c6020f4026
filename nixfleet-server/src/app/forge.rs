//! Asks the forge what the fleet wants to know or have done, one call after the other, and brings
//! the answers back.

use std::sync::Arc;
use std::time::Duration;

use nixfleet_core::fleet::Input;
use nixfleet_core::update::ForgeCall;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::forge::Forge;
use crate::forge::memory::TokenEnd;
use crate::hub::Hub;

/// How often credentials are tried that are seldom used otherwise.
const TRY_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Passes on when the forge's tokens end.
pub(super) async fn tell_ends(
    hub: Hub,
    mut ends: mpsc::UnboundedReceiver<TokenEnd>,
    stop: CancellationToken,
) {
    while let Some(Some(TokenEnd { credential, ends })) =
        stop.run_until_cancelled(ends.recv()).await
    {
        let input = Input::Credential {
            credential,
            ends,
            made: None,
        };
        if hub.submit(input).await.is_err() {
            return;
        }
    }
}

/// Tries them at the start, and once a day.
pub(super) async fn try_credentials(forge: Arc<dyn Forge>, stop: CancellationToken) {
    loop {
        let tried = async {
            forge.try_credentials().await;
            tokio::time::sleep(TRY_EVERY).await;
        };
        if stop.run_until_cancelled(tried).await.is_none() {
            return;
        }
    }
}

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
