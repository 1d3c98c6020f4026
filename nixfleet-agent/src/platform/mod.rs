//! What each platform runs for each operation, as a table of argument lists. Nothing here is a
//! shell line, and nothing but configuration and validated values enters an argument list.

mod plan;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

pub use plan::{HostOp, PlanError, RollbackTo, plan};

use crate::config::ValueError;

/// What kind of system this host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// NixOS.
    Nixos,
    /// macOS with nix-darwin.
    Darwin,
    /// home-manager on any system.
    HomeManager,
    /// Whatever the configured commands do.
    Custom,
}

impl Platform {
    /// Every platform, for tables and tests.
    pub const ALL: [Platform; 4] = [
        Platform::Nixos,
        Platform::Darwin,
        Platform::HomeManager,
        Platform::Custom,
    ];

    /// What this machine is, from what can be seen on it.
    #[must_use]
    pub fn detect(nixos_marker: bool, home_manager: bool, switch_command: bool) -> Option<Self> {
        match (nixos_marker, cfg!(target_os = "macos"), home_manager) {
            (true, _, _) => Some(Platform::Nixos),
            (false, true, _) => Some(Platform::Darwin),
            (false, false, true) => Some(Platform::HomeManager),
            (false, false, false) => switch_command.then_some(Platform::Custom),
        }
    }

    /// The configured spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Platform::Nixos => "nixos",
            Platform::Darwin => "darwin",
            Platform::HomeManager => "home-manager",
            Platform::Custom => "custom",
        }
    }

    /// `host_type` of the agent protocol.
    #[must_use]
    pub const fn host_type(self) -> &'static str {
        match self {
            Platform::Nixos => "nixos",
            Platform::Darwin => "macos",
            Platform::HomeManager | Platform::Custom => {
                if cfg!(target_os = "macos") {
                    "macos"
                } else {
                    "linux"
                }
            }
        }
    }

    /// The link whose target is the running system, where the platform has one.
    #[must_use]
    pub fn system_link(self, home: Option<&std::path::Path>) -> Option<PathBuf> {
        match self {
            Platform::Nixos | Platform::Darwin => Some(PathBuf::from("/run/current-system")),
            Platform::HomeManager => {
                home.map(|home| home.join(".local/state/nix/profiles/home-manager"))
            }
            Platform::Custom => None,
        }
    }

    /// The profile link whose name numbers the generations, where the platform has one.
    #[must_use]
    pub fn profile_link(self, home: Option<&std::path::Path>) -> Option<PathBuf> {
        match self {
            Platform::Nixos | Platform::Darwin => {
                Some(PathBuf::from("/nix/var/nix/profiles/system"))
            }
            Platform::HomeManager => self.system_link(home),
            Platform::Custom => None,
        }
    }

    /// The programs without which the platform's own switch cannot work, and what to do.
    #[must_use]
    pub const fn needs(self) -> Option<(&'static str, &'static str)> {
        match self {
            Platform::Nixos => Some((
                "nixos-rebuild",
                "run the agent on NixOS with nixos-rebuild in its PATH, or set NIXFLEET_PLATFORM or NIXFLEET_SWITCH_COMMAND",
            )),
            Platform::Darwin => Some((
                "darwin-rebuild",
                "install nix-darwin and put /run/current-system/sw/bin into the agent's PATH, or set NIXFLEET_SWITCH_COMMAND",
            )),
            Platform::HomeManager => Some((
                "home-manager",
                "install home-manager and put it into the agent's PATH, or set NIXFLEET_SWITCH_COMMAND",
            )),
            Platform::Custom => None,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Platform {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        Platform::ALL
            .into_iter()
            .find(|platform| platform.as_str() == text)
            .ok_or_else(|| {
                ValueError(format!(
                    "{text:?} is not one of nixos, darwin, home-manager, custom"
                ))
            })
    }
}

/// How the agent restarts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartMethod {
    /// Exit, and let systemd or launchd start the (perhaps newer) program again.
    Exit,
    /// Nobody would start it again: replace the process with a fresh start of the same program.
    Reexec,
}

impl RestartMethod {
    /// Decided by who started this process.
    #[must_use]
    pub fn detect() -> Self {
        let by_systemd = std::env::var_os("INVOCATION_ID").is_some();
        let by_launchd = std::env::var_os("XPC_SERVICE_NAME").is_some_and(|name| name != "0");
        if by_systemd || by_launchd {
            return RestartMethod::Exit;
        }
        RestartMethod::Reexec
    }
}

/// Replaces this process with a fresh start of `exe` with the same arguments and environment.
/// Returns only if that failed.
#[must_use]
pub fn reexec(exe: &std::path::Path) -> std::io::Error {
    use std::os::unix::process::CommandExt;
    std::process::Command::new(exe)
        .args(std::env::args_os().skip(1))
        .exec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_round_trip_and_unknown_ones_are_refused() {
        for platform in Platform::ALL {
            assert_eq!(platform.as_str().parse(), Ok(platform));
        }
        assert!("NixOS".parse::<Platform>().is_err());
    }

    #[test]
    fn a_machine_without_any_sign_needs_a_configured_platform() {
        assert_eq!(Platform::detect(true, true, true), Some(Platform::Nixos));
        if cfg!(target_os = "linux") {
            assert_eq!(
                Platform::detect(false, true, false),
                Some(Platform::HomeManager)
            );
            assert_eq!(Platform::detect(false, false, false), None);
            assert_eq!(Platform::detect(false, false, true), Some(Platform::Custom));
        }
    }
}
