//! Leads every `follows` to its node, and bounds the distance of every input from the root.

use super::error::{At, LockParseError, Shown};
use super::model::{FlakeLock, Target};
use super::parse::MAX_INPUT_DEPTH;

/// Replaces the placeholder node of every [`Target::Follows`].
pub(super) fn link(lock: &mut FlakeLock) -> Result<(), LockParseError> {
    check_depth(lock)?;
    let mut linker = Linker {
        states: lock
            .nodes
            .iter()
            .map(|node| vec![State::New; node.inputs.len()])
            .collect(),
        lock,
    };
    let counts: Vec<usize> = linker.states.iter().map(Vec::len).collect();
    let mut resolved = Vec::new();
    for (node, count) in counts.into_iter().enumerate() {
        for edge in 0..count {
            resolved.push((node, edge, linker.target(node, edge, 0)?));
        }
    }
    for (node, edge, found) in resolved {
        let edge = lock
            .nodes
            .get_mut(node)
            .and_then(|node| node.inputs.get_mut(edge));
        if let Some(Target::Follows { node, .. }) = edge.map(|edge| &mut edge.target) {
            *node = found;
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum State {
    New,
    /// Being followed: meeting it again is a cycle.
    Busy,
    Done(usize),
}

struct Linker<'l> {
    lock: &'l FlakeLock,
    /// One per input of every node.
    states: Vec<Vec<State>>,
}

impl Linker<'_> {
    /// The node that the input `edge` of `node` leads to. Recursion is bounded by `depth`.
    fn target(&mut self, node: usize, edge: usize, depth: usize) -> Result<usize, LockParseError> {
        let lock = self.lock;
        let Some(input) = lock.nodes.get(node).and_then(|node| node.inputs.get(edge)) else {
            return Ok(lock.root);
        };
        let path = match &input.target {
            Target::Node(found) => return Ok(*found),
            Target::Follows { path, .. } => path,
        };
        match self.state(node, edge) {
            State::Done(found) => return Ok(found),
            State::Busy => {
                let path = self.place(node, edge);
                return Err(LockParseError::FollowsCycle { path });
            }
            State::New if depth >= MAX_INPUT_DEPTH => {
                return Err(LockParseError::Limit {
                    path: self.place(node, edge),
                    limit: format!("at most {MAX_INPUT_DEPTH} inputs that follow one another"),
                });
            }
            State::New => self.set(node, edge, State::Busy),
        }
        let mut found = lock.root;
        for (step, name) in path.iter().enumerate() {
            let next = lock.nodes.get(found).and_then(|node| {
                node.inputs
                    .binary_search_by(|input| input.name.cmp(name))
                    .ok()
            });
            let Some(next) = next else {
                return Err(LockParseError::DanglingFollows {
                    path: self.place(node, edge),
                    follows: followed(path.iter().take(step)),
                    missing: Shown(name).to_string(),
                });
            };
            found = self.target(found, next, depth + 1)?;
        }
        self.set(node, edge, State::Done(found));
        Ok(found)
    }

    fn state(&self, node: usize, edge: usize) -> State {
        let states = self.states.get(node);
        states
            .and_then(|states| states.get(edge))
            .map_or(State::New, |state| *state)
    }

    fn set(&mut self, node: usize, edge: usize, state: State) {
        let states = self.states.get_mut(node);
        if let Some(slot) = states.and_then(|states| states.get_mut(edge)) {
            *slot = state;
        }
    }

    fn place(&self, node: usize, edge: usize) -> String {
        let node = self.lock.nodes.get(node);
        let edge = node.and_then(|node| node.inputs.get(edge));
        let nodes = At::TOP.to("nodes");
        let node = nodes.to(node.map_or("", |node| &node.name));
        let inputs = node.to("inputs");
        inputs.to(edge.map_or("", |edge| &edge.name)).path()
    }
}

fn followed<'n>(names: impl Iterator<Item = &'n Box<str>>) -> String {
    let names: Vec<String> = names.map(|name| Shown(name).to_string()).collect();
    if names.is_empty() {
        "the root".to_owned()
    } else {
        names.join("/")
    }
}

/// Refuses a lock in which some node is only reached over too many steps. (Versions 5 and 6 may
/// contain cycles of nodes, so this is the shortest way, not the longest.)
fn check_depth(lock: &FlakeLock) -> Result<(), LockParseError> {
    let mut seen = vec![false; lock.nodes.len()];
    let mut level = vec![lock.root];
    let mut depth = 0;
    while !level.is_empty() {
        let mut next = Vec::new();
        for position in level {
            let Some(node) = lock.nodes.get(position) else {
                continue;
            };
            for input in &node.inputs {
                let Target::Node(child) = input.target else {
                    continue;
                };
                match seen.get_mut(child) {
                    Some(slot) if !*slot => {
                        *slot = true;
                        next.push(child);
                    }
                    Some(_) | None => {}
                }
            }
        }
        depth += 1;
        if depth > MAX_INPUT_DEPTH && !next.is_empty() {
            return Err(LockParseError::Limit {
                path: "nodes".to_owned(),
                limit: format!("every input within {MAX_INPUT_DEPTH} steps of the root"),
            });
        }
        level = next;
    }
    Ok(())
}
