//! Base64 and percent-encoding of texts, which are taken as UTF-8.
//!
//! May touch: nothing. Trust boundary: what is decoded is a claim or a request; what is no UTF-8 or no sound encoding has no
//! result. Specification: RFC 4648 section 4, RFC 3986 section 2.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{Answer, Arguments, Call, MAX_TEXT};

/// With padding; without it, it is read all the same, as CEL's encoders do.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// All but what RFC 3986 leaves unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(super) fn base64_encode<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("base64.encode", &arguments)?;
    let text = call.text(0)?;
    // Four bytes for three: what is longer than this is not made at all.
    if text.len() > MAX_TEXT {
        return Err(call.failed("the result is too large"));
    }
    call.give(BASE64.encode(text))
}

pub(super) fn base64_decode<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("base64.decode", &arguments)?;
    let bytes = BASE64.decode(call.text(0)?).map_err(|_| call.failed("the text is no Base64"))?;
    call.give(String::from_utf8(bytes).map_err(|_| call.failed("what is encoded is no text"))?)
}

pub(super) fn percent_encode<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("percent.encode", &arguments)?;
    let text = call.text(0)?;
    if text.len() > MAX_TEXT {
        return Err(call.failed("the result is too large"));
    }
    call.give(utf8_percent_encode(text, RESERVED).to_string())
}

pub(super) fn percent_decode<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("percent.decode", &arguments)?;
    let text = call.text(0)?;
    let hex = |escape: &str| escape.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    if !text.split('%').skip(1).all(hex) {
        return Err(call.failed("an escape is broken"));
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| call.failed("what is encoded is no text"))?;
    call.give(decoded)
}
