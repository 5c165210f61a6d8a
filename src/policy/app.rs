//! Reads `[app]` and `[login]`: where an application is found, where it runs, and how people sign in.
//!
//! May touch: nothing; a CA file is only named here, the caller reads it. Trust boundary: the file is an administrator's.
//! Specification: RFC 9110 section 7.2 (Host), RFC 3986 section 3.2.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::case::Case;
use super::compile::ProviderFacts;
use super::login;
use super::reader::{Reading, Section, Text, unknown_name};
use crate::http::{CanonicalPath, HostName, PathSwitches};

/// Where the application runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its addresses, at least one; any of them answers alike.
    pub targets: Vec<UpstreamTarget>,
    /// What it is told as `Host`.
    pub host: HostMode,
    /// The certificates to trust for `https` instead of the system's, as written; relative to the policy file.
    pub ca: Option<PathBuf>,
    /// How long connecting may take, TLS included.
    pub connect: Duration,
    /// How long the head of an answer may take.
    pub first_byte: Duration,
    /// How long an answer may be silent before it ends.
    pub stall: Duration,
}

/// One address of an application.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamTarget {
    /// Whether it is spoken to over TLS.
    pub tls: bool,
    /// Its host name or address.
    pub host: HostName,
    /// Its port.
    pub port: u16,
}

/// What the application is told as `Host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostMode {
    /// What the browser asked for.
    Keep,
    /// The upstream's own host and port.
    Upstream,
    /// This text, a valid authority.
    Fixed(Arc<str>),
}

/// What becomes of a request with a field that only the gateway may send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForgedHeaders {
    /// The field is taken out.
    #[default]
    Strip,
    /// The request is refused.
    Reject,
}

/// Which requests leave their connection to the application for others (decision 78).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeepAlive {
    /// All but those with a body that their method has no use for.
    #[default]
    Always,
    /// Those without a body.
    WithoutBody,
    /// None.
    Never,
}

/// How people sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The provider's name in the configuration.
    pub provider: Arc<str>,
    /// Any one of these is required of every signed-in request; nothing is when empty.
    pub acr: Vec<String>,
    /// Claims that the provider sends without being asked by scope.
    pub claims: Vec<String>,
    /// How old the sign-in at the provider may be when a login begins.
    pub max_age: Option<Duration>,
    /// What the provider shows in any case.
    pub prompt: Option<String>,
    /// Further parameters of authorization requests; never one that the gateway sets itself.
    pub parameters: Vec<(String, String)>,
}

/// What people are told on pages, in the administrator's words.
#[derive(Default)]
pub(super) struct Words {
    pub(super) title: Option<Box<str>>,
    pub(super) contact: Option<Box<str>>,
}

/// The longest title, and the longest contact, in characters: what a page can show without growing out of shape.
const LONGEST: [(&str, usize); 2] = [("title", 80), ("contact", 200)];

/// `[app]` as read.
pub(super) struct App {
    /// In a place of their own: no request reads them that is answered by the application.
    pub(super) words: Box<Words>,
    pub(super) hosts: Vec<HostName>,
    pub(super) hosts_at: Range<usize>,
    pub(super) prefix: Box<str>,
    pub(super) case: Case,
    pub(super) path_switches: PathSwitches,
    pub(super) forged_headers: ForgedHeaders,
    pub(super) keep_alive: KeepAlive,
    pub(super) upstream: Upstream,
}

/// Reads `[app]`. The prefix comes back on its own too, because rules are checked against it even when the rest is wrong.
pub(super) fn read(mut section: Section<'_>, reading: &mut Reading<'_>) -> (Option<App>, Box<str>) {
    let span = section.span();
    let mut hosts_at = span.clone();
    let hosts = match section.value("hosts") {
        Some(value) => {
            hosts_at = value.span();
            reading.texts(value, "hosts")
        }
        None => None,
    };
    let prefix = section.text("path", reading);
    let targets = section.texts("upstream", reading);
    for (key, found) in [("hosts", &hosts), ("upstream", &targets)] {
        if found.as_ref().is_some_and(Vec::is_empty) || section.lacks(key) {
            reading.error(format!("`app` has no `{key}`"), span.clone(), example(key));
        }
    }
    let [title, contact] = LONGEST.map(|(key, longest)| read_words(&mut section, key, longest, reading));
    let case = match section.flag("ignore_case", reading) {
        Some(true) => Case::Ignored,
        Some(false) | None => Case::Matters,
    };
    let path_switches = read_path_switches(&mut section, reading);
    let words = [("strip", ForgedHeaders::Strip), ("reject", ForgedHeaders::Reject)];
    let forged_headers = section.word("forged_headers", &words, reading).unwrap_or_default();
    let words = [("always", KeepAlive::Always), ("without_body", KeepAlive::WithoutBody), ("never", KeepAlive::Never)];
    let keep_alive = section.word("keep_alive", &words, reading).unwrap_or_default();
    let host = section.text("host", reading).and_then(|text| read_host_mode(&text, reading));
    let ca = section.text("ca", reading).map(|text| PathBuf::from(text.text));
    let timeouts = section.section("timeouts", reading);
    section.finish(reading);
    let prefix = prefix.and_then(|text| read_prefix(&text, reading)).unwrap_or_else(|| "/".into());
    let (connect, first_byte, stall) = read_timeouts(timeouts, reading);
    let hosts = read_hosts(hosts.unwrap_or_default(), reading);
    let targets: Vec<_> = targets.unwrap_or_default().iter().filter_map(|text| read_target(text, reading)).collect();
    let host = host.unwrap_or(HostMode::Keep);
    let upstream = Upstream { targets, host, ca, connect, first_byte, stall };
    let words = Box::new(Words { title, contact });
    let app = App {
        words,
        hosts,
        hosts_at,
        prefix: prefix.clone(),
        case,
        path_switches,
        forged_headers,
        keep_alive,
        upstream,
    };
    (Some(app), prefix)
}

fn read_path_switches(section: &mut Section<'_>, reading: &mut Reading<'_>) -> PathSwitches {
    let words = [("refuse", false), ("keep", true)];
    PathSwitches {
        encoded_slash: section.word("encoded_slash", &words, reading).unwrap_or_default(),
        parameters: section.word("path_parameters", &words, reading).unwrap_or_default(),
    }
}

/// A line of text for people.
fn read_words(
    section: &mut Section<'_>,
    key: &'static str,
    longest: usize,
    reading: &mut Reading<'_>,
) -> Option<Box<str>> {
    let text = section.text(key, reading)?;
    let line = text.text.trim();
    if line.is_empty() || line.chars().count() > longest || line.chars().any(char::is_control) {
        let help = format!("write one line of at most {longest} characters");
        reading.error(format!("`{key}` cannot be shown to people"), text.span, help);
        return None;
    }
    Some(line.into())
}

fn example(key: &str) -> &'static str {
    if key == "hosts" { "hosts = [\"app.example\"]" } else { "upstream = [\"http://10.0.0.1:8080\"]" }
}

fn read_hosts(texts: Vec<Text<'_>>, reading: &mut Reading<'_>) -> Vec<HostName> {
    let mut hosts = Vec::new();
    for text in texts {
        match HostName::parse(text.text) {
            Ok(host) if hosts.contains(&host) => {
                reading.error(format!("host `{host}` stands here twice"), text.span, "remove one");
            }
            Ok(host) => hosts.push(host),
            Err(why) => {
                let help = match text.text.contains('*') {
                    true => "name each host by itself: hosts = [\"a.example\", \"b.example\"]",
                    false => "write the exact name without scheme and port, for example \"app.example\"",
                };
                reading.error(format!("`{}` is no host name: {why}", text.text), text.span, help);
            }
        }
    }
    hosts
}

fn read_prefix(text: &Text<'_>, reading: &mut Reading<'_>) -> Option<Box<str>> {
    let trimmed = if text.text.len() > 1 { text.text.strip_suffix('/').unwrap_or(text.text) } else { text.text };
    let problem = match CanonicalPath::parse(trimmed) {
        Err(why) => format!("`path` could never match: {why}"),
        Ok(path) if path.as_str() != trimmed => {
            format!("`path` is not in canonical form, which is \"{}\"", path.as_str())
        }
        Ok(path) if path.is_below("/.lychgate") => "`path` is reserved for the gateway".to_owned(),
        Ok(_) if trimmed.contains('*') => "`path` is a plain prefix and has no `*`".to_owned(),
        Ok(_) => return Some(trimmed.into()),
    };
    reading.error(problem, text.span.clone(), "for example path = \"/statements\"");
    None
}

fn read_target(text: &Text<'_>, reading: &mut Reading<'_>) -> Option<UpstreamTarget> {
    let help = "write http://host:port or https://host:port, without a path";
    if text.text.contains('@') {
        // What stands before it may be a password.
        reading.hide(text.span.clone());
        reading.error("an upstream address has no user name and no password", text.span.clone(), help);
        return None;
    }
    let split = text.text.split_once("://");
    let Some((tls, rest)) = split.and_then(|(scheme, rest)| match scheme {
        "http" => Some((false, rest)),
        "https" => Some((true, rest)),
        _ => None,
    }) else {
        reading.error(format!("`{}` is no upstream address", text.text), text.span.clone(), help);
        return None;
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        let help = "paths reach the application as they are asked for; an upstream has none of its own";
        reading.error(format!("upstream `{}` has a path", text.text), text.span.clone(), help);
        return None;
    }
    match HostName::parse_authority(authority) {
        Ok((host, port)) => Some(UpstreamTarget { tls, host, port: port.unwrap_or(if tls { 443 } else { 80 }) }),
        Err(why) => {
            reading.error(format!("`{}` is no upstream address: {why}", text.text), text.span.clone(), help);
            None
        }
    }
}

fn read_host_mode(text: &Text<'_>, reading: &mut Reading<'_>) -> Option<HostMode> {
    match text.text {
        "keep" => return Some(HostMode::Keep),
        "upstream" => return Some(HostMode::Upstream),
        _ => {}
    }
    match HostName::parse_authority(text.text) {
        Ok(_) => Some(HostMode::Fixed(text.text.into())),
        Err(why) => {
            let help = "write \"keep\", \"upstream\" or a host name";
            reading.error(format!("`{}` cannot be sent as Host: {why}", text.text), text.span.clone(), help);
            None
        }
    }
}

fn read_timeouts(section: Option<Section<'_>>, reading: &mut Reading<'_>) -> (Duration, Duration, Duration) {
    let (mut connect, mut first_byte, mut stall) = (None, None, None);
    if let Some(mut section) = section {
        connect = section.duration("connect", reading);
        first_byte = section.duration("first_byte", reading);
        stall = section.duration("stall", reading);
        section.finish(reading);
    }
    (
        connect.unwrap_or(Duration::from_secs(5)),
        first_byte.unwrap_or(Duration::from_secs(60)),
        stall.unwrap_or(Duration::from_secs(300)),
    )
}

/// Reads `[login]`; `providers` are the names in the configuration.
pub(super) fn read_login(
    mut section: Section<'_>,
    providers: &[ProviderFacts<'_>],
    reading: &mut Reading<'_>,
) -> Option<Login> {
    let span = section.span();
    let provider = section.text("provider", reading);
    let named = provider.is_some() || !section.lacks("provider");
    let acr = login::read_acr(&mut section, reading).unwrap_or_default();
    let claims = section.texts("claims", reading);
    let asking = login::read(&mut section, reading);
    section.finish(reading);
    let provider = read_provider("login", provider, named, span, providers, reading);
    let owned =
        |texts: Option<Vec<Text<'_>>>| texts.unwrap_or_default().iter().map(|text| text.text.to_owned()).collect();
    let login::Asking { max_age, prompt, parameters } = asking;
    let claims = owned(claims);
    Some(Login { provider: provider?, acr, claims, max_age, prompt, parameters })
}

/// The provider that the section `of` names, or the only one. `named`: the key is there, whatever stands under it.
pub(super) fn read_provider(
    of: &str,
    provider: Option<Text<'_>>,
    named: bool,
    span: Range<usize>,
    providers: &[ProviderFacts<'_>],
    reading: &mut Reading<'_>,
) -> Option<Arc<str>> {
    let providers: Vec<&str> = providers.iter().map(|provider| provider.name).collect();
    match (provider, providers.as_slice()) {
        (Some(text), _) if providers.contains(&text.text) => Some(text.text.into()),
        (Some(text), _) => {
            unknown_name(reading, &format!("unknown provider `{}`", text.text), text.text, text.span, &providers);
            None
        }
        (None, _) if named => None,
        (None, [only]) => Some((*only).into()),
        (None, []) => {
            reading.error("no provider is configured", span, "add [providers.NAME] to the gateway's configuration");
            None
        }
        (None, several) => {
            let help = format!("provider = \"…\", one of {}", several.join(", "));
            reading.error(format!("`{of}` must name its provider: there are several"), span, help);
            None
        }
    }
}
