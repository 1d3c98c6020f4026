//! The agent's own program: which one runs.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use nixfleet_core::LockHasher;

const STORE: &str = "/nix/store";

/// The running program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    /// The path it was started from, with links resolved.
    pub path: PathBuf,
    /// The package in the nix store that it belongs to, if it is there.
    pub store_path: Option<String>,
    /// SHA-256 of its bytes.
    pub hash: Option<String>,
    /// The commit it was built from, where the build said.
    pub source_commit: Option<&'static str>,
}

impl Binary {
    /// Finds out once, at start; later the file may have been replaced.
    ///
    /// # Errors
    /// When the system does not tell the path.
    pub fn find() -> std::io::Result<Self> {
        let path = std::env::current_exe()?;
        let path = path.canonicalize().unwrap_or(path);
        Ok(Self {
            hash: hash(&path),
            store_path: package_of(&path),
            path,
            source_commit: option_env!("NIXFLEET_SOURCE_COMMIT"),
        })
    }
}

/// The systemd unit that this process runs in.
#[must_use]
pub fn own_unit() -> Option<String> {
    unit_in(&fs::read_to_string("/proc/self/cgroup").ok()?)
}

/// The package of the agent that a unit of this system starts; `None` where the unit starts
/// something else, which may then start any agent.
#[must_use]
pub fn expected(system: &Path, unit: &str) -> Option<String> {
    let file = system.join("etc/systemd/system").join(unit);
    let program = program_of(&fs::read_to_string(file).ok()?)?;
    let program = program.canonicalize().unwrap_or(program);
    let is_agent = program.file_name()? == env!("CARGO_PKG_NAME");
    is_agent.then(|| package_of(&program)).flatten()
}

/// `/nix/store/<hash>-<name>/bin/program` → `/nix/store/<hash>-<name>`.
fn package_of(path: &Path) -> Option<String> {
    let inside = path.strip_prefix(STORE).ok()?;
    let package = Path::new(STORE).join(inside.components().next()?);
    Some(package.display().to_string())
}

/// The last part of the path in a line like `0::/system.slice/nixfleet-agent.service`.
fn unit_in(cgroups: &str) -> Option<String> {
    let mut names = cgroups
        .lines()
        .filter_map(|line| line.rsplit_once('/').map(|(_, name)| name));
    let unit = names.find(|name| name.ends_with(".service"))?;
    Some(unit.to_owned())
}

/// The program of the first `ExecStart=` of a unit, without the marks that may stand before it.
fn program_of(unit: &str) -> Option<PathBuf> {
    let mut starts = unit
        .lines()
        .filter_map(|line| line.trim().strip_prefix("ExecStart="));
    let line = starts.find(|line| !line.is_empty())?;
    let word = line.split_whitespace().next()?;
    let path = word.trim_start_matches(['@', '-', ':', '+', '!', '|', '"']);
    Some(PathBuf::from(path.trim_end_matches('"')))
}

fn hash(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let mut hasher = LockHasher::new();
    let mut chunk = vec![0; 256 * 1024];
    loop {
        match file.read(&mut chunk).ok()? {
            0 => return Some(hasher.finish().to_string()),
            count => hasher.update(&chunk[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: &str = "/nix/store/0000-nixfleet-agent-4.0.0/bin/nixfleet-agent";

    fn expected_by(unit: &str) -> Option<String> {
        let system = tempfile::tempdir().unwrap();
        let units = system.path().join("etc/systemd/system");
        fs::create_dir_all(&units).unwrap();
        fs::write(units.join("agent.service"), unit).unwrap();
        expected(system.path(), "agent.service")
    }

    #[test]
    fn a_unit_tells_which_agent_should_run_if_it_starts_one_itself() {
        let package = Some("/nix/store/0000-nixfleet-agent-4.0.0".to_owned());
        for start in [
            format!("ExecStart={AGENT} run"),
            format!("ExecStart=\nExecStart=-{AGENT}"),
            format!("  ExecStart=!\"{AGENT}\" run"),
        ] {
            let unit = format!("[Service]\nExecStartPre=/bin/true\n{start}\nRestart=always\n");
            assert_eq!(expected_by(&unit), package, "{unit}");
        }
        for unit in [
            "[Service]\nExecStart=/nix/store/1111-unit-script/bin/start\n",
            "[Service]\nExecStart=/usr/local/bin/nixfleet-agent run\n",
            "[Service]\n",
        ] {
            assert_eq!(expected_by(unit), None, "{unit}");
        }
        let no_system = Path::new("/nonexistent");
        assert_eq!(expected(no_system, "agent.service"), None);
    }

    #[test]
    fn the_package_of_a_wrapped_program_is_that_of_its_wrapper() {
        let package = package_of(Path::new(AGENT));
        let wrapped = AGENT.replace("bin/nixfleet-agent", "bin/.nixfleet-agent-wrapped");
        assert!(package.is_some(), "positive control");
        assert_eq!(package_of(Path::new(&wrapped)), package);
        assert_eq!(package_of(Path::new("/usr/bin/nixfleet-agent")), None);
    }

    #[test]
    fn the_own_unit_is_found_in_both_forms_of_cgroups() {
        for text in [
            "0::/system.slice/nixfleet-agent.service\n",
            "12:pids:/user.slice\n1:name=systemd:/system.slice/nixfleet-agent.service\n",
        ] {
            assert_eq!(unit_in(text).as_deref(), Some("nixfleet-agent.service"));
        }
        assert_eq!(unit_in("0::/user.slice/session-1.scope\n"), None);
    }
}
