//! OAuth2 Proxy.

use http::StatusCode;
use lychgate::http::ReturnTo;
use serde_json::json;
use url::Url;

use super::{ask, assert_ada_alone, assert_stays, cookies};
use crate::harness::browser::Browser;
use crate::harness::gateway::{HOST, Setup};
use crate::harness::site::{Site, ada, policy};
use crate::return_to::{finish, navigate};

/// It took `X-Forwarded-User` out, and left `X_Forwarded_User` to applications that read both as one.
#[tokio::test]
async fn t03_cve_2025_64484_an_underscore_alias_of_an_identity_header_reaches_nobody() {
    let site = Site::new().await;
    let mine = cookies(&site.signed_in().await);
    for name in ["X_Forwarded_User", "X-Forwarded_User", "X_Forwarded_Email", "X_Remote_User", "x_remote-user"] {
        assert_eq!(ask(&site, "GET /mine", &format!("{mine}{name}: root\r\n")).await.status, 200);
        assert_ada_alone(&site);
    }
}

/// A pattern for public paths was matched against the whole target, query and all.
#[tokio::test]
async fn t03_cve_2025_54576_a_public_rule_is_not_met_by_the_query() {
    let site = Site::new().await;
    let mine = cookies(&site.signed_in().await);
    let before = site.application.seen().len();
    for target in ["/private?/public/x", "/private?x=/public/", "/?%2fpublic%2fx", "/private??/public/x"] {
        assert_eq!(ask(&site, &format!("GET {target}"), "").await.status, 401, "{target}");
    }
    assert_eq!(ask(&site, "GET /admin/x?/public/x", &mine).await.status, 403);
    assert_eq!(site.application.seen().len(), before);
}

/// A `#` in the target counted for its pattern and not for the application.
#[tokio::test]
async fn t03_cve_2026_41059_a_fragment_in_the_target_widens_no_rule() {
    let site = Site::new().await;
    for target in ["/private#/public/x", "/public/x#/../../private", "/#", "/private?a#/public/"] {
        assert_eq!(ask(&site, &format!("GET {target}"), "").await.status, 400, "{target}");
    }
    // Encoded it is a character of the path like any other.
    assert_eq!(ask(&site, "GET /private%23/public/x", "").await.status, 401);
    assert_eq!(site.application.seen().len(), 0);
    assert_eq!(ask(&site, "GET /public/%23/private", "").await.status, 200);
    assert_eq!(site.application.only().target, "/public/%23/private");
}

/// Whoever had the health checker's User-Agent was answered 200, which a proxy in front took for "signed in".
#[tokio::test]
async fn t03_cve_2026_34457_no_user_agent_is_let_in() {
    let site = Site::new().await;
    for agent in ["GoogleHC/1.0", "kube-probe/1.31", "ELB-HealthChecker/2.0", "lychgate", "Prometheus/3.0"] {
        for target in ["/", "/private", "/ping", "/livez", "/healthz"] {
            let reply = ask(&site, &format!("GET {target}"), &format!("User-Agent: {agent}\r\n")).await;
            assert_eq!(reply.status, 401, "{agent} {target}");
        }
    }
    assert_eq!(site.application.seen().len(), 0);
}

/// Its rules were asked about the path in a client's `X-Forwarded-Uri`.
#[tokio::test]
async fn t03_cve_2026_40575_x_forwarded_uri_decides_nothing() {
    let trusting = |setup: Setup| setup.settings("trusted_proxies = [\"127.0.0.0/8\"]");
    for site in [Site::new().await, Site::with(policy, trusting).await] {
        for name in ["X-Forwarded-Uri", "X-Original-URI", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Path"] {
            let fields = format!("X-Forwarded-For: 203.0.113.7\r\n{name}: /public/x\r\n");
            assert_eq!(ask(&site, "GET /private", &fields).await.status, 401, "{name}");
            let fields = format!("X-Forwarded-For: 203.0.113.7\r\n{name}: /admin/x\r\n");
            assert_eq!(ask(&site, "GET /public/x", &fields).await.status, 200, "{name}");
        }
        assert!(site.application.seen().iter().all(|seen| seen.target == "/public/x"));
    }
}

/// `evil@attacker.example@gmr.example` was an address of gmr.example.
#[tokio::test]
async fn t03_cve_2026_40574_an_address_with_two_at_signs_is_of_no_domain() {
    let staff = "allow = \"'staff' in user.groups\"";
    let by_domain =
        |upstream: &str| policy(upstream).replace(staff, "allow = \"domainOf(user.email) == 'gmr.example'\"");
    let site = Site::with(by_domain, |setup| setup).await;
    for (address, status) in [
        ("evil@attacker.example@gmr.example", 403),
        ("\"evil@attacker.example\"@gmr.example", 403),
        ("evil@attacker.example", 403),
        ("@gmr.example@", 403),
        ("ada@gmr.example", 200),
    ] {
        let claims = [("email", json!(address)), ("email_verified", json!(true))];
        site.provider.script().person = ada();
        site.provider.script().person.extend(claims.map(|(name, value)| (name.to_owned(), value)));
        let reply = Browser::new().open(&site.url("/")).await;
        assert_eq!(reply.status.as_u16(), status, "{address}");
    }
    assert_eq!(site.application.seen().len(), 1);
}

/// A person who was shown the sign-in page still had the session of whoever used the browser before.
#[tokio::test]
async fn t03_cve_2026_34454_who_signed_out_leaves_no_session_in_the_browser() {
    let site = Site::new().await;
    let mut shared = site.signed_in().await;
    let copy = shared.clone();
    let origin = site.url("");
    shared.post(&site.url("/.lychgate/logout"), "", &[("origin", &origin)]).await;
    assert!(shared.cookie_names(HOST).is_empty(), "{:?}", shared.cookie_names(HOST));
    for mut browser in [shared.clone(), copy] {
        assert_eq!(site.status(&mut browser).await, 401);
        let begun = browser.get(&site.url("/")).await;
        assert!(begun.location().unwrap().starts_with(site.provider.issuer()), "the person is asked who they are");
    }
    // Whoever signs in next is nobody but themselves.
    site.provider.script().person = vec![("preferred_username".to_owned(), json!("grace")), ada()[1].clone()];
    assert_eq!(shared.open(&site.url("/")).await.status, StatusCode::OK);
    assert_eq!(site.application.last().header("x-remote-user").as_deref(), Some("grace"));
}

/// First requests in these spellings are refused, or lead to the provider and, once somebody has signed in there, back to us.
async fn assert_leads_nowhere(targets: &[&str]) {
    let site = Site::new().await;
    let own = Url::parse(&site.url("/")).unwrap();
    let provider = Url::parse(site.provider.issuer()).unwrap();
    for target in targets {
        assert_eq!(ReturnTo::parse(target), None, "{target:?}");
        if target.bytes().any(|byte| !byte.is_ascii_graphic()) || !target.starts_with('/') {
            continue;
        }
        let (status, begun) = navigate(&site, target).await;
        let Some((location, cookie)) = begun else {
            // Nothing else leads anywhere.
            assert!((400..500).contains(&status), "{target}: {status}");
            continue;
        };
        // As browsers resolve it.
        let there = own.join(&location).unwrap();
        assert_eq!(there.origin(), provider.origin(), "{target} leads to {location}");
        let (written, end) = finish(&site, &location, &cookie).await;
        assert_eq!(end.origin(), own.origin(), "{target} leads to {written} after the login");
    }
    for page in ["callback", "sign-in", "logout", "signed-out"] {
        let page = site.url(&format!("/.lychgate/{page}"));
        let without = Browser::new().get(&page).await.without_what_is_drawn();
        for target in targets.iter().filter(|target| target.is_ascii()) {
            let value: String = url::form_urlencoded::byte_serialize(target.as_bytes()).collect();
            for name in ["rd", "redirect", "return_to", "for", "next", "target_link_uri", "state"] {
                let url = format!("{page}?{name}={value}");
                let reply = Browser::new().get(&url).await;
                assert_stays(&site, &reply, &url);
                // Of all these the gateway reads `state`, which is no address, and compares `for`.
                assert!(
                    name == "state" || reply.without_what_is_drawn() == without,
                    "{url} is answered in a way of its own"
                );
            }
        }
    }
    assert_eq!(site.application.seen().len(), 0);
}

/// After the login people were sent to addresses that browsers read as another site's: a backslash for a slash.
#[tokio::test]
async fn t03_cve_2020_5233_a_backslash_leads_to_no_other_site() {
    assert_leads_nowhere(&[
        "/\\evil.example",
        "\\\\evil.example",
        "/\\/evil.example",
        "/%5cevil.example",
        "//evil.example",
    ])
    .await;
}

/// White space between the slashes, which browsers drop.
#[tokio::test]
async fn t03_cve_2020_11053_white_space_in_an_address_leads_to_no_other_site() {
    assert_leads_nowhere(&[
        "/\t/evil.example",
        "/\n/evil.example",
        "/ /evil.example",
        "/%09/evil.example",
        "/%0a//evil.example",
    ])
    .await;
}

/// More spellings of the same, by dots and control characters.
#[tokio::test]
async fn t03_cve_2020_4037_dots_and_controls_in_an_address_lead_to_no_other_site() {
    assert_leads_nowhere(&[
        "/.\\evil.example",
        "/./\\evil.example",
        "/\u{b}/evil.example",
        "/..\t//evil.example",
        "/%0d/evil.example",
    ])
    .await;
}

/// `evilgmr.example` passed for a host below `.gmr.example`.
#[tokio::test]
async fn t03_cve_2021_21291_a_look_alike_of_a_host_is_another_host() {
    assert_leads_nowhere(&[
        "https://evilapp.localhost/",
        "//evilapp.localhost/",
        "https://app.localhost.evil.example/",
    ])
    .await;
    let site = Site::new().await;
    let mut browser = site.signed_in().await;
    let port = site.gateway.address().port();
    for host in ["evilapp.localhost", "app.localhost.evil.example", "x.app.localhost", "localhost"] {
        let origin = format!("http://{host}:{port}");
        let reply = browser.post(&site.url("/.lychgate/logout"), "", &[("origin", &origin)]).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{origin}");
        let request = format!("GET /public/x HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
        assert_eq!(super::send(&site, request).await.status, 404, "{host}");
    }
    assert_eq!(site.status(&mut browser).await, 200);
}

/// A required group of a provider was no longer looked at, and everybody of that provider came in.
#[tokio::test]
async fn t03_cve_2021_21411_who_is_in_no_required_group_stays_outside() {
    let site = Site::new().await;
    for groups in [json!([]), json!(["other"]), json!(["Staff", "staff2", "a staff"]), json!("other")] {
        site.provider.script().person = vec![ada()[0].clone(), ("groups".to_owned(), groups.clone())];
        let reply = Browser::new().open(&site.url("/")).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{groups}");
    }
    // Groups that the provider does not give are not "no groups", and not "all groups" either.
    site.provider.script().person = vec![ada()[0].clone()];
    assert!(!Browser::new().open(&site.url("/")).await.status.is_success());
    assert_eq!(site.application.seen().len(), 0);
}
