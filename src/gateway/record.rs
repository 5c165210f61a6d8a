//! What the access log keeps of a request for `lychgate replay`, where the configuration asks for it.
//!
//! Exactly what rules decide by: the query parameters that a rule of the application names, the claims that conditions read,
//! and how the person signed in. No other parameter, nothing that only headers read, no cookie, no token.
//!
//! May touch: memory only. Bounds: a parameter of [`MAX_PARAMETER`] bytes and claims of [`MAX_CLAIMS`] bytes of JSON together;
//! what is larger is named in `omitted`. Trust boundary: values are a stranger's and a provider's, escaped by the JSON encoder.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::claims::{AsJson, Text};
use crate::policy::{Policy, Prepared, RecordedParameter};
use crate::snapshot::Application;

/// The longest value of a query parameter that is kept, in bytes.
const MAX_PARAMETER: usize = 256;
/// How many bytes of JSON the claims of one line may have.
const MAX_CLAIMS: usize = 8 * 1024;

#[derive(Default, Serialize)]
struct Record<'a> {
    /// `null` when the request had no query; of a parameter when it is not there.
    query: Option<BTreeMap<&'a str, Option<Cow<'a, str>>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    doubtful: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claims: Option<BTreeMap<&'a str, Box<RawValue>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    absent: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SignIn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    omitted: Vec<&'a str>,
}

#[derive(Serialize)]
struct SignIn<'a> {
    kind: &'static str,
    provider: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'a str>,
    amr: &'a [Text],
    authenticated_at: String,
}

/// The record of a request with this query, made by this person.
pub(super) fn record(application: &Application, query: Option<&str>, who: Option<&Prepared>) -> Option<Box<RawValue>> {
    let mut record = Record::default();
    let policies = || [Some(application.policy()), application.shadow()].into_iter().flatten();
    if query.is_some() {
        record.query = Some(BTreeMap::new());
        policies().flat_map(|policy| policy.selected_by(query)).for_each(|(name, value)| record.add(name, value));
    }
    if let Some(who) = who {
        let asked = policies().flat_map(Policy::claims_asked).collect();
        record.person(who, &asked);
    }
    serde_json::value::to_raw_value(&record).ok()
}

impl<'a> Record<'a> {
    fn add(&mut self, name: &'a str, value: RecordedParameter<'a>) {
        let Some(query) = &mut self.query else { return };
        match value {
            RecordedParameter::Absent => drop(query.insert(name, None)),
            RecordedParameter::One(value) if value.len() <= MAX_PARAMETER => drop(query.insert(name, Some(value))),
            RecordedParameter::One(_) => note(&mut self.omitted, name),
            RecordedParameter::Doubtful => note(&mut self.doubtful, name),
        }
    }

    fn person(&mut self, who: &'a Prepared, asked: &BTreeSet<&'a str>) {
        let subject = who.subject();
        let (mut claims, mut room) = (BTreeMap::new(), MAX_CLAIMS);
        for name in asked {
            let Some(value) = subject.claims.value(name) else {
                self.absent.push(name);
                continue;
            };
            match serde_json::value::to_raw_value(&AsJson(value)) {
                Ok(json) if json.get().len() <= room => {
                    room -= json.get().len();
                    claims.insert(*name, json);
                }
                _ => note(&mut self.omitted, name),
            }
        }
        self.claims = Some(claims);
        let session = &subject.session;
        self.session = Some(SignIn {
            kind: session.kind.as_str(),
            provider: &session.provider,
            acr: session.acr.as_deref(),
            amr: &session.amr,
            authenticated_at: session.authenticated_at.to_string(),
        });
    }
}

fn note<'a>(names: &mut Vec<&'a str>, name: &'a str) {
    if !names.contains(&name) {
        names.push(name);
    }
}
