//! What is refused, what is brought into one form, what is kept.

use super::*;
use proptest::prelude::*;

fn canonical(path: &str) -> String {
    CanonicalPath::parse(path).unwrap().as_str().to_owned()
}

#[test]
fn p01_doubtful_paths_are_refused() {
    let cases = [
        ("", PathError::NotAbsolute),
        ("admin", PathError::NotAbsolute),
        ("*", PathError::NotAbsolute),
        ("/a%00b", PathError::Control),
        ("/a%0d%0ab", PathError::Control),
        ("/a%7f", PathError::Control),
        ("/a\u{1}", PathError::Control),
        ("/a%", PathError::BadEscape),
        ("/a%4", PathError::BadEscape),
        ("/a%zz", PathError::BadEscape),
        ("/a%u0041", PathError::BadEscape),
        ("/a\\..\\b", PathError::Backslash),
        ("/a%5cb", PathError::Backslash),
        ("/a%5Cb", PathError::Backslash),
        ("/a%2fb", PathError::EncodedSlash),
        ("/a%2Fb", PathError::EncodedSlash),
        ("/..;/admin", PathError::PathParameter),
        ("/admin;x=1", PathError::PathParameter),
        ("/admin%3bx", PathError::PathParameter),
        ("/..", PathError::AboveRoot),
        ("/a/../..", PathError::AboveRoot),
        ("/%2e%2e/x", PathError::AboveRoot),
        ("/a%ff", PathError::NotUtf8),
        ("/a%c0%af", PathError::NotUtf8),
        ("/a%ed%a0%80", PathError::NotUtf8),
        ("/a b", PathError::RawByte(b' ')),
        ("/a\"b", PathError::RawByte(b'"')),
        ("/a<b", PathError::RawByte(b'<')),
        ("/ä", PathError::RawByte(0xc3)),
        ("/a#b", PathError::RawByte(b'#')),
        ("/a?b", PathError::RawByte(b'?')),
    ];
    for (path, error) in cases {
        assert_eq!(CanonicalPath::parse(path), Err(error), "{path:?}");
    }
}

#[test]
fn p01_what_all_servers_read_alike_gets_one_form() {
    let cases = [
        ("/", "/"),
        ("//", "/"),
        ("//evil.example/x", "/evil.example/x"),
        ("/a//b", "/a/b"),
        ("/a/./b/", "/a/b/"),
        ("/a/b/../c", "/a/c"),
        ("/a/b/..", "/a/"),
        ("/a/%2e%2E/b", "/b"),
        ("/odata/%24metadata", "/odata/$metadata"),
        ("/users/root%40corp.example/x", "/users/root@corp.example/x"),
        ("/%28internal%29/jobs/7%3adelete", "/(internal)/jobs/7:delete"),
        ("/a%2Bb%2cc%25", "/a+b,c%25"),
        ("//x/%5b%5D/../%7C%5e", "/x/|^"),
        ("/%61dmin", "/admin"),
        ("/a%c3%a4", "/a%C3%A4"),
        ("/a%25b", "/a%25b"),
        ("/a%252fb", "/a%252fb"),
        ("/a%2527b", "/a%2527b"),
        ("/...", "/..."),
        ("/.well-known/x", "/.well-known/x"),
        ("/a,b=c:d@e", "/a,b=c:d@e"),
    ];
    for (path, expected) in cases {
        assert_eq!(canonical(path), expected, "{path:?}");
    }
}

fn keeping(path: &str) -> Result<[String; 3], PathError> {
    let path = CanonicalPath::parse_keeping(path, PathSwitches::ALL)?;
    let other = path.other_reading().map(|other| other.to_string()).unwrap_or_default();
    Ok([path.as_str().to_owned(), path.parameters().to_owned(), other])
}

#[test]
fn p02_what_is_kept_is_what_servers_read_in_ways_that_are_known() {
    let cases = [
        ("/admin;jsessionid=1", ["/admin", ";jsessionid=1", ""]),
        ("/a/../admin;x", ["/admin", ";x", ""]),
        ("/%61dmin;a=%61%c3%a4;b", ["/admin", ";a=a%C3%A4;b", ""]),
        ("/admin;", ["/admin", ";", ""]),
        ("/x;..", ["/x", ";..", ""]),
        ("/...;x", ["/...", ";x", ""]),
        ("/projects/group%2fname/", ["/projects/group%2Fname/", "", "/projects/group/name/"]),
        ("/a%2fb;x", ["/a%2Fb", ";x", "/a/b"]),
        ("//a/./b%2Fc", ["/a/b%2Fc", "", "/a/b/c"]),
        ("/a%2fb/x/..", ["/a%2Fb/", "", "/a/b/"]),
        ("/a%2fb%40c;x=%40", ["/a%2Fb@c", ";x=%40", "/a/b@c"]),
        ("/plain/../x", ["/x", "", ""]),
    ];
    for (path, [text, parameters, other]) in cases {
        let expected = [text.to_owned(), parameters.to_owned(), other.to_owned()];
        assert_eq!(keeping(path), Ok(expected), "{path}");
    }
}

#[test]
fn p02_doubt_is_refused_whatever_an_application_wants_kept() {
    let cases = [
        ("/;/admin", PathError::PathParameter),
        ("/public/..;/admin", PathError::PathParameter),
        ("/public/..;x", PathError::PathParameter),
        ("/public/.;x", PathError::PathParameter),
        ("/public/%2e%2e;x", PathError::PathParameter),
        ("/;x", PathError::PathParameter),
        ("/admin/;x", PathError::PathParameter),
        ("/admin;x/", PathError::PathParameter),
        ("/admin;x/users", PathError::PathParameter),
        ("/public;x/../admin", PathError::PathParameter),
        ("/admin%3bx", PathError::PathParameter),
        ("/admin;a=%3b", PathError::PathParameter),
        ("/admin;x%2f..%2fpublic", PathError::EncodedSlash),
        ("/admin;x\\y", PathError::Backslash),
        ("/admin;%00", PathError::Control),
        ("/admin;%", PathError::BadEscape),
        ("/admin;%ff", PathError::NotUtf8),
        ("/%2fadmin", PathError::EncodedSlash),
        ("/admin%2f", PathError::EncodedSlash),
        ("/a%2f%2fb", PathError::EncodedSlash),
        ("/a%2f..%2fadmin", PathError::EncodedSlash),
        ("/a%2f%2e%2E", PathError::EncodedSlash),
        ("/..%2fadmin", PathError::EncodedSlash),
        ("/a/.%2fadmin", PathError::EncodedSlash),
        ("/a%2fb/../admin", PathError::EncodedSlash),
        ("/a%2f..;x", PathError::EncodedSlash),
        ("/a%5cb", PathError::Backslash),
        ("/a%2fb/../../..", PathError::AboveRoot),
        ("admin;x", PathError::NotAbsolute),
    ];
    for (path, error) in cases {
        assert_eq!(keeping(path), Err(error), "{path}");
    }
}

#[test]
fn p02_each_switch_keeps_its_own_thing_only() {
    let slash = PathSwitches { encoded_slash: true, parameters: false };
    let parameters = PathSwitches { encoded_slash: false, parameters: true };
    assert_eq!(CanonicalPath::parse_keeping("/a;x", slash), Err(PathError::PathParameter));
    assert_eq!(CanonicalPath::parse_keeping("/a%2fb", parameters), Err(PathError::EncodedSlash));
    assert_eq!(CanonicalPath::parse_keeping("/a;x", parameters).unwrap().needs(), parameters);
    assert_eq!(CanonicalPath::parse_keeping("/a%2fb", slash).unwrap().needs(), slash);
}

#[test]
fn p02_whether_anything_is_kept_is_known() {
    let plain = |path| CanonicalPath::parse_keeping(path, PathSwitches::ALL).unwrap().is_plain();
    assert!(plain("/a/../b%20c") && CanonicalPath::parse("/a").unwrap().is_plain());
    assert!(!plain("/a;x") && !plain("/a%2fb") && !plain("/a%2fb;x"));
}

#[test]
fn p02_one_of_two_is_enough_for_a_switch() {
    let all: Vec<PathSwitches> = [(false, false), (false, true), (true, false), (true, true)]
        .map(|(encoded_slash, parameters)| PathSwitches { encoded_slash, parameters })
        .to_vec();
    for (one, other) in all.iter().flat_map(|one| all.iter().map(move |other| (*one, *other))) {
        let either = one.or(other);
        assert_eq!(either.encoded_slash, [one, other].iter().any(|switches| switches.encoded_slash));
        assert_eq!(either.parameters, [one, other].iter().any(|switches| switches.parameters));
    }
}

#[test]
fn p03_paths_are_the_same_by_their_text_alone() {
    use std::hash::{BuildHasher as _, RandomState};

    let sent = |path: &'static str| CanonicalPath::of_target(&PathAndQuery::from_static(path)).unwrap();
    let (made, hash) = (CanonicalPath::parse("/a").unwrap(), RandomState::new());
    assert_eq!(sent("/a?x"), made);
    assert_ne!(sent("/b"), made);
    assert_ne!(CanonicalPath::parse("/b").unwrap(), made);
    assert_eq!(hash.hash_one(sent("/a")), hash.hash_one(&made));
    assert_ne!(hash.hash_one(sent("/b")), hash.hash_one(&made));
}

#[test]
fn prefixes_are_compared_by_segment() {
    let path = CanonicalPath::parse("/admin/payouts").unwrap();
    assert!(path.is_below("/admin") && path.is_below("/admin/") && path.is_below("/"));
    assert!(!path.is_below("/adm") && !path.is_below("/admin/pay"));
}

#[test]
fn p01_each_byte_stands_raw_escaped_or_not_at_all() {
    let raw = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,=:@[]|^";
    for byte in 0..=0x7fu8 {
        let expected = match byte {
            b'/' => Ok("/a/b".to_owned()),
            b'%' => Err(PathError::BadEscape),
            b'\\' => Err(PathError::Backslash),
            b';' => Err(PathError::PathParameter),
            0..=0x1f | 0x7f => Err(PathError::Control),
            other if raw.as_bytes().contains(&other) => Ok(format!("/a{}b", char::from(other))),
            other => Err(PathError::RawByte(other)),
        };
        let path = format!("/a{}b", char::from(byte));
        assert_eq!(CanonicalPath::parse(&path).map(|path| path.to_string()), expected, "{path:?}");
    }
    for value in 0..=0xffu8 {
        let expected = match value {
            b'/' => Err(PathError::EncodedSlash),
            b'\\' => Err(PathError::Backslash),
            b';' => Err(PathError::PathParameter),
            0..=0x1f | 0x7f => Err(PathError::Control),
            0x80.. => Err(PathError::NotUtf8),
            b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                Ok(format!("/a{}b", char::from(value)))
            }
            other => Ok(format!("/a%{other:02X}b")),
        };
        let path = format!("/a%{value:02x}b");
        assert_eq!(CanonicalPath::parse(&path).map(|path| path.to_string()), expected, "{path:?}");
        // Rules see what an application reads that undoes escapes.
        let read = if raw.as_bytes().contains(&value) { Ok(format!("/a{}b", char::from(value))) } else { expected };
        assert_eq!(CanonicalPath::parse(&path).map(|path| path.as_str().to_owned()), read, "{path:?}");
    }
}

#[test]
fn segments_are_what_stands_between_slashes() {
    for (path, segments) in [("/", &[""][..]), ("/a", &["a"]), ("/a/b/", &["a", "b", ""]), ("/.a/..b", &[".a", "..b"])]
    {
        assert_eq!(CanonicalPath::parse(path).unwrap().segments().collect::<Vec<_>>(), segments, "{path}");
    }
}

#[test]
fn every_refusal_has_its_code_and_its_words() {
    for (error, code, word) in [
        (PathError::NotAbsolute, "path_not_absolute", "start"),
        (PathError::BadEscape, "path_bad_escape", "hexadecimal"),
        (PathError::Control, "path_control", "control"),
        (PathError::EncodedSlash, "path_encoded_slash", "encoded slash"),
        (PathError::Backslash, "path_backslash", "backslash"),
        (PathError::PathParameter, "path_parameter", "semicolon"),
        (PathError::RawByte(b' '), "path_raw_byte", "0x20"),
        (PathError::NotUtf8, "path_not_utf8", "UTF-8"),
        (PathError::AboveRoot, "path_above_root", "above the root"),
    ] {
        assert_eq!(error.code(), code);
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn an_escape_is_broken_without_two_hexadecimal_digits_behind_it() {
    for sound in ["", "a", "%41", "a%2fb%2Fc", "%ff", "%00"] {
        assert!(!has_broken_escape(sound.as_bytes()), "{sound}");
    }
    for broken in ["%", "a%", "a%4", "%4g", "%g4", "%41%", "%%41", "%u0041", "% 41"] {
        assert!(has_broken_escape(broken.as_bytes()), "{broken}");
    }
}

proptest! {
    #[test]
    fn p03_canonicalisation_is_idempotent(path in "/([a-zA-Z0-9./]|%[0-9a-fA-F]{2}|[%~=]){0,40}") {
        if let Ok(once) = CanonicalPath::parse(&path) {
            let twice = CanonicalPath::parse(&once.to_string());
            prop_assert_eq!(twice.as_ref(), Ok(&once));
            let read = CanonicalPath::parse(once.as_str()).unwrap();
            prop_assert_eq!((read.as_str(), read.to_string()), (once.as_str(), once.as_str().to_owned()));
        }
    }

    #[test]
    fn p03_what_is_kept_parses_to_itself_and_changes_nothing_else(
        path in "/([a-z0-9./;]|%2[fF]|%[0-9a-fA-F]{2}|[%~=]){0,40}",
    ) {
        let kept = CanonicalPath::parse_keeping(&path, PathSwitches::ALL);
        if let Ok(once) = &kept {
            let twice = CanonicalPath::parse_keeping(&once.to_string(), once.needs());
            prop_assert_eq!(twice.as_ref(), Ok(once));
        }
        if let Ok(strict) = CanonicalPath::parse(&path) {
            prop_assert_eq!(kept.as_ref(), Ok(&strict));
        }
        prop_assert_eq!(CanonicalPath::parse_keeping(&path, PathSwitches::default()), CanonicalPath::parse(&path));
    }

    #[test]
    fn p01_a_canonical_path_has_no_segment_to_resolve(path in "(/([.]{0,3}|%2e|a|%2E%2e)){0,12}") {
        if let Ok(path) = CanonicalPath::parse(&path) {
            prop_assert!(path.as_str().starts_with('/'));
            prop_assert!(!path.as_str().contains("//"));
            prop_assert!(path.segments().all(|segment| segment != "." && segment != ".."));
        }
    }
}
