//! From a text to the bytes of a header field: never cut, never silently replaced (S06).
//!
//! Control characters are refused in every encoding, C1 ones included, and so is what does not fit; what then happens is
//! the policy's `unencodable`. A space at either end is dropped by every HTTP parser on the way, which would make two
//! people of one name look alike to the application, so that too counts as not encodable.
//!
//! May touch: nothing. Trust boundary: values come from claims and requests.
//! Specification: RFC 9110 section 5.5 (field values), RFC 3986 section 2.1 (percent), RFC 4648 section 4
//! (base64), RFC 2047 (encoded-words), RFC 6265 section 4.1.1 (cookies).

use std::borrow::Cow;

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
    /// Everything but ASCII, and `%`, as `%XX` of UTF-8; spaces too where they stand at an end.
    Utf8Percent,
    /// RFC 2047 encoded-words, where the text is not plain ASCII.
    Rfc2047,
}

/// What carries a value to the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Carrier {
    /// A header field of its own.
    #[default]
    Header,
    /// One cookie in the `Cookie` field (RFC 6265 section 4.1.1).
    Cookie,
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

/// Printable ASCII that no cookie can carry.
const NOT_IN_COOKIES: &str = "\",;\\";

impl Carrier {
    /// The encoding where the policy names none.
    pub(super) const fn encoding(self) -> Encoding {
        match self {
            Self::Header => Encoding::Utf8,
            Self::Cookie => Encoding::Percent,
        }
    }

    /// Printable ASCII that must be encoded too.
    const fn also(self) -> &'static str {
        match self {
            Self::Header => "",
            Self::Cookie => NOT_IN_COOKIES,
        }
    }

    /// Whether it can carry these bytes.
    pub(super) fn carries(self, bytes: &[u8]) -> bool {
        let octet = |byte: &u8| byte.is_ascii_graphic() && !NOT_IN_COOKIES.as_bytes().contains(byte);
        self == Self::Header || bytes.iter().all(octet)
    }
}

/// Encodes `text` for `carrier`; what stays as it is, is not copied.
pub(super) fn encode_for<'t>(
    text: impl Into<Cow<'t, str>>,
    encoding: Encoding,
    carrier: Carrier,
) -> Result<Cow<'t, [u8]>, EncodeError> {
    let text = text.into();
    if encoding == Encoding::Percent && carrier != Carrier::Header && !has_control(&text) {
        return Ok(Cow::Owned(percent_with(&text, carrier.also()).into_bytes()));
    }
    let bytes = encode(text, encoding)?;
    if !carrier.carries(&bytes) {
        return Err(EncodeError::Unencodable("a character cannot stand in a cookie"));
    }
    Ok(bytes)
}

/// Encodes `text` for a header.
pub(super) fn encode<'t>(text: impl Into<Cow<'t, str>>, encoding: Encoding) -> Result<Cow<'t, [u8]>, EncodeError> {
    let text = text.into();
    if has_control(&text) {
        return Err(EncodeError::Control);
    }
    Ok(Cow::Owned(match encoding {
        Encoding::Utf8 => {
            no_edge_space(&text)?;
            return Ok(match text {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            });
        }
        Encoding::Percent => percent(&text).into_bytes(),
        Encoding::Latin1 => no_edge_blank(&text)?
            .chars()
            .map(|character| {
                u8::try_from(character).map_err(|_| EncodeError::Unencodable("a character is not Latin-1"))
            })
            .collect::<Result<_, _>>()?,
        Encoding::Base64 => STANDARD.encode(&*text).into_bytes(),
        Encoding::Utf8Percent => percent_beyond_ascii(&text).into_bytes(),
        Encoding::Rfc2047 => encoded_words(&text).into_bytes(),
    }))
}

/// Whether a control character stands in a text, one of ASCII or of C1.
fn has_control(text: &str) -> bool {
    // Most texts are printable ASCII, which is found out without taking characters apart.
    let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    !printable && text.chars().any(char::is_control)
}

/// Percent-encodes `%`, everything that is not ASCII, and spaces at the ends, which would be lost.
fn percent_beyond_ascii(text: &str) -> String {
    let inner = text.trim_start_matches(' ');
    let start = text.len() - inner.len();
    let end = start + inner.trim_end_matches(' ').len();
    let mut out = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        let edge = byte == b' ' && !(start..end).contains(&at);
        if byte.is_ascii() && byte != b'%' && !edge {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// How many bytes of a text fit into one encoded-word: 75 less `=?UTF-8?B?` and `?=`, in Base64 (RFC 2047 section 2).
const WORD: usize = (75 - 12) / 4 * 3;

/// The text as RFC 2047 encoded-words of whole characters; plain ASCII that cannot be taken for one stays as it is.
fn encoded_words(text: &str) -> String {
    if text.is_ascii() && !text.contains("=?") && !has_edge_space(text) {
        return text.to_owned();
    }
    let (mut out, mut rest) = (String::new(), text);
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(WORD));
        // White space between two encoded-words is no part of the text (section 6.2).
        let space = if out.is_empty() { "" } else { " " };
        out.push_str(&format!("{space}=?UTF-8?B?{}?=", STANDARD.encode(word)));
        rest = after;
    }
    out
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

/// The no-break space of Latin-1 is one byte, which servers that decode fields so (WSGI) strip as they do a space.
fn no_edge_blank(text: &str) -> Result<&str, EncodeError> {
    if text.starts_with('\u{a0}') || text.ends_with('\u{a0}') {
        return Err(EncodeError::Unencodable("a no-break space at its beginning or end could be lost on the way"));
    }
    no_edge_space(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Encoding; 6] = [
        Encoding::Utf8,
        Encoding::Percent,
        Encoding::Latin1,
        Encoding::Base64,
        Encoding::Utf8Percent,
        Encoding::Rfc2047,
    ];

    /// What a reader of RFC 2047 takes from a field: encoded-words, the white space between two of them no part of the text.
    fn read_words(field: &str) -> String {
        if !field.contains("=?") {
            return field.to_owned();
        }
        let word = |word: &str| {
            assert!(word.len() <= 75, "{word}");
            let content = word.strip_prefix("=?UTF-8?B?").and_then(|rest| rest.strip_suffix("?=")).unwrap();
            String::from_utf8(STANDARD.decode(content).unwrap()).expect("whole characters in each word")
        };
        field.split(' ').map(word).collect()
    }

    #[test]
    fn s06_encoded_words_are_75_bytes_at_most_and_hold_whole_characters() {
        let word = |text: &str| String::from_utf8(encode(text, Encoding::Rfc2047).unwrap().into_owned()).unwrap();
        assert_eq!(word("Zoë"), "=?UTF-8?B?Wm/Dqw==?=");
        for plain in ["", "Ada Lovelace", "a=?b".replace("=?", "?=").as_str()] {
            assert_eq!(word(plain), plain, "plain ASCII stays");
        }
        for (text, words) in [("ä".repeat(22), 1), ("ä".repeat(23), 2), ("名".repeat(15), 1), ("名".repeat(16), 2)]
        {
            assert_eq!(word(&text).split(' ').count(), words, "{text}");
        }
        for text in ["=?UTF-8?Q?forged?=", " Ada", "名前 Lovelace "] {
            assert!(word(text).starts_with("=?UTF-8?B?"), "{text:?} could be read in another way");
            assert_eq!(read_words(&word(text)), text);
        }
    }

    #[test]
    fn s06_utf_8_percent_leaves_ascii_as_it_is() {
        let cases: [(&str, &[u8]); 4] =
            [("Zoë 5%", b"Zo%C3%AB 5%25"), (" a b ", b"%20a b%20"), ("  ", b"%20%20"), ("a;b", b"a;b")];
        for (text, bytes) in cases {
            assert_eq!(encode(text, Encoding::Utf8Percent).as_deref(), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn s06_a_cookie_carries_what_cookies_can() {
        let cookie = |text: &'static str, encoding| encode_for(text, encoding, Carrier::Cookie);
        assert_eq!(cookie("a b;\"c\",\\d", Encoding::Percent).as_deref(), Ok(&b"a%20b%3B%22c%22%2C%5Cd"[..]));
        assert_eq!(cookie("ada", Encoding::Utf8).as_deref(), Ok(&b"ada"[..]));
        for text in ["a b", "a;b", "a,b", "\"a\"", "a\\b", "名"] {
            assert!(matches!(cookie(text, Encoding::Utf8), Err(EncodeError::Unencodable(_))), "{text}");
        }
        assert_eq!(cookie("a\nb", Encoding::Percent), Err(EncodeError::Control));
    }

    #[test]
    fn s06_control_characters_pass_in_no_encoding() {
        for control in ["\r", "\n", "\0", "\t", "\u{1b}", "\u{7f}", "\u{85}", "\u{9f}"] {
            for encoding in ALL {
                assert_eq!(encode(format!("a{control}b"), encoding), Err(EncodeError::Control), "{control:?}");
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
        // Servers that decode fields as Latin-1 and strip them take a no-break space for a space.
        for text in ["\u{a0}admin", "admin\u{a0}", "\u{a0}", "admin \u{a0}"] {
            assert!(matches!(encode(text, Encoding::Latin1), Err(EncodeError::Unencodable(_))), "{text:?}");
            assert!(encode(text, Encoding::Utf8Percent).is_ok() && encode(text, Encoding::Rfc2047).is_ok(), "{text:?}");
        }
        assert_eq!(encode("a\u{a0}b", Encoding::Latin1).as_deref(), Ok(&b"a\xa0b"[..]));
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
        fn t02_what_a_cookie_carries_are_cookie_octets_in_every_encoding(text in "\\PC{0,30}|.{0,30}|[ -~]{0,12}") {
            for encoding in ALL {
                if let Ok(bytes) = encode_for(&text, encoding, Carrier::Cookie) {
                    let octets = |byte: &u8| matches!(*byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e);
                    prop_assert!(bytes.iter().all(octets), "{:?}", bytes);
                }
            }
        }

        #[test]
        fn t02_every_encoding_of_a_header_can_be_undone(text in "[ -~]{0,20}|\\PC{0,60}") {
            let unpercent = |bytes: &[u8]| percent_encoding::percent_decode(bytes).decode_utf8().unwrap().into_owned();
            for encoding in ALL {
                let Ok(bytes) = encode(&text, encoding) else { continue };
                let read = match encoding {
                    Encoding::Utf8 => String::from_utf8(bytes.into_owned()).unwrap(),
                    Encoding::Latin1 => bytes.iter().map(|byte| char::from(*byte)).collect(),
                    Encoding::Percent | Encoding::Utf8Percent => unpercent(&bytes),
                    Encoding::Base64 => String::from_utf8(STANDARD.decode(&bytes).unwrap()).unwrap(),
                    Encoding::Rfc2047 => read_words(std::str::from_utf8(&bytes).unwrap()),
                };
                prop_assert_eq!(&read, &text, "{:?}", encoding);
            }
        }

        #[test]
        fn percent_encoding_can_be_undone(text in "\\PC{0,30}") {
            let decoded = percent_encoding::percent_decode_str(&percent(&text)).decode_utf8().unwrap().into_owned();
            prop_assert_eq!(decoded, text);
        }
    }
}
