//! Handles: numbers that say what they are and how often their slot was used.
//!
//! A number that was freed, is of another kind, or was made up is noticed when it is used; nothing
//! is ever dereferenced for it. The table is the only state of this library beside the last error
//! of each thread. Its lock is held for a look-up, never while work is done.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nixfleet_core::LockHasher;
use nixfleet_core::wire::command::TrackedCommand;

use crate::error::{Failure, Status};

/// The most handles that live at the same time.
pub const MAX_HANDLES: usize = 1 << 20;

/// A handle, or 0, which is none. Copying it copies no object.
pub type Handle = u64;

/// What a handle stands for.
#[derive(Clone, Debug)]
pub(crate) enum Object {
    /// A text that the caller may look at until it frees it.
    Text(Arc<str>),
    /// A hash under way.
    Hasher(Arc<Mutex<LockHasher>>),
    /// A command and what is known of its host.
    Command(Arc<Mutex<TrackedCommand>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text = 1,
    Hasher = 2,
    Command = 3,
}

impl Object {
    const fn kind(&self) -> Kind {
        match self {
            Object::Text(_) => Kind::Text,
            Object::Hasher(_) => Kind::Hasher,
            Object::Command(_) => Kind::Command,
        }
    }
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Hasher => "hasher",
            Kind::Command => "command",
        }
    }
}

struct Slot {
    generation: u32,
    object: Option<Object>,
}

struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

static TABLE: Mutex<Table> = Mutex::new(Table {
    slots: Vec::new(),
    free: Vec::new(),
});

fn table() -> MutexGuard<'static, Table> {
    // Nothing that can panic leaves the table half changed.
    locked(&TABLE)
}

/// Locks an object. Calls that use the same one at the same time wait for each other.
#[cfg(not(nixfleet_spin))]
pub(crate) fn locked<T>(object: &Mutex<T>) -> MutexGuard<'_, T> {
    object.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same for ThreadSanitizer: the standard library waits in code that the sanitizer does not see,
/// and would be accused of what it prevents.
#[cfg(nixfleet_spin)]
pub(crate) fn locked<T>(object: &Mutex<T>) -> MutexGuard<'_, T> {
    use std::sync::TryLockError;
    loop {
        match object.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(poisoned)) => return PoisonError::into_inner(poisoned),
            Err(TryLockError::WouldBlock) => std::thread::yield_now(),
        }
    }
}

// From the top: generation (32 bits), kind (8), place in the table (24).
const fn number(generation: u32, kind: Kind, place: u32) -> Handle {
    ((generation as u64) << 32) | ((kind as u64) << 24) | place as u64
}

/// Keeps an object; the caller owns the handle from now on.
pub(crate) fn keep(object: Object) -> Result<Handle, Failure> {
    let kind = object.kind();
    let mut table = table();
    if let Some(place) = table.free.pop()
        && let Some(slot) = table.slots.get_mut(place as usize)
    {
        slot.object = Some(object);
        return Ok(number(slot.generation, kind, place));
    }
    let place = u32::try_from(table.slots.len()).unwrap_or(u32::MAX);
    if table.slots.len() >= MAX_HANDLES {
        let text = format!(
            "there are already {MAX_HANDLES} handles: free those that are not needed any more"
        );
        return Err(Failure::new(
            Status::TooManyHandles,
            "too-many-handles",
            text,
        ));
    }
    table.slots.push(Slot {
        generation: 1,
        object: Some(object),
    });
    Ok(number(1, kind, place))
}

fn find(table: &mut Table, handle: Handle, kind: Kind) -> Result<&mut Slot, Failure> {
    let (place, generation) = ((handle & 0x00ff_ffff) as usize, (handle >> 32) as u32);
    let slot = table.slots.get_mut(place).filter(|slot| {
        let alive = slot.object.as_ref().is_some_and(|it| it.kind() == kind);
        alive && slot.generation == generation && (handle >> 24) & 0xff == kind as u64
    });
    slot.ok_or_else(|| {
        let text = format!(
            "{handle:#x} is not a {} that is alive: it was freed, is of another kind, or never was one",
            kind.name()
        );
        Failure::new(Status::BadHandle, "bad-handle", text)
    })
}

fn object(handle: Handle, kind: Kind) -> Result<Object, Failure> {
    let mut table = table();
    let slot = find(&mut table, handle, kind)?;
    let object = slot.object.clone();
    object.ok_or_else(Failure::panicked)
}

/// The text of a handle.
pub(crate) fn text(handle: Handle) -> Result<Arc<str>, Failure> {
    match object(handle, Kind::Text)? {
        Object::Text(text) => Ok(text),
        Object::Hasher(_) | Object::Command(_) => Err(Failure::panicked()),
    }
}

/// The hasher of a handle.
pub(crate) fn hasher(handle: Handle) -> Result<Arc<Mutex<LockHasher>>, Failure> {
    match object(handle, Kind::Hasher)? {
        Object::Hasher(hasher) => Ok(hasher),
        Object::Text(_) | Object::Command(_) => Err(Failure::panicked()),
    }
}

/// The command of a handle.
pub(crate) fn command(handle: Handle) -> Result<Arc<Mutex<TrackedCommand>>, Failure> {
    match object(handle, Kind::Command)? {
        Object::Command(command) => Ok(command),
        Object::Text(_) | Object::Hasher(_) => Err(Failure::panicked()),
    }
}

/// Frees an object. Whoever is using it on another thread finishes with it first.
pub(crate) fn free(handle: Handle, kind: Kind) -> Result<(), Failure> {
    let mut table = table();
    let slot = find(&mut table, handle, kind)?;
    let object = slot.object.take();
    // A slot whose numbers are used up is never used again, so no handle comes back to life.
    if let Some(next) = slot.generation.checked_add(1) {
        slot.generation = next;
        table.free.push((handle & 0x00ff_ffff) as u32);
    }
    drop(table);
    drop(object);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> Handle {
        keep(Object::Text("it".into())).unwrap()
    }

    #[test]
    fn i3_stale_foreign_and_made_up_handles_are_noticed() {
        let handle = made();
        assert_eq!(&*text(handle).unwrap(), "it");
        for wrong in [
            0,
            1,
            u64::MAX,
            handle ^ 1 << 32,
            handle ^ 1 << 25,
            handle | 0x00ff_ffff,
        ] {
            assert_eq!(text(wrong).unwrap_err().status, Status::BadHandle);
        }
        assert_eq!(command(handle).unwrap_err().status, Status::BadHandle);
        assert_eq!(
            free(handle, Kind::Hasher).unwrap_err().status,
            Status::BadHandle
        );
        free(handle, Kind::Text).unwrap();
        assert_eq!(
            free(handle, Kind::Text).unwrap_err().status,
            Status::BadHandle
        );
        // The slot is used again, the number is not.
        let next: Vec<Handle> = (0..64).map(|_| made()).collect();
        assert!(!next.contains(&handle) && text(handle).is_err());
        for one in next {
            free(one, Kind::Text).unwrap();
        }
    }
}
