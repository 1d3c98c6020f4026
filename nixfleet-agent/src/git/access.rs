//! How git gets into the remote without any secret in arguments, addresses or environments: a token
//! travels through a private configuration file that exists only while git runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{ENVIRONMENT, PullError, PullRequest};
use crate::config::{RemoteUrl, read_secret};
use crate::durable;
use crate::environment;

/// The private file with the token; it exists only while git runs.
pub(crate) const ACCESS_FILE: &str = "git-access";

/// Arguments and environment that let git reach exactly one remote.
pub(crate) struct Access {
    /// Words to put before the sub-command.
    pub words: Vec<String>,
    /// The whole environment.
    pub environment: BTreeMap<String, String>,
    header_file: Option<PathBuf>,
}

impl Drop for Access {
    fn drop(&mut self) {
        if let Some(file) = &self.header_file {
            let _ = fs::remove_file(file);
        }
    }
}

impl Access {
    /// Prepares access to `remote`; a token is laid down in `workspace`, which is private.
    pub fn new(
        request: &PullRequest,
        remote: &RemoteUrl,
        workspace: &Path,
    ) -> Result<Self, PullError> {
        let mut environment = environment::allowed_for_git();
        for (name, value) in ENVIRONMENT {
            environment.insert((*name).to_owned(), (*value).to_owned());
        }
        environment.insert("GIT_SSH_COMMAND".to_owned(), ssh_command(request)?);
        environment.insert("GIT_SSH_VARIANT".to_owned(), "ssh".to_owned());
        let mut access = Self {
            words: Vec::new(),
            environment,
            header_file: None,
        };
        access.set(format!("protocol.{}.allow=always", remote.protocol()));
        access.set("http.lowSpeedLimit=1".to_owned());
        access.set("http.lowSpeedTime=60".to_owned());
        if let Some(token_file) = &request.token_file
            && matches!(remote.protocol(), "https" | "http")
        {
            let token =
                read_secret(token_file, false).map_err(|e| PullError::Secret(e.to_string()))?;
            access.lay_down(&token, remote, workspace)?;
        }
        Ok(access)
    }

    fn set(&mut self, setting: String) {
        self.words.extend(["-c".to_owned(), setting]);
    }

    fn lay_down(
        &mut self,
        token: &SecretString,
        remote: &RemoteUrl,
        workspace: &Path,
    ) -> Result<(), PullError> {
        let url = Url::parse(remote.as_str()).map_err(|e| PullError::Secret(e.to_string()))?;
        let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if url.scheme() == "http" && !loopback {
            return Err(PullError::Secret(format!(
                "the git token is not sent over unencrypted http to {url}; use https"
            )));
        }
        let pair = format!("x-access-token:{}", token.expose_secret());
        let encoded = BASE64.encode(pair.as_bytes());
        let text = format!(
            "[http \"{}\"]\n\textraHeader = \"Authorization: Basic {encoded}\"\n\tfollowRedirects = false\n",
            url.origin().ascii_serialization()
        );
        let file = workspace.join(ACCESS_FILE);
        // Git includes no relative path that an argument names.
        let file = std::path::absolute(&file)
            .and_then(|file| durable::write_atomic(&file, text.as_bytes()).map(|()| file))
            .map_err(|e| PullError::Secret(format!("cannot write {}: {e}", file.display())))?;
        self.set(format!("include.path={}", file.display()));
        self.header_file = Some(file);
        Ok(())
    }
}

/// Never asks, and takes no other key than the configured one.
fn ssh_command(request: &PullRequest) -> Result<String, PullError> {
    let base = "ssh -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 -o PermitLocalCommand=no";
    let Some(key) = &request.ssh_key_file else {
        return Ok(base.to_owned());
    };
    let path = key.display().to_string();
    if path.contains('\'') {
        return Err(PullError::Secret(format!(
            "the path of the ssh key must not contain a quote: {path}"
        )));
    }
    Ok(format!("{base} -o IdentitiesOnly=yes -i '{path}'"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::git::PullSource;

    fn request(token_file: Option<PathBuf>) -> PullRequest {
        PullRequest {
            source: PullSource::Existing { dir: "/x".into() },
            branch: "main".into(),
            target: None,
            token_file,
            ssh_key_file: Some("/key file".into()),
        }
    }

    #[test]
    fn sec14_a_token_is_only_in_a_private_file_that_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let token_file = folder.path().join("token");
        fs::write(&token_file, "canary\n").unwrap();
        let remote: RemoteUrl = "https://example.org/a/b".parse().unwrap();
        let access = Access::new(&request(Some(token_file)), &remote, folder.path()).unwrap();
        let encoded = BASE64.encode(b"x-access-token:canary");
        for text in access.words.iter().chain(access.environment.values()) {
            assert!(!text.contains("canary") && !text.contains(&encoded));
        }
        let file = access.header_file.clone().unwrap();
        assert!(fs::read_to_string(&file).unwrap().contains(&encoded));
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(access);
        assert!(!file.exists());
    }

    #[test]
    fn a_token_is_not_sent_in_the_clear_and_only_one_protocol_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let token_file = folder.path().join("token");
        fs::write(&token_file, "canary").unwrap();
        let remote: RemoteUrl = "http://example.org/a".parse().unwrap();
        assert!(Access::new(&request(Some(token_file)), &remote, folder.path()).is_err());

        let remote: RemoteUrl = "git@example.org:a".parse().unwrap();
        let access = Access::new(&request(None), &remote, folder.path()).unwrap();
        let open = |word: &&String| word.starts_with("protocol.");
        let opened: Vec<&String> = access.words.iter().filter(open).collect();
        assert_eq!(opened, ["protocol.ssh.allow=always"]);
        assert!(access.environment["GIT_SSH_COMMAND"].ends_with("-i '/key file'"));
    }
}
