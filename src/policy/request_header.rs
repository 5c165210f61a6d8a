//! One field of a request's head, read so that no application can read another value than the policy did.
//!
//! A field is what a client says of itself: it proves nothing (S08). Where applications could read it differently, because it
//! stands there twice, under a name that many of them take for it, or is no sound text, it is [`Field::Ambiguous`], and a
//! request that a policy decides by it is denied.
//!
//! May touch: nothing. Trust boundary: fields are a stranger's, scrubbed of what the gateway itself says.
//! Specification: RFC 9110 sections 5.2 and 5.3, RFC 3875 section 4.1.18.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::http::fold::{fold, fold_byte};

/// What a request's head holds under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field<'r> {
    /// Nothing that any application would find under the name.
    Absent,
    /// One value.
    One(Cow<'r, str>),
    /// Something that applications may read in different ways.
    Ambiguous,
}

/// Folded names that may not be read: they carry secrets, or another value is the true one.
const UNREADABLE: [(&str, &str); 4] = [
    ("AUTHORIZATION", "credentials are for the application alone"),
    ("COOKIE", "cookies are for the application alone"),
    ("HOST", "write request.host"),
    ("PROXY_AUTHORIZATION", "credentials are for the application alone"),
];

/// What is removed from every request before rules are asked.
const REMOVED: [&str; 9] = [
    "CONNECTION",
    "FORWARDED",
    "KEEP_ALIVE",
    "TE",
    "TRAILER",
    "TRANSFER_ENCODING",
    "UPGRADE",
    "X_REAL_IP",
    "X_REQUEST_ID",
];

/// The name in the form in which it is looked for; or why it may not be read.
pub(super) fn readable(name: &str) -> Result<Box<str>, (String, String)> {
    let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
        return Err((
            format!("`{name}` is no header name"),
            "for example request.headers['accept-language']".to_owned(),
        ));
    };
    let folded = fold(name);
    if let Some((_, help)) = UNREADABLE.iter().find(|(unreadable, _)| *unreadable == folded) {
        return Err((format!("the header `{name}` cannot be read"), (*help).to_owned()));
    }
    if REMOVED.contains(&folded.as_str()) || folded.starts_with("X_FORWARDED_") {
        let help = "request.client, request.host and request.scheme say what is known".to_owned();
        return Err((format!("the header `{name}` is removed before rules are asked"), help));
    }
    Ok(parsed.as_str().into())
}

/// The field `name` (in lower case) of `headers`.
pub(super) fn field<'r>(headers: &'r HeaderMap, name: &str) -> Field<'r> {
    let mut found = Field::Absent;
    for (sent, value) in headers {
        if !folds_alike(sent.as_str(), name) {
            continue;
        }
        let Some(value) = text(value).filter(|_| sent.as_str() == name) else { return Field::Ambiguous };
        found = match found {
            Field::Absent => Field::One(Cow::Borrowed(value)),
            Field::One(before) if is_list(name) => Field::One(Cow::Owned(format!("{before}, {value}"))),
            _ => return Field::Ambiguous,
        };
    }
    found
}

fn folds_alike(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().map(fold_byte).eq(other.bytes().map(fold_byte))
}

/// Fields that HTTP itself defines as lists: several lines are one.
fn is_list(name: &str) -> bool {
    matches!(name, "accept" | "accept-charset" | "accept-encoding" | "accept-language" | "cache-control" | "via")
}

fn text(value: &HeaderValue) -> Option<&str> {
    let text = std::str::from_utf8(value.as_bytes()).ok()?;
    (!text.contains(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sent: &[(&str, &[u8])], name: &str) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        match field(&headers, name) {
            Field::Absent => "(absent)".to_owned(),
            Field::Ambiguous => "(ambiguous)".to_owned(),
            Field::One(value) => value.into_owned(),
        }
    }

    #[test]
    fn a_field_that_stands_there_once_is_read() {
        assert_eq!(read(&[("x-app", b"one"), ("y-app", b"two")], "x-app"), "one");
        assert_eq!(read(&[("X-App", "nähe".as_bytes())], "x-app"), "nähe");
        assert_eq!(read(&[("y-app", b"two"), ("x-apps", b"3")], "x-app"), "(absent)");
        assert_eq!(read(&[("accept", b"text/html"), ("accept", b"*/*")], "accept"), "text/html, */*");
    }

    #[test]
    fn a_field_that_applications_may_read_differently_is_ambiguous() {
        let cases: [&[(&str, &[u8])]; 6] = [
            &[("x-app", b"one"), ("x-app", b"two")],
            &[("x-app", b"one"), ("x-app", b"one")],
            &[("x-app", b"one"), ("x_app", b"two")],
            &[("x.app", b"two")],
            &[("x-app", b"\xff")],
            &[("x-app", b"a\tb")],
        ];
        for sent in cases {
            assert_eq!(read(sent, "x-app"), "(ambiguous)", "{sent:?}");
        }
    }

    #[test]
    fn secrets_and_what_is_removed_cannot_be_named() {
        for name in ["cookie", "Authorization", "host", "x-forwarded-for", "X_Forwarded_Host", "forwarded", "a b", ""] {
            assert!(readable(name).is_err(), "{name}");
        }
        assert_eq!(readable("Accept-Language"), Ok("accept-language".into()));
    }
}
