//! SHA-256 of the bytes of a `flake.lock`.

use sha2::{Digest, Sha256};

use crate::ids::LockHash;

/// The hash of a whole `flake.lock`, byte for byte.
///
/// ```
/// use nixfleet_core::lock_hash;
/// assert_eq!(
///     lock_hash(b"abc").to_string(),
///     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
/// );
/// ```
#[must_use]
pub fn lock_hash(bytes: &[u8]) -> LockHash {
    LockHash::from_bytes(Sha256::digest(bytes).into())
}

/// The same hash, fed piece by piece.
///
/// ```
/// use nixfleet_core::{LockHasher, lock_hash};
/// let mut hasher = LockHasher::new();
/// hasher.update(b"a");
/// hasher.update(b"bc");
/// assert_eq!(hasher.finish(), lock_hash(b"abc"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct LockHasher(Sha256);

impl LockHasher {
    /// A hasher that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of everything taken in.
    #[must_use]
    pub fn finish(self) -> LockHash {
        LockHash::from_bytes(self.0.finalize().into())
    }
}
