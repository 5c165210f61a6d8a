//! What Okta's event hooks say: whom an event is about, and what becomes of their sessions.
//!
//! A hook's body holds log events. For what an administrator does to somebody, the person is the `User` among the `target`s and the `actor`
//! is the administrator; for the end of a session at Okta, the person is the `actor`. `id` is what ID tokens of Okta call `sub`.
//!
//! | event | the person | what becomes of the sessions |
//! | --- | --- | --- |
//! | `user.lifecycle.deactivate`, `.suspend`, `.delete.initiated`, `user.session.clear` | target | ended |
//! | `user.session.end` | actor | ended |
//! | `user.account.update_password`, `user.account.reset_password`, `user.mfa.factor.deactivate`, `user.mfa.factor.reset_all`, `user.account.update_profile`, `group.user_membership.add`, `.remove`, `application.user_membership.remove` | target | must pass the provider once more |
//!
//! Everything else is accepted and changes nothing.
//!
//! May touch: memory only. Trust boundary: the body comes from whoever knows the shared value; it is bounded before.

use serde::Deserialize;

use super::object::{self, Object};
use crate::clock::Timestamp;
use crate::session::Effect;

/// Events that one hook may carry; Okta sends fewer.
const MAX_EVENTS: usize = 500;
const MAX_ID: usize = 512;

#[derive(Deserialize)]
struct Hook {
    data: Object<Data>,
}

#[derive(Deserialize)]
struct Data {
    events: Vec<Object<Event>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    uuid: String,
    event_type: String,
    #[serde(default)]
    published: Option<String>,
    #[serde(default)]
    actor: Option<Object<Party>>,
    #[serde(default)]
    target: Option<Vec<Object<Party>>>,
}

#[derive(Deserialize)]
struct Party {
    id: String,
    #[serde(rename = "type", default)]
    kind: String,
}

/// What one event asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookEvent {
    /// Identifies the event.
    pub uuid: String,
    /// The people's `sub`; empty where the event asks for nothing.
    pub people: Vec<String>,
    /// What becomes of their sessions.
    pub effect: Effect,
    /// When it happened, where that can be read.
    pub at: Option<Timestamp>,
}

/// Reads a hook's body; none when it is not one, or has too many events.
pub fn read(body: &[u8]) -> Option<Vec<HookEvent>> {
    let Hook { data: Object(Data { events }) } = object::read(body).ok()?;
    let sound = |Object(event): &Object<Event>| !event.uuid.is_empty() && event.uuid.len() <= MAX_ID;
    if events.len() > MAX_EVENTS || !events.iter().all(sound) {
        return None;
    }
    Some(events.into_iter().map(|Object(event)| HookEvent::of(event)).collect())
}

enum Who {
    Actor,
    Target,
}

impl HookEvent {
    fn of(event: Event) -> Self {
        let known = meaning(&event.event_type);
        let people = match known {
            None => Vec::new(),
            Some((Who::Actor, _)) => users(event.actor.into_iter().collect()),
            Some((Who::Target, _)) => users(event.target.unwrap_or_default()),
        };
        let effect = known.map_or(Effect::Ended, |(_, effect)| effect);
        let at = event.published.as_deref().and_then(|text| humantime::parse_rfc3339(text).ok());
        let at = at.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let at = at.and_then(|since| i64::try_from(since.as_millis()).ok()).map(Timestamp::from_millis);
        Self { uuid: event.uuid, people, effect, at }
    }
}

const fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ID
}

fn users(parties: Vec<Object<Party>>) -> Vec<String> {
    let parties = parties.into_iter().map(|Object(party)| party);
    parties.filter(|party| party.kind == "User" && is_id(&party.id)).map(|party| party.id).collect()
}

fn meaning(event_type: &str) -> Option<(Who, Effect)> {
    match event_type {
        "user.session.end" => Some((Who::Actor, Effect::Ended)),
        "user.lifecycle.deactivate"
        | "user.lifecycle.suspend"
        | "user.lifecycle.delete.initiated"
        | "user.session.clear" => Some((Who::Target, Effect::Ended)),
        "user.account.update_password"
        | "user.account.reset_password"
        | "user.account.update_profile"
        | "user.mfa.factor.deactivate"
        | "user.mfa.factor.reset_all"
        | "group.user_membership.add"
        | "group.user_membership.remove"
        | "application.user_membership.remove" => Some((Who::Target, Effect::AskAgain)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(event: &str) -> String {
        format!(
            r#"{{"eventType":"com.okta.event_hook","data":{{"events":[{{"uuid":"u1","published":"2026-11-18T10:00:00.500Z","eventType":"{event}",
            "actor":{{"id":"00uadmin","type":"User"}},
            "target":[{{"id":"00g1","type":"UserGroup"}},{{"id":"00u1","type":"User","alternateId":"ada@gmr.example"}}]}}]}}}}"#
        )
    }

    #[test]
    fn l03_the_person_is_the_target_except_where_somebody_ends_their_own_session() {
        for (event, people, effect) in [
            ("user.lifecycle.deactivate", vec!["00u1"], Effect::Ended),
            ("user.lifecycle.suspend", vec!["00u1"], Effect::Ended),
            ("user.lifecycle.delete.initiated", vec!["00u1"], Effect::Ended),
            ("user.session.clear", vec!["00u1"], Effect::Ended),
            ("user.session.end", vec!["00uadmin"], Effect::Ended),
            ("user.account.update_password", vec!["00u1"], Effect::AskAgain),
            ("group.user_membership.remove", vec!["00u1"], Effect::AskAgain),
            ("user.session.start", vec![], Effect::Ended),
            ("", vec![], Effect::Ended),
        ] {
            let read = read(hook(event).as_bytes()).unwrap();
            assert_eq!(
                (read.len(), &read[0].people, read[0].effect),
                (1, &people.into_iter().map(str::to_owned).collect(), effect),
                "{event}"
            );
            assert_eq!(read[0].at, Some(Timestamp::from_millis(1_794_996_000_500)));
        }
    }

    #[test]
    fn l03_what_is_no_hook_is_refused() {
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"data":{}}"#,
            r#"{"data":{"events":[{}]}}"#,
            r#"{"data":{"events":[{"uuid":"","eventType":"x"}]}}"#,
            r#"{"data":{"events":[{"uuid":7,"eventType":"x"}]}}"#,
            r#"{"data":{"events":[{"uuid":"u","eventType":"x","target":"all"}]}}"#,
        ] {
            assert_eq!(read(bad.as_bytes()), None, "{bad}");
        }
        let many = format!(r#"{{"data":{{"events":[{}]}}}}"#, [r#"{"uuid":"u","eventType":"x"}"#; 501].join(","));
        assert_eq!(read(many.as_bytes()), None);
        assert_eq!(read(br#"{"data":{"events":[]}}"#), Some(Vec::new()));
    }

    /// What a hook with one event says that has these members beside the necessary ones.
    fn one(uuid: &str, more: &str) -> Option<HookEvent> {
        let body = format!(r#"{{"data":{{"events":[{{"uuid":"{uuid}","eventType":"user.session.clear"{more}}}]}}}}"#);
        read(body.as_bytes()).map(|mut events| events.remove(0))
    }

    #[test]
    fn l03_only_users_with_an_identifier_of_sane_length_are_meant() {
        let (longest, longer) = ("u".repeat(MAX_ID), "u".repeat(MAX_ID + 1));
        let party = |kind: &str, id: &str| format!(r#"{{"id":"{id}","type":"{kind}"}}"#);
        for (parties, people) in [
            (vec![party("User", &longest)], vec![longest.as_str()]),
            (vec![party("User", &longer)], vec![]),
            (vec![party("User", "")], vec![]),
            (vec![party("AppUser", "00u1"), party("user", "00u2"), party("", "00u3")], vec![]),
            (vec![party("User", "00u1"), party("User", "00u2")], vec!["00u1", "00u2"]),
        ] {
            let read = one("u", &format!(r#","target":[{}]"#, parties.join(","))).unwrap();
            assert_eq!(read.people, people, "{parties:?}");
        }
        assert_eq!(one("u", r#","target":null"#).map(|event| event.people), Some(Vec::new()));
        assert!(one(&longest, "").is_some() && one(&longer, "").is_none());
        let most =
            format!(r#"{{"data":{{"events":[{}]}}}}"#, [r#"{"uuid":"u","eventType":"x"}"#; MAX_EVENTS].join(","));
        assert_eq!(read(most.as_bytes()).map(|events| events.len()), Some(MAX_EVENTS));
    }

    #[test]
    fn l03_a_time_that_cannot_be_read_is_none() {
        let at = |published: &str| one("u", &format!(r#","published":{published}"#)).unwrap().at;
        assert_eq!(at("\"1970-01-01T00:00:01Z\""), Some(Timestamp::from_seconds(1)));
        for none in ["null", "\"\"", "\"yesterday\"", "\"1969-12-31T23:59:59Z\"", "\"2026-11-18\""] {
            assert_eq!(at(none), None, "{none}");
        }
    }
}
