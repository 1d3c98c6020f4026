#![no_main]

#[path = "../../nixfleet-core/tests/it/simulation/mod.rs"]
#[allow(dead_code, reason = "the tests of the simulation are not needed here")]
mod simulation;
#[path = "../../nixfleet-core/tests/it/witness.rs"]
#[allow(dead_code, reason = "the tests of the simulation are not needed here")]
mod witness;

libfuzzer_sys::fuzz_target!(|data: &[u8]| simulation::drive(data));
