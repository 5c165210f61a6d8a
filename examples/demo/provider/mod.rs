//! A development OpenID provider: real protocol, invented people, everything in memory.
//!
//! Discovery, authorization code flow with PKCE, a sign-in page with password and one-time code, single
//! sign-on between clients, ID tokens, refresh, userinfo, sign-out. It is as strict as a provider should be,
//! so that a relying party that works with it has done its part.
//!
//! **Not for production.** It speaks plain http on loopback, forgets everything when it ends, keeps passwords
//! in the clear and shows the second factor on the page. It lives with the examples, and no file of the
//! gateway may import it. It depends on crates only, so that benches and tests can include it by path.
//! It logs nothing at all.
//!
//! OpenID Connect Core 1.0, Discovery 1.0, RP-Initiated Logout 1.0, RFC 6749, RFC 7636, RFC 9207.

mod authorize;
mod end_session;
mod grants;
mod keys;
pub(crate) mod listen;
mod metadata;
mod page;
mod params;
mod people;
mod pkce;
mod reply;
mod sessions;
mod shelf;
mod sign_in;
#[cfg(test)]
mod tests;
mod token;
mod totp;
mod userinfo;

use std::fmt::{self, Display, Formatter};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use url::Url;

pub(crate) use self::keys::Algorithm;
pub(crate) use self::people::Person;

use self::grants::Grants;
use self::keys::Keys;
use self::params::Params;
use self::reply::Reply;
use self::sessions::Sessions;
use self::shelf::{Shelf, random_text};
use self::sign_in::SignIn;

/// The cookie of the provider's own session.
const SESSION_COOKIE: &str = "demo_provider_session";

/// The longest form that is read.
const FORM_LIMIT: usize = 64 * 1024;

/// What a provider is made of.
pub(crate) struct ProviderConfig {
    /// The provider's name and the beginning of all its addresses, without a slash at the end.
    pub(crate) issuer: String,
    /// Who may ask for sign-ins.
    pub(crate) clients: Vec<Client>,
    /// Who can sign in.
    pub(crate) people: Vec<Person>,
}

/// A relying party that is registered.
pub(crate) struct Client {
    /// The client id.
    pub(crate) id: String,
    /// The client secret, for `client_secret_basic` and `client_secret_post`.
    pub(crate) secret: String,
    /// How its ID tokens are signed.
    pub(crate) algorithm: Algorithm,
    /// Where codes may be sent; compared as whole strings.
    pub(crate) redirect_uris: Vec<String>,
    /// Where browsers may be sent after signing out; compared as whole strings.
    pub(crate) post_logout_redirect_uris: Vec<String>,
}

impl Client {
    fn lists(registered: &[String], uri: &str) -> bool {
        registered.iter().any(|known| known == uri)
    }
}

/// The provider, ready to serve.
pub(crate) struct Provider {
    issuer: String,
    clients: Vec<Client>,
    people: Vec<Person>,
    keys: Keys,
    code_seed: String,
    state: Mutex<State>,
}

struct State {
    sessions: Sessions,
    sign_ins: Shelf<SignIn>,
    grants: Grants,
}

/// Why a provider could not be made.
#[derive(Debug)]
pub(crate) enum ProviderError {
    /// The issuer is not an `http` or `https` origin without path, query and final slash.
    BadIssuer(String),
    /// A registered address is not an absolute URL.
    BadAddress(String),
    /// The signing keys could not be made.
    NoKeys,
}

impl Display for ProviderError {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadIssuer(found) => write!(to, "issuer {found:?} is not an origin like http://login.localhost:8081"),
            Self::BadAddress(found) => write!(to, "registered address {found:?} is not an absolute URL"),
            Self::NoKeys => to.write_str("the signing keys could not be made"),
        }
    }
}

impl std::error::Error for ProviderError {}

/// An ID token of this provider that came back; it may have expired.
struct Hint {
    subject: String,
    client: String,
    session: String,
}

impl Provider {
    /// Makes a provider with fresh keys.
    pub(crate) fn new(config: ProviderConfig) -> Result<Self, ProviderError> {
        let origin = Url::parse(&config.issuer).map(|url| url.origin().ascii_serialization());
        if origin.as_ref() != Ok(&config.issuer) {
            return Err(ProviderError::BadIssuer(config.issuer));
        }
        let addresses = config
            .clients
            .iter()
            .flat_map(|client| client.redirect_uris.iter().chain(&client.post_logout_redirect_uris));
        if let Some(bad) = addresses.into_iter().find(|uri| Url::parse(uri).is_err()) {
            return Err(ProviderError::BadAddress(bad.clone()));
        }
        Ok(Self {
            issuer: config.issuer,
            clients: config.clients,
            people: config.people,
            keys: Keys::generate().map_err(|_| ProviderError::NoKeys)?,
            code_seed: random_text(),
            state: Mutex::new(State { sessions: Sessions::new(), sign_ins: Shelf::new(), grants: Grants::new() }),
        })
    }

    /// Serves on `listener` until `shutdown` completes.
    pub(crate) async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let provider = Arc::new(self);
        let handle = move |request| {
            let provider = Arc::clone(&provider);
            async move { provider.answer(request, unix_time()).await }
        };
        listen::listen(listener, handle, shutdown).await;
    }

    async fn answer(&self, request: Request<Incoming>, now: u64) -> Reply {
        let (head, body) = request.into_parts();
        let form = match head.method {
            Method::POST if is_form(&head) => listen::read_body(body, FORM_LIMIT).await,
            _ => Some(Default::default()),
        };
        let Some(form) = form else {
            let page = page::notice("That was too much", "The form was too long or broke off.");
            return reply::page(StatusCode::PAYLOAD_TOO_LARGE, page);
        };
        let encoded = match head.method {
            Method::POST => &*form,
            _ => head.uri.query().unwrap_or_default().as_bytes(),
        };
        match Params::parse(encoded) {
            Ok(params) => self.route(&head, &params, now),
            Err(params::Repeated(name)) => repeated(&head, &name),
        }
    }

    fn route(&self, head: &Parts, params: &Params, now: u64) -> Reply {
        let headers = &head.headers;
        let method = match head.method {
            Method::HEAD => "GET",
            ref method => method.as_str(),
        };
        match (method, head.uri.path()) {
            ("GET", metadata::PATH) => reply::json(StatusCode::OK, &metadata::document(&self.issuer)),
            ("GET", "/jwks") => reply::json(StatusCode::OK, &self.keys.published()),
            ("GET" | "POST", "/authorize") => authorize::authorize(self, params, headers, now),
            ("GET", sign_in::PATH) => sign_in::show(self, params, headers, now),
            ("POST", "/sign-in/password") => sign_in::password(self, params, headers, now),
            ("POST", "/sign-in/code") => sign_in::code(self, params, headers, now),
            ("POST", "/sign-in/cancel") => sign_in::cancel(self, params, headers, now),
            ("POST", "/token") => token::token(self, params, headers, now),
            ("GET" | "POST", "/userinfo") => userinfo::userinfo(self, headers, now),
            ("GET" | "POST", "/end-session") => end_session::end_session(self, params, headers, now),
            ("POST", "/end-session/confirm") => end_session::confirm(self, params, headers, now),
            ("GET", "/") => self.home(head, now),
            _ => reply::page(
                StatusCode::NOT_FOUND,
                page::notice("Nothing is here", "This address is not one of the provider's."),
            ),
        }
    }

    fn home(&self, head: &Parts, now: u64) -> Reply {
        let session = params::cookie(&head.headers, SESSION_COOKIE)
            .and_then(|cookie| self.state().sessions.find(cookie, now).cloned());
        let signed_in = session.as_ref().map(|session| {
            let name = self.person(&session.user).map_or(&*session.user, |person| &person.name);
            (name, session.level.acr())
        });
        reply::page(StatusCode::OK, page::home(signed_in))
    }

    fn client(&self, id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.id == id)
    }

    fn person(&self, user: &str) -> Option<&Person> {
        self.people.iter().find(|person| person.user == user)
    }

    /// The secret behind the one-time codes of one sign-in.
    ///
    /// A sign-in ends with the first right code, and the next one has another secret: no code is ever
    /// accepted twice (RFC 6238 section 5.2), and nobody waits for the next half minute to sign in again.
    fn code_secret(&self, user: &str, ticket: &str) -> Vec<u8> {
        Sha256::digest(format!("{} {ticket} {user}", self.code_seed)).to_vec()
    }

    fn verified_hint(&self, token: &str) -> Option<Hint> {
        let claims = self.keys.verify(token)?;
        let text = |name: &str| Some(claims.get(name)?.as_str()?.to_owned());
        Some(Hint { subject: text("sub")?, client: text("aud")?, session: text("sid")? })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_form(head: &Parts) -> bool {
    let line = head.headers.get(CONTENT_TYPE).and_then(|line| line.to_str().ok());
    let media_type = line.and_then(|line| line.split(';').next()).unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn repeated(head: &Parts, name: &str) -> Reply {
    match head.uri.path() {
        "/token" | "/userinfo" => {
            reply::json_error(StatusCode::BAD_REQUEST, "invalid_request", "a parameter came more than once")
        }
        _ => {
            let text = format!("The parameter {name:?} came more than once.");
            reply::page(StatusCode::BAD_REQUEST, page::notice("That cannot be answered", &text))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the provider's one clock: it knows nothing of the gateway's")]
fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
