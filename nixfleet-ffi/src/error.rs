//! Status codes, and the last error of a thread.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};

use nixfleet_core::wire::WireError;
use nixfleet_core::wire::command::StartError;
use nixfleet_core::wire::files::FilesError;
use nixfleet_core::wire::lock::LockErrorReport;
use nixfleet_core::wire::rollout::RolloutError;

use crate::boundary::{Out, guard};

/// How a call ended. Only with `NIXFLEET_STATUS_OK` something was written to out-parameters.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It worked.
    Ok = 0,
    /// A pointer that must not be NULL is NULL, or is not aligned for its type.
    NullPointer = 1,
    /// A text is not UTF-8.
    NotUtf8 = 2,
    /// Something is larger than what is read: a text has at most 64 MiB.
    TooLarge = 3,
    /// A text is not JSON, or a field of it has the wrong type.
    Malformed = 4,
    /// A field has a value that it may not have.
    Invalid = 5,
    /// Bytes are not a flake.lock; the code says what is wrong, the place says where.
    NotALock = 6,
    /// A number is no handle, not one of this kind, or was freed.
    BadHandle = 7,
    /// The command may not even wait, or no rollout can be planned; the code says which rule refused
    /// it.
    Refused = 8,
    /// There are too many handles.
    TooManyHandles = 9,
    /// A mistake in this library. Please report it.
    Internal = 10,
}

/// The last error of a thread. The pointers belong to the library; they are valid until the next
/// call on the same thread that fails, and until the thread ends.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LastError {
    /// How the call ended; `NIXFLEET_STATUS_OK` if none has failed on this thread.
    pub status: Status,
    /// What is wrong in one stable word, for programs: for example `null-pointer`, `dangling-node`
    /// or `never-seen`. Never NULL.
    pub code: *const c_char,
    /// The field or the input it is about, for example `nodes.nixpkgs.locked`; empty if there is
    /// none. Never NULL.
    pub place: *const c_char,
    /// A sentence for people. Never NULL.
    pub text: *const c_char,
}

/// What went wrong.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    pub(crate) code: &'static str,
    pub(crate) place: String,
    pub(crate) text: String,
}

struct Remembered {
    status: Status,
    code: CString,
    place: CString,
    text: CString,
}

thread_local! {
    static LAST: RefCell<Remembered> = RefCell::new(Remembered {
        status: Status::Ok,
        code: CString::default(),
        place: CString::default(),
        text: CString::default(),
    });
}

/// Keeps a failure as the last error of this thread.
pub(crate) fn remember(failure: Failure) -> Status {
    let status = failure.status;
    let remembered = Remembered {
        status,
        code: c_text(failure.code),
        place: c_text(&failure.place),
        text: c_text(&failure.text),
    };
    LAST.with_borrow_mut(|last| *last = remembered);
    status
}

/// A text of C ends at its first NUL, so there must be none in it.
fn c_text(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default()
}

/// Tells the last error of the calling thread. A call that works leaves it as it is.
///
/// `error`: receives it; the pointers in it belong to the library (see `nixfleet_last_error`).
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_last_error_get(error: Out<LastError>) -> Status {
    if error.check("error").is_err() {
        return Status::NullPointer;
    }
    guard(|| {
        let last = LAST.with_borrow(|last| LastError {
            status: last.status,
            code: last.code.as_ptr(),
            place: last.place.as_ptr(),
            text: last.text.as_ptr(),
        });
        error.write("error", last)
    })
}

/// The sentence of the last error of the calling thread, NUL-terminated; empty if there is none.
/// Never NULL. It belongs to the library and is valid as the pointers in `nixfleet_last_error` are.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_last_error_text() -> *const c_char {
    LAST.try_with(|last| last.try_borrow().map(|last| last.text.as_ptr()))
        .map_or(EMPTY.as_ptr(), |text| text.unwrap_or(EMPTY.as_ptr()))
}

const EMPTY: &CStr = c"";

impl Failure {
    pub(crate) fn new(status: Status, code: &'static str, text: impl ToString) -> Self {
        Self {
            status,
            code,
            place: String::new(),
            text: text.to_string(),
        }
    }

    fn at(self, place: impl ToString) -> Self {
        Self {
            place: place.to_string(),
            ..self
        }
    }

    /// The same inside something larger: its place comes after the place of that.
    pub(crate) fn within(self, whole: &str) -> Self {
        Self {
            place: format!("{whole}.{}", self.place),
            text: format!("{whole}.{}", self.text),
            ..self
        }
    }

    pub(crate) fn null(what: &'static str) -> Self {
        let text = format!("{what} is NULL: pass a pointer, also if there is nothing in it");
        Self::new(Status::NullPointer, "null-pointer", text).at(what)
    }

    pub(crate) fn misaligned(what: &'static str) -> Self {
        let text = format!("{what} is not aligned for its type: pass a pointer to that type");
        Self::new(Status::NullPointer, "misaligned", text).at(what)
    }

    pub(crate) fn not_utf8(what: &'static str, error: std::str::Utf8Error) -> Self {
        let text = format!("{what} is not UTF-8: {error}");
        Self::new(Status::NotUtf8, "not-utf-8", text).at(what)
    }

    pub(crate) fn too_large(what: &'static str, size: usize, limit: usize) -> Self {
        let text = format!("{what} is too large: expected at most {limit}, found {size}");
        Self::new(Status::TooLarge, "too-large", text).at(what)
    }

    pub(crate) fn json(what: &'static str, error: &serde_json::Error) -> Self {
        let text = format!("{what} cannot be read: {error}");
        Self::new(Status::Malformed, "malformed", text).at(what)
    }

    pub(crate) fn out_of_range(what: &'static str, value: u8, values: usize) -> Self {
        let text = format!("{what} is {value}: expected a number below {values}");
        Self::new(Status::Invalid, "out-of-range", text).at(what)
    }

    pub(crate) fn panicked() -> Self {
        let text = "a mistake in this library was caught; please report it with what you passed";
        Self::new(Status::Internal, "internal", text)
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        let text = error.to_string();
        match error {
            WireError::Json(_) => Self::new(Status::Malformed, "malformed", text),
            WireError::Type { field, .. } => {
                Self::new(Status::Malformed, "malformed", text).at(field)
            }
            WireError::Field { field, .. } => Self::new(Status::Invalid, "field", text).at(field),
        }
    }
}

impl From<RolloutError> for Failure {
    fn from(error: RolloutError) -> Self {
        let text = error.to_string();
        match error {
            RolloutError::Wire(error) => error.into(),
            RolloutError::Field { field, .. } => {
                Self::new(Status::Invalid, "field", text).at(field)
            }
            RolloutError::NotPlanned(why) => Self::new(Status::Refused, why.code(), text),
        }
    }
}

impl From<LockErrorReport> for Failure {
    fn from(error: LockErrorReport) -> Self {
        let place = error.path.clone().unwrap_or_default();
        Self::new(Status::NotALock, error.code, error).at(place)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Wire(error) => error.into(),
            StartError::Refused(refusal) => {
                Self::new(Status::Refused, refusal.code.code(), refusal)
            }
        }
    }
}

impl From<FilesError> for Failure {
    fn from(error: FilesError) -> Self {
        let text = error.to_string();
        match error {
            FilesError::Lock(error) => Self {
                text,
                ..error.into()
            },
            FilesError::VersionJson(_) => {
                Self::new(Status::Malformed, "malformed", text).at("version.json")
            }
            FilesError::VersionJsonField { field, .. } => {
                Self::new(Status::Invalid, "field", text).at(format!("version.json {field}"))
            }
            FilesError::Checkout => Self::new(Status::Invalid, "field", text).at("checkout"),
            FilesError::NoHost => Self::new(Status::Invalid, "field", text).at("observation"),
            FilesError::Observation(error) => Self {
                text,
                ..error.into()
            },
        }
    }
}
