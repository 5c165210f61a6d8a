//! JSON objects that are objects.
//!
//! A structure that serde derives is also read from an array, its members by their places: `["invalid_grant"]` would be an error answer. No
//! specification lets a provider say anything so, and nobody else would read it so; it is refused.
//!
//! May touch: nothing but memory. Trust boundary: the text is somebody else's. Specification: RFC 8259 sections 4 and 8.1.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};

/// What is read from an object alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Object<T>(pub(super) T);

/// Reads a text that is an object.
pub(super) fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    // The reader looks at nothing in members that it passes over; JSON is UTF-8 throughout (section 8.1).
    let text = std::str::from_utf8(json).map_err(serde_json::Error::custom)?;
    serde_json::from_str(text).map(|Object(read)| read)
}

/// Reads an answer that is an object. What is passed over counts for nothing, so it may be no UTF-8: a description or a person's name in another
/// encoding must not hide that the provider said no, or lose a token that can be used once.
pub(super) fn read_answer<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(json).map(|Object(read)| read)
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData))
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug, PartialEq)]
    struct Outer {
        name: String,
        #[serde(default)]
        inner: Vec<Object<Inner>>,
    }

    #[derive(serde::Deserialize, Debug, PartialEq)]
    struct Inner {
        number: u8,
    }

    #[test]
    fn an_array_is_no_object_at_any_depth() {
        let read = |json: &str| read::<Outer>(json.as_bytes()).ok();
        let outer = |inner| Some(Outer { name: "a".to_owned(), inner });
        assert_eq!(read(r#"{"name":"a"}"#), outer(Vec::new()));
        assert_eq!(
            read(r#" {"inner":[{"number":7}],"name":"a","more":[]} "#),
            outer(vec![Object(Inner { number: 7 })])
        );
        for array in [r#"["a"]"#, r#"["a",[]]"#, r#"{"name":"a","inner":[[7]]}"#, "[]", "null", "", r#"{"name":"a"} x"#]
        {
            assert_eq!(read(array), None, "{array}");
        }
        assert_eq!(read(r#"{"name":"a","name":"b"}"#), None);
        let [passed_over, is_read] = [&b"{\"name\":\"a\",\"more\":\"\xff\"}"[..], b"{\"name\":\"\xff\"}"];
        assert!(super::read::<Outer>(passed_over).is_err() && super::read::<Outer>(is_read).is_err());
        assert_eq!(read_answer::<Outer>(passed_over).ok(), outer(Vec::new()));
        assert!(read_answer::<Outer>(is_read).is_err() && read_answer::<Outer>(br#"["a"]"#).is_err());
    }
}
