//! Signing in: the pages for password and code, and the way from the first to the client's address.
//!
//! A sign-in under way lies on the server under a ticket, which the forms carry, and is bound to the
//! browser that began it by a cookie that only the sign-in's pages see: a form that another site sends, or
//! a link that another person sends, finds no cookie and leads nowhere.
//! Ten wrong attempts end a sign-in.
//!
//! OpenID Connect Core section 3.1.2.3.

use http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};

use super::authorize::AuthorizationRequest;
use super::page::{self, CodePage, PasswordPage};
use super::params::{Params, cookie};
use super::reply::{self, Reply};
use super::sessions::{LIFE, Level};
use super::shelf::random_text;
use super::{Provider, SESSION_COOKIE, totp};

/// The path of the pages, and of their cookie.
pub(super) const PATH: &str = "/sign-in";

/// How long somebody may take to sign in, in seconds.
const PATIENCE: u64 = 15 * 60;

/// How often somebody may be wrong in one sign-in.
const ATTEMPTS: u8 = 10;

const WRONG_PASSWORD: &str = "User name or password is wrong. Please try again.";
const WRONG_CODE: &str = "That code is wrong or too old. Please type the one that is shown now.";

/// A sign-in under way.
pub(super) struct SignIn {
    request: AuthorizationRequest,
    browser: String,
    stage: Stage,
    misses: u8,
}

#[derive(Clone)]
enum Stage {
    Password,
    Code { user: String },
}

/// Begins a sign-in: with the password, or with the code when `known` has shown a password already.
pub(super) fn start(provider: &Provider, request: AuthorizationRequest, known: Option<String>, now: u64) -> Reply {
    let stage = known.map_or(Stage::Password, |user| Stage::Code { user });
    let browser = random_text();
    let sign_in = SignIn { request, browser: browser.clone(), stage, misses: 0 };
    let ticket = provider.state().sign_ins.put(sign_in, PATIENCE, now);
    let reply = reply::redirect(&format!("{PATH}?sign_in={ticket}"));
    reply::with_cookie(reply, &cookie_name(&ticket), &browser, PATH, PATIENCE)
}

/// Shows the page of the step that the sign-in has reached.
pub(super) fn show(provider: &Provider, params: &Params, headers: &HeaderMap, now: u64) -> Reply {
    match Visit::read(provider, params, headers, now) {
        Some(visit) => visit.page(provider, None, now),
        None => gone(),
    }
}

/// Takes user name and password.
pub(super) fn password(provider: &Provider, params: &Params, headers: &HeaderMap, now: u64) -> Reply {
    let Some(visit) = Visit::read(provider, params, headers, now) else { return gone() };
    let Stage::Password = visit.stage else { return visit.page(provider, None, now) };
    let user = params.text("user").unwrap_or_default().trim();
    let given = params.text("password").unwrap_or_default();
    match provider.person(user).filter(|person| person.has_password(given)) {
        None => visit.missed(provider, WRONG_PASSWORD, user, now),
        Some(person) if visit.request.level > Level::Password => {
            visit.go_on(provider, Stage::Code { user: person.user.clone() }, now)
        }
        Some(person) => visit.finish(provider, headers, &person.user, Level::Password, now),
    }
}

/// Takes the one-time code.
pub(super) fn code(provider: &Provider, params: &Params, headers: &HeaderMap, now: u64) -> Reply {
    let Some(visit) = Visit::read(provider, params, headers, now) else { return gone() };
    let Stage::Code { user } = &visit.stage else { return visit.page(provider, None, now) };
    let mut given = params.text("code").unwrap_or_default().to_owned();
    given.retain(|character| !character.is_whitespace());
    let user = user.clone();
    if totp::accepts(&provider.code_secret(&user, &visit.ticket), &given, now) {
        visit.finish(provider, headers, &user, Level::SecondFactor, now)
    } else {
        visit.missed(provider, WRONG_CODE, &user, now)
    }
}

/// Ends a sign-in that the person does not want.
pub(super) fn cancel(provider: &Provider, params: &Params, headers: &HeaderMap, now: u64) -> Reply {
    let Some(visit) = Visit::read(provider, params, headers, now) else { return gone() };
    provider.state().sign_ins.take(&visit.ticket, now);
    let reply = visit.request.return_to.cancelled(provider);
    visit.without_cookie(reply)
}

/// One request of the browser that a sign-in belongs to.
struct Visit {
    ticket: String,
    request: AuthorizationRequest,
    stage: Stage,
}

impl Visit {
    fn read(provider: &Provider, params: &Params, headers: &HeaderMap, now: u64) -> Option<Self> {
        let ticket = params.text("sign_in")?;
        let state = provider.state();
        let sign_in = state.sign_ins.find(ticket, now)?;
        let browser = cookie(headers, &cookie_name(ticket))?;
        (browser == sign_in.browser).then(|| Self {
            ticket: ticket.to_owned(),
            request: sign_in.request.clone(),
            stage: sign_in.stage.clone(),
        })
    }

    fn page(&self, provider: &Provider, missed: Option<(&str, &str)>, now: u64) -> Reply {
        let status = match missed {
            None => StatusCode::OK,
            Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let html = match &self.stage {
            Stage::Password => self.password_page(provider, missed),
            Stage::Code { user } => self.code_page(provider, user, missed.map(|(problem, _)| problem), now),
        };
        reply::page_towards(status, html, Some(self.request.return_to.url()))
    }

    fn password_page(&self, provider: &Provider, missed: Option<(&str, &str)>) -> String {
        let target = self.request.return_to.url();
        let host = target.host_str().unwrap_or_default();
        let port = target.port().map(|port| format!(":{port}")).unwrap_or_default();
        page::password(&PasswordPage {
            ticket: &self.ticket,
            target: &format!("{host}{port}"),
            user: missed.map_or(self.request.login_hint.as_deref().unwrap_or_default(), |(_, user)| user),
            problem: missed.map(|(problem, _)| problem),
            code_follows: self.request.level > Level::Password,
            people: &provider.people,
        })
    }

    fn code_page(&self, provider: &Provider, user: &str, problem: Option<&str>, now: u64) -> String {
        let secret = provider.code_secret(user, &self.ticket);
        page::code(&CodePage {
            ticket: &self.ticket,
            name: provider.person(user).map_or(user, |person| &person.name),
            code: &totp::code_at(&secret, now),
            seconds_left: totp::seconds_left(now),
            problem,
        })
    }

    fn go_on(self, provider: &Provider, stage: Stage, now: u64) -> Reply {
        if let Some(sign_in) = provider.state().sign_ins.find_mut(&self.ticket, now) {
            sign_in.stage = stage;
        }
        reply::redirect(&format!("{PATH}?sign_in={}", self.ticket))
    }

    fn missed(self, provider: &Provider, problem: &str, user: &str, now: u64) -> Reply {
        if too_often(provider, &self.ticket, now) {
            let text = "That was wrong too often. Go back to the application and start again.";
            let page = page::notice("This sign-in has ended", text);
            return self.without_cookie(reply::page(StatusCode::FORBIDDEN, page));
        }
        self.page(provider, Some((problem, user)), now)
    }

    /// Opens the session and sends the code. Taking the sign-in off its shelf makes this happen once.
    fn finish(self, provider: &Provider, headers: &HeaderMap, user: &str, level: Level, now: u64) -> Reply {
        let mut state = provider.state();
        let Some(sign_in) = state.sign_ins.take(&self.ticket, now) else { return gone() };
        let former = cookie(headers, SESSION_COOKIE);
        let (session, authentication) = state.sessions.open(former, user, level, now);
        drop(state);
        let reply = sign_in.request.answer(provider, authentication, now);
        let reply = reply::with_cookie(reply, SESSION_COOKIE, &session, "/", LIFE);
        self.without_cookie(reply)
    }

    fn without_cookie(&self, reply: Reply) -> Reply {
        reply::with_cookie(reply, &cookie_name(&self.ticket), "", PATH, 0)
    }
}

/// Counts a wrong attempt; tells whether it was the last, and then ends the sign-in.
fn too_often(provider: &Provider, ticket: &str, now: u64) -> bool {
    let mut state = provider.state();
    let Some(sign_in) = state.sign_ins.find_mut(ticket, now) else { return true };
    sign_in.misses += 1;
    let last = sign_in.misses >= ATTEMPTS;
    if last {
        state.sign_ins.take(ticket, now);
    }
    last
}

fn gone() -> Reply {
    let text = "It is finished, has expired, or was begun in another browser. \
                Go back to the application and start again.";
    reply::page(StatusCode::BAD_REQUEST, page::notice("This sign-in is not going on", text))
}

/// A cookie for each sign-in, so that several tabs do not get in each other's way.
fn cookie_name(ticket: &str) -> String {
    let hash = Sha256::digest(ticket);
    let short: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("demo_sign_in_{short}")
}
