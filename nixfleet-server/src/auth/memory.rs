//! A credential store that forgets everything when the process ends: for tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::ready;
use nixfleet_core::Timestamp;

use super::store::{
    CredentialError, CredentialResult, CredentialStore, SecretHash, SessionRecord, TokenRecord,
};

/// Sessions and tokens in memory.
#[derive(Default)]
pub struct MemoryCredentials {
    sessions: Mutex<BTreeMap<SecretHash, SessionRecord>>,
    tokens: Mutex<BTreeMap<SecretHash, TokenRecord>>,
}

impl MemoryCredentials {
    /// A store that holds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl CredentialStore for MemoryCredentials {
    fn insert_session(&self, session: SessionRecord) -> CredentialResult<'_, ()> {
        locked(&self.sessions).insert(session.hash, session);
        done(())
    }

    fn find_session(&self, hash: SecretHash) -> CredentialResult<'_, Option<SessionRecord>> {
        done(locked(&self.sessions).get(&hash).cloned())
    }

    fn touch_session(&self, hash: SecretHash, at: Timestamp) -> CredentialResult<'_, ()> {
        if let Some(session) = locked(&self.sessions).get_mut(&hash) {
            session.last_used_at = at;
        }
        done(())
    }

    fn delete_session(&self, hash: SecretHash) -> CredentialResult<'_, bool> {
        done(locked(&self.sessions).remove(&hash).is_some())
    }

    fn list_sessions(&self) -> CredentialResult<'_, Vec<SessionRecord>> {
        let mut sessions: Vec<_> = locked(&self.sessions).values().cloned().collect();
        sessions.sort_by_key(|session| session.created_at);
        done(sessions)
    }

    fn purge_sessions(&self, now: Timestamp, idle_since: Timestamp) -> CredentialResult<'_, u64> {
        let mut sessions = locked(&self.sessions);
        let before = sessions.len();
        sessions
            .retain(|_, session| session.expires_at > now && session.last_used_at >= idle_since);
        done(u64::try_from(before - sessions.len()).unwrap_or(u64::MAX))
    }

    fn insert_token(&self, token: TokenRecord) -> CredentialResult<'_, ()> {
        let mut tokens = locked(&self.tokens);
        if tokens.values().any(|other| other.name == token.name) {
            return ready(Err(CredentialError::NameTaken(token.name))).boxed();
        }
        tokens.insert(token.hash, token);
        done(())
    }

    fn find_token(&self, hash: SecretHash) -> CredentialResult<'_, Option<TokenRecord>> {
        done(locked(&self.tokens).get(&hash).cloned())
    }

    fn touch_token(&self, hash: SecretHash, at: Timestamp) -> CredentialResult<'_, ()> {
        if let Some(token) = locked(&self.tokens).get_mut(&hash) {
            token.last_used_at = Some(at);
        }
        done(())
    }

    fn delete_token(&self, name: &str) -> CredentialResult<'_, Option<TokenRecord>> {
        let mut tokens = locked(&self.tokens);
        let hash = tokens
            .values()
            .find(|token| token.name == name)
            .map(|token| token.hash);
        done(hash.and_then(|hash| tokens.remove(&hash)))
    }

    fn list_tokens(&self) -> CredentialResult<'_, Vec<TokenRecord>> {
        let mut tokens: Vec<_> = locked(&self.tokens).values().cloned().collect();
        tokens.sort_by(|a, b| a.name.cmp(&b.name));
        done(tokens)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn done<'a, T: Send + 'a>(value: T) -> CredentialResult<'a, T> {
    ready(Ok(value)).boxed()
}
