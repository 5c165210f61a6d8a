//! One parameter of a query, read so that no application can read another value than the policy did.
//!
//! Servers disagree about queries: of a name that stands twice some take the first value, some the last and some both; PHP
//! reads `a.b` and `a b` as `a_b` and cuts `a[x]`, Rack takes `]a` and `[]a` for `a`, Zope takes `a:int`, ASP ignores case and stray `%` and
//! reads `%u0061` as `a`, older ones split at `;` and take bytes that are too many for a letter (`%c1%a1`) for it, C stops at a NUL. What stands for a name that is no sound escape could be
//! any name. Where any of them could see another value than the one found here, the parameter is [`Parameter::Ambiguous`], and
//! a request that a policy decides by it is denied.
//!
//! May touch: nothing. Trust boundary: the query is a stranger's. Cost: one pass over at most [`MAX_PARAMETERS`]. Specification: the URL Standard, application/x-www-form-urlencoded parsing.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::http::has_broken_escape;

/// The most parameters that are told apart: PHP's `max_input_vars`, behind which it stops reading and others go on.
const MAX_PARAMETERS: usize = 1000;

/// What a query holds under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parameter<'q> {
    /// Nothing that any application would find under the name.
    Absent,
    /// Exactly one value, decoded.
    One(Cow<'q, str>),
    /// Something that applications may read in different ways.
    Ambiguous,
}

/// The parameter `name` (decoded, as a policy writes it) of `query`.
pub(super) fn parameter<'q>(query: Option<&'q str>, name: &str) -> Parameter<'q> {
    let mut found = Parameter::Absent;
    if query.is_some_and(|query| query.bytes().filter(|byte| matches!(byte, b'&' | b';')).count() >= MAX_PARAMETERS) {
        return Parameter::Ambiguous;
    }
    for piece in query.unwrap_or_default().split('&') {
        if piece.split(';').all(|part| !could_be(name_of(part), name)) {
            continue;
        }
        let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
        let one = matches!(found, Parameter::Absent) && !piece.contains(';') && decoded(key).as_deref() == Some(name);
        found = match decoded(value) {
            Some(value) if one => Parameter::One(value),
            _ => return Parameter::Ambiguous,
        };
    }
    found
}

fn name_of(part: &str) -> &str {
    part.split_once('=').map_or(part, |(name, _)| name)
}

/// The text that `raw` stands for; none where escapes are broken, bytes are no UTF-8 or a NUL could end the text early.
fn decoded(raw: &str) -> Option<Cow<'_, str>> {
    if has_broken_escape(raw.as_bytes()) {
        return None;
    }
    let text = match spaces(raw) {
        Cow::Borrowed(raw) => percent_decode_str(raw).decode_utf8().ok()?,
        Cow::Owned(raw) => Cow::Owned(percent_decode_str(&raw).decode_utf8().ok()?.into_owned()),
    };
    (!text.contains('\0')).then_some(text)
}

/// `+` is a space.
fn spaces(raw: &str) -> Cow<'_, str> {
    if raw.contains('+') { Cow::Owned(raw.replace('+', " ")) } else { Cow::Borrowed(raw) }
}

/// Whether some application would take the parameter called `raw` for `name`.
fn could_be(raw: &str, name: &str) -> bool {
    if has_broken_escape(raw.as_bytes()) {
        return true;
    }
    let spaced = spaces(raw);
    let bytes: Cow<'_, [u8]> = percent_decode_str(&spaced).into();
    let bytes = shortest(&bytes);
    let lenient = String::from_utf8_lossy(&bytes);
    let ended = lenient.split('\0').next().unwrap_or_default();
    let bare = ended.trim_start_matches([' ', '[', ']']);
    let wanted = name.trim_start_matches([' ', '[', ']']);
    let bare = if wanted.contains(':') { bare } else { before_converter(bare) };
    let (cut, cut_wanted) = (before_bracket(bare), before_bracket(wanted));
    same(bare, wanted) || same(cut, wanted) || same(bare, cut_wanted) || same(cut, cut_wanted)
}

/// Bytes in which ASCII is written in one byte, where two or three were taken for it: no UTF-8 (RFC 3629 section 3), and read by older decoders.
fn shortest(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.iter().any(|byte| matches!(byte, 0xc0 | 0xc1 | 0xe0)) {
        return Cow::Borrowed(bytes);
    }
    let mut short = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        let (byte, after) = match rest {
            [0xe0, high @ 0x80..=0x81, low @ 0x80..=0xbf, after @ ..] => ((high & 1) << 6 | (low & 0x3f), after),
            [high @ 0xc0..=0xc1, low @ 0x80..=0xbf, after @ ..] => ((high & 1) << 6 | (low & 0x3f), after),
            _ => (*first, after),
        };
        short.push(byte);
        rest = after;
    }
    Cow::Owned(short)
}

/// `a` of `a[x]`, and of the `a]` that is left of `[a]`.
fn before_bracket(name: &str) -> &str {
    name.split(['[', ']']).next().unwrap_or_default()
}

/// `a` of `a:int` and `a:utf8:list`.
fn before_converter(name: &str) -> &str {
    name.split(':').next().unwrap_or_default()
}

/// Whether two names are one where case, punctuation and stray signs do not count.
fn same(one: &str, other: &str) -> bool {
    folded(one).eq(folded(other))
}

fn folded(name: &str) -> impl Iterator<Item = char> + '_ {
    let kept = name.chars().filter(|character| !matches!(character, '%' | '\u{fffd}'));
    kept.flat_map(|character| match character {
        '.' | ' ' | '[' => '_'.to_lowercase(),
        // Over upper case, so that `ſ` and the Kelvin sign are the letters that some comparisons take them for.
        other => other.to_uppercase().next().unwrap_or(other).to_lowercase(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str, name: &str) -> Option<String> {
        match parameter(Some(query), name) {
            Parameter::One(value) => Some(value.into_owned()),
            Parameter::Absent => None,
            Parameter::Ambiguous => Some("(ambiguous)".to_owned()),
        }
    }

    #[test]
    fn parameters_are_decoded() {
        let cases = [
            ("a=1&b=2", "b", "2"),
            ("a", "a", ""),
            ("a=", "a", ""),
            ("a=b=c", "a", "b=c"),
            ("a=x+y%20z%2b", "a", "x y z+"),
            ("%61=n%C3%A4he", "a", "nähe"),
            ("a+b=1", "a b", "1"),
            ("a%20b=1", "a b", "1"),
            ("a%5B%5D=1", "a[]", "1"),
            ("x=%zz&a=1", "a", "1"),
            ("ab=2&a=1&&=3", "a", "1"),
            ("a=%3Bb=1", "a", ";b=1"),
            ("x;y=1&a=1", "a", "1"),
        ];
        for (query, name, value) in cases {
            assert_eq!(read(query, name).as_deref(), Some(value), "{query}");
        }
        assert_eq!(parameter(None, "a"), Parameter::Absent);
        for query in
            ["", "b=1", "ab=1", "=1", "&&", "b=a&c=%61", "b;c=1", "b=%u0061", "b=50%&c", "%c1=1", "gr%f6%dfe=1"]
        {
            assert_eq!(read(query, "a"), None, "{query}");
        }
    }

    #[test]
    fn more_parameters_than_applications_read_are_ambiguous() {
        let many = |count: usize| vec!["x=1"; count - 1].join("&") + "&a=1";
        assert_eq!(read(&many(MAX_PARAMETERS), "a").as_deref(), Some("1"));
        assert_eq!(read(&many(MAX_PARAMETERS + 1), "a").as_deref(), Some("(ambiguous)"));
    }

    #[test]
    fn what_an_application_could_read_differently_is_ambiguous() {
        let alone = [
            "a_b=1&a_b=1",
            "a_b=1&a.b=2",
            "a.b=2",
            "a+b=2",
            "a%20b=1",
            "A_B=1",
            "a_b[]=1",
            "a_b[x]=1",
            "a[b=1",
            "+a_b=1",
            "[a_b]=1",
            "a_b=1&a_b%00c=2",
            "a_b%00=1",
            "a_b=1%00",
            "a_b=%",
            "a_b=%4",
            "a_b=%zz",
            "a_b=%ff",
            "a_b=%u0041",
            "a%_b=1",
            "%a_b=2&a_b=1",
            "a_b=1;c=2",
            "a_b;c=2",
            "c=1;a_b=2",
            "a_b=1&c;A_B=2",
            "a_b=1&x=2;a.b",
            "a_b%ff=1",
            "%61_b=1&a%5fb=2",
            "a_b&a_b",
            "%u0061_b=1",
            "%U0061_B=1",
            "a_b=1&%u0061_b=2",
            "x=1;a%u005fb=2",
            "%zz=1",
            "a_b=1&100%",
            "%c1%a1_b=1",
            "%e0%81%a1_b=1",
            "a_b%c0%80c=1",
            "]a_b=1",
            "[]a_b=1",
            "[[]a_b]=1",
            "%5Da_b=1",
            "a_b=1&%5b%5DA.b=2",
            "a_b:string=1",
            "a_b%3Autf8%3alist=1",
            "a_b=1&a_b:int=2",
            "[]a_b[]:list=1",
            "a_b:x[]=1",
            "x=1;a_b:list=2",
        ];
        for query in alone {
            assert_eq!(read(query, "a_b").as_deref(), Some("(ambiguous)"), "{query}");
        }
        assert_eq!(read("\u{17f}ort=1", "sort").as_deref(), Some("(ambiguous)"));
        assert_eq!(read("a[]=1&a=2", "a[]").as_deref(), Some("(ambiguous)"));
        assert_eq!(read("a:b=1&]a:b=2", "a:b").as_deref(), Some("(ambiguous)"));
        assert_eq!(read("a:b=1&a=2", "a:b").as_deref(), Some("1"));
    }

    proptest::proptest! {
        #[test]
        fn a_value_that_is_sent_alone_is_read_back(name in "[a-z_]{1,8}", value in "\\PC{0,20}", other in "[A-Z]{9}=[&;]?[0-9]{0,3}") {
            let sent: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
            let queries = [format!("{name}={sent}"), format!("{other}&{name}={sent}"), format!("{name}={sent}&{other}")];
            for query in queries {
                let found = parameter(Some(&query), &name);
                proptest::prop_assert_eq!(found, Parameter::One(value.as_str().into()), "{}", query);
            }
        }

        #[test]
        fn a_name_in_escapes_of_any_kind_is_never_overlooked(name in "[a-z_]{1,8}", kinds in proptest::collection::vec(0usize..5, 8)) {
            let spell = |(byte, kind): (u8, &usize)| match kind {
                0 => char::from(byte).to_string(),
                1 => format!("%{byte:02x}"),
                2 => format!("%u{byte:04x}"),
                3 => format!("%U{byte:04X}"),
                _ => format!("%{:02x}%{:02x}", 0xc0 | (byte >> 6), 0x80 | (byte & 0x3f)),
            };
            let spelled: String = name.bytes().zip(&kinds).map(spell).collect();
            let query = format!("{spelled}=1");
            let found = parameter(Some(&query), &name);
            proptest::prop_assert_ne!(found, Parameter::Absent, "{}", spelled);
        }

        #[test]
        fn a_name_that_frameworks_cut_out_is_never_overlooked(
            name in "[a-z_]{1,8}", before in "[ \\[\\]]{0,3}", after in "(\\[[a-z]?\\]|\\])?(:[a-z]{1,6}){0,2}",
        ) {
            let sent: String = url::form_urlencoded::byte_serialize(format!("{before}{name}{after}").as_bytes()).collect();
            for query in [format!("{sent}=1"), format!("{before}{name}{after}=1").replace(' ', "+")] {
                let found = parameter(Some(&query), &name);
                proptest::prop_assert_ne!(found, Parameter::Absent, "{}", query);
            }
        }

        #[test]
        fn no_text_panics_and_no_second_value_is_overlooked(query in "[ab_.=&;%+\\[\\]0-9A]{0,40}") {
            if let Parameter::One(_) = parameter(Some(&query), "a") {
                let twice = format!("{query}&a=2");
                proptest::prop_assert_eq!(parameter(Some(&twice), "a"), Parameter::Ambiguous);
            }
        }
    }
}
