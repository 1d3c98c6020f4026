//! The git remote of the demo: a bare repository and the clone in which its commits are made, with
//! the real git program, untouched by anybody's git configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nixfleet_core::{CommitId, LockHash, lock_hash};

use super::error::{DemoError, DemoResult};
use super::flake::{Pins, flake_nix};

const BRANCH: &str = "main";
/// When the first commit was made, in seconds since 1970; each later one is an hour younger.
const FIRST_COMMIT: u64 = 1_767_250_000;
const HOUR: u64 = 3600;

/// A git remote that can be committed to, cut and restored.
#[derive(Debug)]
pub struct Upstream {
    git: Git,
    pins: Pins,
    remote: Remote,
    commits: u64,
}

/// The remote itself, to look at; cheap to clone.
#[derive(Clone, Debug)]
pub struct Remote {
    bare: PathBuf,
    away: PathBuf,
}

/// Git in one folder, with an environment of its own.
#[derive(Clone, Debug)]
struct Git {
    folder: PathBuf,
}

impl Upstream {
    /// Makes the remote below `folder`, with a flake of these hosts and a first commit.
    ///
    /// # Errors
    /// [`DemoError`] of files or of git.
    pub fn create(folder: &Path, hosts: &[&str]) -> DemoResult<Self> {
        let remote = Remote {
            bare: folder.join("remote.git"),
            away: folder.join("remote.git.away"),
        };
        let work = folder.join("work");
        fs::create_dir_all(&work).map_err(DemoError::io("cannot make the work tree"))?;
        let bare_text = remote.bare.display().to_string();
        let git = Git { folder: work };
        git.run(&[
            "init",
            "--quiet",
            "--bare",
            "--initial-branch=main",
            &bare_text,
        ])?;
        git.run(&["init", "--quiet", "--initial-branch=main"])?;
        git.run(&["remote", "add", "origin", &bare_text])?;
        let mut upstream = Self {
            git,
            pins: Pins::default(),
            remote,
            commits: 0,
        };
        upstream.write("flake.nix", &flake_nix(hosts))?;
        upstream.write("flake.lock", &upstream.pins.lock_file())?;
        for host in hosts {
            let text = format!("{{ ... }}:\n{{\n  networking.hostName = \"{host}\";\n}}\n");
            upstream.write(&format!("hosts/{host}/configuration.nix"), &text)?;
        }
        upstream.commit("The fleet as a flake")?;
        Ok(upstream)
    }

    /// The remote.
    #[must_use]
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// Writes a file of the work tree, without committing it.
    ///
    /// # Errors
    /// [`DemoError::Io`].
    pub fn write(&self, name: &str, text: &str) -> DemoResult<()> {
        let path = self.git.folder.join(name);
        let written = path
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&path, text));
        written.map_err(DemoError::io(format!("cannot write {}", path.display())))
    }

    /// Writes a file that may be executed, without committing it.
    ///
    /// # Errors
    /// [`DemoError::Io`].
    pub fn write_program(&self, name: &str, text: &str) -> DemoResult<()> {
        use std::os::unix::fs::PermissionsExt;
        self.write(name, text)?;
        fs::set_permissions(
            self.git.folder.join(name),
            fs::Permissions::from_mode(0o755),
        )
        .map_err(DemoError::io(format!("cannot make {name} executable")))
    }

    /// Locks the next version of these inputs and commits that, with whatever else was written.
    ///
    /// # Errors
    /// [`DemoError`] of files or of git.
    pub fn update(&mut self, inputs: &[&str]) -> DemoResult<CommitId> {
        let mut message = format!("flake.lock: update {}\n\n", inputs.join(", "));
        for input in inputs {
            let old = self.pins.revision(input);
            self.pins.bump(input);
            let new = self.pins.revision(input);
            let short = |revision: &str| revision.chars().take(7).collect::<String>();
            message.push_str(&format!("{input}: {} → {}\n", short(&old), short(&new)));
        }
        self.write("flake.lock", &self.pins.lock_file())?;
        self.commit(&message)
    }

    /// Commits what was written, and pushes.
    ///
    /// # Errors
    /// [`DemoError::Git`].
    pub fn commit(&mut self, message: &str) -> DemoResult<CommitId> {
        self.commit_locally(message)?;
        self.push()?;
        self.remote.head()
    }

    /// Commits what was written, without pushing.
    ///
    /// # Errors
    /// [`DemoError::Git`].
    pub fn commit_locally(&mut self, message: &str) -> DemoResult<()> {
        self.commits += 1;
        let at = format!("{} +0000", FIRST_COMMIT + HOUR * self.commits);
        self.git.run(&["add", "--all"])?;
        let words = ["commit", "--quiet", "--allow-empty", "-m", message];
        self.git.run_at(&words, Some(&at))?;
        Ok(())
    }

    /// Pushes the branch, whatever is there.
    ///
    /// # Errors
    /// [`DemoError::Git`].
    pub fn push(&self) -> DemoResult<()> {
        self.git
            .run(&["push", "--quiet", "--force", "origin", BRANCH])
            .map(|_| ())
    }

    /// Runs git in the work tree and answers what it printed.
    ///
    /// # Errors
    /// [`DemoError::Git`].
    pub fn git(&self, arguments: &[&str]) -> DemoResult<String> {
        self.git.run(arguments)
    }
}

impl Remote {
    /// Its address for git.
    #[must_use]
    pub fn address(&self) -> String {
        self.bare.display().to_string()
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.bare
    }

    /// The head of the branch.
    ///
    /// # Errors
    /// [`DemoError::Git`].
    pub fn head(&self) -> DemoResult<CommitId> {
        let text = self.here().run(&["rev-parse", "--verify", BRANCH])?;
        text.parse()
            .map_err(|_| DemoError::Wrong(format!("git rev-parse printed {text:?}")))
    }

    /// The hash of `flake.lock` at the head.
    ///
    /// # Errors
    /// [`DemoError::Git`].
    pub fn lock(&self) -> DemoResult<LockHash> {
        let bytes = self.here().output(&["show", "main:flake.lock"], None)?;
        Ok(lock_hash(&bytes))
    }

    /// Makes the remote unreachable.
    ///
    /// # Errors
    /// [`DemoError::Io`].
    pub fn cut(&self) -> DemoResult<()> {
        fs::rename(&self.bare, &self.away).map_err(DemoError::io("cannot cut the remote"))
    }

    /// Makes it reachable again.
    ///
    /// # Errors
    /// [`DemoError::Io`].
    pub fn restore(&self) -> DemoResult<()> {
        fs::rename(&self.away, &self.bare).map_err(DemoError::io("cannot restore the remote"))
    }

    fn here(&self) -> Git {
        Git {
            folder: self.bare.clone(),
        }
    }
}

impl Git {
    fn run(&self, arguments: &[&str]) -> DemoResult<String> {
        self.run_at(arguments, None)
    }

    fn run_at(&self, arguments: &[&str], at: Option<&str>) -> DemoResult<String> {
        let bytes = self.output(arguments, at)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    fn output(&self, arguments: &[&str], at: Option<&str>) -> DemoResult<Vec<u8>> {
        let mut command = Command::new("git");
        command
            .args(["-c", "commit.gpgsign=false", "-c", "gc.auto=0"])
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(hermetic(&self.folder));
        if let Some(at) = at {
            command
                .env("GIT_AUTHOR_DATE", at)
                .env("GIT_COMMITTER_DATE", at);
        }
        let output = command
            .output()
            .map_err(DemoError::io("cannot run git (is it installed?)"))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(DemoError::Git {
            arguments: arguments.join(" "),
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}

/// Settings that keep everybody's git configuration out, with a fixed author.
fn hermetic(home: &Path) -> Vec<(&'static str, String)> {
    let person = |name| (name, "NixFleet demo".to_owned());
    let address = |name| (name, "demo@nixfleet.invalid".to_owned());
    vec![
        ("HOME", home.display().to_string()),
        ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
        ("GIT_CONFIG_GLOBAL", "/dev/null".to_owned()),
        ("LC_ALL", "C".to_owned()),
        person("GIT_AUTHOR_NAME"),
        person("GIT_COMMITTER_NAME"),
        address("GIT_AUTHOR_EMAIL"),
        address("GIT_COMMITTER_EMAIL"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_moves_head_and_lock_and_a_cut_remote_is_gone_until_restored() {
        let folder = tempfile::tempdir().unwrap();
        let mut upstream = Upstream::create(folder.path(), &["web-1"]).unwrap();
        let remote = upstream.remote().clone();
        let before = (remote.head().unwrap(), remote.lock().unwrap());
        upstream.write("README.md", "Only words\n").unwrap();
        upstream.commit("Say something").unwrap();
        assert_ne!(remote.head().unwrap(), before.0);
        assert_eq!(remote.lock().unwrap(), before.1);
        let head = upstream.update(&["nixpkgs"]).unwrap();
        assert_eq!(remote.head().unwrap(), head);
        assert_ne!(remote.lock().unwrap(), before.1);
        remote.cut().unwrap();
        assert!(remote.head().is_err());
        remote.restore().unwrap();
        assert_eq!(remote.head().unwrap(), head);
    }

    #[test]
    fn the_same_story_makes_the_same_commits() {
        let head = || {
            let folder = tempfile::tempdir().unwrap();
            let upstream = Upstream::create(folder.path(), &["web-1"]).unwrap();
            upstream.remote().head().unwrap()
        };
        assert_eq!(head(), head());
    }
}
