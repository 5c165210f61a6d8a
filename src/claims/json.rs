//! Claims as JSON again, each number with the text that the provider wrote (S06).
//!
//! May touch: nothing but memory. Trust boundary: none; the JSON encoder escapes.

use serde::ser::{Error as _, SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{ClaimValue, Claims};

/// A claim's value as JSON; for `serde_json` alone, which knows how to keep a number's text.
pub struct AsJson<'c, T>(pub &'c T);

impl Serialize for AsJson<'_, ClaimValue> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ClaimValue::Null => serializer.serialize_unit(),
            ClaimValue::Bool(truth) => serializer.serialize_bool(*truth),
            ClaimValue::Number(text) => {
                let raw: &RawValue = serde_json::from_str(text).map_err(S::Error::custom)?;
                raw.serialize(serializer)
            }
            ClaimValue::Text(text) => serializer.serialize_str(text),
            ClaimValue::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(&AsJson(item)))?;
                list.end()
            }
            ClaimValue::Object(members) => {
                let mut object = serializer.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|(name, value)| object.serialize_entry(&**name, &AsJson(value)))?;
                object.end()
            }
        }
    }
}

impl Serialize for AsJson<'_, Claims> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        self.0.iter().try_for_each(|(name, value)| object.serialize_entry(name, &AsJson(value)))?;
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s06_claims_are_written_as_they_were_read() {
        let text = r#"{"a":[1,"x",null,true],"e":{"id":10000000000000000001,"rate":1.50},"n":"\"\n"}"#;
        let claims = Claims::from_json(text.as_bytes()).unwrap();
        assert_eq!(serde_json::to_string(&AsJson(&claims)).unwrap(), text);
    }
}
