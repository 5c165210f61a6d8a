//! How the gateway proves at an endpoint of a provider that it is the client.
//!
//! A secret in a field or in the form, an assertion signed with the secret or with a private key, or nothing but the client's id. An
//! assertion is good for one request: it has an id of its own and ends after a minute.
//!
//! May touch: randomness, no I/O. Trust boundary: none; secrets go out in the request and nowhere else (R17).
//! Specifications: RFC 6749 section 2.3.1, OpenID Connect Core section 9, RFC 7521, RFC 7523 sections 2.2 and 3.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::HeaderValue;
use url::Url;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use super::settings::{AssertionAudience, ClientAuth, ProviderSettings};
use crate::clock::Timestamp;
use crate::crypto::random;

/// How long an assertion is good.
const LIFETIME: Duration = Duration::from_secs(60);
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a request carries for the client: parameters of its form, and the Authorization field. No `Debug`.
#[derive(Default)]
pub(super) struct Credentials {
    pub(super) form: Vec<(&'static str, Zeroizing<String>)>,
    pub(super) authorization: Option<HeaderValue>,
}

/// The credentials for one request to `endpoint`; none when they cannot be made of the settings.
pub(super) fn credentials(settings: &ProviderSettings, token_endpoint: &Url, now: Timestamp) -> Option<Credentials> {
    let id = || ("client_id", Zeroizing::new(settings.client_id.clone()));
    let secret = || settings.client_secret.as_ref().map(|secret| Zeroizing::new(secret.expose().clone()));
    Some(match settings.client_auth {
        ClientAuth::None => Credentials { form: vec![id()], authorization: None },
        ClientAuth::Post => Credentials { form: vec![id(), ("client_secret", secret()?)], authorization: None },
        ClientAuth::Basic => {
            Credentials { form: Vec::new(), authorization: Some(basic(&settings.client_id, &secret()?)?) }
        }
        ClientAuth::SecretJwt | ClientAuth::PrivateKeyJwt => {
            let assertion = Zeroizing::new(assertion(settings, token_endpoint, now)?);
            let kind = Zeroizing::new(ASSERTION_TYPE.to_owned());
            let form = vec![id(), ("client_assertion_type", kind), ("client_assertion", assertion)];
            Credentials { form, authorization: None }
        }
    })
}

/// RFC 6749 section 2.3.1: both are form-encoded before they are joined (R02).
fn basic(id: &str, secret: &str) -> Option<HeaderValue> {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Zeroizing::new(format!("{}:{}", encode(id), encode(secret)));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair.as_bytes()))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// RFC 7523 section 3, OIDC Core section 9: `iss` and `sub` are the client, `aud` the provider, `jti` is used once.
fn assertion(settings: &ProviderSettings, token_endpoint: &Url, now: Timestamp) -> Option<String> {
    let audience = match settings.assertion_audience {
        AssertionAudience::TokenEndpoint => token_endpoint.as_str(),
        AssertionAudience::Issuer => &settings.issuer,
    };
    let claims = serde_json::json!({
        "iss": settings.client_id,
        "sub": settings.client_id,
        "aud": audience,
        "jti": random::token(),
        "iat": now.seconds(),
        "exp": now.after(LIFETIME).seconds(),
    });
    let algorithm = match settings.client_auth {
        ClientAuth::PrivateKeyJwt => settings.client_key.as_ref()?.algorithm().name(),
        _ => "HS256",
    };
    let mut header = serde_json::json!({"alg": algorithm, "typ": "JWT"});
    if let (Some(id), Some(members)) = (&settings.client_key_id, header.as_object_mut()) {
        members.insert("kid".to_owned(), id.as_str().into());
    }
    let encode = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = match settings.client_auth {
        ClientAuth::PrivateKeyJwt => settings.client_key.as_ref()?.sign(signed.as_bytes())?,
        _ => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, settings.client_secret.as_ref()?.expose().as_bytes());
            hmac::sign(&key, signed.as_bytes()).as_ref().to_vec()
        }
    };
    Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
