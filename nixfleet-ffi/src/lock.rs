//! Hashes, contents and differences of `flake.lock` files.

use std::sync::{Arc, Mutex};

use nixfleet_core::wire::lock::{compare, read};
use nixfleet_core::{LockHasher, lock_hash};

use crate::boundary::{In, Out, guard};
use crate::error::Status;
use crate::handle::{self, Handle, Kind, Object, locked};
use crate::text::give_json;

/// SHA-256 of a whole flake.lock, byte for byte.
///
/// `bytes`, `len`: the bytes, of any number; not NULL even if there are none.
/// `hash`: receives 32 bytes.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_lock_hash(bytes: In<u8>, len: usize, hash: Out<[u8; 32]>) -> Status {
    guard(|| {
        hash.check("hash")?;
        let bytes = bytes.slice("bytes", len)?;
        hash.write("hash", *lock_hash(bytes).as_bytes())
    })
}

/// Begins a hash that is fed piece by piece.
///
/// `hasher`: receives a handle that the caller owns; free it with `nixfleet_hasher_free`.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_hasher_new(hasher: Out<Handle>) -> Status {
    guard(|| {
        hasher.check("hasher")?;
        let new = Object::Hasher(Arc::new(Mutex::new(LockHasher::new())));
        hasher.write("hasher", handle::keep(new)?)
    })
}

/// Takes in more bytes.
///
/// `hasher`: stays the caller's. `bytes`, `len`: as for `nixfleet_lock_hash`.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_hasher_update(hasher: Handle, bytes: In<u8>, len: usize) -> Status {
    guard(|| {
        let bytes = bytes.slice("bytes", len)?;
        let hasher = handle::hasher(hasher)?;
        locked(&hasher).update(bytes);
        Ok(())
    })
}

/// Tells the hash of everything taken in so far. More can be taken in afterwards.
///
/// `hasher`: stays the caller's. `hash`: receives 32 bytes.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_hasher_digest(hasher: Handle, hash: Out<[u8; 32]>) -> Status {
    guard(|| {
        hash.check("hash")?;
        let hasher = handle::hasher(hasher)?;
        let so_far = locked(&hasher).clone();
        hash.write("hash", *so_far.finish().as_bytes())
    })
}

/// Frees a hasher.
///
/// `hasher`: afterwards it is none.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_hasher_free(hasher: Handle) -> Status {
    guard(|| handle::free(hasher, Kind::Hasher))
}

/// Reads a flake.lock: its hash, the version of its format, and what its inputs are pinned to.
///
/// `bytes`, `len`: the bytes of the file.
/// `out`: receives a text the caller owns: JSON with `lock_hash`, `version`, `nodes`, `inputs`.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_lock_read(bytes: In<u8>, len: usize, out: Out<Handle>) -> Status {
    guard(|| {
        out.check("out")?;
        let report = read(bytes.bytes("bytes", len)?)?;
        give_json(out, &report)
    })
}

/// Compares two flake.lock files: as bytes, then as inputs.
///
/// `old_bytes`, `old_len`, `new_bytes`, `new_len`: the bytes of the files.
/// `out`: receives a text the caller owns: JSON with `result` (`same-bytes`, `same-inputs`,
/// `differ`), `revisions_only`, `changes`, `fields`, `format`, `truncated`.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_lock_diff(
    old_bytes: In<u8>,
    old_len: usize,
    new_bytes: In<u8>,
    new_len: usize,
    out: Out<Handle>,
) -> Status {
    guard(|| {
        out.check("out")?;
        let old = old_bytes.bytes("old_bytes", old_len)?;
        let new = new_bytes.bytes("new_bytes", new_len)?;
        give_json(out, &compare(old, new)?)
    })
}
