//! Caddy, Ory Oathkeeper, authentik, Authelia, LemonLDAP::NG.

use super::{ask, assert_ada_alone, cookies, send};
use crate::harness::gateway::{HOST, Setup};
use crate::harness::site::{Site, policy};

/// Caddy: where the checker named no value for a field, the client's own value was passed on.
#[tokio::test]
async fn t03_cve_2026_30851_a_field_whose_claim_is_absent_is_absent() {
    let with_email =
        |upstream: &str| policy(upstream).replace("[headers]", "[headers]\nX-Remote-Email = \"${user.email}\"");
    let site = Site::with(with_email, |setup| setup).await;
    let mine = cookies(&site.signed_in().await);
    let forged = "X-Remote-Email: root\r\nx-remote-email: root\r\nX_Remote_Email: root\r\n";
    assert_eq!(ask(&site, "GET /mine", &format!("{mine}{forged}")).await.status, 200);
    assert_ada_alone(&site);
    assert_eq!(site.application.last().header("x-remote-email"), None);
}

/// Oathkeeper: `/public/../admin` met the rule of `/public`.
#[tokio::test]
async fn t03_ghsa_p224_6x5r_fjpm_dots_lead_out_of_a_public_rule() {
    let site = Site::new().await;
    let mine = cookies(&site.signed_in().await);
    let before = site.application.seen().len();
    for target in [
        "/public/../admin/x",
        "/public/%2e%2e/admin/x",
        "/public/a/../../admin/x",
        "/public/.%2E/./admin/x",
        "/public//../admin/x",
    ] {
        assert_eq!(ask(&site, &format!("GET {target}"), "").await.status, 401, "{target}");
        assert_eq!(ask(&site, &format!("GET {target}"), &mine).await.status, 403, "{target}");
    }
    assert_eq!(site.application.seen().len(), before);
}

/// Oathkeeper: a `Connection` line made the proxy drop the field that its mutator had set.
#[tokio::test]
async fn t03_ghsa_w9mr_28mw_j8hg_the_identity_is_set_behind_hop_by_hop_names() {
    let site = Site::new().await;
    let mine = cookies(&site.signed_in().await);
    for names in [
        "X-Remote-User",
        "close, X-Remote-User",
        "keep-alive, x-remote-user,",
        "X-Remote-User\r\nConnection: X-Remote-Groups",
    ] {
        let fields = format!("{mine}Connection: {names}\r\nX-Remote-User: root\r\n");
        assert_eq!(ask(&site, "GET /mine", &fields).await.status, 200, "{names}");
        assert_ada_alone(&site);
    }
}

/// authentik: an address that could not be read in `X-Forwarded-For` made checks be passed over.
#[tokio::test]
async fn t03_cve_2024_47070_an_unreadable_x_forwarded_for_passes_over_no_rule() {
    let inside = |upstream: &str| {
        policy(upstream).replace("paths = [\"/public/**\"]", "paths = [\"/public/**\"]\nnetworks = [\"10.0.0.0/8\"]")
    };
    let trusting = |setup: Setup| setup.settings("trusted_proxies = [\"127.0.0.0/8\"]");
    let site = Site::with(inside, trusting).await;
    for chain in [
        "a",
        "unknown",
        "10.0.0.1:x",
        "10.0.0.1, ",
        "10.0.0.1,,",
        "10.0.0.999",
        "\"10.0.0.1\"",
        "10.0.0.1 10.0.0.1",
        "::fffff",
    ] {
        let reply = ask(&site, "GET /public/x", &format!("X-Forwarded-For: {chain}\r\n")).await;
        assert_eq!(reply.status, 400, "{chain}");
    }
    assert_eq!(ask(&site, "GET /public/x", "X-Forwarded-For: 203.0.113.7\r\n").await.status, 401);
    assert_eq!(site.application.seen().len(), 0);
    assert_eq!(ask(&site, "GET /public/x", "X-Forwarded-For: 10.0.0.1\r\n").await.status, 200);
}

/// authentik: with a malformed session cookie requests went on, without anybody's name.
#[tokio::test]
async fn t03_cve_2026_25748_a_malformed_cookie_is_no_session_and_lets_nobody_pass() {
    let site = Site::new().await;
    for value in ["", "x", "%", "\"\"", "\"", "{}", "null", "AAAA", "2.AAAA", "===", "\u{e4}", &"A".repeat(3000)] {
        let fields = format!("Cookie: lychgate={value}\r\n");
        for accept in ["", "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n"] {
            let status = ask(&site, "GET /private", &format!("{fields}{accept}")).await.status;
            assert!(matches!(status, 302 | 401), "{value:.20}: {status}");
        }
    }
    assert_eq!(site.application.seen().len(), 0);
}

/// Authelia: a rule for a host was missed when the host came in capitals.
#[tokio::test]
async fn t03_cve_2026_48794_a_host_in_capitals_meets_the_rule_of_its_host() {
    let strict = |upstream: &str| {
        let hosts = format!("hosts = [\"{HOST}\", \"open.localhost\"]");
        let rules = format!(
            "[[rules]]\nhosts = \"{HOST}\"\nallow = \"'admins' in user.groups\"\n[[rules]]\naccess = \"public\"\n"
        );
        let head = policy(upstream).replace(&format!("hosts = [\"{HOST}\"]"), &hosts);
        format!("{}{rules}", head.split_once("[[rules]]").unwrap().0)
    };
    let site = Site::with(strict, |setup| setup).await;
    for host in ["APP.localhost", "App.Localhost", "app.LOCALHOST.", "aPP.lOCALHOST:80", HOST] {
        let reply = send(&site, format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(reply.status, 401, "{host}");
    }
    assert_eq!(site.application.seen().len(), 0);
    let open = send(&site, "GET /x HTTP/1.1\r\nHost: OPEN.localhost\r\n\r\n").await;
    assert_eq!(open.status, 200);
}

/// LemonLDAP::NG: identity fields of a client passed where a path needed no session.
#[tokio::test]
async fn t03_lemonldap_2434_identity_fields_are_removed_where_nobody_need_sign_in() {
    let site = Site::new().await;
    let forged = "X-Remote-User: root\r\nX-Remote-Groups: root\r\nRemote-User: root\r\nAuth-User: root\r\n";
    for line in ["GET /public/x", "HEAD /public/x", "OPTIONS /public/x"] {
        let request = format!("{line} HTTP/1.1\r\nHost: {HOST}\r\n{forged}Connection: close\r\n\r\n");
        let mut wire = crate::harness::wire::Wire::connect(site.gateway.address()).await;
        wire.send(request).await.unwrap();
        let reply = crate::harness::soon(wire.head()).await.unwrap();
        assert_eq!(reply.status, 200, "{line}");
        let seen = site.application.last();
        assert!(seen.headers.values().all(|value| value != "root"), "{line}: {:?}", seen.headers);
    }
}

/// LemonLDAP::NG: rules were asked about another spelling of the path than the one that chose what was served.
#[tokio::test]
async fn t03_cve_2020_24660_rules_see_the_path_that_is_sent_on() {
    let site = Site::new().await;
    let mine = cookies(&site.signed_in().await);
    let before = site.application.seen().len();
    for target in ["/%61dmin/x", "/%61%64%6D%69%6E/x", "//admin/x", "/./admin/x", "/x/../admin/x", "/admin/%78"] {
        assert_eq!(ask(&site, &format!("GET {target}"), &mine).await.status, 403, "{target}");
    }
    assert_eq!(site.application.seen().len(), before);
    assert_eq!(ask(&site, "GET /%70ublic/%78?q=%61", "").await.status, 200);
    assert_eq!(site.application.last().target, "/public/x?q=%61");
}
