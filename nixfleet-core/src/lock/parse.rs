//! Bytes to [`FlakeLock`], or an error that names the field and what was expected there.
//!
//! Strict where two readers could understand a lock differently (a key given twice, a reference
//! that leads nowhere); tolerant of fields and fetchers that are newer than this code.

use std::borrow::Cow;

use super::error::{At, LockParseError, Shown};
use super::json::Json;
use super::link::link;
use super::model::{Edge, FlakeLock, LockNode, Target};
use super::source::{Attribute, Expected, InputKind, Source, attribute_name};

/// The largest lock that is read, in bytes.
pub const MAX_LOCK_BYTES: usize = 16 * 1024 * 1024;
/// The most nodes a lock may have.
pub const MAX_NODES: usize = 10_000;
/// The longest name of a node or an input, in bytes.
pub const MAX_NAME_BYTES: usize = 255;
/// The most steps from the root to an input, and the longest chain of `follows`.
pub const MAX_INPUT_DEPTH: usize = 64;
/// The longest value of an attribute, in bytes (of a list or object: as JSON).
pub const MAX_VALUE_BYTES: usize = 16 * 1024;

impl FlakeLock {
    /// Reads a `flake.lock` of version 5, 6 or 7.
    ///
    /// # Errors
    /// [`LockParseError`], for the first fault found. It never panics, and its time and memory
    /// are bounded by the size of the input.
    ///
    /// ```
    /// use nixfleet_core::FlakeLock;
    /// let lock = br#"{"version": 7, "root": "root", "nodes": {"root": {"inputs": {"a": "b"}}}}"#;
    /// assert_eq!(
    ///     FlakeLock::parse(lock).unwrap_err().to_string(),
    ///     "nodes.root.inputs.a: expected the name of a node, but there is no node b",
    /// );
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<Self, LockParseError> {
        if bytes.len() > MAX_LOCK_BYTES {
            return Err(LockParseError::TooLarge { size: bytes.len() });
        }
        let json = Json::read(bytes).map_err(|error| LockParseError::Json(error.to_string()))?;
        let top = object(&json, At::TOP)?;
        let version = version(&top)?;
        let root_name = text(
            top.required("root", "the name of a node")?,
            top.at.to("root"),
        )?;
        let nodes_at = top.at.to("nodes");
        let nodes = object(top.required("nodes", "an object")?, nodes_at)?;
        if nodes.entries.len() > MAX_NODES {
            return Err(nodes_at.limit(format!("at most {MAX_NODES} nodes")));
        }
        // Entries are sorted by key, so positions in `entries` are positions in the lock.
        let find = |name: &str| nodes.position(name);
        let Some(root) = find(root_name) else {
            return Err(top.at.to("root").dangling_node(root_name));
        };
        let mut lock = FlakeLock {
            version,
            nodes: Vec::with_capacity(nodes.entries.len()),
            root,
            other: top.unknown(&["nodes", "root", "version"])?,
        };
        for (position, (name, json)) in nodes.entries.iter().enumerate() {
            let at = nodes_at.to(name);
            lock.nodes
                .push(node(name, json, at, position == root, root, &find)?);
        }
        link(&mut lock)?;
        Ok(lock)
    }
}

fn version(top: &Object<'_>) -> Result<u8, LockParseError> {
    let expected = "5, 6 or 7";
    match top.required("version", expected)? {
        Json::Whole(number @ 5..=7) => Ok(u8::try_from(*number).unwrap_or(0)),
        Json::Whole(number) => Err(top.at.to("version").field(expected, number)),
        other @ (Json::Null
        | Json::Flag(_)
        | Json::Negative(_)
        | Json::Fraction(_)
        | Json::Text(_)
        | Json::List(_)
        | Json::Object(_)) => Err(top.at.to("version").field(expected, other.kind())),
    }
}

fn node(
    name: &str,
    json: &Json<'_>,
    at: At<'_>,
    is_root: bool,
    root: usize,
    find: &dyn Fn(&str) -> Option<usize>,
) -> Result<LockNode, LockParseError> {
    check_name(name, at)?;
    let fields = object(json, at)?;
    let inputs = match fields.get("inputs") {
        None => Vec::new(),
        Some(json) => inputs(json, at.to("inputs"), root, find)?,
    };
    let known = ["flake", "info", "inputs", "locked", "original", "parent"];
    let mut node = LockNode {
        name: name.into(),
        inputs,
        locked: None,
        original: None,
        is_flake: true,
        parent: None,
        other: fields.unknown(&known)?,
    };
    if is_root {
        return Ok(node);
    }
    // Version 5 kept the hash and the date beside `locked`.
    let locked = fields.required("locked", "an object")?;
    node.locked = Some(source(locked, at.to("locked"), fields.get("info"), true)?);
    let original = fields.required("original", "an object")?;
    node.original = Some(source(original, at.to("original"), None, false)?);
    node.is_flake = match fields.get("flake") {
        None => true,
        Some(Json::Flag(flag)) => *flag,
        Some(other) => return Err(at.to("flake").field("true or false", other.kind())),
    };
    node.parent = match fields.get("parent") {
        None | Some(Json::Null) => None,
        Some(json) => Some(input_path(json, at.to("parent"))?),
    };
    Ok(node)
}

fn inputs(
    json: &Json<'_>,
    at: At<'_>,
    root: usize,
    find: &dyn Fn(&str) -> Option<usize>,
) -> Result<Vec<Edge>, LockParseError> {
    let fields = object(json, at)?;
    let mut edges = Vec::with_capacity(fields.entries.len());
    for (name, json) in fields.entries {
        let at = at.to(name);
        check_name(name, at)?;
        let target = match json {
            Json::Text(node) => match find(node) {
                Some(position) if position == root => {
                    return Err(LockParseError::CycleToRoot { path: at.path() });
                }
                Some(position) => Target::Node(position),
                None => return Err(at.dangling_node(node)),
            },
            Json::List(_) => Target::Follows {
                path: input_path(json, at)?,
                node: root,
            },
            other @ (Json::Null
            | Json::Flag(_)
            | Json::Whole(_)
            | Json::Negative(_)
            | Json::Fraction(_)
            | Json::Object(_)) => {
                let expected = "the name of a node, or a list of names to follow";
                return Err(at.field(expected, other.kind()));
            }
        };
        edges.push(Edge {
            name: (&**name).into(),
            target,
        });
    }
    Ok(edges)
}

fn input_path(json: &Json<'_>, at: At<'_>) -> Result<Vec<Box<str>>, LockParseError> {
    let Json::List(items) = json else {
        return Err(at.field("a list of input names", json.kind()));
    };
    if items.len() > MAX_INPUT_DEPTH {
        return Err(at.limit(format!("at most {MAX_INPUT_DEPTH} names")));
    }
    let mut path = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let index = index.to_string();
        let at = at.to(&index);
        let name = text(item, at)?;
        check_name(name, at)?;
        path.push(name.into());
    }
    Ok(path)
}

fn source(
    json: &Json<'_>,
    at: At<'_>,
    info: Option<&Json<'_>>,
    locked: bool,
) -> Result<Source, LockParseError> {
    let fields = object(json, at)?;
    let kind = InputKind::named(text(fields.required("type", "text")?, at.to("type"))?);
    let mut attributes = Vec::with_capacity(fields.entries.len());
    for (name, json) in fields.entries.iter().filter(|(name, _)| name != "type") {
        attributes.push(attribute(&kind, name, json, at)?);
    }
    if let (Some(info), Some(node)) = (info, at.parent) {
        let at = node.to("info");
        for (name, json) in object(info, at)?.entries {
            attributes.retain(|(given, _)| given != name);
            attributes.push(attribute(&kind, name, json, at)?);
        }
    }
    for name in kind.required(locked) {
        if !attributes.iter().any(|(given, _)| given == name) {
            let expected = if *name == "rev" { REV } else { "text" };
            return Err(at.to(name).field(expected, "nothing"));
        }
    }
    let source = Source::new(kind, attributes);
    match source.rev() {
        Some(rev) if locked && source.kind().expected("rev").is_some() && !is_rev(rev) => {
            Err(at.to("rev").field(REV, Shown(rev)))
        }
        Some(_) | None => Ok(source),
    }
}

const REV: &str = "40 or 64 hex digits";

fn is_rev(rev: &str) -> bool {
    matches!(rev.len(), 40 | 64) && rev.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn attribute(
    kind: &InputKind,
    name: &str,
    json: &Json<'_>,
    at: At<'_>,
) -> Result<(Cow<'static, str>, Attribute), LockParseError> {
    let value = match (kind.expected(name), json) {
        (Some(Expected::Text) | None, Json::Text(text)) => Attribute::Text((&**text).into()),
        (Some(Expected::Whole) | None, Json::Whole(number)) => Attribute::Whole(*number),
        (Some(Expected::Text), other) => return Err(at.to(name).field("text", other.kind())),
        (Some(Expected::Whole), other) => {
            return Err(at.to(name).field("a whole number from 0", other.kind()));
        }
        (None, other) => any(other, at.to(name))?,
    };
    check_value(&value, at.to(name))?;
    Ok((attribute_name(name), value))
}

fn any(json: &Json<'_>, at: At<'_>) -> Result<Attribute, LockParseError> {
    check_name(at.name, at)?;
    let value = match json {
        Json::Text(text) => Attribute::Text((&**text).into()),
        Json::Whole(number) => Attribute::Whole(*number),
        Json::Flag(flag) => Attribute::Flag(*flag),
        Json::Null | Json::Negative(_) | Json::Fraction(_) | Json::List(_) | Json::Object(_) => {
            Attribute::Other(json.to_string().into())
        }
    };
    check_value(&value, at)?;
    Ok(value)
}

fn check_value(value: &Attribute, at: At<'_>) -> Result<(), LockParseError> {
    match value {
        Attribute::Text(text) | Attribute::Other(text) if text.len() > MAX_VALUE_BYTES => {
            Err(at.limit(format!("at most {MAX_VALUE_BYTES} bytes")))
        }
        Attribute::Text(_) | Attribute::Other(_) | Attribute::Whole(_) | Attribute::Flag(_) => {
            Ok(())
        }
    }
}

fn text<'j>(json: &'j Json<'_>, at: At<'_>) -> Result<&'j str, LockParseError> {
    match json {
        Json::Text(text) => Ok(text),
        Json::Null
        | Json::Flag(_)
        | Json::Whole(_)
        | Json::Negative(_)
        | Json::Fraction(_)
        | Json::List(_)
        | Json::Object(_) => Err(at.field("text", json.kind())),
    }
}

fn check_name(name: &str, at: At<'_>) -> Result<(), LockParseError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        let limit = format!("a name of 1 to {MAX_NAME_BYTES} bytes");
        return Err(at.limit(limit));
    }
    Ok(())
}

/// An object whose keys are known to be distinct.
struct Object<'j> {
    entries: &'j [(Cow<'j, str>, Json<'j>)],
    at: At<'j>,
}

fn object<'j>(json: &'j Json<'j>, at: At<'j>) -> Result<Object<'j>, LockParseError> {
    let Json::Object(entries) = json else {
        return Err(at.field("an object", json.kind()));
    };
    for pair in entries.windows(2) {
        if let [(name, _), (next, _)] = pair
            && name == next
        {
            let path = at.to(name).path();
            return Err(LockParseError::Duplicate { path });
        }
    }
    Ok(Object { entries, at })
}

impl<'j> Object<'j> {
    fn position(&self, name: &str) -> Option<usize> {
        self.entries
            .binary_search_by(|(key, _)| (**key).cmp(name))
            .ok()
    }

    fn get(&self, name: &str) -> Option<&'j Json<'j>> {
        self.entries.get(self.position(name)?).map(|(_, json)| json)
    }

    fn required(&self, name: &str, expected: &str) -> Result<&'j Json<'j>, LockParseError> {
        self.get(name)
            .ok_or_else(|| self.at.to(name).field(expected, "nothing"))
    }

    fn unknown(&self, known: &[&str]) -> Result<Vec<(Box<str>, Attribute)>, LockParseError> {
        self.entries
            .iter()
            .filter(|(name, _)| !known.contains(&&**name))
            .map(|(name, json)| Ok(((&**name).into(), any(json, self.at.to(name))?)))
            .collect()
    }
}
