//! For how long what a provider publishes is good.
//!
//! Specification: RFC 9111 section 5.2.2.

use std::time::Duration;

use http::{HeaderMap, header};

/// How long fresh metadata and keys are good where the provider does not say.
pub(super) const REFRESH: Duration = Duration::from_secs(3600);
/// The shortest and the longest time that they are good, whatever the provider says.
const REFRESH_BOUNDS: [Duration; 2] = [Duration::from_secs(300), Duration::from_secs(6 * 3600)];

/// How long an answer is good: `max-age` of its Cache-Control (RFC 9111 section 5.2.2.1), within [`REFRESH_BOUNDS`].
pub(super) fn good_for(headers: &HeaderMap) -> Duration {
    let [shortest, longest] = REFRESH_BOUNDS;
    let directives: Vec<&str> = headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let is = |name: &str| directives.iter().any(|directive| directive.eq_ignore_ascii_case(name));
    if is("no-store") || is("no-cache") {
        return REFRESH;
    }
    let max_age = directives.iter().find_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        let seconds = seconds(value.trim_matches('"'))?;
        name.eq_ignore_ascii_case("max-age").then(|| Duration::from_secs(seconds))
    });
    max_age.map_or(REFRESH, |max_age| max_age.clamp(shortest, longest))
}

/// A number of seconds: digits alone (RFC 9110 section 10.2.3, RFC 9111 section 1.2.2). `parse` by itself takes a sign too.
pub(super) fn seconds(text: &str) -> Option<u64> {
    Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit())).and_then(|text| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r14_the_provider_says_within_bounds_how_long_its_keys_are_good() {
        let good = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, http::HeaderValue::from_static(text));
            good_for(&headers).as_secs()
        };
        for (text, seconds) in [
            ("public, max-age=21000, must-revalidate", 21_000),
            ("MAX-AGE=\"600\"", 600),
            ("max-age=0", 300),
            ("max-age=31536000", 21_600),
            ("no-cache, max-age=600", 3600),
            ("no-store", 3600),
            ("max-age=soon", 3600),
            ("max-age=+600", 3600),
            ("s-maxage=600", 3600),
            ("", 3600),
        ] {
            assert_eq!(good(text), seconds, "{text}");
        }
        assert_eq!(good_for(&HeaderMap::new()), REFRESH);
    }
}
