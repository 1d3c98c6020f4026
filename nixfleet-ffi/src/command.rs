//! One command from its beginning to its end. Time is told by the caller.

use std::sync::{Arc, Mutex};

use nixfleet_core::Timestamp;
use nixfleet_core::wire::command::{CommandEvent, CommandFacts, TrackedCommand};

use crate::assess::read;
use crate::boundary::{In, Out, guard};
use crate::error::Status;
use crate::handle::{self, Handle, Kind, Object, locked};
use crate::text::give_json;

/// The next moment at which a command wants to be called.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// That moment, in milliseconds since 1970; 0 if there is none.
    pub at: i64,
    /// Whether there is one. A command that has ended has none.
    pub armed: bool,
}

/// Begins a command: it waits in the queue.
///
/// `facts`, `len`: JSON with `command_id` (a UUID), `request` and `conditions` as for
/// `nixfleet_admit`. `now`: milliseconds since 1970.
/// `command`: receives a handle that the caller owns; free it with `nixfleet_command_free`.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_command_new(
    facts: In<u8>,
    len: usize,
    now: i64,
    command: Out<Handle>,
) -> Status {
    guard(|| {
        command.check("command")?;
        let facts: CommandFacts = read("facts", facts.text("facts", len)?)?;
        let new = TrackedCommand::queue(facts, Timestamp::from_millis(now))?;
        let new = Object::Command(Arc::new(Mutex::new(new)));
        command.write("command", handle::keep(new)?)
    })
}

/// Takes in what happened. Deadlines that are due fire first. If it fails, nothing has changed.
///
/// `command`: stays the caller's.
/// `event`, `len`: JSON with `event` and what belongs to it; what an agent said is
/// `{"event": "agent", "frame": …}` with its frame as it travels. `now`: milliseconds since 1970.
/// `out`: receives a text the caller owns: JSON with `phase`, `deadline`, `ending`, `message`,
/// `effects` (to be done in order) and `rows` of the transition table.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_command_handle(
    command: Handle,
    event: In<u8>,
    len: usize,
    now: i64,
    out: Out<Handle>,
) -> Status {
    guard(|| {
        out.check("out")?;
        let event: CommandEvent = read("event", event.text("event", len)?)?;
        let command = handle::command(command)?;
        let mut command = locked(&command);
        let mut next = command.clone();
        give_json(out, &next.handle(event, Timestamp::from_millis(now))?)?;
        *command = next;
        Ok(())
    })
}

/// Lets time pass: fires every deadline that is due. A spurious call does nothing.
///
/// `command`: stays the caller's. `now`: milliseconds since 1970.
/// `out`: receives a text the caller owns: as for `nixfleet_command_handle`.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_command_handle_timeout(
    command: Handle,
    now: i64,
    out: Out<Handle>,
) -> Status {
    guard(|| {
        out.check("out")?;
        let command = handle::command(command)?;
        let mut command = locked(&command);
        let mut next = command.clone();
        give_json(out, &next.handle_timeout(Timestamp::from_millis(now)))?;
        *command = next;
        Ok(())
    })
}

/// Tells the next moment at which the command wants to be called.
///
/// `command`: stays the caller's. `deadline`: receives the moment.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_command_poll_timeout(
    command: Handle,
    deadline: Out<Deadline>,
) -> Status {
    guard(|| {
        deadline.check("deadline")?;
        let command = handle::command(command)?;
        let due = locked(&command).poll_timeout();
        let told = Deadline {
            at: due.map_or(0, |due| due.at.as_millis()),
            armed: due.is_some(),
        };
        deadline.write("deadline", told)
    })
}

/// Frees a command.
///
/// `command`: afterwards it is none.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_command_free(command: Handle) -> Status {
    guard(|| handle::free(command, Kind::Command))
}
