//! The gateway's own addresses on every application's host, under `/.lychgate/`.
//!
//! Nothing under this prefix ever reaches an application (S02). Each address takes the methods of its row and answers 405 to others.
//!
//! | address | methods | what |
//! | --- | --- | --- |
//! | `backchannel-logout` | POST | a provider's logout token |
//! | `callback` | GET | the provider's response to a login |
//! | `events/okta` | GET, POST | Okta's event hooks |
//! | `events/set` | POST | security event tokens |
//! | `frontchannel-logout` | GET | in a frame of the provider's page |
//! | `logout` | GET, POST | asks, then ends the sessions of this host |
//! | `me` | GET | who is signed in here, for the person and for scripts |
//! | `signed-out` | GET | where the provider sends people back |

use http::{HeaderMap, Method, Response};
use hyper::body::Incoming;

use super::account::Account;
use super::addresses::{
    BACKCHANNEL_LOGOUT, CALLBACK, EVENTS_OKTA, EVENTS_SET, FRONTCHANNEL_LOGOUT, LOGOUT, ME, SIGNED_OUT,
};
use super::content::Content;
use super::refusal::Refusal;
use super::{Exchange, callback, events, frontchannel, logout, me};
use crate::snapshot::Route;

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
        (BACKCHANNEL_LOGOUT, &Method::POST) => events::backchannel_logout(exchange, headers, body, account).await,
        (BACKCHANNEL_LOGOUT | EVENTS_SET, method) if method != Method::POST => Err(Refusal::WrongMethod("POST")),
        (EVENTS_SET, _) => events::set(exchange, headers, body, account).await,
        (EVENTS_OKTA, &Method::GET) => events::okta_challenge(exchange, headers),
        (EVENTS_OKTA, &Method::POST) => events::okta(exchange, headers, body, account).await,
        (EVENTS_OKTA, _) => Err(Refusal::WrongMethod("GET, POST")),
        (FRONTCHANNEL_LOGOUT, &Method::GET) => frontchannel::answer(exchange, route, headers, account).await,
        (FRONTCHANNEL_LOGOUT, _) => Err(Refusal::WrongMethod("GET")),
        (ME, &Method::GET | &Method::HEAD) => me::answer(exchange, route, headers, account),
        (ME, _) => Err(Refusal::WrongMethod("GET, HEAD")),
        _ => Err(Refusal::UnknownReserved),
    }
}
