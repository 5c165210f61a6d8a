//! What an application has a say in: requests with forged headers refused as a whole, doubtful paths kept (S01, S02, P01, P02, P03).

use super::scrubbing::forged;
use super::{IDENTITY, Plan, Site, anonymous};
use crate::harness::application::Application;
use crate::harness::browser::Browser;
use crate::harness::gateway::HOST;
use crate::harness::soon;

const REJECT: &str = "forged_headers = \"reject\"\n";
const KEEP: &str = "encoded_slash = \"keep\"\npath_parameters = \"keep\"\n";
/// Names of the list of forged ones by which nobody is told who asks: proxies and frameworks send some of them.
const WAYS: &[&str] = &[
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-server",
    "x-real-ip",
    "x_real_ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-url",
    "x_original_url",
    "x-original-method",
    "x-rewrite-url",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "proxy",
];

async fn site_with(application: &Application, app: &str) -> Site {
    let upstream = format!("\"{}\"", application.url());
    Plan { upstream: &upstream, app, ..Plan::default() }.start().await
}

#[tokio::test]
async fn s01_a_request_with_any_forged_name_is_refused_where_the_application_wants_it() {
    let application = Application::start(IDENTITY).await;
    let site = site_with(&application, REJECT).await;
    let mut client = site.connect().await;
    let (mut refused, mut passed) = (0, 0);
    for name in forged() {
        client.send(site.request("GET /mine", &format!("{name}: root\r\n"), "")).await.unwrap();
        let expected = if WAYS.contains(&name.to_ascii_lowercase().as_str()) { 200 } else { 400 };
        assert_eq!(soon(client.reply(false)).await.unwrap().status, expected, "{name}");
        *(if expected == 400 { &mut refused } else { &mut passed }) += 1;
    }
    assert!(refused > 50 && passed == WAYS.len(), "{refused} refused, {passed} passed");
    assert_eq!(application.seen().len(), passed);
    drop(client);
    let log = site.log().await;
    let told = log.iter().filter(|line| {
        (&line["reason"], &line["decision"], &line["app"])
            == (&"header_forged".into(), &"refused".into(), &"app".into())
    });
    assert_eq!(told.count(), refused);
}

#[tokio::test]
async fn s02_a_forged_name_is_refused_on_every_path() {
    let application = Application::start(IDENTITY).await;
    let site = site_with(&application, REJECT).await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n";
    let mut asked = 0;
    for line in [
        "GET /public/x",
        "OPTIONS /preflight/x",
        "GET /mine",
        "POST /mine",
        "GET /admin/x",
        "BREW /mine",
        "GET /.lychgate/callback?state=x&code=y",
        "POST /.lychgate/callback",
        "GET /.lychgate/me",
        "GET /.lychgate/jwks",
        "POST /.lychgate/logout",
        "GET /.lychgate/nothing-here",
    ] {
        for request in [
            anonymous(line, "X_Remote.User: root\r\n", ""),
            site.request(line, "X_Remote.User: root\r\n", ""),
            site.request(line, &format!("{upgrade}x-REMOTE_user: root\r\n"), ""),
        ] {
            assert_eq!(site.ask(request).await.status, 400, "{line}");
            asked += 1;
        }
    }
    assert_eq!(application.seen().len(), 0);
    // What belongs to the connection is dropped as ever, and trailers with it.
    let fields = "Connection: x-remote-user\r\nTransfer-Encoding: chunked\r\nTrailer: X-Remote-User\r\n";
    let body = "1\r\na\r\n0\r\nX-Remote-User: root\r\n\r\n";
    assert_eq!(site.ask(site.request("POST /mine", fields, body)).await.status, 200);
    assert_eq!(application.only().header("x-remote-user").as_deref(), Some("ada"));
    let metrics = metrics_of(&site).await;
    assert!(metrics.contains("lychgate_refused_total{app=\"app\",reason=\"header_forged\"} 18"), "{metrics}");
    assert!(metrics.contains("lychgate_refused_total{app=\"-\",reason=\"header_forged\"} 18"), "{metrics}");
    let log = site.log().await;
    // `log` leaves the callback's lines away.
    assert_eq!(log.iter().filter(|line| line["reason"] == "header_forged").count(), asked - 6);
}

/// The metrics, as the listener for operators gives them.
async fn metrics_of(site: &Site) -> String {
    Browser::new().get(&format!("http://127.0.0.1:{}/metrics", site.gateway.admin().port())).await.text()
}

#[tokio::test]
async fn p02_parameters_that_are_kept_change_no_decision_and_arrive() {
    let application = Application::start(IDENTITY).await;
    let site = site_with(&application, KEEP).await;
    for (target, arrives) in [
        ("/mine;jsessionid=1?q", "/mine;jsessionid=1?q"),
        ("/x/../mine;a=%62%c3%a4;c", "/mine;a=b%C3%A4;c"),
        ("/public/x;v=1", "/public/x;v=1"),
        ("/public/x;..", "/public/x;.."),
    ] {
        assert_eq!(site.ask(site.request(&format!("GET {target}"), "", "")).await.status, 200, "{target}");
        assert_eq!(application.last().target, arrives);
    }
    let seen = application.seen().len();
    for (target, status) in [
        ("/admin;x", 403),
        ("/admin;/", 400),
        ("/admin/users;jsessionid=1", 403),
        ("/public/../admin/users;x", 403),
        ("/public/..;/admin/users", 400),
        ("/public;x/../admin/users", 400),
        ("/;/admin/users", 400),
        ("/admin;x/users", 400),
        ("/admin%3bx", 400),
        ("/.lychgate/me;x", 400),
        ("/.lychgate;x", 400),
    ] {
        assert_eq!(site.ask(site.request(&format!("GET {target}"), "", "")).await.status, status, "{target}");
    }
    assert_eq!(application.seen().len(), seen);
    let log = site.log().await;
    // An application's session identifier is as good as a password, so it stands in no log.
    assert!(log.iter().all(|line| !line.to_string().contains("jsessionid")), "{log:?}");
    assert!(log.iter().any(|line| line["path"] == "/admin/users" && line["decision"] == "deny"));
}

#[tokio::test]
async fn p02_an_encoded_slash_that_is_kept_is_decided_on_in_both_readings() {
    let application = Application::start(IDENTITY).await;
    let site = site_with(&application, KEEP).await;
    for (target, arrives) in [
        ("/public/group%2fname", "/public/group%2Fname"),
        ("/mine/a%2Fb;v=1?x=%2f", "/mine/a%2Fb;v=1?x=%2f"),
        ("/mine/%61%2fb/", "/mine/a%2Fb/"),
    ] {
        assert_eq!(site.ask(site.request(&format!("GET {target}"), "", "")).await.status, 200, "{target}");
        assert_eq!(application.last().target, arrives);
    }
    let seen = application.seen().len();
    // As one segment these match the rule for everything else; read as two they do not.
    for target in ["/admin%2fx", "/admin%2Fusers;x", "/public%2fx", "/x/%2e%2e/admin%2fx"] {
        assert_eq!(site.ask(site.request(&format!("GET {target}"), "", "")).await.status, 403, "{target}");
    }
    for target in [
        "/public/..%2fadmin",
        "/public/x%2f..%2f..%2fadmin",
        "/%2fadmin",
        "/admin%2f",
        "/public/a%2f%2fb",
        "/.lychgate%2fme",
        "/public/a%2f.%2fb",
        "/public/a%2fb/../../admin/x",
    ] {
        assert_eq!(site.ask(site.request(&format!("GET {target}"), "", "")).await.status, 400, "{target}");
    }
    assert_eq!(application.seen().len(), seen);
    let log = site.log().await;
    assert_eq!(log.iter().filter(|line| line["reason"] == "path_ambiguous").count(), 4);
    assert_eq!(log.iter().filter(|line| line["reason"] == "path_encoded_slash").count(), 8);
}

#[tokio::test]
async fn p03_an_application_that_ignores_case_gets_no_protected_path_in_another() {
    let application = Application::start(IDENTITY).await;
    let site = site_with(&application, &format!("ignore_case = true\n{KEEP}")).await;
    for target in ["/ADMIN", "/Admin/", "/aDmIn/users", "/%41dmin;x", "/ADMIN;jsessionid=1", "/x/../ADMIN/users;y"] {
        assert_eq!(site.ask(site.request(&format!("GET {target}"), "", "")).await.status, 403, "{target}");
    }
    assert_eq!(application.seen().len(), 0);
}

#[tokio::test]
async fn p02_a_login_comes_back_to_the_path_with_its_parameters() {
    let application = Application::start(IDENTITY).await;
    let site = site_with(&application, KEEP).await;
    let mut browser = Browser::new();
    let address = format!("http://{HOST}:{}/mine/a%2fb;v=1?q", site.gateway.address().port());
    assert_eq!(browser.open(&address).await.status, 200);
    assert_eq!(application.last().target, "/mine/a%2Fb;v=1?q");
}

#[tokio::test]
async fn p06_head_is_decided_as_get_and_no_field_makes_another_method_of_one() {
    let application = Application::start(IDENTITY).await;
    let site = site_with(&application, "").await;
    for (line, status) in [("HEAD /admin/x", 403), ("GET /admin/x", 403), ("HEAD /mine", 200), ("GET /mine", 200)] {
        assert_eq!(site.ask(site.request(line, "", "")).await.status, status, "{line}");
    }
    let seen = application.seen().len();
    let overrides = "X-HTTP-Method-Override: GET\r\nX-HTTP-Method: GET\r\nX-Method-Override: GET\r\nX_HTTP_Method_Override: GET\r\n";
    // The preflight rule is for OPTIONS alone; the last two methods are none that any rule is for.
    for line in ["GET /preflight/x", "POST /preflight/x"] {
        assert_eq!(site.ask(anonymous(line, &overrides.replace("GET", "OPTIONS"), "")).await.status, 401, "{line}");
    }
    for line in ["PROPFIND /mine", "get /mine", "GETS /public/x"] {
        assert_eq!(site.ask(site.request(line, overrides, "")).await.status, 403, "{line}");
    }
    assert_eq!(application.seen().len(), seen);
    assert_eq!(site.ask(site.request("POST /mine", &overrides.replace("GET", "DELETE"), "")).await.status, 200);
    let last = application.last();
    assert_eq!(last.method, "POST");
    assert!(last.headers.keys().all(|name| !name.as_str().contains("method")), "{:?}", last.headers);
}
