//! What a rule selects requests by besides paths and methods: query, hosts, client networks and times.
//!
//! A rule whose selectors do not all match is passed over, and the next one is asked. What is in doubt is not passed over: a
//! query parameter that applications may read in different ways denies before any rule is asked (see `query`).
//!
//! May touch: nothing. Trust boundary: the query is a stranger's; host and client address are established before.
//! Specification: RFC 4632 (networks).

use ipnet::IpNet;

use super::decision::RequestFacts;
use super::query::{Parameter, parameter};
use super::reader::{Reading, Section, Text, unknown_name};
use super::schedule::{self, Schedule};
use crate::clock::Timestamp;
use crate::http::HostName;
use crate::network::{self, NetworkError};

/// The selectors of a rule; an empty list selects nothing away.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Selector {
    query: Vec<Wanted>,
    hosts: Vec<HostName>,
    networks: Vec<IpNet>,
    schedule: Schedule,
}

/// A query parameter and the values that match.
#[derive(Debug, PartialEq)]
struct Wanted {
    name: Box<str>,
    values: Vec<Box<str>>,
}

/// Why a rule is passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unselected<'r> {
    /// This query parameter is not there, or has another value.
    Query(&'r str),
    /// The request is for another host.
    Host,
    /// The client is in another network.
    Network,
    /// It is not the time; the key that says so.
    Time(&'static str),
}

impl Selector {
    /// Whether it selects every request.
    pub(super) fn is_everything(&self) -> bool {
        let Self { query, hosts, networks, schedule } = self;
        query.is_empty() && hosts.is_empty() && networks.is_empty() && schedule.is_always()
    }

    /// The names of the query parameters that it reads.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.query.iter().map(|wanted| &*wanted.name)
    }

    /// Why `request` at `now` is not selected; nothing when it is.
    pub(super) fn refuses(&self, request: &RequestFacts<'_>, now: Timestamp) -> Option<Unselected<'_>> {
        for Wanted { name, values } in &self.query {
            match parameter(request.query, name) {
                Parameter::One(value) if values.iter().any(|wanted| **wanted == *value) => {}
                _ => return Some(Unselected::Query(name)),
            }
        }
        self.refuses_beside_query(request, now)
    }

    /// The same, whatever the query is.
    pub(super) fn refuses_beside_query(&self, request: &RequestFacts<'_>, now: Timestamp) -> Option<Unselected<'_>> {
        if !self.hosts.is_empty() && !self.hosts.contains(request.host) {
            return Some(Unselected::Host);
        }
        let client = request.client.to_canonical();
        if !self.networks.is_empty() && !self.networks.iter().any(|network| network.contains(&client)) {
            return Some(Unselected::Network);
        }
        self.schedule.refuses(now).map(Unselected::Time)
    }
}

impl Selector {
    /// What the selector that refuses wants, and what it found.
    pub(super) fn compared(
        &self,
        refused: &Unselected<'_>,
        request: &RequestFacts<'_>,
        now: Timestamp,
    ) -> (String, String) {
        match refused {
            Unselected::Query(name) => {
                let wanted = self.query.iter().find(|wanted| *wanted.name == **name);
                let values: Vec<_> = wanted.iter().flat_map(|wanted| &wanted.values).map(|value| &**value).collect();
                let found = match parameter(request.query, name) {
                    Parameter::One(value) => format!("{name}={value}"),
                    Parameter::Absent => format!("no {name}"),
                    Parameter::Ambiguous => format!("{name}, which can be read in different ways"),
                };
                (format!("{name}={}", values.join(" or ")), found)
            }
            Unselected::Host => (listed(&self.hosts), request.host.to_string()),
            Unselected::Network => (listed(&self.networks), request.client.to_canonical().to_string()),
            Unselected::Time(key) => (self.schedule.written(key), self.schedule.local(now)),
        }
    }
}

fn listed(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Reads the selectors of a rule; `hosts` are the application's, none where they could not be read.
pub(super) fn read(
    section: &mut Section<'_>,
    hosts: Option<&[HostName]>,
    reading: &mut Reading<'_>,
) -> Option<Selector> {
    let query = section.section("query", reading).and_then(|query| read_query(&query, reading));
    let named = read_list(section, "hosts", reading, |text, reading| {
        read_host(text, hosts, "the rule could never match", reading)
    });
    let networks = read_list(section, "networks", reading, read_network);
    let schedule = schedule::read(section, reading);
    let complete = (section.lacks("query") || query.is_some())
        && (section.lacks("hosts") || named.is_some())
        && (section.lacks("networks") || networks.is_some());
    let (query, hosts) = (query.unwrap_or_default(), named.unwrap_or_default());
    let selector = Selector { query, hosts, networks: networks.unwrap_or_default(), schedule: schedule? };
    complete.then_some(selector)
}

/// The strings at `key`, each read; none where one of them is wrong.
pub(super) fn read_list<T>(
    section: &mut Section<'_>,
    key: &'static str,
    reading: &mut Reading<'_>,
    mut read: impl FnMut(&Text<'_>, &mut Reading<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let value = section.value(key)?;
    let texts = reading.texts(value, key)?;
    if texts.is_empty() {
        let help = format!("leave `{key}` away where it does not matter");
        reading.error(format!("`{key}` is empty: the rule could never match"), value.span(), help);
        return None;
    }
    let read: Vec<_> = texts.iter().filter_map(|text| read(text, reading)).collect();
    (read.len() == texts.len()).then_some(read)
}

fn read_query(section: &Section<'_>, reading: &mut Reading<'_>) -> Option<Vec<Wanted>> {
    let (mut query, mut sound) = (Vec::new(), true);
    for (key, value) in section.in_order() {
        let values = reading.texts(value, key.text).unwrap_or_default();
        if key.text.is_empty() {
            reading.error("a query parameter has no name", key.span, "query = { view = \"print\" }");
        } else if values.is_empty() && value.get_ref().as_array().is_some() {
            let message = format!("`{}` has no value: the rule could never match", key.text);
            reading.error(
                message,
                value.span(),
                "give the values that match, decoded: { view = [\"print\", \"pdf\"] }",
            );
        }
        sound &= !key.text.is_empty() && !values.is_empty();
        let values = values.iter().map(|value| value.text.into()).collect();
        query.push(Wanted { name: key.text.into(), values });
    }
    if query.is_empty() {
        reading.error("`query` names no parameter", section.span(), "query = { view = \"print\" }");
        return None;
    }
    sound.then_some(query)
}

pub(super) fn read_host(
    text: &Text<'_>,
    hosts: Option<&[HostName]>,
    consequence: &str,
    reading: &mut Reading<'_>,
) -> Option<HostName> {
    let host = match HostName::parse(text.text) {
        Ok(host) => host,
        Err(why) => {
            let help = "write the exact name without scheme and port, for example \"app.example\"";
            reading.error(format!("`{}` is no host name: {why}", text.text), text.span.clone(), help);
            return None;
        }
    };
    if let Some(known) = hosts.filter(|known| !known.contains(&host)) {
        let known: Vec<_> = known.iter().map(HostName::as_str).collect();
        let message = format!("`{host}` is no host of the application, so {consequence}");
        unknown_name(reading, &message, host.as_str(), text.span.clone(), &known);
        return None;
    }
    Some(host)
}

/// A network or an address; or what was found, and what to do.
pub(super) fn network(text: &str) -> Result<IpNet, (String, String)> {
    network::parse(text).map_err(|error| match error {
        NetworkError::NoNetwork => (format!("`{text}` is no network"), error.help()),
        error => (error.to_string(), error.help()),
    })
}

fn read_network(text: &Text<'_>, reading: &mut Reading<'_>) -> Option<IpNet> {
    network(text.text).map_err(|(message, help)| reading.error(message, text.span.clone(), help)).ok()
}
