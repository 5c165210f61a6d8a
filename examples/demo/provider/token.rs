//! The token endpoint: codes and refresh tokens in, tokens out.
//!
//! The client authenticates itself with its secret, as a Basic header or in the form, never both. A code
//! and a refresh token are good once (see `grants`), and nothing is given out for a session that has ended.
//! Trust: everything in the form is the client's word until the secret has been compared.
//!
//! RFC 6749 sections 2.3.1, 3.2, 4.1.3, 5 and 6; OpenID Connect Core sections 2, 3.1.3 and 12.

use aws_lc_rs::constant_time;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use super::grants::{ACCESS_LIFE, Issued, Redemption, RefreshError};
use super::params::Params;
use super::people::Scopes;
use super::reply::{self, Reply};
use super::{Client, Provider};

/// How long an ID token is good, in seconds.
const ID_TOKEN_LIFE: u64 = 5 * 60;

/// Answers a token request.
pub(super) fn token(provider: &Provider, params: &Params, headers: &HeaderMap, now: u64) -> Reply {
    let answer = authenticate(provider, params, headers)
        .and_then(|client| Ok((client, grant(provider, client, params, now)?)))
        .and_then(|(client, issued)| answer(provider, client, issued, now));
    match answer {
        Ok(tokens) => reply::json(StatusCode::OK, &tokens),
        Err(TokenError { error: "invalid_client", description }) => reply::with_challenge(
            reply::json_error(StatusCode::UNAUTHORIZED, "invalid_client", description),
            "Basic realm=\"development provider\"",
        ),
        Err(error) => reply::json_error(StatusCode::BAD_REQUEST, error.error, error.description),
    }
}

struct TokenError {
    error: &'static str,
    description: &'static str,
}

fn refuse<T>(error: &'static str, description: &'static str) -> Result<T, TokenError> {
    Err(TokenError { error, description })
}

fn authenticate<'p>(provider: &'p Provider, params: &Params, headers: &HeaderMap) -> Result<&'p Client, TokenError> {
    let (id, secret) = match (headers.get(AUTHORIZATION), params.text("client_secret")) {
        (Some(_), Some(_)) => {
            return refuse("invalid_request", "the client secret came twice");
        }
        (Some(line), None) => match line.to_str().ok().and_then(read_basic) {
            Some(pair) => pair,
            None => return refuse("invalid_client", "the Authorization header is not Basic"),
        },
        (None, Some(secret)) => (params.text("client_id").unwrap_or_default().to_owned(), secret.to_owned()),
        (None, None) => return refuse("invalid_client", "the client did not authenticate itself"),
    };
    if params.text("client_id").is_some_and(|named| named != id) {
        return refuse("invalid_request", "client_id is not the client that authenticated itself");
    }
    let client = provider.client(&id).filter(|client| same(&client.secret, &secret));
    client.map_or_else(|| refuse("invalid_client", "client id or secret is wrong"), Ok)
}

/// Id and secret of a Basic header: form-encoded first, then joined, then base64.
fn read_basic(line: &str) -> Option<(String, String)> {
    let (scheme, credentials) = line.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((form_decoded(id)?, form_decoded(secret)?))
}

fn form_decoded(text: &str) -> Option<String> {
    // As the value of a parameter; an unescaped separator would end it early, and is therefore refused.
    if text.contains('&') {
        return None;
    }
    let pair = format!("v={text}");
    let value = form_urlencoded::parse(pair.as_bytes()).next()?.1.into_owned();
    Some(value)
}

fn grant(provider: &Provider, client: &Client, params: &Params, now: u64) -> Result<Issued, TokenError> {
    let issued = match params.text("grant_type") {
        Some("authorization_code") => redeem(provider, client, params, now)?,
        Some("refresh_token") => refresh(provider, client, params, now)?,
        Some(_) => {
            return refuse("unsupported_grant_type", "grant_type must be authorization_code or refresh_token");
        }
        None => return refuse("invalid_request", "grant_type is missing"),
    };
    if provider.state().sessions.is_alive(&issued.grant.authentication.sid, now) {
        Ok(issued)
    } else {
        refuse("invalid_grant", "the person has signed out")
    }
}

fn redeem(provider: &Provider, client: &Client, params: &Params, now: u64) -> Result<Issued, TokenError> {
    let (Some(code), Some(redirect_uri), Some(verifier)) =
        (params.text("code"), params.text("redirect_uri"), params.text("code_verifier"))
    else {
        return refuse("invalid_request", "code, redirect_uri or code_verifier is missing");
    };
    let said = Redemption { code, client: &client.id, redirect_uri, verifier };
    let redeemed = provider.state().grants.redeem(&said, now);
    redeemed.or_else(|reason| refuse("invalid_grant", reason))
}

fn refresh(provider: &Provider, client: &Client, params: &Params, now: u64) -> Result<Issued, TokenError> {
    let Some(token) = params.text("refresh_token") else {
        return refuse("invalid_request", "refresh_token is missing");
    };
    let fewer = params.text("scope").map(|_| Scopes::granted(|scope| params.has_word("scope", scope)));
    let refreshed = provider.state().grants.refresh(token, &client.id, fewer, now);
    refreshed.or_else(|error| match error {
        RefreshError::Unknown => refuse("invalid_grant", "the refresh token is unknown or has expired"),
        RefreshError::UsedBefore => {
            refuse("invalid_grant", "the refresh token was used before: its tokens are revoked")
        }
        RefreshError::TooWide => refuse("invalid_scope", "scope asks for more than was granted"),
    })
}

fn answer(provider: &Provider, client: &Client, issued: Issued, now: u64) -> Result<Value, TokenError> {
    let Some(claims) = id_token(provider, client, &issued, now) else {
        return refuse("invalid_grant", "the person is not known any more");
    };
    match provider.keys.sign(client.algorithm, &claims) {
        Ok(id_token) => Ok(json!({
            "token_type": "Bearer",
            "access_token": issued.access,
            "expires_in": ACCESS_LIFE,
            "refresh_token": issued.refresh,
            "id_token": id_token,
            "scope": issued.grant.scopes.text(),
        })),
        Err(_) => refuse("invalid_request", "the ID token could not be signed"),
    }
}

fn id_token(provider: &Provider, client: &Client, issued: &Issued, now: u64) -> Option<Value> {
    let authentication = &issued.grant.authentication;
    let person = provider.person(&authentication.user)?;
    let mut claims = person.claims(issued.grant.scopes);
    let mut tell = |name: &str, value: Value| claims.insert(name.into(), value);
    tell("iss", provider.issuer.as_str().into());
    tell("aud", client.id.as_str().into());
    tell("iat", now.into());
    tell("exp", (now + ID_TOKEN_LIFE).into());
    tell("auth_time", authentication.at.into());
    tell("acr", authentication.level.acr().into());
    tell("amr", authentication.level.amr().into());
    tell("sid", authentication.sid.as_str().into());
    tell("at_hash", half_hash(&issued.access).into());
    if let Some(nonce) = &issued.nonce {
        tell("nonce", nonce.as_str().into());
    }
    Some(Value::Object(claims))
}

/// The left half of the hash, which ties an access token to the ID token that came with it.
fn half_hash(token: &str) -> String {
    let hash = Sha256::digest(token);
    URL_SAFE_NO_PAD.encode(hash.get(..16).unwrap_or_default())
}

fn same(a: &str, b: &str) -> bool {
    constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_basic_header_is_form_decoded() {
        let line = format!("Basic {}", STANDARD.encode("a%3Ab+c:%25%26+%C3%A4"));
        assert_eq!(read_basic(&line), Some(("a:b c".into(), "%& ä".into())));
        let lower = format!("basic {}", STANDARD.encode("id:s=e"));
        assert_eq!(read_basic(&lower), Some(("id".into(), "s=e".into())));
    }

    #[test]
    fn what_is_no_basic_header_is_refused() {
        let none = STANDARD.encode("no colon");
        let cut = STANDARD.encode("id:se&cret");
        for line in ["", "Basic", "Basic !", "Bearer aWQ6c2U=", &format!("Basic {none}"), &format!("Basic {cut}")] {
            assert_eq!(read_basic(line), None, "{line:?}");
        }
    }

    #[test]
    fn at_hash_is_half_of_the_hash() {
        // OpenID Connect Core, appendix A.3.
        let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
        assert_eq!(half_hash(token), "77QmUPtjPfzWtF2AnpK9RQ");
    }
}
