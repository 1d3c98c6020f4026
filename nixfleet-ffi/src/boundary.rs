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

/// Calls from outside, as a caller in C makes them; these are for Miri.
#[cfg(test)]
mod tests {
    use std::ffi::CStr;
    use std::ptr;

    use super::{In, Out};
    use crate::assess::{nixfleet_assess, nixfleet_message};
    use crate::command::{
        Deadline, nixfleet_command_free, nixfleet_command_handle, nixfleet_command_new,
        nixfleet_command_poll_timeout,
    };
    use crate::error::{LastError, Status, nixfleet_last_error_get, nixfleet_last_error_text};
    use crate::facts::{RawFacts, nixfleet_assess_facts, nixfleet_assess_facts_many};
    use crate::handle::Handle;
    use crate::lock::{
        nixfleet_hasher_digest, nixfleet_hasher_free, nixfleet_hasher_new, nixfleet_hasher_update,
        nixfleet_lock_hash,
    };
    use crate::text::{nixfleet_text_free, nixfleet_text_view, nixfleet_version};

    fn given<T>(data: &[T]) -> In<T> {
        // SAFETY: a slice, and its length goes with it.
        unsafe { In::new(data.as_ptr()) }
    }

    fn room<T: Copy>(room: &mut T) -> Out<T> {
        // SAFETY: room for one, lent for the call.
        unsafe { Out::new(room) }
    }

    fn nowhere<T: Copy>() -> Out<T> {
        // SAFETY: NULL is allowed.
        unsafe { Out::new(ptr::null_mut()) }
    }

    fn nothing<T>() -> In<T> {
        // SAFETY: NULL is allowed.
        unsafe { In::new(ptr::null()) }
    }

    fn seen(text: Handle) -> String {
        let (mut data, mut len) = (ptr::null(), 0);
        assert_eq!(
            nixfleet_text_view(text, room(&mut data), room(&mut len)),
            Status::Ok
        );
        // SAFETY: the text is alive, and there is a NUL behind it.
        let told = unsafe { CStr::from_ptr(data) };
        assert_eq!(told.to_bytes().len(), len);
        told.to_str().unwrap().to_owned()
    }

    #[test]
    fn i1_texts_go_in_and_out() {
        let mut text = 0;
        let said = br#"{"code": "reboot-required"}"#;
        assert_eq!(
            nixfleet_message(given(said), said.len(), room(&mut text)),
            Status::Ok
        );
        assert_eq!(seen(text), "the booted kernel is not the current one");
        assert_eq!(nixfleet_text_free(text), Status::Ok);
        assert_eq!(nixfleet_text_free(text), Status::BadHandle);
        // SAFETY: a constant with a NUL.
        let version = unsafe { CStr::from_ptr(nixfleet_version()) };
        assert_eq!(version.to_str(), Ok(env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn i1_nothing_is_read_or_written_through_null_or_with_a_silly_length() {
        let mut out = 7;
        for (text, len, status) in [
            (nothing(), 0, Status::NullPointer),
            (given(b"{"), 1, Status::Malformed),
            (given(b"\xff"), 1, Status::NotUtf8),
            (given(b"{}"), usize::MAX, Status::TooLarge),
        ] {
            assert_eq!(nixfleet_assess(text, len, room(&mut out)), status);
            assert_eq!(nixfleet_assess(text, len, nowhere()), Status::NullPointer);
        }
        assert_eq!(out, 7);
        let mut error = LastError {
            status: Status::Ok,
            code: ptr::null(),
            place: ptr::null(),
            text: ptr::null(),
        };
        assert_eq!(nixfleet_last_error_get(room(&mut error)), Status::Ok);
        assert_eq!(error.status, Status::NullPointer);
        // SAFETY: no call has failed since.
        let told =
            unsafe { [error.code, error.place, error.text].map(|text| CStr::from_ptr(text)) };
        assert_eq!([told[0], told[1]], [c"null-pointer", c"out"]);
        assert_eq!(nixfleet_last_error_text(), error.text);
    }

    #[test]
    fn i1_arrays_are_filled_to_their_end_or_not_at_all() {
        let mut facts = [RawFacts::default(); 3];
        let mut statuses = [[9_u8; 5]; 3];
        // SAFETY: room for three.
        let to = unsafe { Out::new(statuses.as_mut_ptr()) };
        facts[2].lock = 200;
        assert_eq!(
            nixfleet_assess_facts_many(given(&facts), 3, to),
            Status::Invalid
        );
        facts[2].lock = 1;
        // SAFETY: room for three.
        let to = unsafe { Out::new(statuses.as_mut_ptr()) };
        assert_eq!(nixfleet_assess_facts_many(given(&facts), 3, to), Status::Ok);
        assert_eq!(statuses, [[1; 5], [1; 5], [1, 1, 2, 2, 2]]);
        let mut one = [0; 5];
        assert_eq!(
            nixfleet_assess_facts(given(&facts), room(&mut one)),
            Status::Ok
        );
        assert_eq!(one, [1; 5]);
        // An address that no such array has.
        // SAFETY: it is never read: the call refuses it.
        let odd: In<u64> = unsafe { In::new(ptr::without_provenance(3)) };
        assert!(odd.slice("odd", 1).is_err());
    }

    #[test]
    fn i1_hashers_and_commands_live_as_long_as_their_handles() {
        let (mut hasher, mut whole, mut pieces) = (0, [0; 32], [0; 32]);
        assert_eq!(
            nixfleet_lock_hash(given(b"abc"), 3, room(&mut whole)),
            Status::Ok
        );
        assert_eq!(nixfleet_hasher_new(room(&mut hasher)), Status::Ok);
        for piece in [b"a", b"b", b"c"] {
            assert_eq!(nixfleet_hasher_update(hasher, given(piece), 1), Status::Ok);
        }
        assert_eq!(
            nixfleet_hasher_digest(hasher, room(&mut pieces)),
            Status::Ok
        );
        assert_eq!(whole, pieces);
        assert_eq!(nixfleet_hasher_free(hasher), Status::Ok);
        assert_eq!(
            nixfleet_hasher_digest(hasher, room(&mut pieces)),
            Status::BadHandle
        );

        let facts = br#"{"command_id": "01939b0a-7c1e-7000-8000-000000000001",
            "request": {"op": "test"}}"#;
        let (mut command, mut text) = (0, 0);
        let mut due = Deadline {
            at: 0,
            armed: false,
        };
        let made = nixfleet_command_new(given(facts), facts.len(), 5, room(&mut command));
        assert_eq!(made, Status::Ok);
        assert_eq!(
            nixfleet_command_poll_timeout(command, room(&mut due)),
            Status::Ok
        );
        assert!(due.armed && due.at > 5);
        let event = br#"{"event": "start"}"#;
        let told = nixfleet_command_handle(command, given(event), event.len(), 5, room(&mut text));
        assert_eq!(told, Status::Ok);
        assert!(seen(text).starts_with(r#"{"phase":"VALIDATING""#));
        assert_eq!(nixfleet_text_free(text), Status::Ok);
        assert_eq!(nixfleet_command_free(command), Status::Ok);
        assert_eq!(nixfleet_command_free(command), Status::BadHandle);
    }

    #[test]
    fn i1_a_panic_becomes_a_status() {
        assert_eq!(super::guard(|| panic!("on purpose")), Status::Internal);
    }
}
