//! How long hashing a lock of so many bytes takes, as one line of JSON. The bench C3b builds it
//! without SHA instructions: `RUSTFLAGS='--cfg sha2_backend="soft"'`.

#![allow(unexpected_cfgs, clippy::disallowed_methods, clippy::disallowed_types)]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use nixfleet_core::lock_hash;

fn main() -> ExitCode {
    let size = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let Some(size) = size else {
        println!("usage: hash_speed BYTES");
        return ExitCode::FAILURE;
    };
    let file = vec![0x5a_u8; size];
    let times = u32::try_from(1 + (4 << 20) / size.max(1)).unwrap_or(1);
    let Some(start) = cpu_time() else {
        println!("the CPU time is not told here");
        return ExitCode::FAILURE;
    };
    let mut hashes = 0_u32;
    let mut used = Duration::ZERO;
    while used < Duration::from_secs(1) {
        // So many that asking for the time does not count.
        for _ in 0..times {
            black_box(lock_hash(black_box(&file)));
        }
        hashes += times;
        used = cpu_time().unwrap_or_default().saturating_sub(start);
    }
    let each = used.as_secs_f64() * 1e9 / f64::from(hashes);
    let soft = cfg!(sha2_backend = "soft");
    println!(r#"{{"bytes": {size}, "soft": {soft}, "ns": {each}}}"#);
    ExitCode::SUCCESS
}

/// The CPU time of this process, which has one thread: what others do on the machine does not count.
fn cpu_time() -> Option<Duration> {
    let told = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    let nanoseconds = told.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}
