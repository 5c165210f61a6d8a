//! Reads from where and when the request of a test comes: `host`, `client`, `time`, `headers` and `tls`.
//!
//! May touch: nothing. Trust boundary: the file is an administrator's.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::tz::TimeZone;

use super::reader::{Reading, Section, Text, Value};
use super::schedule::read_moment;
use super::selector::read_host;
use super::test_case::Circumstances;
use super::test_tls;
use crate::http::HostName;

/// Reads the circumstances of a test; `hosts` are the application's, none where they could not be read.
pub(super) fn read(
    section: &mut Section<'_>,
    hosts: Option<&[HostName]>,
    reading: &mut Reading<'_>,
) -> Option<Circumstances> {
    let mut read = Circumstances::default();
    let mut sound = true;
    if let Some(text) = section.text("host", reading) {
        read.host = read_host(&text, hosts, "the test could not be run", reading);
        sound &= read.host.is_some();
    }
    if let Some(text) = section.text("client", reading) {
        let client = read_address(&text, reading);
        sound &= client.is_some();
        read.client = client.unwrap_or(read.client);
    }
    if let Some((time, _)) = read_moment(section, "time", Some(&TimeZone::UTC), reading) {
        read.time = time;
    }
    if let Some(headers) = section.section("headers", reading) {
        for (name, value) in headers.in_order() {
            sound &= read_field(&name, value, &mut read.headers, reading).is_some();
        }
    }
    if let Some(tls) = section.section("tls", reading) {
        read.tls = test_tls::read(tls, reading);
    }
    let complete = ["host", "client", "headers"].iter().all(|key| section.lacks(key)) || sound;
    complete.then_some(read)
}

fn read_address(text: &Text<'_>, reading: &mut Reading<'_>) -> Option<IpAddr> {
    let address = text.text.parse().ok();
    if address.is_none() {
        reading.error(format!("`{}` is no address", text.text), text.span.clone(), "for example \"192.0.2.7\"");
    }
    address
}

fn read_field(name: &Text<'_>, value: &Value<'_>, fields: &mut HeaderMap, reading: &mut Reading<'_>) -> Option<()> {
    let texts = reading.texts(value, name.text)?;
    let Ok(name) = HeaderName::from_bytes(name.text.as_bytes()) else {
        let help = "quote a name that has a dot: headers = { \"accept-language\" = \"de\" }";
        reading.error(format!("`{}` is no header name", name.text), name.span.clone(), help);
        return None;
    };
    for text in texts {
        let Ok(value) = HeaderValue::from_bytes(text.text.as_bytes()) else {
            reading.error("a header cannot carry control characters", text.span, "write the value in one line");
            return None;
        };
        fields.append(name.clone(), value);
    }
    Some(())
}
