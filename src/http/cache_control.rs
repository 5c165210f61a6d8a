//! An answer that is for one browser alone: what it says to caches that several people share.
//!
//! A `Set-Cookie` field keeps no cache from keeping an answer, and one without any word on caching may be kept as well (RFC 9111 sections 3 and
//! 4.2.2). The browser's own cache may go on keeping it. Trust boundary: the fields are an application's; what cannot be read is replaced.
//! Specifications: RFC 9111 section 5.2.2, RFC 9213 (targeted fields).

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Fields beside `Cache-Control` by which servers speak to caches in front of them, and those that end in [`TARGETED`].
const FOR_CACHES: [&str; 3] = ["surrogate-control", "edge-control", "x-accel-expires"];
/// The end of the names of RFC 9213.
const TARGETED: &str = "-cache-control";

/// Keeps an answer from every cache that is shared.
pub fn make_private(headers: &mut HeaderMap) {
    let speaks = |name: &&HeaderName| FOR_CACHES.contains(&name.as_str()) || name.as_str().ends_with(TARGETED);
    let gone: Vec<HeaderName> = headers.keys().filter(speaks).cloned().collect();
    gone.iter().for_each(|name| drop(headers.remove(name)));
    if let Some(field) = private(headers) {
        headers.insert(CACHE_CONTROL, field);
    }
}

/// What `Cache-Control` is to be; nothing where it is good as it is.
fn private(headers: &HeaderMap) -> Option<HeaderValue> {
    let alone = || Some(HeaderValue::from_static("private"));
    let lines: Result<Vec<&str>, _> = headers.get_all(CACHE_CONTROL).iter().map(HeaderValue::to_str).collect();
    let Ok(text) = lines.map(|lines| lines.join(", ")) else { return alone() };
    let Some(directives) = directives(&text) else { return alone() };
    let kept: Vec<&str> = directives.iter().copied().filter(|directive| !is_for_all(directive)).collect();
    let is_kept = |name: &str| kept.iter().any(|one| one.eq_ignore_ascii_case(name));
    // Caches that know `must-understand` pass over the `no-store` beside it (RFC 9111 section 5.2.2.3).
    let is_stored = kept.iter().any(|directive| is_named(directive, "must-understand"));
    let is_private = is_kept("private") || (is_kept("no-store") && !is_stored);
    if is_private && kept.len() == directives.len() {
        return None;
    }
    let first = (!is_private).then_some("private");
    HeaderValue::try_from(first.into_iter().chain(kept).collect::<Vec<_>>().join(", ")).ok().or_else(alone)
}

/// Whether a directive lets shared caches keep an answer. `private` that names fields keeps only those from them.
fn is_for_all(directive: &str) -> bool {
    let named = |name| is_named(directive, name);
    named("public") || named("s-maxage") || (named("private") && directive.contains('='))
}

/// Whether a directive has this name, with an argument or without.
fn is_named(directive: &str, name: &str) -> bool {
    directive.split('=').next().unwrap_or_default().trim().eq_ignore_ascii_case(name)
}

/// The members of a list whose quoted strings may hold commas; none where a quoted string does not end.
fn directives(text: &str) -> Option<Vec<&str>> {
    let (mut all, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                all.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    all.extend(text.get(start..));
    (!quoted).then(|| all.into_iter().map(str::trim).filter(|one| !one.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn made(lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_CONTROL, line.parse().unwrap());
        }
        make_private(&mut headers);
        let lines: Vec<_> = headers.get_all(CACHE_CONTROL).iter().map(|line| line.to_str().unwrap()).collect();
        lines.join(" | ")
    }

    #[test]
    fn c04_what_shared_caches_may_keep_is_private() {
        for (lines, private) in [
            (&[][..], "private"),
            (&["public"], "private"),
            (&["max-age=60, s-maxage=600"], "private, max-age=60"),
            (&["Public", "S-MaxAge = 5, immutable"], "private, immutable"),
            (&["private=\"x-a, x-b\", no-cache=\"set-cookie\""], "private, no-cache=\"set-cookie\""),
            (&["public, no-store"], "no-store"),
            // RFC 9111 section 5.2.2.3: a cache that understands the status is to pass over `no-store`.
            (&["must-understand, no-store, max-age=60"], "private, must-understand, no-store, max-age=60"),
            (&["no-store", "Must-Understand = 1"], "private, no-store, Must-Understand = 1"),
            (&["must-understand, private, no-store, public"], "must-understand, private, no-store"),
            (&["public, private, max-age=1"], "private, max-age=1"),
            (&[" , ,"], "private"),
            (&["ext=\"a\\\", public\", max-age=1"], "private, ext=\"a\\\", public\", max-age=1"),
            (&["ext=\"a, max-age=1"], "private"),
        ] {
            assert_eq!(made(lines), private, "{lines:?}");
        }
    }

    #[test]
    fn what_is_private_stays_as_it_is() {
        for line in ["no-store", "PRIVATE , max-age=5", "max-age=5,no-store,"] {
            assert_eq!(made(&[line]), line);
        }
        assert_eq!(made(&["private", "max-age=5"]), "private | max-age=5");
    }

    #[test]
    fn what_is_no_text_is_replaced_and_words_to_caches_in_front_are_gone() {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_bytes(b"private, x=\"\xff\"").unwrap());
        for name in ["cdn-cache-control", "surrogate-control", "x-accel-expires", "edge-control", "etag"] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("max-age=5"));
        }
        make_private(&mut headers);
        let mut left: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        assert_eq!(left, [("cache-control", "private"), ("etag", "max-age=5")]);
    }

    #[test]
    fn c04_a_backslash_outside_of_quotes_hides_nothing() {
        assert_eq!(made(&["x=\\, public"]), "private, x=\\");
        assert_eq!(made(&["private, x=\\, public"]), "private, x=\\");
    }

    /// The members as a cache reads them that knows quoted strings.
    fn strictly(text: &str) -> Vec<String> {
        let (mut all, mut one, mut characters) = (Vec::new(), String::new(), text.chars());
        let mut quoted = false;
        while let Some(character) = characters.next() {
            match character {
                ',' if !quoted => all.push(std::mem::take(&mut one)),
                '\\' if quoted => one.extend([character].into_iter().chain(characters.next())),
                other => {
                    quoted ^= other == '"';
                    one.push(other);
                }
            }
        }
        all.push(one);
        all.iter().map(|one| one.trim().to_ascii_lowercase()).filter(|one| !one.is_empty()).collect()
    }

    proptest! {
        #[test]
        fn c04_no_field_of_an_application_keeps_an_answer_in_a_shared_cache(
            lines in prop::collection::vec("(public|private|no-store|must-understand|s-maxage|max-age|[ ,=\"\\\\a1\t]){0,12}", 0..3),
        ) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let read = strictly(&made(&lines).replace(" | ", ","));
            let name = |one: &str| one.split('=').next().unwrap_or_default().trim().to_owned();
            let overridden = read.iter().any(|one| name(one) == "must-understand");
            let keeps_out = |one: &String| one == "private" || (one == "no-store" && !overridden);
            prop_assert!(read.iter().any(keeps_out), "{read:?}");
            prop_assert!(!read.iter().any(|one| name(one) == "public" || name(one) == "s-maxage"), "{read:?}");
        }
    }
}
