//! Under which names the operators' listener tells and does things.
//!
//! A page whose name its owner points at this address (DNS rebinding) asks in an operator's browser as if it were of this listener: it reads what
//! it gets, and a GET of its own carries no `Origin`. Its requests have its name in `Host`, which has a dot. Probes and metrics are answered under
//! any name: those who ask for them use names with dots, and they tell a page little.
//!
//! May touch: nothing. Trust boundary: `Host` is a stranger's; what cannot be read is no operator's.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{HOST, HeaderMap};
use http::{Response, StatusCode};
use http_body_util::Full;

use super::text;
use crate::http::HostName;

/// The answer under any other name.
pub(super) fn refused() -> Response<Full<Bytes>> {
    text(StatusCode::MISDIRECTED_REQUEST, "ask by address, by a loopback name, or by a name without dots\n".to_owned())
}

/// Whether a request names this listener as operators do.
pub(super) fn is_operators(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else { return false };
    let Ok((name, _)) = HostName::parse_authority(host) else { return false };
    let bare = name.as_str().trim_start_matches('[').trim_end_matches(']');
    name.is_loopback() || bare.parse::<IpAddr>().is_ok() || !bare.contains('.')
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_names_that_an_operator_uses_are_answered() {
        let ask = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            is_operators(&headers)
        };
        for good in
            ["127.0.0.1:9180", "[::1]:9180", "localhost:9180", "10.0.0.7:9180", "lychgate-admin:9180", "x.localhost"]
        {
            assert!(ask(good), "{good}");
        }
        for bad in ["evil.example", "127.0.0.1.evil.example:9180", "localhost.evil.example", "a@b", ""] {
            assert!(!ask(bad), "{bad}");
        }
        assert!(!is_operators(&HeaderMap::new()));
    }
}
