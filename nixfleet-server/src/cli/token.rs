//! `nixfleet-server token create|list|revoke`.

use std::io::Write;

use clap::{Args, Subcommand};
use nixfleet_core::{HostId, Timestamp};
use secrecy::ExposeSecret;

use super::{Failure, runtime};
use crate::auth::secret::{SecretKind, fresh};
use crate::auth::{CredentialStore, Role, SecretHash, TokenRecord, TokenScope};
use crate::clock::Clock;
use crate::config::{ConfigError, data_dir, parse_duration, process_environment};
use crate::store::Store;

/// Flags of `token`.
#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    /// Directory of the server's data [default: $STATE_DIRECTORY or the XDG data directory]
    #[arg(long, env = "NIXFLEET_DATA_DIR", value_name = "DIR", global = true)]
    pub data_dir: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: TokenCommand,
}

/// What to do with tokens.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it; it is shown this once
    Create(CreateArgs),
    /// List the tokens, without their secrets
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a token away; open connections that use it are closed
    Revoke {
        /// The name it was created under
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// Flags of `token create`.
#[derive(Clone, Debug, Args)]
#[command(group(clap::ArgGroup::new("scope").required(true)))]
pub struct CreateArgs {
    /// Name to list and revoke it by
    #[arg(long)]
    pub name: String,
    /// Make an API token: viewer, operator or admin
    #[arg(long, group = "scope", value_name = "ROLE")]
    pub role: Option<Role>,
    /// Make an agent token that speaks for this host and no other
    #[arg(long, group = "scope", value_name = "HOST")]
    pub host: Option<HostId>,
    /// Let it end after this long, like 90d [default: never]
    #[arg(long, value_name = "DURATION")]
    pub expires_in: Option<String>,
}

/// Runs `token` on the database in the data directory, also while a server is using it.
///
/// # Errors
/// [`Failure`] if there is no usable database, or as for [`perform`].
pub fn run(args: TokenArgs) -> Result<(), Failure> {
    let named = args.data_dir.as_deref().map(str::trim);
    let folder = data_dir(named.filter(|dir| !dir.is_empty()), &process_environment)?;
    runtime()?.block_on(async {
        let store = Store::open_beside(&folder)
            .await
            .map_err(|error| Failure::while_doing("cannot open the database", &error))?;
        let now = Clock::system().now();
        let done = perform(args.command, &store, now, &mut std::io::stdout()).await;
        store.close().await;
        done
    })
}

/// Performs `command` on the store; what was asked for goes to `out`.
///
/// # Errors
/// [`Failure`] if the store fails, the name is taken or unknown, or a value cannot be used.
pub async fn perform(
    command: TokenCommand,
    store: &dyn CredentialStore,
    now: Timestamp,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    match command {
        TokenCommand::Create(args) => create(args, store, now, out).await,
        TokenCommand::List { json } => list(json, store, now, out).await,
        TokenCommand::Revoke { name } => revoke(&name, store).await,
    }
}

async fn create(
    args: CreateArgs,
    store: &dyn CredentialStore,
    now: Timestamp,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    let name = checked_name(args.name)?;
    let (kind, scope) = match (args.role, args.host) {
        (Some(role), None) => (SecretKind::ApiToken, TokenScope::Api(role)),
        (None, Some(host)) => (SecretKind::AgentToken, TokenScope::Agent(host)),
        (Some(_), Some(_)) | (None, None) => {
            return Err(usage("--role", "give either --role or --host"));
        }
    };
    let expires_at = match args.expires_in.as_deref().map(parse_duration) {
        None => None,
        Some(Ok(lifetime)) => Some(now + lifetime),
        Some(Err(error)) => return Err(usage("--expires-in", &error.to_string())),
    };
    let secret =
        fresh(kind).map_err(|error| Failure::while_doing("cannot make a token", &error))?;
    let record = TokenRecord {
        hash: SecretHash::of(secret.expose_secret()),
        name,
        scope,
        created_at: now,
        expires_at,
        last_used_at: None,
    };
    store
        .insert_token(record)
        .await
        .map_err(|error| Failure::while_doing("cannot keep the token", &error))?;
    eprintln!("This is shown once; keep it where the program can read it:");
    print(out, format_args!("{}", secret.expose_secret()))
}

async fn list(
    json: bool,
    store: &dyn CredentialStore,
    now: Timestamp,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    let tokens = store
        .list_tokens()
        .await
        .map_err(|error| Failure::while_doing("cannot list the tokens", &error))?;
    if json {
        let rows: Vec<_> = tokens.iter().map(as_json).collect();
        return print(out, format_args!("{}", serde_json::Value::Array(rows)));
    }
    if tokens.is_empty() {
        eprintln!("There are no tokens.");
        return Ok(());
    }
    let width = tokens
        .iter()
        .map(|token| token.name.len())
        .max()
        .unwrap_or(0)
        .max(4);
    print(
        out,
        format_args!(
            "{:width$}  {:24}  {:10}  {:10}  EXPIRES",
            "NAME", "SCOPE", "CREATED", "LAST USED"
        ),
    )?;
    for token in &tokens {
        let used = token
            .last_used_at
            .map_or_else(|| "never".to_owned(), |at| at.date());
        let expires = match token.expires_at {
            None => "never".to_owned(),
            Some(at) if at <= now => format!("expired {}", at.date()),
            Some(at) => at.date(),
        };
        print(
            out,
            format_args!(
                "{:width$}  {:24}  {:10}  {used:10}  {expires}",
                token.name,
                scope_text(&token.scope),
                token.created_at.date(),
            ),
        )?;
    }
    Ok(())
}

async fn revoke(name: &str, store: &dyn CredentialStore) -> Result<(), Failure> {
    let removed = store
        .delete_token(name)
        .await
        .map_err(|error| Failure::while_doing("cannot revoke the token", &error))?;
    if removed.is_none() {
        return Err(Failure::Other(format!(
            "there is no token named {name:?}; see `nixfleet-server token list`"
        )));
    }
    eprintln!("Revoked {name:?}.");
    Ok(())
}

fn checked_name(name: String) -> Result<String, Failure> {
    let name = name.trim();
    let good = (1..=64).contains(&name.chars().count())
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || " ._-@/".contains(c));
    if good {
        return Ok(name.to_owned());
    }
    Err(usage(
        "--name",
        "expected 1 to 64 letters, digits, spaces or any of . _ - @ /",
    ))
}

fn scope_text(scope: &TokenScope) -> String {
    match scope {
        TokenScope::Api(role) => format!("api {role}"),
        TokenScope::Agent(host) => format!("agent {host}"),
    }
}

fn as_json(token: &TokenRecord) -> serde_json::Value {
    let (kind, role, host) = match &token.scope {
        TokenScope::Api(role) => ("api", Some(role.as_str()), None),
        TokenScope::Agent(host) => ("agent", None, Some(host.as_str())),
    };
    serde_json::json!({
        "name": token.name,
        "kind": kind,
        "role": role,
        "host": host,
        "created_at": token.created_at.to_rfc3339(),
        "expires_at": token.expires_at.map(Timestamp::to_rfc3339),
        "last_used_at": token.last_used_at.map(Timestamp::to_rfc3339),
    })
}

fn usage(flag: &'static str, problem: &str) -> Failure {
    Failure::Config(ConfigError::new(flag, problem))
}

fn print(out: &mut (dyn Write + Send), line: std::fmt::Arguments<'_>) -> Result<(), Failure> {
    writeln!(out, "{line}")
        .map_err(|error| Failure::while_doing("cannot write to standard output", &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::MemoryCredentials;

    const NOW: Timestamp = Timestamp::from_seconds(1_780_000_000);

    async fn perform_on(
        store: &MemoryCredentials,
        command: TokenCommand,
    ) -> Result<String, Failure> {
        let mut out = Vec::new();
        super::perform(command, store, NOW, &mut out).await?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn creation(name: &str, role: Option<Role>, host: Option<&str>) -> TokenCommand {
        TokenCommand::Create(CreateArgs {
            name: name.to_owned(),
            role,
            host: host.map(|host| host.parse().unwrap()),
            expires_in: Some("90d".to_owned()),
        })
    }

    #[tokio::test]
    async fn a_token_is_printed_once_listed_without_its_secret_and_revoked_by_name() {
        let store = MemoryCredentials::new();
        let printed = perform_on(&store, creation("ci", Some(Role::Operator), None))
            .await
            .unwrap();
        let secret = printed.trim();
        assert!(secret.starts_with("nfp_") && printed.lines().count() == 1);
        let found = store
            .find_token(SecretHash::of(secret))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(found.scope, TokenScope::Api(Role::Operator));
        let agent = perform_on(&store, creation("web", None, Some("web-1")))
            .await
            .unwrap();
        assert!(agent.starts_with("nfa_"));

        let again = perform_on(&store, creation("ci", Some(Role::Admin), None))
            .await
            .unwrap_err();
        assert!(again.to_string().contains("exists already"), "{again}");
        let listed = perform_on(&store, TokenCommand::List { json: false })
            .await
            .unwrap();
        assert!(
            listed.contains("api operator") && listed.contains("agent web-1"),
            "{listed}"
        );
        let json = perform_on(&store, TokenCommand::List { json: true })
            .await
            .unwrap();
        assert!(
            !json.contains("nfp_") && json.contains("\"role\":\"operator\""),
            "{json}"
        );

        let revoke = || TokenCommand::Revoke {
            name: "ci".to_owned(),
        };
        perform_on(&store, revoke()).await.unwrap();
        assert!(
            store
                .find_token(SecretHash::of(secret))
                .await
                .unwrap()
                .is_none()
        );
        assert!(
            perform_on(&store, revoke())
                .await
                .unwrap_err()
                .to_string()
                .contains("no token")
        );
    }

    #[tokio::test]
    async fn names_that_could_disturb_a_terminal_are_refused() {
        let store = MemoryCredentials::new();
        for bad in ["", " ", "a\u{1b}[2J", "a\nb", &"x".repeat(65)] {
            let refused = perform_on(&store, creation(bad, Some(Role::Viewer), None)).await;
            assert_eq!(refused.unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }
}
