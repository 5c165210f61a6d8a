//! An access event as a line of JSON, written where the line will stay.
//!
//! The same bytes that serde's encoder writes for the event (a test compares them), without its machinery for every field: the log line is
//! a part of every request. The text of a second is kept until the next one.
//!
//! May touch: memory only. Trust boundary: texts are a stranger's; [`text`] escapes what JSON has escaped.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use super::access_log::{AccessEvent, ObservedEvent};
use crate::clock::Timestamp;

/// The last second that was written, as text up to its point.
#[derive(Debug, Default)]
pub(super) struct Second {
    number: i64,
    text: String,
}

/// Adds the line of `event` to `line`, its line end included.
pub(super) fn write(line: &mut Vec<u8>, event: &AccessEvent<'_>, second: &mut Second) {
    let AccessEvent {
        time,
        request_id,
        client,
        scheme,
        host,
        method,
        path,
        protocol,
        status,
        app,
        rule,
        decision,
        reason,
        observed,
        auth,
        who,
        session,
        client_id,
        upstream,
        bytes_in,
        bytes_out,
        duration_ms,
        upstream_ms,
        complete,
        policy_version,
        replay,
    } = event;
    line.extend_from_slice(b"{\"time\":\"");
    moment(line, *time, second);
    line.extend_from_slice(b"\",\"request_id\":");
    text(line, request_id);
    line.extend_from_slice(b",\"client\":\"");
    address(line, *client);
    line.extend_from_slice(b"\",\"scheme\":");
    plain(line, scheme);
    optional(line, b",\"host\":", *host);
    optional(line, b",\"method\":", *method);
    optional(line, b",\"path\":", *path);
    line.extend_from_slice(b",\"protocol\":");
    plain(line, protocol);
    line.extend_from_slice(b",\"status\":");
    number(line, u64::from(*status));
    optional(line, b",\"app\":", *app);
    optional(line, b",\"rule\":", *rule);
    line.extend_from_slice(b",\"decision\":");
    text(line, decision);
    optional(line, b",\"reason\":", *reason);
    if let Some(ObservedEvent { decision, rule, reason, policy }) = observed {
        line.extend_from_slice(b",\"observed\":");
        text(line, decision);
        optional(line, b",\"observed_rule\":", *rule);
        optional(line, b",\"observed_reason\":", *reason);
        optional(line, b",\"observed_policy\":", *policy);
    }
    optional(line, b",\"auth\":", *auth);
    optional(line, b",\"who\":", *who);
    optional(line, b",\"session\":", *session);
    optional(line, b",\"client_id\":", *client_id);
    optional(line, b",\"upstream\":", *upstream);
    line.extend_from_slice(b",\"bytes_in\":");
    number(line, *bytes_in);
    line.extend_from_slice(b",\"bytes_out\":");
    number(line, *bytes_out);
    line.extend_from_slice(b",\"duration_ms\":");
    millis(line, *duration_ms);
    if let Some(took) = upstream_ms {
        line.extend_from_slice(b",\"upstream_ms\":");
        millis(line, *took);
    }
    line.extend_from_slice(if *complete { b",\"complete\":true" } else { b",\"complete\":false" });
    line.extend_from_slice(b",\"policy_version\":");
    number(line, *policy_version);
    if let Some(replay) = replay {
        line.extend_from_slice(b",\"replay\":");
        line.extend_from_slice(replay.get().as_bytes());
    }
    line.extend_from_slice(b"}\n");
}

fn optional(line: &mut Vec<u8>, key: &[u8], value: Option<&str>) {
    if let Some(value) = value {
        line.extend_from_slice(key);
        text(line, value);
    }
}

/// A JSON string of a text that needs no escapes.
fn plain(line: &mut Vec<u8>, text: &str) {
    line.push(b'"');
    line.extend_from_slice(text.as_bytes());
    line.push(b'"');
}

/// A JSON string.
fn text(line: &mut Vec<u8>, text: &str) {
    if !needs_escapes(text.as_bytes()) {
        return plain(line, text);
    }
    line.push(b'"');
    text.bytes().for_each(|byte| escaped(line, byte));
    line.push(b'"');
}

/// Whether JSON has one of the bytes escaped; eight are looked at together.
fn needs_escapes(text: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    // The high bit of each byte that is zero, or of one behind such a byte, which is then no less true.
    let zero = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes;
    let (eights, rest) = text.as_chunks::<8>();
    let found = eights.iter().fold(0, |found, eight| {
        let bytes = u64::from_ne_bytes(*eight);
        let controls = bytes.wrapping_sub(ONES * 0x20) & !bytes;
        found | controls | zero(bytes ^ (ONES * u64::from(b'"'))) | zero(bytes ^ (ONES * u64::from(b'\\')))
    });
    found & (ONES << 7) != 0 || rest.iter().any(|byte| matches!(byte, 0..=0x1f | b'"' | b'\\'))
}

fn escaped(line: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
        b'\n' => line.extend_from_slice(b"\\n"),
        b'\r' => line.extend_from_slice(b"\\r"),
        b'\t' => line.extend_from_slice(b"\\t"),
        0x08 => line.extend_from_slice(b"\\b"),
        0x0c => line.extend_from_slice(b"\\f"),
        0..=0x1f => drop(write!(line, "\\u{byte:04x}")),
        other => line.push(other),
    }
}

fn number(line: &mut Vec<u8>, number: u64) {
    let (mut digits, mut left, mut count) = ([b'0'; 20], number, 0);
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(left % 10).unwrap_or_default();
        (left, count) = (left / 10, count + 1);
        if left == 0 {
            break;
        }
    }
    line.extend_from_slice(digits.get(digits.len() - count..).unwrap_or_default());
}

/// Milliseconds with up to three places after the point, and one at least.
fn millis(line: &mut Vec<u8>, span: Duration) {
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    number(line, micros / 1000);
    let places = three(micros % 1000);
    let kept = places.iter().rposition(|digit| *digit != b'0').unwrap_or(0) + 1;
    line.push(b'.');
    line.extend_from_slice(places.get(..kept).unwrap_or_default());
}

fn three(number: u64) -> [u8; 3] {
    [number / 100 % 10, number / 10 % 10, number % 10].map(|digit| b'0' + u8::try_from(digit).unwrap_or_default())
}

fn address(line: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            number(line, u64::from(first));
            for octet in rest {
                line.push(b'.');
                number(line, u64::from(octet));
            }
        }
        IpAddr::V6(address) => drop(write!(line, "{address}")),
    }
}

/// RFC 3339 with milliseconds.
fn moment(line: &mut Vec<u8>, time: Timestamp, second: &mut Second) {
    if second.text.is_empty() || second.number != time.seconds() {
        let mut text = time.to_string();
        text.truncate(text.len().saturating_sub("000Z".len()));
        *second = Second { number: time.seconds(), text };
    }
    line.extend_from_slice(second.text.as_bytes());
    line.extend_from_slice(&three(u64::try_from(time.millis().rem_euclid(1000)).unwrap_or_default()));
    line.push(b'Z');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(event: &AccessEvent<'_>, second: &mut Second) -> String {
        let mut line = Vec::new();
        write(&mut line, event, second);
        String::from_utf8(line).unwrap()
    }

    fn by_serde(event: &AccessEvent<'_>) -> String {
        format!("{}\n", serde_json::to_string(event).unwrap())
    }

    proptest! {
        #[test]
        fn a_line_is_what_serde_writes(
            text in prop_oneof!["\\PC{0,12}", "[a-z/]{1,12}", "[\\x00-\\x7f]{0,8}"],
            there in any::<[bool; 12]>(),
            (time, micros, wide) in (0..4_102_444_800_000_i64, 0..100_000_000_000_u64, any::<bool>()),
            (status, bytes, address) in (0..1000_u16, any::<u64>(), any::<[u8; 16]>()),
            micros_after in 0..5000_u64,
        ) {
            let replay = serde_json::value::to_raw_value(&text).unwrap();
            let mut there = there.into_iter();
            let mut perhaps = || Some(text.as_str()).filter(|_| there.next().unwrap());
            let [a, b, c, d, ..] = address;
            let event = AccessEvent {
                time: Timestamp::from_millis(time),
                request_id: &text,
                client: if wide { address.into() } else { [a, b, c, d].into() },
                scheme: "https",
                host: perhaps(),
                method: perhaps(),
                path: perhaps(),
                protocol: "HTTP/1.1",
                status,
                app: perhaps(),
                rule: perhaps(),
                decision: &text,
                reason: perhaps(),
                observed: Some(ObservedEvent { decision: &text, rule: perhaps(), reason: None, policy: perhaps() }).filter(|_| wide),
                auth: perhaps(),
                who: perhaps(),
                session: perhaps(),
                client_id: perhaps(),
                upstream: Some(&text).filter(|_| wide).map(String::as_str),
                bytes_in: bytes,
                bytes_out: bytes / 7,
                duration_ms: Duration::from_micros(micros),
                upstream_ms: Some(Duration::from_micros(micros_after)).filter(|_| wide),
                complete: wide,
                policy_version: bytes % 1000,
                replay: Some(&*replay).filter(|_| wide),
            };
            let mut second = Second::default();
            for event in [event, AccessEvent { time: Timestamp::from_millis(time + 1), ..event }, AccessEvent { time: Timestamp::from_millis(time - 1000), ..event }] {
                prop_assert_eq!(line(&event, &mut second), by_serde(&event));
            }
        }
    }
}
