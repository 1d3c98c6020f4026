//! What authentication does by itself while the server runs.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::store::CredentialError;
use super::watch::Watched;
use super::{Auth, cause, is_valid_token, session};

/// How soon a revocation made by another process reaches open sockets.
const REVOCATION_CHECK: Duration = Duration::from_secs(1);
/// Every so many checks, what has expired is cleared away.
const THOROUGH: u64 = 60;

impl Auth {
    /// Looks for revocations made elsewhere and clears away what has expired, until `shutdown`.
    pub async fn housekeeping(&self, shutdown: CancellationToken) {
        let mut round: u64 = 0;
        let mut ticks = interval(REVOCATION_CHECK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let swept = self.sweep(round.is_multiple_of(THOROUGH)).await;
            if let Err(error) = swept {
                tracing::error!(%error, cause = cause(&error), "cannot check credentials");
            }
            round += 1;
        }
    }

    /// One round of [`Auth::housekeeping`].
    async fn sweep(&self, thorough: bool) -> Result<(), CredentialError> {
        let now = self.clock.now();
        if thorough {
            self.limiter.forget_idle();
            self.store
                .purge_sessions(now, now - session::IDLE_LIFETIME)
                .await?;
        }
        if self.watches.any(Watched::Session) {
            let sessions = self.store.list_sessions().await?;
            let valid = sessions
                .iter()
                .filter(|session| session::is_valid(session, now));
            self.watches.retain(
                Watched::Session,
                &valid.map(|session| session.hash).collect(),
            );
        }
        if self.watches.any(Watched::Token) {
            let tokens = self.store.list_tokens().await?;
            let valid = tokens.iter().filter(|token| is_valid_token(token, now));
            self.watches
                .retain(Watched::Token, &valid.map(|token| token.hash).collect());
        }
        Ok(())
    }
}
