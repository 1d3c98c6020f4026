//! `nixfleet-agent check`: every precondition, one line each, with what to do.

use std::fmt;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{CommitAuthor, Config, Problem, PushTo, Repo, SystemProbe, Updates};
use crate::durable;
use crate::git::{PullRequest, look_at_remote};
use crate::link::{self, LinkSettings};
use crate::observe::{SystemPaths, git, lock, system};
use crate::program::{self, find_program};
use crate::update::{Updater, try_push};

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub subject: &'static str,
    /// What was found.
    pub verdict: Verdict,
}

/// Whether the agent can work with what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It can.
    Ok(String),
    /// It can, but somebody should know.
    Note(String),
    /// It cannot.
    Problem(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, text) = match &self.verdict {
            Verdict::Ok(text) => ("ok", text),
            Verdict::Note(text) => ("note", text),
            Verdict::Problem(text) => ("problem", text),
        };
        write!(f, "{word:<8} {:<9} {text}", self.subject)
    }
}

impl Finding {
    /// Whether it keeps the agent from working.
    #[must_use]
    pub fn is_problem(&self) -> bool {
        matches!(self.verdict, Verdict::Problem(_))
    }
}

/// Settings that could not be used, as findings.
#[must_use]
pub fn of_problems(problems: &[Problem]) -> Vec<Finding> {
    problems
        .iter()
        .map(|problem| finding("settings", Verdict::Problem(problem.to_string())))
        .collect()
}

/// Looks at everything the agent needs; changes nothing but creating the state folder. With `push`
/// it also asks the remote to take a push, without carrying it out.
#[must_use]
pub fn check(config: &Config, push: bool) -> Vec<Finding> {
    let mut findings = vec![
        finding("settings", Verdict::Ok(format!("host {}", config.hostname))),
        finding("state", state(&config.state_dir)),
        finding("server", server(config)),
        finding("token", token(config)),
        finding("git", git_program()),
        finding("remote", remote(config)),
        finding("checkout", checkout(&config.repo)),
        finding("platform", platform(config)),
        finding("system", running(config)),
        finding("tests", tests(config)),
        finding("updates", updates(config)),
        finding("policy", policy(&config.updates)),
    ];
    if push {
        findings.push(finding("push", push_access(config)));
    }
    findings
}

fn finding(subject: &'static str, verdict: Verdict) -> Finding {
    Finding { subject, verdict }
}

fn state(dir: &Path) -> Verdict {
    let probe = dir.join("check.tmp");
    let tried = durable::create_private_dir(dir)
        .and_then(|()| durable::write_atomic(&probe, b""))
        .and_then(|()| std::fs::remove_file(&probe));
    let shown = dir.display();
    match tried {
        Ok(()) => Verdict::Ok(format!("{shown} is writable")),
        Err(error) => Verdict::Problem(format!(
            "{shown} is not writable ({error}); create it for the agent's user or set NIXFLEET_STATE_DIR"
        )),
    }
}

fn server(config: &Config) -> Verdict {
    let url = config.server.websocket();
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Verdict::Problem("NIXFLEET_URL names no host".into());
    };
    let host = host.trim_matches(['[', ']']);
    let addresses = match (host, port).to_socket_addrs() {
        Ok(addresses) => addresses.collect::<Vec<_>>(),
        Err(error) => {
            return Verdict::Problem(format!(
                "{host} has no address ({error}); correct NIXFLEET_URL or the name service"
            ));
        }
    };
    let limit = Duration::from_secs(5);
    let reached = addresses
        .iter()
        .any(|address| TcpStream::connect_timeout(address, limit).is_ok());
    if !reached {
        return Verdict::Problem(format!(
            "nothing answers at {host}:{port}; start the server, open its port or correct NIXFLEET_URL"
        ));
    }
    if !config.server.is_encrypted() && !config.server.is_loopback() {
        return Verdict::Note(format!(
            "{host}:{port} answers, but the token would travel unencrypted; use https in NIXFLEET_URL"
        ));
    }
    Verdict::Ok(format!("{host}:{port} answers"))
}

fn token(config: &Config) -> Verdict {
    let settings = LinkSettings {
        server: config.server.clone(),
        token: config.token.clone(),
        ca_file: config.ca_file.clone(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let probed = match runtime {
        Ok(runtime) => runtime.block_on(link::probe(&settings)),
        Err(error) => return Verdict::Problem(format!("the token could not be tried: {error}")),
    };
    match probed {
        Ok(()) => Verdict::Ok("the server accepts it".to_owned()),
        Err(error) => Verdict::Problem(error.to_string()),
    }
}

fn git_program() -> Verdict {
    let path = std::env::var_os("PATH");
    let Some(git) = find_program("git", path.as_deref()) else {
        return Verdict::Problem(
            "git is not in PATH; install it or extend the service's PATH".into(),
        );
    };
    let argv = [git.display().to_string(), "--version".to_owned()];
    match program::run_ok(
        &argv,
        None,
        &crate::environment::allowed(),
        Duration::from_secs(10),
    ) {
        Ok(found) => Verdict::Ok(found.text()),
        Err(error) => Verdict::Problem(error.to_string()),
    }
}

fn remote(config: &Config) -> Verdict {
    let request = PullRequest::of(config, None);
    match look_at_remote(&request, &config.state_dir) {
        Ok(commit) => Verdict::Ok(format!("{} is at {}", config.branch, commit.short())),
        Err(error) => Verdict::Problem(format!(
            "{error}; check the address, the branch, and NIXFLEET_GIT_TOKEN_FILE or NIXFLEET_GIT_SSH_KEY_FILE"
        )),
    }
}

fn checkout(repo: &Repo) -> Verdict {
    let dir = repo.dir();
    let shown = dir.display();
    if matches!(repo, Repo::Isolated { .. }) && !dir.exists() {
        return Verdict::Ok(format!("the first pull creates {shown}"));
    }
    let commit = match git::head(dir) {
        Ok(commit) => commit,
        Err(error) => return Verdict::Problem(format!("{shown}: {error}")),
    };
    if let Err(error) = lock::hash_of(dir) {
        return Verdict::Problem(format!("{shown}/flake.lock: {error}"));
    }
    match git::is_dirty(dir) {
        Ok(false) => Verdict::Ok(format!("{shown} is at {}", commit.short())),
        Ok(true) => Verdict::Note(format!(
            "{shown} has uncommitted changes; it cannot be pulled before they are committed or removed"
        )),
        Err(error) => Verdict::Problem(format!("{shown}: {error}")),
    }
}

fn platform(config: &Config) -> Verdict {
    let name = config.platform;
    let path = std::env::var_os("PATH");
    if let Some(command) = &config.commands.switch {
        let program = command.words().first().cloned().unwrap_or_default();
        return match find_program(&program, path.as_deref()) {
            Some(_) => Verdict::Ok(format!("{name}, switched by {program}")),
            None => Verdict::Problem(format!(
                "{program} was not found or is not executable; correct NIXFLEET_SWITCH_COMMAND"
            )),
        };
    }
    match name.needs() {
        Some((program, advice)) if find_program(program, path.as_deref()).is_none() => {
            Verdict::Problem(format!("{program} is not in PATH; {advice}"))
        }
        Some(_) | None => Verdict::Ok(name.to_string()),
    }
}

fn running(config: &Config) -> Verdict {
    match SystemPaths::of(config).running {
        Some(SystemProbe::Link(link)) => match system::link_target(&link) {
            Some(target) => Verdict::Ok(target),
            None => Verdict::Note(format!(
                "{} is not a link yet; the first switch should make it",
                link.display()
            )),
        },
        Some(SystemProbe::Command(command)) => match system::command_output(command.words()) {
            Some(name) => Verdict::Ok(name),
            None => Verdict::Problem(format!(
                "{} printed no name or failed; correct NIXFLEET_SYSTEM_COMMAND",
                command.words().join(" ")
            )),
        },
        None => Verdict::Problem("set NIXFLEET_SYSTEM_LINK or NIXFLEET_SYSTEM_COMMAND".into()),
    }
}

fn tests(config: &Config) -> Verdict {
    if config.commands.test.is_some() {
        return Verdict::Ok("a configured command".into());
    }
    let folder: PathBuf = config
        .repo
        .dir()
        .join("hosts")
        .join(config.hostname.as_str())
        .join("tests");
    if folder.is_dir() {
        return Verdict::Ok(format!("the executable *.sh in {}", folder.display()));
    }
    Verdict::Note(format!(
        "{} does not exist, so there are no tests for this host",
        folder.display()
    ))
}

/// Whether `update-inputs` can work here. Hosts that never update inputs need nothing for it.
fn updates(config: &Config) -> Verdict {
    let path = std::env::var_os("PATH");
    let by = match &config.commands.update {
        Some(command) => {
            let program = command.words().first().cloned().unwrap_or_default();
            if find_program(&program, path.as_deref()).is_none() {
                return Verdict::Problem(format!(
                    "{program} was not found or is not executable; correct NIXFLEET_UPDATE_COMMAND"
                ));
            }
            program
        }
        None => match Updater::find() {
            Ok(Updater::Nix { told, .. }) => told,
            Ok(Updater::Configured(words)) => words.join(" "),
            Err(error) => {
                return Verdict::Note(format!("update-inputs cannot work on this host: {error}"));
            }
        },
    };
    let destination = match config.updates.push {
        PushTo::Tracked => format!("to {}", config.branch),
        PushTo::Branch => "to a branch of its own each time".to_owned(),
    };
    Verdict::Ok(format!(
        "update-inputs runs {by} and pushes {destination} as {}",
        author(config)
    ))
}

fn author(config: &Config) -> CommitAuthor {
    let configured = config.updates.author.clone();
    configured.unwrap_or_else(|| CommitAuthor::of_host(config.hostname.as_str()))
}

fn policy(updates: &Updates) -> Verdict {
    let or_server = |value: Option<String>| value.unwrap_or_else(|| "the server's".to_owned());
    let yes_no = |value: Option<bool>| or_server(value.map(|yes| yes.to_string()));
    Verdict::Ok(format!(
        "auto_update {}, priority {}, canary {}",
        yes_no(updates.auto_update),
        or_server(updates.priority.map(|number| number.to_string())),
        yes_no(updates.canary)
    ))
}

fn push_access(config: &Config) -> Verdict {
    let folder = config.state_dir.join("check-push");
    let tried = durable::create_private_dir(&folder)
        .map_err(|error| format!("{} cannot be made: {error}", folder.display()))
        .and_then(|()| {
            let request = PullRequest::of(config, None);
            try_push(&request, &author(config), &folder).map_err(|error| {
                format!(
                    "{error}; give NIXFLEET_GIT_TOKEN_FILE or NIXFLEET_GIT_SSH_KEY_FILE the right to push"
                )
            })
        });
    let _ = std::fs::remove_dir_all(&folder);
    match tried {
        Ok(remote) => Verdict::Ok(format!(
            "{remote} lets this host push (nothing was sent; rules of single branches show only at a real push)"
        )),
        Err(why) => Verdict::Problem(why),
    }
}
