//! `lychgate explain`: how a request is decided, and why.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::super::USAGE;
use super::super::arguments::{ExplainOptions, Format};
use super::super::render::explanation;
use super::super::streams;
use super::{plan, refuse};
use crate::app::{Plan, Question};
use crate::certificate::Certificate;
use crate::clock::{Clock, Timestamp};
use crate::http::{HostName, Scheme};
use crate::policy::{Policy, SessionFacts, SessionKind, Subject, TlsFacts, TlsVersion};

/// The largest file of claims, in bytes.
const MAX_CLAIMS: u64 = 1024 * 1024;

pub(super) fn run(options: ExplainOptions) -> ExitCode {
    let Some(plan) = plan(&options.files) else { return ExitCode::from(USAGE) };
    let question = match question(&plan, &options) {
        Ok(question) => question,
        Err(why) => {
            streams::complain(&format!("error: {why}\n"));
            return ExitCode::from(USAGE);
        }
    };
    let file = |name: &str| plan.source(name).map(|source| source.path().display().to_string());
    let files: Vec<_> =
        plan.policies().iter().filter_map(|policy| Some((policy.name().to_string(), file(policy.name())?))).collect();
    let story = match plan.into_snapshot() {
        Ok((_, snapshot)) => question.follow(&snapshot),
        Err(error) => return refuse(&error),
    };
    let text = match options.format {
        Format::Human => explanation::text(&story, &files),
        Format::Json => format!("{}\n", explanation::json(&story)),
    };
    streams::result(&text, ExitCode::SUCCESS)
}

fn question(plan: &Plan, options: &ExplainOptions) -> Result<Question, String> {
    let words: Vec<&str> = options.request.iter().flat_map(|text| text.split_whitespace()).collect();
    let (method, target) = match words.as_slice() {
        [target] => ("GET", *target),
        [method, target] => (*method, *target),
        _ => return Err("a request is written \"GET https://app.example/path\" or \"GET /path\"".to_owned()),
    };
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| format!("`{method}` is no method"))?;
    let (scheme, authority, target) = address(target)?;
    let app = named(plan, options.app.as_deref())?;
    let authority = match (&options.host, app, authority) {
        (Some(host), ..) => host.clone(),
        (None, _, Some(authority)) => authority.to_owned(),
        (None, Some(policy), None) => first_host(policy)?,
        (None, None, None) => only_host(plan)?,
    };
    let scheme = scheme.unwrap_or_else(|| match HostName::parse_authority(&authority) {
        Ok((host, _)) if host.is_loopback() => Scheme::Http,
        _ => Scheme::Https,
    });
    let now = match &options.time {
        Some(text) => moment(text)?,
        None => Clock::system().now(),
    };
    let host = HostName::parse_authority(&authority).ok().map(|(host, _)| host);
    let policy = app.or_else(|| {
        plan.policies().iter().find(|policy| host.as_ref().is_some_and(|host| policy.hosts().contains(host)))
    });
    let client = options.client_certificate.as_deref().map(certificate).transpose()?;
    let client = client.map(std::sync::Arc::new);
    Ok(Question {
        method,
        scheme,
        authority,
        target: target.to_owned(),
        headers: headers(&options.headers)?,
        peer: options.client,
        tls: (scheme == Scheme::Https).then_some(TlsFacts { version: TlsVersion::V1_3, client }),
        now,
        person: options.claims.as_deref().map(|file| person(file, options, policy, now)).transpose()?,
        trusted_proxies: plan.config().trusted_proxies.clone(),
    })
}

type Address<'t> = (Option<Scheme>, Option<&'t str>, &'t str);

/// Scheme and authority, where they are there, and the rest.
fn address(target: &str) -> Result<Address<'_>, String> {
    if target.starts_with('/') {
        return Ok((None, None, target));
    }
    let (scheme, rest) = match (target.strip_prefix("https://"), target.strip_prefix("http://")) {
        (Some(rest), _) => (Scheme::Https, rest),
        (_, Some(rest)) => (Scheme::Http, rest),
        _ => return Err(format!("`{target}` is neither a path nor an address with http:// or https://")),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    Ok((Some(scheme), Some(authority), if target.is_empty() { "/" } else { target }))
}

fn named<'p>(plan: &'p Plan, name: Option<&str>) -> Result<Option<&'p Policy>, String> {
    let Some(name) = name else { return Ok(None) };
    let found = plan.policies().iter().find(|policy| **policy.name() == *name);
    found.map(Some).ok_or_else(|| format!("there is no policy `{name}`"))
}

fn first_host(policy: &Policy) -> Result<String, String> {
    policy.hosts().first().map(ToString::to_string).ok_or_else(|| format!("`{}` has no host", policy.name()))
}

/// The host of the one application, where there is one.
fn only_host(plan: &Plan) -> Result<String, String> {
    match plan.policies() {
        [policy] => first_host(policy),
        _ => Err("there are several applications: name one with --app or --host, or write a whole address".to_owned()),
    }
}

fn headers(texts: &[String]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for text in texts {
        let (name, value) =
            text.split_once(':').ok_or_else(|| format!("`{text}` is no header: write 'Name: value'"))?;
        let name = name.parse::<HeaderName>().map_err(|_| format!("`{name}` is no header name"))?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| format!("the value of `{name}` is none"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// What the first certificate of a PEM file says.
fn certificate(file: &Path) -> Result<Certificate, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let der = CertificateDer::from_pem_slice(&bytes)
        .map_err(|_| format!("{} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)", file.display()))?;
    Certificate::parse(&der).map_err(|error| format!("{}: {error}", file.display()))
}

fn moment(text: &str) -> Result<Timestamp, String> {
    let parsed = text.parse::<jiff::Timestamp>();
    let parsed = parsed.map_err(|_| format!("`{text}` is no moment: write it like 2026-11-23T08:00:00Z"))?;
    Ok(Timestamp::from_millis(parsed.as_millisecond()))
}

/// Reads who is signed in. What neither the file nor a flag says is as a sign-in at the application just now would be.
fn person(file: &Path, options: &ExplainOptions, policy: Option<&Policy>, now: Timestamp) -> Result<Subject, String> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(MAX_CLAIMS).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|opened| opened.take(MAX_CLAIMS).read_to_end(&mut bytes))
    };
    read.map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let login = policy.and_then(Policy::login);
    let usual = SessionFacts {
        kind: SessionKind::Browser,
        provider: login.map(|login| &*login.provider).unwrap_or_default().into(),
        acr: login.and_then(|login| login.acr.first()).map(Into::into),
        amr: Vec::new(),
        authenticated_at: now,
    };
    let mut subject = Subject::from_json(&bytes, usual).map_err(|why| format!("{}: {why}", file.display()))?;
    if let Some(acr) = &options.acr {
        subject.session.acr = Some(acr.into());
    }
    if let Some(age) = options.auth_age {
        subject.session.authenticated_at = now.before(age);
    }
    Ok(subject)
}
