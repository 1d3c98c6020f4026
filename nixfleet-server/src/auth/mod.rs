//! Who is asking, and may they: passwords, sessions, tokens, roles and login limits.
//!
//! Three doors, and a credential opens only its own: the API takes a session cookie or an API
//! token, the agent channel only an agent token, the live feed only a ticket, which a browser
//! uses together with its session and its origin, and a program with neither.

mod credentials;
pub mod filters;
mod housekeeping;
pub mod limit;
pub mod memory;
pub mod password;
pub mod roles;
pub mod secret;
mod session;
pub mod store;
pub mod ticket;
mod watch;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use nixfleet_core::{HostId, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::clock::Clock;
use crate::net::Site;
use crate::reject::{Problem, forbidden, standard, unauthenticated, unavailable};

use credentials::Presented;
pub(crate) use credentials::{has_session_cookie, is_same_origin};
use limit::LoginLimiter;
pub use limit::{Budget, LoginBudgets};
pub use memory::MemoryCredentials;
use password::PasswordChecker;
pub use password::PasswordHash;
pub use roles::{Permission, Role};
use secret::NoRandomness;
pub use session::LoginError;
pub use store::{
    CredentialError, CredentialResult, CredentialStore, SecretHash, SessionRecord, TokenRecord,
    TokenScope,
};
use ticket::Tickets;
pub use watch::Revocation;
use watch::{Watched, Watches};

/// The account that the configured password opens.
pub const ACCOUNT: &str = "admin";
/// `last_used_at` is kept to this precision, so that using a credential is not a write each time.
const TOUCH_EVERY: Duration = Duration::from_secs(60);

/// Who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A person in a browser.
    Session {
        /// Whose session it is.
        account: String,
        /// What it may do.
        role: Role,
        /// The hash of the session id.
        hash: SecretHash,
    },
    /// A program with an API token.
    ApiToken {
        /// The name of the token.
        name: String,
        /// What it may do.
        role: Role,
        /// The hash of the token.
        hash: SecretHash,
    },
    /// An agent.
    Agent(AgentIdentity),
}

/// Who is asking, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// The address of the connection: that of a proxy, if there is one.
    pub peer: Option<IpAddr>,
}

impl std::ops::Deref for Caller {
    type Target = Principal;
    fn deref(&self) -> &Principal {
        &self.principal
    }
}

/// As whom an agent may speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentIdentity {
    /// Holder of the shared token: the host it names itself.
    Shared,
    /// Holder of a token of this host: this host and no other.
    Host {
        /// The host.
        host: HostId,
        /// The hash of the token.
        hash: SecretHash,
    },
}

impl AgentIdentity {
    /// Whether the holder may speak for `host`.
    #[must_use]
    pub fn may_speak_for(&self, host: &HostId) -> bool {
        match self {
            AgentIdentity::Shared => true,
            AgentIdentity::Host { host: own, .. } => own == host,
        }
    }
}

impl Principal {
    /// How the principal is named in logs and in the audit.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Principal::Session { account, .. } => account.clone(),
            Principal::ApiToken { name, .. } => format!("token:{name}"),
            Principal::Agent(AgentIdentity::Shared) => "agent:shared".to_owned(),
            Principal::Agent(AgentIdentity::Host { host, .. }) => format!("agent:{host}"),
        }
    }

    /// Whose the `Idempotency-Key`s of its requests are. A name of a token can be given again, to
    /// somebody else: the answers of the old one are not theirs.
    #[must_use]
    pub fn owner_of_keys(&self) -> String {
        match self {
            Principal::ApiToken { hash, .. } => {
                let digits = hex::encode(&hash.as_bytes()[..8]);
                format!("{}@{digits}", self.label())
            }
            Principal::Session { .. } | Principal::Agent(_) => self.label(),
        }
    }

    /// Whether the table of roles grants this.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        roles::allows(self, permission)
    }
}

/// What authentication is configured with.
pub struct AuthSettings {
    /// The hash of the dashboard's password.
    pub password: PasswordHash,
    /// The token that all agents share.
    pub agent_token: SecretString,
    /// The names of this server.
    pub site: Site,
    /// How often logins may be tried.
    pub budgets: LoginBudgets,
}

/// Authentication of the server.
pub struct Auth {
    password: PasswordChecker,
    agent_token: SecretHash,
    site: Site,
    limiter: LoginLimiter,
    tickets: Tickets,
    watches: Watches,
    store: Arc<dyn CredentialStore>,
    clock: Clock,
}

impl Auth {
    /// Authentication against `store`.
    #[must_use]
    pub fn new(settings: AuthSettings, store: Arc<dyn CredentialStore>, clock: Clock) -> Self {
        Self {
            password: PasswordChecker::new(settings.password),
            agent_token: SecretHash::of(settings.agent_token.expose_secret()),
            site: settings.site,
            limiter: LoginLimiter::new(settings.budgets),
            tickets: Tickets::default(),
            watches: Watches::default(),
            store,
            clock,
        }
    }

    /// Who sent a request to the API or for a page.
    ///
    /// # Errors
    /// 401 without a valid credential; 503 if the store cannot tell.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, Problem> {
        match credentials::read(headers, &self.site)? {
            Presented::Bearer(token) => self.api_token(&token).await,
            Presented::Session(id) => self.session(&id).await,
            Presented::Nothing => Err(unauthenticated(
                "log in at /login, or send an API token as `Authorization: Bearer`",
            )),
        }
    }

    /// Who sent a request to the API, if the table of roles grants `permission`.
    ///
    /// # Errors
    /// As [`Auth::authenticate`]; 403 without the permission.
    pub async fn authorize(
        &self,
        headers: &HeaderMap,
        permission: Permission,
    ) -> Result<Principal, Problem> {
        let principal = self.authenticate(headers).await?;
        if principal.may(permission) {
            return Ok(principal);
        }
        Err(forbidden(format!(
            "{} may not do this; use a credential with a higher role",
            principal.label()
        )))
    }

    /// Which agent wants to connect. Only a bearer token counts; a request with the marks of a
    /// browser (our cookie, the origin of another site) is refused whatever else it carries.
    ///
    /// # Errors
    /// 401 without a valid agent token, 403 for browsers, 503 if the store cannot tell.
    pub async fn authenticate_agent(&self, headers: &HeaderMap) -> Result<AgentIdentity, Problem> {
        let has_origin = headers.contains_key(http::header::ORIGIN);
        if has_origin && !credentials::is_same_origin(headers, &self.site) {
            return Err(forbidden(
                "this channel is for agents; browsers use /api/v1/live",
            ));
        }
        let token = match credentials::read(headers, &self.site)? {
            Presented::Bearer(token) if !credentials::has_session_cookie(headers) => token,
            Presented::Bearer(_) | Presented::Session(_) => {
                return Err(unauthenticated("this channel takes no session cookie"));
            }
            Presented::Nothing => {
                return Err(unauthenticated(
                    "send the agent token as `Authorization: Bearer`",
                ));
            }
        };
        let hash = SecretHash::of(token.expose_secret());
        if bool::from(hash.as_bytes().ct_eq(self.agent_token.as_bytes())) {
            return Ok(AgentIdentity::Shared);
        }
        match self.valid_token(hash).await?.map(|record| record.scope) {
            Some(TokenScope::Agent(host)) => Ok(AgentIdentity::Host { host, hash }),
            Some(TokenScope::Api(_)) | None => Err(unauthenticated(
                "the agent token is not valid; compare NIXFLEET_TOKEN of the agent with \
                 NIXFLEET_AGENT_TOKEN of the server",
            )),
        }
    }

    /// Who opens the live feed. A browser, recognised by its origin or our cookie: a session, from
    /// a page of this very origin, with a fresh ticket of its own. A program has neither of the
    /// two, which no browser can leave out, and a fresh ticket that its API token was given.
    ///
    /// # Errors
    /// 401 without session or ticket, 403 for a bearer token or another origin.
    pub async fn authenticate_live(
        &self,
        headers: &HeaderMap,
        ticket: &str,
    ) -> Result<Principal, Problem> {
        if headers.contains_key(http::header::AUTHORIZATION) {
            return Err(forbidden(
                "the live feed takes no bearer token; with an API token, fetch a ticket from \
                 /api/v1/live/ticket and connect with that alone",
            ));
        }
        let is_browser =
            headers.contains_key(http::header::ORIGIN) || credentials::has_session_cookie(headers);
        if is_browser && !credentials::is_same_origin(headers, &self.site) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "foreign_origin",
                "The live feed is only for pages of this server",
            )
            .detail("set NIXFLEET_PUBLIC_URL to exactly the address that the browser shows"));
        }
        let session = if is_browser {
            Some(self.authorize(headers, Permission::Live).await?)
        } else {
            None
        };
        let holder = self.tickets.redeem(ticket, self.clock.now());
        let stale = || unauthenticated("the ticket was used already or is too old; fetch another");
        match (session, holder.ok_or_else(stale)?) {
            (Some(session), holder) if session == holder => Ok(session),
            (None, holder @ Principal::ApiToken { hash, .. }) => {
                let valid = self.valid_token(hash).await?.is_some();
                valid.then_some(holder).ok_or_else(stale)
            }
            (Some(_) | None, _) => Err(unauthenticated("the ticket is not for this credential")),
        }
    }

    /// A ticket for the live feed.
    ///
    /// # Errors
    /// 403 for agents.
    pub fn issue_ticket(&self, principal: &Principal) -> Result<SecretString, Problem> {
        match principal {
            Principal::Session { .. } | Principal::ApiToken { .. } => self
                .tickets
                .issue(principal.clone(), self.clock.now())
                .map_err(|error| no_randomness(&error)),
            Principal::Agent(_) => Err(forbidden("agents have no live feed")),
        }
    }

    /// Resolves when the credential of an open socket is taken away; close the socket then.
    #[must_use]
    pub fn watch(&self, principal: &Principal) -> Revocation {
        match principal {
            Principal::Session { hash, .. } => self.watches.watch(*hash, Watched::Session),
            Principal::ApiToken { hash, .. }
            | Principal::Agent(AgentIdentity::Host { hash, .. }) => {
                self.watches.watch(*hash, Watched::Token)
            }
            Principal::Agent(AgentIdentity::Shared) => Revocation::never(),
        }
    }

    /// The names of this server.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }

    async fn api_token(&self, token: &SecretString) -> Result<Principal, Problem> {
        let hash = SecretHash::of(token.expose_secret());
        match self.valid_token(hash).await? {
            Some(TokenRecord {
                name,
                scope: TokenScope::Api(role),
                ..
            }) => Ok(Principal::ApiToken { name, role, hash }),
            Some(TokenRecord {
                scope: TokenScope::Agent(_),
                ..
            })
            | None => Err(unauthenticated(
                "the API token is unknown, expired or revoked",
            )),
        }
    }

    async fn valid_token(&self, hash: SecretHash) -> Result<Option<TokenRecord>, Problem> {
        let now = self.clock.now();
        let found = self
            .store
            .find_token(hash)
            .await
            .map_err(|error| store_failed(&error))?;
        let Some(record) = found.filter(|record| is_valid_token(record, now)) else {
            return Ok(None);
        };
        let fresh = record
            .last_used_at
            .is_some_and(|used| now.since(used) < TOUCH_EVERY);
        if !fresh {
            note_use(self.store.touch_token(hash, now).await);
        }
        Ok(Some(record))
    }
}

fn is_valid_token(token: &TokenRecord, now: Timestamp) -> bool {
    token.expires_at.is_none_or(|expires| now < expires)
}

fn store_failed(error: &CredentialError) -> Problem {
    tracing::error!(%error, cause = cause(error), "credentials cannot be read or written");
    unavailable("the credential store cannot be reached at the moment")
}

/// A database that cannot be written must still be readable by those who have a credential.
fn note_use(outcome: Result<(), CredentialError>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, cause = cause(&error), "the use of a credential was not recorded");
    }
}

fn no_randomness(error: &NoRandomness) -> Problem {
    tracing::error!(%error, "no secret could be made");
    standard(StatusCode::INTERNAL_SERVER_ERROR)
}

fn cause(error: &dyn std::error::Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}
