//! Telling open sockets that the credential they were opened with is gone.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio_util::sync::CancellationToken;

use super::store::SecretHash;

/// What kind of credential is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watched {
    Session,
    Token,
}

/// Held by an open socket; see [`Revocation::revoked`].
#[derive(Clone, Debug)]
pub struct Revocation(Arc<CancellationToken>);

impl Revocation {
    /// Resolves once the credential is revoked or has expired.
    pub async fn revoked(&self) {
        self.0.cancelled().await;
    }

    /// Whether it happened already.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.0.is_cancelled()
    }

    pub(super) fn never() -> Self {
        Self(Arc::new(CancellationToken::new()))
    }
}

#[derive(Default)]
pub(super) struct Watches(Mutex<HashMap<SecretHash, Entry>>);

struct Entry {
    kind: Watched,
    sockets: Weak<CancellationToken>,
}

impl Watches {
    pub(super) fn watch(&self, hash: SecretHash, kind: Watched) -> Revocation {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = entries.get(&hash).and_then(|entry| entry.sockets.upgrade()) {
            return Revocation(token);
        }
        let token = Arc::new(CancellationToken::new());
        let sockets = Arc::downgrade(&token);
        entries.insert(hash, Entry { kind, sockets });
        Revocation(token)
    }

    pub(super) fn revoke(&self, hash: SecretHash) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = entries
            .remove(&hash)
            .and_then(|entry| entry.sockets.upgrade())
        {
            token.cancel();
        }
    }

    /// Whether any open socket depends on a credential of this kind.
    pub(super) fn any(&self, kind: Watched) -> bool {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| entry.sockets.strong_count() > 0);
        entries.values().any(|entry| entry.kind == kind)
    }

    /// Revokes every credential of this kind that is not among the valid ones.
    pub(super) fn retain(&self, kind: Watched, valid: &HashSet<SecretHash>) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|hash, entry| {
            let keep = entry.kind != kind || valid.contains(hash);
            if let (false, Some(token)) = (keep, entry.sockets.upgrade()) {
                token.cancel();
            }
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_revoked_credential_loses_its_sockets() {
        let watches = Watches::default();
        let [a, b, c] = ["a", "b", "c"].map(SecretHash::of);
        let session_a = watches.watch(a, Watched::Session);
        let also_a = watches.watch(a, Watched::Session);
        let session_b = watches.watch(b, Watched::Session);
        let token_c = watches.watch(c, Watched::Token);
        watches.revoke(a);
        assert!(session_a.is_revoked() && also_a.is_revoked());
        assert!(!session_b.is_revoked());
        watches.retain(Watched::Session, &HashSet::new());
        assert!(session_b.is_revoked() && !token_c.is_revoked());
        drop(token_c);
        assert!(
            !watches.any(Watched::Token),
            "nothing is kept for closed sockets"
        );
    }
}
