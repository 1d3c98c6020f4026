//! The bare mirror of the remote on this machine: only a cache, so it may be thrown away and made
//! again at any time.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nixfleet_core::CommitId;
use nixfleet_core::desired::RemoteCause;
use secrecy::ExposeSecret;

use super::Limits;
use super::command::{Bounds, Finished, Git, exists};
use super::trouble::{Trouble, explain};
use crate::sources::remote::{Branch, Remote, Transport};

/// Everything that keeps a repository from running or writing anything: it replaces the
/// configuration of the system and of the user, for git and for what git starts.
const HARDENING: &str = "\
[core]
\thooksPath = /dev/null
\tfsmonitor = false
\tsymlinks = false
\tattributesFile = /dev/null
[protocol]
\tallow = never
[protocol \"https\"]
\tallow = always
[protocol \"http\"]
\tallow = always
[protocol \"ssh\"]
\tallow = always
[protocol \"git\"]
\tallow = always
[protocol \"file\"]
\tallow = always
[submodule]
\trecurse = false
[transfer]
\tfsckObjects = true
\tbundleURI = false
[fetch]
\trecurseSubmodules = false
\tshowForcedUpdates = false
[fetch \"fsck\"]
\tzeroPaddedFilemode = warn
\tmissingSpaceBeforeDate = warn
\tbadTimezone = warn
[gc]
\tautoDetach = false
[maintenance]
\tauto = false
[http]
\tfollowRedirects = initial
[advice]
\tdetachedHead = false
";

const CREDENTIAL_PREFIX: &str = "credential-";

/// Which hash algorithm a repository uses for its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObjectFormat {
    Sha1,
    Sha256,
}

/// The mirror and the git that works on it.
#[derive(Clone, Debug)]
pub(super) struct Mirror {
    git: Git,
    remote: Remote,
    folder: PathBuf,
    limits: Limits,
}

impl Mirror {
    /// A mirror of `remote` in `folder`; touches nothing yet.
    pub fn new(program: &Path, folder: PathBuf, remote: Remote, limits: Limits) -> Self {
        Self {
            git: Git::new(program, folder.join("gitconfig")),
            remote,
            folder,
            limits,
        }
    }

    fn repository(&self) -> PathBuf {
        self.folder.join("repo.git")
    }

    /// Makes sure there is a mirror of this remote, empty if need be.
    pub async fn prepare(&self, format: ObjectFormat) -> Result<(), Trouble> {
        let written = self.write_configuration().await;
        written.map_err(|error| self.cannot_keep(&error))?;
        if exists(&self.repository()) {
            return Ok(());
        }
        let format = match format {
            ObjectFormat::Sha1 => "--object-format=sha1",
            ObjectFormat::Sha256 => "--object-format=sha256",
        };
        let path = self.repository();
        let path = path.to_string_lossy();
        let arguments = [
            "init",
            "--bare",
            "--quiet",
            "--template=",
            format,
            "--",
            &path,
        ];
        let done = self.git.run(&arguments, None, self.quick()).await?;
        if done.status.success() {
            return Ok(());
        }
        Err(match self.explain(&done) {
            Trouble::Remote(why) | Trouble::Damaged(why) => {
                Trouble::remote(RemoteCause::MirrorFailed, why.detail)
            }
            Trouble::OtherHash => Trouble::OtherHash,
        })
    }

    /// Throws the mirror away.
    pub async fn discard(&self) -> Result<(), Trouble> {
        let removed = self.remove_repository().await;
        removed.map_err(|error| self.cannot_keep(&error))
    }

    async fn remove_repository(&self) -> io::Result<()> {
        let path = self.repository();
        match tokio::fs::symlink_metadata(&path).await {
            Ok(found) if found.is_dir() => tokio::fs::remove_dir_all(&path).await,
            Ok(_) => tokio::fs::remove_file(&path).await,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Fetches every branch. May take long: it is given up only when it stops making progress.
    pub async fn update(&self) -> Result<(), Trouble> {
        let credential = self.credential_file();
        let credential = credential.map_err(|error| self.cannot_keep(&error))?;
        let helper = credential
            .as_ref()
            .map(|file| helper_setting(file.path()))
            .unwrap_or_else(|| "credential.helper=".to_owned());
        let bounds = Bounds {
            total: self.limits.transfer,
            silence: self.limits.silence,
            output: 1 << 20,
        };
        #[rustfmt::skip]
        let arguments = [
            "-c", &helper,
            "fetch", "--progress", "--prune", "--force", "--no-tags", "--no-recurse-submodules",
            "--no-auto-maintenance", "--no-write-fetch-head",
            "--", self.remote.address(), "+refs/heads/*:refs/heads/*",
        ];
        let done = self.in_repository(&arguments, None, bounds).await?;
        if done.status.success() {
            Ok(())
        } else {
            Err(self.explain(&done))
        }
    }

    /// The commit at the head of a branch, or why there is none.
    pub async fn head(&self, branch: &Branch) -> Result<CommitId, Trouble> {
        let reference = format!("{}^{{commit}}", branch.reference());
        let arguments = ["rev-parse", "--verify", "--quiet", &reference];
        let done = self.in_repository(&arguments, None, self.quick()).await?;
        let text = String::from_utf8_lossy(&done.stdout);
        if done.status.success() {
            let parsed = text.trim().parse();
            return parsed.map_err(|_| Trouble::damaged("git named no commit for the branch"));
        }
        let shown = [
            "for-each-ref",
            "--count=6",
            "--format=%(refname:short)",
            "refs/heads/",
        ];
        let listed = self.in_repository(&shown, None, self.quick()).await?;
        let names = String::from_utf8_lossy(&listed.stdout).into_owned();
        let names: Vec<&str> = names.lines().collect();
        if names.contains(&branch.as_str()) || !listed.status.success() {
            return Err(Trouble::damaged(format!(
                "the branch {branch} does not lead to a commit; {}",
                done.messages.trim()
            )));
        }
        let detail = if names.is_empty() {
            "the repository has no commit yet".to_owned()
        } else {
            format!("there is no branch {branch}; there is {}", names.join(", "))
        };
        Err(Trouble::remote(RemoteCause::BranchMissing, detail))
    }

    /// Whether `old` is an ancestor of `new`. A commit that the mirror does not hold is none.
    pub async fn is_ancestor(&self, old: CommitId, new: CommitId) -> Result<bool, Trouble> {
        let (old, new) = (old.to_string(), new.to_string());
        let arguments = ["merge-base", "--is-ancestor", &old, &new];
        let done = self.in_repository(&arguments, None, self.quick()).await?;
        Ok(done.status.success())
    }

    /// Packs loose objects when there are many.
    pub async fn tidy(&self) {
        let bounds = Bounds {
            total: self.limits.transfer,
            silence: self.limits.transfer,
            output: 1 << 20,
        };
        let done = self
            .in_repository(&["gc", "--auto", "--quiet"], None, bounds)
            .await;
        match done {
            Ok(done) if done.status.success() => {}
            Ok(done) => tracing::warn!(message = done.messages.trim(), "git gc failed"),
            Err(trouble) => tracing::warn!(?trouble, "git gc failed"),
        }
    }

    /// Runs git on the mirror and expects success.
    pub async fn read(
        &self,
        arguments: &[&str],
        input: Option<Vec<u8>>,
        bounds: Bounds,
    ) -> Result<Vec<u8>, Trouble> {
        let done = self.in_repository(arguments, input, bounds).await?;
        if done.status.success() {
            return Ok(done.stdout);
        }
        Err(Trouble::damaged(self.remote.redact(done.messages.trim())))
    }

    /// Bounds for a command that only looks something up.
    pub fn quick(&self) -> Bounds {
        self.within(self.limits.window, 64 * 1024)
    }

    /// Bounds for a command that may print up to `output` bytes.
    pub fn within(&self, total: Duration, output: usize) -> Bounds {
        Bounds {
            total,
            silence: total,
            output,
        }
    }

    fn explain(&self, done: &Finished) -> Trouble {
        let repository = self.repository();
        explain(&done.messages, &self.remote, &repository.to_string_lossy())
    }

    async fn in_repository(
        &self,
        arguments: &[&str],
        input: Option<Vec<u8>>,
        bounds: Bounds,
    ) -> Result<Finished, Trouble> {
        let folder = format!("--git-dir={}", self.repository().display());
        let mut all = vec![folder.as_str()];
        all.extend_from_slice(arguments);
        Ok(self.git.run(&all, input, bounds).await?)
    }

    /// Writes git's configuration, and removes a mirror that belongs to another remote.
    async fn write_configuration(&self) -> io::Result<()> {
        tokio::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .await?;
        self.remove_left_credentials().await?;
        let source = self.folder.join("source");
        let kept = tokio::fs::read_to_string(&source).await.unwrap_or_default();
        if kept != self.remote.address() {
            self.remove_repository().await?;
            tokio::fs::write(&source, self.remote.address()).await?;
        }
        let configuration = format!("{HARDENING}{}", trusted_folders(&self.remote));
        tokio::fs::write(self.folder.join("gitconfig"), configuration).await
    }

    /// A killed server cannot remove its credential file; the next one does.
    async fn remove_left_credentials(&self) -> io::Result<()> {
        let mut entries = tokio::fs::read_dir(&self.folder).await?;
        while let Some(entry) = entries.next_entry().await? {
            if entry
                .file_name()
                .to_string_lossy()
                .starts_with(CREDENTIAL_PREFIX)
            {
                tokio::fs::remove_file(entry.path()).await?;
            }
        }
        Ok(())
    }

    /// The credential, in a file only we can read, for as long as the returned handle lives: it
    /// is never on a command line, in an environment, or in a configuration.
    fn credential_file(&self) -> io::Result<Option<tempfile::NamedTempFile>> {
        let Some(line) = self.remote.credential_line() else {
            return Ok(None);
        };
        let mut file = tempfile::Builder::new()
            .prefix(CREDENTIAL_PREFIX)
            .tempfile_in(&self.folder)?;
        io::Write::write_all(&mut file, format!("{}\n", line.expose_secret()).as_bytes())?;
        Ok(Some(file))
    }

    fn cannot_keep(&self, error: &io::Error) -> Trouble {
        let detail = format!("{}: {error}", self.folder.display());
        Trouble::remote(RemoteCause::MirrorFailed, detail)
    }
}

/// A local repository may belong to another user: the administrator has named exactly this one.
fn trusted_folders(remote: &Remote) -> String {
    let Transport::Local(path) = remote.transport() else {
        return "[safe]\n\tbareRepository = explicit\n".to_owned();
    };
    let folders = [path.clone(), path.join(".git")].map(|folder| {
        let folder = folder.display().to_string();
        let quoted = folder.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\tdirectory = \"{quoted}\"\n")
    });
    format!("[safe]\n\tbareRepository = explicit\n{}", folders.concat())
}

/// Git runs a helper through a shell, so the path is quoted for it.
fn helper_setting(file: &Path) -> String {
    let path = file.display().to_string().replace('\'', "'\\''");
    format!("credential.helper=store --file='{path}'")
}
