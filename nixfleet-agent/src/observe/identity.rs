//! Who this machine is, and since when it runs.

use std::fs;

use nixfleet_core::lock_hash;

/// The id of this boot.
#[must_use]
pub fn boot_id() -> Option<String> {
    if let Ok(text) = fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        return Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    }
    // Where the kernel has no such id, the moment of boot serves as one.
    let seconds = sysinfo::System::boot_time().ok()?;
    Some(format!("boot-{seconds}"))
}

/// SHA-256 of the machine id: tells machines apart without telling the id itself.
#[must_use]
pub fn machine_id_hash() -> Option<String> {
    ["/etc/machine-id", "/var/lib/dbus/machine-id"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .map(|text| text.trim().to_owned())
        .find(|text| !text.is_empty() && text != "uninitialized")
        .map(|id| lock_hash(id.as_bytes()).to_string())
}

/// The version of the operating system, for people.
#[must_use]
pub fn os_version() -> Option<String> {
    sysinfo::System::long_os_version().ok()
}
