//! The running system: its path, what it claims to be built from, its generation, whether a reboot
//! is due. Links are read every time, which costs nothing; programs run only when a link has
//! changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nixfleet_core::StorePath;

use super::fingerprint::Fingerprint;
use super::{Occasion, binary};
use crate::config::{Config, SystemProbe};
use crate::environment;
use crate::platform::Platform;
use crate::program::{self, find_program};

const LIMIT: Duration = Duration::from_secs(10);
/// A configured command that names the system runs at least this often.
const LOOK_AGAIN: Duration = Duration::from_secs(300);
const UNITS_AGAIN: Duration = Duration::from_secs(300);

/// The running system, as far as the host tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemFacts {
    /// Its store path, or, on platform `custom`, its name.
    pub path: Option<String>,
    /// The commit it claims to be built from.
    pub configuration_revision: Option<String>,
    /// The version of nixpkgs it is built from.
    pub nixpkgs_version: Option<String>,
    /// The package of the agent that it would start.
    pub agent_path: Option<String>,
    /// The number of the generation that runs.
    pub generation_number: Option<u64>,
    /// The path that the profile leads to, which the next boot starts.
    pub profile_path: Option<String>,
    /// The path it was booted into.
    pub booted_path: Option<String>,
    /// Kernel, initrd or kernel modules differ from the booted ones; `None` where this means
    /// nothing.
    pub reboot_required: Option<bool>,
    /// Units that failed; `None` where there is no system manager to ask.
    pub failed_units: Option<Vec<String>>,
    /// The generations that can be rolled back to, newest first.
    pub generations: Vec<Generation>,
    /// Why the path is not known.
    pub error: Option<String>,
}

/// One generation of the profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its number.
    pub number: u64,
    /// Its store path.
    pub path: String,
    /// When it was made, in seconds since 1970.
    pub created: i64,
}

/// Where to look.
#[derive(Clone, Debug)]
pub struct SystemPaths {
    /// What names the running system.
    pub running: Option<SystemProbe>,
    /// The link to the booted system.
    pub booted: Option<PathBuf>,
    /// The profile's link.
    pub profile: Option<PathBuf>,
    /// The program that tells a NixOS version, below the running system.
    pub version_program: Option<&'static str>,
    /// The file in which nix-darwin keeps the same, below the running system.
    pub version_file: Option<&'static str>,
    /// The unit that starts the agent, where the running system has units.
    pub agent_unit: Option<String>,
    /// Whether there are units that can fail.
    pub units: bool,
}

impl SystemPaths {
    /// Those of the configured platform.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let platform = config.platform;
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let nixos = platform == Platform::Nixos;
        let own = platform.system_link(home.as_deref()).map(SystemProbe::Link);
        Self {
            running: config.system_probe.clone().or(own),
            booted: nixos.then(|| PathBuf::from("/run/booted-system")),
            profile: platform.profile_link(home.as_deref()),
            version_program: nixos.then_some("sw/bin/nixos-version"),
            version_file: (platform == Platform::Darwin).then_some("darwin-version.json"),
            agent_unit: nixos.then(binary::own_unit).flatten(),
            units: nixos,
        }
    }
}

/// The target of a link with all further links resolved; a dangling link's own target.
#[must_use]
pub fn link_target(link: &Path) -> Option<String> {
    let resolved = link.canonicalize().or_else(|_| fs::read_link(link)).ok()?;
    Some(resolved.display().to_string())
}

/// The first line that a command prints, if it succeeds.
#[must_use]
pub fn command_output(argv: &[String]) -> Option<String> {
    let found = program::run_ok(argv, None, &environment::allowed(), LIMIT).ok()?;
    let line = found.text().lines().next()?.trim().to_owned();
    Some(line).filter(|line| !line.is_empty())
}

/// The failed units of systemd; `None` where there is none.
#[must_use]
pub fn failed_units() -> Option<Vec<String>> {
    let systemctl = find_program("systemctl", std::env::var_os("PATH").as_deref())?;
    let mut argv = vec![systemctl.display().to_string()];
    argv.extend(
        [
            "list-units",
            "--state=failed",
            "--plain",
            "--no-legend",
            "--no-pager",
            "--full",
        ]
        .map(str::to_owned),
    );
    let found = program::run_ok(&argv, None, &environment::allowed(), LIMIT).ok()?;
    let mut units: Vec<String> = found
        .text()
        .lines()
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    units.sort();
    Some(units)
}

/// Remembers what only changes with the running system.
#[derive(Debug)]
pub struct SystemObserver {
    paths: SystemPaths,
    named: Option<(Instant, Option<String>)>,
    version: Option<(String, Version)>,
    units: Option<(Instant, Option<Vec<String>>)>,
    listed: Option<(Fingerprint, Vec<Generation>)>,
}

#[derive(Clone, Debug, Default)]
struct Version {
    revision: Option<String>,
    nixpkgs: Option<String>,
    agent: Option<String>,
}

impl SystemObserver {
    /// An observer that has seen nothing.
    #[must_use]
    pub fn new(paths: SystemPaths) -> Self {
        Self {
            paths,
            named: None,
            version: None,
            units: None,
            listed: None,
        }
    }

    /// Looks at the system.
    pub fn observe(&mut self, occasion: Occasion) -> SystemFacts {
        let path = self.running(occasion);
        let version = match &path {
            Some(path) => self.version_of(path, occasion),
            None => Version::default(),
        };
        let booted_path = self.paths.booted.as_deref().and_then(link_target);
        let generations = self.generations();
        SystemFacts {
            profile_path: self.paths.profile.as_deref().and_then(link_target),
            generation_number: path
                .as_ref()
                .and_then(|path| self.number_of(path, &generations)),
            configuration_revision: version.revision,
            nixpkgs_version: version.nixpkgs,
            agent_path: version.agent,
            reboot_required: match (&booted_path, &path) {
                (Some(booted), Some(path)) => reboot_required(Path::new(booted), Path::new(path)),
                (None, _) | (_, None) => None,
            },
            booted_path,
            failed_units: self.failed_units(occasion),
            generations,
            error: path.is_none().then(|| self.complaint()),
            path,
        }
    }

    fn running(&mut self, occasion: Occasion) -> Option<String> {
        let command = match &self.paths.running {
            None => return None,
            Some(SystemProbe::Link(link)) => return link_target(link),
            Some(SystemProbe::Command(command)) => command,
        };
        if let Some((at, name)) = &self.named
            && occasion == Occasion::Heartbeat
            && at.elapsed() < LOOK_AGAIN
        {
            return name.clone();
        }
        let name = command_output(command.words());
        self.named = Some((Instant::now(), name.clone()));
        name
    }

    fn complaint(&self) -> String {
        match &self.paths.running {
            Some(SystemProbe::Link(link)) => format!("{} is not a link", link.display()),
            Some(SystemProbe::Command(command)) => {
                format!("{} printed no name or failed", command.words().join(" "))
            }
            None => "nothing says what runs; set NIXFLEET_SYSTEM_LINK".to_owned(),
        }
    }

    fn version_of(&mut self, path: &str, occasion: Occasion) -> Version {
        // What a store path says never changes; another name may come to mean something else.
        let lasts = path
            .parse::<StorePath>()
            .is_ok_and(|path| path.is_content_addressed());
        if let Some((known, version)) = &self.version
            && known == path
            && (occasion == Occasion::Heartbeat || (lasts && version.revision.is_some()))
        {
            return version.clone();
        }
        let version = self.read_version(Path::new(path));
        self.version = Some((path.to_owned(), version.clone()));
        version
    }

    fn read_version(&self, system: &Path) -> Version {
        let unit = self.paths.agent_unit.as_deref();
        let agent = unit.and_then(|unit| binary::expected(system, unit));
        let text = if let Some(program) = self.paths.version_program {
            let argv = [
                system.join(program).display().to_string(),
                "--json".to_owned(),
            ];
            program::run_ok(&argv, None, &environment::allowed(), LIMIT)
                .map(|found| found.text())
                .unwrap_or_default()
        } else if let Some(file) = self.paths.version_file {
            fs::read_to_string(system.join(file)).unwrap_or_default()
        } else {
            String::new()
        };
        let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let field = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| json.get(name)?.as_str())
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        Version {
            revision: field(&["configurationRevision"]),
            nixpkgs: field(&["nixosVersion", "nixpkgsRevision", "darwinLabel"]),
            agent,
        }
    }

    /// The generation that runs is the one whose link leads to it: the profile may name another,
    /// which only the next boot will use.
    fn number_of(&self, path: &str, generations: &[Generation]) -> Option<u64> {
        let profile = self.paths.profile.as_deref()?;
        let current = fs::read_link(profile).ok().and_then(|link| {
            let name = link.file_name()?.to_str()?.to_owned();
            number_in(&name, profile.file_name()?.to_str()?)
        });
        let leads_here = |number: u64| {
            generations
                .iter()
                .any(|generation| generation.number == number && generation.path == path)
        };
        current.filter(|&number| leads_here(number)).or_else(|| {
            let found = generations
                .iter()
                .find(|generation| generation.path == path);
            found.map(|generation| generation.number)
        })
    }

    fn generations(&mut self) -> Vec<Generation> {
        let folder = self.paths.profile.as_deref().and_then(Path::parent);
        let now = folder.and_then(|folder| Fingerprint::of(folder).ok());
        if let (Some((then, known)), Some(now)) = (&self.listed, &now)
            && then.still_holds(now)
        {
            return known.clone();
        }
        let generations = self.list_generations();
        self.listed = now.map(|now| (now, generations.clone()));
        generations
    }

    fn list_generations(&self) -> Vec<Generation> {
        use std::os::unix::fs::MetadataExt;
        let read = || -> Option<Vec<Generation>> {
            let profile = self.paths.profile.as_deref()?;
            let base = profile.file_name()?.to_str()?;
            let mut found = Vec::new();
            for entry in fs::read_dir(profile.parent()?).ok()?.flatten() {
                let name = entry.file_name();
                if let Some(number) = name.to_str().and_then(|name| number_in(name, base))
                    && let Some(path) = link_target(&entry.path())
                {
                    let created = fs::symlink_metadata(entry.path()).map_or(0, |m| m.mtime());
                    found.push(Generation {
                        number,
                        path,
                        created,
                    });
                }
            }
            found.sort_by_key(|generation| std::cmp::Reverse(generation.number));
            Some(found)
        };
        read().unwrap_or_default()
    }

    fn failed_units(&mut self, occasion: Occasion) -> Option<Vec<String>> {
        if !self.paths.units {
            return None;
        }
        if let Some((at, units)) = &self.units
            && occasion == Occasion::Heartbeat
            && at.elapsed() < UNITS_AGAIN
        {
            return units.clone();
        }
        let units = failed_units();
        self.units = Some((Instant::now(), units.clone()));
        units
    }
}

/// `system-42-link` → 42.
fn number_in(name: &str, profile: &str) -> Option<u64> {
    name.strip_prefix(profile)?
        .strip_prefix('-')?
        .strip_suffix("-link")?
        .parse()
        .ok()
}

/// Whether any part that only a boot replaces differs; `None` if there is nothing to compare.
fn reboot_required(booted: &Path, current: &Path) -> Option<bool> {
    let mut compared = false;
    for part in ["kernel", "initrd", "kernel-modules"] {
        let (then, now) = (
            link_target(&booted.join(part)),
            link_target(&current.join(part)),
        );
        if let (Some(then), Some(now)) = (then, now) {
            if then != now {
                return Some(true);
            }
            compared = true;
        }
    }
    compared.then_some(false)
}

#[cfg(test)]
mod tests;
