//! A login between its going out and its coming back: sealed, in one cookie of its own, for a quarter of an hour.
//!
//! One cookie per login lets several tabs sign in at once (C08). The name is made of the `state`, so the callback finds its
//! cookie without opening the others; seal and name are bound to each other and to the host (C02), so that neither can be
//! exchanged. A browser keeps at most [`MAX_PENDING`], and fewer where its cookies would get too many; [`to_drop`] says which go.
//!
//! Pure functions: the gateway writes the Set-Cookie lines. Trust boundary: cookies are sent by strangers; nothing is
//! believed that the key ring did not seal. Specifications: RFC 6749 section 10.12, RFC 9700 section 4.7, RFC 6265bis.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::crypto::{Binding, KeyRing, OpenError, Secret};
use crate::http::ReturnTo;
use crate::session::{Origin, Registration};

/// How long a person may take at the provider.
pub const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// How long the browser keeps the cookie: longer than the login is good, so that one that took too long begins again at the page that was
/// asked for (R08).
pub const COOKIE_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// The most logins that one browser may have under way at one application.
pub const MAX_PENDING: usize = 8;

/// Bytes of all cookies of a browser beyond which logins under way go: a request must have room for them in its head.
const MAX_COOKIES: usize = 24 * 1024;

/// How many bytes all cookies of a browser may have where a head may have so many.
pub const fn cookie_room(header_bytes: usize) -> usize {
    let room = header_bytes / 4 * 3;
    if room < MAX_COOKIES { room } else { MAX_COOKIES }
}

const PURPOSE: &str = "pending-login/5";
const SECURE_PREFIX: &str = "__Host-lychgate-login-";
const PLAIN_PREFIX: &str = "lychgate-login-";
/// Browsers keep cookies of up to 4096 bytes of name, value and attributes (RFC 6265bis).
const MAX_COOKIE: usize = 3800;
/// Characters of the hash of `state` in a cookie's name: 48 bits.
const TAG: usize = 8;

/// What the gateway must know again when the person comes back. No `Debug`: it holds the PKCE verifier.
#[derive(Clone)]
pub struct PendingLogin {
    /// The provider that was asked.
    pub provider: String,
    /// What that name stood for.
    pub registration: Registration,
    /// The application that the person wanted, by its name: what comes back makes a session for no other.
    pub application: String,
    /// The `state` that was sent.
    pub state: String,
    /// The `nonce` that was sent.
    pub nonce: String,
    /// The PKCE verifier, of which only the hash was sent.
    pub(super) verifier: Secret<String>,
    /// Where the person wanted to go.
    pub return_to: ReturnTo,
    /// The authentication contexts that were asked for, of which one must be reached.
    pub acr: Vec<String>,
    /// Those that are as good; nothing where none was asked for.
    pub also_good: Vec<String>,
    /// The age of the authentication that was asked for.
    pub max_age: Option<Duration>,
    /// When the login began.
    pub started_at: Timestamp,
    /// Whether the provider was asked to show nothing.
    pub silent: bool,
    /// The session that the browser held when the login began: a response that is posted comes without its cookie.
    pub origin: Option<Origin>,
}

impl PendingLogin {
    /// Whether the person took longer than [`LIFETIME`]. The return address stays good.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now.since(self.started_at) > LIFETIME
    }
}

/// The cookie's body; field order is the format.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    provider: &'a str,
    registration: Registration,
    application: &'a str,
    state: &'a str,
    nonce: &'a str,
    verifier: &'a str,
    return_to: &'a str,
    acr: Vec<&'a str>,
    also_good: Vec<&'a str>,
    max_age: Option<u64>,
    started_at: Timestamp,
    silent: bool,
    origin: Option<Origin>,
}

/// The name and value of a cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedCookie {
    /// The cookie's name.
    pub name: String,
    /// The cookie's value.
    pub value: String,
}

/// The name of the cookie that belongs to `state`. `secure` is whether browsers see https.
pub fn name_for_state(state: &str, secure: bool) -> String {
    let mut tag = URL_SAFE_NO_PAD.encode(Sha256::digest(state.as_bytes()));
    tag.truncate(TAG);
    format!("{}{tag}", prefix(secure))
}

/// Whether a cookie's name is that of a pending login.
pub fn is_pending_name(name: &str, secure: bool) -> bool {
    name.strip_prefix(prefix(secure)).is_some_and(|tag| {
        tag.len() == TAG && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    })
}

/// Seals a pending login into its cookie. Where the cookie would be longer than browsers keep (a policy with very many
/// `acr` values), the return address is given up: the person comes back to the application's `home`.
pub fn seal(pending: &PendingLogin, home: &ReturnTo, ring: &KeyRing, host: &str, secure: bool) -> SealedCookie {
    let sealed = seal_with(pending, pending.return_to.as_str(), ring, host, secure);
    if sealed.name.len() + sealed.value.len() <= MAX_COOKIE {
        return sealed;
    }
    seal_with(pending, home.as_str(), ring, host, secure)
}

fn seal_with(pending: &PendingLogin, return_to: &str, ring: &KeyRing, host: &str, secure: bool) -> SealedCookie {
    let name = name_for_state(&pending.state, secure);
    let wire = Wire {
        provider: &pending.provider,
        registration: pending.registration,
        application: &pending.application,
        state: &pending.state,
        nonce: &pending.nonce,
        verifier: pending.verifier.expose(),
        return_to,
        acr: pending.acr.iter().map(String::as_str).collect(),
        also_good: pending.also_good.iter().map(String::as_str).collect(),
        max_age: pending.max_age.map(|age| age.as_secs()),
        started_at: pending.started_at,
        silent: pending.silent,
        origin: pending.origin,
    };
    #[expect(clippy::expect_used, reason = "postcard writes strings, lists and numbers to memory without failing")]
    let content = Zeroizing::new(postcard::to_allocvec(&wire).expect("plain values"));
    let value = ring.seal(binding(&name, host), &content);
    SealedCookie { name, value }
}

/// Opens the cookie `name` that was sealed for `host`. An expired login opens too: see [`PendingLogin::is_expired`].
pub fn open(name: &str, value: &[u8], ring: &KeyRing, host: &str) -> Result<PendingLogin, OpenError> {
    let content = ring.open(binding(name, host), value)?;
    let wire: Wire<'_> = postcard::from_bytes(&content).map_err(|_| OpenError)?;
    Ok(PendingLogin {
        provider: wire.provider.to_owned(),
        registration: wire.registration,
        application: wire.application.to_owned(),
        state: wire.state.to_owned(),
        nonce: wire.nonce.to_owned(),
        verifier: Secret::new(wire.verifier.to_owned()),
        return_to: ReturnTo::parse(wire.return_to).ok_or(OpenError)?,
        acr: wire.acr.into_iter().map(str::to_owned).collect(),
        also_good: wire.also_good.into_iter().map(str::to_owned).collect(),
        max_age: wire.max_age.map(Duration::from_secs),
        started_at: wire.started_at,
        silent: wire.silent,
        origin: wire.origin,
    })
}

/// Which of a browser's `cookies` must go: of its logins under way all that do not open or are expired, and the oldest until there are at
/// most `keep`, and all cookies together with the `coming` bytes of new ones have at most `most`. Costs one opening per pending
/// cookie; of more than 32 the rest goes unopened.
pub fn to_drop<'a>(
    cookies: impl Iterator<Item = (&'a str, &'a [u8])>,
    ring: &KeyRing,
    (host, secure): (&str, bool),
    (keep, coming, most): (usize, usize, usize),
    now: Timestamp,
) -> Vec<&'a str> {
    let mut gone = Vec::new();
    let mut alive: Vec<(Timestamp, &str, usize)> = Vec::new();
    let mut bytes = coming;
    for (name, value) in cookies {
        let length = cookie_bytes(name.len() + value.len());
        if !is_pending_name(name, secure) {
            bytes += length;
            continue;
        }
        let opened = if alive.len() + gone.len() < 4 * MAX_PENDING { open(name, value, ring, host).ok() } else { None };
        match opened.filter(|pending| !pending.is_expired(now)) {
            Some(pending) => {
                alive.push((pending.started_at, name, length));
                bytes += length;
            }
            None => gone.push(name),
        }
    }
    alive.sort_unstable();
    let mut left = alive.len();
    for (_, name, length) in alive {
        if left <= keep && bytes <= most {
            break;
        }
        gone.push(name);
        (left, bytes) = (left - 1, bytes - length);
    }
    gone
}

/// Bytes that a cookie takes in a request, of so many in its name and value.
pub const fn cookie_bytes(name_and_value: usize) -> usize {
    name_and_value + "=; ".len()
}

const fn prefix(secure: bool) -> &'static str {
    if secure { SECURE_PREFIX } else { PLAIN_PREFIX }
}

const fn binding<'a>(name: &'a str, host: &'a str) -> Binding<'a> {
    Binding { purpose: PURPOSE, name, scope: host }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn ring() -> KeyRing {
        KeyRing::new(&[KeyRing::generate_key()]).ok().unwrap()
    }

    fn home() -> ReturnTo {
        ReturnTo::parse("/reports").unwrap()
    }

    fn pending(state: &str, started_at: Timestamp) -> PendingLogin {
        PendingLogin {
            provider: "idp".to_owned(),
            registration: Registration::new("https://idp.example", "client"),
            application: "reports".to_owned(),
            state: state.to_owned(),
            nonce: "nonce".to_owned(),
            verifier: Secret::new("verifier".to_owned()),
            return_to: ReturnTo::parse("/deep/link?a=b").unwrap(),
            acr: vec!["mfa".to_owned()],
            also_good: vec!["phr".to_owned(), "urn:mfa".to_owned()],
            max_age: Some(Duration::from_secs(600)),
            started_at,
            silent: false,
            origin: Some(Origin::of(&crate::session::tests::session(started_at))),
        }
    }

    #[test]
    fn t02_what_was_sealed_opens_to_the_same() {
        let ring = ring();
        let login = pending("state", NOW);
        let sealed = seal(&login, &home(), &ring, "a.example", true);
        let opened = open(&sealed.name, sealed.value.as_bytes(), &ring, "a.example").unwrap();
        assert!(opened.origin.is_some() && opened.origin == login.origin);
        assert!(!opened.is_expired(NOW.after(LIFETIME)) && opened.is_expired(NOW.after(LIFETIME * 2)));
        assert_eq!((opened.provider.as_str(), opened.application.as_str()), ("idp", "reports"));
        assert_eq!(opened.registration, Registration::new("https://idp.example", "client"));
        assert_eq!((opened.provider.as_str(), opened.state.as_str(), opened.nonce.as_str()), ("idp", "state", "nonce"));
        assert_eq!(opened.verifier.expose(), "verifier");
        assert_eq!(opened.return_to.as_str(), "/deep/link?a=b");
        assert_eq!(
            (opened.acr, opened.also_good),
            (vec!["mfa".to_owned()], vec!["phr".to_owned(), "urn:mfa".to_owned()])
        );
        assert_eq!(opened.max_age, Some(Duration::from_secs(600)));
        assert!(sealed.name.starts_with("__Host-lychgate-login-") && is_pending_name(&sealed.name, true));
        assert!(name_for_state("state", false).starts_with("lychgate-login-"));
    }

    #[test]
    fn r08_a_pending_login_of_another_host_name_or_key_does_not_open() {
        let ring = ring();
        let sealed = seal(&pending("state", NOW), &home(), &ring, "a.example", true);
        let value = sealed.value.as_bytes();
        assert!(open(&sealed.name, value, &ring, "b.example").is_err());
        assert!(open(&name_for_state("other", true), value, &ring, "a.example").is_err());
        assert!(open(&sealed.name, value, &self::ring(), "a.example").is_err());
        assert!(open(&sealed.name, b"", &ring, "a.example").is_err());
        let session = Binding { purpose: "session", name: &sealed.name, scope: "a.example" };
        assert!(open(&sealed.name, ring.seal(session, b"x").as_bytes(), &ring, "a.example").is_err());
    }

    #[test]
    fn the_longest_pending_login_fits_a_cookie() {
        let mut long = pending(&"s".repeat(43), NOW);
        long.nonce = "n".repeat(43);
        long.verifier = Secret::new("v".repeat(43));
        long.return_to = ReturnTo::parse(&format!("/{}", "a".repeat(crate::http::return_to::MAX_LENGTH - 1))).unwrap();
        let ring = ring();
        let sealed = seal(&long, &home(), &ring, "a.example", true);
        assert!(sealed.name.len() + sealed.value.len() < MAX_COOKIE, "{}", sealed.value.len());
        let opened = open(&sealed.name, sealed.value.as_bytes(), &ring, "a.example").unwrap();
        assert_eq!(opened.return_to, long.return_to);

        long.acr = vec!["urn:example:authentication:context:of:some:length".to_owned(); 20];
        let sealed = seal(&long, &home(), &ring, "a.example", true);
        assert!(sealed.name.len() + sealed.value.len() < MAX_COOKIE, "{}", sealed.value.len());
        let opened = open(&sealed.name, sealed.value.as_bytes(), &ring, "a.example").unwrap();
        assert_eq!((opened.return_to, opened.acr), (home(), long.acr));
    }

    #[test]
    fn c08_the_number_of_pending_logins_is_bounded_and_the_oldest_go() {
        let ring = ring();
        let mut cookies = Vec::new();
        for age in 0..12u64 {
            let started = NOW.before(Duration::from_secs(age));
            cookies.push(seal(&pending(&format!("state {age}"), started), &home(), &ring, "a.example", true));
        }
        let expired = seal(&pending("expired", NOW.before(LIFETIME * 2)), &home(), &ring, "a.example", true);
        let torn = SealedCookie { name: name_for_state("torn", true), value: "x".to_owned() };
        let other = SealedCookie { name: "__Host-lychgate".to_owned(), value: "x".to_owned() };
        cookies.extend([expired.clone(), torn.clone(), other]);
        let jar = cookies.iter().map(|cookie| (cookie.name.as_str(), cookie.value.as_bytes()));
        let mut dropped = to_drop(jar, &ring, ("a.example", true), (MAX_PENDING - 1, 0, MAX_COOKIES), NOW);
        let mut expected: Vec<&str> = cookies[7..12].iter().map(|cookie| cookie.name.as_str()).collect();
        expected.extend([expired.name.as_str(), torn.name.as_str()]);
        dropped.sort_unstable();
        expected.sort_unstable();
        assert_eq!(dropped, expected);
    }

    #[test]
    fn c06_a_thousand_planted_cookies_are_all_dropped() {
        let names: Vec<String> = (0..1000).map(|number| name_for_state(&number.to_string(), true)).collect();
        let jar = names.iter().map(|name| (name.as_str(), &b"planted"[..]));
        assert_eq!(to_drop(jar, &ring(), ("a.example", true), (MAX_PENDING - 1, 0, MAX_COOKIES), NOW).len(), 1000);
    }

    #[test]
    fn c08_pending_logins_leave_room_for_the_other_cookies_and_the_oldest_go() {
        let ring = ring();
        let seal = |age: u64, address: usize| {
            let mut long = pending(&format!("state {age}"), NOW.before(Duration::from_secs(age)));
            long.return_to = ReturnTo::parse(&format!("/{}", "a".repeat(address))).unwrap();
            seal(&long, &home(), &ring, "a.example", true)
        };
        let cookies = [seal(3, 2000), seal(1, 2000), seal(2, 10), seal(0, 2000)];
        let bytes = |cookie: &SealedCookie| cookie_bytes(cookie.name.len() + cookie.value.len());
        let all: usize = cookies.iter().map(bytes).sum();
        let dropped = |others: usize, coming: usize| {
            let other = vec![b'x'; others - cookie_bytes("session".len())];
            let ours = cookies.iter().map(|cookie| (cookie.name.as_str(), cookie.value.as_bytes()));
            let jar = ours.chain([("session", &other[..])]);
            to_drop(jar, &ring, ("a.example", true), (usize::MAX, coming, MAX_COOKIES), NOW).len()
        };
        let room = MAX_COOKIES - all;
        assert_eq!((dropped(room, 0), dropped(room - 500, 500)), (0, 0), "just enough");
        assert_eq!((dropped(room + 1, 0), dropped(room - 500, 501)), (1, 1));
        let oldest = bytes(&cookies[0]);
        assert_eq!((dropped(room + oldest, 0), dropped(room + oldest + 1, 0)), (1, 2));
        assert_eq!(dropped(MAX_COOKIES + 1, 0), 4, "what others take is not ours to take away");
        let ours = cookies.iter().map(|cookie| (cookie.name.as_str(), cookie.value.as_bytes()));
        let first = to_drop(ours, &ring, ("a.example", true), (usize::MAX, MAX_COOKIES - oldest, MAX_COOKIES), NOW);
        assert_eq!(first, [&cookies[0].name, &cookies[2].name, &cookies[1].name]);
    }
}
