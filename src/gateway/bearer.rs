//! Who sends a request that brings an access token: an API client, for a person or for itself.
//!
//! A token that a worker has accepted before costs a look-up, one atomic load and comparisons of time; its policy outcomes and identity
//! fields are ready. A request that brings a token is answered by RFC 6750 whatever becomes of it: it is never redirected, never given a
//! cookie, and its own cookies count for nothing. A bad token is never taken for none.
//!
//! Trust boundary: the token is a stranger's. Bounds: [`CACHED_TOKENS`](super::CACHED_TOKENS) tokens a worker, of at most
//! [`MAX_TOKEN`](crate::oidc::MAX_TOKEN) bytes; only accepted ones are kept, so a stranger can fill nothing.
//! Specifications: RFC 6750, RFC 9470.

use std::sync::Arc;

use http::{HeaderMap, Response, StatusCode};

use super::Exchange;
use super::limits::Stranger;
use crate::clock::Timestamp;
use crate::http::authorization::{self, Authorization, AuthorizationError, BearerToken};
use crate::http::{HostName, RequestHead};
use crate::observe::TokenOutcome;
use crate::oidc::{self, Provider, Standing, Stands, TokenError, TokenFacts, TokenFault};
use crate::policy::{Bearer, Prepared, SessionFacts, SessionKind, Subject};
use crate::session::{self, Revocations, SessionCache, TokenMarks};
use crate::snapshot::{Application, BearerAccess};
use crate::upstream::Leash;

/// Hosts of applications for which one token is remembered; it is good for as many as name its audience.
const PLACES: usize = 16;

/// The tokens that one worker has accepted, each for the hosts of applications that it was brought to.
pub(super) type TokenCache = SessionCache<Vec<Arc<TokenHolder>>>;

/// Whoever an accepted token speaks of, at one host of one application: a signed assertion names it.
pub(super) struct TokenHolder {
    application: Arc<Application>,
    host: HostName,
    standing: Standing,
    /// What it remembers of the list of ended sessions.
    revoked: session::TokenStanding,
    revocations: Arc<Revocations>,
    label: Box<str>,
    /// Who is counted by limits: whom the token speaks of, else the client.
    subject: Box<str>,
    client: Option<Box<str>>,
    prepared: Prepared,
    /// The same for the policy that only observes.
    shadow: Option<Prepared>,
}

/// Why a request that brings a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BearerError {
    /// The `Authorization` field is in doubt.
    Field(AuthorizationError),
    /// There is a token in the query as well.
    TwoWays,
    /// The token came in clear text.
    ClearText,
    /// The token is not accepted.
    Token(TokenError),
}

impl TokenHolder {
    fn new(
        (application, host): (&Arc<Application>, &HostName),
        access: &BearerAccess,
        revocations: &Arc<Revocations>,
        (facts, standing): (TokenFacts, Standing),
    ) -> Self {
        let label = label(&facts);
        let revoked = revoked(&access.provider, &facts, &label);
        let client: Option<Box<str>> = facts.client.as_deref().map(Into::into);
        let counted = facts.subject.as_deref().map(Into::into).or_else(|| client.clone()).unwrap_or_default();
        let subject = Arc::new(subject(application, access.provider.name(), facts));
        Self {
            standing,
            revoked,
            revocations: Arc::clone(revocations),
            label,
            subject: counted,
            client,
            shadow: application.shadow().map(|shadow| shadow.prepare(Arc::clone(&subject))),
            prepared: application.policy().prepare(subject),
            application: Arc::clone(application),
            host: host.clone(),
        }
    }

    /// The name for logs and pages.
    pub(super) fn who(&self) -> &str {
        &self.label
    }

    /// Whom the token speaks of at its provider, else the client.
    pub(super) fn subject(&self) -> &str {
        &self.subject
    }

    /// The client that the token was given to.
    pub(super) fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    pub(super) fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// The person as the policy sees them that only observes.
    pub(super) fn shadow(&self) -> Option<&Prepared> {
        self.shadow.as_ref()
    }

    /// Whoever was signed out has no token that was issued before.
    fn check(&self) -> Result<(), TokenError> {
        self.revoked.check(&self.revocations).map_err(|_| TokenError::Revoked)
    }

    fn is_for(&self, (application, host): (&Arc<Application>, &HostName)) -> bool {
        Arc::ptr_eq(&self.application, application) && self.host == *host
    }
}

/// An answer or a tunnel goes on until whoever it is for is signed out; that its token ends does not end it.
impl Leash for TokenHolder {
    fn holds(&self) -> bool {
        self.check().is_ok()
    }
}

/// By what the token's bearer can be meant in the list of ended sessions. It may have been issued as much earlier than it says as the provider's
/// clock may be ahead. A token that does not say when it was issued counts as older than any entry.
fn revoked(provider: &Provider, facts: &TokenFacts, name: &str) -> session::TokenStanding {
    let (subject, claims) = (facts.subject.as_deref(), &facts.claims);
    let issued_at = facts.issued_at.map(|at| at.before(provider.clock_skew()));
    let provider = provider.name();
    let marks = TokenMarks { provider, subject, sid: claims.text("sid"), email: claims.text("email"), name };
    session::TokenStanding::new(&marks, issued_at.unwrap_or_default())
}

/// The most telling name: of the person, else of the client.
fn label(facts: &TokenFacts) -> Box<str> {
    let named = ["preferred_username", "username"].into_iter().find_map(|claim| facts.claims.text(claim));
    named.or(facts.subject.as_deref()).or(facts.client.as_deref()).unwrap_or_default().into()
}

/// The one view for rules and headers, with only the claims that they read.
fn subject(application: &Application, provider: &str, facts: TokenFacts) -> Subject {
    let mut claims = facts.claims;
    claims.retain(|name| application.claims_read().contains(name));
    let session = SessionFacts {
        kind: SessionKind::Bearer,
        provider: provider.into(),
        acr: facts.acr.map(Into::into),
        amr: facts.amr.into_iter().map(Into::into).collect(),
        // A sign-in of which nobody says when it was is as old as can be: no `max_age` is met by it.
        authenticated_at: facts.authenticated_at.unwrap_or_default(),
    };
    Subject { claims, session }
}

/// Takes the `Authorization` field out of a request for an application that API clients use, and the token out of the field.
/// For other applications the field is left as it is.
pub(super) fn take(
    application: &Application,
    headers: &mut HeaderMap,
    head: &RequestHead,
) -> Result<Option<BearerToken>, BearerError> {
    if application.bearer().is_none() {
        return Ok(None);
    }
    match authorization::take(headers).map_err(BearerError::Field)? {
        Authorization::Absent | Authorization::Other => Ok(None),
        // RFC 6750 section 2: clients MUST NOT use more than one method to transmit the token.
        Authorization::Bearer(_) if has_token(head.query.as_deref()) => Err(BearerError::TwoWays),
        Authorization::Bearer(token) => Ok(Some(token)),
    }
}

/// Whether the query has an `access_token` (RFC 6750 section 2.3); one that stands there alone is nothing to the gateway.
fn has_token(query: Option<&str>) -> bool {
    let named = |pair: &str| pair.split('=').next().is_some_and(|name| name == "access_token");
    query.is_some_and(|query| query.split('&').any(named))
}

/// Whether a request that came in clear text brings a token, or tries to.
pub(super) fn is_brought(headers: &HeaderMap) -> bool {
    authorization::mentions_bearer(headers)
}

/// Finds out of whom a token speaks.
pub(super) async fn authenticate(
    exchange: &Exchange<'_>,
    application: &Arc<Application>,
    host: &HostName,
    token: &BearerToken,
    now: Timestamp,
) -> Result<Arc<TokenHolder>, BearerError> {
    let place = (application, host);
    let Some((access, terms)) = application.bearer().zip(application.policy().bearer()) else {
        return Err(BearerError::Token(TokenError::Unavailable));
    };
    let outcome = match known(exchange, place, access, token, now) {
        Some(outcome) => outcome,
        // Boxed: what is seldom must not make every request's future larger.
        None => Box::pin(accept(exchange, place, access, terms, token)).await,
    };
    access.metrics.count(match outcome.as_ref().map_err(|error| error.fault()) {
        Ok(_) => TokenOutcome::Accepted,
        Err(TokenFault::Unavailable) => TokenOutcome::Unavailable,
        Err(TokenFault::Invalid | TokenFault::Scope | TokenFault::TooMany) => TokenOutcome::Refused,
    });
    outcome.map_err(BearerError::Token)
}

/// What this worker remembers of a token, where that still counts.
fn known(
    exchange: &Exchange<'_>,
    place: (&Arc<Application>, &HostName),
    access: &BearerAccess,
    token: &BearerToken,
    now: Timestamp,
) -> Option<Result<Arc<TokenHolder>, TokenError>> {
    let tokens = &exchange.gateway.tokens;
    let holders = tokens.find(tokens.key(token.text().as_bytes()))?;
    let holder = holders.iter().find(|holder| holder.is_for(place))?;
    match holder.standing.at(now, &access.provider) {
        Stands::Good => Some(holder.check().map(|()| Arc::clone(holder))),
        Stands::Expired => Some(Err(TokenError::Expired)),
        Stands::Unknown => None,
    }
}

async fn accept(
    exchange: &Exchange<'_>,
    place: (&Arc<Application>, &HostName),
    access: &BearerAccess,
    terms: &Bearer,
    token: &BearerToken,
) -> Result<Arc<TokenHolder>, TokenError> {
    access.metrics.validations.inc();
    let (facts, standing) = access.provider.accept(token.text(), terms, &Stranger(exchange)).await?.into_facts();
    // Rules would decide as if there were nothing, and most of the claims that tell are not kept.
    if place.0.claims_read().iter().any(|claim| oidc::left_out(&facts.claims, claim)) {
        return Err(TokenError::ClaimLeftOut);
    }
    let revocations = &exchange.gateway.common.revocations;
    let holder = Arc::new(TokenHolder::new(place, access, revocations, (facts, standing)));
    holder.check()?;
    keep(exchange, token.text().as_bytes(), &holder);
    Ok(holder)
}

/// Remembers a token beside what is known of it at other hosts and applications.
fn keep(exchange: &Exchange<'_>, text: &[u8], holder: &Arc<TokenHolder>) {
    let tokens = &exchange.gateway.tokens;
    let before = tokens.find(tokens.key(text));
    let place = (&holder.application, &holder.host);
    let others = before.iter().flat_map(|holders| holders.iter()).filter(|other| !other.is_for(place));
    let holders = std::iter::once(holder).chain(others).take(PLACES).cloned().collect();
    exchange.gateway.keep_token(exchange.snapshot, text, holders);
}

impl BearerError {
    /// The reason code for the log.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Field(AuthorizationError::Repeated) => "authorization_repeated",
            Self::Field(AuthorizationError::Malformed) => "authorization_malformed",
            Self::TwoWays => "token_two_ways",
            Self::ClearText => "token_in_clear_text",
            Self::Token(error) => error.code(),
        }
    }

    /// The status and the error code of RFC 6750 section 3.1; no code where nothing is known of the token.
    pub(super) const fn answer(self) -> (StatusCode, Option<&'static str>) {
        match self {
            Self::Field(_) | Self::TwoWays | Self::ClearText => (StatusCode::BAD_REQUEST, Some("invalid_request")),
            Self::Token(error) => match error.fault() {
                TokenFault::Invalid => (StatusCode::UNAUTHORIZED, Some("invalid_token")),
                TokenFault::Scope => (StatusCode::FORBIDDEN, Some("insufficient_scope")),
                TokenFault::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, None),
                TokenFault::TooMany => (StatusCode::TOO_MANY_REQUESTS, None),
            },
        }
    }

    /// What the client is told in words.
    pub(super) const fn advice(self) -> &'static str {
        match self {
            Self::Field(AuthorizationError::Repeated) => "there is more than one Authorization field",
            Self::Field(AuthorizationError::Malformed) => "the Authorization field holds no token",
            Self::TwoWays => "there is a token in the query as well",
            Self::ClearText => "the token was sent in clear text; it is to be withdrawn",
            Self::Token(TokenError::Expired) => "the access token has expired",
            Self::Token(TokenError::Scope) => "the access token lacks a scope",
            Self::Token(_) => "the access token is not accepted",
        }
    }

    /// Adds the challenge of RFC 6750 section 3 to an answer.
    pub(super) fn challenge<B>(self, application: &Application, response: &mut Response<B>) {
        let (_, Some(code)) = self.answer() else { return };
        let mut text = format!("Bearer realm=\"{}\", error=\"{code}\"", application.name());
        if let (Self::Token(TokenError::Scope), Some(terms)) = (self, application.policy().bearer()) {
            text.push_str(&format!(", scope=\"{}\"", terms.scopes.join(" ")));
        }
        super::challenge::set(response, &text);
    }
}
