//! Inputs are updated, committed and pushed, or nothing is: with real git and a bare remote.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nixfleet_agent::git::{PullError, PullRequest, PullSource, pull};
use nixfleet_agent::update::{UpdateError, UpdateRequest, update_inputs};
use nixfleet_core::lock_hash;
use nixfleet_core::wire::agent::UpdateFacts;

use crate::support::{Remote, git, program, script};

/// A lock with the input `tools` at a revision.
pub fn lock(digit: char) -> String {
    let rev = digit.to_string().repeat(40);
    format!(
        r#"{{"version":7,"root":"root","nodes":{{"root":{{"inputs":{{"tools":"tools"}}}},"tools":{{"locked":{{"type":"github","owner":"a","repo":"tools","rev":"{rev}","lastModified":1767312000}},"original":{{"type":"github","owner":"a","repo":"tools"}}}}}}}}"#
    )
}

struct Host {
    remote: Remote,
    workspace: PathBuf,
    base: String,
}

impl Host {
    fn new() -> Self {
        let remote = Remote::new();
        let base = remote.commit("flake.lock", &lock('1'));
        let workspace = remote.path("workspace");
        fs::create_dir(&workspace).unwrap();
        Self {
            remote,
            workspace,
            base,
        }
    }

    fn own(&self) -> PathBuf {
        self.remote.path("state/repo")
    }

    fn isolated(&self, command: &str) -> UpdateRequest {
        request(
            PullSource::Isolated {
                url: self.remote.url(),
                dir: self.own(),
                owned_folder: self.remote.path("state"),
            },
            Some(command),
        )
    }

    fn existing(&self, command: &str) -> (PathBuf, UpdateRequest) {
        let dir = self.remote.path("mine");
        let root = self.remote.folder.path();
        git(root, &["clone", "-q", "remote.git", "mine"]);
        let source = PullSource::Existing { dir: dir.clone() };
        (dir, request(source, Some(command)))
    }

    fn update(&self, request: &UpdateRequest) -> Result<UpdateFacts, UpdateError> {
        update_inputs(request, &self.workspace)
    }

    fn head(&self, branch: &str) -> String {
        git(&self.remote.path("remote.git"), &["rev-parse", branch])
    }

    fn recorded(&self) -> Option<UpdateFacts> {
        let bytes = fs::read(self.workspace.join("update.json")).ok()?;
        Some(serde_json::from_slice(&bytes).unwrap())
    }

    /// Runs the request as the program does below its supervisor.
    fn run(&self, request: &UpdateRequest, environment: &[(&str, &str)]) -> Output {
        let request = serde_json::to_string(request).unwrap();
        Command::new(program())
            .args(["update-inputs", &request])
            .current_dir(&self.workspace)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.remote.folder.path())
            .envs(environment.iter().copied())
            .output()
            .unwrap()
    }

    /// A program named `nix` in a PATH of its own, which notes what it is asked.
    fn fake_nix(&self, version: &str) -> String {
        let text = format!(
            "test \"$*\" = --version && echo 'nix (Nix) {version}' && exit
             for word; do echo \"<$word>\"; done > {0}/asked
             env > {0}/env
             cat > flake.lock <<'EOF'\n{1}\nEOF",
            self.remote.folder.path().display(),
            lock('2')
        );
        script(&self.remote.path("bin/nix"), &text, 0o755);
        let path = std::env::var("PATH").unwrap();
        format!("{}:{path}", self.remote.path("bin").display())
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.remote.path(name)).unwrap_or_default()
    }
}

fn request(source: PullSource, command: Option<&str>) -> UpdateRequest {
    UpdateRequest {
        pull: PullRequest {
            source,
            branch: "main".into(),
            target: None,
            token_file: None,
            ssh_key_file: None,
        },
        input: None,
        command: command.map(|text| ["/bin/sh", "-c", text].map(str::to_owned).to_vec()),
        author: "Fleet of us <fleet@example.org>".into(),
        push: "main".into(),
    }
}

/// A command that puts this lock in place.
fn writes(digit: char) -> String {
    format!("printf '%s' '{}' > flake.lock", lock(digit))
}

fn head(dir: &Path) -> String {
    git(dir, &["rev-parse", "HEAD"])
}

fn shown(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn a_changed_lock_is_committed_alone_and_pushed_to_the_deployed_branch() {
    let host = Host::new();
    let command = format!(
        "{}; echo stray > stray; echo '{{ edited = 1; }}' > flake.nix; git add -A",
        writes('2')
    );
    for (dir, request) in [
        (host.own(), host.isolated(&command)),
        host.existing(&command),
    ] {
        git(
            &host.remote.author(),
            &["reset", "-q", "--hard", &host.base],
        );
        let base = host.remote.commit("note", &dir.display().to_string());
        let facts = host.update(&request).unwrap();
        let commit = host.head("main");
        let hash = |digit| Some(lock_hash(lock(digit).as_bytes()).to_string());
        assert_eq!(
            facts,
            UpdateFacts {
                base: base.clone(),
                lock_before: hash('1'),
                lock_after: hash('2'),
                commit: Some(commit.clone()),
                branch: Some("main".into()),
            }
        );
        assert_eq!(host.recorded(), Some(facts));
        let bare = host.remote.path("remote.git");
        assert_eq!(git(&bare, &["rev-parse", "main^"]), base);
        let changed = git(&bare, &["diff", "--name-only", &base, "main"]);
        assert_eq!(changed, "flake.lock");
        assert_eq!(git(&bare, &["show", "main:flake.lock"]), lock('2'));
        let told = git(&bare, &["log", "-1", "--format=%an|%ae|%cn|%ce|%B", "main"]);
        assert_eq!(
            told,
            "Fleet of us|fleet@example.org|Fleet of us|fleet@example.org|flake.lock: update inputs\n\n\
             * tools 1111111 (2026-01-02) → 2222222 (2026-01-02)"
        );
        assert_eq!(head(&dir), commit);
        assert_eq!(git(&dir, &["status", "--porcelain"]), "");
        assert_eq!(
            fs::read_to_string(dir.join("flake.lock")).unwrap(),
            lock('2')
        );
        assert!(
            !host.workspace.join("update").exists(),
            "the scratch is gone"
        );
    }
}

#[test]
fn an_unchanged_lock_is_no_update_whatever_the_pull_brought() {
    let host = Host::new();
    let request = host.isolated("true");
    pull(&request.pull, &host.workspace).unwrap();
    let base = host.remote.commit("flake.lock", &lock('3'));
    let facts = host.update(&request).unwrap();
    assert_eq!((&facts.commit, &facts.branch), (&None, &None));
    assert_eq!(facts.lock_before, facts.lock_after);
    assert_eq!(facts.base, base);
    assert_eq!((host.head("main"), head(&host.own())), (base.clone(), base));
    assert_eq!(host.recorded(), Some(facts));
}

#[test]
fn a_first_lock_is_an_update() {
    let host = Host::new();
    git(&host.remote.author(), &["rm", "-q", "flake.lock"]);
    host.remote.commit("note", "no lock any more");
    let facts = host.update(&host.isolated(&writes('2'))).unwrap();
    assert_eq!(facts.lock_before, None);
    assert_eq!(facts.commit, Some(host.head("main")));
}

#[test]
fn the_branch_for_a_pull_request_leaves_the_deployed_one_alone() {
    let host = Host::new();
    let mut request = host.isolated(&writes('2'));
    request.push = "branch".into();
    let facts = host.update(&request).unwrap();
    let branch = facts.branch.clone().unwrap();
    assert!(branch.starts_with("nixfleet/update-"), "{branch}");
    assert_eq!(facts.commit, Some(host.head(&branch)));
    assert_eq!(host.head("main"), host.base);
    assert_eq!(head(&host.own()), host.base);
    assert_eq!(git(&host.own(), &["status", "--porcelain"]), "");
}

#[test]
fn local_work_in_an_existing_checkout_stops_the_update_before_anything_runs() {
    let host = Host::new();
    let ran = host.remote.path("ran");
    let command = format!("touch {}; {}", ran.display(), writes('2'));
    let (dir, request) = host.existing(&command);
    fs::write(dir.join("flake.nix"), "my work").unwrap();
    let error = host.update(&request).unwrap_err();
    assert!(
        matches!(&error, UpdateError::Git(PullError::Dirty { .. })),
        "{error}"
    );
    assert_eq!(
        fs::read_to_string(dir.join("flake.nix")).unwrap(),
        "my work"
    );
    git(&dir, &["checkout", "-q", "flake.nix"]);
    git(&dir, &["commit", "-q", "--allow-empty", "-m", "mine"]);
    let mine = head(&dir);
    let error = host.update(&request).unwrap_err();
    assert!(
        matches!(&error, UpdateError::Git(PullError::Diverged { .. })),
        "{error}"
    );
    assert_eq!(head(&dir), mine);
    assert!(!ran.exists() && host.head("main") == host.base);
    assert_eq!(host.recorded(), None);

    git(&dir, &["reset", "-q", "--hard", &host.base]);
    assert!(host.update(&request).is_ok() && ran.exists(), "the control");
}

#[test]
fn a_branch_that_moved_meanwhile_is_not_pushed_to_and_the_checkout_follows_it() {
    // On is the classic race; back: a push would bring back what somebody took away.
    for (theirs, back) in [
        ("commit -q --allow-empty -m theirs", false),
        ("reset -q --hard HEAD~1", true),
    ] {
        for own in [true, false] {
            let host = Host::new();
            let author = host.remote.author().display().to_string();
            let ours = format!("git -C {author} -c user.name=a -c user.email=a@example.org");
            let once = host.remote.path("once").display().to_string();
            let command = format!(
                "{}; test -e {once} || {{ {ours} {theirs} && {ours} push -q -f origin HEAD:main; }} && touch {once}",
                writes('2')
            );
            let (dir, request) = if own {
                (host.own(), host.isolated(&command))
            } else {
                host.existing(&command)
            };
            let error = host.update(&request).unwrap_err();
            let found_there = host.head("main");
            assert!(
                matches!(&error, UpdateError::Moved { expected, found, .. } if *expected == host.base && *found == found_there),
                "{error}"
            );
            assert_ne!(found_there, host.base);
            // Somebody's checkout is never moved back.
            let stays = back && !own;
            let expected = if stays { &host.base } else { &found_there };
            assert_eq!(head(&dir), *expected, "{error}");
            assert_eq!(git(&dir, &["status", "--porcelain"]), "");
            assert_eq!(host.recorded(), None);
            if !stays {
                host.update(&request)
                    .expect("the control: nobody is in the way");
                assert_eq!(head(&dir), host.head("main"));
            }
        }
    }
}

#[test]
fn a_remote_that_refuses_is_named_and_nothing_is_left_half_done() {
    let host = Host::new();
    let hook = host.remote.path("remote.git/hooks/pre-receive");
    script(&hook, "echo 'protected branch' >&2; exit 1", 0o755);
    let request = host.isolated(&writes('2'));
    let error = host.update(&request).unwrap_err();
    assert!(matches!(error, UpdateError::Refused { .. }), "{error}");
    assert_eq!(
        (host.head("main"), head(&host.own())),
        (host.base.clone(), host.base.clone())
    );
    assert_eq!(git(&host.own(), &["status", "--porcelain"]), "");
    assert_eq!(host.recorded(), None);
    fs::remove_file(hook).unwrap();
    assert!(host.update(&request).is_ok(), "the control");
}

#[test]
fn an_answer_that_got_lost_after_the_push_is_asked_for() {
    let host = Host::new();
    let hook = host.remote.path("remote.git/hooks/post-receive");
    // The update is taken; then the connection dies.
    script(&hook, "kill -9 $PPID", 0o755);
    let facts = host.update(&host.isolated(&writes('2'))).unwrap();
    assert_eq!(facts.commit, Some(host.head("main")));
}

#[test]
fn what_is_no_lock_is_never_pushed() {
    let host = Host::new();
    type Expected = fn(&UpdateError) -> bool;
    let cases: [(&str, Expected); 5] = [
        ("echo '{}' > flake.lock", |e| {
            matches!(e, UpdateError::NotALock(_))
        }),
        ("rm flake.lock", |e| matches!(e, UpdateError::LockRemoved)),
        ("ln -sf /etc/passwd flake.lock", |e| {
            matches!(e, UpdateError::NotAFile)
        }),
        ("echo oops >&2; exit 3", |e| {
            matches!(e, UpdateError::Updater { code: 3, .. })
        }),
        ("kill -9 $$", |e| {
            matches!(e, UpdateError::Updater { code: -1, .. })
        }),
    ];
    for (command, expected) in cases {
        let error = host.update(&host.isolated(command)).unwrap_err();
        assert!(expected(&error), "{command}: {error}");
        assert_eq!(host.head("main"), host.base, "{command}");
        assert_eq!(head(&host.own()), host.base, "{command}");
        assert_eq!(host.recorded(), None);
    }
    let author = host.remote.author();
    fs::remove_file(author.join("flake.lock")).unwrap();
    symlink("/etc/passwd", author.join("flake.lock")).unwrap();
    host.remote.commit("note", "a link");
    let error = host.update(&host.isolated(&writes('2'))).unwrap_err();
    assert!(matches!(error, UpdateError::NotAFile), "{error}");
}

#[test]
fn sec08_hostile_requests_are_refused_before_anything_runs() {
    let host = Host::new();
    let change = |change: fn(&mut UpdateRequest)| {
        let mut request = host.isolated(&writes('2'));
        change(&mut request);
        host.update(&request).unwrap_err()
    };
    for error in [
        change(|r| r.input = Some("--impure".into())),
        change(|r| r.input = Some("a/b".into())),
        change(|r| r.author = "a\nb <c@d>".into()),
        change(|r| r.push = "--force".into()),
        change(|r| r.pull.branch = "--mirror".into()),
    ] {
        assert!(matches!(error, UpdateError::Request(_)), "{error}");
    }
    assert!(!host.own().exists() && host.head("main") == host.base);
}

#[test]
fn c09_hooks_filters_helpers_and_signing_of_a_checkout_do_not_run() {
    let host = Host::new();
    fs::write(
        host.remote.author().join(".gitattributes"),
        "flake.lock filter=evil\n",
    )
    .unwrap();
    host.remote.commit("note", "attributes");
    let (dir, mut request) = host.existing(&writes('2'));
    // Files older than the index: git need not look into them to see that they are unchanged.
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(100);
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::File::open(path).unwrap().set_modified(old).unwrap();
        }
    }
    git(&dir, &["status", "--porcelain"]);
    let canary = host.remote.path("canary");
    let evil = host.remote.path("evil");
    let text = format!("echo \"$0 $*\" >> {}; exit 1", canary.display());
    script(&evil, &text, 0o755);
    for hook in [
        "pre-commit",
        "commit-msg",
        "prepare-commit-msg",
        "post-commit",
        "pre-push",
        "post-checkout",
        "post-merge",
        "post-index-change",
        "reference-transaction",
    ] {
        script(&dir.join(".git/hooks").join(hook), &text, 0o755);
    }
    let evil = evil.display().to_string();
    for setting in [
        "core.fsmonitor",
        "filter.evil.clean",
        "filter.evil.smudge",
        "credential.helper",
        "gpg.program",
        "core.sshCommand",
        "core.editor",
        "remote.origin.receivepack",
        "remote.origin.uploadpack",
    ] {
        git(&dir, &["config", setting, &format!("{evil} {setting};")]);
    }
    git(&dir, &["config", "commit.gpgSign", "true"]);
    git(&dir, &["config", "push.gpgSign", "true"]);
    let _ = fs::remove_file(&canary);

    request.push = "branch".into();
    let facts = host.update(&request).unwrap();
    assert!(facts.commit.is_some());
    assert!(!canary.exists(), "{}", fs::read_to_string(&canary).unwrap());
    let blob = format!("{}:flake.lock", facts.branch.unwrap());
    assert_eq!(
        git(&host.remote.path("remote.git"), &["show", &blob]),
        lock('2')
    );

    // The checkout's own filter is its owner's, and belongs to what a pull writes there.
    for setting in ["filter.evil.clean", "filter.evil.smudge"] {
        git(&dir, &["config", "--unset", setting]);
    }
    request.push = "main".into();
    host.update(&request).unwrap();
    assert_eq!(head(&dir), host.head("main"));
    assert!(!canary.exists(), "{}", fs::read_to_string(&canary).unwrap());

    // The control: git as people use it runs them.
    git(
        &dir,
        &["config", "filter.evil.clean", &format!("{evil} clean;")],
    );
    fs::write(dir.join("flake.lock"), lock('5')).unwrap();
    for words in [
        &["add", "flake.lock"][..],
        &["commit", "-q", "-m", "x"],
        &["push", "-q"],
    ] {
        let _ = Command::new("git").arg("-C").arg(&dir).args(words).output();
    }
    let seen = fs::read_to_string(&canary).unwrap();
    for name in ["clean", "pre-commit", "fsmonitor"] {
        assert!(seen.contains(name), "{name}: {seen}");
    }
}

#[test]
fn nix_is_asked_in_the_words_of_its_version_and_gets_no_secret() {
    let all = "<update>\n";
    for (version, input, verb) in [
        ("2.8.0", None, all),
        (
            "2.8.0",
            Some("tools"),
            "<lock>\n<--update-input>\n<tools>\n",
        ),
        ("2.24.10", None, all),
        ("2.24.10", Some("tools"), "<update>\n<tools>\n"),
    ] {
        let host = Host::new();
        let path = host.fake_nix(version);
        let mut request = host.isolated("");
        request.command = None;
        request.input = input.map(str::to_owned);
        let environment = [
            ("PATH", path.as_str()),
            ("NIXFLEET_TOKEN", "canary-token"),
            ("NIXFLEET_COMMAND_ID", "the-id"),
            ("SSH_AUTH_SOCK", "/nowhere"),
            ("GIT_DIR", "/nowhere"),
        ];
        let output = host.run(&request, &environment);
        assert!(output.status.success(), "{}", shown(&output));
        let asked = host.text("asked");
        let words = format!(
            "<--extra-experimental-features>\n<nix-command flakes>\n<flake>\n{verb}<--option>\n<accept-flake-config>\n<false>\n"
        );
        assert_eq!(asked, words, "{version} {input:?}");
        let env = host.text("env");
        for absent in ["canary", "SSH_AUTH_SOCK", "GIT_DIR"] {
            assert!(!env.contains(absent), "{absent}");
        }
        assert!(
            env.contains("NIXFLEET_COMMAND_ID=the-id"),
            "so that a stop finds it"
        );
        let message = git(
            &host.remote.path("remote.git"),
            &["log", "-1", "--format=%s", "main"],
        );
        let what = input.unwrap_or("inputs");
        assert_eq!(message, format!("flake.lock: update {what}"));
    }
}

#[test]
fn an_input_that_does_not_exist_is_named_with_those_that_do() {
    let host = Host::new();
    let path = host.fake_nix("2.24.10");
    let mut request = host.isolated("");
    request.command = None;
    request.input = Some("tolls".into());
    let output = host.run(&request, &[("PATH", &path)]);
    assert_eq!(output.status.code(), Some(1));
    let said = shown(&output);
    assert!(said.contains("no input tolls; it has: tools"), "{said}");
    assert_eq!(host.text("asked"), "", "nix is not asked");
}

#[test]
fn a_host_without_nix_says_what_to_do() {
    let host = Host::new();
    let mut request = host.isolated("");
    request.command = None;
    // Git alone is there.
    let path = std::env::var_os("PATH").unwrap();
    let git = std::env::split_paths(&path)
        .map(|folder| folder.join("git"))
        .find(|git| git.exists())
        .unwrap();
    fs::create_dir(host.remote.path("only")).unwrap();
    symlink(git, host.remote.path("only/git")).unwrap();
    let only = host.remote.path("only").display().to_string();
    let output = host.run(&request, &[("PATH", &only)]);
    assert_eq!(output.status.code(), Some(1));
    let said = shown(&output);
    assert!(
        said.contains("nix was not found in PATH") && said.contains("NIXFLEET_UPDATE_COMMAND"),
        "{said}"
    );
}

/// Answers every request with 403 and gives the requests' first lines and authorizations.
fn forbidding_server() -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/config.git", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut seen = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<String> = lines
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .collect();
            if head.first().is_some_and(|line| line.starts_with("STOP")) {
                return seen;
            }
            seen.extend(head.into_iter().filter(|line| {
                line.starts_with("GET") || line.to_lowercase().starts_with("authorization")
            }));
            let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (url, server)
}

fn stop(url: &str) {
    let address = url.trim_start_matches("http://").split('/').next().unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(b"STOP\r\n\r\n").unwrap();
}

#[test]
fn sec14_a_token_goes_to_the_remote_and_nowhere_else() {
    let host = Host::new();
    let (url, server) = forbidding_server();
    let seen_by_command = host.remote.path("seen");
    let command = format!(
        "{}; (env; ls -R .. ; cat ../git-access) > {} 2>&1; true",
        writes('2'),
        seen_by_command.display()
    );
    let (dir, mut request) = host.existing(&command);
    git(&dir, &["remote", "set-url", "--push", "origin", &url]);
    let token = host.remote.path("token");
    fs::write(&token, "canary-token\n").unwrap();
    request.pull.token_file = Some(token);
    let output = host.run(&request, &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = shown(&output);
    assert!(
        said.contains("cannot be asked whether it arrived"),
        "{said}"
    );
    // The same with a pull, for which the agent's own clone has the address.
    let mut own = host.isolated("true");
    own.pull.token_file = request.pull.token_file.clone();
    own.pull.source = PullSource::Isolated {
        url: url.clone(),
        dir: host.own(),
        owned_folder: host.remote.path("state"),
    };
    let pulled = host.run(&own, &[]);
    assert_eq!(pulled.status.code(), Some(1));

    stop(&url);
    let asked = server.join().unwrap();
    let encoded = data_encoding::BASE64.encode(b"x-access-token:canary-token");
    let sent = asked.iter().filter(|line| line.contains(&encoded)).count();
    let push = |line: &String| line.contains("service=git-receive-pack");
    assert!(asked.iter().any(push), "{asked:?}");
    assert_eq!(
        sent,
        asked.iter().filter(|line| line.starts_with("GET")).count()
    );
    let seen = fs::read_to_string(seen_by_command).unwrap();
    for text in [&said, &shown(&pulled), &seen] {
        assert!(
            !text.contains("canary") && !text.contains(&encoded),
            "{text}"
        );
    }
    assert_eq!(head(&dir), host.base);
}

#[test]
fn a_linked_worktree_and_a_shallow_clone_can_be_updated_from() {
    let host = Host::new();
    host.remote.commit("note", "1");
    let root = host.remote.folder.path();
    let url = format!("file://{}", host.remote.url());
    let allow = ["-c", "protocol.file.allow=always"];
    let words = [&allow[..], &["clone", "-q", "--depth=1", &url, "shallow"]].concat();
    git(root, &words);
    git(root, &["clone", "-q", "remote.git", "whole"]);
    let whole = host.remote.path("whole");
    git(&whole, &["checkout", "-q", "-b", "other"]);
    git(&whole, &["worktree", "add", "-q", "../linked", "main"]);
    for (name, digit) in [("shallow", '2'), ("linked", '3')] {
        let dir = host.remote.path(name);
        let source = PullSource::Existing { dir: dir.clone() };
        let facts = host.update(&request(source, Some(&writes(digit)))).unwrap();
        assert_eq!(facts.commit, Some(host.head("main")), "{name}");
        assert_eq!(head(&dir), host.head("main"), "{name}");
    }
}

#[test]
fn the_real_nix_updates_an_input_from_a_path() {
    let path = std::env::var_os("PATH").unwrap();
    let there = std::env::split_paths(&path).any(|folder| folder.join("nix").exists());
    if !there {
        eprintln!("SKIPPED: nix is not installed, so `nix flake update` was not tried for real");
        return;
    }
    let host = Host::new();
    let input = host.remote.path("input");
    fs::create_dir(&input).unwrap();
    fs::write(input.join("file"), "1").unwrap();
    git(&host.remote.author(), &["rm", "-q", "flake.lock"]);
    let flake = format!(
        "{{ inputs.tools = {{ url = \"path:{}\"; flake = false; }};
           nixConfig.substituters = \"file:///nowhere\";
           outputs = _: {{ }}; }}",
        input.display()
    );
    let base = host.remote.commit("flake.nix", &flake);
    let run = |name: Option<&str>| {
        let mut request = host.isolated("");
        request.command = None;
        request.input = name.map(str::to_owned);
        let output = host.run(&request, &[("USER", "root")]);
        assert!(output.status.success(), "{}", shown(&output));
        (host.recorded().unwrap(), shown(&output))
    };
    let (first, said) = run(None);
    assert_eq!((&first.base, &first.lock_before), (&base, &None), "{said}");
    assert_eq!(first.commit, Some(host.head("main")), "{said}");
    let (same, said) = run(None);
    assert_eq!(same.commit, None, "{said}");
    assert_eq!(same.lock_before, first.lock_after);

    fs::write(input.join("file"), "2").unwrap();
    let (named, said) = run(Some("tools"));
    assert_eq!(named.commit, Some(host.head("main")), "{said}");
    assert_ne!(named.lock_before, named.lock_after);
    let bare = host.remote.path("remote.git");
    let changed = git(&bare, &["diff", "--name-only", "main^", "main"]);
    assert_eq!(changed, "flake.lock");
}
