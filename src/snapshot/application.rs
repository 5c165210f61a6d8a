//! One application: its policy, where it runs, who signs people in, its counters, the names of its cookies.
//!
//! Trust boundary: none; made of checked configuration.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use http::HeaderValue;

use crate::diagnostic::Diagnostic;
use crate::forward::HostHeader;
use crate::http::{HostName, Scheme};
use crate::observe::{AppMetrics, Metrics};
use crate::oidc::Provider;
use crate::policy::{HostMode, Policy};
use crate::reference;
use crate::session::{CookieNames, Limits};
use crate::upstream::{Target, TimeLimits, TlsTrust, Upstream};

/// One application, ready to serve.
pub struct Application {
    policy: Policy,
    upstream: Upstream,
    host: HostHeader,
    inner_authority: Option<String>,
    provider: Option<Arc<Provider>>,
    limits: Limits,
    metrics: AppMetrics,
    secure_cookies: CookieNames,
    plain_cookies: CookieNames,
}

impl Application {
    pub(super) fn build(
        policy: Policy,
        folder: &Path,
        providers: &BTreeMap<Arc<str>, Arc<Provider>>,
        metrics: &Metrics,
    ) -> Result<Self, Diagnostic> {
        let provider = match policy.login() {
            None => None,
            Some(login) => Some(Arc::clone(providers.get(&*login.provider).ok_or_else(|| {
                Diagnostic::error(format!(
                    "policy `{}` names the provider `{}`, which is not configured",
                    policy.name(),
                    login.provider
                ))
                .help("add [providers.NAME] to lychgate.toml, or name one that is there")
                .docs(reference::policy::LOGIN.docs)
            })?)),
        };
        let (upstream, first_authority) = upstream(&policy, folder)?;
        let (host, inner_authority) = host_header(&policy, first_authority)?;
        let shared = policy.prefix() != "/";
        let cookie_app = shared.then(|| policy.name().to_string());
        let session = policy.session();
        Ok(Self {
            upstream,
            host,
            inner_authority,
            provider,
            limits: Limits { idle: session.idle, max: session.max },
            metrics: metrics.app(policy.name()),
            secure_cookies: CookieNames::new(true, cookie_app.as_deref()),
            plain_cookies: CookieNames::new(false, cookie_app.as_deref()),
            policy,
        })
    }

    /// The compiled policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
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

    /// How long its sessions last.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Its counters.
    pub fn metrics(&self) -> &AppMetrics {
        &self.metrics
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
        format!("{host}/{}", self.name())
    }
}

fn upstream(policy: &Policy, folder: &Path) -> Result<(Upstream, String), Diagnostic> {
    let spec = policy.upstream();
    let fault = |error: String| {
        Diagnostic::error(format!("the upstream of policy `{}`: {error}", policy.name()))
            .docs(reference::policy::APP.docs)
    };
    let needs_tls = spec.targets.iter().any(|target| target.tls);
    let trust = match (&spec.ca, needs_tls) {
        (_, false) => None,
        (None, true) => Some(TlsTrust::system().map_err(|error| fault(error.to_string()))?),
        (Some(file), true) => {
            let path = folder.join(file);
            let pem = std::fs::read(&path).map_err(|error| {
                fault(format!("cannot read the CA file {}: {error}", path.display()))
                    .help("paths are relative to the folder of the policy file")
            })?;
            Some(TlsTrust::from_pem(&pem).map_err(|error| fault(format!("{}: {error}", path.display())))?)
        }
    };
    let mut targets = Vec::with_capacity(spec.targets.len());
    for target in &spec.targets {
        let tls = if target.tls { trust.clone() } else { None };
        let target = Target::new(target.host.as_str(), target.port, tls).map_err(|error| fault(error.to_string()))?;
        targets.push(Arc::new(target));
    }
    let authority = targets.first().map(|target| target.authority().to_string()).unwrap_or_default();
    let limits = TimeLimits { connect: spec.connect, first_byte: spec.first_byte, stall: spec.stall };
    Ok((Upstream::new(targets, limits), authority))
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
