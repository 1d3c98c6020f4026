//! Where the secrets of the server come from, and making two of them up where that is safe.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::{ConfigError, Environment, Listen, ServeArgs, set};
use crate::auth::PasswordHash;
use crate::auth::secret::{SecretKind, fresh, fresh_password};

/// The secrets of the server.
#[derive(Debug)]
pub struct Secrets {
    /// The hash of the dashboard's password.
    pub password: PasswordHash,
    /// The token that agents share.
    pub agent_token: SecretString,
    /// What was made up just now.
    pub generated: Vec<Generated>,
}

/// A secret that was made up just now; its owner sees it this once.
#[derive(Debug)]
pub struct Generated {
    /// What it is, for a person.
    pub what: &'static str,
    /// The secret.
    pub secret: SecretString,
    /// The file that keeps it, or its hash, for the next start.
    pub kept_in: PathBuf,
}

/// One secret and the places it may come from.
pub(super) struct Sources {
    pub setting: &'static str,
    pub file_setting: &'static str,
    /// Name of the systemd credential and of the file in the data directory.
    pub name: &'static str,
    pub missing: &'static str,
}

const AGENT_TOKEN: Sources = Sources {
    setting: "NIXFLEET_AGENT_TOKEN",
    file_setting: "NIXFLEET_AGENT_TOKEN_FILE",
    name: "agent-token",
    missing: "not set. Agents would have nothing to present, and this address can be reached from \
              the network. Set it (or NIXFLEET_AGENT_TOKEN_FILE) to a long random text, for \
              instance from `head -c 32 /dev/urandom | base64`, or listen on 127.0.0.1",
};
const PASSWORD_HASH: Sources = Sources {
    setting: "NIXFLEET_PASSWORD_HASH",
    file_setting: "NIXFLEET_PASSWORD_HASH_FILE",
    name: "password-hash",
    missing: "not set. The dashboard would have no password, and this address can be reached from \
              the network. Set it (or NIXFLEET_PASSWORD_HASH_FILE) to the output of \
              `nixfleet-server hash-password`, or listen on 127.0.0.1",
};

impl Secrets {
    pub(super) fn load(
        args: &ServeArgs,
        environment: Environment<'_>,
        listen: &Listen,
        data_dir: &Path,
    ) -> Result<Self, ConfigError> {
        let configured_hash =
            configured(&PASSWORD_HASH, set(&args.password_hash_file), environment)?;
        let configured_token = configured(&AGENT_TOKEN, set(&args.agent_token_file), environment)?;
        if !listen.is_loopback() {
            require(&PASSWORD_HASH, configured_hash.is_some())?;
            require(&AGENT_TOKEN, configured_token.is_some())?;
        }
        // Everything that can be refused comes before anything is made up and kept.
        let configured_hash = configured_hash.map(usable_hash).transpose()?;
        let configured_token = configured_token.map(usable_token).transpose()?;
        let mut generated = Vec::new();
        let password = match configured_hash {
            Some(hash) => hash,
            None => usable_hash(kept_or(&PASSWORD_HASH, data_dir, |kept_in| {
                let failed = |error: &dyn std::fmt::Display| made_badly(&PASSWORD_HASH, error);
                let password = fresh_password().map_err(|error| failed(&error))?;
                let hash = PasswordHash::create(password.expose_secret())
                    .map_err(|error| failed(&error))?;
                generated.push(Generated {
                    what: "password",
                    secret: password,
                    kept_in,
                });
                Ok(hash.expose().to_owned().into())
            })?)?,
        };
        let agent_token = match configured_token {
            Some(token) => token,
            None => usable_token(kept_or(&AGENT_TOKEN, data_dir, |kept_in| {
                let token = fresh(SecretKind::AgentToken)
                    .map_err(|error| made_badly(&AGENT_TOKEN, &error))?;
                generated.push(Generated {
                    what: "agent token",
                    secret: token.clone(),
                    kept_in,
                });
                Ok(token)
            })?)?,
        };
        Ok(Self {
            password,
            agent_token,
            generated,
        })
    }
}

/// Makes a directory that only its owner can enter; an existing one is left as it is.
pub(super) fn make_private_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

/// The secret from variable, file or systemd credential. Two at once would leave open which counts.
pub(super) fn configured(
    sources: &Sources,
    file: Option<&str>,
    environment: Environment<'_>,
) -> Result<Option<SecretString>, ConfigError> {
    let direct = environment(sources.setting).filter(|value| !value.trim().is_empty());
    match (direct, file) {
        (Some(_), Some(_)) => Err(ConfigError::new(
            sources.file_setting,
            format!("set together with {}; set one of them", sources.setting),
        )),
        (Some(value), None) => Ok(Some(value.trim().to_owned().into())),
        (None, Some(file)) => read_named(sources, Path::new(file)).map(Some),
        (None, None) => {
            let Some(folder) = environment("CREDENTIALS_DIRECTORY") else {
                return Ok(None);
            };
            let file = Path::new(&folder).join(sources.name);
            if file.exists() {
                read_named(sources, &file).map(Some)
            } else {
                Ok(None)
            }
        }
    }
}

/// A file that was asked for must hold something.
fn read_named(sources: &Sources, file: &Path) -> Result<SecretString, ConfigError> {
    let failed = |problem: String| {
        ConfigError::new(
            sources.file_setting,
            format!("{}: {problem}", file.display()),
        )
    };
    let text = fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    if text.trim().is_empty() {
        return Err(failed("the file is empty".to_owned()));
    }
    let mode = fs::metadata(file).map(|meta| meta.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o004 != 0) {
        tracing::warn!(file = %file.display(), "every user of this machine can read this secret");
    }
    Ok(text.trim().to_owned().into())
}

fn require(sources: &Sources, present: bool) -> Result<(), ConfigError> {
    if present {
        return Ok(());
    }
    Err(ConfigError::new(sources.setting, sources.missing))
}

/// The secret kept from an earlier start, else a new one, kept for the next.
fn kept_or(
    sources: &Sources,
    data_dir: &Path,
    make: impl FnOnce(PathBuf) -> Result<SecretString, ConfigError>,
) -> Result<SecretString, ConfigError> {
    let file = data_dir.join(sources.name);
    let failed = |error: io::Error| {
        ConfigError::new(
            sources.setting,
            format!("not set, and {}: {error}", file.display()),
        )
    };
    match fs::read_to_string(&file) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned().into()),
        Ok(_) => fs::remove_file(&file).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let secret = make(file.clone())?;
    write_private(&file, secret.expose_secret()).map_err(failed)?;
    Ok(secret)
}

/// Written beside and renamed, so that a crash leaves a whole file or none.
fn write_private(file: &Path, text: &str) -> io::Result<()> {
    let partial = file.with_extension("partial");
    if partial.exists() {
        fs::remove_file(&partial)?;
    }
    let mut handle = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)?;
    writeln!(handle, "{text}")?;
    handle.sync_all()?;
    fs::rename(&partial, file)
}

fn usable_hash(hash: SecretString) -> Result<PasswordHash, ConfigError> {
    let parsed: Result<PasswordHash, _> = hash.expose_secret().parse();
    parsed.map_err(|error| made_badly(&PASSWORD_HASH, &error))
}

fn usable_token(token: SecretString) -> Result<SecretString, ConfigError> {
    let text = token.expose_secret();
    let problem = if text.len() > 512 {
        "longer than 512 bytes"
    } else if !text.bytes().all(|b| b.is_ascii_graphic() && b != b',') {
        "must consist of visible ASCII characters without spaces and commas"
    } else {
        if text.len() < 16 {
            tracing::warn!(
                setting = AGENT_TOKEN.setting,
                "the agent token is short enough to be guessed; use at least 32 random characters"
            );
        }
        return Ok(token);
    };
    Err(ConfigError::new(AGENT_TOKEN.setting, problem))
}

fn made_badly(sources: &Sources, error: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::new(sources.setting, error.to_string())
}
