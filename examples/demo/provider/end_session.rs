//! Signing out at the development provider, on an application's word or on the person's.
//!
//! An ID token of this very session as a hint ends it at once; without one the person is asked, because any
//! page on the web can send a browser here. The browser goes on only to an address that is registered for
//! the client; another one is an error, and the session stays.
//!
//! OpenID Connect RP-Initiated Logout 1.0 sections 2-4 and 6.

use http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};
use url::Url;

use super::page::{self, SignOutPage};
use super::params::{Params, cookie};
use super::reply::{self, Reply};
use super::{Client, Hint, Provider, SESSION_COOKIE};

/// Answers a request to sign out.
pub(super) fn end_session(provider: &Provider, params: &Params, headers: &HeaderMap, now: u64) -> Reply {
    let request = match SignOut::read(provider, params) {
        Ok(request) => request,
        Err(reason) => return refused(&reason),
    };
    let Some(cookie) = cookie(headers, SESSION_COOKIE) else { return request.done() };
    let session = provider.state().sessions.find(cookie, now).cloned();
    match session {
        None => request.done(),
        Some(session) if request.hint.as_ref().is_some_and(|hint| hint.session == session.sid) => {
            provider.state().sessions.close(cookie, now);
            request.done()
        }
        Some(session) => request.ask(provider, &session.user, cookie),
    }
}

/// Takes the answer of a person who was asked.
pub(super) fn confirm(provider: &Provider, params: &Params, headers: &HeaderMap, now: u64) -> Reply {
    let request = match SignOut::read(provider, params) {
        Ok(request) => request,
        Err(reason) => return refused(&reason),
    };
    let Some(cookie) = cookie(headers, SESSION_COOKIE) else { return request.done() };
    if params.text("guard") != Some(guard(cookie).as_str()) {
        return refused("The form did not come from this provider's page.");
    }
    provider.state().sessions.close(cookie, now);
    request.done()
}

/// A request to sign out whose address, if it has one, belongs to its client.
struct SignOut {
    hint: Option<Hint>,
    client: Option<String>,
    target: Option<Target>,
}

struct Target {
    registered: String,
    state: Option<String>,
    url: Url,
}

impl SignOut {
    fn read(provider: &Provider, params: &Params) -> Result<Self, String> {
        let hint = match params.text("id_token_hint") {
            None => None,
            Some(token) => {
                Some(provider.verified_hint(token).ok_or("The id_token_hint is not an ID token of this provider.")?)
            }
        };
        let named = params.text("client_id");
        let meant = hint.as_ref().map(|hint| hint.client.as_str());
        if named.is_some() && meant.is_some() && named != meant {
            return Err("The id_token_hint was issued to another client.".into());
        }
        let client = named.or(meant).map(str::to_owned);
        let target = Target::read(provider, client.as_deref(), params)?;
        Ok(Self { hint, client, target })
    }

    fn ask(&self, provider: &Provider, user: &str, cookie: &str) -> Reply {
        let target = self.target.as_ref();
        let carried = [
            ("client_id", self.client.as_deref()),
            ("post_logout_redirect_uri", target.map(|target| target.registered.as_str())),
            ("state", target.and_then(|target| target.state.as_deref())),
        ];
        let carried: Vec<_> = carried.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let html = page::sign_out(&SignOutPage {
            name: provider.person(user).map_or(user, |person| &person.name),
            guard: &guard(cookie),
            carried: &carried,
        });
        reply::page_towards(StatusCode::OK, html, target.map(|target| &target.url))
    }

    fn done(self) -> Reply {
        let reply = match self.target {
            Some(target) => reply::redirect(target.url.as_str()),
            None => {
                let page = page::notice("You are signed out", "You can close this page.");
                reply::page(StatusCode::OK, page)
            }
        };
        reply::with_cookie(reply, SESSION_COOKIE, "", "/", 0)
    }
}

impl Target {
    fn read(provider: &Provider, client: Option<&str>, params: &Params) -> Result<Option<Self>, String> {
        let Some(uri) = params.text("post_logout_redirect_uri") else { return Ok(None) };
        let client = client
            .and_then(|id| provider.client(id))
            .ok_or("post_logout_redirect_uri came without a client that is known here.")?;
        let state = params.text("state").map(str::to_owned);
        let registered = Client::lists(&client.post_logout_redirect_uris, uri);
        let mut url = registered.then(|| Url::parse(uri).ok()).flatten().ok_or_else(|| {
            format!("{uri:?} is no address that is registered for {:?} to go to after signing out.", client.id)
        })?;
        if let Some(state) = &state {
            url.query_pairs_mut().append_pair("state", state);
        }
        Ok(Some(Self { registered: uri.to_owned(), state, url }))
    }
}

/// What only a page that this provider wrote for this session can carry.
fn guard(cookie: &str) -> String {
    let hash = Sha256::digest(format!("sign out {cookie}"));
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn refused(reason: &str) -> Reply {
    let page = page::notice("You were not signed out", reason);
    reply::page(StatusCode::BAD_REQUEST, page)
}
