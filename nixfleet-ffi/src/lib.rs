//! The decisions of NixFleet for C, and for whatever can call C. Nothing is decided here: texts and
//! structs become values of `nixfleet-core`, and its answers become texts and structs.
//!
//! What this crate refuses to do: read files, clocks or the environment, start threads, call back,
//! print, and hand out pointers that a caller could free twice.
//!
//! Reading order: [`mod@boundary`] (the only unsafe code), [`error`] (status codes, the last error of
//! a thread), [`handle`] (generation-checked numbers), then what is offered: [`text`], [`lock`],
//! [`assess`], [`facts`] and its [`codes`], [`command`], [`rollout`], [`tables`]. The conventions are told at the top of
//! `include/nixfleet.h`; every function is documented there and here with the same words.
#![deny(unsafe_op_in_unsafe_fn)]
#![deny(missing_docs)]

pub mod assess;
pub mod boundary;
pub mod codes;
pub mod command;
pub mod error;
pub mod facts;
pub mod handle;
pub mod lock;
pub mod rollout;
pub mod tables;
pub mod text;

/// Version of this interface: the major number in the upper 16 bits, the minor one in the lower.
/// Functions are added with a new minor number; with a new major number nothing need stay.
pub const NIXFLEET_ABI_VERSION: u32 = 0x0001_0001;

/// The examples for Rust of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../docs/embedding.md")]
pub struct Guide;
