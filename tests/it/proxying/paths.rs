//! One reading of target and host: decided on, logged and forwarded (P01, P04, P05, H02).

use lychgate::http::CanonicalPath;
use serde::Deserialize;

use super::{IDENTITY, Plan, anonymous, site};
use crate::harness::application::Application;
use crate::harness::gateway::HOST;
use crate::harness::soon;

#[derive(Deserialize)]
struct Targets {
    refused: Vec<Refused>,
    forwarded: Vec<Forwarded>,
}

#[derive(Deserialize)]
struct Refused {
    reason: String,
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Forwarded {
    #[serde(default)]
    same: Vec<String>,
    #[serde(default)]
    from: Vec<String>,
    #[serde(default)]
    to: String,
}

fn targets() -> Targets {
    toml::from_str(include_str!("../../data/targets.toml")).unwrap()
}

#[tokio::test]
async fn p01_doubtful_targets_are_refused_with_their_reason_and_reach_nobody() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application.url()).await;
    let mut expected = Vec::new();
    let mut client = site.connect().await;
    for Refused { reason, targets } in targets().refused {
        for target in targets {
            let request = site.request(&format!("GET {target}"), "Accept: application/json\r\n", "");
            client.send(request).await.unwrap();
            let reply = soon(client.reply(false)).await.unwrap();
            assert_eq!(reply.status, 400, "{target}");
            expected.push((target, reason.clone()));
        }
    }
    drop(client);
    assert_eq!(application.seen().len(), 0);
    let log = site.log().await;
    assert_eq!(log.len(), expected.len());
    for (line, (target, reason)) in log.iter().zip(expected) {
        assert_eq!((line["reason"].as_str(), line["decision"].as_str()), (Some(&*reason), Some("refused")), "{target}");
    }
}

#[tokio::test]
async fn p01_p04_what_is_decided_on_is_what_is_forwarded() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    let mut paths = Vec::new();
    for Forwarded { same, from, to } in targets().forwarded {
        let pairs = same
            .into_iter()
            .map(|target| (target.clone(), target))
            .chain(from.into_iter().map(|from| (from, to.clone())));
        for (from, to) in pairs {
            client.send(anonymous(&format!("GET {from}"), "", "")).await.unwrap();
            assert_eq!(soon(client.reply(false)).await.unwrap().status, 200, "{from}");
            assert_eq!(application.last().target, to, "{from}");
            // What rules see has no escapes of what may stand raw.
            let path = CanonicalPath::parse(to.split('?').next().unwrap()).unwrap();
            paths.push(path.as_str().to_owned());
        }
    }
    drop(client);
    let log = site.log().await;
    let logged: Vec<_> = log.iter().map(|line| line["path"].as_str().unwrap()).collect();
    assert_eq!(logged, paths);
}

#[tokio::test]
async fn p01_an_escape_walks_past_no_rule_and_arrives_as_it_was_sent() {
    let application = Application::start(IDENTITY).await;
    let rule = "[[rules]]\npaths = [\"/public/$metadata\", \"/public/root@corp.example/**\", \"/public/*:delete\"]\nrespond = 403\n";
    let plan = Plan { upstream: &format!("\"{}\"", application.url()), app: rule, ..Plan::default() };
    let site = plan.start().await;
    for path in [
        "/public/$metadata",
        "/public/%24metadata",
        "/public/root@corp.example/x",
        "/public/root%40corp.example/x",
        "/public/root%40corp%2eexample",
        "/public/7:delete",
        "/public/7%3Adelete",
        "/public/%2A%3adelete",
    ] {
        assert_eq!(site.ask(anonymous(&format!("GET {path}"), "", "")).await.status, 403, "{path}");
    }
    assert_eq!(application.seen().len(), 0);
    for (path, forwarded) in
        [("/public/%24x%2b+", "/public/%24x%2B+"), ("//public/7%3adeleted?%3a", "/public/7%3Adeleted?%3a")]
    {
        assert_eq!(site.ask(anonymous(&format!("GET {path}"), "", "")).await.status, 200, "{path}");
        assert_eq!(application.last().target, forwarded, "{path}");
    }
}

#[tokio::test]
async fn p01_a_target_without_a_path_is_forwarded_with_one() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application.url()).await;
    for (target, forwarded) in [
        ("http://app.localhost?x", "/?x"),
        ("http://app.localhost?x=/public/y", "/?x=/public/y"),
        ("http://app.localhost?", "/?"),
        ("http://app.localhost", "/"),
        ("http://app.localhost/?x", "/?x"),
    ] {
        // It is decided on as what it is forwarded as.
        assert_eq!(site.ask(anonymous(&format!("POST {target}"), "", "")).await.status, 401, "{target}");
        assert_eq!(site.ask(site.request(&format!("GET {target}"), "", "")).await.status, 200, "{target}");
        assert_eq!(application.last().target, forwarded, "{target}");
    }
    assert_eq!(application.seen().len(), 5);
}

#[tokio::test]
async fn p04_the_query_opens_and_closes_nothing() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application.url()).await;
    for target in ["/private?/public/x", "/private?x=/../public/x", "/?/public/", "/private%3f/public/x"] {
        assert_eq!(site.ask(anonymous(&format!("GET {target}"), "", "")).await.status, 401, "{target}");
    }
    assert_eq!(site.ask(site.request("GET /admin/x?/public/", "", "")).await.status, 403);
    assert_eq!(application.seen().len(), 0);
    assert_eq!(site.ask(anonymous("GET /public/x?/admin/", "", "")).await.status, 200);
}

#[tokio::test]
async fn p05_a_host_is_one_in_every_spelling() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application.url()).await;
    for host in ["app.localhost", "APP.LocalHost", "app.localhost.", "app.localhost:80", "App.Localhost.:8443"] {
        let reply = site.ask(format!("GET /mine HTTP/1.1\r\nHost: {host}\r\nCookie: {}\r\n\r\n", site.cookie)).await;
        assert_eq!(reply.status, 200, "{host}");
    }
    let known = application.seen().len();
    for host in
        ["localhost", "other.app.localhost", "app.localhost.evil.example", "xapp.localhost", "127.0.0.1", "[::1]:80"]
    {
        let reply = site.ask(format!("GET /public/x HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(reply.status, 404, "{host}");
    }
    assert_eq!(application.seen().len(), known);
    let log = site.log().await;
    assert_eq!(log.iter().filter(|line| line["reason"] == "host_unknown").count(), 6);
    assert!(log.iter().filter(|line| line["status"] == 200).all(|line| line["host"] == HOST));
}

#[tokio::test]
async fn p06_a_method_that_no_rule_names_is_denied() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application.url()).await;
    assert_eq!(site.ask(site.request("BREW /mine", "", "")).await.status, 403);
    assert_eq!(site.ask(anonymous("PROPFIND /public/x", "", "")).await.status, 403);
    assert_eq!(application.seen().len(), 0);
}
