//! Asking the provider about a token, once for everybody who wants to know.
//!
//! The request is authenticated as the gateway's client. An answer is kept for the policy's `cache` at most, and `exp` is checked
//! against the clock on each use, so neither outlives the other. Requests with one token wait for one question; the outcome of a
//! failed question is shared by those who waited and then forgotten.
//!
//! May touch: the network through `http_client`. Trust boundary: the token is a stranger's, the answer comes over TLS and is believed
//! when it is a sound one. A provider that does not answer makes tokens unknown, never bad (503, not 401). Bounds: see
//! `introspection_cache`. Specification: RFC 7662.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use openidconnect::HttpRequest;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::introspection_cache::{Answer, Found};
use super::provider::Provider;
use super::settings::{ClientAuth, ProviderSettings};
use super::token_error::TokenError;
use crate::claims::{ClaimValue, Claims};

/// The longest answer that is kept, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

impl Provider {
    /// What the provider says of a token, in an answer not older than `max_age`.
    pub(super) async fn introspect(&self, token: &str, max_age: Duration) -> Result<Answer, TokenError> {
        match self.introspections().look_up(token, max_age, self.now())? {
            Found::Answer(answer) => Ok(answer),
            Found::Flight(flight) => flight.land(self.ask_about(token)).await,
        }
    }

    async fn ask_about(&self, token: &str) -> Result<Answer, TokenError> {
        self.discovered_now().await.map_err(|_| TokenError::Unavailable)?;
        let discovered = self.discovered().map_err(|_| TokenError::Unavailable)?;
        let Some(endpoint) = discovered.metadata.introspection_endpoint.as_ref() else {
            tracing::warn!(provider = self.name(), "the provider publishes no introspection_endpoint");
            return Err(TokenError::Unavailable);
        };
        let request = request(endpoint, self.settings(), token).ok_or(TokenError::Unavailable)?;
        let response = self.http().fetch(request).await.map_err(|error| {
            tracing::warn!(provider = self.name(), %error, "the provider was not reached about a token");
            TokenError::Unavailable
        })?;
        if response.status() != StatusCode::OK {
            let status = response.status().as_u16();
            tracing::warn!(provider = self.name(), status, "the provider refuses to be asked about tokens");
            return Err(TokenError::Unavailable);
        }
        match read(response.body()) {
            Some(claims) => Ok(Answer { claims, at: self.now() }),
            None => {
                tracing::warn!(provider = self.name(), "the provider's answer about a token cannot be read");
                Err(TokenError::Unavailable)
            }
        }
    }
}

/// RFC 7662 section 2.2: a JSON object whose `active` is a boolean. Claims when it is true.
fn read(body: &[u8]) -> Option<Option<Arc<Claims>>> {
    if body.len() > MAX_ANSWER {
        return None;
    }
    let mut claims = Claims::from_json(body).ok()?;
    let Some(ClaimValue::Bool(active)) = claims.value("active") else { return None };
    if !active {
        return Some(None);
    }
    claims.retain(|name| name != "active");
    Some(Some(Arc::new(claims)))
}

/// RFC 7662 section 2.1, with the client's own authentication (RFC 6749 section 2.3.1).
fn request(endpoint: &Url, settings: &ProviderSettings, token: &str) -> Option<HttpRequest> {
    let mut form = Serializer::new(String::new());
    form.append_pair("token", token).append_pair("token_type_hint", "access_token");
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(endpoint.as_str())
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    match (settings.client_auth, &settings.client_secret) {
        (ClientAuth::Basic, Some(secret)) => request = request.header(AUTHORIZATION, basic(settings, secret.expose())?),
        (ClientAuth::Post, Some(secret)) => {
            form.append_pair("client_id", &settings.client_id).append_pair("client_secret", secret.expose());
        }
        _ => {
            form.append_pair("client_id", &settings.client_id);
        }
    }
    request.body(form.finish().into_bytes()).ok()
}

/// Client id and secret are form-encoded before Basic.
fn basic(settings: &ProviderSettings, secret: &str) -> Option<HeaderValue> {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let credentials = STANDARD.encode(format!("{}:{}", encode(&settings.client_id), encode(secret)));
    let mut value = HeaderValue::try_from(format!("Basic {credentials}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_do_not_say_whether_the_token_is_active_are_none() {
        for bad in [
            "",
            "[]",
            "{}",
            "true",
            r#"{"active":"true"}"#,
            r#"{"active":1}"#,
            r#"{"active":null}"#,
            r#"{"Active":true}"#,
            r#"{"active":true"#,
        ] {
            assert!(read(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(read(format!("{{\"active\":true,\"x\":\"{}\"}}", "a".repeat(MAX_ANSWER)).as_bytes()).is_none());
        assert_eq!(read(br#"{"active":false,"sub":"ada"}"#), Some(None));
        let claims = read(br#"{"active":true,"sub":"ada"}"#).unwrap().unwrap();
        assert_eq!(claims.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["sub"]);
    }

    #[test]
    fn the_gateway_says_who_it_is() {
        let endpoint = Url::parse("https://idp.example/introspect").unwrap();
        let mut settings = ProviderSettings::new("idp", "https://idp.example", "a b");
        settings.client_secret = Some(crate::crypto::Secret::new("p:ö".to_owned()));
        let sent = |settings: &ProviderSettings| {
            let request = request(&endpoint, settings, "t+/=").unwrap();
            let authorization = request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
            (authorization, String::from_utf8(request.into_body()).unwrap())
        };
        let form = "token=t%2B%2F%3D&token_type_hint=access_token";
        assert_eq!(sent(&settings), (Some(format!("Basic {}", STANDARD.encode("a+b:p%3A%C3%B6"))), form.to_owned()));
        settings.client_auth = ClientAuth::Post;
        assert_eq!(sent(&settings), (None, format!("{form}&client_id=a+b&client_secret=p%3A%C3%B6")));
        settings.client_auth = ClientAuth::None;
        assert_eq!(sent(&settings), (None, format!("{form}&client_id=a+b")));
    }
}
