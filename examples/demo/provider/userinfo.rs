//! The userinfo endpoint: what an access token may read about its person.
//!
//! The token comes in the Authorization header, nowhere else, and is good while the session goes on.
//!
//! OpenID Connect Core section 5.3, RFC 6750 sections 2.1 and 3.

use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::Provider;
use super::reply::{self, Reply};

/// Answers with the claims of the person whom the access token stands for.
pub(super) fn userinfo(provider: &Provider, headers: &HeaderMap, now: u64) -> Reply {
    let Some(token) = bearer(headers) else {
        let reply = reply::json_error(StatusCode::UNAUTHORIZED, "invalid_request", "no access token");
        return reply::with_challenge(reply, "Bearer realm=\"development provider\"");
    };
    match claims(provider, token, now) {
        Some(claims) => reply::json(StatusCode::OK, &claims),
        None => {
            let text = "the access token is unknown or has expired";
            let reply = reply::json_error(StatusCode::UNAUTHORIZED, "invalid_token", text);
            reply::with_challenge(reply, "Bearer error=\"invalid_token\"")
        }
    }
}

fn claims(provider: &Provider, token: &str, now: u64) -> Option<Value> {
    let state = provider.state();
    let grant = state.grants.find_access(token, now)?;
    if !state.sessions.is_alive(&grant.authentication.sid, now) {
        return None;
    }
    let person = provider.person(&grant.authentication.user)?;
    Some(Value::Object(person.claims(grant.scopes)))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
