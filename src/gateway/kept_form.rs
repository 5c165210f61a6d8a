//! A form that meets no session is kept, sealed, in the page that says so (C13).
//!
//! The gateway stores nothing: what was sent travels back inside the page, encrypted, and comes again when the person has signed in (in
//! another tab) and confirms. It opens only on this host, together with a cookie of this browser made for this form, within [`LIFETIME`],
//! for the person whose session had ended where that is known, and once. Only forms that a page of this very origin sent are kept, so
//! that no other site can put words into anybody's mouth. No script, no storage that a script could read.
//!
//! Bounds: [`MAX_FORM`] bytes a form; [`AT_ONCE`] forms in memory, [`OF_ONE`] of one address, each at most about five times its size while its page is being
//! made, given back when the page was taken, or was not taken for too long; [`MAX_KEPT`] cookies in a browser; [`USED`] identifiers of forms that were sent.
//! Trust boundary: body and fields are a stranger's; nothing of them is shown but the path, which is canonical.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, ORIGIN, REFERER, SET_COOKIE};
use http::{Method, Response, StatusCode};
use lru::LruCache;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::account::Account;
use super::authenticate::last_person;
use super::challenge::{challenge, set, wants_page};
use super::content::Content;
use super::form_errors::NotKept;
use super::proxy::{Sent, SentBody};
use super::refusal::Refusal;
use super::{Exchange, addresses, limits, sign_in};
use crate::clock::Timestamp;
use crate::crypto::{Binding, random};
use crate::http::HostName;
use crate::http::cookie::{self, SetCookie};
use crate::limit::{Crowd, CrowdPlace, Who};
use crate::pages::{Form, Page};
use crate::policy::Posts;
use crate::snapshot::Application;
use crate::upstream::BodyError;

/// The largest form that is kept.
pub(super) const MAX_FORM: usize = 1024 * 1024;
/// The largest body in which a kept form comes again: base64 of the form, and some.
pub(super) const MAX_SEALED: usize = MAX_FORM / 3 * 4 + 64 * 1024;
/// For how long a form is kept.
pub(super) const LIFETIME: Duration = Duration::from_secs(60 * 60);
/// How long the body of a form may take to come.
pub(super) const READING: Duration = Duration::from_secs(60);
const AT_ONCE: usize = 32;
/// How many of these one address may have.
const OF_ONE: u32 = 4;
const MAX_KEPT: usize = 8;
const USED: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
const TAG: usize = 8;

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A form as it was sent; the order of the fields is the format.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptForm<'a> {
    pub(super) id: [u8; 16],
    /// What the browser's cookie must say.
    pub(super) browser: &'a str,
    pub(super) at: Timestamp,
    pub(super) app: &'a str,
    /// Whose session had ended; nobody's is known where there was no cookie.
    pub(super) person: Option<&'a str>,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    #[serde(borrow)]
    pub(super) content_type: &'a [u8],
    pub(super) origin: Option<&'a [u8]>,
    pub(super) referer: Option<&'a [u8]>,
    pub(super) body: &'a [u8],
}

/// What the process knows of kept forms.
pub(super) struct Forms {
    used: Mutex<LruCache<[u8; 16], Use>>,
    room: Arc<Semaphore>,
    clients: Arc<Crowd>,
}

/// What became of a form that somebody wanted to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// It is being sent, and the application may not have seen anything of it.
    UnderWay,
    /// It was sent.
    Over,
}

/// A form that is being sent. Dropped, also because the client left, it is used up if the application may have seen something of it.
pub(super) struct InUse<'f> {
    forms: &'f Forms,
    id: [u8; 16],
    /// What is sent.
    pub(super) sent: Sent,
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        let mut used = self.forms.used();
        if self.sent.is_whole() {
            used.pop(&self.id);
        } else {
            used.put(self.id, Use::Over);
        }
    }
}

/// Room for one form, given back when it is dropped.
pub(super) struct Room {
    _place: OwnedSemaphorePermit,
    _of_client: CrowdPlace,
}

impl Default for Forms {
    fn default() -> Self {
        let used = Mutex::new(LruCache::new(USED));
        Self { used, room: Arc::new(Semaphore::new(AT_ONCE)), clients: Arc::default() }
    }
}

impl Forms {
    /// Notes that a form is being sent; an error when it is already, or was.
    pub(super) fn begin(&self, id: [u8; 16], form: &[u8]) -> Result<InUse<'_>, Use> {
        let mut used = self.used();
        match used.get(&id).copied() {
            Some(before) => Err(before),
            None => {
                used.put(id, Use::UnderWay);
                Ok(InUse { forms: self, id, sent: Sent::kept(Bytes::copy_from_slice(form)) })
            }
        }
    }

    fn used(&self) -> MutexGuard<'_, LruCache<[u8; 16], Use>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for one form of this client.
    pub(super) fn room(&self, client: IpAddr) -> Option<Room> {
        let _of_client = self.clients.take(Who::at(client), OF_ONE)?;
        let _place = Arc::clone(&self.room).try_acquire_owned().ok()?;
        Some(Room { _place, _of_client })
    }
}

/// Whether the policy wants the form of this request kept, and a page of this origin sent it for a person.
pub(super) fn is_own_form(exchange: &Exchange<'_>, application: &Application, headers: &HeaderMap) -> bool {
    exchange.head.method == Method::POST
        && application.policy().session().posts == Posts::Keep
        && headers.get(CONTENT_TYPE).is_some_and(is_form)
        && wants_page(headers)
        && is_from_here(exchange, headers) == Some(true)
}

/// The encodings in which browsers send forms.
fn is_form(content_type: &HeaderValue) -> bool {
    let media = content_type.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    [&b"application/x-www-form-urlencoded"[..], b"multipart/form-data", b"text/plain"]
        .iter()
        .any(|form| media.eq_ignore_ascii_case(form))
}

/// Whether a page of this origin sent the request; none when the browser does not say. A `null` origin is said by pages that hide it, our
/// own among them.
pub(super) fn is_from_here(exchange: &Exchange<'_>, headers: &HeaderMap) -> Option<bool> {
    if let Some(site) = headers.get(&SEC_FETCH_SITE) {
        return Some(site == "same-origin");
    }
    let origin = headers.get(ORIGIN).filter(|origin| *origin != "null")?;
    Some(origin.as_bytes() == exchange.outer_origin().as_bytes())
}

/// Reads a body of at most `limit` bytes.
pub(super) async fn read(body: SentBody, limit: usize, time: Duration) -> Result<Bytes, NotKept> {
    if body.at_least() > limit as u64 {
        return Err(NotKept::TooLarge);
    }
    match body {
        SentBody::Kept(bytes) => Ok(bytes),
        SentBody::Coming(body) => match tokio::time::timeout(time, body.read(limit)).await {
            Ok(Ok(form)) => Ok(form),
            Ok(Err(BodyError::TooLarge)) => Err(NotKept::TooLarge),
            Ok(Err(_)) => Err(NotKept::BrokenOff),
            Err(_) => Err(NotKept::Late),
        },
    }
}

/// Keeps a form: the answer is the page that holds it.
pub(super) async fn keep(
    exchange: &Exchange<'_>,
    application: &Arc<Application>,
    host: &HostName,
    headers: &HeaderMap,
    body: SentBody,
    account: &mut Account,
) -> Result<Response<Content>, Refusal> {
    limits::stranger(exchange)?;
    let (body, room) = match take_in(exchange, body).await {
        Ok(taken) => taken,
        Err(why) => {
            account.failed(why.code());
            return Ok(not_kept(exchange, application, why));
        }
    };
    let (id, browser) = (random::bytes(), random::token());
    let tag = tag(&id);
    let name = cookie_name(exchange, &tag);
    let person = last_person(exchange, application, host, headers);
    let field = |name| headers.get(name).map(HeaderValue::as_bytes);
    let path = exchange.head.path.to_string();
    let form = KeptForm {
        id,
        browser: &browser,
        at: exchange.gateway.now(),
        app: application.name(),
        person: person.as_deref(),
        path: &path,
        query: exchange.head.query.as_deref(),
        content_type: field(CONTENT_TYPE).unwrap_or_default(),
        origin: field(ORIGIN),
        referer: field(REFERER),
        body: &body,
    };
    let content = postcard::to_allocvec(&form).map_err(|_| Refusal::Internal)?;
    let sealed = format!("{tag}.{}", exchange.gateway.common.keys.seal(binding(&name, host), &content));
    let mut response = page(exchange, application, (exchange.head.path.as_str(), &sealed), Why::Kept, room);
    let cookie = SetCookie { value: &browser, max_age: Some(LIFETIME), ..form_cookie(exchange, &name) };
    for field in surplus(exchange, headers).into_iter().chain(cookie.header()) {
        response.headers_mut().append(SET_COOKIE, field);
    }
    Ok(response)
}

/// The form, and the room that it takes.
async fn take_in(exchange: &Exchange<'_>, body: SentBody) -> Result<(Bytes, Room), NotKept> {
    // What is too large needs no room to be refused.
    if body.at_least() > MAX_FORM as u64 {
        return Err(NotKept::TooLarge);
    }
    let room = exchange.gateway.common.memory.forms.room(exchange.origin.client).ok_or(NotKept::NoRoom)?;
    Ok((read(body, MAX_FORM, READING).await?, room))
}

/// Why a page holds a form.
#[derive(Clone, Copy)]
pub(super) enum Why {
    /// Nobody is signed in.
    Kept,
    /// The application could not take it just now.
    Unsent,
    /// It is being sent already, and may yet not get there.
    UnderWay,
}

/// The page that holds a form.
pub(super) fn page(
    exchange: &Exchange<'_>,
    application: &Application,
    (path, sealed): (&str, &str),
    why: Why,
    room: Room,
) -> Response<Content> {
    let (app, action, token) = (application.policy().title(), addresses::RESEND, sealed);
    let sign_in_url = sign_in::address(application);
    let page = match why {
        Why::Kept => Page::FormKept { app, path, action, token, sign_in_url: &sign_in_url },
        Why::Unsent => Page::FormUnsent { app, path, action, token },
        Why::UnderWay => Page::FormUnderWay { app, path, action, token },
    };
    show(exchange, application, &page, room)
}

fn show(exchange: &Exchange<'_>, application: &Application, page: &Page<'_>, room: Room) -> Response<Content> {
    // The form is in the page: there is no other way to say it.
    let mut response = page.answer(Form::Html, exchange.request_id.as_str());
    let length = response.body().len();
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    if response.status() == StatusCode::UNAUTHORIZED {
        set(&mut response, &challenge(application));
    }
    response.map(|page| Content::holding(page, room))
}

fn not_kept(exchange: &Exchange<'_>, application: &Application, why: NotKept) -> Response<Content> {
    let (reason, sign_in_url) = (why.reason(), application.policy().prefix());
    let page = Page::FormNotKept { app: application.policy().title(), reason, sign_in_url };
    let mut response = page.answer(exchange.form.read(), exchange.request_id.as_str()).map(Content::own);
    set(&mut response, &challenge(application));
    response
}

/// The part of a form's cookie's name that is its own.
pub(super) fn tag(id: &[u8; 16]) -> String {
    let mut tag = URL_SAFE_NO_PAD.encode(id);
    tag.truncate(TAG);
    tag
}

/// Whether a text may be a tag.
pub(super) fn is_tag(text: &str) -> bool {
    text.len() == TAG && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// The name of the cookie that binds a form to its browser.
pub(super) fn cookie_name(exchange: &Exchange<'_>, tag: &str) -> String {
    format!("{}{tag}", prefix(exchange))
}

fn prefix(exchange: &Exchange<'_>) -> &'static str {
    if exchange.is_secure() { "__Host-lychgate-form-" } else { "lychgate-form-" }
}

/// What a form is sealed for.
pub(super) fn binding<'a>(name: &'a str, host: &'a HostName) -> Binding<'a> {
    Binding { purpose: "kept-form/2", name, scope: host.as_str() }
}

/// The cookie of a form, without a value.
pub(super) fn form_cookie<'a>(exchange: &Exchange<'_>, name: &'a str) -> SetCookie<'a> {
    SetCookie { name, value: "", path: "/", secure: exchange.is_secure(), max_age: None }
}

/// Whether a browser has the cookie of any form.
pub(super) fn has_cookie(exchange: &Exchange<'_>, headers: &HeaderMap) -> bool {
    !cookies(exchange, headers).is_empty()
}

/// The names of the cookies of all forms.
fn cookies<'h>(exchange: &Exchange<'_>, headers: &'h HeaderMap) -> Vec<&'h str> {
    let prefix = prefix(exchange);
    cookie::all(headers)
        .filter_map(|(name, _)| std::str::from_utf8(name).ok())
        .filter(|name| name.strip_prefix(prefix).is_some_and(is_tag))
        .collect()
}

/// Takes the oldest forms' cookies away when a browser has too many; browsers send the oldest first (RFC 6265 section 5.4).
fn surplus(exchange: &Exchange<'_>, headers: &HeaderMap) -> Vec<HeaderValue> {
    let names = cookies(exchange, headers);
    let gone = (names.len() + 1).saturating_sub(MAX_KEPT).min(32);
    names.into_iter().take(gone).filter_map(|name| form_cookie(exchange, name).removal()).collect()
}
