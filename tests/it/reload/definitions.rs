//! Files of definitions that policies include: read again, watched, and readers of claims like the policies themselves.

use http::StatusCode;
use serde_json::json;

use super::asked_site;
use crate::harness::site::{Site, policy};

/// The usual policy with its two conditions in a shared file.
fn including(upstream: &str) -> String {
    let text = policy(upstream).replace("\n[app]", "\ninclude = [\"shared/who.toml\"]\n[app]");
    text.replace("'admins' in user.groups", "admin").replace("'staff' in user.groups", "staff")
}

/// A shared file with these conditions.
fn shared(admin: &str, staff: &str) -> String {
    format!("[conditions]\nadmin = \"{admin}\"\nstaff = \"{staff}\"\n")
}

#[tokio::test]
async fn a_shared_condition_that_reads_a_new_claim_sends_people_through_the_provider_once() {
    let site = asked_site().await;
    let mut browser = site.signed_in().await;
    site.gateway.write("policies/shared/who.toml", &shared("'admins' in user.groups", "'staff' in user.groups"));
    site.gateway.write("policies/app.toml", &including(&site.application.url()));
    assert_eq!(site.reload().await.1["version"], 2);
    assert_eq!(browser.get(&site.url("/statements")).await.status, StatusCode::OK, "nothing new is read");
    let files = site.policies().await["files"].to_string();
    assert!(files.contains("policies/shared/who.toml"), "{files}");

    // The provider does not know the claim for this person: once asked for, that is known too.
    site.gateway.write(
        "policies/shared/who.toml",
        &shared("user.department == 'payouts'", "'staff' in user.groups && !has(user.left_at)"),
    );
    let (_, attempt) = site.reload().await;
    assert_eq!((&attempt["outcome"], &attempt["version"]), (&json!("applied"), &json!(3)), "{attempt}");
    for _ in 0..3 {
        let reply = browser.open(&site.url("/statements")).await;
        assert_eq!((reply.status, reply.url), (StatusCode::OK, site.url("/statements")));
    }
    assert_eq!(site.provider.requests("/authorize").len(), 2);

    // A mistake in it refuses the set, and is shown where it stands.
    site.gateway.write("policies/shared/who.toml", &shared("usr.x", "true"));
    let (_, attempt) = site.reload().await;
    assert_eq!(attempt["outcome"], "refused");
    let findings = attempt["findings"].as_str().unwrap();
    assert!(
        findings.contains("unknown name `usr`") && findings.contains("policies/shared/who.toml:2:10"),
        "{findings}"
    );
    assert_eq!(browser.get(&site.url("/statements")).await.status, StatusCode::OK);
    let log = site.gateway.stop().await;
    assert_eq!(log.iter().filter(|line| line["reason"] == "session_claim_missing").count(), 1);
}

#[tokio::test]
async fn a_change_of_a_shared_file_is_noticed() {
    let site = Site::new().await;
    let mut browser = site.signed_in().await;
    site.gateway.write("policies/shared/who.toml", &shared("'admins' in user.groups", "'staff' in user.groups"));
    site.gateway.write("policies/app.toml", &including(&site.application.url()));
    site.version(2).await;
    assert_eq!(browser.get(&site.url("/admin/x")).await.status, StatusCode::FORBIDDEN);
    site.gateway.write("policies/shared/who.toml", &shared("'artists' in user.groups", "'staff' in user.groups"));
    site.version(3).await;
    assert_eq!(browser.get(&site.url("/admin/x")).await.status, StatusCode::OK);
    assert_eq!(browser.get(&site.url("/")).await.text(), "hello");
}
