//! Logging in and out, and the life of a session.

use std::net::IpAddr;
use std::time::Duration;

use cookie::{Cookie, SameSite};
use http::{HeaderMap, HeaderValue, StatusCode};
use nixfleet_core::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::credentials::{self, Presented, SECURE_COOKIE};
use super::password::PasswordError;
use super::roles::Role;
use super::secret::{SecretKind, fresh};
use super::store::{SecretHash, SessionRecord};
use super::{ACCOUNT, Auth, Principal, TOUCH_EVERY, no_randomness, note_use, store_failed};
use crate::reject::{Problem, standard, too_many_requests, unauthenticated};

/// A session unused for this long has ended.
pub(super) const IDLE_LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// A session ends after this long whatever happens.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// Why a login did not succeed.
#[derive(Debug)]
pub enum LoginError {
    /// Too many attempts; the next one is allowed after this long.
    TooMany(Duration),
    /// The password is not the right one.
    Wrong,
    /// The server could not find out.
    Failed(Problem),
}

impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Problem {
        match error {
            LoginError::TooMany(wait) => too_many_requests(wait, "too many login attempts"),
            LoginError::Wrong => Problem::new(
                StatusCode::UNAUTHORIZED,
                "wrong_password",
                "The password is not correct",
            ),
            LoginError::Failed(problem) => problem,
        }
    }
}

impl Auth {
    /// Checks the password and opens a session; a session that the browser had before ends.
    /// Answers the `Set-Cookie` header.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn login(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
        password: SecretString,
    ) -> Result<HeaderValue, LoginError> {
        self.limiter.admit(peer, ACCOUNT).map_err(|wait| {
            tracing::warn!(%peer, "too many login attempts");
            LoginError::TooMany(wait)
        })?;
        if !self
            .password
            .check(password)
            .await
            .map_err(|error| check_failed(&error))?
        {
            tracing::warn!(%peer, "login with a wrong password");
            return Err(LoginError::Wrong);
        }
        self.end_session(headers)
            .await
            .map_err(LoginError::Failed)?;
        let id = fresh(SecretKind::Internal)
            .map_err(|error| LoginError::Failed(no_randomness(&error)))?;
        let now = self.clock.now();
        let session = SessionRecord {
            hash: SecretHash::of(id.expose_secret()),
            account: ACCOUNT.to_owned(),
            role: Role::Admin,
            created_at: now,
            last_used_at: now,
            expires_at: now + LIFETIME,
        };
        self.store
            .insert_session(session)
            .await
            .map_err(|error| LoginError::Failed(store_failed(&error)))?;
        tracing::info!(%peer, account = ACCOUNT, "logged in");
        Ok(self.session_cookie(headers, id.expose_secret(), LIFETIME))
    }

    /// Ends the session of the request, if it has one; its open sockets close. Answers the
    /// `Set-Cookie` header that makes the browser forget it.
    ///
    /// # Errors
    /// 503 if the store cannot forget the session.
    pub async fn logout(&self, headers: &HeaderMap) -> Result<HeaderValue, Problem> {
        self.end_session(headers).await?;
        Ok(self.session_cookie(headers, "", Duration::ZERO))
    }

    pub(super) async fn session(&self, id: &SecretString) -> Result<Principal, Problem> {
        let now = self.clock.now();
        let hash = SecretHash::of(id.expose_secret());
        let found = self
            .store
            .find_session(hash)
            .await
            .map_err(|error| store_failed(&error))?;
        let Some(session) = found.filter(|session| is_valid(session, now)) else {
            return Err(unauthenticated("the session has ended; log in again"));
        };
        if now.since(session.last_used_at) >= TOUCH_EVERY {
            note_use(self.store.touch_session(hash, now).await);
        }
        Ok(Principal::Session {
            account: session.account,
            role: session.role,
            hash,
        })
    }

    async fn end_session(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Ok(Presented::Session(id)) = credentials::read(headers, &self.site) else {
            return Ok(());
        };
        let hash = SecretHash::of(id.expose_secret());
        self.store
            .delete_session(hash)
            .await
            .map_err(|error| store_failed(&error))?;
        self.watches.revoke(hash);
        Ok(())
    }

    fn session_cookie(&self, headers: &HeaderMap, id: &str, lifetime: Duration) -> HeaderValue {
        let name = credentials::cookie_name(headers, &self.site);
        let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(0);
        let cookie = Cookie::build((name, id))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Strict)
            .secure(name == SECURE_COOKIE)
            .max_age(cookie::time::Duration::seconds(seconds))
            .build();
        // Name, id and attributes are plain ASCII of our own making.
        let mut value =
            HeaderValue::from_str(&cookie.to_string()).unwrap_or(HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }
}

pub(super) fn is_valid(session: &SessionRecord, now: Timestamp) -> bool {
    now < session.expires_at && now.since(session.last_used_at) < IDLE_LIFETIME
}

fn check_failed(error: &PasswordError) -> LoginError {
    tracing::error!(%error, "the password could not be checked");
    LoginError::Failed(standard(StatusCode::INTERNAL_SERVER_ERROR))
}
