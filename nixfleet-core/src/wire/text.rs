//! Text of a frame, borrowed from it where it stands there as it is.

use std::borrow::Cow;
use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is borrowed from the frame it was read from, unless it has escapes.
///
/// (A `Cow` would be read as owned text wherever it stands inside an `Option`.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            #[inline]
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }

        deserializer.deserialize_str(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_escape_is_borrowed_and_errors_are_those_of_owned_text() {
        let plain: Text<'_> = serde_json::from_str(r#""/nix/store/x""#).unwrap();
        assert!(matches!(plain.0, Cow::Borrowed("/nix/store/x")));
        let escaped: Option<Text<'_>> = serde_json::from_str(r#""a\u0041""#).unwrap();
        assert!(matches!(escaped.unwrap().0, Cow::Owned(text) if text == "aA"));
        for wrong in ["1", "null", "[]", "{}", "true", "\"", ""] {
            let ours = serde_json::from_str::<Text<'_>>(wrong).unwrap_err();
            let owned = serde_json::from_str::<String>(wrong).unwrap_err();
            assert_eq!(ours.to_string(), owned.to_string());
        }
    }
}
