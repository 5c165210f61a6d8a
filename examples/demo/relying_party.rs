//! The gateway's own relying party signs somebody in at the development provider, over real sockets.
//!
//! Everything that the two say to each other is said: discovery, keys, authorization, pages, token endpoint,
//! userinfo. The browser is thirty lines of HTTP/1.1 in this file.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use lychgate::claims::ClaimValue;
use lychgate::clock::Clock;
use lychgate::crypto::Secret;
use lychgate::http::ReturnTo;
use lychgate::oidc::{self, CallbackParams, ClientAuth, LoginError, LoginRequest, ProviderSettings, SignedIn};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::people::people;
use crate::provider::{Algorithm, Client, Provider, ProviderConfig};

const CALLBACK: &str = "http://royalty.localhost:8080/.lychgate/callback";
const TWO: &str = "urn:lychgate:demo:2fa";
const SECRET: &str = "a secret: with %, + and & in it";

/// A provider that serves, and the gateway's side of it.
async fn provider(auth: ClientAuth, algorithm: Algorithm, userinfo: bool) -> (Browser, std::sync::Arc<oidc::Provider>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let issuer = format!("http://login.localhost:{}", address.port());
    let client = Client {
        id: "lychgate".into(),
        secret: SECRET.into(),
        algorithm,
        redirect_uris: vec![CALLBACK.into()],
        post_logout_redirect_uris: vec![],
    };
    let config = ProviderConfig { issuer: issuer.clone(), clients: vec![client], people: people() };
    let server = Provider::new(config).unwrap();
    tokio::spawn(server.serve(listener, std::future::pending()));

    let mut settings = ProviderSettings::new("gmr", &issuer, "lychgate");
    settings.client_secret = Some(Secret::new(SECRET.to_owned()));
    settings.client_auth = auth;
    settings.scopes = ["openid", "profile", "email", "groups"].map(str::to_owned).to_vec();
    settings.userinfo = userinfo;
    let party = oidc::Provider::new(settings, Clock::system()).unwrap();
    party.discovered_now().await.unwrap_or_else(|error| panic!("{error}"));
    (Browser { address, cookies: BTreeMap::new() }, party)
}

struct Browser {
    address: SocketAddr,
    cookies: BTreeMap<String, String>,
}

struct Page {
    location: Option<String>,
    text: String,
}

impl Browser {
    async fn send(&mut self, target: &str, form: Option<&str>) -> Page {
        let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        let (method, body) = form.map_or(("GET", ""), |form| ("POST", form));
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: login.localhost:{}\r\nCookie: {}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            self.address.port(),
            cookies.join("; "),
            body.len(),
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        let mut location = None;
        for line in head.lines().skip(1) {
            match line.split_once(": ").unwrap() {
                ("location", target) => location = Some(target.to_owned()),
                ("set-cookie", cookie) => {
                    let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
                    self.cookies.insert(name.to_owned(), value.to_owned());
                }
                _ => {}
            }
        }
        Page { location, text: text.to_owned() }
    }

    /// Goes where the gateway sends it, signs in as `user`, and returns the query that comes back.
    async fn sign_in(&mut self, authorize_url: &str, user: &str) -> String {
        let url = url::Url::parse(authorize_url).unwrap();
        let target = format!("{}?{}", url.path(), url.query().unwrap());
        let mut page = self.send(&target, None).await;
        while page.location.as_ref().is_none_or(|location| !location.starts_with(CALLBACK)) {
            page = match page.location {
                Some(location) => self.send(&location, None).await,
                None => self.fill_in(&page.text, user).await,
            };
        }
        page.location.unwrap().split_once('?').unwrap().1.to_owned()
    }

    async fn fill_in(&mut self, page: &str, user: &str) -> Page {
        assert!(!page.contains("role=\"alert\""), "{page}");
        let between = |start: &str, end: &str| page.split_once(start).unwrap().1.split_once(end).unwrap().0;
        let ticket = between("name=\"sign_in\" value=\"", "\"");
        if page.contains("name=\"password\"") {
            let form = format!("sign_in={ticket}&user={user}&password={user}-demo");
            return self.send("/sign-in/password", Some(&form)).await;
        }
        let code = between("<output", "</output>").split_once('>').unwrap().1;
        self.send("/sign-in/code", Some(&format!("sign_in={ticket}&code={code}"))).await
    }
}

async fn sign_in(browser: &mut Browser, party: &oidc::Provider, acr: &[String]) -> Result<SignedIn, LoginError> {
    let request = LoginRequest { acr, ..LoginRequest::new(CALLBACK, ReturnTo::root()) };
    let begun = party.begin(request).await.unwrap_or_else(|error| panic!("{error}"));
    let query = browser.sign_in(&begun.authorize_url, "zoe").await;
    party.finish(&begun.pending, &CallbackParams::parse(&query)?, CALLBACK).await
}

#[tokio::test]
async fn the_gateway_accepts_what_the_provider_says() {
    for (auth, algorithm, userinfo) in
        [(ClientAuth::Basic, Algorithm::Es256, false), (ClientAuth::Post, Algorithm::Rs256, true)]
    {
        let (mut browser, party) = provider(auth, algorithm, userinfo).await;
        let two = [TWO.to_owned()];
        let signed_in = sign_in(&mut browser, &party, &two).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(signed_in.acr.as_deref(), Some(TWO));
        assert_eq!(signed_in.amr, ["pwd", "otp", "mfa"]);
        assert!(signed_in.sid.is_some());
        assert_eq!(signed_in.claims.text("preferred_username"), Some("zoe"));
        assert_eq!(signed_in.claims.text("name"), Some("Zoë Lindqvist"));
        let groups = ["archive-readers", "archive-curators"].map(|group| ClaimValue::Text(group.into())).to_vec();
        assert_eq!(signed_in.claims.value("groups"), Some(&ClaimValue::List(groups)));
    }
}

#[tokio::test]
async fn a_class_that_the_provider_does_not_reach_is_refused_by_the_gateway() {
    let (mut browser, party) = provider(ClientAuth::Basic, Algorithm::Es256, false).await;
    let hardware = ["phr".to_owned()];
    assert!(sign_in(&mut browser, &party, &hardware).await.is_err());
    // The person is signed in all the same, and what the provider does reach is accepted without a page.
    let two = [TWO.to_owned()];
    assert!(sign_in(&mut browser, &party, &two).await.is_ok());
}
