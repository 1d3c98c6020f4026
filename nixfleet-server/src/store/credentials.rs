//! Sessions and tokens in the store.

use futures_util::FutureExt;
use nixfleet_core::{HostId, Timestamp};
use sqlx::FromRow;

use super::Store;
use super::error::StoreError;
use crate::auth::roles::Role;
use crate::auth::store::{
    CredentialError, CredentialResult, CredentialStore, SecretHash, SessionRecord, TokenRecord,
    TokenScope,
};

impl CredentialStore for Store {
    fn insert_session(&self, session: SessionRecord) -> CredentialResult<'_, ()> {
        async move {
            let mut writing = self.database.begin().await?;
            sqlx::query("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?)")
                .bind(session.hash.as_bytes().as_slice())
                .bind(session.account)
                .bind(session.role.to_string())
                .bind(session.created_at.as_millis())
                .bind(session.last_used_at.as_millis())
                .bind(session.expires_at.as_millis())
                .execute(&mut *writing)
                .await?;
            Ok(writing.commit().await?)
        }
        .map(unavailable)
        .boxed()
    }

    fn find_session(&self, hash: SecretHash) -> CredentialResult<'_, Option<SessionRecord>> {
        async move {
            let row: Option<SessionRow> = sqlx::query_as("SELECT * FROM sessions WHERE hash = ?")
                .bind(hash.as_bytes().as_slice())
                .fetch_optional(self.database.reader())
                .await?;
            row.map(SessionRecord::try_from).transpose()
        }
        .map(unavailable)
        .boxed()
    }

    fn touch_session(&self, hash: SecretHash, at: Timestamp) -> CredentialResult<'_, ()> {
        async move {
            let mut writing = self.database.begin().await?;
            sqlx::query("UPDATE sessions SET last_used_at = ? WHERE hash = ?")
                .bind(at.as_millis())
                .bind(hash.as_bytes().as_slice())
                .execute(&mut *writing)
                .await?;
            Ok(writing.commit().await?)
        }
        .map(unavailable)
        .boxed()
    }

    fn delete_session(&self, hash: SecretHash) -> CredentialResult<'_, bool> {
        async move {
            let mut writing = self.database.begin().await?;
            let done = sqlx::query("DELETE FROM sessions WHERE hash = ?")
                .bind(hash.as_bytes().as_slice())
                .execute(&mut *writing)
                .await?;
            writing.commit().await?;
            Ok(done.rows_affected() > 0)
        }
        .map(unavailable)
        .boxed()
    }

    fn list_sessions(&self) -> CredentialResult<'_, Vec<SessionRecord>> {
        async move {
            let rows: Vec<SessionRow> =
                sqlx::query_as("SELECT * FROM sessions ORDER BY created_at, hash")
                    .fetch_all(self.database.reader())
                    .await?;
            rows.into_iter().map(SessionRecord::try_from).collect()
        }
        .map(unavailable)
        .boxed()
    }

    fn purge_sessions(&self, now: Timestamp, idle_since: Timestamp) -> CredentialResult<'_, u64> {
        async move {
            let mut writing = self.database.begin().await?;
            let done =
                sqlx::query("DELETE FROM sessions WHERE expires_at <= ? OR last_used_at < ?")
                    .bind(now.as_millis())
                    .bind(idle_since.as_millis())
                    .execute(&mut *writing)
                    .await?;
            writing.commit().await?;
            Ok(done.rows_affected())
        }
        .map(unavailable)
        .boxed()
    }

    fn insert_token(&self, token: TokenRecord) -> CredentialResult<'_, ()> {
        async move {
            let (role, host) = match &token.scope {
                TokenScope::Api(role) => (Some(role.to_string()), None),
                TokenScope::Agent(host) => (None, Some(host.as_str())),
            };
            let insert = async {
                let mut writing = self.database.begin().await?;
                let done = sqlx::query(
                    "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
                )
                .bind(token.hash.as_bytes().as_slice())
                .bind(&token.name)
                .bind(role)
                .bind(host)
                .bind(token.created_at.as_millis())
                .bind(token.expires_at.map(Timestamp::as_millis))
                .bind(token.last_used_at.map(Timestamp::as_millis))
                .execute(&mut *writing)
                .await?;
                writing.commit().await?;
                Ok(done.rows_affected() > 0)
            };
            match insert.map(unavailable).await? {
                true => Ok(()),
                false => Err(CredentialError::NameTaken(token.name)),
            }
        }
        .boxed()
    }

    fn find_token(&self, hash: SecretHash) -> CredentialResult<'_, Option<TokenRecord>> {
        async move {
            let row: Option<TokenRow> = sqlx::query_as("SELECT * FROM tokens WHERE hash = ?")
                .bind(hash.as_bytes().as_slice())
                .fetch_optional(self.database.reader())
                .await?;
            row.map(TokenRecord::try_from).transpose()
        }
        .map(unavailable)
        .boxed()
    }

    fn touch_token(&self, hash: SecretHash, at: Timestamp) -> CredentialResult<'_, ()> {
        async move {
            let mut writing = self.database.begin().await?;
            sqlx::query("UPDATE tokens SET last_used_at = ? WHERE hash = ?")
                .bind(at.as_millis())
                .bind(hash.as_bytes().as_slice())
                .execute(&mut *writing)
                .await?;
            Ok(writing.commit().await?)
        }
        .map(unavailable)
        .boxed()
    }

    fn delete_token(&self, name: &str) -> CredentialResult<'_, Option<TokenRecord>> {
        let name = name.to_owned();
        async move {
            let mut writing = self.database.begin().await?;
            let row: Option<TokenRow> =
                sqlx::query_as("DELETE FROM tokens WHERE name = ? RETURNING *")
                    .bind(name)
                    .fetch_optional(&mut *writing)
                    .await?;
            writing.commit().await?;
            row.map(TokenRecord::try_from).transpose()
        }
        .map(unavailable)
        .boxed()
    }

    fn list_tokens(&self) -> CredentialResult<'_, Vec<TokenRecord>> {
        async move {
            let rows: Vec<TokenRow> = sqlx::query_as("SELECT * FROM tokens ORDER BY name")
                .fetch_all(self.database.reader())
                .await?;
            rows.into_iter().map(TokenRecord::try_from).collect()
        }
        .map(unavailable)
        .boxed()
    }
}

fn unavailable<T>(result: Result<T, StoreError>) -> Result<T, CredentialError> {
    result.map_err(|error| CredentialError::Unavailable(Box::new(error)))
}

#[derive(FromRow)]
struct SessionRow {
    hash: Vec<u8>,
    account: String,
    role: String,
    created_at: i64,
    last_used_at: i64,
    expires_at: i64,
}

#[derive(FromRow)]
struct TokenRow {
    hash: Vec<u8>,
    name: String,
    role: Option<String>,
    host: Option<String>,
    created_at: i64,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
}

impl TryFrom<SessionRow> for SessionRecord {
    type Error = StoreError;
    fn try_from(row: SessionRow) -> Result<Self, StoreError> {
        Ok(Self {
            hash: hash(&row.hash)?,
            account: row.account,
            role: role(&row.role)?,
            created_at: Timestamp::from_millis(row.created_at),
            last_used_at: Timestamp::from_millis(row.last_used_at),
            expires_at: Timestamp::from_millis(row.expires_at),
        })
    }
}

impl TryFrom<TokenRow> for TokenRecord {
    type Error = StoreError;
    fn try_from(row: TokenRow) -> Result<Self, StoreError> {
        let scope = match (row.role, row.host) {
            (Some(text), None) => TokenScope::Api(role(&text)?),
            (None, Some(host)) => TokenScope::Agent(host.parse::<HostId>().map_err(unusable)?),
            (Some(_), Some(_)) | (None, None) => {
                return Err(unusable("a token needs a role or a host"));
            }
        };
        Ok(Self {
            hash: hash(&row.hash)?,
            name: row.name,
            scope,
            created_at: Timestamp::from_millis(row.created_at),
            expires_at: row.expires_at.map(Timestamp::from_millis),
            last_used_at: row.last_used_at.map(Timestamp::from_millis),
        })
    }
}

fn hash(bytes: &[u8]) -> Result<SecretHash, StoreError> {
    let bytes = <[u8; 32]>::try_from(bytes).map_err(unusable)?;
    Ok(SecretHash::from_bytes(bytes))
}

fn role(text: &str) -> Result<Role, StoreError> {
    text.parse().map_err(unusable)
}

fn unusable(why: impl std::fmt::Display) -> StoreError {
    StoreError::Unusable(why.to_string())
}
