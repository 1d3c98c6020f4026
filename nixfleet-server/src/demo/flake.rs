//! The contents of the demo's configuration repository: a `flake.nix` and a `flake.lock` as Nix
//! writes them, with made-up revisions that are the same on every run.

use std::collections::BTreeMap;
use std::fmt::Write;

use data_encoding::BASE64;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// When the first versions of all inputs were made, in seconds since 1970.
const EPOCH: u64 = 1_767_225_600;
const DAY: u64 = 86_400;

/// One input of the flake: its node in the lock, and where it comes from.
struct Input {
    name: &'static str,
    owner: &'static str,
    repo: &'static str,
    branch: Option<&'static str>,
    follows_nixpkgs: bool,
    systems: bool,
}

const INPUTS: &[Input] = &[
    Input {
        name: "nixpkgs",
        owner: "NixOS",
        repo: "nixpkgs",
        branch: Some("nixos-25.11"),
        follows_nixpkgs: false,
        systems: false,
    },
    Input {
        name: "home-manager",
        owner: "nix-community",
        repo: "home-manager",
        branch: Some("release-25.11"),
        follows_nixpkgs: true,
        systems: false,
    },
    Input {
        name: "disko",
        owner: "nix-community",
        repo: "disko",
        branch: None,
        follows_nixpkgs: true,
        systems: false,
    },
    Input {
        name: "flake-utils",
        owner: "numtide",
        repo: "flake-utils",
        branch: None,
        follows_nixpkgs: false,
        systems: true,
    },
    Input {
        name: "nixos-hardware",
        owner: "NixOS",
        repo: "nixos-hardware",
        branch: Some("master"),
        follows_nixpkgs: false,
        systems: false,
    },
];

/// Which version of each input is locked.
#[derive(Clone, Debug, Default)]
pub struct Pins {
    bumps: BTreeMap<String, u64>,
}

impl Pins {
    /// Locks the next version of an input.
    pub fn bump(&mut self, input: &str) {
        *self.bumps.entry(input.to_owned()).or_default() += 1;
    }

    /// The locked revision of an input: 40 hex digits.
    #[must_use]
    pub fn revision(&self, input: &str) -> String {
        let digest = hex::encode(self.digest("revision", input));
        digest.chars().take(40).collect()
    }

    /// The names of all inputs.
    pub fn inputs() -> impl Iterator<Item = &'static str> {
        INPUTS.iter().map(|input| input.name)
    }

    /// The contents of `flake.lock`.
    #[must_use]
    pub fn lock_file(&self) -> String {
        let mut nodes = serde_json::Map::new();
        let root: serde_json::Map<String, Value> = Self::inputs()
            .map(|name| (name.to_owned(), json!(name)))
            .collect();
        nodes.insert("root".into(), json!({ "inputs": root }));
        nodes.insert(
            "systems".into(),
            self.node("systems", "nix-systems", "default", None, &json!({})),
        );
        for input in INPUTS {
            let mut inputs = serde_json::Map::new();
            if input.follows_nixpkgs {
                inputs.insert("nixpkgs".into(), json!(["nixpkgs"]));
            }
            if input.systems {
                inputs.insert("systems".into(), json!("systems"));
            }
            let node = self.node(
                input.name,
                input.owner,
                input.repo,
                input.branch,
                &Value::Object(inputs),
            );
            nodes.insert(input.name.into(), node);
        }
        let lock = json!({ "nodes": nodes, "root": "root", "version": 7 });
        // Nix, too, writes sorted keys, two spaces and a line feed at the end.
        format!("{lock:#}\n")
    }

    fn node(
        &self,
        name: &str,
        owner: &str,
        repo: &str,
        branch: Option<&str>,
        inputs: &Value,
    ) -> Value {
        let nar_hash = BASE64.encode(&self.digest("contents", name));
        let mut original = json!({ "owner": owner, "repo": repo, "type": "github" });
        if let (Some(branch), Some(fields)) = (branch, original.as_object_mut()) {
            fields.insert("ref".into(), json!(branch));
        }
        let mut node = json!({
            "locked": {
                "lastModified": EPOCH + DAY * self.serial(name),
                "narHash": format!("sha256-{nar_hash}"),
                "owner": owner,
                "repo": repo,
                "rev": self.revision(name),
                "type": "github",
            },
            "original": original,
        });
        let has_inputs = inputs.as_object().is_some_and(|inputs| !inputs.is_empty());
        if let (true, Some(fields)) = (has_inputs, node.as_object_mut()) {
            fields.insert("inputs".into(), inputs.clone());
        }
        node
    }

    fn serial(&self, input: &str) -> u64 {
        self.bumps.get(input).copied().unwrap_or_default()
    }

    fn digest(&self, purpose: &str, input: &str) -> [u8; 32] {
        Sha256::digest(format!("{purpose} {} of {input}", self.serial(input))).into()
    }
}

/// The contents of `flake.nix` for these hosts.
#[must_use]
pub fn flake_nix(hosts: &[&str]) -> String {
    let mut text = String::from("{\n  description = \"The fleet of the NixFleet demo\";\n\n");
    text.push_str("  inputs = {\n");
    for input in INPUTS {
        let branch = input
            .branch
            .map_or(String::new(), |name| format!("/{name}"));
        let (name, owner, repo) = (input.name, input.owner, input.repo);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "    {name}.url = \"github:{owner}/{repo}{branch}\";");
        if input.follows_nixpkgs {
            let _ = writeln!(text, "    {name}.inputs.nixpkgs.follows = \"nixpkgs\";");
        }
    }
    text.push_str("  };\n\n  outputs =\n    { nixpkgs, ... }@inputs:\n    let\n");
    text.push_str("      host =\n        name:\n        nixpkgs.lib.nixosSystem {\n");
    text.push_str("          specialArgs = { inherit inputs; };\n");
    text.push_str("          modules = [ ./hosts/${name}/configuration.nix ];\n        };\n");
    text.push_str("    in\n    {\n      nixosConfigurations = {\n");
    for name in hosts {
        let _ = writeln!(text, "        {name} = host \"{name}\";");
    }
    text.push_str("      };\n    };\n}\n");
    text
}

#[cfg(test)]
mod tests {
    use nixfleet_core::{FlakeLock, diff_summaries};

    use super::*;

    #[test]
    fn the_lock_can_be_read_and_a_bump_changes_that_input_alone() {
        let mut pins = Pins::default();
        let read = |pins: &Pins| FlakeLock::parse(pins.lock_file().as_bytes()).unwrap();
        let before = read(&pins).summary();
        pins.bump("home-manager");
        let changes = diff_summaries(&before, &read(&pins).summary());
        let names: Vec<&str> = changes.iter().map(|change| change.name()).collect();
        assert_eq!(names, ["home-manager"]);
        assert_eq!(before.inputs().len(), Pins::inputs().count());
        assert!(pins.lock_file().ends_with("\"version\": 7\n}\n"));
    }

    #[test]
    fn the_same_pins_are_the_same_bytes() {
        assert_eq!(Pins::default().lock_file(), Pins::default().lock_file());
        assert!(flake_nix(&["web-1"]).contains("web-1 = host \"web-1\";"));
    }
}
