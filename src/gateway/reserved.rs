//! The gateway's own addresses on every application's host, under `/.lychgate/`.
//!
//! Nothing under this prefix ever reaches an application (S02). Each address takes the methods of its row and answers 405 to others.
//!
//! | address | methods | what |
//! | --- | --- | --- |
//! | `callback` | GET | the provider's response to a login |
//! | `logout` | GET, POST | asks, then ends the sessions of this host |
//! | `signed-out` | GET | where the provider sends people back |

use http::{HeaderMap, Method, Response};
use hyper::body::Incoming;

use super::account::Account;
use super::proxy::Content;
use super::refusal::Refusal;
use super::{Exchange, callback, logout};
use crate::http::CanonicalPath;
use crate::snapshot::Route;

const PREFIX: &str = "/.lychgate";
/// Where the provider sends people back to; registered there as the redirect URI.
pub(super) const CALLBACK: &str = "/.lychgate/callback";
/// Where people sign out.
pub(super) const LOGOUT: &str = "/.lychgate/logout";
/// Where the provider sends people after its own logout; registered there as the post-logout redirect URI.
pub(super) const SIGNED_OUT: &str = "/.lychgate/signed-out";

/// Whether a path is the gateway's, whatever stands behind the prefix. Applications that ignore case must not get it in another spelling.
pub(super) fn is_reserved(path: &CanonicalPath) -> bool {
    let head = path.as_str().get(..PREFIX.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(PREFIX))
        && matches!(path.as_str().as_bytes().get(PREFIX.len()), None | Some(b'/'))
}

/// Answers a request to a reserved address.
pub(super) async fn answer(
    exchange: &Exchange<'_>,
    route: &Route<'_>,
    headers: &HeaderMap,
    body: Incoming,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    match (exchange.head.path.as_str(), &exchange.head.method) {
        (CALLBACK, &Method::GET) => callback::answer(exchange, route, headers, account).await,
        (CALLBACK, _) => Err(Refusal::WrongMethod("GET")),
        (LOGOUT, &Method::GET) => logout::ask(exchange, route, headers, account),
        (LOGOUT, &Method::POST) => logout::end(exchange, route, headers, body, account).await,
        (LOGOUT, _) => Err(Refusal::WrongMethod("GET, POST")),
        (SIGNED_OUT, &Method::GET | &Method::HEAD) => logout::signed_out(exchange, route, account),
        (SIGNED_OUT, _) => Err(Refusal::WrongMethod("GET, HEAD")),
        _ => Err(Refusal::UnknownReserved),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s02_no_spelling_of_the_reserved_prefix_reaches_an_application() {
        for path in [
            "/.lychgate",
            "/.lychgate/",
            "/.lychgate/x",
            "/.LychGate/callback",
            "/a/../.lychgate/x",
            "/%2elychgate/x",
            "//.lychgate/x",
        ] {
            assert!(is_reserved(&CanonicalPath::parse(path).unwrap()), "{path}");
        }
        for path in ["/", "/.lychgates", "/lychgate/", "/a/.lychgate/x"] {
            assert!(!is_reserved(&CanonicalPath::parse(path).unwrap()), "{path}");
        }
    }
}
