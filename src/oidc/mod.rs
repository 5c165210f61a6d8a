//! The relying party: everything that the gateway says to OpenID providers and believes of what they say back.
//!
//! Layer 3: knows layers 0 to 2. It speaks to one provider per [`Provider`] over its own small HTTP client, and neither
//! reads requests nor writes responses: the gateway hands over the callback's query and gets a [`SignedIn`] or a
//! [`LoginError`] that names the rule which was broken.
//!
//! | file | what |
//! | --- | --- |
//! | `settings`, `provider`, `metadata`, `keys`, `freshness` | a configured provider, its discovery, its signing keys and how long they are good |
//! | `http_client`, `patience`, `traffic` | bounded requests: no redirect followed, limited in time, size and number |
//! | `endpoint`, `client_auth` | every endpoint of the provider by name, and how the gateway proves to be the client |
//! | `object`, `jws` | JSON objects, and signed tokens, of the provider |
//! | `login`, `pushed`, `pending` | the way out: authorization request, sealed pending login, one cookie each |
//! | `callback`, `token`, `id_token`, `userinfo`, `two_sources` | the way back, in the order of the checks |
//! | `refresh` | new tokens for a session that goes on |
//! | `access_token`, `jwt`, `token_terms`, `token_error` | access tokens of API clients |
//! | `introspection`, `introspection_cache` | asking the provider about them |
//! | `logout` | RP-initiated logout |
//! | `signals`, `signed_token`, `transmitter_keys`, `logout_token`, `security_event`, `subject`, `okta_hook` | what the provider sends to end sessions |
//! | `checkup` | the examination for `lychgate doctor` |
//! | `answers` | the readers of a provider's answers, together, for the fuzz target |
//! | `error`, `availability` | every way in which a login can fail, and a provider be away |
//!
//! Trust boundary: the browser and, until its answers are verified, the provider. Tokens, codes, verifiers and secrets
//! are never logged and have no `Debug` (R17). Specifications: OpenID Connect Core 1.0 and Discovery 1.0, RFC 6749,
//! RFC 7636 (PKCE), RFC 9126 (PAR), RFC 9207 (`iss`), RFC 9700 (security practice), RFC 9068 and RFC 7662 (access tokens),
//! RP-Initiated Logout 1.0, Back-Channel Logout 1.0, RFC 8417 (SET).

mod access_token;
pub mod answers;
mod availability;
mod callback;
mod checkup;
mod client_auth;
mod endpoint;
mod error;
mod freshness;
mod http_client;
mod id_token;
mod introspection;
mod introspection_cache;
mod jws;
mod jwt;
mod keys;
mod login;
mod logout;
mod logout_token;
mod metadata;
mod object;
pub mod okta_hook;
mod patience;
pub mod pending;
mod provider;
mod provider_error;
mod pushed;
mod refresh;
mod security_event;
mod settings;
mod signals;
mod signed_token;
mod subject;
mod token;
mod token_error;
mod token_terms;
mod traffic;
mod transmitter_keys;
mod two_sources;
mod userinfo;

pub use access_token::{AccessToken, MAX_TOKEN, Standing, Stands};
pub use availability::{FetchError, MetadataError, ProviderUnavailable};
pub use callback::{CallbackParams, MAX_RESPONSE, SignedIn, left_out};
pub use checkup::REGISTER_REDIRECT_URI;
pub use endpoint::Endpoint;
pub use error::{IdTokenError, LoginError, TokenEndpointError, UserInfoError};
pub use http_client::Limits;
pub use introspection::Questioner;
pub use jws::JwsError;
pub use jwt::UnverifiedJwt;
pub use keys::usable_keys;
pub use login::{Begun, LoginRequest};
pub use logout_token::{LogoutToken, read_unsigned as read_logout_token_unsigned};
pub use metadata::usable_metadata;
pub use pending::PendingLogin;
pub use provider::{Provider, Readiness};
pub use provider_error::ProviderErrorCode;
pub use refresh::{RefreshError, Refreshed};
pub use security_event::{Asked, SecurityEvent, read_unsigned as read_security_event_unsigned};
pub use settings::{Asking, AssertionAudience, Callback, ClientAuth, ProviderSettings, ResponseMode, SettingsError};
pub use signals::{SharedValue, Signals, Transmitter};
pub use signed_token::{MAX_SIGNAL, SignalError, UnverifiedToken};
pub use subject::{Meant, Person};
pub use token_error::{TokenError, TokenFault};
pub use token_terms::TokenFacts;
pub use traffic::RequestOutcome;
