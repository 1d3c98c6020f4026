use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

struct Host {
    root: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self {
            root: tempfile::tempdir().unwrap(),
        };
        for folder in ["run", "profiles", "store"] {
            fs::create_dir(host.path(folder)).unwrap();
        }
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().canonicalize().unwrap().join(name)
    }

    /// A system whose version program counts its runs.
    fn system(&self, name: &str, kernel: &str, revision: &str) -> PathBuf {
        let system = self.path("store").join(name);
        fs::create_dir_all(system.join("sw/bin")).unwrap();
        let kernel = self.path("store").join(kernel);
        fs::write(&kernel, "").unwrap();
        symlink(kernel, system.join("kernel")).unwrap();
        let program = system.join("sw/bin/nixos-version");
        let runs = self.path("runs");
        let script = format!(
            "#!/bin/sh\necho x >> {}\necho '{{\"configurationRevision\":\"{revision}\",\"nixosVersion\":\"26.05\"}}'\n",
            runs.display()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        system
    }

    fn point(&self, link: &str, target: &Path) {
        let link = self.path(link);
        let _ = fs::remove_file(&link);
        symlink(target, link).unwrap();
    }

    fn runs(&self) -> usize {
        fs::read_to_string(self.path("runs")).map_or(0, |text| text.lines().count())
    }

    fn observer(&self) -> SystemObserver {
        SystemObserver::new(SystemPaths {
            running: Some(SystemProbe::Link(self.path("run/current-system"))),
            booted: Some(self.path("run/booted-system")),
            profile: Some(self.path("profiles/system")),
            version_program: Some("sw/bin/nixos-version"),
            version_file: None,
            agent_unit: None,
            units: false,
        })
    }
}

#[test]
fn the_version_program_runs_only_when_the_system_changed() {
    let host = Host::new();
    let one = host.system("one", "linux-1", "rev1");
    let two = host.system("two", "linux-2", "rev2");
    host.point("run/current-system", &one);
    host.point("run/booted-system", &one);
    for (number, system) in [(41, &one), (42, &two)] {
        host.point(&format!("profiles/system-{number}-link"), system);
    }
    host.point("profiles/system", Path::new("system-42-link"));

    let mut observer = host.observer();
    for _ in 0..3 {
        let facts = observer.observe(Occasion::Heartbeat);
        assert_eq!(facts.path, Some(one.display().to_string()));
        assert_eq!(facts.configuration_revision.as_deref(), Some("rev1"));
        // The profile names 42, but 41 is what runs.
        assert_eq!(facts.generation_number, Some(41));
        assert_eq!(facts.profile_path, Some(two.display().to_string()));
        assert_eq!(facts.reboot_required, Some(false));
        let numbers: Vec<u64> = facts.generations.iter().map(|g| g.number).collect();
        assert_eq!(numbers, [42, 41]);
    }
    assert_eq!(host.runs(), 1);

    host.point("run/current-system", &two);
    let facts = observer.observe(Occasion::Heartbeat);
    assert_eq!(facts.configuration_revision.as_deref(), Some("rev2"));
    assert_eq!(facts.generation_number, Some(42));
    assert_eq!(facts.reboot_required, Some(true));
    assert_eq!(facts.nixpkgs_version.as_deref(), Some("26.05"));
    assert_eq!(host.runs(), 2);
}

#[test]
fn what_a_name_that_is_no_store_path_claims_is_read_again_at_a_closer_look() {
    let host = Host::new();
    let one = host.system("one", "linux-1", "rev1");
    host.point("run/current-system", &one);
    let mut observer = host.observer();
    let facts = observer.observe(Occasion::Closely);
    assert_eq!(facts.configuration_revision.as_deref(), Some("rev1"));
    fs::remove_file(one.join("kernel")).unwrap();
    host.system("one", "linux-1", "rev2");
    let facts = observer.observe(Occasion::Closely);
    assert_eq!(facts.configuration_revision.as_deref(), Some("rev2"));
}

#[test]
fn a_missing_link_is_said() {
    let host = Host::new();
    let facts = host.observer().observe(Occasion::Heartbeat);
    assert_eq!((facts.path, facts.reboot_required), (None, None));
    assert!(facts.error.unwrap().contains("current-system"));
}

#[test]
fn a_configured_command_runs_at_a_closer_look_only() {
    let host = Host::new();
    let runs = host.path("runs");
    let line = format!("/bin/sh -c 'echo x >> {}; echo system-7'", runs.display());
    let mut observer = SystemObserver::new(SystemPaths {
        running: Some(SystemProbe::Command(line.parse().unwrap())),
        booted: None,
        profile: None,
        version_program: None,
        version_file: None,
        agent_unit: None,
        units: false,
    });
    for _ in 0..3 {
        let facts = observer.observe(Occasion::Heartbeat);
        assert_eq!(facts.path.as_deref(), Some("system-7"));
    }
    assert_eq!(host.runs(), 1);
    observer.observe(Occasion::Closely);
    assert_eq!(host.runs(), 2);
}
