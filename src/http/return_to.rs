//! Where a person goes after a login: a place on the application's own origin, and nothing else (O01).
//!
//! A [`ReturnTo`] is a canonical path with an optional query. It has no scheme and no authority, so a `Location` made
//! of it cannot leave the origin, however a browser resolves it: its path starts with exactly one slash, holds neither
//! backslash nor control byte (browsers drop tabs and newlines), and neither does its query.
//!
//! Trust boundary: made of what a stranger asked for. Specification: RFC 9110 section 10.2.2, the URL standard's parser.

use std::fmt;

use super::path::{CanonicalPath, PathSwitches};

/// The longest return address in bytes; a longer one would not fit beside the rest of a pending login.
pub const MAX_LENGTH: usize = 2048;

/// A path and query on the application's own origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo(Box<str>);

impl ReturnTo {
    /// The application's root.
    pub fn root() -> Self {
        Self("/".into())
    }

    /// The address of a request whose path was already checked. Longer than [`MAX_LENGTH`], or with a doubtful query: none.
    pub fn of_request(path: &CanonicalPath, query: Option<&str>) -> Option<Self> {
        let text = match query {
            None => path.to_string(),
            Some(query) => format!("{path}?{query}"),
        };
        let sound = text.len() <= MAX_LENGTH && query.unwrap_or_default().bytes().all(may_stand_in_query);
        sound.then(|| Self(text.into()))
    }

    /// Reads an address that came in as text. Anything but a path and query of this origin: none.
    pub fn parse(text: &str) -> Option<Self> {
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (text, None),
        };
        if path.starts_with("//") {
            return None;
        }
        // Whether its application wants a parameter kept is asked when the browser comes there.
        Self::of_request(&CanonicalPath::parse_keeping(path, PathSwitches::ALL).ok()?, query)
    }

    /// The text for a `Location` field.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReturnTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Visible ASCII without what browsers strip, rewrite or cut at.
const fn may_stand_in_query(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && !matches!(byte, b'#' | b'\\' | b'"' | b'<' | b'>')
}

#[cfg(test)]
mod tests {
    use super::*;

    include!("../../tests/data/return_to.rs");

    #[test]
    fn o01_hostile_addresses_never_leave_the_origin() {
        let origin = url::Url::parse("https://app.example/some/page").unwrap();
        let own = |kept: &ReturnTo| origin.join(kept.as_str()).unwrap().origin() == origin.origin();
        let (mut all, mut foreign) = (std::collections::BTreeSet::new(), 0);
        for address in lines(HOSTILE) {
            let kept = ReturnTo::parse(&address);
            assert!(kept.as_ref().is_none_or(own), "{address:?} became {kept:?}");
            if origin.join(&address).is_ok_and(|url| url.origin() != origin.origin()) {
                assert_eq!(kept, None, "{address:?} is somewhere else");
                foreign += 1;
            }
            if let Ok(path) = CanonicalPath::parse(address.split('?').next().unwrap()) {
                let kept = ReturnTo::of_request(&path, None);
                assert!(kept.as_ref().is_none_or(own), "{address:?} became {kept:?}");
            }
            assert!(all.insert(address.clone()), "{address:?} stands there twice");
        }
        assert!(all.len() >= 400 && foreign >= 200, "{} addresses, {foreign} of them elsewhere", all.len());
    }

    #[test]
    fn o02_good_addresses_survive_unchanged() {
        let mut count = 0;
        for address in lines(GOOD) {
            count += 1;
            assert_eq!(ReturnTo::parse(&address).map(|kept| kept.to_string()), Some(address));
        }
        assert!(count >= 60, "{count} addresses");
    }

    #[test]
    fn o02_good_addresses_are_the_same_place_to_a_parser_of_the_url_standard() {
        let origin = url::Url::parse("https://app.example/some/page").unwrap();
        for address in lines(GOOD) {
            let read = origin.join(ReturnTo::parse(&address).unwrap().as_str()).unwrap();
            assert_eq!(read.origin(), origin.origin(), "{address}");
            assert_eq!(read[url::Position::BeforePath..], as_browsers_write(&address));
        }
    }

    #[test]
    fn o01_each_byte_stands_in_a_query_or_not_at_all() {
        for byte in 0..=0x7fu8 {
            let expected = byte.is_ascii_graphic() && !b"#\\\"<>".contains(&byte);
            let address = format!("/x?a{}b", char::from(byte));
            assert_eq!(ReturnTo::parse(&address).is_some(), expected, "{address:?}");
        }
    }

    #[test]
    fn o01_an_address_that_is_too_long_is_not_kept() {
        assert_eq!(ReturnTo::parse(&format!("/{}", "a".repeat(MAX_LENGTH))), None);
        assert!(ReturnTo::parse(&format!("/{}", "a".repeat(MAX_LENGTH - 1))).is_some());
        assert!(ReturnTo::parse(&format!("/?{}", "a".repeat(MAX_LENGTH - 2))).is_some());
        assert_eq!(ReturnTo::parse(&format!("/?{}", "a".repeat(MAX_LENGTH - 1))), None);
        assert_eq!(ReturnTo::root().as_str(), "/");
    }
}
