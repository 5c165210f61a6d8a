//! The gateway's own addresses on every application's host, under `/.lychgate/`.
//!
//! Nothing under this prefix ever reaches an application (S02). Each address takes the methods of its row and answers 405 to others.
//!
//! | address | methods | what |
//! | --- | --- | --- |
//! | `callback` | GET, POST | the provider's response to a login |
//! | `logout` | GET, POST | asks, then ends the sessions of this host |
//! | `jwks` | GET, HEAD | the keys that identity assertions are verified with |
//! | `sign-in` | GET | signs in beside a form that waits in another tab |
//! | `resend` | POST | sends a form that was kept |
//! | `signed-out` | GET | where the provider sends people back |

use http::{HeaderMap, Method, Response};

use super::account::Account;
use super::addresses::{CALLBACK, JWKS, LOGOUT, RESEND, SIGN_IN, SIGNED_OUT};
use super::content::Content;
use super::proxy::SentBody;
use super::refusal::Refusal;
use super::{Exchange, callback, jwks, logout, resend, sign_in};
use crate::snapshot::Route;

/// Answers a request to a reserved address.
pub(super) async fn answer(
    exchange: &Exchange<'_>,
    route: &Route<'_>,
    headers: &HeaderMap,
    body: SentBody,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    match (exchange.head.path.as_str(), &exchange.head.method) {
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
        _ => Err(Refusal::UnknownReserved),
    }
}
