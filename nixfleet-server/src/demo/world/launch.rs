//! How the programs of a world are started.

use std::path::PathBuf;

use super::{Tests, World};
use crate::demo::error::{DemoError, DemoResult};
use crate::demo::host::{HostCommand, HostFolder};
use crate::demo::process::Launch;

impl World {
    /// Makes an API token with the server's own command.
    ///
    /// # Errors
    /// [`DemoError`].
    pub fn create_token(&self, name: &str, role: &str) -> DemoResult<String> {
        let launch = self.server_launch();
        let output = std::process::Command::new(&self.setup.programs.server)
            .args(["token", "create", "--name", name, "--role", role])
            .env_clear()
            .envs(launch.environment)
            .output()
            .map_err(DemoError::io("cannot run token create"))?;
        let secret = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.status.success() && !secret.is_empty() {
            return Ok(secret);
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        Err(DemoError::Wrong(format!("token create: {complaint}")))
    }

    /// How the server is started.
    #[must_use]
    pub fn server_launch(&self) -> Launch {
        let mut command = vec![self.setup.programs.server.clone().into_os_string()];
        if self.setup.programs.lifeline {
            command.push("demo-child".into());
        }
        command.push("serve".into());
        let mut environment = self.common_environment();
        let data = self.folder.join("server").display().to_string();
        for (name, value) in [
            ("NIXFLEET_LISTEN", self.setup.listen.as_str()),
            ("NIXFLEET_DATA_DIR", &data),
            ("NIXFLEET_REPO", &self.upstream.remote().address()),
            ("NIXFLEET_BRANCH", "main"),
            ("NIXFLEET_VERSION_FETCH_TTL", self.setup.fetch_ttl),
            // The story tests hosts itself, step by step.
            ("NIXFLEET_TESTS_AFTER_SWITCH", "false"),
            ("NIXFLEET_AGENT_TOKEN", &self.agent_token),
            ("NIXFLEET_PASSWORD_HASH", &self.password_hash),
        ] {
            environment.push((name.to_owned(), value.to_owned()));
        }
        environment.extend(self.setup.server_environment.iter().cloned());
        Launch {
            name: "server".to_owned(),
            command,
            environment,
            logs: self.folder.join("logs"),
        }
    }

    /// How the agent of a host is started.
    ///
    /// # Errors
    /// [`DemoError::Wrong`] if there is no such host, or no server to connect to.
    pub fn agent_launch(&self, name: &str) -> DemoResult<Launch> {
        let host = self.host(name)?;
        let mut environment = self.common_environment();
        let path = |path: PathBuf| path.display().to_string();
        let mut set = |name: &str, value: String| environment.push((name.to_owned(), value));
        set("NIXFLEET_URL", self.api()?.origin().to_owned());
        set("NIXFLEET_TOKEN", self.agent_token.clone());
        set("NIXFLEET_REPO_URL", self.upstream.remote().address());
        set("NIXFLEET_HOSTNAME", name.to_owned());
        set("NIXFLEET_STATE_DIR", path(host.state()));
        set("NIXFLEET_INTERVAL", "1s".to_owned());
        set("NIXFLEET_PLATFORM", "custom".to_owned());
        set("NIXFLEET_SYSTEM_LINK", path(host.system_link()));
        set(
            "NIXFLEET_SWITCH_COMMAND",
            self.command_line(host, HostCommand::Switch),
        );
        set(
            "NIXFLEET_ROLLBACK_COMMAND",
            self.command_line(host, HostCommand::Rollback),
        );
        let tests = self.setup.hosts.iter().find(|(known, _)| *known == name);
        if tests.is_some_and(|(_, tests)| *tests == Tests::Command) {
            let line = self.command_line(host, HostCommand::Test);
            set("NIXFLEET_TEST_COMMAND", line);
        }
        environment.extend(self.setup.agent_environment.iter().cloned());
        Ok(Launch {
            name: name.to_owned(),
            command: self.setup.programs.agent.clone(),
            environment,
            logs: self.folder.join("logs"),
        })
    }

    fn command_line(&self, host: &HostFolder, command: HostCommand) -> String {
        let words = [
            self.setup.programs.server.display().to_string(),
            "demo-host".to_owned(),
            host.path().display().to_string(),
            command.name().to_owned(),
            format!("{}ms", self.setup.pace.as_millis()),
        ];
        words.map(|word| quoted(&word)).join(" ")
    }

    fn common_environment(&self) -> Vec<(String, String)> {
        let home = self.folder.join("home").display().to_string();
        let mut environment = vec![("HOME".to_owned(), home)];
        for name in [
            "PATH",
            "TMPDIR",
            "NIXFLEET_LOG",
            "RUST_LOG",
            "RUST_BACKTRACE",
        ] {
            environment.extend(
                std::env::var(name)
                    .ok()
                    .map(|value| (name.to_owned(), value)),
            );
        }
        environment
    }
}

/// A word as the agent's configuration reads it back.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
