//! A development OpenID provider that misbehaves on demand.
//!
//! It is strict where a real one is: the code works once, PKCE, redirect address and client authentication are checked, so
//! that a login which passes here is a sound one. What it should do wrong stands in its [`Script`]. Every request is
//! recorded. `/authorize` signs the scripted person in at once, so that plain HTTP clients can walk through it.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lychgate::clock::Clock;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use url::{Url, form_urlencoded};

use super::client::{self, ClientPublicKey};
use super::grants::Grants;
use super::keys::{KEYS, Signing, access_token_hash, encode};

pub(crate) const CLIENT_ID: &str = "lychgate";
/// A secret that only a client which form-encodes it can send with Basic.
pub(crate) const CLIENT_SECRET: &str = "p:a%ss wörd";

/// What one endpoint answers.
#[derive(Clone, Debug, Default)]
pub(crate) enum Answer {
    /// What a sound provider would.
    #[default]
    Normal,
    /// This status and an empty body.
    Status(u16),
    /// Status, content type and body.
    Says(u16, &'static str, String),
    /// 200 and this many bytes of JSON white space.
    Huge(usize),
    /// Nothing, and the connection stays open.
    Never,
    /// A head that promises a body, and nothing more.
    Stalls,
    /// A redirect to this address.
    Redirect(String),
    /// This status and `Retry-After`, so many times; after that what a sound provider would.
    TurnsAway { status: u16, retry_after: Option<&'static str>, times: usize },
}

impl Answer {
    pub(crate) fn json(body: &str) -> Self {
        Self::Says(200, "application/json", body.to_owned())
    }
}

/// A change of the claims in the next ID tokens.
#[derive(Clone, Debug)]
pub(crate) enum Claim {
    Set(&'static str, Value),
    /// Seconds from now.
    At(&'static str, i64),
    Remove(&'static str),
}

/// A token that the provider sends by itself, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mutation {
    pub(crate) claims: Vec<Claim>,
    pub(crate) header: Vec<(&'static str, Value)>,
    pub(crate) signing: Signing,
}

impl Mutation {
    /// One claim is another.
    pub(crate) fn set(name: &'static str, value: Value) -> Self {
        Self { claims: vec![Claim::Set(name, value)], ..Self::default() }
    }

    /// One claim is missing.
    pub(crate) fn remove(name: &'static str) -> Self {
        Self { claims: vec![Claim::Remove(name)], ..Self::default() }
    }

    /// One claim is this many seconds from now.
    pub(crate) fn at(name: &'static str, seconds: i64) -> Self {
        Self { claims: vec![Claim::At(name, seconds)], ..Self::default() }
    }

    /// One member of the header is another; null removes.
    pub(crate) fn header(name: &'static str, value: Value) -> Self {
        Self { header: vec![(name, value)], ..Self::default() }
    }

    /// It is signed in another way.
    pub(crate) fn signed(signing: Signing) -> Self {
        Self { signing, ..Self::default() }
    }

    /// Both.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.claims.extend(other.claims);
        self.header.extend(other.header);
        self
    }
}

/// What the provider does, and does wrong.
#[derive(Default)]
pub(crate) struct Script {
    /// The claims about the person who signs in, beside the protocol's.
    pub(crate) person: Vec<(String, Value)>,
    pub(crate) claims: Vec<Claim>,
    /// Replaces the payload's text altogether.
    pub(crate) payload: Option<String>,
    pub(crate) header: Vec<(String, Value)>,
    pub(crate) signing: Signing,
    /// Replaces the whole ID token; an empty text leaves it out.
    pub(crate) id_token: Option<String>,
    pub(crate) token_type: Option<&'static str>,
    pub(crate) access_token: Option<&'static str>,
    /// Nobody is signed in at the provider: `prompt=none` is answered with an error, everything else by signing in.
    pub(crate) nobody: bool,
    /// Gives refresh tokens.
    pub(crate) refresh_tokens: bool,
    /// A refresh token stays good after its use.
    pub(crate) keeps_refresh_token: bool,
    /// A refresh brings no ID token.
    pub(crate) refresh_without_id_token: bool,
    /// What refreshes answer instead of tokens.
    pub(crate) refresh_answer: Answer,
    /// Puts `at_hash` of the access token into the ID token.
    pub(crate) at_hash: bool,
    pub(crate) userinfo: Vec<Claim>,
    /// Members of the metadata; null removes.
    pub(crate) metadata: Vec<(String, Value)>,
    /// Replaces the key set.
    pub(crate) jwks: Option<Vec<Value>>,
    /// The authorization endpoint answers with this error.
    pub(crate) error: Option<&'static str>,
    /// Replaces `iss` in the response; an empty text leaves it out.
    pub(crate) response_issuer: Option<String>,
    pub(crate) discovery_answer: Answer,
    pub(crate) jwks_answer: Answer,
    /// Each key set waits for a permit before it is answered.
    pub(crate) jwks_held: Option<Arc<Semaphore>>,
    pub(crate) token_answer: Answer,
    pub(crate) userinfo_answer: Answer,
    /// What is said of these opaque tokens; of others, that they are not active.
    pub(crate) introspection: Vec<(String, Value)>,
    pub(crate) introspection_answer: Answer,
    pub(crate) pushed_answer: Answer,
    /// The userinfo answer is a token, signed so, with `iss` and `aud` in it.
    pub(crate) userinfo_signed: Option<Signing>,
    /// `Cache-Control` of metadata and keys.
    pub(crate) cache_control: Option<&'static str>,
    /// The client's public key, for assertions that are not signed with the secret.
    pub(crate) client_key: Option<ClientPublicKey>,
    /// Only pushed requests are taken.
    pub(crate) pushed_only: bool,
    /// The redirect addresses that are registered for the client; empty for any.
    pub(crate) redirect_uris: Vec<String>,
}

/// One request that the provider got.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) authorization: Option<String>,
    pub(crate) form: Vec<(String, String)>,
}

/// A running provider; it stops when dropped.
pub(crate) struct FakeProvider {
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

struct Shared {
    issuer: String,
    clock: Clock,
    script: Mutex<Script>,
    codes: Mutex<HashMap<String, Asked>>,
    grants: Mutex<Grants>,
    recorded: Mutex<Vec<Recorded>>,
    /// Requests that were pushed, by their reference.
    pushed: Mutex<HashMap<String, Vec<(String, String)>>>,
    /// The ids of assertions that were used.
    assertions: Mutex<HashSet<String>>,
}

/// What the authorization request of a code was.
struct Asked {
    parameters: HashMap<String, String>,
}

type Answered = Response<BoxBody<Bytes, Infallible>>;

impl FakeProvider {
    /// Starts on a free loopback port, in clear text.
    pub(crate) async fn start(clock: Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        Self::serve(listener, issuer, clock, None)
    }

    /// Starts with TLS under the name `localhost`; also returns the certificate of its authority in PEM.
    pub(crate) async fn start_with_tls(clock: Clock) -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        (Self::serve(listener, issuer, clock, Some(TlsAcceptor::from(Arc::new(config)))), made.cert.pem())
    }

    fn serve(listener: TcpListener, issuer: String, clock: Clock, tls: Option<TlsAcceptor>) -> Self {
        let shared = Arc::new(Shared {
            issuer,
            clock,
            script: Mutex::default(),
            codes: Mutex::default(),
            grants: Mutex::default(),
            recorded: Mutex::default(),
            pushed: Mutex::default(),
            assertions: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared), tls));
        Self { shared, accepting }
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// The script, to be changed; it holds for all requests after that.
    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.shared.script.lock().unwrap()
    }

    /// The requests for `path` so far, in order.
    pub(crate) fn requests(&self, path: &str) -> Vec<Recorded> {
        let recorded = self.shared.recorded.lock().unwrap();
        recorded.iter().filter(|request| request.path == path).cloned().collect()
    }

    /// The refresh tokens that were given.
    pub(crate) fn grants(&self) -> MutexGuard<'_, Grants> {
        self.shared.grants.lock().unwrap()
    }

    /// How many refreshes were asked for.
    pub(crate) fn refreshes(&self) -> usize {
        let is_refresh = |request: &Recorded| value(&request.form, "grant_type") == Some("refresh_token");
        self.requests("/token").iter().filter(|request| is_refresh(request)).count()
    }

    /// A logout token for `sid` `session-1` of `ada-7` (Back-Channel Logout 2.4), changed.
    pub(crate) fn logout_token(&self, mutation: &Mutation) -> String {
        let now = self.shared.clock.now().seconds();
        let event = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
        let claims = json!({
            "iss": self.shared.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 120, "jti": fresh_id(),
            "sub": "ada-7", "sid": "session-1", "events": event,
        });
        self.mint("logout+jwt", claims, mutation)
    }

    /// A security event token with one event (RFC 8417 section 2.2), changed.
    pub(crate) fn event_token(&self, kind: &str, event: Value, subject: Value, mutation: &Mutation) -> String {
        let now = self.shared.clock.now().seconds();
        let claims = json!({
            "iss": self.shared.issuer, "aud": CLIENT_ID, "iat": now, "jti": fresh_id(), "sub_id": subject,
            "events": { kind: event },
        });
        self.mint("secevent+jwt", claims, mutation)
    }

    fn mint(&self, kind: &str, mut claims: Value, mutation: &Mutation) -> String {
        change(&mut claims, &mutation.claims, self.shared.clock.now().seconds());
        let typ = ("typ".to_owned(), json!(kind));
        let others = mutation.header.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let header: Vec<_> = std::iter::once(typ).chain(others).collect();
        KEYS.token(mutation.signing, &header, &claims.to_string(), CLIENT_SECRET)
    }

    /// Signs the scripted person in, without HTTP: the address that the browser would be sent back to.
    pub(crate) fn authorize(&self, authorize_url: &str) -> String {
        let url = Url::parse(authorize_url).unwrap();
        self.shared.authorize(url.query().unwrap_or_default()).unwrap_or_else(|why| panic!("{why} in {url}"))
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, tls: Option<TlsAcceptor>) {
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => connection(tcp, shared).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(tcp).await {
                        connection(stream, shared).await;
                    }
                }
            }
        });
    }
}

/// A client that goes away in the middle is part of the tests, so errors end the connection and nothing else.
async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.answer(request).await) }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Answered {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let query = parts.uri.query().unwrap_or_default();
        let authorization = parts.headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        let request = Recorded {
            path: parts.uri.path().to_owned(),
            query: pairs(query.as_bytes()),
            authorization,
            form: pairs(&body),
        };
        self.recorded.lock().unwrap().push(request.clone());
        match (&parts.method, parts.uri.path()) {
            (&Method::GET, "/.well-known/openid-configuration") => {
                self.cached(self.scripted(|script| &mut script.discovery_answer, || self.metadata()).await)
            }
            (&Method::GET, "/jwks") => {
                let held = self.script.lock().unwrap().jwks_held.clone();
                if let Some(held) = held {
                    held.acquire().await.unwrap().forget();
                }
                self.cached(self.scripted(|script| &mut script.jwks_answer, || self.key_set()).await)
            }
            (&Method::POST, "/token") if value(&request.form, "grant_type") == Some("refresh_token") => {
                self.scripted(|script| &mut script.refresh_answer, || self.refresh(&request)).await
            }
            (&Method::POST, "/token") => {
                self.scripted(|script| &mut script.token_answer, || self.token(&request)).await
            }
            (&Method::POST, "/par") => self.scripted(|script| &mut script.pushed_answer, || self.push(&request)).await,
            (&Method::POST, "/introspect") => {
                self.scripted(|script| &mut script.introspection_answer, || self.introspect(&request)).await
            }
            (&Method::GET, "/userinfo") => {
                self.scripted(|script| &mut script.userinfo_answer, || self.userinfo(&request)).await
            }
            (&Method::GET, "/authorize") => match self.authorize(query) {
                Ok(back) if query.contains("response_mode=form_post") => says(200, "text/html", &form_page(&back)),
                Ok(back) => redirect(&back),
                Err(why) => says(400, "text/plain", why),
            },
            (&Method::GET, "/logout") => match value(&request.query, "post_logout_redirect_uri") {
                Some(back) => redirect(&with_state(back, value(&request.query, "state"))),
                None => says(200, "text/plain", "signed out"),
            },
            _ => says(404, "text/plain", "no such endpoint"),
        }
    }

    async fn scripted(
        &self,
        which: impl for<'s> Fn(&'s mut Script) -> &'s mut Answer,
        normal: impl FnOnce() -> (u16, Value),
    ) -> Answered {
        let answer = {
            let mut script = self.script.lock().unwrap();
            let current = which(&mut script);
            let answer = current.clone();
            if let Answer::TurnsAway { times, .. } = current {
                *times -= 1;
                if *times == 0 {
                    *current = Answer::Normal;
                }
            }
            answer
        };
        match answer {
            Answer::Normal => {
                let (status, body) = normal();
                match body {
                    // Only a token is a bare text.
                    Value::String(token) => says(status, "application/jwt", &token),
                    body => says(status, "application/json", &body.to_string()),
                }
            }
            Answer::TurnsAway { status, retry_after, .. } => {
                let mut answer = says(status, "text/plain", "later");
                if let Some(after) = retry_after {
                    answer.headers_mut().insert(header::RETRY_AFTER, after.parse().unwrap());
                }
                answer
            }
            Answer::Status(status) => says(status, "text/plain", ""),
            Answer::Says(status, kind, body) => says(status, kind, &body),
            Answer::Redirect(address) => redirect(&address),
            Answer::Never => std::future::pending().await,
            Answer::Huge(length) => body_of(Flood { left: length, stalls: false }),
            Answer::Stalls => body_of(Flood { left: 1, stalls: true }),
        }
    }

    fn cached(&self, mut answer: Answered) -> Answered {
        if let Some(said) = self.script.lock().unwrap().cache_control {
            answer.headers_mut().insert(header::CACHE_CONTROL, said.parse().unwrap());
        }
        answer
    }

    /// Takes a pushed request (RFC 9126).
    fn push(&self, request: &Recorded) -> (u16, Value) {
        if !self.authenticated(request) {
            return (401, json!({"error": "invalid_client"}));
        }
        if value(&request.form, "request_uri").is_some() {
            return (400, json!({"error": "invalid_request"}));
        }
        let mut pushed = self.pushed.lock().unwrap();
        let reference = format!("urn:ietf:params:oauth:request_uri:{}", pushed.len());
        pushed.insert(reference.clone(), request.form.clone());
        (201, json!({"request_uri": reference, "expires_in": 60}))
    }

    /// What is asked for: the query itself, or what was pushed before, once.
    fn asked(&self, query: &str) -> Result<HashMap<String, String>, &'static str> {
        let parameters = pairs(query.as_bytes());
        let pushed_only = self.script.lock().unwrap().pushed_only;
        match value(&parameters, "request_uri") {
            None if pushed_only => Err("only pushed requests are taken"),
            None => Ok(parameters.into_iter().collect()),
            Some(_) if parameters.len() != 2 || value(&parameters, "client_id") != Some(CLIENT_ID) => {
                Err("a pushed request has client_id and request_uri alone in the address")
            }
            Some(reference) => {
                let pushed = self.pushed.lock().unwrap().remove(reference);
                Ok(pushed.ok_or("request_uri is unknown or used")?.into_iter().collect())
            }
        }
    }

    fn authenticated(&self, request: &Recorded) -> bool {
        if value(&request.form, "client_assertion").is_none() {
            return authenticated(request);
        }
        let key = self.script.lock().unwrap().client_key.clone();
        let audiences = [self.issuer.clone(), format!("{}/token", self.issuer)];
        let now = self.clock.now().seconds();
        let id = client::check_assertion(&request.form, key.as_ref(), &audiences, now);
        id.is_some_and(|id| self.assertions.lock().unwrap().insert(id))
    }

    fn metadata(&self) -> (u16, Value) {
        let at = |path: &str| format!("{}{path}", self.issuer);
        let mut metadata = json!({
            "issuer": self.issuer,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "userinfo_endpoint": at("/userinfo"),
            "jwks_uri": at("/jwks"),
            "introspection_endpoint": at("/introspect"),
            "end_session_endpoint": at("/logout"),
            "pushed_authorization_request_endpoint": at("/par"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [
                "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256",
            ],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
        });
        for (name, value) in &self.script.lock().unwrap().metadata {
            metadata[name] = value.clone();
        }
        metadata.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        (200, metadata)
    }

    fn key_set(&self) -> (u16, Value) {
        let keys = self.script.lock().unwrap().jwks.clone();
        (200, json!({ "keys": keys.unwrap_or_else(|| KEYS.jwks()) }))
    }

    /// Checks an authorization request and answers with the address to go back to.
    fn authorize(&self, query: &str) -> Result<String, &'static str> {
        let parameters = self.asked(query)?;
        let get = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
        let sound = get("response_type") == "code"
            && get("client_id") == CLIENT_ID
            && get("scope").split(' ').any(|scope| scope == "openid")
            && get("code_challenge_method") == "S256"
            && get("code_challenge").len() == 43
            && get("nonce").len() >= 22
            && get("state").len() >= 22;
        if !sound {
            return Err("a parameter is missing or wrong");
        }
        let mut back = Url::parse(get("redirect_uri")).map_err(|_| "redirect_uri is no URL")?;
        let script = self.script.lock().unwrap();
        let is_registered = script.redirect_uris.iter().any(|known| known == get("redirect_uri"));
        if !is_registered && !script.redirect_uris.is_empty() {
            return Err("redirect_uri is not registered");
        }
        let mut answer = back.query_pairs_mut();
        answer.append_pair("state", get("state"));
        match script.response_issuer.as_deref() {
            Some("") => {}
            other => {
                answer.append_pair("iss", other.unwrap_or(&self.issuer));
            }
        }
        let unseen = (script.nobody && get("prompt") == "none").then_some("login_required");
        match script.error.or(unseen) {
            Some(error) => {
                answer.append_pair("error", error).append_pair("error_description", "<b>call 555-0100</b>");
            }
            None => {
                let mut codes = self.codes.lock().unwrap();
                let code = format!("code-{}-{}", codes.len(), encode(&Sha256::digest(get("state"))[..9]));
                answer.append_pair("code", &code);
                codes.insert(code, Asked { parameters: parameters.clone() });
            }
        }
        drop(answer);
        Ok(back.into())
    }

    fn token(&self, request: &Recorded) -> (u16, Value) {
        let form = |name: &str| value(&request.form, name).unwrap_or_default();
        if !self.authenticated(request) {
            return (401, json!({"error": "invalid_client", "error_description": "<b>who?</b>"}));
        }
        let Some(asked) = self.codes.lock().unwrap().remove(form("code")) else {
            return (400, json!({"error": "invalid_grant"}));
        };
        let get = |name: &str| asked.parameters.get(name).map(String::as_str).unwrap_or_default();
        let challenge = encode(&Sha256::digest(form("code_verifier")));
        let sound = form("grant_type") == "authorization_code"
            && form("redirect_uri") == get("redirect_uri")
            && challenge == get("code_challenge");
        if !sound {
            return (400, json!({"error": "invalid_grant"}));
        }
        let script = self.script.lock().unwrap();
        let access_token = script.access_token.unwrap_or("access-token-of-the-person");
        let mut answer = json!({
            "access_token": access_token,
            "token_type": script.token_type.unwrap_or("Bearer"),
            "expires_in": 300,
        });
        let now = self.clock.now().seconds();
        let token = script.id_token.clone().unwrap_or_else(|| self.id_token(&script, &asked, access_token, now));
        if !token.is_empty() {
            answer["id_token"] = token.into();
        }
        if script.refresh_tokens {
            answer["refresh_token"] = self.grants.lock().unwrap().grant(&asked.parameters, now).into();
        }
        (200, answer)
    }

    /// RFC 6749 section 6; the ID token has no nonce (OIDC Core 12.2).
    fn refresh(&self, request: &Recorded) -> (u16, Value) {
        if !self.authenticated(request) {
            return (401, json!({"error": "invalid_client"}));
        }
        let script = self.script.lock().unwrap();
        let token = value(&request.form, "refresh_token").unwrap_or_default();
        let Some(exchanged) = self.grants.lock().unwrap().exchange(token, !script.keeps_refresh_token) else {
            return (400, json!({"error": "invalid_grant"}));
        };
        let access_token = script.access_token.unwrap_or("access-token-of-the-person");
        let mut answer = json!({"access_token": access_token, "token_type": "Bearer", "expires_in": 300});
        if !script.keeps_refresh_token {
            answer["refresh_token"] = exchanged.token.into();
        }
        if !script.refresh_without_id_token {
            let mut asked = Asked { parameters: exchanged.parameters };
            asked.parameters.remove("nonce");
            answer["id_token"] = self.id_token(&script, &asked, access_token, exchanged.auth_time).into();
        }
        (200, answer)
    }

    fn id_token(&self, script: &Script, asked: &Asked, access_token: &str, auth_time: i64) -> String {
        let now = self.clock.now().seconds();
        let get = |name: &str| asked.parameters.get(name).map(String::as_str).unwrap_or_default();
        let mut claims = json!({
            "iss": self.issuer, "aud": CLIENT_ID, "sub": "ada-7", "nonce": get("nonce"),
            "iat": now, "exp": now + 300, "auth_time": auth_time, "sid": "session-1", "amr": ["pwd", "otp"],
        });
        if !asked.parameters.contains_key("nonce") {
            claims.as_object_mut().unwrap().remove("nonce");
        }
        if let Some(acr) = get("acr_values").split(' ').next().filter(|acr| !acr.is_empty()) {
            claims["acr"] = acr.into();
        }
        if script.at_hash {
            claims["at_hash"] = access_token_hash(access_token).into();
        }
        for (name, value) in &script.person {
            claims[name] = value.clone();
        }
        change(&mut claims, &script.claims, now);
        let payload = script.payload.clone().unwrap_or_else(|| claims.to_string());
        KEYS.token(script.signing, &script.header, &payload, CLIENT_SECRET)
    }

    fn introspect(&self, request: &Recorded) -> (u16, Value) {
        if !self.authenticated(request) {
            return (401, json!({"error": "invalid_client"}));
        }
        let script = self.script.lock().unwrap();
        let known = script.introspection.iter().find(|(token, _)| value(&request.form, "token") == Some(token));
        (200, known.map_or_else(|| json!({"active": false}), |(_, says)| says.clone()))
    }

    fn userinfo(&self, request: &Recorded) -> (u16, Value) {
        if request.authorization.as_deref() != Some("Bearer access-token-of-the-person") {
            return (401, json!({"error": "invalid_token"}));
        }
        let mut claims = json!({"sub": "ada-7", "email": "ada@gmr.example", "department": "archives"});
        let script = self.script.lock().unwrap();
        if script.userinfo_signed.is_some() {
            claims["iss"] = self.issuer.as_str().into();
            claims["aud"] = CLIENT_ID.into();
        }
        change(&mut claims, &script.userinfo, self.clock.now().seconds());
        match script.userinfo_signed {
            None => (200, claims),
            Some(signing) => (200, KEYS.token(signing, &script.header, &claims.to_string(), CLIENT_SECRET).into()),
        }
    }
}

fn fresh_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("id-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn change(claims: &mut Value, changes: &[Claim], now: i64) {
    for one in changes {
        match one {
            Claim::Set(name, value) => claims[*name] = value.clone(),
            Claim::At(name, seconds) => claims[*name] = (now + seconds).into(),
            Claim::Remove(name) => {
                claims.as_object_mut().unwrap().remove(*name);
            }
        }
    }
}

/// Basic with form-encoded id and secret, or both in the form, or the id alone there when the client has no secret.
fn authenticated(request: &Recorded) -> bool {
    let Some(authorization) = &request.authorization else {
        let secret = value(&request.form, "client_secret");
        return value(&request.form, "client_id") == Some(CLIENT_ID)
            && secret.is_none_or(|given| given == CLIENT_SECRET);
    };
    let Some(encoded) = authorization.strip_prefix("Basic ") else { return false };
    let decoded = String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap();
    let Some((id, secret)) = decoded.split_once(':') else { return false };
    let form_decoded = |text: &str| pairs(format!("x={text}").as_bytes()).remove(0).1;
    form_decoded(id) == CLIENT_ID && form_decoded(secret) == CLIENT_SECRET
}

fn pairs(text: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(text).into_owned().collect()
}

/// The value of a parameter.
pub(crate) fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn with_state(back: &str, state: Option<&str>) -> String {
    let mut url = Url::parse(back).unwrap();
    if let Some(state) = state {
        url.query_pairs_mut().append_pair("state", state);
    }
    url.into()
}

fn says(status: u16, kind: &str, body: &str) -> Answered {
    let body = Full::new(Bytes::from(body.to_owned())).boxed();
    Response::builder().status(status).header(header::CONTENT_TYPE, kind).body(body).unwrap()
}

/// What a provider shows for `response_mode=form_post`: a form that posts itself.
fn form_page(back: &str) -> String {
    let (action, body) = posted(back);
    let inputs: String = pairs(body.as_bytes())
        .iter()
        .map(|(name, value)| format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\"/>"))
        .collect();
    format!("<form method=\"post\" action=\"{action}\">{inputs}</form><script>document.forms[0].submit()</script>")
}

/// A response as a form: where it is posted to, and its body.
pub(crate) fn posted(back: &str) -> (String, String) {
    let (action, body) = back.split_once('?').unwrap();
    (action.to_owned(), body.to_owned())
}

fn redirect(address: &str) -> Answered {
    let body = Full::new(Bytes::new()).boxed();
    Response::builder().status(302).header(header::LOCATION, address).body(body).unwrap()
}

fn body_of(flood: Flood) -> Answered {
    Response::builder().header(header::CONTENT_TYPE, "application/json").body(flood.boxed()).unwrap()
}

/// A body of spaces that is made while it is sent; it may stop short of its end for ever.
struct Flood {
    left: usize,
    stalls: bool,
}

impl Body for Flood {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static SPACES: [u8; 65_536] = [b' '; 65_536];
        if self.left == 0 {
            return if self.stalls { Poll::Pending } else { Poll::Ready(None) };
        }
        let length = self.left.min(SPACES.len());
        self.left -= length;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&SPACES[..length])))))
    }
}
