//! A parsed `flake.lock`: nodes, and inputs that name a node or follow another input.

use super::source::{Attribute, Source};

/// A `flake.lock` of version 5, 6 or 7 whose references all lead somewhere.
///
/// ```
/// use nixfleet_core::FlakeLock;
/// let lock = FlakeLock::parse(br#"{"version": 7, "root": "root", "nodes": {
///     "root": {"inputs": {"files": "files_2"}},
///     "files_2": {"flake": false,
///         "locked": {"type": "path", "path": "/srv/files", "narHash": "sha256-x"},
///         "original": {"type": "path", "path": "/srv/files"}
/// }}}"#).unwrap();
/// let inputs: Vec<_> = lock.root_inputs().collect();
/// assert_eq!(inputs.len(), 1);
/// assert_eq!((inputs[0].name, inputs[0].node.name()), ("files", "files_2"));
/// assert!(!inputs[0].node.is_flake());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlakeLock {
    pub(super) version: u8,
    /// Sorted by name.
    pub(super) nodes: Vec<LockNode>,
    /// Position in `nodes`.
    pub(super) root: usize,
    /// Top-level fields this version does not know.
    pub(super) other: Vec<(Box<str>, Attribute)>,
}

/// One locked input, or the flake itself (the root node).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockNode {
    pub(super) name: Box<str>,
    /// Sorted by name.
    pub(super) inputs: Vec<Edge>,
    pub(super) locked: Option<Source>,
    pub(super) original: Option<Source>,
    pub(super) is_flake: bool,
    pub(super) parent: Option<Vec<Box<str>>>,
    /// Fields this version does not know.
    pub(super) other: Vec<(Box<str>, Attribute)>,
}

/// One entry of `inputs` of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) name: Box<str>,
    pub(super) target: Target,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Position of the node.
    Node(usize),
    /// Another input, as a path from the root, and the position of the node it leads to.
    Follows { path: Vec<Box<str>>, node: usize },
}

impl Target {
    pub(super) fn node(&self) -> usize {
        match self {
            Target::Node(node) | Target::Follows { node, .. } => *node,
        }
    }
}

/// An input of a node, with what it leads to.
#[derive(Clone, Copy, Debug)]
pub struct LockedInput<'a> {
    /// The name the flake gives it.
    pub name: &'a str,
    /// The input it follows, as a path from the root (empty: the flake itself); `None` if it is
    /// locked by itself.
    pub follows: Option<&'a [Box<str>]>,
    /// The node it leads to, through any number of `follows`.
    pub node: &'a LockNode,
}

impl FlakeLock {
    /// The version of the format: 5, 6 or 7.
    #[must_use]
    pub fn version(&self) -> u8 {
        self.version
    }

    /// Every node, sorted by name, also those that no input leads to.
    #[must_use]
    pub fn nodes(&self) -> &[LockNode] {
        &self.nodes
    }

    /// The inputs of the flake itself, sorted by name.
    pub fn root_inputs(&self) -> impl Iterator<Item = LockedInput<'_>> {
        self.nodes
            .get(self.root)
            .into_iter()
            .flat_map(|root| self.inputs_of(root))
    }

    /// The inputs of a node of this lock, sorted by name.
    pub fn inputs_of<'a>(&'a self, node: &'a LockNode) -> impl Iterator<Item = LockedInput<'a>> {
        node.inputs.iter().filter_map(|edge| self.view(edge))
    }

    /// The input at a path from the root, for example `["home-manager", "nixpkgs"]`.
    #[must_use]
    pub fn input(&self, path: &[&str]) -> Option<LockedInput<'_>> {
        let mut node = self.nodes.get(self.root)?;
        let mut found = None;
        for name in path {
            let input = self.view(node.edge(name)?)?;
            node = input.node;
            found = Some(input);
        }
        found
    }

    fn view<'a>(&'a self, edge: &'a Edge) -> Option<LockedInput<'a>> {
        Some(LockedInput {
            name: &edge.name,
            follows: match &edge.target {
                Target::Node(_) => None,
                Target::Follows { path, .. } => Some(path),
            },
            node: self.nodes.get(edge.target.node())?,
        })
    }
}

impl LockNode {
    /// The key of the node in the lock: unique there, but not stable from one lock to the next.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is used; `None` for the flake itself.
    #[must_use]
    pub fn locked(&self) -> Option<&Source> {
        self.locked.as_ref()
    }

    /// What was asked for; `None` for the flake itself.
    #[must_use]
    pub fn original(&self) -> Option<&Source> {
        self.original.as_ref()
    }

    /// Whether it is a flake, rather than a plain tree or file (`flake = false`).
    #[must_use]
    pub fn is_flake(&self) -> bool {
        self.is_flake
    }

    pub(super) fn edge(&self, name: &str) -> Option<&Edge> {
        self.inputs
            .binary_search_by(|edge| (*edge.name).cmp(name))
            .ok()
            .and_then(|found| self.inputs.get(found))
    }
}
