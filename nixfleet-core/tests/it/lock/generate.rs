//! Generated locks: a tree of inputs, some of which follow others.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// The description of a lock, from which the same lock can be written in several spellings.
#[derive(Clone, Debug)]
pub struct Lock {
    pub inputs: Vec<Input>,
    /// Owner (0 is the flake itself, `n` is input `n - 1`), and the path it follows, as inputs.
    pub follows: Vec<(usize, Vec<usize>)>,
}

#[derive(Clone, Debug)]
pub struct Input {
    /// 0 is the flake itself, `n` is input `n - 1`.
    pub parent: usize,
    pub kind: usize,
    pub rev: u8,
    pub date: u32,
    pub flake: bool,
    pub owner: &'static str,
}

impl Lock {
    pub fn name(input: usize) -> String {
        format!("in{input}")
    }

    /// The names from the root to an input.
    pub fn path(&self, input: usize) -> Vec<String> {
        let parent = self.inputs[input].parent;
        let mut path = match parent {
            0 => Vec::new(),
            parent => self.path(parent - 1),
        };
        path.push(Self::name(input));
        path
    }

    /// The lock as JSON; `key` names the node of an input.
    pub fn json(&self, key: &dyn Fn(usize) -> String) -> Value {
        let owner_key = |owner: usize| match owner {
            0 => "root".to_owned(),
            owner => key(owner - 1),
        };
        let mut nodes = Map::new();
        nodes.insert("root".to_owned(), json!({}));
        for (number, input) in self.inputs.iter().enumerate() {
            nodes.insert(key(number), input.json());
        }
        let mut edge = |owner: usize, name: String, target: Value| {
            let node = nodes[&owner_key(owner)].as_object_mut().unwrap();
            let inputs = node.entry("inputs").or_insert_with(|| json!({}));
            inputs.as_object_mut().unwrap().insert(name, target);
        };
        for (number, input) in self.inputs.iter().enumerate() {
            edge(input.parent, Self::name(number), json!(key(number)));
        }
        for (number, (owner, path)) in self.follows.iter().enumerate() {
            let path: Vec<_> = path.iter().map(|&input| Self::name(input)).collect();
            edge(*owner, format!("f{number}"), json!(path));
        }
        json!({"version": 7, "root": "root", "nodes": nodes})
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.json(&Self::name).to_string().into_bytes()
    }
}

impl Input {
    pub fn json(&self) -> Value {
        let rev = format!("{:02x}", self.rev).repeat(20);
        let (owner, date) = (self.owner, self.date);
        let pins = json!({"lastModified": date, "narHash": format!("sha256-{rev}="), "rev": rev});
        let place = match self.kind {
            0 => json!({"type": "github", "owner": owner, "repo": "r"}),
            1 => json!({"type": "gitlab", "owner": owner, "repo": "r", "host": "git.example.org"}),
            2 => json!({"type": "sourcehut", "owner": owner, "repo": "r"}),
            3 => {
                json!({"type": "git", "url": format!("https://{owner}.example.org/r"), "submodules": true})
            }
            4 => json!({"type": "hg", "url": format!("https://{owner}.example.org/r")}),
            5 => json!({"type": "path", "path": format!("/srv/{owner}")}),
            6 => json!({"type": "tarball", "url": format!("https://{owner}.example.org/r.tar.xz")}),
            7 => json!({"type": "file", "url": format!("https://{owner}.example.org/r")}),
            _ => json!({"type": "from-the-future", "owner": owner, "parts": [1, {"deep": null}]}),
        };
        let mut locked = place.clone();
        locked
            .as_object_mut()
            .unwrap()
            .extend(pins.as_object().unwrap().clone());
        let mut node = json!({"locked": locked, "original": place});
        if !self.flake {
            node["flake"] = json!(false);
        }
        node
    }
}

fn input() -> impl Strategy<Value = Input> {
    (
        any::<prop::sample::Index>(),
        0..9_usize,
        any::<u8>(),
        any::<u32>(),
        any::<bool>(),
    )
        .prop_map(|(parent, kind, rev, date, flake)| Input {
            parent: parent.index(1 << 20),
            kind,
            rev,
            date,
            flake,
            owner: "o",
        })
}

/// Locks in which every `follows` leads along inputs that are locked by themselves.
pub fn lock() -> impl Strategy<Value = Lock> {
    let follows = vec(
        (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        0..4,
    );
    (vec(input(), 0..10), follows).prop_map(|(mut inputs, follows)| {
        for (number, input) in inputs.iter_mut().enumerate() {
            input.parent %= number + 1;
        }
        let mut lock = Lock {
            inputs,
            follows: Vec::new(),
        };
        for (owner, target) in follows {
            let owner = owner.index(lock.inputs.len() + 1);
            let mut path = Vec::new();
            let mut next = target.index(lock.inputs.len() + 1);
            while let Some(input) = next.checked_sub(1) {
                path.insert(0, input);
                next = lock.inputs[input].parent;
            }
            lock.follows.push((owner, path));
        }
        lock
    })
}
