//! Claims as a map and back, for `postcard`.
//!
//! May touch: nothing but memory. Trust boundary: what is read was sealed by the gateway; names that are not in order are put in order.

use std::fmt;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ClaimValue, Claims, Text};

/// Room is made for so many at once; for more when they are there.
const AT_ONCE: usize = 64;

impl Serialize for Claims {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Claims;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("claims by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
        let mut all: Vec<(Text, ClaimValue)> = Vec::with_capacity(map.size_hint().unwrap_or(0).min(AT_ONCE));
        let mut claims = Claims::default();
        while let Some((name, value)) = map.next_entry::<Text, ClaimValue>()? {
            match all.last() {
                Some((last, _)) if *last >= name => claims.insert(&name, value),
                _ => all.push((name, value)),
            }
        }
        let mut in_order = Claims(Arc::new(all));
        if !claims.0.is_empty() {
            in_order.merge(claims);
        }
        Ok(in_order)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn claims(json: &str) -> Claims {
        Claims::from_json(json.as_bytes()).unwrap()
    }

    fn opened(bytes: &[u8]) -> Claims {
        postcard::from_bytes(bytes).unwrap()
    }

    #[test]
    fn c05_claims_are_written_as_the_map_that_they_were() {
        let claims = claims(r#"{"groups":["a","b"],"email":"ada@gmr.example","n":1.50,"o":{"k":null}}"#);
        let map: BTreeMap<Box<str>, ClaimValue> = claims.iter().map(|(name, value)| (name.into(), value.clone())).collect();
        let bytes = postcard::to_allocvec(&claims).unwrap();
        assert_eq!(bytes, postcard::to_allocvec(&map).unwrap());
        assert_eq!(opened(&bytes), claims);
    }

    #[test]
    fn names_that_come_in_any_order_and_twice_stand_in_order_and_once() {
        let wild = [("b", true), ("c", true), ("a", true), ("b", false), ("d", true)];
        let wild: Vec<_> = wild.map(|(name, truth)| (name, ClaimValue::Bool(truth))).into();
        let read = opened(&postcard::to_allocvec(&wild).unwrap());
        assert_eq!(read, claims(r#"{"a":true,"b":false,"c":true,"d":true}"#));
    }

    #[test]
    fn c03_what_breaks_off_is_no_set_of_claims() {
        let bytes = postcard::to_allocvec(&claims(r#"{"a":"text","b":["x"]}"#)).unwrap();
        for length in 0..bytes.len() {
            assert!(postcard::from_bytes::<Claims>(&bytes[..length]).is_err(), "{length}");
        }
        assert!(postcard::from_bytes::<Claims>(&[0xff, 0xff, 0xff, 0xff, 0x0f]).is_err(), "more names than there are");
    }

    #[test]
    fn any_number_of_claims_is_found_by_name() {
        for count in [0, 1, 16, 17, 100] {
            let names: Vec<String> = (0..count).map(|number| format!("c{number}")).collect();
            let mut claims = Claims::default();
            names.iter().rev().for_each(|name| claims.insert(name, ClaimValue::Text(name.into())));
            assert!(names.iter().all(|name| claims.text(name) == Some(name)), "{count}");
            assert_eq!(claims.value("c"), None);
            names.iter().for_each(|name| claims.insert(name, ClaimValue::Null));
            assert_eq!(claims.iter().filter(|(_, value)| **value == ClaimValue::Null).count(), count);
            assert!(claims.iter().map(|(name, _)| name).is_sorted());
        }
    }
}
