//! The bodies of the fuzz targets, replayed on seeds and on random mutations of them.

mod bodies;

use proptest::prelude::*;

use crate::simulation;

const LOCK: &str = r#"{"nodes":{"nixpkgs":{"locked":{"lastModified":1,"narHash":"sha256-x","owner":"NixOS","repo":"nixpkgs","rev":"0123456789012345678901234567890123456789","type":"github"},"original":{"owner":"NixOS","repo":"nixpkgs","type":"github"}},"root":{"inputs":{"nixpkgs":"nixpkgs","other":["nixpkgs"]}}},"root":"root","version":7}"#;

const FRAMES: &[&str] = &[
    r#"{"type":"register","payload":{"hostname":"a","capabilities":["commands"],"results":[{"status":"ok","command":"pull"}]}}"#,
    r#"{"type":"heartbeat","payload":{"generation":"abc1234","lock_hash":null,"repo":{"commit":"x"},"deployed":null}}"#,
    r#"{"type":"status","payload":{"status":"stopped","command":"switch","exit_code":130,"tests":{"verdict":"pass"}}}"#,
    r#"{"type":"command","payload":{"command":"pull","seq":1,"not_after":5,"target":{"commit":"x"}}}"#,
    r#"{"type":"delta","payload":{"first":{"epoch":1,"number":2},"changes":[{"host_removed":"a"}]}}"#,
];

/// A seed with some bytes replaced, doubled or cut.
fn mutated(seed: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 0..8);
    edits.prop_map(move |edits| {
        let mut bytes = seed.as_bytes().to_vec();
        for (at, byte, kind) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
        bytes
    })
}

/// What stands in `fuzz/seeds`, one file an input.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = crate::goldens::root().join("fuzz/seeds").join(target);
    let files = std::fs::read_dir(folder).unwrap();
    let read = |path: std::path::PathBuf| crate::goldens::bytes(&path);
    files.map(|file| read(file.unwrap().path())).collect()
}

#[test]
fn the_seeds_are_accepted() {
    assert!(nixfleet_core::FlakeLock::parse(LOCK.as_bytes()).is_ok());
    bodies::lock(format!("{LOCK}\0{LOCK}").as_bytes());
    for frame in FRAMES {
        bodies::wire(frame.as_bytes());
    }
    for lock in seeds("lock") {
        let both = lock.split(|byte| *byte == 0).collect::<Vec<_>>();
        assert_eq!(both.len(), 2);
        for one in both {
            nixfleet_core::FlakeLock::parse(one).unwrap();
        }
        bodies::lock(&lock);
    }
    for json in seeds("wire") {
        serde_json::from_slice::<serde_json::Value>(&json).unwrap();
        bodies::wire(&json);
    }
    for bytes in seeds("events") {
        simulation::drive(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_make_the_lock_parser_panic(bytes in prop_oneof![mutated(LOCK), any::<Vec<u8>>()]) {
        bodies::lock(&bytes);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::sample::select(FRAMES).prop_flat_map(mutated)) {
        bodies::wire(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn no_sequence_of_events_breaks_a_fleet(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        simulation::drive(&bytes);
    }
}
