//! A JSON field with three states: absent, `null`, or a value.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::host::Update;

/// Absent means unchanged, `null` means gone (spec 01, Facts).
///
/// Use with `#[serde(default, skip_serializing_if = "Field::is_absent")]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Field<T> {
    /// The field is not there.
    #[default]
    Absent,
    /// The field is `null`.
    Null,
    /// The field has a value.
    Value(T),
}

impl<T> Field<T> {
    /// Whether the field is not there.
    #[must_use]
    pub const fn is_absent(&self) -> bool {
        matches!(self, Field::Absent)
    }

    /// The value, if there is one.
    #[must_use]
    pub fn value(self) -> Option<T> {
        match self {
            Field::Value(value) => Some(value),
            Field::Absent | Field::Null => None,
        }
    }

    /// The update this field stands for, its value converted.
    ///
    /// # Errors
    /// Whatever `convert` refuses.
    pub fn update<U, E>(self, convert: impl FnOnce(T) -> Result<U, E>) -> Result<Update<U>, E> {
        Ok(match self {
            Field::Absent => Update::Unchanged,
            Field::Null => Update::Gone,
            Field::Value(value) => Update::Set(convert(value)?),
        })
    }
}

impl<T> From<Option<T>> for Field<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Field::Null, Field::Value)
    }
}

impl<T: Serialize> Serialize for Field<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Field::Absent | Field::Null => serializer.serialize_none(),
            Field::Value(value) => serializer.serialize_some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<T>::deserialize(deserializer)?.into())
    }
}
