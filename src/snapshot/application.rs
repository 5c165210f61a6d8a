//! One application: its policy and the one tried beside it, where it runs, who signs people in, its counters, the names of its cookies.
//!
//! Trust boundary: none; made of checked configuration.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use http::HeaderValue;

use super::guard::Guard;
use crate::diagnostic::Diagnostic;
use crate::forward::{HostHeader, Spelling};
use crate::http::{HostName, Scheme, cookie};
use crate::observe::{AppMetrics, InMemory, Metrics, TokenMetrics};
use crate::oidc::Provider;
use crate::policy::{Bearer, HostMode, Policy, TokenForm};
use crate::reference;
use crate::session::{CookieNames, Limits};
use crate::upstream::{Target, TimeLimits, TlsTrust, Upstream};

/// One application, ready to serve.
pub struct Application {
    policy: Policy,
    shadow: Option<Policy>,
    claims_read: BTreeSet<Box<str>>,
    upstream: Arc<Upstream>,
    /// The authorities that the application's certificate is checked with, as its file holds them.
    authorities: Option<Vec<u8>>,
    host: HostHeader,
    inner_authority: Option<String>,
    provider: Option<Arc<Provider>>,
    bearer: Option<BearerAccess>,
    limits: Limits,
    /// What counts requests towards limits; none where there is no limit.
    guard: Option<Box<Guard>>,
    metrics: AppMetrics,
    secure_cookies: CookieNames,
    plain_cookies: CookieNames,
    cookies_told: cookie::IdentityCookies,
    spelling: Spelling,
    answer_spelling: Arc<Spelling>,
    _in_memory: Arc<InMemory>,
}

/// What an application that API clients use checks their tokens with.
pub struct BearerAccess {
    /// Whose tokens they are.
    pub provider: Arc<Provider>,
    /// What became of them.
    pub metrics: TokenMetrics,
}

/// What all applications of a set are built with.
pub(super) struct Surroundings<'a> {
    pub(super) read: &'a dyn Fn(&str, &Path) -> io::Result<Vec<u8>>,
    pub(super) providers: &'a BTreeMap<Arc<str>, Arc<Provider>>,
    pub(super) metrics: &'a Metrics,
    /// What the system trusts, read when the first application needs it.
    pub(super) system_trust: OnceCell<TlsTrust>,
    pub(super) in_memory: Arc<InMemory>,
}

impl Application {
    pub(super) fn build(
        policy: Policy,
        shadow: Option<Policy>,
        before: Option<&Self>,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, Diagnostic> {
        let provider = policy.login().map(|login| provider(&policy, &login.provider, surroundings)).transpose()?;
        let bearer = policy.bearer().map(|terms| bearer(&policy, terms, surroundings)).transpose()?;
        let authorities = authorities(&policy, surroundings)?;
        let same_way =
            |before: &&Self| before.policy.upstream() == policy.upstream() && before.authorities == authorities;
        let upstream = match before.filter(same_way) {
            Some(before) => Arc::clone(&before.upstream),
            None => Arc::new(upstream(&policy, authorities.as_deref(), surroundings)?),
        };
        let (host, inner_authority) = host_header(&policy, upstream.first_authority())?;
        let shared = policy.prefix() != "/";
        let cookie_app = shared.then(|| policy.name().to_string());
        let session = policy.session();
        let email = provider.as_ref().is_some_and(|provider| provider.names_people_by_email()).then(|| "email".into());
        let claims_read =
            policy.claims_read().iter().chain(shadow.iter().flat_map(Policy::claims_read)).cloned().chain(email);
        Ok(Self {
            claims_read: claims_read.collect(),
            shadow,
            upstream,
            authorities,
            host,
            inner_authority,
            provider,
            bearer,
            limits: Limits { idle: session.idle, max: session.max },
            guard: Guard::build(policy.limits(), before.and_then(Self::guard)),
            metrics: surroundings.metrics.app(policy.name()),
            secure_cookies: CookieNames::new(true, cookie_app.as_deref()),
            plain_cookies: CookieNames::new(false, cookie_app.as_deref()),
            cookies_told: cookie::IdentityCookies::new(policy.emitted_cookies()),
            spelling: Spelling::of(policy.spelled_headers()),
            answer_spelling: Arc::new(Spelling::of(policy.response().spelled())),
            _in_memory: Arc::clone(&surroundings.in_memory),
            policy,
        })
    }

    /// The compiled policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The policy that is decided beside it and never enforced.
    pub fn shadow(&self) -> Option<&Policy> {
        self.shadow.as_ref()
    }

    /// The claims that a session keeps: what the policy and its shadow read, and the e-mail address where events may name people by it.
    pub fn claims_read(&self) -> &BTreeSet<Box<str>> {
        &self.claims_read
    }

    /// The application's name.
    pub fn name(&self) -> &str {
        self.policy.name()
    }

    /// Where it runs.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// What it sees as `Host`.
    pub fn host(&self) -> &HostHeader {
        &self.host
    }

    /// What it sees as `Host`, when that is not what the browser asked for.
    pub fn inner_authority(&self) -> Option<&str> {
        self.inner_authority.as_deref()
    }

    /// Who signs people in; none when everything is public.
    pub fn provider(&self) -> Option<&Arc<Provider>> {
        self.provider.as_ref()
    }

    /// What API clients' tokens are checked with; none when it takes none.
    pub fn bearer(&self) -> Option<&BearerAccess> {
        self.bearer.as_ref()
    }

    /// How long its sessions last.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What counts its requests towards limits; none where there is no limit.
    pub fn guard(&self) -> Option<&Guard> {
        self.guard.as_deref()
    }

    /// Whether a client at `address` may come to it.
    pub fn admits(&self, address: IpAddr) -> bool {
        self.policy.networks().is_none_or(|networks| networks.admit(address))
    }

    /// Its counters.
    pub fn metrics(&self) -> &AppMetrics {
        &self.metrics
    }

    /// The cookies that tell it who asks.
    pub fn cookies_told(&self) -> &cookie::IdentityCookies {
        &self.cookies_told
    }

    /// How the names of its identity headers are written.
    pub fn spelling(&self) -> &Spelling {
        &self.spelling
    }

    /// How the names that its policy puts on answers are written.
    pub fn answer_spelling(&self) -> &Arc<Spelling> {
        &self.answer_spelling
    }

    /// The names of its session cookies under this scheme.
    pub fn cookie_names(&self, scheme: Scheme) -> &CookieNames {
        match scheme {
            Scheme::Https => &self.secure_cookies,
            Scheme::Http => &self.plain_cookies,
        }
    }

    /// What its sessions on `host` are sealed for.
    pub fn session_scope(&self, host: &HostName) -> String {
        let (host, name) = (host.as_str(), self.name());
        let mut scope = String::with_capacity(host.len() + 1 + name.len());
        scope.push_str(host);
        scope.push('/');
        scope.push_str(name);
        scope
    }
}

fn provider(policy: &Policy, name: &str, surroundings: &Surroundings<'_>) -> Result<Arc<Provider>, Diagnostic> {
    let found = surroundings.providers.get(name).map(Arc::clone);
    found.ok_or_else(|| {
        Diagnostic::error(format!("policy `{}` names the provider `{name}`, which is not configured", policy.name()))
            .help("add [providers.NAME] to lychgate.toml, or name one that is there")
            .docs(reference::policy::LOGIN.docs)
    })
}

/// An ID token is a JWT for this gateway's client: without `at+jwt`, nothing but the audience tells an access token from it.
fn bearer(policy: &Policy, terms: &Bearer, surroundings: &Surroundings<'_>) -> Result<BearerAccess, Diagnostic> {
    let provider = provider(policy, &terms.provider, surroundings)?;
    let untyped = terms.form == TokenForm::Jwt && terms.any_type;
    if untyped && terms.audience.iter().any(|audience| audience == provider.client_id()) {
        let message = format!(
            "policy `{}` takes tokens of any type for `{}`, which is the audience of ID tokens, too",
            policy.name(),
            provider.client_id()
        );
        return Err(Diagnostic::error(message)
            .help("register the API with the provider under an audience of its own, or set type = \"at+jwt\"")
            .docs(reference::policy::BEARER.docs));
    }
    Ok(BearerAccess { provider, metrics: surroundings.metrics.tokens(policy.name()) })
}

/// The text of the policy's own authorities; none where the system's are trusted or nothing speaks TLS.
fn authorities(policy: &Policy, surroundings: &Surroundings<'_>) -> Result<Option<Vec<u8>>, Diagnostic> {
    let spec = policy.upstream();
    let Some(file) = spec.ca.as_deref().filter(|_| spec.targets.iter().any(|target| target.tls)) else {
        return Ok(None);
    };
    (surroundings.read)(policy.name(), file).map(Some).map_err(|error| {
        fault(policy, &format!("cannot read the CA file {}: {error}", file.display()))
            .help("paths are relative to the folder of the policy file")
    })
}

fn upstream(
    policy: &Policy,
    authorities: Option<&[u8]>,
    surroundings: &Surroundings<'_>,
) -> Result<Upstream, Diagnostic> {
    let spec = policy.upstream();
    let trust = match (authorities, spec.targets.iter().any(|target| target.tls)) {
        (_, false) => None,
        (None, true) => Some(system_trust(surroundings).map_err(|error| fault(policy, &error))?),
        (Some(pem), true) => {
            let file = spec.ca.as_deref().unwrap_or(Path::new("")).display();
            Some(TlsTrust::from_pem(pem).map_err(|error| fault(policy, &format!("{file}: {error}")))?)
        }
    };
    let mut targets = Vec::with_capacity(spec.targets.len());
    for target in &spec.targets {
        let tls = if target.tls { trust.clone() } else { None };
        let target =
            Target::new(target.host.as_str(), target.port, tls).map_err(|error| fault(policy, &error.to_string()))?;
        targets.push(Arc::new(target));
    }
    let limits = TimeLimits { connect: spec.connect, first_byte: spec.first_byte, stall: spec.stall };
    Ok(Upstream::new(targets, limits))
}

fn fault(policy: &Policy, error: &str) -> Diagnostic {
    Diagnostic::error(format!("the upstream of policy `{}`: {error}", policy.name())).docs(reference::policy::APP.docs)
}

/// One store of the system's authorities for all applications: reading it takes longer than compiling a policy.
fn system_trust(surroundings: &Surroundings<'_>) -> Result<TlsTrust, String> {
    if let Some(trust) = surroundings.system_trust.get() {
        return Ok(trust.clone());
    }
    let trust = TlsTrust::system().map_err(|error| error.to_string())?;
    Ok(surroundings.system_trust.get_or_init(|| trust).clone())
}

/// What the application sees as `Host`; with several servers and `host = "upstream"` all see the first one's name.
fn host_header(policy: &Policy, first_authority: String) -> Result<(HostHeader, Option<String>), Diagnostic> {
    let text = match &policy.upstream().host {
        HostMode::Keep => return Ok((HostHeader::Keep, None)),
        HostMode::Upstream => first_authority,
        HostMode::Fixed(text) => text.to_string(),
    };
    match HeaderValue::try_from(text.as_str()) {
        Ok(value) => Ok((HostHeader::Replace(value), Some(text))),
        Err(_) => Err(Diagnostic::error(format!("policy `{}`: `host` is no host name: {text:?}", policy.name()))),
    }
}
