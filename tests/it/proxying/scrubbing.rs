//! Nobody but the gateway tells the application who asks (S01-S05, S07).

use bytes::Bytes;
use http::Response;
use serde_json::Value;

use super::{IDENTITY, Plan, Site, anonymous, site};
use crate::harness::application::{Application, Seen};
use crate::harness::gateway::HOST;

/// Spellings that some server takes for one of the policy's names, or for one of the built-in list.
const FORGED: &str = include_str!("../../data/forged-headers.txt");

pub(super) fn forged() -> impl Iterator<Item = &'static str> {
    FORGED.lines().filter(|line| !line.is_empty() && !line.starts_with("# "))
}

/// All spellings at once, in several lines where `twice` says so.
fn all_forged(twice: bool) -> String {
    forged().map(|name| format!("{name}: root\r\n").repeat(1 + usize::from(twice))).collect()
}

/// What the gateway is the only one to say, as the application saw it.
fn identity(seen: &Seen) -> [Option<String>; 3] {
    ["x-remote-user", "x-remote-groups", "x-remote-email"].map(|name| seen.header(name))
}

fn ada() -> [Option<String>; 3] {
    [Some("ada".to_owned()), Some("staff;artists".to_owned()), None]
}

async fn with_limits(application: &Application) -> Site {
    let upstream = format!("\"{}\"", application.url());
    Plan { upstream: &upstream, settings: "[limits]\nheader_count = 500\n", ..Plan::default() }.start().await
}

/// The recording application fails the test on every field that is neither ordinary nor in [`IDENTITY`].
#[tokio::test]
async fn s01_s02_s03_no_spelling_of_an_identity_field_reaches_the_application_on_any_path() {
    let application = Application::start(IDENTITY).await;
    let site = with_limits(&application).await;
    for twice in [false, true] {
        let fields = all_forged(twice);
        for request in [
            anonymous("GET /public/x", &fields, ""),
            anonymous("OPTIONS /preflight/x", &format!("{fields}Origin: https://other.example\r\n"), ""),
        ] {
            assert_eq!(site.ask(request).await.status, 200);
            let seen = application.last();
            assert_eq!(identity(&seen), [None, None, None]);
            assert_root_is_nowhere(&seen);
        }
        assert_eq!(site.ask(site.request("GET /mine", &fields, "")).await.status, 200);
        assert_eq!(identity(&application.last()), ada());
        assert_root_is_nowhere(&application.last());
    }
    assert_eq!(application.seen().len(), 6);
}

fn assert_root_is_nowhere(seen: &Seen) {
    let found: Vec<_> = seen.headers.iter().filter(|(_, value)| value.as_bytes() == b"root").collect();
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test]
async fn s01_one_spelling_at_a_time_is_taken_out() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    for name in forged() {
        client.send(site.request("GET /mine", &format!("{name}: root\r\n"), "")).await.unwrap();
        assert_eq!(client.reply(false).await.unwrap().status, 200, "{name}");
        assert_eq!(identity(&application.last()), ada(), "{name}");
        assert_root_is_nowhere(&application.last());
    }
}

#[tokio::test]
async fn s02_the_gateways_own_addresses_never_reach_the_application() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application.url()).await;
    for (target, status) in [
        ("/.lychgate/callback?state=x&code=y", 302),
        ("/.lychgate/callback?error=access_denied&state=x", 302),
        ("/.lychgate/nothing-here", 404),
        ("/.lychgate", 404),
        ("/public/../.lychgate/x", 404),
        ("/%2elychgate/x", 404),
        ("//.lychgate/x", 404),
        ("/.LYCHGATE/x", 404),
    ] {
        for method in ["GET", "OPTIONS", "POST"] {
            let reply = site.ask(site.request(&format!("{method} {target}"), &all_forged(false), "")).await;
            // The provider's posted response is a form, and this is none.
            let no_form = method == "POST" && target.starts_with("/.lychgate/callback") && reply.status == 400;
            assert!(reply.status == status || reply.status == 405 || no_form, "{method} {target}: {}", reply.status);
        }
    }
    assert_eq!(application.seen().len(), 0);
}

#[tokio::test]
async fn s04_connection_cannot_take_the_gateways_fields_away() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application.url()).await;
    let names = "x-remote-user, X-Remote-Groups, x-forwarded-for, x-forwarded-proto, x-request-id, forwarded, host";
    for fields in [
        format!("Connection: {names}\r\n"),
        format!("Connection: keep-alive\r\nConnection: {names}\r\nX-Remote-User: root\r\n"),
    ] {
        assert_eq!(site.ask(site.request("GET /mine", &fields, "")).await.status, 200);
        let seen = application.last();
        assert_eq!(identity(&seen), ada());
        for name in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id", "forwarded", "host"] {
            assert!(seen.header(name).is_some(), "{name}");
        }
    }
    // Who takes away her own cookie is nobody.
    let reply = site.ask(site.request("GET /mine", "Connection: cookie\r\n", "")).await;
    assert_eq!(reply.status, 401);
    assert_eq!(application.seen().len(), 2);
}

#[tokio::test]
async fn s07_the_gateways_cookies_do_not_reach_the_application_and_others_do() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application.url()).await;
    let own = &site.cookie;
    let names = ["__Host-lychgate", "__Secure-lychgate.x", "lychgate", "lychgate.2", "__HOST-LYCHGATE", "LychGate-app"];
    let more: String = names.iter().map(|name| format!("; {name}=stolen")).collect();
    let request =
        format!("GET /mine HTTP/1.1\r\nHost: {HOST}\r\nCookie: a=1; {own}\r\nCookie: theirs=x=y{more}; b\r\n\r\n");
    assert_eq!(site.ask(request).await.status, 200);
    assert_eq!(application.last().header("cookie").as_deref(), Some("a=1; theirs=x=y; b"));
    assert_eq!(site.ask(site.request("GET /mine", "", "")).await.status, 200);
    assert_eq!(application.last().header("cookie"), None);
}

#[tokio::test]
async fn s07_an_application_cannot_set_the_gateways_cookies() {
    let application = Application::answering(IDENTITY, |_| {
        let mut response = Response::new(Bytes::new());
        let cookies = [
            "theirs=1; Path=/",
            "__Host-lychgate=evil",
            "lychgate=evil; Max-Age=0",
            "__host-LYCHGATE.1=evil",
            "last=2",
        ];
        for cookie in cookies {
            response.headers_mut().append("set-cookie", cookie.parse().unwrap());
        }
        response
    })
    .await;
    let site = site(&application.url()).await;
    let reply = site.ask(anonymous("GET /public/x", "", "")).await;
    let set: Vec<_> = reply.head.lines().filter(|line| line.starts_with("set-cookie:")).collect();
    assert_eq!(set, ["set-cookie: theirs=1; Path=/", "set-cookie: last=2"]);
}

#[tokio::test]
async fn s05_the_way_of_a_request_is_told_by_the_gateway_alone() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application.url()).await;
    let fields = "X-Forwarded-For: 8.8.8.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n\
        Forwarded: for=8.8.8.8;host=evil.example\r\nX-Request-Id: mine\r\nX-Forwarded-Port: 1\r\nX-Real-IP: 8.8.8.8\r\n\
        X-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nX-HTTP-Method-Override: DELETE\r\nProxy: http://evil.example\r\n\
        SCRIPT_NAME: /public\r\nScript-Name: /public\r\nX-Script-Name: /public\r\nPATH_INFO: /admin\r\nX-Vhm-Root: /admin\r\n\
        Client-IP: 8.8.8.8\r\nX-Scheme: https\r\n";
    assert_eq!(site.ask(anonymous("GET /public/x", fields, "")).await.status, 200);
    let seen = application.only();
    let told = ["script", "path", "vhm", "client-ip", "scheme", "original", "rewrite", "override", "proxy"];
    let left = seen.headers.keys().find(|name| told.iter().any(|part| name.as_str().contains(part)));
    assert_eq!(left, None);
    assert_eq!(seen.header("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(seen.header("x-forwarded-host").as_deref(), Some(HOST));
    assert_eq!(seen.header("host").as_deref(), Some(HOST));
    let forwarded = format!("for=127.0.0.1;host=\"{HOST}\";proto=http");
    assert_eq!(seen.header("forwarded"), Some(forwarded));
    let id = seen.header("x-request-id").unwrap();
    let log = site.log().await;
    assert_eq!((&log[0]["request_id"], &log[0]["client"]), (&Value::from(id), &Value::from("127.0.0.1")));
}

#[tokio::test]
async fn s05_a_trusted_proxys_chain_is_believed_and_a_bad_one_refused() {
    let application = Application::start(IDENTITY).await;
    let upstream = format!("\"{}\"", application.url());
    let settings = "trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n";
    let listeners = "[[listeners]]\naddress = \"127.0.0.1:0\"\nscheme = \"https\"\n";
    let site = Plan { upstream: &upstream, settings, listeners, ..Plan::default() }.start().await;
    let fields = "X-Forwarded-For: 1.1.1.1, 203.0.113.7\r\nX-Forwarded-For: 10.0.0.9\r\nX-Forwarded-Proto: http\r\n";
    assert_eq!(site.ask(anonymous("GET /public/x", fields, "")).await.status, 200);
    let seen = application.only();
    assert_eq!(seen.header("x-forwarded-for").as_deref(), Some("203.0.113.7, 10.0.0.9, 127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto").as_deref(), Some("https"));
    for chain in ["unknown", "1.1.1.1,,10.0.0.9", ""] {
        let reply = site.ask(anonymous("GET /public/x", &format!("X-Forwarded-For: {chain}\r\n"), "")).await;
        assert_eq!(reply.status, 400, "{chain}");
    }
    assert_eq!(application.seen().len(), 1);
    let log = site.log().await;
    let clients: Vec<_> = log.iter().filter(|line| line["status"] == 200).map(|line| &line["client"]).collect();
    assert_eq!(clients, [&Value::from("203.0.113.7")]);
    assert_eq!(log.iter().filter(|line| line["reason"] == "forwarded_unreadable").count(), 3);
}

#[tokio::test]
async fn s05_forwarded_of_a_trusted_proxy_is_believed_and_refused_where_it_disagrees() {
    let application = Application::start(IDENTITY).await;
    let upstream = format!("\"{}\"", application.url());
    let settings = "trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n";
    let listeners = "[[listeners]]\naddress = \"127.0.0.1:0\"\nscheme = \"https\"\n";
    let site = Plan { upstream: &upstream, settings, listeners, ..Plan::default() }.start().await;
    for fields in [
        "Forwarded: for=1.1.1.1, for=\"[2001:db8::7]:443\";proto=http;host=evil.example\r\nForwarded: for=10.0.0.9\r\n",
        "Forwarded: for=\"[2001:db8::7]\", for=10.0.0.9\r\nX-Forwarded-For: 1.1.1.1, 2001:db8::7, 10.0.0.9\r\n",
    ] {
        assert_eq!(site.ask(anonymous("GET /public/x", fields, "")).await.status, 200);
        let seen = application.last();
        assert_eq!(seen.header("x-forwarded-for").as_deref(), Some("2001:db8::7, 10.0.0.9, 127.0.0.1"));
        assert_eq!(seen.header("x-forwarded-proto").as_deref(), Some("https"));
    }
    for (fields, reason) in [
        ("Forwarded: for=unknown\r\n", "forwarded_unreadable"),
        ("Forwarded: for=1.1.1.1;x=\", for=10.0.0.9\r\n", "forwarded_unreadable"),
        ("Forwarded: for=1.1.1.1\r\nX-Forwarded-For: 203.0.113.7\r\n", "forwarded_disagrees"),
        ("Forwarded: for=203.0.113.7\r\nX-Forwarded-For: 1.1.1.1\r\n", "forwarded_disagrees"),
    ] {
        let reply = site.ask(anonymous("GET /public/x", &format!("Accept: application/json\r\n{fields}"), "")).await;
        assert_eq!(reply.status, 400, "{fields} {reason}");
    }
    assert_eq!(application.seen().len(), 2);
    let log = site.log().await;
    let count = |name: &str, value: &str| log.iter().filter(|line| line[name] == value).count();
    assert_eq!(count("client", "2001:db8::7"), 2);
    assert_eq!((count("reason", "forwarded_unreadable"), count("reason", "forwarded_disagrees")), (2, 2));
}
