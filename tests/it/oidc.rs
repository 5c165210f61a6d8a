//! The relying party against a provider that misbehaves: what is refused, for which rule, and what was asked meanwhile.
//!
//! Refusals are tables; each case names the paragraph that it rests on and the code that must come out. Every table ends
//! with a login that succeeds, so that no case passes because everything fails.

mod clients;
mod discovery;
mod endpoints;
mod id_tokens;
mod logins;
mod patience;
mod requests;
mod responses;

use std::sync::Arc;

use lychgate::clock::{ManualClock, Timestamp};
use lychgate::crypto::Secret;
use lychgate::http::ReturnTo;
use lychgate::oidc::{Begun, CallbackParams, LoginError, LoginRequest, Provider, ProviderSettings, SignedIn};
use serde_json::json;
use url::Url;

use crate::harness::provider::{Answer, CLIENT_ID, CLIENT_SECRET, Claim, FakeProvider, Script};

const CALLBACK: &str = "https://app.example/.lychgate/callback";
const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// A gateway's provider beside the fake one that it speaks to.
struct Pair {
    fake: FakeProvider,
    provider: Arc<Provider>,
    time: ManualClock,
}

impl Pair {
    async fn new() -> Self {
        Self::with(|_| {}, |_| {}).await
    }

    /// A pair that has discovered one another.
    async fn with(settings: impl FnOnce(&mut ProviderSettings), script: impl FnOnce(&mut Script)) -> Self {
        let pair = Self::strangers(settings, script).await;
        pair.provider.discovered_now().await.unwrap();
        pair
    }

    /// A pair where nothing was asked yet.
    async fn strangers(change: impl FnOnce(&mut ProviderSettings), script: impl FnOnce(&mut Script)) -> Self {
        let time = ManualClock::starting_at(NOW);
        let fake = FakeProvider::start(time.clock()).await;
        script(&mut fake.script());
        let mut settings = settings_for(fake.issuer());
        change(&mut settings);
        let provider = Provider::new(settings, time.clock()).ok().unwrap();
        Self { fake, provider, time }
    }

    async fn begin(&self) -> Begun {
        self.provider.begin(LoginRequest::new(CALLBACK, ReturnTo::root())).await.ok().unwrap()
    }

    async fn sign_in(&self) -> Result<SignedIn, LoginError> {
        self.come_back(self.begin().await).await
    }

    async fn come_back(&self, begun: Begun) -> Result<SignedIn, LoginError> {
        let back = self.fake.authorize(&begun.authorize_url);
        self.provider.finish(&begun.pending, &params(&back)?, CALLBACK).await
    }

    /// The code of the error that a login ends with.
    async fn refusal(&self) -> &'static str {
        self.sign_in().await.err().map_or("signed in", |error| error.code())
    }

    fn play(&self, script: impl FnOnce(&mut Script)) {
        let mut current = self.fake.script();
        *current = Script::default();
        script(&mut current);
    }

    fn asked(&self, path: &str) -> usize {
        self.fake.requests(path).len()
    }
}

fn settings_for(issuer: &str) -> ProviderSettings {
    let mut settings = ProviderSettings::new("idp", issuer, CLIENT_ID);
    settings.client_secret = Some(Secret::new(CLIENT_SECRET.to_owned()));
    settings
}

fn params(callback: &str) -> Result<CallbackParams, LoginError> {
    CallbackParams::parse(Url::parse(callback).unwrap().query().unwrap_or_default())
}

fn set(name: &'static str, value: impl Into<serde_json::Value>) -> Vec<Claim> {
    vec![Claim::Set(name, value.into())]
}

fn header(name: &str, value: impl Into<serde_json::Value>) -> Vec<(String, serde_json::Value)> {
    vec![(name.to_owned(), value.into())]
}

/// What an ID token does wrong, the paragraph, the change, and the code of the refusal.
type TokenCase = (&'static str, &'static str, fn(&mut Script, &str), &'static str);

fn says_400(error: &str) -> Answer {
    let body = json!({"error": error, "error_description": "<b>call 555-0100</b>"}).to_string();
    Answer::Says(400, "application/json", body)
}
