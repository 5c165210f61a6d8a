//! The `Authorization` field of a request that may carry a bearer token.
//!
//! [`take`] takes the field out of the request, so that nothing later can pass it on by mistake. Several fields are refused: which of them
//! counts differs from program to program. Another scheme than `Bearer` is none of the gateway's and is told apart from no field at all.
//!
//! May touch: nothing but memory. Trust boundary: the field is a stranger's. Specification: RFC 6750 section 2.1
//! (`b64token`), RFC 9110 section 11.6.2 and 5.3 (a field that is no list stands once).

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue};

const SCHEME: &[u8] = b"bearer";

/// What stood in the field.
pub enum Authorization {
    /// There was no such field.
    Absent,
    /// Another scheme than `Bearer`.
    Other,
    /// A bearer token.
    Bearer(BearerToken),
}

/// A bearer token as it was sent: characters of the grammar, nothing of it verified. No `Debug`: it is a key.
pub struct BearerToken {
    field: HeaderValue,
    start: usize,
}

/// Why the field cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorizationError {
    /// There are several fields.
    Repeated,
    /// The scheme is `Bearer`, and what follows is no token.
    Malformed,
}

impl BearerToken {
    /// The token.
    pub fn text(&self) -> &str {
        self.field.to_str().ok().and_then(|field| field.get(self.start..)).unwrap_or_default()
    }

    /// The whole field, for an application that is to get it.
    pub fn field(&self) -> &HeaderValue {
        &self.field
    }
}

/// Schemes by which a server lets a person sign in on a connection, which is theirs afterwards (RFC 4559 section 6, MS-NTHT section 1.3).
const OF_CONNECTIONS: [&[u8]; 4] = [b"ntlm", b"negotiate", b"nego2", b"kerberos"];

/// Whether a server may take whatever comes on the connection afterwards for the person of this `Authorization`.
pub fn signs_a_connection_in(value: &HeaderValue) -> bool {
    let value = value.as_bytes().trim_ascii_start();
    let scheme = value.split(|byte| byte.is_ascii_whitespace() || *byte == b',').next().unwrap_or_default();
    OF_CONNECTIONS.iter().any(|known| known.eq_ignore_ascii_case(scheme))
}

/// Takes every `Authorization` field out of `headers` and says what stood there.
pub fn take(headers: &mut HeaderMap) -> Result<Authorization, AuthorizationError> {
    let several = headers.get_all(AUTHORIZATION).iter().nth(1).is_some();
    let Some(mut field) = headers.remove(AUTHORIZATION) else { return Ok(Authorization::Absent) };
    if several {
        return Err(AuthorizationError::Repeated);
    }
    field.set_sensitive(true);
    match token_start(field.as_bytes())? {
        None => Ok(Authorization::Other),
        Some(start) => Ok(Authorization::Bearer(BearerToken { field, start })),
    }
}

/// Whether any `Authorization` field is of the scheme `Bearer`, well formed or not.
pub fn mentions_bearer(headers: &HeaderMap) -> bool {
    headers.get_all(AUTHORIZATION).iter().any(|field| is_bearer(field.as_bytes()))
}

/// `Bearer` in any case, followed by white space or nothing.
fn is_bearer(field: &[u8]) -> bool {
    let field = field.trim_ascii_start();
    let (scheme, rest) = field.split_at_checked(SCHEME.len()).unwrap_or((field, b""));
    scheme.eq_ignore_ascii_case(SCHEME) && rest.first().is_none_or(u8::is_ascii_whitespace)
}

/// Where the token begins; none when the scheme is another.
fn token_start(field: &[u8]) -> Result<Option<usize>, AuthorizationError> {
    if !is_bearer(field) {
        return Ok(None);
    }
    // credentials = "Bearer" 1*SP b64token
    let rest = field.get(SCHEME.len()..).unwrap_or_default();
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    let token = rest.get(spaces..).unwrap_or_default();
    let sound = spaces > 0 && field.first().is_some_and(u8::is_ascii_alphabetic) && is_b64token(token);
    if sound { Ok(Some(SCHEME.len() + spaces)) } else { Err(AuthorizationError::Malformed) }
}

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
fn is_b64token(token: &[u8]) -> bool {
    let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = token.get(..token.len() - padding).unwrap_or_default();
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    !body.is_empty() && body.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h07_schemes_that_sign_a_connection_in_are_known_however_they_are_written() {
        let signs_in = |text: &'static str| signs_a_connection_in(&HeaderValue::from_static(text));
        for text in ["NTLM TlRM", "ntlm", "Negotiate YII=", " NEGOTIATE\tYII=", "\tnego2 x", "Kerberos,x"] {
            assert!(signs_in(text), "{text:?}");
        }
        for text in ["", " ", "Basic TlRM", "Bearer ntlm", "NTLMv2 x", "x-ntlm y", "negotiated"] {
            assert!(!signs_in(text), "{text:?}");
        }
    }

    fn taken(fields: &[&[u8]]) -> Result<Option<String>, AuthorizationError> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(field).unwrap());
        }
        let outcome = take(&mut headers);
        assert!(!headers.contains_key(AUTHORIZATION), "a field was left");
        outcome.map(|found| match found {
            Authorization::Bearer(token) => Some(token.text().to_owned()),
            Authorization::Other => Some("other".to_owned()),
            Authorization::Absent => None,
        })
    }

    #[test]
    fn tokens_of_the_grammar_are_taken() {
        for (field, token) in [
            ("Bearer abc", "abc"),
            ("bEARER a.b-c_d~e+f/g==", "a.b-c_d~e+f/g=="),
            ("Bearer   x", "x"),
            ("Basic YTpi", "other"),
            ("BearerX abc", "other"),
            ("DPoP abc", "other"),
            ("", "other"),
        ] {
            assert_eq!(taken(&[field.as_bytes()]), Ok(Some(token.to_owned())), "{field}");
        }
        assert_eq!(taken(&[]), Ok(None));
    }

    #[test]
    fn fields_that_are_in_doubt_are_refused() {
        for bad in [
            &b"Bearer"[..],
            b"Bearer ",
            b"Bearer\tabc",
            b"Bearer a b",
            b"Bearer a,b",
            b"Bearer abc, Bearer def",
            b"Bearer =",
            b"Bearer a=b",
            b"Bearer \"abc\"",
            b"Bearer abc\xff",
            b"Bearer abc;x",
            b" Bearer abc",
            // The scheme would be counted from the field's beginning, and what stands behind that is a space and a word.
            b"       Bearer",
        ] {
            assert_eq!(taken(&[bad]), Err(AuthorizationError::Malformed), "{:?}", String::from_utf8_lossy(bad));
        }
        for both in [[&b"Bearer a"[..], b"Bearer a"], [b"Basic YTpi", b"Bearer a"], [b"Basic a", b"Basic b"]] {
            assert_eq!(taken(&both), Err(AuthorizationError::Repeated));
        }
    }

    #[test]
    fn a_bearer_scheme_is_seen_in_any_form() {
        for (field, seen) in [("Bearer", true), ("bearer x", true), ("Bearer\tx", true), ("Basic Bearer", false)] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(field));
            assert_eq!(mentions_bearer(&headers), seen, "{field}");
        }
    }
}
