//! `flake.lock` files of a wanted size, from a fixed seed.

use serde_json::{Map, Value, json};

use crate::hosts::Random;

/// A lock of about this many bytes, as Nix writes it. `moved` changes the pins of every third input.
#[must_use]
pub fn lock_file(bytes: usize, moved: bool) -> Vec<u8> {
    let mut inputs = 1;
    loop {
        let text = lock_with(inputs, moved);
        if text.len() * 10 >= bytes * 9 {
            return text;
        }
        let more = (bytes - text.len()) / (text.len() / inputs + 1);
        inputs += more.max(1);
    }
}

fn lock_with(inputs: usize, moved: bool) -> Vec<u8> {
    let mut random = Random(7);
    let mut nodes = Map::new();
    let mut root = Map::new();
    for number in 0..inputs {
        let name = format!("input-{number}");
        let other = random.hex(40);
        let rev = match moved && number % 3 == 0 {
            true => other,
            false => random.hex(40),
        };
        let mut node = json!({
            "locked": {
                "lastModified": 1_700_000_000 + random.number() % 90_000_000,
                "narHash": format!("sha256-{}=", &random.hex(43)),
                "owner": "example",
                "repo": name,
                "rev": rev,
                "type": "github",
            },
            "original": {"owner": "example", "ref": "main", "repo": name, "type": "github"},
        });
        if number % 4 == 1 {
            node["inputs"] = json!({"nixpkgs": ["input-0"]});
        }
        root.insert(name.clone(), Value::from(name.clone()));
        nodes.insert(name, node);
    }
    nodes.insert("root".to_owned(), json!({"inputs": root}));
    let lock = json!({"nodes": nodes, "root": "root", "version": 7});
    serde_json::to_vec_pretty(&lock).unwrap()
}
