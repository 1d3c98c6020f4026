//! The `nixfleet-server` command as a process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The command with nothing of this process's environment but what it needs.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nixfleet-server"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    command(arguments)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A server on a free loopback port, killed when dropped.
struct Running {
    child: Child,
    address: String,
    announced: Vec<String>,
}

impl Running {
    /// Starts a server and reads what it prints until it serves; a server with made-up secrets
    /// prints `lines` lines.
    fn start(data: &Path, lines: usize) -> Self {
        Self::start_with(data, lines, Stdio::null())
    }

    fn start_with(data: &Path, lines: usize, log: Stdio) -> Self {
        let data = data.display().to_string();
        let mut child = command(&["serve", "--listen", "127.0.0.1:0", "--data-dir", &data])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let announced: Vec<String> = output.lines().take(lines).map(Result::unwrap).collect();
        let url = announced[lines - 1].split("http://").nth(1).unwrap();
        let address = url.trim_end_matches('/').to_owned();
        Self {
            child,
            address,
            announced,
        }
    }

    fn post(&self, path: &str, media: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: {media}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn stop(mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_server_whose_log_nobody_reads_any_more_serves_and_stops() {
    let data = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let server = Running::start_with(data.path(), 3, writer.into());
    let answer = server.post("/login", "application/json", "{}");
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    assert_eq!(server.stop(), Some(0), "SIGTERM ends it");
}

#[test]
fn version_help_and_usage_errors() {
    let version = run(&["--version"], &[]);
    assert_eq!(
        text(&version.stdout),
        format!("nixfleet-server {}\n", env!("CARGO_PKG_VERSION"))
    );
    assert!(run(&["serve", "--help"], &[]).status.success());
    assert_eq!(
        run(&["serve", "--no-such-flag"], &[]).status.code(),
        Some(2)
    );
    assert_eq!(run(&[], &[]).status.code(), Some(2));
}

#[test]
fn hash_password_reads_stdin_and_prints_a_hash_only() {
    let mut child = command(&["hash-password"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"open sesame\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let hash = text(&output.stdout);
    assert!(
        output.status.success() && hash.starts_with("$argon2id$"),
        "{hash}"
    );
    assert_eq!(hash.lines().count(), 1);
    assert!(
        hash.trim()
            .parse::<nixfleet_server::auth::PasswordHash>()
            .is_ok()
    );

    let nothing = run(&["hash-password"], &[]);
    assert_eq!(
        nothing.status.code(),
        Some(1),
        "an empty password is refused"
    );
}

#[test]
fn on_the_network_it_refuses_to_start_without_secrets_and_names_the_setting() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().display().to_string();
    let bare = [("NIXFLEET_LISTEN", ":0"), ("NIXFLEET_DATA_DIR", &data)];
    let refused = run(&["serve"], &bare);
    let message = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        message.contains("NIXFLEET_PASSWORD_HASH: not set"),
        "{message}"
    );
    assert!(message.contains("hash-password"), "{message}");

    for (name, value) in [
        ("NIXFLEET_LISTEN", "everywhere"),
        ("NIXFLEET_VERSION_FETCH_TTL", "soon"),
        ("NIXFLEET_REPO", "ext::sh -c true"),
        ("NIXFLEET_LOG", "a=b=c"),
    ] {
        let refused = run(&["serve"], &[("NIXFLEET_DATA_DIR", &data), (name, value)]);
        let message = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{name}");
        assert!(message.contains(&format!("{name}: ")), "{message}");
    }
}

#[test]
fn on_loopback_it_makes_up_secrets_prints_them_once_and_keeps_them_over_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let first = Running::start(data.path(), 3);
    let password = first.announced[0].split("once: ").nth(1).unwrap();
    let password = password.split(' ').next().unwrap().to_owned();
    assert!(first.announced[1].contains("agent token") && first.announced[1].contains("nfa_"));
    let right = format!("{{\"password\": \"{password}\"}}");
    let login = |server: &Running, body: &str| {
        let answer = server.post("/login", "application/json", body);
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    let opened = first.post("/login", "application/json", &right);
    assert!(opened.starts_with("HTTP/1.1 200"), "{opened}");
    let session = opened.split("set-cookie: ").nth(1).unwrap();
    let session = session.split(';').next().unwrap().to_owned();
    assert_eq!(login(&first, "{\"password\": \"guess\"}"), "401");
    assert_eq!(first.stop(), Some(0), "SIGTERM ends it cleanly");

    let second = Running::start(data.path(), 1);
    assert_eq!(
        login(&second, &right),
        "200",
        "the password survived the restart"
    );
    // The ports differ, and so does the host of the cookie; the session itself is the same.
    let origin = format!("http://{}", second.address);
    let with_cookie = format!("text/plain\r\nCookie: {session}\r\nOrigin: {origin}");
    let ticket = second.post("/api/v1/live/ticket", &with_cookie, "");
    assert!(
        ticket.starts_with("HTTP/1.1 200"),
        "the session survived the restart: {ticket}"
    );
    assert_eq!(second.stop(), Some(0));
}

#[test]
fn a_token_made_beside_a_running_server_works_at_once_until_it_is_revoked() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path(), 3);
    let folder = data.path().display().to_string();
    let variables = [("NIXFLEET_DATA_DIR", folder.as_str())];
    let create = ["token", "create", "--name", "ci", "--role", "viewer"];
    let created = run(&create, &variables);
    let secret = text(&created.stdout);
    assert!(
        created.status.success() && secret.starts_with("nfp_"),
        "{created:?}"
    );
    assert_eq!(
        secret.lines().count(),
        1,
        "stdout holds the secret and nothing else"
    );
    assert_eq!(
        run(&create, &variables).status.code(),
        Some(1),
        "the name is taken"
    );

    let listed = text(&run(&["token", "list"], &variables).stdout);
    assert!(
        listed.contains("api viewer") && !listed.contains("nfp_"),
        "{listed}"
    );
    let status = || {
        let bearer = format!("Authorization: Bearer {}\r\nX: ", secret.trim());
        let answer = server.post(
            "/api/v1/live/ticket",
            &format!("text/plain\r\n{bearer}"),
            "",
        );
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(status(), "200");
    assert!(run(&["token", "revoke", "ci"], &variables).status.success());
    assert_eq!(status(), "401");
    assert_eq!(
        run(&["token", "revoke", "ci"], &variables).status.code(),
        Some(1)
    );
    assert_eq!(
        run(&["token", "create", "--name", "x"], &variables)
            .status
            .code(),
        Some(2)
    );
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn two_servers_do_not_share_a_data_directory() {
    let data = tempfile::tempdir().unwrap();
    let first = Running::start(data.path(), 3);
    let folder = data.path().display().to_string();
    let second = ["serve", "--listen", "127.0.0.1:0", "--data-dir", &folder];
    let refused = run(&second, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("in use"), "{refused:?}");
    assert_eq!(first.stop(), Some(0));
}

#[test]
fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = tempfile::tempdir().unwrap();
    let data = data.path().display().to_string();
    let refused = run(
        &["serve"],
        &[("NIXFLEET_LISTEN", &address), ("NIXFLEET_DATA_DIR", &data)],
    );
    let message = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        message.contains("NIXFLEET_LISTEN") && message.contains(&address),
        "{message}"
    );
}
