//! Checking the password of the dashboard against its hash.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash as PhcHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

/// Hashes computed at the same time; each takes about 19 MiB.
const AT_ONCE: usize = 4;
/// bcrypt ignores everything after this many bytes.
const BCRYPT_BYTES: usize = 72;
/// Longer passwords are refused unread.
const PASSWORD_BYTES: usize = 1024;

/// The hash of a password: bcrypt (`$2a$`, `$2b$`, `$2y$`) or argon2id in PHC form.
#[derive(Clone)]
pub struct PasswordHash {
    text: SecretString,
    scheme: Scheme,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Bcrypt,
    Argon2id,
}

/// The text is not a hash that can be checked here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a bcrypt hash ($2a$, $2b$ or $2y$) or an argon2id hash ($argon2id$…); make one with \
     `nixfleet-server hash-password`, and mind that shells and compose files replace `$`"
)]
pub struct BadPasswordHash;

/// The password could not be hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// A password of no use.
    #[error("the password must have 1 to {PASSWORD_BYTES} bytes")]
    Length,
    /// The hash function failed.
    #[error("the password hash function failed: {0}")]
    Hash(String),
    /// The server is shutting down.
    #[error("the password check was interrupted")]
    Interrupted,
}

impl PasswordHash {
    /// Hashes a password with argon2id and a fresh salt. Takes a noticeable part of a second.
    ///
    /// # Errors
    /// [`PasswordError`] for an empty or endless password, or without memory or randomness.
    pub fn create(password: &str) -> Result<Self, PasswordError> {
        if !(1..=PASSWORD_BYTES).contains(&password.len()) {
            return Err(PasswordError::Length);
        }
        let hash = Argon2::default()
            .hash_password(password.as_bytes())
            .map_err(|error| PasswordError::Hash(error.to_string()))?;
        Ok(Self {
            text: hash.to_string().into(),
            scheme: Scheme::Argon2id,
        })
    }

    /// The hash as it is configured and stored.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    fn matches(&self, password: &str) -> Result<bool, PasswordError> {
        let hash = self.text.expose_secret();
        match self.scheme {
            Scheme::Bcrypt => bcrypt::verify(password, hash)
                .map_err(|error| PasswordError::Hash(error.to_string())),
            Scheme::Argon2id => {
                let parsed =
                    PhcHash::new(hash).map_err(|error| PasswordError::Hash(error.to_string()))?;
                Ok(Argon2::default()
                    .verify_password(password.as_bytes(), &parsed)
                    .is_ok())
            }
        }
    }

    fn takes(&self, password: &str) -> bool {
        let most = match self.scheme {
            Scheme::Bcrypt => BCRYPT_BYTES,
            Scheme::Argon2id => PASSWORD_BYTES,
        };
        (1..=most).contains(&password.len())
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({:?})", self.scheme)
    }
}

impl FromStr for PasswordHash {
    type Err = BadPasswordHash;
    fn from_str(text: &str) -> Result<Self, BadPasswordHash> {
        let text = text.trim();
        let scheme = if ["$2a$", "$2b$", "$2y$"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            text.parse::<bcrypt::HashParts>()
                .map_err(|_| BadPasswordHash)?;
            Scheme::Bcrypt
        } else {
            let parsed = PhcHash::new(text).map_err(|_| BadPasswordHash)?;
            if parsed.algorithm.as_str() != "argon2id" || parsed.hash.is_none() {
                return Err(BadPasswordHash);
            }
            Scheme::Argon2id
        };
        Ok(Self {
            text: text.into(),
            scheme,
        })
    }
}

/// Checks passwords, a few at a time, away from the threads that serve.
#[derive(Clone, Debug)]
pub struct PasswordChecker {
    hash: Arc<PasswordHash>,
    turns: Arc<Semaphore>,
}

impl PasswordChecker {
    /// A checker against one hash.
    #[must_use]
    pub fn new(hash: PasswordHash) -> Self {
        Self {
            hash: Arc::new(hash),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Whether this is the password. One that the hash would not look at to its end is not.
    ///
    /// # Errors
    /// [`PasswordError`] if the check could not be made.
    pub async fn check(&self, password: SecretString) -> Result<bool, PasswordError> {
        if !self.hash.takes(password.expose_secret()) {
            return Ok(false);
        }
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.map_err(|_| PasswordError::Interrupted)?;
        let hash = self.hash.clone();
        let check = tokio::task::spawn_blocking(move || {
            // Held until the work is really over, also when nobody waits for the answer any more.
            let _turn = turn;
            hash.matches(password.expose_secret())
        });
        check.await.map_err(|_| PasswordError::Interrupted)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(hash: &str, password: &str) -> bool {
        let checker = PasswordChecker::new(hash.parse().unwrap());
        checker.check(password.to_owned().into()).await.unwrap()
    }

    #[tokio::test]
    async fn argon2id_hashes_of_our_own_are_accepted() {
        let hash = PasswordHash::create("correct horse").unwrap();
        assert!(hash.expose().starts_with("$argon2id$"));
        assert!(check(hash.expose(), "correct horse").await);
        assert!(!check(hash.expose(), "correct horsf").await);
        assert!(!check(hash.expose(), "").await);
        assert_ne!(
            PasswordHash::create("a").unwrap().expose(),
            PasswordHash::create("a").unwrap().expose()
        );
    }

    #[tokio::test]
    async fn bcrypt_hashes_of_existing_installations_are_accepted_in_every_spelling() {
        let parts = bcrypt::hash_with_result("secret", 4).unwrap();
        for version in [
            bcrypt::Version::TwoA,
            bcrypt::Version::TwoB,
            bcrypt::Version::TwoY,
        ] {
            let hash = parts.format_for_version(version);
            assert!(check(&hash, "secret").await, "{hash}");
            assert!(!check(&hash, "secreT").await, "{hash}");
        }
    }

    #[tokio::test]
    async fn bcrypt_is_never_asked_about_bytes_it_would_ignore() {
        let long = "x".repeat(72);
        let hash = bcrypt::hash(&long, 4).unwrap();
        assert!(check(&hash, &long).await);
        assert!(
            !check(&hash, &format!("{long}y")).await,
            "the 73rd byte would be ignored"
        );
    }

    #[test]
    fn other_texts_are_not_hashes() {
        for bad in [
            "",
            "password",
            "$2b$",
            "$2x$04$abcdefghijklmnopqrstuu",
            "$argon2i$v=19$m=16,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
            "$argon2id$v=19$m=16,t=2,p=1$c2FsdHNhbHQ",
            "2b$10$abc",
        ] {
            assert_eq!(
                bad.parse::<PasswordHash>().err(),
                Some(BadPasswordHash),
                "{bad}"
            );
        }
        assert!(!format!("{:?}", PasswordHash::create("a").unwrap()).contains("argon2id$"));
    }
}
