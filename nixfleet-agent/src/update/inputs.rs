//! What changes `flake.lock`: nix, in the words of the version that is installed, or a configured
//! command.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::UpdateError;
use crate::config::InputName;
use crate::environment;
use crate::program::{self, ProgramError, find_program};

const ADVICE: &str = "install nix or extend the service's PATH, or set NIXFLEET_UPDATE_COMMAND to a command that updates flake.lock";

/// Repository content must not set options of nix that act on this host.
const SAFE: [&str; 3] = ["--option", "accept-flake-config", "false"];

/// The first version whose `nix flake update` takes names of inputs; before, `nix flake lock
/// --update-input` did that, and `update` took the address of a flake.
const NAMES_SINCE: NixVersion = NixVersion(2, 19);

/// Settings for the git that nix runs, which must be able to fetch inputs from anywhere.
const GIT: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.askPass", ""),
    ("commit.gpgSign", "false"),
    ("filter.lfs.smudge", ""),
    ("filter.lfs.clean", ""),
    ("filter.lfs.process", ""),
    ("filter.lfs.required", "false"),
];

/// Major and minor version of nix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NixVersion(pub u32, pub u32);

impl NixVersion {
    /// From what `nix --version` prints, whoever distributes it: `nix (Nix) 2.8.0`.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let last = text.lines().next()?.split_whitespace().last()?;
        let mut parts = last.split(|c: char| !c.is_ascii_digit());
        Some(Self(
            parts.next()?.parse().ok()?,
            parts.next()?.parse().ok()?,
        ))
    }
}

/// What changes `flake.lock` in the folder it runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Updater {
    /// The nix in PATH.
    Nix {
        /// The program.
        program: String,
        /// What it says of itself.
        told: String,
        /// Its version; `None`: it told none, which only newer ones would.
        version: Option<NixVersion>,
    },
    /// The words of a configured command.
    Configured(Vec<String>),
}

impl Updater {
    /// The nix in PATH.
    ///
    /// # Errors
    /// [`UpdateError::Program`]: it is not there, or does not run.
    pub fn find() -> Result<Self, UpdateError> {
        let path = std::env::var_os("PATH");
        let found = find_program("nix", path.as_deref()).ok_or_else(|| ProgramError::Missing {
            program: "nix".to_owned(),
            advice: ADVICE.to_owned(),
        })?;
        let program = found.display().to_string();
        let argv = [program.clone(), "--version".to_owned()];
        let limit = Duration::from_secs(30);
        let told = program::run_ok(&argv, None, &environment::allowed(), limit)?.text();
        Ok(Updater::Nix {
            version: NixVersion::read(&told),
            program,
            told,
        })
    }

    /// The words that update one input, or all.
    #[must_use]
    pub fn argv(&self, folder: &Path, input: Option<&InputName>) -> Vec<String> {
        let (program, version) = match self {
            Updater::Configured(words) => {
                let folder = folder.display().to_string();
                return words.iter().map(|w| w.replace("{repo}", &folder)).collect();
            }
            Updater::Nix {
                program, version, ..
            } => (program.as_str(), *version),
        };
        let takes_names = version.is_none_or(|version| version >= NAMES_SINCE);
        let verb = match (input.map(InputName::as_str), takes_names) {
            (None, _) => vec!["update"],
            (Some(name), true) => vec!["update", name],
            (Some(name), false) => vec!["lock", "--update-input", name],
        };
        let start = [
            program,
            "--extra-experimental-features",
            "nix-command flakes",
            "flake",
        ];
        let words = start.into_iter().chain(verb).chain(SAFE);
        words.map(str::to_owned).collect()
    }

    /// Runs it; its output belongs to the output of the command.
    ///
    /// # Errors
    /// [`UpdateError::Program`] or [`UpdateError::Updater`].
    pub(super) fn run(&self, folder: &Path, input: Option<&InputName>) -> Result<(), UpdateError> {
        let argv = self.argv(folder, input);
        let program = argv.first().cloned().unwrap_or_default();
        if let Updater::Nix { told, .. } = self {
            println!(
                "{told}: updating {}",
                input.map_or("all inputs", InputName::as_str)
            );
        }
        let status = Command::new(&program)
            .args(argv.get(1..).unwrap_or_default())
            .current_dir(folder)
            .env_clear()
            .envs(child_environment(folder, input))
            .stdin(Stdio::null())
            .status()
            .map_err(|source| ProgramError::Spawn {
                program: program.clone(),
                source,
            })?;
        match status.code() {
            Some(0) => Ok(()),
            code => Err(UpdateError::Updater {
                program,
                code: code.unwrap_or(-1),
            }),
        }
    }
}

fn child_environment(folder: &Path, input: Option<&InputName>) -> BTreeMap<String, String> {
    let mut environment = environment::allowed();
    // By its id a stop finds every process of the command.
    for name in ["NIXFLEET_COMMAND_ID", "NIXFLEET_OP", "NIXFLEET_HOSTNAME"] {
        if let Ok(value) = std::env::var(name) {
            environment.insert(name.to_owned(), value);
        }
    }
    let input = input.map_or("", InputName::as_str);
    let folder = folder.display().to_string();
    let count = GIT.len().to_string();
    let mut set = |name: &str, value: &str| environment.insert(name.to_owned(), value.to_owned());
    set("NIXFLEET_INPUT", input);
    set("NIXFLEET_REPO_DIR", &folder);
    set("GIT_TERMINAL_PROMPT", "0");
    set("GIT_LFS_SKIP_SMUDGE", "1");
    set(
        "GIT_SSH_COMMAND",
        "ssh -o BatchMode=yes -o ConnectTimeout=20",
    );
    set("GIT_CONFIG_COUNT", &count);
    for (index, (key, value)) in GIT.iter().enumerate() {
        set(&format!("GIT_CONFIG_KEY_{index}"), key);
        set(&format!("GIT_CONFIG_VALUE_{index}"), value);
    }
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(version: &str, input: Option<&str>) -> Vec<String> {
        let updater = Updater::Nix {
            program: "nix".to_owned(),
            told: version.to_owned(),
            version: NixVersion::read(version),
        };
        let input = input.map(|name| name.parse().unwrap());
        updater.argv(Path::new("/scratch"), input.as_ref())
    }

    #[test]
    fn every_distribution_of_nix_tells_its_version() {
        for (text, version) in [
            ("nix (Nix) 2.8.0", NixVersion(2, 8)),
            ("nix (Nix) 2.31.0pre20250801_abc", NixVersion(2, 31)),
            (
                "nix (Lix, like Nix) 2.93.3\nSystem type: x",
                NixVersion(2, 93),
            ),
            ("nix (Determinate Nix 3.8.1) 2.30.1", NixVersion(2, 30)),
        ] {
            assert_eq!(NixVersion::read(text), Some(version), "{text}");
        }
        assert_eq!(NixVersion::read(""), None);
        assert_eq!(NixVersion::read("nix"), None);
    }

    #[test]
    fn c06_nix_is_asked_in_the_words_of_its_version_and_never_accepts_flake_config() {
        let old = "nix (Nix) 2.18.9";
        for (version, input, verb) in [
            (old, None, &["update"][..]),
            (old, Some("nixpkgs"), &["lock", "--update-input", "nixpkgs"]),
            ("nix (Nix) 2.19.0", None, &["update"]),
            ("nix (Nix) 2.19.0", Some("nixpkgs"), &["update", "nixpkgs"]),
            ("something else", Some("nixpkgs"), &["update", "nixpkgs"]),
        ] {
            let words = words(version, input);
            assert_eq!(words[4..words.len() - 3], *verb, "{version} {input:?}");
            assert_eq!(words[words.len() - 3..], SAFE);
        }
    }

    #[test]
    fn a_configured_command_learns_the_folder() {
        let updater = Updater::Configured(vec!["bump".into(), "--in={repo}".into()]);
        let argv = updater.argv(Path::new("/a b"), None);
        assert_eq!(argv, ["bump", "--in=/a b"]);
    }
}
