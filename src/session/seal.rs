//! A session as cookies and back.
//!
//! The session is encoded compactly (postcard), sealed for purpose, cookie name, host and application (C02), and written in
//! one cookie. What does not fit is cut into at most five: the first cookie's value then reads `COUNT.TEXT`, the others
//! are named `NAME.1`, `NAME.2`, …. The whole is sealed once, so a missing, extra or reordered chunk does not open (C03).
//! A session that does not fit is an error that says so, never a login loop (C05).
//!
//! Trust boundary: the cookies of a request are a stranger's; a chunk count is read as at most one digit (C06).

use std::borrow::Cow;
use std::time::Duration;

use http::header::{HeaderMap, HeaderValue};
use memchr::memchr;

use super::{NoSession, Session};
use crate::crypto::{Binding, KeyRing};
use crate::http::cookie::{self, SetCookie};

/// Longest value of one cookie; browsers drop cookies above 4,096 bytes, name and attributes included.
pub(super) const MAX_VALUE: usize = 3800;
/// Most cookies that one session may take.
const MAX_CHUNKS: usize = 5;

/// What a session is sealed as; the number is that of its format, so that a session in an older one does not open.
const PURPOSE: &str = "session/5";

/// The names of one application's session cookies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieNames {
    first: Box<str>,
    pub(super) ticket: Box<str>,
    pub(super) secure: bool,
}

impl CookieNames {
    /// For an application at the root of its host (`app` is `None`), or for one of several on a host.
    pub fn new(secure: bool, app: Option<&str>) -> Self {
        let prefix = if secure { "__Host-" } else { "" };
        let suffix = app.map(|app| format!("-app-{app}")).unwrap_or_default();
        let name = |what: &str| format!("{prefix}{}{what}{suffix}", cookie::BASE_NAME).into();
        Self { first: name(""), ticket: name("-refresh"), secure }
    }

    /// The name of the first cookie.
    pub fn first(&self) -> &str {
        &self.first
    }

    fn chunk(&self, index: usize) -> Cow<'_, str> {
        if index == 0 { Cow::Borrowed(&self.first) } else { Cow::Owned(format!("{}.{index}", self.first)) }
    }
}

/// Why a session cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// It has this many bytes when sealed, more than all chunks hold.
    TooLarge(usize),
    /// It cannot be encoded.
    Unencodable,
}

impl std::fmt::Display for SealError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge(size) => write!(
                f,
                "the session has {size} bytes and cookies hold {}: let the policies read fewer or smaller claims",
                MAX_VALUE * MAX_CHUNKS
            ),
            Self::Unencodable => write!(f, "the session cannot be encoded"),
        }
    }
}

/// Seals and opens the sessions of one application on one host.
#[derive(Clone, Copy)]
pub struct SealedSessions<'a> {
    /// The keys.
    pub keys: &'a KeyRing,
    /// The cookies' names.
    pub names: &'a CookieNames,
    /// Host and application; what was sealed for one does not open for another.
    pub scope: &'a str,
}

impl SealedSessions<'_> {
    fn binding(&self) -> Binding<'_> {
        Binding { purpose: PURPOSE, name: self.names.first(), scope: self.scope }
    }

    /// The `Set-Cookie` fields that give `session` to the browser, and take away chunks that it no longer needs.
    pub fn seal(&self, session: &Session, request: &HeaderMap) -> Result<Vec<HeaderValue>, SealError> {
        let content = postcard::to_allocvec(session).map_err(|_| SealError::Unencodable)?;
        let sealed = self.keys.seal(self.binding(), &content);
        let parts: Vec<&str> = chunks(&sealed);
        if parts.len() > MAX_CHUNKS {
            return Err(SealError::TooLarge(sealed.len()));
        }
        let mut fields = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            let value = if index == 0 && parts.len() > 1 {
                Cow::Owned(format!("{}.{part}", parts.len()))
            } else {
                Cow::Borrowed(*part)
            };
            fields.extend(self.cookie(&self.names.chunk(index), &value).header());
        }
        fields.extend(self.removals(request, parts.len()));
        Ok(fields)
    }

    /// The `Set-Cookie` fields that end the session in the browser, every chunk of it and the ticket (C04).
    pub fn remove(&self, request: &HeaderMap) -> Vec<HeaderValue> {
        let mut fields = self.removals(request, 0);
        fields.extend(self.remove_ticket(request));
        fields
    }

    fn removals(&self, request: &HeaderMap, from: usize) -> Vec<HeaderValue> {
        (from..MAX_CHUNKS)
            .map(|index| self.names.chunk(index))
            .filter(|name| cookie::find(request, name).is_some())
            .filter_map(|name| self.cookie(&name, "").removal())
            .collect()
    }

    fn cookie<'c>(&self, name: &'c str, value: &'c str) -> SetCookie<'c> {
        SetCookie { name, value, path: "/", secure: self.names.secure, max_age: None::<Duration> }
    }

    /// The text that the browser sent, its chunks joined; `Absent` where there is none.
    pub fn text<'h>(&self, request: &'h HeaderMap) -> Result<Cow<'h, [u8]>, NoSession> {
        let first = cookie::find(request, self.names.first()).ok_or(NoSession::Absent)?;
        let Some(at) = memchr(b'.', first) else { return Ok(Cow::Borrowed(first)) };
        let (count, rest) = first.split_at(at);
        let count = match count {
            [digit @ b'2'..=b'9'] => usize::from(digit - b'0'),
            _ => return Err(NoSession::Unreadable),
        };
        if count > MAX_CHUNKS {
            return Err(NoSession::Unreadable);
        }
        let mut joined = rest.get(1..).unwrap_or_default().to_vec();
        for index in 1..count {
            let chunk = cookie::find(request, &self.names.chunk(index)).ok_or(NoSession::Unreadable)?;
            if chunk.len() > MAX_VALUE {
                return Err(NoSession::Unreadable);
            }
            joined.extend_from_slice(chunk);
        }
        Ok(Cow::Owned(joined))
    }

    /// Opens the text that [`SealedSessions::text`] found. Limits are not checked here.
    pub fn open(&self, text: &[u8]) -> Result<Session, NoSession> {
        let content = self.keys.open(self.binding(), text).map_err(|_| NoSession::Unreadable)?;
        Session::read(&content).ok_or(NoSession::Unreadable)
    }
}

/// Cuts the sealed text; ASCII, so every byte is a boundary.
fn chunks(sealed: &str) -> Vec<&str> {
    let mut rest = sealed;
    let mut parts = Vec::new();
    while rest.len() > MAX_VALUE {
        let (part, left) = rest.split_at(MAX_VALUE);
        parts.push(part);
        rest = left;
    }
    parts.push(rest);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::ClaimValue;
    use crate::clock::Timestamp;
    use http::header::COOKIE;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    struct Browser {
        keys: KeyRing,
        names: CookieNames,
    }

    impl Browser {
        fn new() -> Self {
            Self { keys: KeyRing::new(&[KeyRing::generate_key()]).ok().unwrap(), names: CookieNames::new(true, None) }
        }

        fn sealed(&self) -> SealedSessions<'_> {
            SealedSessions { keys: &self.keys, names: &self.names, scope: "a.example/royalty" }
        }

        fn session_of(claim_bytes: usize) -> Session {
            let mut session = super::super::tests::session(Timestamp::from_seconds(1));
            session.claims.insert("big", ClaimValue::Text("x".repeat(claim_bytes).into()));
            session
        }
    }

    fn pairs(fields: &[HeaderValue]) -> Vec<String> {
        fields.iter().map(|field| field.to_str().unwrap().split(';').next().unwrap().to_owned()).collect()
    }

    fn request(pairs: &[String]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !pairs.is_empty() {
            headers.insert(COOKIE, pairs.join("; ").parse().unwrap());
        }
        headers
    }

    fn open(sealed: SealedSessions<'_>, headers: &HeaderMap) -> Result<Session, NoSession> {
        sealed.open(&sealed.text(headers)?)
    }

    #[test]
    fn c05_an_ordinary_session_is_one_small_cookie() {
        let browser = Browser::new();
        let session = super::super::tests::session(Timestamp::from_seconds(1));
        let fields = browser.sealed().seal(&session, &HeaderMap::new()).unwrap();
        assert_eq!(fields.len(), 1);
        assert!(fields[0].len() < 400, "{} bytes", fields[0].len());
        let attributes = fields[0].to_str().unwrap().split_once("; ").unwrap().1.to_owned();
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(open(browser.sealed(), &request(&pairs(&fields))), Ok(session));
    }

    #[test]
    fn c05_chunks_are_capped_and_what_does_not_fit_is_an_error() {
        let browser = Browser::new();
        let session = Browser::session_of(9000);
        let fields = browser.sealed().seal(&session, &HeaderMap::new()).unwrap();
        assert_eq!(fields.len(), 4);
        assert!(fields.iter().all(|field| field.len() < 4096));
        assert_eq!(open(browser.sealed(), &request(&pairs(&fields))), Ok(session));
        let sizes = (9000..20000).step_by(250);
        let most = sizes.filter_map(|size| browser.sealed().seal(&Browser::session_of(size), &HeaderMap::new()).ok());
        assert_eq!(most.map(|fields| fields.len()).max(), Some(MAX_CHUNKS));
        let error = browser.sealed().seal(&Browser::session_of(20000), &HeaderMap::new()).unwrap_err();
        let SealError::TooLarge(size) = error else { panic!("{error}") };
        assert!(size > 20000, "{size}");
        let told = "bytes and cookies hold 19000: let the policies read fewer or smaller claims";
        assert_eq!(error.to_string(), format!("the session has {size} {told}"));
    }

    #[test]
    fn c03_missing_extra_and_reordered_chunks_are_no_session() {
        let browser = Browser::new();
        let sent = pairs(&browser.sealed().seal(&Browser::session_of(9000), &HeaderMap::new()).unwrap());
        for missing in 0..sent.len() {
            let mut left = sent.clone();
            left.remove(missing);
            let expected = if missing == 0 { NoSession::Absent } else { NoSession::Unreadable };
            assert_eq!(open(browser.sealed(), &request(&left)), Err(expected), "without {missing}");
        }
        let value = |index: usize| sent[index].split_once('=').unwrap().1.to_owned();
        let mut swapped = sent.clone();
        swapped[1] = format!("__Host-lychgate.1={}", value(2));
        swapped[2] = format!("__Host-lychgate.2={}", value(1));
        assert_eq!(open(browser.sealed(), &request(&swapped)), Err(NoSession::Unreadable));
        let more = sent[0].replacen("=4.", "=5.", 1);
        let extra = [vec![more], sent[1..].to_vec(), vec!["__Host-lychgate.4=AAAA".to_owned()]].concat();
        assert_eq!(open(browser.sealed(), &request(&extra)), Err(NoSession::Unreadable));
    }

    #[test]
    fn c06_crafted_chunk_counts_are_refused() {
        let browser = Browser::new();
        for value in ["99999999.AAAA", "0.A", "1.A", "-1.A", ".A", "6.A", "9.A", "2.", "2", "", "..", "٣.A"] {
            let headers = request(&[format!("__Host-lychgate={value}")]);
            assert_eq!(open(browser.sealed(), &headers), Err(NoSession::Unreadable), "{value}");
        }
    }

    #[test]
    fn c06_more_chunks_than_there_may_be_are_not_joined_even_where_all_are_there() {
        let browser = Browser::new();
        for count in 2..=9 {
            let mut cookies = vec![format!("__Host-lychgate={count}.a")];
            cookies.extend((1..count).map(|index| format!("__Host-lychgate.{index}=b")));
            let headers = request(&cookies);
            let text = browser.sealed().text(&headers).map(|text| text.len());
            assert_eq!(text, if count <= MAX_CHUNKS { Ok(count) } else { Err(NoSession::Unreadable) }, "{count}");
        }
    }

    #[test]
    fn c05_a_text_is_cut_where_a_cookie_ends_and_into_no_more_parts_than_it_needs() {
        for (length, parts) in
            [(0, 1), (1, 1), (MAX_VALUE, 1), (MAX_VALUE + 1, 2), (2 * MAX_VALUE, 2), (2 * MAX_VALUE + 1, 3)]
        {
            let sealed = "a".repeat(length);
            let cut = chunks(&sealed);
            assert_eq!((cut.len(), cut.concat()), (parts, sealed.clone()), "{length}");
        }
    }

    #[test]
    fn c03_a_chunk_with_something_behind_it_is_no_session() {
        let browser = Browser::new();
        let sent = pairs(&browser.sealed().seal(&Browser::session_of(9000), &HeaderMap::new()).unwrap());
        for at in 0..sent.len() {
            for more in ["A", "AAAA", &"A".repeat(MAX_VALUE)] {
                let mut longer = sent.clone();
                longer[at].push_str(more);
                assert_eq!(open(browser.sealed(), &request(&longer)), Err(NoSession::Unreadable), "{at}");
            }
        }
    }

    #[test]
    fn c03_a_chunk_longer_than_any_that_is_written_is_no_session_even_where_the_next_goes_on_within_it() {
        let browser = Browser::new();
        let sent = pairs(&browser.sealed().seal(&Browser::session_of(9000), &HeaderMap::new()).unwrap());
        let value = |index: usize| sent[index].split_once('=').unwrap().1.to_owned();
        let (second, third) = (value(1), value(2));
        let cut = |at: usize| [format!("{second}{}", &third[..at]), third[at..].to_owned()];
        for [longer, shorter] in [cut(1), cut(2)] {
            for rest in [&shorter, &third[1..]] {
                let mut moved = sent.clone();
                moved[1] = format!("__Host-lychgate.1={longer}");
                moved[2] = format!("__Host-lychgate.2={rest}");
                assert_eq!(open(browser.sealed(), &request(&moved)), Err(NoSession::Unreadable));
            }
        }
    }

    proptest! {
        #[test]
        fn t02_a_session_opens_exactly_when_its_parts_are_those_that_were_cut_in_order(
            claim_bytes in 0..14_000usize,
            kind in 0..3,
            picks in vec(any::<Index>(), 1..=MAX_CHUNKS + 1),
            told in proptest::option::weighted(0.3, 0..=9usize),
        ) {
            let (browser, session) = (Browser::new(), Browser::session_of(claim_bytes));
            let sent = pairs(&browser.sealed().seal(&session, &HeaderMap::new()).unwrap());
            let values = sent.iter().map(|pair| pair.split_once('=').unwrap().1);
            let parts: Vec<&str> = values.map(|value| value.split_once('.').map_or(value, |(_, text)| text)).collect();
            prop_assert!(parts.iter().rev().skip(1).all(|part| part.len() == MAX_VALUE));
            let all: Vec<usize> = (0..parts.len()).collect();
            let mut order = all.clone();
            match kind {
                0 => {}
                1 => (0..order.len()).zip(&picks).for_each(|(at, with)| order.swap(at, with.index(all.len()))),
                // Some left out, some doubled.
                _ => order = picks.iter().map(|part| part.index(parts.len())).collect(),
            }
            let told = told.unwrap_or(order.len());
            let cookies: Vec<String> = order.iter().enumerate().map(|(at, part)| match (at, told) {
                (0, 1) => format!("__Host-lychgate={}", parts[*part]),
                (0, _) => format!("__Host-lychgate={told}.{}", parts[*part]),
                _ => format!("__Host-lychgate.{at}={}", parts[*part]),
            }).collect();
            let whole = told == parts.len() && order.starts_with(&all);
            prop_assert_eq!(open(browser.sealed(), &request(&cookies)).ok(), whole.then_some(session));
        }
    }

    #[test]
    fn c02_a_session_of_another_application_host_or_name_does_not_open() {
        let browser = Browser::new();
        let sent = pairs(&browser.sealed().seal(&Browser::session_of(1), &HeaderMap::new()).unwrap());
        let text = sent[0].split_once('=').unwrap().1;
        for scope in ["a.example/archives", "b.example/royalty", "a.example/royalty2"] {
            let other = SealedSessions { scope, ..browser.sealed() };
            assert_eq!(open(other, &request(&sent)), Err(NoSession::Unreadable), "{scope}");
        }
        let names = CookieNames::new(true, Some("archives"));
        let other = SealedSessions { names: &names, ..browser.sealed() };
        assert_eq!(open(other, &request(&[format!("{}={text}", names.first())])), Err(NoSession::Unreadable));
    }

    #[test]
    fn c04_ending_a_session_clears_every_chunk_with_the_same_attributes() {
        let browser = Browser::new();
        let set = browser.sealed().seal(&Browser::session_of(9000), &HeaderMap::new()).unwrap();
        let removed = browser.sealed().remove(&request(&pairs(&set)));
        assert_eq!(removed.len(), set.len());
        for (set, removed) in set.iter().zip(&removed) {
            let (set, removed) = (set.to_str().unwrap(), removed.to_str().unwrap());
            assert_eq!(set.split_once('=').unwrap().0, removed.split_once('=').unwrap().0);
            let attributes = set.split_once("; ").unwrap().1;
            assert_eq!(removed.split_once("; ").unwrap().1, format!("{attributes}; Max-Age=0"));
        }
    }

    #[test]
    fn c04_a_session_that_shrinks_takes_its_old_chunks_away() {
        let browser = Browser::new();
        let set = browser.sealed().seal(&Browser::session_of(9000), &HeaderMap::new()).unwrap();
        let smaller = browser.sealed().seal(&Browser::session_of(1), &request(&pairs(&set))).unwrap();
        assert_eq!(smaller.len(), set.len());
        assert!(smaller[1..].iter().all(|field| field.to_str().unwrap().ends_with("Max-Age=0")));
    }
}
