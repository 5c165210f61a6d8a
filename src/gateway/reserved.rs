//! The gateway's own addresses on every application's host, under `/.lychgate/`.
//!
//! Nothing under this prefix ever reaches an application (S02). Each address takes the methods of its row and answers 405 to others.
//!
//! | address | methods | what |
//! | --- | --- | --- |
//! | `callback` | GET, POST | the provider's response to a login |
//! | `logout` | GET, POST | asks, then ends the sessions of this host |
//! | `signed-out` | GET | where the provider sends people back |

use http::{HeaderMap, Method, Response};
use hyper::body::Incoming;

use super::account::Account;
use super::addresses::{CALLBACK, LOGOUT, SIGNED_OUT};
use super::content::Content;
use super::refusal::Refusal;
use super::{Exchange, callback, logout};
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
        (CALLBACK, &Method::POST) => callback::answer_posted(exchange, route, headers, body, account).await,
        (CALLBACK, _) => Err(Refusal::WrongMethod("GET, POST")),
        (LOGOUT, &Method::GET) => logout::ask(exchange, route, headers, account),
        (LOGOUT, &Method::POST) => logout::end(exchange, route, headers, body, account).await,
        (LOGOUT, _) => Err(Refusal::WrongMethod("GET, POST")),
        (SIGNED_OUT, &Method::GET | &Method::HEAD) => logout::signed_out(exchange, route, account),
        (SIGNED_OUT, _) => Err(Refusal::WrongMethod("GET, HEAD")),
        _ => Err(Refusal::UnknownReserved),
    }
}
