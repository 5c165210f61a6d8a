//! What a provider says of a person on the way to rules and headers: nested claims, exact numbers, and what it leaves out.
//!
//! Specification: OIDC Core 5.1 and 5.6.2 (aggregated and distributed claims).

use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::browser::Browser;
use crate::harness::gateway::HOST;
use crate::harness::provider::Script;
use crate::harness::site::{Site, ada, line_of, policy};

/// A policy of Keycloak's claims: roles in a nested list, a staff number that no float can hold.
fn nested(upstream: &str) -> String {
    format!(
        r#"
[app]
hosts = ["{HOST}"]
upstream = "{upstream}"
[login]
provider = "idp"
[headers]
X-Remote-User = "${{user.staff}}"
X-Remote-Groups = {{ list = "${{user.realm_access.roles}}", separator = ";" }}
[[rules]]
allow = "'archivist' in user.realm_access.roles && user.address.country == 'AT'"
"#
    )
}

fn person(text: &str) -> Vec<(String, Value)> {
    let members: serde_json::Map<String, Value> = serde_json::from_str(text).unwrap();
    members.into_iter().collect()
}

#[tokio::test]
async fn s06_nested_claims_lists_and_numbers_of_any_size_reach_rules_and_headers_exactly() {
    let site = Site::with(nested, |setup| setup).await;
    // A number beyond 64 bits, written out as the provider signs it.
    let text = r#"{"preferred_username":"ada","staff":18446744073709551615,"address":{"country":"AT"},
        "realm_access":{"roles":["archivist","default-roles-gmr"]}}"#;
    site.provider.script().person = person(text);
    let mut browser = Browser::new();
    assert_eq!(browser.open(&site.url("/")).await.text(), "hello");
    let seen = site.application.seen();
    assert_eq!(seen[0].header("x-remote-user").as_deref(), Some("18446744073709551615"));
    assert_eq!(seen[0].header("x-remote-groups").as_deref(), Some("archivist;default-roles-gmr"));

    for text in [
        r#"{"realm_access":{"roles":["visitor"]},"address":{"country":"AT"},"staff":1}"#,
        r#"{"realm_access":{"roles":"archivist"},"address":{"country":"AT"},"staff":1}"#,
        r#"{"realm_access":["archivist"],"address":{"country":"AT"},"staff":1}"#,
        r#"{"realm_access":{"roles":["archivist"]},"staff":1}"#,
        r#"{"roles":["archivist"],"address":{"country":"AT"},"staff":1}"#,
    ] {
        site.provider.script().person = person(text);
        let reply = Browser::new().open(&site.url("/")).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{text}");
    }
    assert_eq!(site.application.seen().len(), 1);
}

#[tokio::test]
async fn groups_that_the_provider_leaves_out_are_told_and_never_taken_for_none() {
    let site = Site::new().await;
    let overage = json!({"groups": "src1"});
    let cases = [
        vec![("_claim_names", overage), ("_claim_sources", json!({"src1": {"endpoint": "https://graph.example/x"}}))],
        vec![("hasgroups", json!(true))],
        vec![("hasgroups", json!("true"))],
    ];
    let mut replies = Vec::new();
    for claims in cases {
        let mut person: Vec<(String, Value)> =
            claims.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        person.push(("preferred_username".to_owned(), json!("ada")));
        *site.provider.script() = Script { person, ..Script::default() };
        let mut browser = Browser::new();
        let reply = browser.open(&site.url("/")).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.text());
        assert!(reply.text().contains("in so many groups"), "{}", reply.text());
        assert_eq!(browser.cookie(HOST, "lychgate"), None);
        replies.push(reply);
    }
    // With the groups in the token, or nothing said of them, everything is as ever.
    let mut both = ada();
    both.push(("hasgroups".to_owned(), json!(true)));
    for (person, status) in [(both, 200), (vec![("hasgroups".to_owned(), json!(false))], 403)] {
        *site.provider.script() = Script { person, ..Script::default() };
        let reply = Browser::new().open(&site.url("/")).await;
        assert_eq!((reply.status.as_u16(), reply.text().contains("so many groups")), (status, false));
    }
    let log = site.gateway.stop().await;
    for reply in &replies {
        assert_eq!(line_of(&log, reply)["reason"], "claim_left_out");
    }
}

#[tokio::test]
async fn groups_that_no_policy_reads_may_be_left_out() {
    let everybody = |upstream: &str| {
        let text = policy(upstream).replace("allow = \"'admins' in user.groups\"", "allow = \"true\"");
        let text = text.replace("allow = \"'staff' in user.groups\"", "allow = \"true\"");
        text.replace("X-Remote-Groups = { list = \"${user.groups}\", separator = \";\" }", "")
    };
    let site = Site::with(everybody, |setup| setup).await;
    site.provider.script().person =
        vec![("hasgroups".to_owned(), json!(true)), ("preferred_username".to_owned(), json!("ada"))];
    assert_eq!(Browser::new().open(&site.url("/")).await.text(), "hello");
}
