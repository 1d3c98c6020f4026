#![no_main]

#[path = "../../nixfleet-core/tests/it/fuzz/bodies.rs"]
#[allow(dead_code, reason = "one body for each target")]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::lock(data));
