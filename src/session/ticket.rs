//! What refreshes a session: the provider's refresh token, sealed in a cookie of its own.
//!
//! Kept apart from the session so that the session stays small and is opened (and found in a worker's cache) without it. A ticket is
//! good for the session whose identifier it names and for no other; its generation counts how often the token was exchanged, so that a
//! used one is known again, and so is a session from before. It also knows which claims userinfo last sent, which nothing but a refresh asks.
//!
//! Trust boundary: the cookie is a stranger's; what does not open is no ticket. The token has no `Debug` and is wiped (R17).

use http::header::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::seal::MAX_VALUE;
use super::{SealedSessions, SessionId};
use crate::claims::Text;
use crate::crypto::{Binding, Secret};
use crate::http::cookie::{self, SetCookie};

/// The first half of the SHA-256 of a login's nonce: enough to compare one that a refreshed ID token repeats.
pub type NonceTag = [u8; 16];

/// What refreshes one session, once. No `Debug`: it holds the token.
#[derive(Clone)]
pub struct RefreshTicket {
    /// The session.
    pub session: SessionId,
    /// How many tokens the session had before this one.
    pub generation: u32,
    /// Of the nonce that the session began with.
    pub nonce: NonceTag,
    /// Names of the session's claims that userinfo last sent: where it sends one no longer, the claim is gone.
    pub userinfo: Vec<Text>,
    /// The refresh token.
    pub token: Secret<String>,
}

/// The cookie's body; the order of the fields is the format.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    session: SessionId,
    generation: u32,
    nonce: NonceTag,
    userinfo: Vec<Text>,
    token: &'a str,
}

const PURPOSE: &str = "refresh/2";

impl RefreshTicket {
    /// The first ticket of a session.
    pub fn first(session: SessionId, nonce: &str, token: Secret<String>) -> Self {
        Self { session, generation: 0, nonce: Self::tag(nonce), userinfo: Vec::new(), token }
    }

    /// What is kept of a nonce.
    pub fn tag(nonce: &str) -> NonceTag {
        Sha256::digest(nonce.as_bytes()).first_chunk().copied().unwrap_or_default()
    }

    /// The ticket after an exchange that gave this token, or none and so the same again.
    pub fn next(&self, token: Option<Secret<String>>) -> Self {
        let token = token.unwrap_or_else(|| self.token.clone());
        Self { generation: self.generation.saturating_add(1), token, ..self.clone() }
    }
}

impl SealedSessions<'_> {
    fn ticket_binding(&self) -> Binding<'_> {
        Binding { purpose: PURPOSE, name: &self.names.ticket, scope: self.scope }
    }

    /// The `Set-Cookie` field that gives a ticket to the browser; none when it is longer than a cookie may be.
    pub fn seal_ticket(&self, ticket: &RefreshTicket) -> Option<HeaderValue> {
        let RefreshTicket { session, generation, nonce, userinfo, token } = ticket;
        let (generation, userinfo) = (*generation, userinfo.clone());
        let wire = Wire { session: *session, generation, nonce: *nonce, userinfo, token: token.expose() };
        let content = Zeroizing::new(postcard::to_allocvec(&wire).ok()?);
        let sealed = self.keys.seal(self.ticket_binding(), &content);
        if sealed.len() > MAX_VALUE { None } else { self.ticket_cookie(&sealed).header() }
    }

    /// The ticket that the browser sent.
    pub fn ticket(&self, request: &HeaderMap) -> Option<RefreshTicket> {
        let sealed = cookie::find(request, &self.names.ticket)?;
        let content = self.keys.open(self.ticket_binding(), sealed).ok()?;
        let Wire { session, generation, nonce, userinfo, token } = postcard::from_bytes(&content).ok()?;
        Some(RefreshTicket { session, generation, nonce, userinfo, token: Secret::new(token.to_owned()) })
    }

    /// The `Set-Cookie` field that takes the ticket away, where the browser has one.
    pub fn remove_ticket(&self, request: &HeaderMap) -> Option<HeaderValue> {
        cookie::find(request, &self.names.ticket).and_then(|_| self.ticket_cookie("").removal())
    }

    fn ticket_cookie<'c>(&'c self, value: &'c str) -> SetCookie<'c> {
        SetCookie { name: &self.names.ticket, value, path: "/", secure: self.names.secure, max_age: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::KeyRing;
    use crate::session::CookieNames;

    fn request(field: &HeaderValue) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let pair = field.to_str().unwrap().split(';').next().unwrap().to_owned();
        headers.insert(http::header::COOKIE, pair.parse().unwrap());
        headers
    }

    #[test]
    fn c02_a_ticket_opens_for_its_application_only_and_as_nothing_else() {
        let keys = KeyRing::new(&[KeyRing::generate_key()]).ok().unwrap();
        let names = CookieNames::new(true, None);
        let sealed = SealedSessions { keys: &keys, names: &names, scope: "a.example/royalty" };
        let mut ticket = RefreshTicket::first(SessionId::new(), "nonce", Secret::new("token".to_owned()));
        ticket.userinfo = vec!["groups".into(), "department".into()];
        let sent = request(&sealed.seal_ticket(&ticket).unwrap());
        let opened = sealed.ticket(&sent).unwrap();
        assert_eq!((opened.session, opened.generation, opened.nonce), (ticket.session, 0, RefreshTicket::tag("nonce")));
        assert_eq!(opened.token.expose(), "token");
        assert_eq!(opened.userinfo, ticket.userinfo);
        assert_eq!((opened.next(None).generation, opened.next(None).token.expose().as_str()), (1, "token"));
        assert!(SealedSessions { scope: "b.example/royalty", ..sealed }.ticket(&sent).is_none());
        let value = cookie::find(&sent, "__Host-lychgate-refresh").unwrap();
        assert!(sealed.open(value).is_err(), "a ticket is no session");
        let mut flipped = value.to_vec();
        flipped[60] ^= 1;
        let mut headers = HeaderMap::new();
        let text = format!("__Host-lychgate-refresh={}", String::from_utf8(flipped).unwrap());
        headers.insert(http::header::COOKIE, text.parse().unwrap());
        assert!(sealed.ticket(&headers).is_none());
    }

    #[test]
    fn c05_a_token_that_is_too_long_for_a_cookie_is_no_ticket() {
        let keys = KeyRing::new(&[KeyRing::generate_key()]).ok().unwrap();
        let names = CookieNames::new(true, Some("archives"));
        let sealed = SealedSessions { keys: &keys, names: &names, scope: "a.example/archives" };
        let ticket = |length| RefreshTicket::first(SessionId::new(), "n", Secret::new("t".repeat(length)));
        assert!(sealed.seal_ticket(&ticket(2700)).unwrap().len() < 4096);
        assert!(sealed.seal_ticket(&ticket(2900)).is_none());
        let value = |field: HeaderValue| field.to_str().unwrap().split(['=', ';']).nth(1).unwrap().len();
        let longest = (2700..2900).filter_map(|length| sealed.seal_ticket(&ticket(length))).map(value).max();
        assert_eq!(longest, Some(MAX_VALUE));
    }

    #[test]
    fn c10_a_new_token_makes_the_next_ticket_of_the_same_session() {
        let first = RefreshTicket::first(SessionId::new(), "n", Secret::new("old".to_owned()));
        let next = first.next(Some(Secret::new("new".to_owned())));
        assert_eq!((next.session, next.generation, next.nonce), (first.session, first.generation + 1, first.nonce));
        assert_eq!((first.token.expose().as_str(), next.token.expose().as_str()), ("old", "new"));
    }

    #[test]
    fn r01_a_nonce_is_known_again_and_no_other_is() {
        let first = RefreshTicket::first(SessionId::new(), "n", Secret::new("t".to_owned()));
        assert_eq!(first.nonce, RefreshTicket::tag("n"));
        for other in ["", "N", "nn", "m"] {
            assert_ne!(first.nonce, RefreshTicket::tag(other));
        }
    }

    #[test]
    fn c04_a_ticket_is_taken_away_where_the_browser_has_one() {
        let keys = KeyRing::new(&[KeyRing::generate_key()]).ok().unwrap();
        let names = CookieNames::new(true, None);
        let sealed = SealedSessions { keys: &keys, names: &names, scope: "a.example/app" };
        let mut request = HeaderMap::new();
        assert_eq!(sealed.remove_ticket(&request), None);
        request.insert("cookie", HeaderValue::try_from(format!("{}=x", names.ticket)).unwrap());
        let field = sealed.remove_ticket(&request).unwrap();
        assert!(field.to_str().unwrap().starts_with(&format!("{}=;", names.ticket)), "{field:?}");
    }
}
