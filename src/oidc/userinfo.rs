//! What the userinfo endpoint adds to an ID token, after it proved to speak of the same person.
//!
//! The answer is plain JSON, or a token (`application/jwt`) that the provider signed with its published keys.
//!
//! May touch: the network through `endpoint`. Trust boundary: the answer comes over TLS and mostly unsigned, so it never sets a
//! claim that the ID token has, nor one that says how or when the person signed in. Specification: OIDC Core 5.3.

use std::sync::Arc;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use subtle::ConstantTimeEq as _;

use super::availability::FetchError;
use super::endpoint::Endpoint;
use super::error::UserInfoError;
use super::id_token;
use super::provider::{Discovered, Provider, Refused};
use crate::claims::Claims;

/// Claims that only the ID token may make.
const PROTOCOL: [&str; 17] = [
    "iss",
    "sub",
    "aud",
    "azp",
    "exp",
    "iat",
    "nbf",
    "jti",
    "nonce",
    "acr",
    "amr",
    "auth_time",
    "sid",
    "at_hash",
    "c_hash",
    "s_hash",
    "cnf",
];

impl Provider {
    /// Reads the userinfo of the person whom a verified ID token calls `subject`.
    pub(super) async fn userinfo(
        &self,
        discovered: &Arc<Discovered>,
        access_token: &str,
        subject: &str,
    ) -> Result<Claims, UserInfoError> {
        let endpoint = discovered.metadata.userinfo_endpoint.as_ref().ok_or(UserInfoError::NoEndpoint)?;
        let make = || {
            let mut bearer =
                HeaderValue::try_from(format!("Bearer {access_token}")).map_err(|_| FetchError::BadRequest)?;
            bearer.set_sensitive(true);
            let request = Request::builder().method(Method::GET).uri(endpoint.as_str());
            let request = request.header(ACCEPT, "application/json, application/jwt").header(AUTHORIZATION, bearer);
            request.body(Vec::new()).map_err(|_| FetchError::BadUrl)
        };
        let response = self.fetch_patiently(Endpoint::UserInfo, make).await.map_err(UserInfoError::Fetch)?;
        if response.status() != StatusCode::OK {
            return Err(UserInfoError::Status);
        }
        // 5.3.2: the content type MUST be application/json for a plain answer and application/jwt for a signed one; a missing one
        // is tolerated for the plain one.
        let claims = match response.headers().get(CONTENT_TYPE).map(essence).as_deref() {
            None | Some("application/json") => return plain(response.body(), subject),
            Some("application/jwt") => self.signed(response.body()).await?,
            Some(_) => return Err(UserInfoError::NotAnObject),
        };
        accept(claims, subject)
    }

    /// 5.3.2: signed by the provider; `iss` and `aud`, where they are there, are the provider and this client.
    async fn signed(&self, body: &[u8]) -> Result<Claims, UserInfoError> {
        let text = std::str::from_utf8(body).map_err(|_| UserInfoError::NotAnObject)?.trim();
        let verified = self.verify_signed(text, &["", "jwt", "userinfo+jwt"]).await;
        let claims = match verified {
            Ok(verified) => verified.claims,
            Err(Refused { undecided: true, .. }) => return Err(UserInfoError::KeysUnavailable),
            Err(Refused { error, .. }) => return Err(UserInfoError::Signed(error)),
        };
        let settings = self.settings();
        let issuer = claims.value("iss").is_none() || id_token::check_issuer(&claims, settings).is_ok();
        let audience = claims.value("aud").is_none() || id_token::check_audience(&claims, settings).is_ok();
        let now = self.now().before(settings.clock_skew);
        let current = claims.value("exp").is_none() || id_token::seconds(&claims, "exp").is_some_and(|at| now < at);
        if issuer && audience && current { Ok(claims) } else { Err(UserInfoError::NotForUs) }
    }
}

/// An answer that nobody signed.
pub(super) fn plain(body: &[u8], subject: &str) -> Result<Claims, UserInfoError> {
    accept(Claims::from_json(body).map_err(|_| UserInfoError::NotAnObject)?, subject)
}

/// 5.3.2: `sub` MUST be there and exactly match the ID token's; if not, nothing of the answer may be used.
fn accept(mut claims: Claims, subject: &str) -> Result<Claims, UserInfoError> {
    let found = claims.text("sub").ok_or(UserInfoError::Subject)?;
    if !bool::from(found.as_bytes().ct_eq(subject.as_bytes())) {
        return Err(UserInfoError::Subject);
    }
    claims.retain(|name| !PROTOCOL.contains(&name));
    Ok(claims)
}

/// A content type without its parameters, in small letters; the empty text for one that is unreadable.
fn essence(kind: &HeaderValue) -> String {
    let essence = kind.to_str().ok().and_then(|kind| kind.split(';').next()).unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r05_userinfo_never_sets_how_or_when_the_person_signed_in() {
        let body = br#"{"sub":"ada","acr":"phr","auth_time":1,"amr":["hwk"],"sid":"x","iss":"x","email":"a@b"}"#;
        let claims = accept(Claims::from_json(body).unwrap(), "ada").unwrap();
        assert_eq!(claims.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["email"]);
    }

    #[test]
    fn r05_userinfo_of_another_person_or_of_nobody_is_refused() {
        for (body, error) in [
            (r#"{"sub":"eve"}"#, UserInfoError::Subject),
            (r#"{"sub":"ada "}"#, UserInfoError::Subject),
            (r#"{"sub":null}"#, UserInfoError::Subject),
            (r#"{"email":"x"}"#, UserInfoError::Subject),
        ] {
            assert_eq!(accept(Claims::from_json(body.as_bytes()).unwrap(), "ada"), Err(error), "{body}");
        }
    }
}
