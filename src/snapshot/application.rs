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
use super::shared::{Manner, Shared};
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
///
/// With a thousand of them each cache line that a request reads is one more wait for memory, and each piece of memory one more for where it
/// lies. So this is, with the two counts before it in an `Arc`, one line; of what it points at a request reads the fronts.
pub struct Application {
    policy: Box<Policy>,
    shadow: Option<Box<Policy>>,
    upstream: Arc<Upstream>,
    /// What counts requests towards limits; none where there is no limit.
    guard: Option<Box<Guard>>,
    metrics: AppMetrics,
    rest: Box<Rest>,
}

const _: () = assert!(size_of::<Application>() + 2 * size_of::<usize>() == 64);

/// What does not fit there.
struct Rest {
    often: Often,
    claims_read: BTreeSet<Box<str>>,
    /// The authorities that the application's certificate is checked with, as its file holds them.
    authorities: Option<Vec<u8>>,
    provider: Option<Arc<Provider>>,
    _in_memory: Arc<InMemory>,
}

/// What of it every request reads: one line.
#[repr(align(64))]
struct Often {
    limits: Limits,
    manner: Arc<Manner>,
    secure_cookies: Arc<CookieNames>,
    plain_cookies: Arc<CookieNames>,
    bearer: Option<Box<BearerAccess>>,
}

const _: () = assert!(size_of::<Often>() == 64);

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
    pub(super) shared: Shared,
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
            |before: &&Self| before.policy.upstream() == policy.upstream() && before.rest.authorities == authorities;
        let upstream = surroundings.shared.upstream(policy.upstream(), || match before.filter(same_way) {
            Some(before) => Ok(Arc::clone(&before.upstream)),
            None => Ok(Arc::new(upstream(&policy, authorities.as_deref(), surroundings)?)),
        })?;
        let (host, inner_authority) = host_header(&policy, upstream.first_host())?;
        let manner = surroundings.shared.manner(&policy, host, inner_authority);
        let [secure_cookies, plain_cookies] = surroundings.shared.cookie_names(&policy);
        let session = policy.session();
        let email = provider.as_ref().is_some_and(|provider| provider.names_people_by_email()).then(|| "email".into());
        let claims_read =
            policy.claims_read().iter().chain(shadow.iter().flat_map(Policy::claims_read)).cloned().chain(email);
        let often = Often {
            limits: Limits { idle: session.idle, max: session.max },
            manner,
            secure_cookies,
            plain_cookies,
            bearer: bearer.map(Box::new),
        };
        let rest = Rest {
            often,
            claims_read: claims_read.collect(),
            authorities,
            provider,
            _in_memory: Arc::clone(&surroundings.in_memory),
        };
        Ok(Self {
            shadow: shadow.map(Box::new),
            upstream,
            guard: Guard::build(policy.limits(), before.and_then(Self::guard)),
            metrics: surroundings.metrics.app(policy.name()),
            rest: Box::new(rest),
            policy: Box::new(policy),
        })
    }

    /// The compiled policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The policy that is decided beside it and never enforced.
    pub fn shadow(&self) -> Option<&Policy> {
        self.shadow.as_deref()
    }

    /// The claims that a session keeps: what the policy and its shadow read, and the e-mail address where events may name people by it.
    pub fn claims_read(&self) -> &BTreeSet<Box<str>> {
        &self.rest.claims_read
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
        &self.rest.often.manner.host
    }

    /// What it sees as `Host`, when that is not what the browser asked for.
    pub fn inner_authority(&self) -> Option<&str> {
        self.rest.often.manner.inner_authority.as_deref()
    }

    /// Who signs people in; none when everything is public.
    pub fn provider(&self) -> Option<&Arc<Provider>> {
        self.rest.provider.as_ref()
    }

    /// What API clients' tokens are checked with; none when it takes none.
    pub fn bearer(&self) -> Option<&BearerAccess> {
        self.rest.often.bearer.as_deref()
    }

    /// How long its sessions last.
    pub fn limits(&self) -> &Limits {
        &self.rest.often.limits
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
        &self.rest.often.manner.cookies_told
    }

    /// How the names of its identity headers are written.
    pub fn spelling(&self) -> &Spelling {
        &self.rest.often.manner.spelling
    }

    /// How the names that its policy puts on answers are written.
    pub fn answer_spelling(&self) -> &Arc<Spelling> {
        &self.rest.often.manner.answer_spelling
    }

    /// The names of its session cookies under this scheme.
    pub fn cookie_names(&self, scheme: Scheme) -> &CookieNames {
        match scheme {
            Scheme::Https => &self.rest.often.secure_cookies,
            Scheme::Http => &self.rest.often.plain_cookies,
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
fn host_header(policy: &Policy, first_host: String) -> Result<(HostHeader, Option<String>), Diagnostic> {
    let text = match &policy.upstream().host {
        HostMode::Keep => return Ok((HostHeader::Keep, None)),
        HostMode::Upstream => first_host,
        HostMode::Fixed(text) => text.to_string(),
    };
    match HeaderValue::try_from(text.as_str()) {
        Ok(value) => Ok((HostHeader::Replace(value), Some(text))),
        Err(_) => Err(Diagnostic::error(format!("policy `{}`: `host` is no host name: {text:?}", policy.name()))),
    }
}
