//! Where in a text of JSON something is: serde says the line and the column of a value that has
//! the wrong type, and people want the name of its field.

/// The field that an error is about. An error of a value that stands last in its object or list is
/// told at the bracket after it; of what is not there, the bracket is the place.
pub(super) fn field_of(text: &str, error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let told = error.to_string();
    let absent = ["missing field", "invalid length"]
        .iter()
        .any(|start| told.starts_with(start));
    let mut before = text.split('\n').skip(line.saturating_sub(1));
    let last = before.next().unwrap_or_default().as_bytes();
    let bracket = last.get(column.saturating_sub(1));
    let closed = bracket.is_some_and(|byte| matches!(byte, b'}' | b']'));
    field_at(
        text,
        line,
        column - usize::from(closed && !absent && column > 0),
    )
}

/// The names from the outermost object to the value at this place, joined by dots, for example
/// `payload.repo.dirty`; elements of lists by their number. Empty at the outermost level.
fn field_at(text: &str, line: usize, column: usize) -> String {
    let before: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let end = before.saturating_add(column).min(text.len());
    let mut trail: Vec<Step<'_>> = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at).filter(|_| at < end) {
        match byte {
            b'{' => trail.push(Step::Field("", true)),
            b'[' => trail.push(Step::Element(0)),
            b'}' | b']' => {
                trail.pop();
            }
            b',' => match trail.last_mut() {
                Some(Step::Field(_, awaited)) => *awaited = true,
                Some(Step::Element(number)) => *number += 1,
                None => {}
            },
            b'"' => {
                let length = string_length(text.get(at + 1..).unwrap_or_default());
                if let Some(Step::Field(name, awaited @ true)) = trail.last_mut() {
                    *name = text.get(at + 1..at + 1 + length).unwrap_or_default();
                    *awaited = false;
                }
                at += length + 1;
            }
            _ => {}
        }
        at += 1;
    }
    let names = trail.iter().filter_map(|step| match step {
        Step::Field("", _) => None,
        Step::Field(name, _) => Some((*name).to_owned()),
        Step::Element(number) => Some(number.to_string()),
    });
    names.collect::<Vec<_>>().join(".")
}

enum Step<'a> {
    /// In an object: the last name, and whether the next text is a name.
    Field(&'a str, bool),
    /// In a list: how many elements came before.
    Element(usize),
}

/// The bytes up to the quotation mark that ends a string.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::super::decode_agent_frame;

    #[test]
    fn a_field_of_the_wrong_type_is_named() {
        for (payload, field) in [
            (r#"{"pending_command":7}"#, "payload.pending_command"),
            (
                r#"{"lock_hash":"a\"},{b","repo":{"commit":"c","dirty":"no"}}"#,
                "payload.repo.dirty",
            ),
            (
                r#"{"failed_units":["a",{"b":[1]}]}"#,
                "payload.failed_units.1",
            ),
            (
                "{\"metrics\":{\"cpu\":1.0,\n\"ram\":\"much\"}}",
                "payload.metrics.ram",
            ),
            (
                r#"{"generations":[{"number":1},{"number":"two"}]}"#,
                "payload.generations.1.number",
            ),
            (r#"{"repo":{},"seq":1}"#, "payload.repo"),
            ("[]", "payload"),
        ] {
            let text = format!(r#"{{"type":"heartbeat","payload":{payload}}}"#);
            let said = decode_agent_frame(&text).unwrap_err().to_string();
            let start = format!("malformed message: field `{field}`: ");
            assert!(said.starts_with(&start), "{said}");
            assert!(
                said.contains("expected") || said.contains("missing"),
                "{said}"
            );
        }
        // What is no JSON has no fields.
        for text in ["", "{", "[1", "\"", "{\"type\":\"", "nothing", "7"] {
            let said = decode_agent_frame(text).unwrap_err().to_string();
            assert!(said.starts_with("malformed message: "), "{said}");
        }
    }
}
