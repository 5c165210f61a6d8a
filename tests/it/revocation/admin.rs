//! Operators end sessions, by what stands in the access log.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::{Site, later, site};
use crate::harness::browser::{Browser, Reply};

fn address(site: &Site) -> String {
    format!("http://127.0.0.1:{}/revocations", site.gateway.admin().port())
}

async fn revoke(site: &Site, body: Value, headers: &[(&str, &str)]) -> Reply {
    let mut all = vec![("content-type", "application/json")];
    all.extend_from_slice(headers);
    Browser::new().send(Method::POST, &address(site), &all, Bytes::from(body.to_string())).await
}

#[tokio::test]
async fn l04_each_name_for_a_session_ends_it_and_what_names_another_does_not() {
    let site = site().await;
    site.provider.script().person.push(("email".to_owned(), json!("ada@gmr.example")));
    for (body, status) in [
        (json!({"provider": "idp", "subject": "ada-7"}), 401),
        (json!({"provider": "idp", "provider_session": "session-1"}), 401),
        (json!({"who": "ada"}), 401),
        (json!({"email": "ADA@gmr.example"}), 401),
        (json!({"email": "ada@gmr.example", "provider": "idp"}), 401),
        (json!({"provider": "idp", "subject": "grace-8"}), 200),
        (json!({"who": "ADA"}), 200),
        (json!({"session": "00000000"}), 200),
    ] {
        later(&site);
        let mut browser = site.signed_in().await;
        let reply = revoke(&site, body.clone(), &[]).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["kept"]), (200, &json!(true)), "{body}");
        assert_eq!(site.status(&mut browser).await, status, "{body}");
    }
    later(&site);
    let mut browser = site.signed_in().await;
    let id = browser.fetch(Method::GET, &site.url("/.lychgate/me")).await.json()["session"]["id"].clone();
    let reply = revoke(&site, json!({ "session": id }), &[]).await;
    assert_eq!((reply.status.as_u16(), site.status(&mut browser).await), (200, 401));

    let list = Browser::new().get(&address(&site)).await.json();
    assert_eq!((&list["count"], &list["shown"], &list["dropped"]), (&json!(9), &json!(9), &json!(0)));
    assert_eq!((&list["entries"][0]["kind"], &list["entries"][0]["what"]), (&json!("session"), &id));
    assert_eq!((&list["entries"][0]["cause"], &list["entries"][0]["effect"]), (&json!("admin"), &json!("ended")));
    let metrics = Browser::new().get(&address(&site).replace("/revocations", "/metrics")).await.text();
    for line in [r#"lychgate_revocations_total{cause="admin"} 9"#, "lychgate_revocations_listed 9"] {
        assert!(metrics.contains(line), "{line}");
    }
}

#[tokio::test]
async fn what_a_page_in_an_operators_browser_can_send_changes_nothing() {
    let mut site = site().await;
    let mut browser = site.signed_in().await;
    let body = json!({"who": "ada"});
    for (why, headers, status) in [
        ("a page of its own", &[("origin", "https://evil.example")][..], 403),
        ("a rebound name", &[("origin", "http://evil.example:9180")], 403),
        ("a form", &[("content-type", "text/plain")], 415),
    ] {
        // The later of two fields of one name would be doubtful: each case stands alone.
        let all: Vec<_> = match headers[0].0 {
            "content-type" => headers.to_vec(),
            _ => [&[("content-type", "application/json")], headers].concat(),
        };
        let reply = Browser::new().send(Method::POST, &address(&site), &all, Bytes::from(body.to_string())).await;
        assert_eq!(reply.status.as_u16(), status, "{why}: {}", reply.text());
    }
    for bad in
        ["", "{}", "[]", "no", r#"{"who":"ada","session":"00000000"}"#, r#"{"subject":"ada-7"}"#, &" ".repeat(9000)]
    {
        let reply = Browser::new()
            .send(Method::POST, &address(&site), &[("content-type", "application/json")], Bytes::from(bad.to_owned()))
            .await;
        assert_eq!(reply.status.as_u16(), 400, "{bad}");
    }
    for request in ["GET /revocations HTTP/1.1", "POST /revocations HTTP/1.1"] {
        let mut wire = crate::harness::wire::Wire::connect(site.gateway.admin()).await;
        let text = body.to_string();
        wire.send(format!(
            "{request}\r\nHost: evil.example:9180\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        ))
        .await
        .unwrap();
        assert_eq!(wire.reply(false).await.unwrap().status, 421, "{request}");
    }
    assert_eq!(site.status(&mut browser).await, 200);
    assert_eq!(revoke(&site, body, &[]).await.status.as_u16(), 200);
    site.gateway = site.gateway.restart(&site.clock).await;
    assert_eq!(site.status(&mut browser).await, 401);
}

#[tokio::test]
async fn l04_without_a_state_directory_an_operator_is_told_that_a_restart_forgets() {
    let mut site = Site::new().await;
    let mut browser = site.signed_in().await;
    let reply = revoke(&site, json!({"who": "ada"}), &[]).await;
    let told = reply.json();
    assert_eq!((reply.status.as_u16(), &told["kept"]), (200, &json!(false)));
    assert!(told["why"].as_str().is_some_and(|why| why.contains("`state`")), "{told}");
    assert_eq!(site.status(&mut browser).await, 401);
    // It is so: what was ended is forgotten.
    site.gateway = site.gateway.restart(&site.clock).await;
    assert_eq!(site.status(&mut browser).await, 200);
}

#[tokio::test]
async fn l04_a_provider_that_is_not_configured_is_named_and_nothing_is_ended() {
    let site = site().await;
    for body in [
        json!({"provider": "okta", "subject": "ada-7"}),
        json!({"provider": "okta", "provider_session": "session-1"}),
        json!({"provider": "okta", "email": "ada@gmr.example"}),
        json!({"provider": "IDP", "subject": "ada-7"}),
    ] {
        let reply = revoke(&site, body.clone(), &[]).await;
        let said = reply.text();
        assert_eq!(reply.status.as_u16(), 400, "{body}: {said}");
        assert!(said.starts_with("there is no provider `") && said.ends_with("; there are `idp`\n"), "{said}");
    }
    assert_eq!(Browser::new().get(&address(&site)).await.json()["count"], json!(0));
    let reply = revoke(&site, json!({"provider": "idp", "subject": "ada-7"}), &[]).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["kept"]), (200, &json!(true)));
}
