//! What the userinfo endpoint adds to an ID token, after it proved to speak of the same person.
//!
//! The request is ours, not the library's, which panics on an access token that cannot stand in a header field. Signed
//! (`application/jwt`) answers are refused; nothing asks for them.
//!
//! May touch: the network through `http_client`. Trust boundary: the answer comes over TLS but unsigned, so it never sets a
//! claim that the ID token has, nor one that says how or when the person signed in. Specification: OIDC Core 5.3.

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use openidconnect::AccessToken;
use subtle::ConstantTimeEq as _;

use super::availability::FetchError;
use super::error::UserInfoError;
use super::provider::{Discovered, Provider};
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
        discovered: &Discovered,
        access_token: &AccessToken,
        subject: &str,
    ) -> Result<Claims, UserInfoError> {
        let endpoint = discovered.metadata.userinfo_endpoint.as_ref().ok_or(UserInfoError::NoEndpoint)?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", access_token.secret()))
            .map_err(|_| UserInfoError::Fetch(FetchError::BadRequest))?;
        bearer.set_sensitive(true);
        let request = Request::builder()
            .method(Method::GET)
            .uri(endpoint.as_str())
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, bearer)
            .body(Vec::new())
            .map_err(|_| UserInfoError::Fetch(FetchError::BadUrl))?;
        let response = self.http().fetch(request).await.map_err(UserInfoError::Fetch)?;
        if response.status() != StatusCode::OK {
            return Err(UserInfoError::Status);
        }
        // 5.3.2: the content type MUST be application/json for a plain answer; a missing one is tolerated.
        if response.headers().get(CONTENT_TYPE).is_some_and(|kind| !is_json(kind)) {
            return Err(UserInfoError::NotAnObject);
        }
        accept(response.body(), subject)
    }
}

/// 5.3.2: `sub` MUST be there and exactly match the ID token's; if not, nothing of the answer may be used.
fn accept(body: &[u8], subject: &str) -> Result<Claims, UserInfoError> {
    let mut claims = Claims::from_json(body).map_err(|_| UserInfoError::NotAnObject)?;
    let found = claims.text("sub").ok_or(UserInfoError::Subject)?;
    if !bool::from(found.as_bytes().ct_eq(subject.as_bytes())) {
        return Err(UserInfoError::Subject);
    }
    claims.retain(|name| !PROTOCOL.contains(&name));
    Ok(claims)
}

fn is_json(kind: &HeaderValue) -> bool {
    let essence = kind.to_str().ok().and_then(|kind| kind.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r05_userinfo_never_sets_how_or_when_the_person_signed_in() {
        let body = br#"{"sub":"ada","acr":"phr","auth_time":1,"amr":["hwk"],"sid":"x","iss":"x","email":"a@b"}"#;
        let claims = accept(body, "ada").unwrap();
        assert_eq!(claims.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["email"]);
    }

    #[test]
    fn r05_userinfo_of_another_person_or_of_nobody_is_refused() {
        for (body, error) in [
            (r#"{"sub":"eve"}"#, UserInfoError::Subject),
            (r#"{"sub":"ada "}"#, UserInfoError::Subject),
            (r#"{"sub":null}"#, UserInfoError::Subject),
            (r#"{"email":"x"}"#, UserInfoError::Subject),
            (r#"[{"sub":"ada"}]"#, UserInfoError::NotAnObject),
            (r#""ada""#, UserInfoError::NotAnObject),
            ("", UserInfoError::NotAnObject),
        ] {
            assert_eq!(accept(body.as_bytes(), "ada"), Err(error), "{body}");
        }
    }
}
