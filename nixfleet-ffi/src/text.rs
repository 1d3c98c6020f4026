//! Texts that go out, and the version.

use std::ffi::{CStr, c_char};

use serde::Serialize;

use crate::NIXFLEET_ABI_VERSION;
use crate::boundary::{Out, guard};
use crate::error::{Failure, Status};
use crate::handle::{self, Handle, Kind, Object};

/// The version of the interface that the library has: `NIXFLEET_ABI_VERSION` of its own header.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub const extern "C" fn nixfleet_abi_version() -> u32 {
    NIXFLEET_ABI_VERSION
}

/// The version of the library, for people, NUL-terminated: for example `4.0.0`. Never NULL, never
/// to be freed.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub const extern "C" fn nixfleet_version() -> *const c_char {
    VERSION.as_ptr()
}

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };

/// Looks at a text, UTF-8 and NUL-terminated.
///
/// `text`: a text that another function gave; it stays the caller's.
/// `data`: receives where it is; the bytes belong to the text and are valid until it is freed.
/// `len`: receives its length in bytes, the NUL not counted.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_text_view(
    text: Handle,
    data: Out<*const c_char>,
    len: Out<usize>,
) -> Status {
    guard(|| {
        data.check("data")?;
        len.check("len")?;
        let text = handle::text(text)?;
        // Its last byte is the NUL that `give` put there; the table keeps it alive.
        data.write("data", text.as_ptr().cast())?;
        len.write("len", text.len() - 1)
    })
}

/// Frees a text. Whoever still looks at its bytes must be done with them.
///
/// `text`: a text that another function gave; afterwards it is none.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_text_free(text: Handle) -> Status {
    guard(|| handle::free(text, Kind::Text))
}

/// Hands a text to the caller, who has to free it.
pub(crate) fn give(out: Out<Handle>, mut text: String) -> Result<(), Failure> {
    out.check("out")?;
    text.push('\0');
    let handle = handle::keep(Object::Text(text.into()))?;
    out.write("out", handle)
}

/// The same with a value as JSON.
pub(crate) fn give_json(out: Out<Handle>, value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value);
    give(
        out,
        text.map_err(|error| Failure::new(Status::Internal, "internal", error))?,
    )
}
