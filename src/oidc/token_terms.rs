//! What the claims of an access token must say, whoever vouches for them.
//!
//! Each check carries the paragraph that it rests on. Scopes come last: only a token that is good otherwise is told what it lacks.
//!
//! May touch: nothing but memory. Trust boundary: the provider vouches for the claims, by its signature or by its answer; whether they are
//! meant for this application is decided here. Specifications: RFC 9068 sections 2.2 and 4, RFC 7662 section 2.2, RFC 8725 section 3.

use super::id_token::seconds;
use super::settings::ProviderSettings;
use super::token_error::TokenError;
use crate::claims::{ClaimValue, Claims};
use crate::clock::Timestamp;
use crate::policy::Bearer;

/// The longest `sub` and client identifier in bytes.
const MAX_NAME: usize = 255;

/// Claims that only ID tokens and logout tokens have (OIDC Core section 2, RFC 8417 section 2.2).
const OTHER_TOKENS: [&str; 4] = ["at_hash", "c_hash", "s_hash", "events"];
/// One that ID tokens have too. In an answer it tells nothing: authentik answers about an access token with the login's.
const NONCE: &str = "nonce";

/// Claims by which providers say what a token is for, each with a value that tells nothing of it: `typ` (Keycloak; the header's may be repeated
/// there), `token_use` (Cognito, Ory Hydra), `token_usage` (OpenIddict).
const USES: [(&str, &str); 3] = [("typ", "JWT"), ("token_use", ""), ("token_usage", "")];
/// In answers `token_type` too, which is that of RFC 6749 section 5.1: Ory Hydra says `Bearer` of refresh tokens as well. Duende writes
/// `access_token` there, Keycloak what it has in `typ`.
const TOKEN_TYPE: (&str, &str) = ("token_type", "Bearer");
/// What access tokens are called there, without case (the last one: RFC 8693 section 3).
const ACCESS: [&str; 6] = [
    "Bearer",
    "access",
    "access_token",
    "at+jwt",
    "application/at+jwt",
    "urn:ietf:params:oauth:token-type:access_token",
];

/// Who vouches for the claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vouched {
    /// The provider's signature on a token of `typ` `at+jwt`.
    Rfc9068,
    /// The provider's signature on a JWT that does not say what it is for.
    Signature,
    /// The provider's answer.
    Introspection,
}

/// What an accepted token says.
pub struct TokenFacts {
    /// Everything, for rules and headers.
    pub claims: Claims,
    /// `sub`; none for a client that acts for itself, where the provider gives none.
    pub subject: Option<String>,
    /// The client that the token was given to.
    pub client: Option<String>,
    /// The authentication context that the provider vouches for.
    pub acr: Option<String>,
    /// The authentication methods.
    pub amr: Vec<String>,
    /// When the person signed in, where the token says so; never in the future.
    pub authenticated_at: Option<Timestamp>,
    /// When the token was issued, where it says so.
    pub issued_at: Option<Timestamp>,
    /// From when on it is refused: `exp`, with leeway.
    pub expires: Option<Timestamp>,
}

/// Checks the claims of a token.
pub(super) fn check(
    claims: Claims,
    by: Vouched,
    terms: &Bearer,
    settings: &ProviderSettings,
    now: Timestamp,
) -> Result<TokenFacts, TokenError> {
    check_use(&claims, by)?;
    check_issuer(&claims, by, &settings.issuer)?;
    // RFC 9068 section 4: `aud` MUST be validated to contain this resource. RFC 8725 section 3.9.
    let audience = texts(claims.value("aud")).ok_or(TokenError::Audience)?;
    if !audience.iter().any(|one| terms.audience.iter().any(|ours| ours == one)) {
        return Err(TokenError::Audience);
    }
    let expires = check_times(&claims, by, settings, now)?;
    let issued_at = time(&claims, "iat", TokenError::IssuedAt)?;
    let subject = name(&claims, "sub")?;
    let client = client(&claims)?;
    check_presence(&claims, by, subject.is_some(), client.is_some())?;
    if !terms.clients.is_empty() && !client.as_ref().is_some_and(|client| terms.clients.contains(client)) {
        return Err(TokenError::Client);
    }
    // RFC 9449 section 6, RFC 8705 section 3: a token with `cnf` is good only with a proof, which nothing here asks for.
    if claims.value("cnf").is_some() {
        return Err(TokenError::Bound);
    }
    check_scopes(&claims, &terms.scopes)?;
    let authenticated_at = seconds(&claims, "auth_time").map(|at| at.min(now));
    let acr = claims.text("acr").map(str::to_owned);
    let amr = texts(claims.value("amr")).unwrap_or_default().into_iter().map(str::to_owned).collect();
    Ok(TokenFacts { subject, client, acr, amr, authenticated_at, issued_at, expires, claims })
}

/// What a token is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Access,
    Other,
    /// That is not said.
    Unsaid,
}

/// A token that is for another use (RFC 8725 section 3.12, RFC 7662 section 4). What is typed `at+jwt` is an access token; for others, what they
/// say counts, or what the provider says of them: it is asked about refresh tokens at the same address (RFC 7662 section 2.1).
fn check_use(claims: &Claims, by: Vouched) -> Result<(), TokenError> {
    let said = |(name, empty): (&str, &str)| said(claims, name, empty);
    let uses = USES.map(said);
    let kind = if by == Vouched::Introspection { said(TOKEN_TYPE) } else { Use::Unsaid };
    let has = |found: Use| kind == found || uses.contains(&found);
    let is_there = |name: &str| claims.value(name).is_some_and(|value| *value != ClaimValue::Null);
    let other = || OTHER_TOKENS.iter().any(|name| is_there(name)) || (by == Vouched::Signature && is_there(NONCE));
    let sound = by == Vouched::Rfc9068 || !has(Use::Other) && (has(Use::Access) || !other());
    if sound { Ok(()) } else { Err(TokenError::NotAccess) }
}

/// What the claim `name` says; nothing where it is `empty`.
fn said(claims: &Claims, name: &str, empty: &str) -> Use {
    let text = match claims.value(name) {
        None | Some(ClaimValue::Null) => return Use::Unsaid,
        Some(value) => value.as_text(),
    };
    match text {
        Some(text) if text.eq_ignore_ascii_case(empty) => Use::Unsaid,
        Some(text) if ACCESS.iter().any(|known| text.eq_ignore_ascii_case(known)) => Use::Access,
        _ => Use::Other,
    }
}

/// RFC 9068 section 4: `iss` MUST exactly match. An answer to our own question may leave it out.
fn check_issuer(claims: &Claims, by: Vouched, issuer: &str) -> Result<(), TokenError> {
    let sound = match claims.value("iss") {
        None => by == Vouched::Introspection,
        Some(found) => found.as_text() == Some(issuer),
    };
    if sound { Ok(()) } else { Err(TokenError::Issuer) }
}

/// RFC 9068 section 4: the current time MUST be before `exp`; RFC 7519 section 4.1.5 for `nbf`. With the provider's leeway.
fn check_times(
    claims: &Claims,
    by: Vouched,
    settings: &ProviderSettings,
    now: Timestamp,
) -> Result<Option<Timestamp>, TokenError> {
    let expires = time(claims, "exp", TokenError::Expired)?.map(|at| at.after(settings.clock_skew));
    if expires.map_or(by != Vouched::Introspection, |expires| now >= expires) {
        return Err(TokenError::Expired);
    }
    let latest = now.after(settings.clock_skew);
    if time(claims, "nbf", TokenError::NotYetValid)?.is_some_and(|from| from > latest) {
        return Err(TokenError::NotYetValid);
    }
    if time(claims, "iat", TokenError::IssuedAt)?.is_some_and(|at| at > latest) {
        return Err(TokenError::IssuedAt);
    }
    Ok(expires)
}

/// RFC 9068 section 2.2: what must be there. Without that promise, somebody must be spoken of at least.
fn check_presence(claims: &Claims, by: Vouched, subject: bool, client: bool) -> Result<(), TokenError> {
    match by {
        _ if !subject && !client => Err(TokenError::Subject),
        Vouched::Rfc9068 if !subject => Err(TokenError::Subject),
        Vouched::Rfc9068 if ["client_id", "iat", "jti"].iter().any(|name| claims.value(name).is_none()) => {
            Err(TokenError::ClaimMissing)
        }
        _ => Ok(()),
    }
}

/// `client_id` (RFC 9068, RFC 7662), else what providers write instead: `azp` (Keycloak, Google), `cid` (Okta), `appid` (Entra ID v1).
fn client(claims: &Claims) -> Result<Option<String>, TokenError> {
    for candidate in ["client_id", "azp", "cid", "appid"] {
        if let Some(client) = name(claims, candidate).map_err(|_| TokenError::Client)? {
            return Ok(Some(client));
        }
    }
    Ok(None)
}

/// Every scope that the policy asks for (RFC 9068 section 2.2.3; `scp` is what Okta and Entra ID write).
fn check_scopes(claims: &Claims, wanted: &[String]) -> Result<(), TokenError> {
    let held: Vec<&str> = ["scope", "scp"]
        .iter()
        .filter_map(|name| texts(claims.value(name)))
        .flatten()
        .flat_map(|text| text.split(' '))
        .collect();
    if wanted.iter().all(|scope| held.contains(&scope.as_str())) { Ok(()) } else { Err(TokenError::Scope) }
}

/// A claim that names somebody: a string with something in it, of a sane length.
fn name(claims: &Claims, claim: &str) -> Result<Option<String>, TokenError> {
    match claims.value(claim) {
        None => Ok(None),
        Some(ClaimValue::Text(text)) if !text.is_empty() && text.len() <= MAX_NAME => Ok(Some(text.to_string())),
        Some(_) => Err(TokenError::Subject),
    }
}

/// A claim that is a time, an error when it is something else.
fn time(claims: &Claims, claim: &str, error: TokenError) -> Result<Option<Timestamp>, TokenError> {
    match claims.value(claim) {
        None => Ok(None),
        Some(_) => seconds(claims, claim).map(Some).ok_or(error),
    }
}

/// A string, or a list of nothing but strings.
fn texts(value: Option<&ClaimValue>) -> Option<Vec<&str>> {
    match value? {
        ClaimValue::Text(text) => Some(vec![text]),
        ClaimValue::List(items) => items.iter().map(ClaimValue::as_text).collect(),
        _ => None,
    }
}
