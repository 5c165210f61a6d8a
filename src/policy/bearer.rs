//! Reads `[bearer]`: which access tokens API clients may bring in place of a session.
//!
//! May touch: nothing. Trust boundary: the file is an administrator's; a token that is good for nothing in particular would be good
//! everywhere, so an audience must be named. Specifications: RFC 9068 (JWT access tokens), RFC 7662 (introspection).

use std::sync::Arc;
use std::time::Duration;

use super::app::{self, Login};
use super::compile::ProviderFacts;
use super::login;
use super::reader::{Reading, Section, Text, unknown_name};
use crate::crypto::SignatureAlgorithm;

/// How long the provider's word on an opaque token is good, unless the policy says otherwise.
const CACHE: Duration = Duration::from_secs(30);
/// And at most.
const LONGEST_CACHE: Duration = Duration::from_secs(600);

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenForm {
    /// A JWT that is verified with the provider's keys.
    Jwt,
    /// Anything; the provider is asked about it.
    Opaque,
}

/// Which tokens an application accepts from API clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The provider's name in the configuration.
    pub provider: Arc<str>,
    /// What the tokens are.
    pub form: TokenForm,
    /// Any one of these must stand in `aud`; at least one.
    pub audience: Vec<String>,
    /// A token must have all of these.
    pub scopes: Vec<String>,
    /// The clients whose tokens are accepted; every client's when empty.
    pub clients: Vec<String>,
    /// The algorithms of a JWT; not empty.
    pub algorithms: Vec<SignatureAlgorithm>,
    /// Whether a JWT may say `typ` `JWT` or nothing instead of `at+jwt`.
    pub any_type: bool,
    /// Any one of these must be vouched for; what the login asks for when the policy does not say.
    pub acr: Option<Vec<String>>,
    /// How long the provider's word on an opaque token is good.
    pub cache: Duration,
    /// Whether the application gets the token.
    pub forward: bool,
}

/// Reads `[bearer]`; `login` is what `[login]` says.
pub(super) fn read(
    mut section: Section<'_>,
    login: Option<&Login>,
    providers: &[ProviderFacts<'_>],
    reading: &mut Reading<'_>,
) -> Option<Bearer> {
    let span = section.span();
    let provider = section.text("provider", reading);
    let named = provider.is_some() || !section.lacks("provider");
    let form = section.word("tokens", &[("jwt", TokenForm::Jwt), ("opaque", TokenForm::Opaque)], reading);
    let form = form.unwrap_or(TokenForm::Jwt);
    let audience = section.texts("audience", reading);
    let scopes = section.texts("scopes", reading).unwrap_or_default();
    let clients = section.texts("clients", reading);
    let acr = login::read_acr(&mut section, reading);
    let any_type = section.word("type", &[("at+jwt", false), ("any", true)], reading);
    let algorithms = section.texts("algorithms", reading);
    let cache_at = section.value("cache").map(toml::Spanned::span);
    let cache = section.duration("cache", reading);
    let forward = section.flag("forward", reading).unwrap_or(false);
    check_form(&section, form, reading);
    let lacks_audience = section.lacks("audience");
    section.finish(reading);

    if lacks_audience || audience.as_ref().is_some_and(|all| all.iter().all(|one| one.text.is_empty())) {
        let help = "audience = \"https://app.example/api\", as the provider writes it into `aud`";
        reading.error("`bearer` has no `audience`: it would accept tokens that are for others", span.clone(), help);
    }
    if let Some(at) = cache_at.filter(|_| cache.is_some_and(|cache| cache > LONGEST_CACHE)) {
        let help = "a token that is withdrawn would be good for as long";
        reading.error("`cache` is longer than 10m", at, help);
    }
    for (key, texts) in [("clients", &clients), ("algorithms", &algorithms)] {
        if texts.as_ref().is_some_and(Vec::is_empty) {
            reading.error(format!("`{key}` is empty, so no token could pass"), span.clone(), "name one, or remove it");
        }
    }
    scopes.iter().for_each(|scope| check_scope(scope, reading));
    let algorithms = algorithms.map(|texts| read_algorithms(&texts, reading));
    let provider = match (provider, login) {
        (None, Some(login)) if !named => Some(Arc::clone(&login.provider)),
        (provider, _) => app::read_provider("bearer", provider, named, span, providers, reading),
    };
    Some(Bearer {
        provider: provider?,
        form,
        audience: owned(audience?),
        scopes: owned(scopes),
        clients: clients.map(owned).unwrap_or_default(),
        algorithms: algorithms.unwrap_or_else(|| SignatureAlgorithm::ALL.to_vec()),
        any_type: any_type.unwrap_or(false),
        acr,
        cache: cache.unwrap_or(CACHE),
        forward,
    })
}

fn owned(texts: Vec<Text<'_>>) -> Vec<String> {
    texts.iter().map(|text| text.text.to_owned()).collect()
}

/// Keys that say nothing about the other form of tokens.
fn check_form(section: &Section<'_>, form: TokenForm, reading: &mut Reading<'_>) {
    let (foreign, of): (&[&str], _) = match form {
        TokenForm::Jwt => (&["cache"], "opaque"),
        TokenForm::Opaque => (&["type", "algorithms"], "jwt"),
    };
    for (key, value) in section.in_order() {
        if foreign.contains(&key.text) {
            let help = format!("tokens = \"{of}\", or remove it");
            reading.error(format!("`{}` is for `tokens = \"{of}\"`", key.text), value.span(), help);
        }
    }
}

/// RFC 6749 section 3.3: `%x21 / %x23-5B / %x5D-7E`; it goes into a header field when it is missing.
fn check_scope(scope: &Text<'_>, reading: &mut Reading<'_>) {
    let allowed = |byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    if scope.text.is_empty() || !scope.text.bytes().all(allowed) {
        let help = "one word of visible ASCII each: scopes = [\"royalty.read\", \"royalty.write\"]";
        reading.error(format!("`{}` is no scope", scope.text), scope.span.clone(), help);
    }
}

fn read_algorithms(texts: &[Text<'_>], reading: &mut Reading<'_>) -> Vec<SignatureAlgorithm> {
    let names = SignatureAlgorithm::ALL.map(SignatureAlgorithm::name);
    let read = |text: &Text<'_>| {
        let found = SignatureAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name() == text.text);
        if found.is_none() {
            let message = format!("tokens cannot be signed with `{}`", text.text);
            unknown_name(reading, &message, text.text, text.span.clone(), &names);
        }
        found
    };
    texts.iter().filter_map(read).collect()
}
