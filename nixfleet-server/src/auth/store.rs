//! What the server must remember about sessions and tokens, as a trait over the real store.

use std::fmt;

use futures_util::future::BoxFuture;
use nixfleet_core::{HostId, Timestamp};
use sha2::{Digest, Sha256};

use super::roles::Role;

/// The SHA-256 of a secret that this server made up itself (a session id or a token).
///
/// Such secrets carry 256 random bits, so a plain hash is enough: nothing can be guessed. Passwords
/// never come near this type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Hashes a secret as it was presented.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// The hash as it is stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash as it came from the store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretHash({}…)", hex::encode(&self.0[..4]))
    }
}

/// A login of a person in a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// The hash of the session id; the key.
    pub hash: SecretHash,
    /// Whose session it is.
    pub account: String,
    /// What the session may do.
    pub role: Role,
    /// When the person logged in.
    pub created_at: Timestamp,
    /// When the session was last seen at work; moved by [`CredentialStore::touch_session`].
    pub last_used_at: Timestamp,
    /// When the session ends whatever happens.
    pub expires_at: Timestamp,
}

/// What a token opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenScope {
    /// The HTTP API, as far as the role goes.
    Api(Role),
    /// The agent channel, as this host and no other.
    Agent(HostId),
}

/// A long-lived token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// The hash of the token; the key.
    pub hash: SecretHash,
    /// The name it was created under; unique among all tokens.
    pub name: String,
    /// What it opens.
    pub scope: TokenScope,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it stops working; never, if absent.
    pub expires_at: Option<Timestamp>,
    /// When it was last presented, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// Why the credentials could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// Another token has this name.
    #[error("a token named {0:?} exists already; revoke it first or choose another name")]
    NameTaken(String),
    /// The store behind the trait failed.
    #[error("the credential store failed")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The result of a call to a [`CredentialStore`].
pub type CredentialResult<'a, T> = BoxFuture<'a, Result<T, CredentialError>>;

/// Sessions and tokens, kept over a restart.
///
/// Implementations store and find; whether a record is still valid is decided by the caller.
pub trait CredentialStore: Send + Sync + 'static {
    /// Keeps a new session.
    fn insert_session(&self, session: SessionRecord) -> CredentialResult<'_, ()>;
    /// The session with this hash, expired or not.
    fn find_session(&self, hash: SecretHash) -> CredentialResult<'_, Option<SessionRecord>>;
    /// Records that the session was used; unknown sessions are ignored.
    fn touch_session(&self, hash: SecretHash, at: Timestamp) -> CredentialResult<'_, ()>;
    /// Forgets a session; false if there was none.
    fn delete_session(&self, hash: SecretHash) -> CredentialResult<'_, bool>;
    /// Every session, oldest first.
    fn list_sessions(&self) -> CredentialResult<'_, Vec<SessionRecord>>;
    /// Forgets sessions that ended at or before `now` or were last used before `idle_since`;
    /// answers how many.
    fn purge_sessions(&self, now: Timestamp, idle_since: Timestamp) -> CredentialResult<'_, u64>;

    /// Keeps a new token; [`CredentialError::NameTaken`] if the name is in use.
    fn insert_token(&self, token: TokenRecord) -> CredentialResult<'_, ()>;
    /// The token with this hash, expired or not.
    fn find_token(&self, hash: SecretHash) -> CredentialResult<'_, Option<TokenRecord>>;
    /// Records that the token was used; unknown tokens are ignored.
    fn touch_token(&self, hash: SecretHash, at: Timestamp) -> CredentialResult<'_, ()>;
    /// Forgets the token with this name; answers its record, if there was one.
    fn delete_token(&self, name: &str) -> CredentialResult<'_, Option<TokenRecord>>;
    /// Every token, by name.
    fn list_tokens(&self) -> CredentialResult<'_, Vec<TokenRecord>>;
}
