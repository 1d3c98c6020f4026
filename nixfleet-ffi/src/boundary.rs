//! Where pointers of a caller become slices, and values go out. The only module with `unsafe`.
//!
//! [`In`] and [`Out`] are pointers by layout. Outside of C only their unsafe constructors make
//! them, and whoever calls those promises what the header asks of a C caller: non-NULL pointers
//! lead to as many elements as the length beside them says, valid for the call. Everything else
//! (NULL, lengths, UTF-8) is checked, so the functions that take them are safe.
#![allow(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{self, Failure, Status};

/// The largest text that is read, in bytes. Bytes that are only hashed may be more.
pub const MAX_TEXT: usize = 64 << 20;

/// Where a caller's data is.
/// cbindgen:transparent-typedef
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct In<T>(*const T);

/// Where a result goes.
/// cbindgen:transparent-typedef
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct Out<T>(*mut T);

impl<T> In<T> {
    /// A pointer of a caller.
    ///
    /// # Safety
    /// It is NULL, or leads to as many initialised elements as the length that is passed with it
    /// (one, if none is); they live and do not change while the call lasts.
    #[must_use]
    pub const unsafe fn new(pointer: *const T) -> Self {
        Self(pointer)
    }

    /// The elements. NULL is no data even if the length is 0, so that a forgotten buffer is noticed.
    pub(crate) fn slice<'a>(self, what: &'static str, len: usize) -> Result<&'a [T], Failure> {
        if self.0.is_null() {
            return Err(Failure::null(what));
        }
        // A larger one cannot exist, so the length is wrong.
        if len.saturating_mul(size_of::<T>()) > isize::MAX as usize {
            return Err(Failure::too_large(what, len, isize::MAX as usize));
        }
        if !self.0.is_aligned() {
            return Err(Failure::misaligned(what));
        }
        // SAFETY: not NULL, aligned, of a possible size; the rest was promised to `In::new`.
        Ok(unsafe { std::slice::from_raw_parts(self.0, len) })
    }

    /// The one element.
    pub(crate) fn one<'a>(self, what: &'static str) -> Result<&'a T, Failure> {
        let [one] = self.slice(what, 1)? else {
            return Err(Failure::null(what));
        };
        Ok(one)
    }
}

impl In<u8> {
    /// Bytes of a text of bounded size.
    pub(crate) fn bytes<'a>(self, what: &'static str, len: usize) -> Result<&'a [u8], Failure> {
        if !self.0.is_null() && len > MAX_TEXT {
            return Err(Failure::too_large(what, len, MAX_TEXT));
        }
        self.slice(what, len)
    }

    /// A text.
    pub(crate) fn text<'a>(self, what: &'static str, len: usize) -> Result<&'a str, Failure> {
        let bytes = self.bytes(what, len)?;
        std::str::from_utf8(bytes).map_err(|error| Failure::not_utf8(what, error))
    }

    /// Bytes that need not be given: NULL with length 0 means that there are none.
    pub(crate) fn optional<'a>(
        self,
        what: &'static str,
        len: usize,
    ) -> Result<Option<&'a [u8]>, Failure> {
        if self.0.is_null() && len == 0 {
            return Ok(None);
        }
        self.bytes(what, len).map(Some)
    }
}

impl<T: Copy> Out<T> {
    /// A pointer of a caller.
    ///
    /// # Safety
    /// It is NULL, or leads to room for as many elements as the function it is passed to writes;
    /// nobody else uses that room while the call lasts.
    #[must_use]
    pub const unsafe fn new(pointer: *mut T) -> Self {
        Self(pointer)
    }

    /// Whether something can be written; checked before any work is done.
    pub(crate) fn check(self, what: &'static str) -> Result<(), Failure> {
        if self.0.is_null() {
            return Err(Failure::null(what));
        }
        if !self.0.is_aligned() {
            return Err(Failure::misaligned(what));
        }
        Ok(())
    }

    /// Writes one element.
    pub(crate) fn write(self, what: &'static str, value: T) -> Result<(), Failure> {
        self.check(what)?;
        // SAFETY: not NULL and aligned; that there is room was promised to `Out::new`.
        unsafe { self.0.write(value) };
        Ok(())
    }

    /// Writes the element at `index`. The pointer was checked before.
    ///
    /// # Safety
    /// [`Out::check`] passed, and the room promised to [`Out::new`] has more than `index` elements.
    #[inline]
    unsafe fn write_at(self, index: usize, value: T) {
        // SAFETY: promised by the caller.
        unsafe { self.0.add(index).write(value) };
    }
}

/// Writes what `make` says for each element of `from` to the same place of `to`, whose room was
/// promised to have as many elements. Both were checked.
pub(crate) fn map<T, U: Copy>(
    from: &[T],
    to: Out<U>,
    what: &'static str,
    make: impl Fn(&T) -> U,
) -> Result<(), Failure> {
    to.check(what)?;
    for (index, one) in from.iter().enumerate() {
        // SAFETY: checked; the index is below the number of elements that `Out::new` was promised.
        unsafe { to.write_at(index, make(one)) };
    }
    Ok(())
}

/// Runs the body of an exported function: its failure becomes the last error of the thread, and a
/// panic becomes a status, so that nothing unwinds into the caller.
#[inline]
pub(crate) fn guard(body: impl FnOnce() -> Result<(), Failure>) -> Status {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => Status::Ok,
        Ok(Err(failure)) => error::remember(failure),
        Err(_) => error::remember(Failure::panicked()),
    }
}
