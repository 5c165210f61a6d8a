//! The way of one request through the gateway, told without sending it: `lychgate explain`.
//!
//! Every step is taken by the function that takes it when a request comes: the head is parsed, the route is found, the
//! fields are scrubbed, the policy explains its own decision, and the request for the application is built.
//!
//! May touch: nothing; what it is told is in memory. It shows claims and values, which are for whoever asked; secrets are
//! masked. Trust boundary: the request is whatever was typed, and is checked as a stranger's.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::{HOST, HeaderMap};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::claims::{AsJson, Claims};
use crate::clock::Timestamp;
use crate::forward::{BodyLength, ScrubSet, Telling, UpstreamRequest, scrub};
use crate::gateway::{admits, decided, forged_header, is_reserved, refused_path};
use crate::http::fold::FoldedNames;
use crate::http::forwarded::Origin;
use crate::http::{RequestHead, Scheme, Seen};
use crate::policy::{
    Decision, Explained, ExplainedHeader, ExplainedLimit, ExplainedRule, Policy, Prepared, RequestFacts, Subject,
    TlsFacts, printed,
};
use crate::snapshot::{Application, Route, Snapshot};

/// What is asked.
pub struct Question {
    /// The method.
    pub method: Method,
    /// How the browser reaches the gateway.
    pub scheme: Scheme,
    /// What stands in `Host`.
    pub authority: String,
    /// Path and query as sent.
    pub target: String,
    /// The other header fields.
    pub headers: HeaderMap,
    /// The address at the other end of the connection.
    pub peer: IpAddr,
    /// The client's TLS connection, where it ends at the gateway.
    pub tls: Option<TlsFacts>,
    /// When.
    pub now: Timestamp,
    /// Who is signed in; nobody when none.
    pub person: Option<Subject>,
    /// Peers whose forwarding headers are believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
}

/// What happens.
#[derive(Debug, Default, Serialize)]
pub struct Story {
    /// The method.
    pub method: String,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The host asked for.
    pub host: String,
    /// The canonical path as it is forwarded; as sent where it is refused.
    pub path: String,
    /// The path as rules see it, where that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched_path: Option<String>,
    /// The path as an application reads it that takes an encoded slash for one, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_reading: Option<String>,
    /// The query.
    pub query: Option<String>,
    /// The client's address, behind trusted proxies.
    pub client: Option<IpAddr>,
    /// Whom the certificate is for that the client shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
    /// When.
    pub time: String,
    /// Where the request goes.
    pub route: Option<Place>,
    /// Who is signed in, for logs; none for nobody.
    pub who: Option<String>,
    /// The provider, acr, amr and moment of the sign-in.
    pub session: Option<SignIn>,
    /// The claims that the session keeps.
    pub claims: Option<Box<RawValue>>,
    /// Claims that the policy reads and that the person has not.
    pub absent_claims: Vec<String>,
    /// Why the person counts as nobody here.
    pub not_signed_in: Option<&'static str>,
    /// What was taken out of the fields that were sent.
    pub scrubbed: Vec<Taken>,
    /// What is decided.
    pub decision: Decided,
    /// The query parameter that is in doubt.
    pub doubtful: Option<String>,
    /// Every rule.
    pub rules: Vec<ExplainedRule>,
    /// The limits that the request counts towards.
    pub limits: Vec<ExplainedLimit>,
    /// The identity headers.
    pub headers: Vec<ExplainedHeader>,
    /// What the rules that observe would have decided.
    pub observed: Option<Decided>,
    /// What the policy that only observes would have decided, and its rules.
    pub shadow: Option<Shadow>,
    /// What the application would receive.
    pub receives: Option<Receives>,
}

/// Where a request goes.
#[derive(Clone, Debug, Serialize)]
pub struct Place {
    /// The application.
    pub app: String,
    /// The path below which it lies.
    pub prefix: String,
    /// The paths of the other applications on the host.
    pub others: Vec<String>,
}

/// How somebody signed in.
#[derive(Clone, Debug, Serialize)]
pub struct SignIn {
    /// The provider's name.
    pub provider: String,
    /// The authentication context class.
    pub acr: Option<String>,
    /// The authentication methods.
    pub amr: Vec<String>,
    /// When, RFC 3339.
    pub authenticated_at: String,
    /// The seconds since then.
    pub age: u64,
}

/// A field that was taken out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// Its name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// A decision in words.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Decided {
    /// The word of the access log.
    pub decision: &'static str,
    /// The rule that decided.
    pub rule: Option<String>,
    /// The reason code of the access log.
    pub reason: Option<String>,
    /// The same in a sentence.
    pub why: Option<String>,
}

/// A policy that only observes.
#[derive(Debug, Serialize)]
pub struct Shadow {
    /// Its name.
    pub policy: String,
    /// What it would have decided.
    #[serde(flatten)]
    pub decided: Decided,
    /// Its rules.
    pub rules: Vec<ExplainedRule>,
}

/// A request as the application would receive it.
#[derive(Clone, Debug, Serialize)]
pub struct Receives {
    /// Method, path and query.
    pub line: String,
    /// The fields in order: name, and the value's bytes with everything but printable ASCII escaped.
    pub fields: Vec<(String, String)>,
}

impl Question {
    /// Follows the request.
    pub fn follow(self, snapshot: &Snapshot) -> Story {
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
            None => (self.target.clone(), None),
        };
        let mut story = Story {
            method: self.method.to_string(),
            scheme: self.scheme.as_str(),
            host: self.authority.clone(),
            path,
            query,
            time: self.now.to_string(),
            client_certificate: self.tls.as_ref().and_then(|tls| tls.client.as_deref()).map(|one| one.subject.clone()),
            ..Story::default()
        };
        if let Err((reason, why)) = self.tell(snapshot, &mut story) {
            story.decision =
                Decided { decision: "refused", reason: Some(reason.to_owned()), why: Some(why), rule: None };
        }
        story
    }

    /// Tells as far as the request comes; the reason code and the words for where it is refused.
    fn tell(self, snapshot: &Snapshot, story: &mut Story) -> Result<(), (&'static str, String)> {
        let unreadable = |why: &dyn ToString| ("head_unreadable", why.to_string());
        let uri: Uri = self.target.parse().map_err(|why: http::uri::InvalidUri| unreadable(&why))?;
        let mut headers = self.headers.clone();
        headers.insert(HOST, HeaderValue::try_from(&self.authority).map_err(|why| unreadable(&why))?);
        let mut request = Request::new(());
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (self.method.clone(), uri, headers);
        let (parts, ()) = request.into_parts();
        let head = RequestHead::parse_keeping(&parts, &|host| snapshot.path_switches(host))
            .map_err(|why| (why.code(), why.to_string()))?;
        story.path = head.path.to_string();
        story.matched_path = (head.path.as_str() != story.path).then(|| head.path.as_str().to_owned());
        story.other_reading = head.path.other_reading().map(|other| other.to_string());
        let origin = Origin::find(SocketAddr::new(self.peer, 0), &parts.headers, &self.trusted_proxies)
            .map_err(|why| (why.code(), why.to_string()))?;
        story.client = Some(origin.client);
        let nowhere = || ("host_unknown", format!("no application has the host {}", head.host));
        let route = snapshot.route(&head).ok_or_else(nowhere)?;
        // In the order of `Gateway::respond`: whoever may not come at all is told of nothing else.
        let reserved = is_reserved(&head.path);
        if admits(&route, &head.path, origin.client) {
            self.find_refusal(snapshot, &route, &head, &parts.headers)?;
        } else if reserved {
            let why = "no application on this host can be reached from the client's network".to_owned();
            return Err(("network_denied", why));
        }
        if reserved {
            let why = Some("paths below /.lychgate are the gateway's own, on every host".to_owned());
            story.decision = Decided { decision: "reserved", why, ..Decided::default() };
            return Ok(());
        }
        let nowhere = || ("path_unknown", format!("no application on {} has this path", head.host));
        let application = route.application.ok_or_else(nowhere)?;
        story.route = Some(place(application, route.neighbours));
        let has_content = RequestFacts::announces_content(&parts.headers);
        let sent: Vec<HeaderName> = parts.headers.keys().cloned().collect();
        let scrubbed = scrub(parts.headers, snapshot.scrub_set());
        if has_content && scrubbed.upgrade().is_some() {
            return Err(("upgrade_with_body", "a request for another protocol must not have a body".to_owned()));
        }
        let seen = scrubbed.headers().clone();
        let facts = RequestFacts {
            method: &head.method,
            host: route.host,
            path: &head.path,
            query: head.query.as_deref(),
            client: origin.client,
            scheme: self.scheme,
            tls: self.tls.as_ref(),
            headers: &seen,
            has_content,
        };
        let gone = sent.into_iter().filter(|name| !scrubbed.headers().contains_key(name));
        story.scrubbed = gone.map(|name| taken(&name, snapshot)).collect();
        let subject = self.person.clone().and_then(|person| recognise(person, application, self.now, story));
        let prepare = |policy: &Policy| subject.as_ref().map(|subject| policy.prepare(Arc::clone(subject)));
        let who = prepare(application.policy());
        let explained = application.policy().explain(&facts, who.as_ref(), self.now);
        story.shadow = application.shadow().map(|shadow| self.shadow(shadow, &facts, prepare(shadow).as_ref()));
        if let Decision::Allow(permit) = &explained.decision {
            let telling = Telling {
                origin: &origin,
                seen: &Seen::default(),
                scheme: self.scheme,
                host: application.host(),
                request_id: b"(the request's id)",
                cookies: application.cookies_told(),
                spelling: application.spelling(),
                authorization: None,
                keep_alive: application.policy().keep_alive(),
            };
            let request = UpstreamRequest::new(scrubbed, permit, &head, telling, (), BodyLength::Nothing);
            story.receives = request.map(|request| receives(&request));
        }
        let Explained { decision, observed, doubtful, rules, limits, headers } = explained;
        (story.decision, story.observed) = (words(&decision), observed.as_ref().map(words));
        (story.doubtful, story.rules, story.headers) = (doubtful, rules, headers);
        story.limits = limits;
        Ok(())
    }

    /// What refuses a request of a client that may come, before any rule is asked.
    fn find_refusal(
        &self,
        snapshot: &Snapshot,
        route: &Route<'_>,
        head: &RequestHead,
        headers: &HeaderMap,
    ) -> Result<(), (&'static str, String)> {
        if let Some(name) = forged_header(route, is_reserved(&head.path), headers, snapshot.scrub_set()) {
            let why = format!(
                "`{name}` poses as a header that only the gateway may send, and `forged_headers` is \"reject\""
            );
            return Err(("header_forged", why));
        }
        if let Some(why) = refused_path(route, &head.path) {
            return Err((why.code(), why.to_string()));
        }
        if self.scheme == Scheme::Http && !route.host.is_loopback() && route.signs_in() {
            let why = "people sign in on this host: whoever comes in clear text is sent to https".to_owned();
            return Err(("clear_text", why));
        }
        Ok(())
    }

    fn shadow(&self, shadow: &Policy, facts: &RequestFacts<'_>, who: Option<&Prepared>) -> Shadow {
        let explained = shadow.explain(facts, who, self.now);
        let decided = words(&explained.decision);
        Shadow { policy: shadow.name().to_string(), decided, rules: explained.rules }
    }
}

fn place(application: &Application, neighbours: &[Arc<Application>]) -> Place {
    let others = neighbours.iter().filter(|other| other.name() != application.name());
    Place {
        app: application.name().to_owned(),
        prefix: application.policy().prefix().to_owned(),
        others: others.map(|other| format!("{} at {}", other.name(), other.policy().prefix())).collect(),
    }
}

/// The person as a session of the application would know them.
fn recognise(
    mut person: Subject,
    application: &Application,
    now: Timestamp,
    story: &mut Story,
) -> Option<Arc<Subject>> {
    let session = &person.session;
    let label = person.claims.text("preferred_username").or_else(|| person.claims.text("sub"));
    story.who = Some(label.unwrap_or("somebody without a name").to_owned());
    story.session = Some(SignIn {
        provider: session.provider.to_string(),
        acr: session.acr.as_deref().map(str::to_owned),
        amr: session.amr.iter().map(ToString::to_string).collect(),
        authenticated_at: session.authenticated_at.to_string(),
        age: now.since(session.authenticated_at).as_secs(),
    });
    let wanted = application.claims_read();
    person.claims.retain(|name| wanted.contains(name));
    let absent = wanted.iter().filter(|name| person.claims.value(name).is_none());
    story.absent_claims = absent.map(|name| name.to_string()).collect();
    story.claims = to_raw_value(&AsJson::<Claims>(&person.claims)).ok();
    let provider = application.policy().login().map(|login| &*login.provider);
    if provider != Some(&*person.session.provider) {
        story.not_signed_in = Some("session_other_provider");
        return None;
    }
    Some(Arc::new(person))
}

/// Why a field was taken out.
fn taken(name: &HeaderName, snapshot: &Snapshot) -> Taken {
    let set: &ScrubSet = snapshot.scrub_set();
    let sets_it = |policy: &&Arc<Application>| {
        let emitted = policy.policy().emitted_headers().map(HeaderName::as_str);
        FoldedNames::new(emitted, []).covers(name.as_str())
    };
    let by: Vec<&str> = snapshot.applications().iter().filter(sets_it).map(|application| application.name()).collect();
    let why = if !by.is_empty() {
        format!("a policy sets it, or one that old applications take for it: {}", by.join(", "))
    } else if set.is_look_alike(name) {
        "it is another spelling of a field that frames or routes requests".to_owned()
    } else if set.covers(name) {
        "applications take it for truth, and the gateway writes it itself where it is true".to_owned()
    } else {
        "it belongs to the connection and not to the request".to_owned()
    };
    Taken { name: name.to_string(), why }
}

fn words(decision: &Decision<'_>) -> Decided {
    let why = match decision {
        Decision::Deny(denial) => Some(denial.reason().to_string()),
        Decision::SignIn { .. } => Some("the rule needs somebody who is signed in".to_owned()),
        Decision::StepUp(requirement) => {
            let acr = match requirement.acr {
                [] => String::new(),
                acr => format!(" as one of {}", acr.join(", ")),
            };
            let age = requirement.max_age.map(|age| format!(" within {}", humantime::format_duration(age)));
            Some(format!("a sign-in{acr}{} is needed", age.unwrap_or_default()))
        }
        Decision::Allow(_) | Decision::Answer(_) => None,
    };
    Decided {
        decision: decided(decision).as_str(),
        rule: decision.rule().map(str::to_owned),
        reason: decision.reason().map(str::to_owned),
        why,
    }
}

fn receives(request: &UpstreamRequest<()>) -> Receives {
    let fields = request.fields().map(|(name, value, secret)| {
        let shown = if secret { "(secret)".to_owned() } else { printed(value) };
        (printed(name), shown)
    });
    Receives { line: printed(request.line()), fields: fields.collect() }
}
