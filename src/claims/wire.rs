//! The compact form of claims: `postcard`'s, written through `serde` and read here.
//!
//! Every request with a session that a worker has not seen reads this form, so it is read by hand: in one pass, without a visitor for each
//! value. The tests hold it against `postcard` itself.
//!
//! May touch: nothing but memory. Trust boundary: what is read was sealed by the gateway; even so nothing is taken on trust: lengths are
//! what is there at most, texts are UTF-8, depth is bounded by [`MAX_DEPTH`], names that are not in order are put in order.
//! Specification: the Postcard Wire Format, postcard.jamesmunns.com.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::{ClaimValue, Claims, MAX_DEPTH, Text};

/// Room is made for so many at once; for more when they are there.
const AT_ONCE: usize = 64;

impl Serialize for Claims {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Reads values of `postcard`'s form one after the other; none where there is none of the kind.
pub(crate) struct WireReader<'b> {
    rest: &'b [u8],
    /// The same as text, where everything that is left is UTF-8: then no text in it has to be looked at again.
    text: Option<&'b str>,
}

impl<'b> WireReader<'b> {
    /// Reads from the beginning of `bytes`.
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes, text: None }
    }

    /// Whether everything was read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes as they are.
    pub(crate) fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// An unsigned number: seven bits a byte, the lowest first.
    fn number(&mut self) -> Option<u64> {
        let (first, rest) = self.rest.split_first()?;
        if *first < 0x80 {
            self.rest = rest;
            return Some((*first).into());
        }
        match self.rest.first_chunk() {
            Some(bytes) => self.number_within(u64::from_le_bytes(*bytes)),
            None => self.long_number(),
        }
    }

    /// A number that mostly ends within the next eight bytes: their sevens of bits are pushed together at once.
    fn number_within(&mut self, bytes: u64) -> Option<u64> {
        let ends = !bytes & 0x8080_8080_8080_8080;
        if ends == 0 {
            return self.long_number();
        }
        let length = ends.trailing_zeros() / 8 + 1;
        let sevens = bytes & (u64::MAX >> (u64::BITS - 8 * length)) & 0x7f7f_7f7f_7f7f_7f7f;
        let pairs = sevens & 0x007f_007f_007f_007f | (sevens & 0x7f00_7f00_7f00_7f00) >> 1;
        let fours = pairs & 0x0000_3fff_0000_3fff | (pairs & 0x3fff_0000_3fff_0000) >> 2;
        self.take(length as usize)?;
        Some(fours & 0x0fff_ffff | (fours >> 32) << 28)
    }

    fn long_number(&mut self) -> Option<u64> {
        let mut number = 0;
        for (at, byte) in self.rest.iter().enumerate().take(u64::BITS.div_ceil(7) as usize) {
            let (bits, shift) = (u64::from(byte & 0x7f), 7 * at);
            number |= bits << shift;
            if byte & 0x80 == 0 {
                self.rest = self.rest.get(at + 1..)?;
                return (number >> shift == bits).then_some(number);
            }
        }
        None
    }

    /// A signed number, its sign in the lowest bit.
    pub(crate) fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// A number of at most 32 bits, which takes at most five bytes.
    pub(crate) fn count(&mut self) -> Option<u32> {
        let before = self.rest.len();
        let number = self.number()?;
        let longest = u32::BITS.div_ceil(7) as usize;
        if before - self.rest.len() > longest { None } else { number.try_into().ok() }
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    fn truth(&mut self) -> Option<bool> {
        match self.take(1)? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    /// A text.
    pub(crate) fn text(&mut self) -> Option<Text> {
        let length = self.length()?;
        let end = self.rest.len().checked_sub(length)?;
        let taken = self.take(length)?;
        // From the end, because that is where the text and what is left are the same.
        let known = self.text.and_then(|text| text.get(text.len() - length - end..text.len() - end));
        known.or_else(|| std::str::from_utf8(taken).ok()).map(Text::new)
    }

    /// A value, where the flag before it says that there is one.
    pub(crate) fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.truth()? { read(self).map(Some) } else { Some(None) }
    }

    /// Values behind their number.
    pub(crate) fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = self.length()?;
        let mut all = Vec::with_capacity(length.min(AT_ONCE));
        for _ in 0..length {
            all.push(read(self)?);
        }
        Some(all)
    }

    /// Claims by name.
    pub(crate) fn claims(&mut self) -> Option<Claims> {
        // Lengths below 128 are ASCII like the numbers of kinds, so mostly all of it is UTF-8 and looked at once.
        self.text = std::str::from_utf8(self.rest).ok();
        let mut all = self.list(|reader| Some((reader.text()?, reader.value(1)?)))?;
        if !all.is_sorted_by(|(one, _), (next, _)| one < next) {
            // Of a name that stands twice the last value counts.
            all = all.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect();
        }
        Some(Claims(Arc::new(all)))
    }

    fn value(&mut self, depth: usize) -> Option<ClaimValue> {
        if depth > MAX_DEPTH {
            return None;
        }
        Some(match self.take(1)? {
            [0] => ClaimValue::Null,
            [1] => ClaimValue::Bool(self.truth()?),
            [2] => ClaimValue::Number(self.text()?),
            [3] => ClaimValue::Text(self.text()?),
            [4] => ClaimValue::List(self.list(|reader| reader.value(depth + 1))?),
            [5] => {
                let members = self.list(|reader| Some((reader.text()?.as_str().into(), reader.value(depth + 1)?)))?;
                ClaimValue::Object(members.into_iter().collect())
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claims(json: &str) -> Claims {
        Claims::from_json(json.as_bytes()).unwrap()
    }

    fn read(bytes: &[u8]) -> Option<Claims> {
        let mut reader = WireReader::new(bytes);
        reader.claims().filter(|_| reader.is_at_end())
    }

    fn map(claims: &Claims) -> BTreeMap<Box<str>, ClaimValue> {
        claims.iter().map(|(name, value)| (name.into(), value.clone())).collect()
    }

    fn value() -> impl Strategy<Value = ClaimValue> {
        let text = || "[a-z]{0,4}|\\PC{0,30}|[a-z]{127,129}".prop_map(|text: String| Text::from(text));
        let leaf = prop_oneof![
            Just(ClaimValue::Null),
            any::<bool>().prop_map(ClaimValue::Bool),
            text().prop_map(ClaimValue::Number),
            text().prop_map(ClaimValue::Text),
        ];
        leaf.prop_recursive(4, 12, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(ClaimValue::List),
                proptest::collection::btree_map("[a-zä]{0,3}".prop_map(String::into_boxed_str), inner, 0..4)
                    .prop_map(ClaimValue::Object),
            ]
        })
    }

    proptest! {
        #[test]
        fn t02_claims_are_read_as_postcard_reads_them(
            known in proptest::collection::btree_map("[a-z]{0,30}|\\PC{0,9}".prop_map(String::into_boxed_str), value(), 0..6),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = postcard::to_allocvec(&known).unwrap();
            let claims = read(&bytes).unwrap();
            prop_assert_eq!(map(&claims), known);
            prop_assert_eq!(&postcard::to_allocvec(&claims).unwrap(), &bytes);
            // What is damaged is refused, or read as postcard reads it.
            let place = at.index(bytes.len());
            bytes[place] = byte;
            if let Some(claims) = read(&bytes) {
                prop_assert_eq!(map(&claims), postcard::from_bytes::<BTreeMap<Box<str>, ClaimValue>>(&bytes).unwrap());
            }
        }

        #[test]
        fn t02_numbers_are_read_as_postcard_reads_them(number in any::<i64>(), bytes in proptest::collection::vec(any::<u8>(), 0..12), shift in 0..63_u32, behind in 0..9_usize) {
            let number = number >> shift;
            let mut written = postcard::to_allocvec(&number).unwrap();
            let length = written.len();
            written.resize(length + behind, 0xff);
            let mut reader = WireReader::new(&written);
            prop_assert_eq!((reader.signed(), reader.rest.len()), (Some(number), behind));
            prop_assert_eq!(WireReader::new(&bytes).signed(), postcard::from_bytes::<i64>(&bytes).ok());
        }
    }

    #[test]
    fn a_count_has_at_most_32_bits_and_five_bytes_whatever_stands_behind_it() {
        for behind in [0, 1, 2, 3, 40] {
            let count = |bytes: &[u8]| WireReader::new(&[bytes, &vec![0xff; behind]].concat()).count();
            assert_eq!(count(&[0x7f]), Some(127));
            assert_eq!(count(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Some(u32::MAX));
            assert_eq!(count(&[0x80, 0x80, 0x80, 0x80, 0x10]), None);
            assert_eq!(count(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), None, "{behind}");
        }
    }

    #[test]
    fn names_that_come_in_any_order_and_twice_stand_in_order_and_once() {
        let wild = [("b", true), ("c", true), ("a", true), ("b", false), ("d", true)];
        let wild: Vec<_> = wild.map(|(name, truth)| (name, ClaimValue::Bool(truth))).into();
        let read = read(&postcard::to_allocvec(&wild).unwrap()).unwrap();
        assert_eq!(read, claims(r#"{"a":true,"b":false,"c":true,"d":true}"#));
    }

    #[test]
    fn names_side_by_side_and_backwards_stand_in_order_and_once_too() {
        for names in [&["b", "b"][..], &["a", "a", "b"], &["a", "b", "b"], &["c", "b", "a"], &["b", "a", "a"]] {
            let wild: Vec<_> = names.iter().zip([true, false, true]).collect();
            let values: Vec<_> = wild.iter().map(|(name, truth)| (name, ClaimValue::Bool(*truth))).collect();
            let claims = read(&postcard::to_allocvec(&values).unwrap()).unwrap();
            let found: Vec<_> = claims.iter().map(|(name, value)| (name, value.clone())).collect();
            let last: BTreeMap<&str, bool> = wild.into_iter().map(|(name, truth)| (*name, truth)).collect();
            let expected: Vec<_> = last.into_iter().map(|(name, truth)| (name, ClaimValue::Bool(truth))).collect();
            assert_eq!(found, expected, "{names:?}");
        }
    }

    #[test]
    fn c03_what_breaks_off_or_goes_on_is_no_set_of_claims() {
        let mut bytes = postcard::to_allocvec(&claims(r#"{"a":"text","b":["x"],"c":{"d":1}}"#)).unwrap();
        for length in 0..bytes.len() {
            assert_eq!(read(&bytes[..length]), None, "{length}");
        }
        bytes.push(0);
        assert_eq!(read(&bytes), None);
        for bytes in [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[1, 1, b'a', 6], &[1, 1, b'a', 1, 2], &[1, 1, 0xff, 0]] {
            assert_eq!(read(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn claims_as_deep_as_a_provider_may_nest_them_are_read_and_no_deeper_ones() {
        let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        let deepest = claims(&nested(MAX_DEPTH));
        assert_eq!(read(&postcard::to_allocvec(&deepest).unwrap()), Some(deepest));
        // Lists of one value, and objects of one member.
        for level in [&[4, 1][..], &[5, 1, 1, b'a']] {
            let deeper = [&[1, 1, b'a'][..], &level.repeat(MAX_DEPTH), &[0]].concat();
            assert_eq!(read(&deeper), None, "{level:?}");
        }
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
