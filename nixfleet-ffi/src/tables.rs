//! Every table of the rules.

use nixfleet_core::render::{tables_json, tables_markdown};

use crate::boundary::{Out, guard};
use crate::error::Status;
use crate::handle::Handle;
use crate::text::{give, give_json};

/// Every table of the rules: compartments, statuses, reasons, operations, transitions and more.
///
/// `out`: receives a text the caller owns: JSON.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_tables(out: Out<Handle>) -> Status {
    guard(|| give_json(out, &tables_json()))
}

/// The same for people.
///
/// `out`: receives a text the caller owns: Markdown.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn nixfleet_tables_markdown(out: Out<Handle>) -> Status {
    guard(|| give(out, tables_markdown()))
}
