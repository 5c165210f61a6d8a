//! The life of a request: one straight function, inside one that times, logs and rescues.
//!
//! Layer 4. [`Gateway::handle`] is the whole pipeline:
//!
//! ```text
//! head -> route -> reserved? -> scrub -> who? -> may they? -> identity -> application -> answer
//! ```
//!
//! Each step makes a value that the next one needs (`RequestHead`, `Scrubbed`, `Permit`, `UpstreamRequest`), so no path can leave
//! one out. Whatever ends a request early is a `Refusal`, turned into an answer in one table.
//!
//! Trust boundary: everything that a client sends. Answers of the gateway's own tell a client no more than it needs.

mod account;
mod addresses;
mod authenticate;
mod bearer;
mod begun;
mod callback;
mod caller;
mod challenge;
mod content;
mod doubt;
mod events;
mod flights;
mod form_errors;
mod frontchannel;
mod jwks;
mod kept_form;
mod limits;
mod logout;
mod me;
mod observed;
mod proxy;
mod record;
mod refresh;
mod refusal;
mod renewal;
mod reply;
mod request_id;
mod resend;
mod reserved;
mod sign_in;
mod successors;
mod transport;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use http::header::{ACCEPT, COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use ipnet::IpNet;

use crate::clock::Clock;
use crate::crypto::{IdentityKeys, KeyRing};
use crate::http::field::trim_values;
use crate::http::forwarded::{ChainError, Origin};
use crate::http::{RequestHead, Scheme, Seen};
use crate::limit::RateCounter;
use crate::observe::{Decision, LogLane, Metrics};
use crate::oidc::Provider;
use crate::pages::Form;
use crate::session::{CacheKey, Revocations, SessionCache};
use crate::snapshot::{Application, Route, Snapshot};
use crate::upstream::{BodyLimits, ClientBody, Pool};

use account::Account;
pub use account::Body;
pub use addresses::is_reserved;
use authenticate::Known;
use bearer::{BearerError, TokenCache, TokenHolder};
pub use doubt::{forged_header, refused_path};
use flights::Flights;
use kept_form::Forms;
pub use limits::admits;
pub use observed::decided;
use proxy::Sent;
use refusal::Refusal;
use request_id::{RequestId, RequestIds};
use successors::Successors;
pub use transport::{ListenerRules, TlsConnection};

/// Sessions that a worker keeps open, of those that were brought to it twice.
const CACHED_SESSIONS: NonZeroUsize = NonZeroUsize::new(8192).unwrap();

/// Accepted tokens that a worker remembers.
const CACHED_TOKENS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// What is true for all requests of one client connection.
pub struct ClientConnection {
    /// The client: the other end, or whom a trusted proxy announced before the first byte.
    pub peer: SocketAddr,
    /// Whether forwarding fields are believed when the peer is a trusted proxy; not where one spoke for somebody that it did not name.
    pub may_forward: bool,
    /// How browsers reach this listener.
    pub scheme: Scheme,
    /// What holds for all connections of the listener.
    pub rules: Arc<ListenerRules>,
    /// Its TLS, where that ends here; known once the handshake is done.
    pub tls: Option<TlsConnection>,
    /// What its requests have in common.
    pub seen: Seen,
}

/// What all workers of a process share; nothing in it is written on a request's path.
pub struct Common {
    /// The policies in use.
    pub state: ArcSwap<Snapshot>,
    /// The keys that seal sessions and pending logins.
    pub keys: Arc<KeyRing>,
    /// The keys that sign what applications are told, published under `jwks`.
    pub identity: Arc<IdentityKeys>,
    /// The sessions that ended early.
    pub revocations: Arc<Revocations>,
    /// The time of day.
    pub clock: Clock,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Peers whose forwarding fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Limits for what clients send.
    pub body: BodyLimits,
    /// Fields that a request's head may have; the server counts them on HTTP/1.1 only.
    pub header_count: usize,
    /// Bytes that all cookies of a browser may have before its logins under way go.
    pub cookie_room: usize,
    /// What strangers may make the gateway do.
    pub strangers: RateCounter,
    /// Whether the access log keeps what rules decided by.
    pub records: bool,
    /// What is remembered of sessions beside the browsers' cookies.
    pub memory: SessionMemory,
}

/// What a process remembers of sessions beside the browsers' cookies: refreshes under way, sessions that took another's place, kept forms that were sent. Only requests that
/// need it look.
#[derive(Default)]
pub struct SessionMemory {
    flights: Arc<Flights>,
    successors: Successors,
    forms: Forms,
}

/// One worker's gateway.
pub struct Gateway {
    common: Arc<Common>,
    pool: Arc<Pool>,
    sessions: SessionCache<Known>,
    tokens: TokenCache,
    log: LogLane,
    request_ids: RequestIds,
    /// The version of the policies that the opened sessions were prepared for.
    prepared_for: AtomicU64,
}

/// In which form the client wants to be told something, read only when there is something to tell.
struct WantedForm(Option<HeaderValue>);

impl WantedForm {
    fn read(&self) -> Form {
        Form::wanted(self.0.as_ref())
    }
}

/// One request under way: what every step may look at.
struct Exchange<'a> {
    gateway: &'a Arc<Gateway>,
    snapshot: &'a Arc<Snapshot>,
    connection: &'a ClientConnection,
    head: &'a RequestHead,
    origin: Origin,
    form: &'a WantedForm,
    request_id: RequestId,
}

impl Gateway {
    /// A gateway for one worker.
    pub fn new(common: Arc<Common>, log: LogLane) -> Self {
        Self {
            common,
            pool: Arc::new(Pool::default()),
            sessions: SessionCache::new(CACHED_SESSIONS),
            tokens: SessionCache::new(CACHED_TOKENS),
            log,
            request_ids: RequestIds::new(),
            prepared_for: AtomicU64::new(0),
        }
    }

    /// Answers one request; never fails, and every request ends in exactly one line of the access log.
    ///
    /// What is moved into a future keeps its room there, so the request is taken apart before, and the steps are lent what is left of it.
    pub fn handle<'a>(
        self: &'a Arc<Self>,
        mut request: Request<ClientBody>,
        connection: &'a ClientConnection,
    ) -> impl Future<Output = Response<Body>> + use<'a> {
        if request.version() == Version::HTTP_2 {
            trim_values(request.headers_mut());
        }
        let mut account = Account::open(Arc::clone(self), connection, &request);
        let form = WantedForm(request.headers().get(ACCEPT).cloned());
        let (mut sent, mut parts) = proxy::split(request);
        async move {
            let responded = self.respond(&mut parts, &mut sent, connection, &form, &mut account).await;
            let mut response = responded.unwrap_or_else(|refusal| refusal.answer(form.read(), &mut account));
            connection.rules.remind(account.host(), response.headers_mut());
            account.close_with(response)
        }
    }

    /// The straight way of a request.
    async fn respond(
        self: &Arc<Self>,
        parts: &mut Parts,
        sent: &mut Sent,
        connection: &ClientConnection,
        form: &WantedForm,
        account: &mut Account,
    ) -> Result<Response<content::Content>, Refusal> {
        let (head, origin) = self.read(parts, connection).inspect_err(|_| self.trace(parts, connection, account))?;
        account.identified(&head, origin.client);
        connection.refuse_misdirected(&head.host)?;
        let snapshot = self.common.state.load_full();
        self.follow(&snapshot);
        account.decided_by(&snapshot);
        let request_id = *account.request_id();
        let exchange =
            Exchange { gateway: self, snapshot: &snapshot, connection, head: &head, origin, form, request_id };
        let Some(route) = snapshot.route(&head) else { return Err(exchange.nowhere(Refusal::UnknownHost)) };
        limits::admitted(&exchange, &route, account)?;
        let reserved = is_reserved(&head.path);
        doubt::refuse(&exchange, &route, reserved, &parts.headers, account)?;
        exchange.refuse_clear_text(&route, parts)?;
        if reserved {
            account.decided(Decision::Reserved, None, None);
            return Box::pin(reserved::answer(&exchange, &route, &parts.headers, sent.body.take(), account)).await;
        }
        let Some(application) = route.application else { return Err(exchange.nowhere(Refusal::UnknownPath)) };
        account.routed(application);
        proxy::forward(&exchange, route.host, application, &mut parts.headers, sent, account).await
    }

    /// What a request asks for, and who sent it.
    fn read(&self, parts: &Parts, connection: &ClientConnection) -> Result<(Arc<RequestHead>, Origin), Refusal> {
        if parts.headers.len() > self.common.header_count && fields(&parts.headers) > self.common.header_count {
            return Err(Refusal::HeadTooLarge);
        }
        RequestHead::check_scheme(parts, connection.scheme, connection.tls.is_some()).map_err(Refusal::Head)?;
        let head = RequestHead::parse_on(&connection.seen, parts, &|host| self.common.state.load().path_switches(host));
        let head = Arc::new(head.map_err(Refusal::Head)?);
        let origin = self.origin(connection, parts).map_err(Refusal::Forwarded)?;
        Ok((head, origin))
    }

    /// Who sent a request, and through whom.
    fn origin(&self, connection: &ClientConnection, parts: &Parts) -> Result<Origin, ChainError> {
        let trusted = if connection.may_forward { &*self.common.trusted_proxies } else { &[] };
        Origin::find(connection.peer, &parts.headers, trusted)
    }

    /// Notes whom a request was for that is refused for its head, and who sent it, as far as that is beyond doubt: whoever looks for it
    /// looks there.
    #[cold]
    fn trace(&self, parts: &Parts, connection: &ClientConnection, account: &mut Account) {
        let Some(host) = RequestHead::host_of(parts) else { return };
        if let Some(application) = self.common.state.load().alone_on(&host) {
            account.routed(application);
        }
        account.traced(host, self.origin(connection, parts).ok().map(|origin| origin.client));
    }

    /// Notes a request whose head could not be read and that was answered with this status for this reason; or a connection on HTTP/2
    /// that was ended for its frames.
    pub fn note_unreadable(
        self: &Arc<Self>,
        connection: &ClientConnection,
        version: Version,
        status: u16,
        reason: &'static str,
    ) {
        Account::unreadable(Arc::clone(self), connection).close_unanswered(version, status, reason);
    }

    /// Hands the access log's lines over.
    pub fn flush_log(&self) {
        self.log.flush();
    }

    /// Lets go of what belongs to policies and applications that are no longer in use; to be called now and then.
    pub fn tidy(&self) {
        self.follow(&self.common.state.load_full());
        self.pool.tidy();
        self.common.memory.flights.tidy(self.now());
    }

    /// Forgets opened sessions when other policies are in use: they hold on to the old ones.
    fn follow(&self, snapshot: &Snapshot) {
        // Only this worker writes it, so nothing comes between the two.
        if self.prepared_for.load(Ordering::Relaxed) < snapshot.version() {
            self.prepared_for.store(snapshot.version(), Ordering::Relaxed);
            self.sessions.clear();
            self.tokens.clear();
        }
    }

    /// Keeps an opened session that is brought again for the next request, unless it was opened for policies that are already replaced.
    fn keep_session(&self, snapshot: &Snapshot, key: CacheKey<'_>, known: &Arc<Known>) {
        if self.prepared_for.load(Ordering::Relaxed) == snapshot.version() {
            self.sessions.admit(key, known);
        }
    }

    /// Keeps an accepted token in the same way, but at once: to accept one may mean to ask the provider.
    fn keep_token(&self, snapshot: &Snapshot, text: &[u8], holders: Vec<Arc<TokenHolder>>) {
        if self.prepared_for.load(Ordering::Relaxed) == snapshot.version() {
            self.tokens.keep(self.tokens.key(text), Arc::new(holders));
        }
    }

    fn now(&self) -> crate::clock::Timestamp {
        self.common.clock.now()
    }
}

/// How many fields there are. Clients may cut their cookies into as many on HTTP/2 as there are cookies (RFC 9113 section 8.2.3); they are one.
fn fields(headers: &HeaderMap) -> usize {
    headers.len() - headers.get_all(COOKIE).iter().skip(1).count()
}

impl Exchange<'_> {
    /// `scheme://authority` as the browser knows it.
    fn outer_origin(&self) -> String {
        format!("{}://{}", self.connection.scheme.as_str(), self.head.authority())
    }

    /// The callback's address on this host, as it is registered at the provider.
    fn redirect_uri(&self, provider: &Provider) -> String {
        format!("{}{}", self.outer_origin(), provider.callback_path())
    }

    /// Sessions and tokens do not travel in clear text: whoever comes that way to a host where people sign in is sent to https.
    fn refuse_clear_text(&self, route: &Route<'_>, parts: &Parts) -> Result<(), Refusal> {
        if self.is_secure() {
            return Ok(());
        }
        let stays = route.host.is_loopback() || !route.signs_in();
        // A redirect would have the client send the token once more, and tell nobody that it has been seen.
        let takes_tokens = route.neighbours.iter().any(|application| application.bearer().is_some());
        if !stays && takes_tokens && bearer::is_brought(&parts.headers) {
            return Err(Refusal::Bearer(BearerError::ClearText));
        }
        self.connection.rules.redirect(route.host, &parts.uri)?;
        if stays {
            return Ok(());
        }
        let query = self.head.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
        Err(Refusal::ClearText { instead: format!("https://{}{}{query}", route.host, self.head.path) })
    }

    /// What somebody gets who asks for what is not there: this, and 429 when they ask too often.
    fn nowhere(&self, refusal: Refusal) -> Refusal {
        limits::stranger(self).err().unwrap_or(refusal)
    }

    fn is_secure(&self) -> bool {
        self.connection.scheme == Scheme::Https
    }
}

/// The provider of an application that a rule wants a session for; the policy room makes sure that there is one.
fn provider_of(application: &Application) -> Result<&Arc<Provider>, Refusal> {
    application.provider().ok_or(Refusal::NoProvider)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is moved when it begins, and HTTP/2 has one for each stream.
    #[test]
    fn d01_the_future_of_a_request_is_small() {
        fn size<F>(
            _: impl FnOnce(&'static Arc<Gateway>, Request<ClientBody>, &'static ClientConnection) -> F,
        ) -> usize {
            size_of::<F>()
        }
        let size = size(Gateway::handle);
        assert!(size <= 2304, "{size}");
    }
}
