//! The gateway's own addresses on every application's host, under `/.lychgate/`.
//!
//! Nothing under this prefix ever reaches an application (S02). Each address takes the methods of its row and answers 405 to others.
//!
//! | address | methods | what |
//! | --- | --- | --- |
//! | `backchannel-logout` | POST | a provider's logout token |
//! | `callback` | GET, POST | the provider's response to a login |
//! | `callback/NAME` | GET, POST | the same, of a provider with an address of its own |
//! | `events/okta` | GET, POST | Okta's event hooks |
//! | `events/set` | POST | security event tokens |
//! | `frontchannel-logout` | GET | in a frame of the provider's page |
//! | `logout` | GET, POST | asks, then ends the sessions of this host |
//! | `jwks` | GET, HEAD | the keys that identity assertions are verified with |
//! | `me` | GET | who is signed in here, for the person and for scripts |
//! | `resend` | POST | sends a form that was kept |
//! | `sign-in` | GET | signs in beside a form that waits in another tab |
//! | `signed-out` | GET | where the provider sends people back |

use http::{HeaderMap, Method, Response};

use super::account::Account;
use super::addresses::{
    BACKCHANNEL_LOGOUT, CALLBACK, EVENTS_OKTA, EVENTS_SET, FRONTCHANNEL_LOGOUT, JWKS, LOGOUT, ME, RESEND, SIGN_IN,
    SIGNED_OUT,
};
use super::content::Content;
use super::proxy::SentBody;
use super::refusal::Refusal;
use super::{Exchange, callback, events, frontchannel, jwks, limits, logout, me, resend, sign_in};
use crate::snapshot::Route;

/// Answers a request to a reserved address.
pub(super) async fn answer(
    exchange: &Exchange<'_>,
    route: &Route<'_>,
    headers: &HeaderMap,
    body: SentBody,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    let path = exchange.head.path.as_str();
    let path = if callback::is_address(path, route) { CALLBACK } else { path };
    // What makes the gateway, or a provider, work for somebody who is not known yet.
    if let (CALLBACK | RESEND, &Method::GET | &Method::POST) = (path, &exchange.head.method) {
        limits::stranger(exchange)?;
    }
    match (path, &exchange.head.method) {
        (CALLBACK, &Method::GET) => callback::answer(exchange, route, headers, account).await,
        (CALLBACK, &Method::POST) => callback::answer_posted(exchange, route, headers, body, account).await,
        (CALLBACK, _) => Err(Refusal::WrongMethod("GET, POST")),
        (LOGOUT, &Method::GET) => logout::ask(exchange, route, headers, account),
        (LOGOUT, &Method::POST) => logout::end(exchange, route, headers, body, account).await,
        (LOGOUT, _) => Err(Refusal::WrongMethod("GET, POST")),
        (SIGN_IN, &Method::GET) => sign_in::answer(exchange, route, headers, account).await,
        (SIGN_IN, _) => Err(Refusal::WrongMethod("GET")),
        (RESEND, &Method::POST) => resend::answer(exchange, route, headers, body, account).await,
        (RESEND, _) => Err(Refusal::WrongMethod("POST")),
        (SIGNED_OUT, &Method::GET | &Method::HEAD) => logout::signed_out(exchange, route, account),
        (SIGNED_OUT, _) => Err(Refusal::WrongMethod("GET, HEAD")),
        (JWKS, &Method::GET | &Method::HEAD) => Ok(jwks::answer(exchange)),
        (JWKS, _) => Err(Refusal::WrongMethod("GET, HEAD")),
        (BACKCHANNEL_LOGOUT, &Method::POST) => events::backchannel_logout(exchange, headers, body, account).await,
        (BACKCHANNEL_LOGOUT | EVENTS_SET, method) if method != Method::POST => Err(Refusal::WrongMethod("POST")),
        (EVENTS_SET, _) => events::set(exchange, headers, body, account).await,
        (EVENTS_OKTA, &Method::GET) => events::okta_challenge(exchange, headers, account),
        (EVENTS_OKTA, &Method::POST) => events::okta(exchange, headers, body, account).await,
        (EVENTS_OKTA, _) => Err(Refusal::WrongMethod("GET, POST")),
        (FRONTCHANNEL_LOGOUT, &Method::GET) => frontchannel::answer(exchange, route, headers, account).await,
        (FRONTCHANNEL_LOGOUT, _) => Err(Refusal::WrongMethod("GET")),
        (ME, &Method::GET | &Method::HEAD) => me::answer(exchange, route, headers, account),
        (ME, _) => Err(Refusal::WrongMethod("GET, HEAD")),
        _ => Err(exchange.nowhere(Refusal::UnknownReserved)),
    }
}
