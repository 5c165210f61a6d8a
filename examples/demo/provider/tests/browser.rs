//! A browser and a client in the tests' hands: what they send to the provider, and what they see.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, COOKIE, LOCATION, SET_COOKIE};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use url::Url;

use super::{ASK, CALLBACK, Params, Provider, Reply, TWO, VERIFIER};

/// A browser: it keeps cookies, and follows no redirection by itself.
pub(super) struct Browser<'p> {
    pub(super) provider: &'p Provider,
    pub(super) cookies: BTreeMap<String, String>,
    pub(super) now: u64,
}

pub(super) struct Seen {
    pub(super) status: StatusCode,
    pub(super) location: String,
    pub(super) text: String,
}

impl Seen {
    /// A parameter that the answer carries back to the client.
    pub(super) fn returned(&self, name: &str) -> Option<String> {
        let url = Url::parse(&self.location).unwrap();
        url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
    }

    pub(super) fn code(&self) -> String {
        assert!(self.location.starts_with(CALLBACK), "{:?} {}", self.location, self.text);
        self.returned("code").unwrap()
    }

    pub(super) fn error(&self) -> String {
        self.returned("error").unwrap_or_default()
    }

    pub(super) fn ticket(&self) -> String {
        self.location.strip_prefix("/sign-in?sign_in=").unwrap().to_owned()
    }
}

impl<'p> Browser<'p> {
    pub(super) fn new(provider: &'p Provider) -> Self {
        Self { provider, cookies: BTreeMap::new(), now: 1_000_000 }
    }

    pub(super) fn send(&mut self, method: &str, target: &str, form: &str) -> Seen {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = Request::builder().method(method).uri(target).header(COOKIE, cookies.join("; "));
        let head = request.body(()).unwrap().into_parts().0;
        let query = head.uri.query().unwrap_or_default().to_owned();
        let params = Params::parse(if method == "POST" { form } else { &query }.as_bytes()).unwrap();
        let reply = self.provider.route(&head, &params, self.now);
        for line in reply.headers().get_all(SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            match line.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.into(), value.into()),
            };
        }
        seen(reply)
    }

    pub(super) fn ask(&mut self, more: &str) -> Seen {
        self.send("GET", &format!("/authorize?{ASK}{more}"), "")
    }

    pub(super) fn password(&mut self, ticket: &str, user: &str) -> Seen {
        self.send("POST", "/sign-in/password", &format!("sign_in={ticket}&user={user}&password={user}+password"))
    }

    pub(super) fn shown_code(&mut self, ticket: &str) -> String {
        let page = self.send("GET", &format!("/sign-in?sign_in={ticket}"), "").text;
        let (_, rest) = page.split_once("<output").unwrap();
        rest.split(['>', '<']).nth(1).unwrap().to_owned()
    }

    pub(super) fn type_code(&mut self, ticket: &str, code: &str) -> Seen {
        self.send("POST", "/sign-in/code", &format!("sign_in={ticket}&code={code}"))
    }

    /// Signs in with password and code; the answer that goes to the client.
    pub(super) fn sign_in(&mut self, user: &str) -> Seen {
        let ticket = self.ask(TWO).ticket();
        assert_eq!(self.password(&ticket, user).ticket(), ticket);
        let code = self.shown_code(&ticket);
        self.type_code(&ticket, &code)
    }

    pub(super) fn tokens(&self, form: &str) -> (StatusCode, Value) {
        let credentials = STANDARD.encode("client:s%3Ae%25c%2Br%26t");
        let request = Request::post("/token").header(AUTHORIZATION, format!("Basic {credentials}"));
        let head = request.body(()).unwrap().into_parts().0;
        let seen = seen(self.provider.route(&head, &Params::parse(form.as_bytes()).unwrap(), self.now));
        (seen.status, serde_json::from_str(&seen.text).unwrap())
    }

    pub(super) fn redeem(&self, code: &str) -> (StatusCode, Value) {
        let address = "http%3A%2F%2Fapp.localhost%3A8080%2Fcallback";
        self.tokens(&format!(
            "grant_type=authorization_code&code={code}&redirect_uri={address}&code_verifier={VERIFIER}"
        ))
    }

    pub(super) fn refresh(&self, tokens: &Value) -> (StatusCode, Value) {
        let token = tokens["refresh_token"].as_str().unwrap();
        self.tokens(&format!("grant_type=refresh_token&refresh_token={token}"))
    }

    pub(super) fn userinfo(&self, tokens: &Value) -> Seen {
        let token = tokens["access_token"].as_str().unwrap();
        let request = Request::get("/userinfo").header(AUTHORIZATION, format!("Bearer {token}"));
        let head = request.body(()).unwrap().into_parts().0;
        seen(self.provider.route(&head, &Params::parse(b"").unwrap(), self.now))
    }
}

pub(super) fn seen(reply: Reply) -> Seen {
    use futures_now::now_or_never;
    let status = reply.status();
    let location = reply.headers().get(LOCATION).map_or("", |value| value.to_str().unwrap()).to_owned();
    let body = now_or_never(reply.into_body().collect()).unwrap().to_bytes();
    Seen { status, location, text: String::from_utf8(body.to_vec()).unwrap() }
}

/// A body that is there already is read without a runtime.
mod futures_now {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    pub(super) fn now_or_never<F: Future>(future: F) -> F::Output {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("not ready"),
        }
    }
}
