//! Single values on their way into columns and back.

use std::fmt::Display;
use std::str::FromStr;

use nixfleet_core::CommandId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::error::StoreError;

/// What a row's sum must be. Against rotten bits, not against people.
pub(super) fn sum(content: &[u8]) -> Vec<u8> {
    let mut digest = Sha256::digest(content).to_vec();
    digest.truncate(16);
    digest
}

/// The wire spelling of a closed enum, without quotes.
pub(super) fn word(value: &impl Serialize) -> Result<String, StoreError> {
    match serde_json::to_value(value).map_err(unusable)? {
        Value::String(text) => Ok(text),
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_)) => Err(unusable(format!("{other} is not a word"))),
    }
}

pub(super) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(unusable)
}

pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(unusable)
}

/// SQLite has no unsigned numbers; ours never come near the limit.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn count(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(unusable)
}

pub(super) fn text(value: Option<impl Display>) -> Option<String> {
    value.map(|value| value.to_string())
}

pub(super) fn bytes(id: Option<CommandId>) -> Option<Vec<u8>> {
    id.map(|id| id.as_bytes().to_vec())
}

pub(super) fn unusable(why: impl Display) -> StoreError {
    StoreError::Unusable(why.to_string())
}

pub(super) fn from_word<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_value(Value::String(text.to_owned())).map_err(unusable)
}

pub(super) fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(unusable)
}

pub(super) fn maybe<T: FromStr<Err: Display>>(text: Option<&str>) -> Result<Option<T>, StoreError> {
    text.map(parsed).transpose()
}

pub(super) fn command(bytes: Option<&[u8]>) -> Result<Option<CommandId>, StoreError> {
    let id = bytes.map(<[u8; 16]>::try_from).transpose();
    Ok(id.map_err(unusable)?.map(CommandId::from_bytes))
}
