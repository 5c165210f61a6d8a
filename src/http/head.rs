//! The head of a request, read once: method, one authority, canonical path, query.
//!
//! Everything later (route, rule, log, forwarding) takes these values and never looks at the raw target again, so no two places can
//! read a request differently. Refused: no or several authorities, a target that disagrees with `Host`, CONNECT, TRACE, `*`, transfer
//! codings but `chunked`.
//!
//! Trust boundary: a stranger's request after `http::request`, or hyper's parser on HTTP/2. Specification: RFC 9112 section 3.2, RFC 9113 section 8.3.

use std::fmt;
use std::ops::Deref;

use http::header::{HOST, HeaderMap, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Version};

use super::field::names_are_tokens;
use super::host::{HostError, HostName};
use super::path::{CanonicalPath, PathError, PathSwitches};
use super::seen::Seen;

/// How a browser reaches the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Clear text.
    Http,
    /// TLS, here or at a load balancer in front.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// What a request asks for.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// The method as sent.
    pub method: Method,
    /// The one host, compared by name.
    pub host: HostName,
    /// The port, where the authority names one.
    pub port: Option<u16>,
    /// The one path.
    pub path: CanonicalPath,
    /// The query without its question mark, as sent.
    pub query: Option<Query>,
}

/// A query without its question mark.
#[derive(Clone, Debug)]
pub struct Query(QueryText);

#[derive(Clone, Debug)]
enum QueryText {
    /// In the target that was sent.
    Sent(PathAndQuery),
    Kept(Box<str>),
}

impl From<&str> for Query {
    fn from(text: &str) -> Self {
        Self(QueryText::Kept(text.into()))
    }
}

impl Deref for Query {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            QueryText::Sent(target) => target.query().unwrap_or_default(),
            QueryText::Kept(text) => text,
        }
    }
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// No `Host` field or `:authority`.
    HostMissing,
    /// More than one `Host` field.
    HostRepeated,
    /// `Host` and the target's authority name different places.
    HostDisagrees,
    /// The authority is none.
    Host(HostError),
    /// A transfer coding other than exactly one `chunked` (RFC 9112 section 6.1).
    TransferCoding,
    /// CONNECT, TRACE, or `*`: not for a gateway.
    Unsupported,
    /// The target is of another scheme than the listener (RFC 9110 section 7.4), or of one that is not HTTP's.
    SchemeDisagrees,
    /// A name on HTTP/2 is no token (RFC 9110 section 5.1).
    Name,
    /// The target's path is refused.
    Path(PathError),
}

impl HeadError {
    /// The reason code for logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::HostMissing => "host_missing",
            Self::HostRepeated => "host_repeated",
            Self::HostDisagrees => "host_disagrees",
            Self::Host(_) => "host_invalid",
            Self::TransferCoding => "transfer_coding_unsupported",
            Self::Unsupported => "method_unsupported",
            Self::SchemeDisagrees => "scheme_disagrees",
            // As on HTTP/1.1, where such a head is not read at all.
            Self::Name => "head_unreadable",
            Self::Path(error) => error.code(),
        }
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostMissing => write!(f, "the request names no host"),
            Self::HostRepeated => write!(f, "the request names a host more than once"),
            Self::HostDisagrees => write!(f, "the request names two different hosts"),
            Self::Host(error) => error.fmt(f),
            Self::TransferCoding => write!(f, "the body has a transfer coding other than one `chunked`"),
            Self::Unsupported => write!(f, "the method or target is not for a gateway"),
            Self::SchemeDisagrees => write!(f, "the request is for another scheme than it came by"),
            Self::Name => write!(f, "the name of a field is none"),
            Self::Path(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for HeadError {}

impl RequestHead {
    /// Reads the head that was parsed, of a host none of whose applications wants anything kept.
    pub fn parse(parts: &Parts) -> Result<Self, HeadError> {
        Self::parse_keeping(parts, &|_| PathSwitches::default())
    }

    /// Reads the head that was parsed. `switches` tells what applications on a host want kept, and is asked only for a path that is
    /// refused otherwise; whether the request's own application wants it, is to be asked when that is known.
    pub fn parse_keeping(parts: &Parts, switches: &dyn Fn(&HostName) -> PathSwitches) -> Result<Self, HeadError> {
        Self::parse_on(&Seen::default(), parts, switches)
    }

    /// The same of a request of a connection on which others came before.
    pub fn parse_on(
        seen: &Seen,
        parts: &Parts,
        switches: &dyn Fn(&HostName) -> PathSwitches,
    ) -> Result<Self, HeadError> {
        if matches!(parts.method, Method::CONNECT | Method::TRACE) || parts.uri.path() == "*" {
            return Err(HeadError::Unsupported);
        }
        check_transfer_coding(&parts.headers)?;
        if parts.version == Version::HTTP_2 && !names_are_tokens(&parts.headers, None) {
            return Err(HeadError::Name);
        }
        let (host, port) = authority(parts, seen)?;
        let target = parts.uri.path_and_query();
        let strict = target.map_or_else(|| CanonicalPath::parse(parts.uri.path()), CanonicalPath::of_target);
        let path = match strict {
            Err(PathError::EncodedSlash | PathError::PathParameter) => {
                CanonicalPath::parse_keeping(parts.uri.path(), switches(&host))
            }
            strict => strict,
        };
        let path = path.map_err(HeadError::Path)?;
        let query = target.filter(|target| target.query().is_some());
        let query = query.map(|target| Query(QueryText::Sent(target.clone())));
        Ok(Self { method: parts.method.clone(), host, port, path, query })
    }

    /// Checks that a target that names a scheme names that of the listener. Where somebody in front may have changed it, it must be one of HTTP's: on
    /// HTTP/2, where every request names one, and where TLS was ended before the listener.
    pub fn check_scheme(parts: &Parts, listener: Scheme, is_tls: bool) -> Result<(), HeadError> {
        let Some(named) = parts.uri.scheme_str() else { return Ok(()) };
        let is = |scheme: Scheme| named.eq_ignore_ascii_case(scheme.as_str());
        let is_ended_before = listener == Scheme::Https && !is_tls;
        let fits = match parts.version {
            Version::HTTP_2 => is(Scheme::Http) || is(Scheme::Https),
            _ => is(listener) || (is_ended_before && is(Scheme::Http)),
        };
        if fits { Ok(()) } else { Err(HeadError::SchemeDisagrees) }
    }

    /// The one host that is asked for, where that much is sound of a head that is refused; for the log.
    pub fn host_of(parts: &Parts) -> Option<HostName> {
        authority(parts, &Seen::default()).ok().map(|(host, _)| host)
    }

    /// Path and query as they were sent, where they say the same as these: where nothing had to be brought into canonical form.
    pub fn sent_target(&self) -> Option<&PathAndQuery> {
        self.path.sent_in().filter(|target| target.query() == self.query.as_deref())
    }

    /// The authority for answers and for the application: host, and port where one was named.
    pub fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.to_string(),
        }
    }
}

/// On HTTP/1.1 a coding other than one `chunked` is refused before; this stands for whatever parser reads heads (H01).
fn check_transfer_coding(headers: &HeaderMap) -> Result<(), HeadError> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(HeadError::TransferCoding),
    }
}

fn authority(parts: &Parts, seen: &Seen) -> Result<(HostName, Option<u16>), HeadError> {
    let mut fields = parts.headers.get_all(HOST).iter();
    let (field, second) = (fields.next(), fields.next());
    if second.is_some() {
        return Err(HeadError::HostRepeated);
    }
    let field =
        field.map(|value| value.to_str().map_err(|_| HeadError::Host(HostError::InvalidByte(0xff)))).transpose()?;
    let target = parts.uri.authority().map(http::uri::Authority::as_str);
    let text = match (field, target) {
        (None, Some(target)) if parts.version == Version::HTTP_2 => target,
        (None, _) => return Err(HeadError::HostMissing),
        (Some(field), None) => field,
        (Some(field), Some(target)) if agree(field, target, parts) => field,
        (Some(_), Some(_)) => return Err(HeadError::HostDisagrees),
    };
    seen.authority(text).map_err(HeadError::Host)
}

/// Host and port of both must be the same; a default port may be left out on one side.
fn agree(field: &str, target: &str, parts: &Parts) -> bool {
    let default = if parts.uri.scheme_str() == Some("https") { 443 } else { 80 };
    match (HostName::parse_authority(field), HostName::parse_authority(target)) {
        (Ok((a, a_port)), Ok((b, b_port))) => a == b && a_port.unwrap_or(default) == b_port.unwrap_or(default),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parse(method: &str, target: &str, version: Version, hosts: &[&str]) -> Result<RequestHead, HeadError> {
        let mut request = Request::builder().method(method).uri(target).version(version);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        RequestHead::parse(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn h02_there_is_exactly_one_authority() {
        let v1 = Version::HTTP_11;
        assert_eq!(parse("GET", "/", v1, &[]).err(), Some(HeadError::HostMissing));
        assert_eq!(parse("GET", "/", v1, &["a", "a"]).err(), Some(HeadError::HostRepeated));
        assert_eq!(parse("GET", "http://a/", v1, &["b"]).err(), Some(HeadError::HostDisagrees));
        assert_eq!(parse("GET", "http://a/", v1, &[]).err(), Some(HeadError::HostMissing));
        assert_eq!(parse("GET", "https://a/x", Version::HTTP_2, &["b"]).err(), Some(HeadError::HostDisagrees));
        assert!(matches!(parse("GET", "/", v1, &["u@a"]).err(), Some(HeadError::Host(_))));
        assert_eq!(parse("GET", "http://A:80/x", v1, &["a"]).unwrap().path.as_str(), "/x");
        assert_eq!(parse("GET", "https://a:8443/x?y", Version::HTTP_2, &[]).unwrap().authority(), "a:8443");
    }

    #[test]
    fn h02_an_absolute_target_is_of_the_listeners_scheme() {
        let check = |target: &str, version, listener, is_tls| {
            let request = Request::builder().uri(target).version(version).body(()).unwrap();
            RequestHead::check_scheme(&request.into_parts().0, listener, is_tls).is_ok()
        };
        for (target, clear, tls, ended_before, multiplexed) in [
            ("/x", true, true, true, true),
            ("http://a/x", true, false, true, true),
            ("HTTP://a/x", true, false, true, true),
            ("https://a/x", false, true, true, true),
            ("ftp://a/x", false, false, false, false),
            ("javascript://a/x", false, false, false, false),
        ] {
            let found = [
                check(target, Version::HTTP_11, Scheme::Http, false),
                check(target, Version::HTTP_11, Scheme::Https, true),
                check(target, Version::HTTP_11, Scheme::Https, false),
                check(target, Version::HTTP_2, Scheme::Https, true),
            ];
            assert_eq!(found, [clear, tls, ended_before, multiplexed], "{target}");
        }
    }

    #[test]
    fn h02_methods_and_targets_that_are_not_for_a_gateway_are_refused() {
        for (method, target) in [("TRACE", "/"), ("OPTIONS", "*"), ("CONNECT", "a:443")] {
            assert_eq!(
                parse(method, target, Version::HTTP_11, &["a"]).err(),
                Some(HeadError::Unsupported),
                "{method} {target}"
            );
        }
    }

    #[test]
    fn h02_of_a_refused_head_the_one_host_is_known() {
        let host_of = |target: &str, hosts: &[&str]| {
            let request =
                hosts.iter().fold(Request::builder().uri(target), |request, host| request.header(HOST, *host));
            RequestHead::host_of(&request.body(()).unwrap().into_parts().0).map(|host| host.as_str().to_owned())
        };
        assert_eq!(host_of("/a%2fb", &["A.example:8443"]).as_deref(), Some("a.example"));
        assert_eq!(host_of("/", &[]), None);
        assert_eq!(host_of("/", &["a", "a"]), None);
        assert_eq!(host_of("http://a/", &["b"]), None);
    }

    #[test]
    fn p04_the_query_is_no_part_of_the_path() {
        let head = parse("GET", "/static/x?/admin=../%2f", Version::HTTP_11, &["a"]).unwrap();
        assert_eq!((head.path.as_str(), head.query.as_deref()), ("/static/x", Some("/admin=../%2f")));
    }

    #[test]
    fn p01_the_sent_target_is_used_only_where_it_says_the_same() {
        let sent = |target: &str| {
            let head = parse("GET", target, Version::HTTP_11, &["a"]).unwrap();
            head.sent_target().map(ToString::to_string)
        };
        for same in ["/", "/a/b?x=%2f", "/a?", "/a/?x?y"] {
            assert_eq!(sent(same).as_deref(), Some(same));
        }
        for other in ["/a/./b", "/%61?x", "//a", "/a%2d"] {
            assert_eq!(sent(other), None, "{other}");
        }
        assert_eq!(sent("http://a/x?y").as_deref(), Some("/x?y"));
        let head = parse("GET", "/a?x", Version::HTTP_11, &["a"]).unwrap();
        assert_eq!(RequestHead { query: Some("y".into()), ..head }.sent_target(), None);
    }

    #[test]
    fn h02_default_ports_may_be_left_out_on_one_side() {
        for (target, field, agree) in [
            ("http://a/", "a:80", true),
            ("http://a:80/", "a", true),
            ("http://a/", "a:443", false),
            ("https://a/", "a:443", true),
            ("https://a:443/", "a", true),
            ("https://a/", "a:80", false),
            ("http://a:8080/", "a:8080", true),
            ("http://a:8080/", "a", false),
            ("http://b/", "a", false),
        ] {
            assert_eq!(parse("GET", target, Version::HTTP_11, &[field]).is_ok(), agree, "{target} {field}");
        }
        assert_eq!(parse("GET", "/", Version::HTTP_11, &["A.example"]).unwrap().authority(), "a.example");
        // Only HTTP/2 has an authority without a Host field.
        assert!(parse("GET", "http://a/", Version::HTTP_10, &[]).is_err());
    }

    #[test]
    fn h01_one_chunked_is_the_only_transfer_coding() {
        let coded = |codings: &[&str]| {
            let mut request = Request::builder().uri("/").header(HOST, "a");
            for coding in codings {
                request = request.header(TRANSFER_ENCODING, *coding);
            }
            RequestHead::parse(&request.body(()).unwrap().into_parts().0).map(drop)
        };
        assert!(coded(&[]).is_ok() && coded(&["chunked"]).is_ok() && coded(&["Chunked"]).is_ok());
        for codings in [&["gzip"][..], &["chunked", "chunked"], &["gzip, chunked"], &["identity"], &[""]] {
            assert_eq!(coded(codings), Err(HeadError::TransferCoding), "{codings:?}");
        }
    }

    #[test]
    fn every_refusal_has_its_code_and_its_words() {
        for (error, code, word) in [
            (HeadError::HostMissing, "host_missing", "no host"),
            (HeadError::HostRepeated, "host_repeated", "more than once"),
            (HeadError::HostDisagrees, "host_disagrees", "two different hosts"),
            (HeadError::SchemeDisagrees, "scheme_disagrees", "another scheme"),
            (HeadError::Name, "head_unreadable", "of a field"),
            (HeadError::Host(HostError::Empty), "host_invalid", "empty"),
            (HeadError::TransferCoding, "transfer_coding_unsupported", "chunked"),
            (HeadError::Unsupported, "method_unsupported", "not for a gateway"),
            (HeadError::Path(PathError::Backslash), "path_backslash", "backslash"),
        ] {
            assert_eq!(error.code(), code);
            assert!(error.to_string().contains(word), "{error}");
        }
        assert_eq!((Scheme::Http.as_str(), Scheme::Https.as_str()), ("http", "https"));
    }
}
