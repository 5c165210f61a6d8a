//! From a text to the bytes of a header field: never cut, never silently replaced (S06).
//!
//! Control characters are refused in every encoding, C1 ones included, and so is what does not fit; what then happens is
//! the policy's `unencodable`. A space at either end is dropped by every HTTP parser on the way, which would make two
//! people of one name look alike to the application, so that too counts as not encodable.
//!
//! May touch: nothing. Trust boundary: values come from claims and requests.
//! Specification: RFC 9110 section 5.5 (field values), RFC 3986 section 2.1 (percent), RFC 4648 section 4 (base64).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How a text becomes bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    /// The bytes of UTF-8.
    #[default]
    Utf8,
    /// Everything but printable ASCII, and `%` and space, as `%XX` of UTF-8.
    Percent,
    /// One byte per character; only up to U+00FF.
    Latin1,
    /// Base64 of UTF-8.
    Base64,
}

/// What happens to a value that its encoding cannot carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Unencodable {
    /// The request is denied.
    #[default]
    Deny,
    /// The whole value is percent-encoded instead.
    Percent,
    /// The header is not sent.
    Omit,
}

/// Why a text cannot be a field value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EncodeError {
    /// It contains a control character; no encoding carries that.
    Control,
    /// Another encoding could carry it.
    Unencodable(&'static str),
}

/// Encodes `text`.
pub(super) fn encode(text: &str, encoding: Encoding) -> Result<Vec<u8>, EncodeError> {
    if text.chars().any(char::is_control) {
        return Err(EncodeError::Control);
    }
    match encoding {
        Encoding::Utf8 => no_edge_space(text).map(|text| text.as_bytes().to_vec()),
        Encoding::Percent => Ok(percent(text).into_bytes()),
        Encoding::Latin1 => no_edge_space(text)?
            .chars()
            .map(|character| {
                u8::try_from(character).map_err(|_| EncodeError::Unencodable("a character is not Latin-1"))
            })
            .collect(),
        Encoding::Base64 => Ok(STANDARD.encode(text).into_bytes()),
    }
}

/// Percent-encodes what is no printable ASCII, and `%` and space.
pub(super) fn percent(text: &str) -> String {
    percent_with(text, "")
}

/// Percent-encodes like [`percent`], and the bytes of `also` too.
pub(super) fn percent_with(text: &str, also: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' && !also.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Whether a space stands at either end.
pub(super) fn has_edge_space(text: &str) -> bool {
    text.starts_with(' ') || text.ends_with(' ')
}

fn no_edge_space(text: &str) -> Result<&str, EncodeError> {
    if has_edge_space(text) {
        return Err(EncodeError::Unencodable("a space at its beginning or end would be lost on the way"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Encoding; 4] = [Encoding::Utf8, Encoding::Percent, Encoding::Latin1, Encoding::Base64];

    #[test]
    fn s06_control_characters_pass_in_no_encoding() {
        for control in ["\r", "\n", "\0", "\t", "\u{1b}", "\u{7f}", "\u{85}", "\u{9f}"] {
            for encoding in ALL {
                assert_eq!(encode(&format!("a{control}b"), encoding), Err(EncodeError::Control), "{control:?}");
            }
        }
    }

    #[test]
    fn s06_non_ascii_is_encoded_as_the_policy_says() {
        let cases: [(&str, Encoding, &[u8]); 6] = [
            ("名前", Encoding::Utf8, "名前".as_bytes()),
            ("Zoë", Encoding::Latin1, b"Zo\xeb"),
            ("Zoë 5%", Encoding::Percent, b"Zo%C3%AB%205%25"),
            ("名", Encoding::Base64, b"5ZCN"),
            ("a b", Encoding::Utf8, b"a b"),
            ("", Encoding::Utf8, b""),
        ];
        for (text, encoding, bytes) in cases {
            assert_eq!(encode(text, encoding).as_deref(), Ok(bytes), "{text}");
        }
        assert!(matches!(encode("名前", Encoding::Latin1), Err(EncodeError::Unencodable(_))));
    }

    #[test]
    fn s06_spaces_at_the_ends_are_not_lost_silently() {
        for text in [" admin", "admin ", " "] {
            for encoding in [Encoding::Utf8, Encoding::Latin1] {
                assert!(matches!(encode(text, encoding), Err(EncodeError::Unencodable(_))), "{text:?}");
            }
        }
        assert_eq!(encode(" admin", Encoding::Percent).as_deref(), Ok(&b"%20admin"[..]));
    }

    proptest! {
        #[test]
        fn s06_what_is_encoded_is_a_field_value(text in "\\PC{0,30}|.{0,30}") {
            for encoding in ALL {
                if let Ok(bytes) = encode(&text, encoding) {
                    prop_assert!(bytes.iter().all(|byte| *byte >= 0x20 && *byte != 0x7f));
                    prop_assert!(http::HeaderValue::from_bytes(&bytes).is_ok());
                }
            }
        }

        #[test]
        fn percent_encoding_can_be_undone(text in "\\PC{0,30}") {
            let decoded = percent_encoding::percent_decode_str(&percent(&text)).decode_utf8().unwrap().into_owned();
            prop_assert_eq!(decoded, text);
        }
    }
}
