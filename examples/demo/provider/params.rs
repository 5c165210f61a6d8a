//! The parameters of a request, from its query or its form.
//!
//! A name that comes twice is refused, an empty value counts as absent; both are rules of OAuth 2.0. Pure.
//! Trust: everything in here was written by whoever sent the request.
//!
//! RFC 6749 section 3.1, application/x-www-form-urlencoded of the URL standard.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::header::COOKIE;
use url::form_urlencoded;

/// Parameters by name, each at most once.
pub(super) struct Params(BTreeMap<String, String>);

/// The name of a parameter that came more than once.
#[derive(Debug)]
pub(super) struct Repeated(pub(super) String);

impl Params {
    /// Reads form-encoded text: a query without its question mark, or a form body.
    pub(super) fn parse(encoded: &[u8]) -> Result<Self, Repeated> {
        let mut params = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(encoded) {
            if params.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(Repeated(name.into_owned()));
            }
        }
        Ok(Self(params))
    }

    /// The value of a parameter that is there and not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?;
        (!value.is_empty()).then_some(value.as_str())
    }

    /// Tells whether a parameter of space-separated words holds `word`.
    pub(super) fn has_word(&self, name: &str, word: &str) -> bool {
        self.words(name).any(|found| found == word)
    }

    /// The words of a parameter that is a space-separated list.
    pub(super) fn words(&self, name: &str) -> impl Iterator<Item = &str> {
        self.text(name).unwrap_or_default().split(' ').filter(|word| !word.is_empty())
    }
}

/// The value of the first cookie called `name`.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(found, value)| (found == name).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_empty_ones_are_absent() {
        let params = Params::parse(b"a=x+y%26z&b=&c=1").unwrap();
        assert_eq!(params.text("a"), Some("x y&z"));
        assert_eq!(params.text("b"), None);
        assert_eq!(params.text("d"), None);
    }

    #[test]
    fn a_repeated_name_is_refused() {
        let Err(Repeated(name)) = Params::parse(b"state=1&code=2&state=1") else {
            panic!("accepted");
        };
        assert_eq!(name, "state");
        assert!(Params::parse(b"state=1&st%61te=2").is_err());
    }

    #[test]
    fn words_are_separated_by_spaces() {
        let params = Params::parse(b"scope=openid++email").unwrap();
        assert_eq!(params.words("scope").collect::<Vec<_>>(), ["openid", "email"]);
        assert!(params.has_word("scope", "email"));
        assert!(!params.has_word("scope", "mail"));
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "xid=1; id=2".parse().unwrap());
        headers.append(COOKIE, "other=3".parse().unwrap());
        assert_eq!(cookie(&headers, "id"), Some("2"));
        assert_eq!(cookie(&headers, "other"), Some("3"));
        assert_eq!(cookie(&headers, "d"), None);
    }
}
