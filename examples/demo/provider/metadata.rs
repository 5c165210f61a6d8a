//! What the development provider says about itself.
//!
//! Every line is something that it really does: a relying party that reads the document finds all of it.
//!
//! OpenID Connect Discovery 1.0 section 3, RFC 8414 section 2, RFC 9207 section 3, OpenID Connect
//! RP-Initiated Logout 1.0 section 2.1.

use serde_json::{Value, json};

use super::keys::Algorithm;
use super::people::Scopes;
use super::sessions::Level;

/// Where the document is found.
pub(super) const PATH: &str = "/.well-known/openid-configuration";

/// The discovery document of the provider called `issuer`.
pub(super) fn document(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "jwks_uri": format!("{issuer}/jwks"),
        "end_session_endpoint": format!("{issuer}/end-session"),
        "scopes_supported": Scopes::KNOWN,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "acr_values_supported": Level::ALL.map(Level::acr),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": Algorithm::ALL.map(Algorithm::name),
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": ["none", "login"],
        "claim_types_supported": ["normal"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash",
            "preferred_username", "name", "email", "email_verified", "groups",
        ],
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
    })
}
