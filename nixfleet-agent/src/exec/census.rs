//! Which processes belong to a job: its process group, every descendant of its supervisor (who
//! adopts those that ran away), and whatever carries the command's id in its environment.

use std::collections::BTreeSet;
use std::fs;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::folder::RunningProcess;

/// The id of this boot, where the system tells.
#[must_use]
pub(crate) fn boot_id() -> Option<String> {
    crate::observe::identity::boot_id()
}

/// When a process started, in ticks since boot.
#[must_use]
pub(super) fn start_ticks(pid: i32) -> Option<u64> {
    stat(pid)?.start_ticks
}

/// The living processes of a job, for its supervisor.
pub(super) fn of_supervisor(group: i32, command_id: &str) -> Vec<i32> {
    let own = own_pid();
    let all = table();
    let mut members: BTreeSet<i32> = BTreeSet::from([own]);
    loop {
        let before = members.len();
        for process in &all {
            if members.contains(&process.parent) {
                members.insert(process.pid);
            }
        }
        if members.len() == before {
            break;
        }
    }
    select(&all, group, Some(command_id), |pid| members.contains(&pid))
}

/// The living processes of a job, for anybody else.
pub(super) fn of_job(process: &RunningProcess, command_id: Option<&str>) -> Vec<i32> {
    // An id that another process has got meanwhile names neither our process nor our group.
    let reused = start_ticks(process.pid).is_some_and(|ticks| Some(ticks) != process.start_ticks);
    let group = if reused { -1 } else { process.pid };
    select(&table(), group, command_id, |_| false)
}

/// Sends a signal to a group, then to each process that left it.
pub(super) fn signal(group: i32, others: &[i32], signal: Signal) {
    if group > 1 {
        let _ = killpg(Pid::from_raw(group), signal);
    }
    for &pid in others {
        if pid > 1 && pid != own_pid() {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

fn select(
    all: &[Process],
    group: i32,
    command_id: Option<&str>,
    also: impl Fn(i32) -> bool,
) -> Vec<i32> {
    let own = own_pid();
    if all.is_empty() {
        // No process table to read (macOS): the group alone tells.
        let alive = group > 1 && killpg(Pid::from_raw(group), None) != Err(Errno::ESRCH);
        return if alive { vec![group] } else { Vec::new() };
    }
    all.iter()
        .filter(|p| p.alive && p.pid != own && p.pid > 1)
        .filter(|p| {
            p.group == group || also(p.pid) || command_id.is_some_and(|id| carries(p.pid, id))
        })
        .map(|p| p.pid)
        .collect()
}

fn carries(pid: i32, command_id: &str) -> bool {
    let mark = format!("NIXFLEET_COMMAND_ID={command_id}");
    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
        environment
            .split(|&b| b == 0)
            .any(|entry| entry == mark.as_bytes())
    })
}

struct Process {
    pid: i32,
    parent: i32,
    group: i32,
    alive: bool,
    start_ticks: Option<u64>,
}

fn table() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| stat(entry.ok()?.file_name().to_str()?.parse().ok()?))
        .collect()
}

fn stat(pid: i32) -> Option<Process> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself contain anything, so only what follows the last one
    // counts.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Process {
        pid,
        alive: !matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        start_ticks: fields.get(19).and_then(|text| text.parse().ok()),
    })
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(-1)
}
