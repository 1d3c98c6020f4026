//! Text in answers: JSON, links, and what a forge says in a refusal.

use reqwest::header::{HeaderMap, HeaderName};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::fault::Fault;
use super::MOST_SAID;

/// Reads JSON, and says what is wrong with it without repeating it.
pub fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        if body.trim_ascii_start().starts_with(b"<") {
            return Fault::malformed("it is HTML, not JSON");
        }
        Fault::malformed(one_line(&format!("unexpected JSON: {error}"), MOST_SAID))
    })
}

/// One line of text without control characters, cut at `most` characters.
pub fn one_line(text: &str, most: usize) -> String {
    let cleaned = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(most);
    cleaned.collect::<String>().trim().to_owned()
}

/// A name that others compare with a configured one. One that is not a plain line is quoted, so that it
/// equals none that looks like it.
pub fn plain_name(text: &str, most: usize) -> String {
    let line = one_line(text, most);
    if line == text {
        return line;
    }
    one_line(&format!("{text:?}"), most)
}

/// What the forge says in a refusal: the `message` of its JSON, with the details of `errors`.
pub(super) fn message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Said {
        message: Option<String>,
        #[serde(default)]
        errors: Value,
    }
    let Ok(said) = serde_json::from_slice::<Said>(body) else {
        return "without a reason that can be read".to_owned();
    };
    let mut text = said.message.unwrap_or_default();
    for error in said.errors.as_array().into_iter().flatten() {
        let detail = error.get("message").unwrap_or(error).as_str();
        if let Some(detail) = detail {
            text = format!("{text}; {detail}");
        }
    }
    one_line(&text, MOST_SAID)
}

pub(super) fn text_of<'a>(head: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    head.get(name)?.to_str().ok()
}

/// The address marked `rel="next"` in a `Link` header.
pub(super) fn next_link(text: &str) -> Option<&str> {
    text.split(',').find_map(|link| {
        let (address, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
        let next = rest
            .split(';')
            .any(|part| matches!(part.trim(), "rel=\"next\"" | "rel=next"));
        next.then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_the_links() {
        let text = r#"<https://x/a?page=1>; rel="prev", <https://x/a?page=3>; rel="next", <https://x/a?page=9>; rel="last""#;
        assert_eq!(next_link(text), Some("https://x/a?page=3"));
        for none in [
            "",
            "<https://x>",
            "https://x; rel=\"next\"",
            "<https://x>; rel=\"last\"",
        ] {
            assert_eq!(next_link(none), None, "{none}");
        }
    }

    #[test]
    fn a_name_equals_only_what_is_spelled_like_it() {
        assert_eq!(plain_name("build (x86)", 20), "build (x86)");
        for other in ["build ", " build", "bu\u{0}ild", "build\n"] {
            assert_ne!(plain_name(other, 20), "build", "{other:?}");
        }
        let long = "x".repeat(30);
        assert_ne!(plain_name(&long, 20), "x".repeat(20));
    }

    #[test]
    fn a_refusal_says_its_reasons_on_one_line() {
        let body = br#"{"message":"Validation\nFailed","errors":[{"message":"No commits"},"x",7]}"#;
        assert_eq!(message(body), "Validation Failed; No commits; x");
        assert_eq!(message(b"<html>"), "without a reason that can be read");
    }
}
