//! Made-up opaque tokens: what an address makes a provider work for is bounded, and nobody with a good token notices (decision 96).

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::harness::provider::Answer;
use crate::harness::site::line_of;
use crate::harness::wire::Wire;

const OPAQUE: &str = "tokens = \"opaque\"\ncache = \"30s\"\n";
/// One question in ten seconds, four at once.
const FEW: &str = "trusted_proxies = [\"127.0.0.0/8\"]\n[limits.strangers]\nrequests = 6\nevery = \"1m\"\nburst = 4\n";

/// An application behind a proxy that says who clients are, and a provider that knows these tokens.
async fn api(known: &[&str]) -> Api {
    let api = Api::with(OPAQUE, |setup, _| setup.settings(FEW)).await;
    api.provider.script().introspection = known.iter().map(|token| ((*token).to_owned(), active(token))).collect();
    api
}

fn active(token: &str) -> Value {
    json!({
        "active": true, "aud": AUDIENCE, "sub": token, "client_id": "export", "preferred_username": "ada", "groups": ["staff"],
    })
}

impl Api {
    async fn from(&self, client: &str, token: &str) -> Reply {
        let authorization = format!("Bearer {token}");
        ask(&self.gateway.url("/"), &[("authorization", &authorization), ("x-forwarded-for", client)]).await
    }

    async fn status_from(&self, client: &str, token: &str) -> u16 {
        self.from(client, token).await.status.as_u16()
    }

    fn questions(&self) -> usize {
        self.provider.requests("/introspect").len()
    }
}

#[tokio::test]
async fn d03_a_flood_of_made_up_tokens_does_not_reach_the_provider() {
    let api = api(&["good", "new"]).await;
    assert_eq!(api.status_from("192.0.2.7", "good").await, 200);
    let mut refused = Vec::new();
    let mut statuses = Vec::new();
    for number in 0..20 {
        let reply = api.from("192.0.2.7", &format!("made-up-{number}")).await;
        statuses.push(reply.status.as_u16());
        if reply.status == 429 {
            refused.push(reply);
        }
    }
    assert_eq!(statuses, [[401; 4].as_slice(), &[429; 16]].concat());
    assert_eq!(api.questions(), 5);
    let reply = &refused[0];
    assert_eq!((reply.header("retry-after"), &reply.json()["error"]), (Some("10"), &json!("too_many_requests")));
    assert_eq!(reply.header("www-authenticate"), None, "nothing is known of the token");
    assert_eq!(api.status_from("192.0.2.7", "made-up-3").await, 401, "what is remembered costs no question");
    assert_eq!(api.status_from("192.0.2.8", "new").await, 200, "a neighbour");
    // A token that was good is no stranger's, also when it must be asked about again.
    assert_eq!(api.status_from("192.0.2.7", "good").await, 200);
    api.clock.advance(Duration::from_secs(31));
    for (token, status) in [("a", 401), ("b", 401), ("c", 401), ("d", 429)] {
        assert_eq!(api.status_from("192.0.2.7", token).await, status, "{token}");
    }
    assert_eq!(api.status_from("192.0.2.7", "good").await, 200);
    assert_eq!(api.questions(), 10);
    let log = api.gateway.stop().await;
    assert_eq!(line_of(&log, reply)["reason"], "rate_limited");
    assert_eq!(line_of(&log, reply)["decision"], "refused");
}

#[tokio::test]
async fn d03_clients_with_good_tokens_are_not_counted_however_many_they_are() {
    let names: Vec<String> = (0..12).map(|number| format!("good-{number}")).collect();
    let api = api(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for round in 1..=3 {
        for name in &names {
            assert_eq!(api.status_from("192.0.2.7", name).await, 200, "{name}");
        }
        assert_eq!(api.questions(), 12 * round);
        api.clock.advance(Duration::from_secs(31));
    }
    // While the provider is away, they are told so, and not that they are too many.
    api.provider.script().introspection_answer = Answer::Status(500);
    for name in &names {
        assert_eq!(api.status_from("192.0.2.7", name).await, 503, "{name}");
    }
    api.provider.script().introspection_answer = Answer::Normal;
    for name in &names {
        assert_eq!(api.status_from("192.0.2.7", name).await, 200, "{name}");
    }
    // Withdrawn, they are strangers from the second question on.
    api.provider.script().introspection.clear();
    api.clock.advance(Duration::from_secs(31));
    for name in &names {
        assert_eq!(api.status_from("192.0.2.7", name).await, 401, "{name}");
    }
    api.clock.advance(Duration::from_secs(31));
    let mut statuses = Vec::new();
    for name in &names {
        statuses.push(api.status_from("192.0.2.7", name).await);
    }
    assert_eq!(statuses, [[401; 4].as_slice(), &[429; 8]].concat());
}

#[tokio::test]
async fn d03_a_provider_that_turns_strangers_away_is_not_asked_by_them_without_end() {
    let api = api(&["good"]).await;
    assert_eq!(api.status_from("192.0.2.7", "good").await, 200);
    api.provider.script().introspection_answer = Answer::Status(500);
    let mut statuses = Vec::new();
    for number in 0..8 {
        statuses.push(api.status_from("192.0.2.7", &format!("made-up-{number}")).await);
    }
    assert_eq!(statuses, [503, 503, 503, 503, 429, 429, 429, 429]);
    assert_eq!(api.questions(), 5);
    assert_eq!(api.status_from("192.0.2.7", "good").await, 200, "what the provider said lately counts");
}

#[tokio::test]
async fn d03_while_a_provider_is_left_alone_nobody_is_counted_and_what_it_said_lately_counts() {
    let api = api(&["good", "new"]).await;
    assert_eq!(api.status_from("192.0.2.7", "good").await, 200);
    let turns_away = Answer::TurnsAway { status: 429, retry_after: Some("20"), times: 1 };
    api.provider.script().introspection_answer = turns_away;
    for number in 0..8 {
        assert_eq!(api.status_from("192.0.2.7", &format!("made-up-{number}")).await, 503);
    }
    assert_eq!(api.questions(), 2, "it asked to be left alone");
    assert_eq!(api.status_from("192.0.2.7", "good").await, 200);
    // By then the one that was turned away counts no more.
    api.clock.advance(Duration::from_secs(20));
    assert_eq!(api.status_from("192.0.2.7", "new").await, 200);
    let mut statuses = Vec::new();
    for number in 0..5 {
        statuses.push(api.status_from("192.0.2.7", &format!("made-up-{number}")).await);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 429]);
}

#[tokio::test]
async fn d03_whoever_leaves_before_the_answer_has_asked_all_the_same() {
    let api = api(&[]).await;
    api.provider.script().introspection_answer = Answer::Never;
    for number in 0..4 {
        let mut leaving = Wire::connect(api.gateway.address()).await;
        let head = format!(
            "GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-For: 192.0.2.7\r\nAuthorization: Bearer made-up-{number}\r\n\r\n"
        );
        leaving.send(head).await.unwrap();
        while api.questions() == number {
            tokio::task::yield_now().await;
        }
    }
    // The gateway has seen them leave.
    let metrics = format!("http://localhost:{}/metrics", api.gateway.admin().port());
    while !Browser::new().get(&metrics).await.text().contains("\nlychgate_connections 0\n") {
        tokio::task::yield_now().await;
    }
    api.provider.script().introspection_answer = Answer::Normal;
    assert_eq!(api.status_from("192.0.2.7", "one-more").await, 429);
    assert_eq!(api.status_from("192.0.2.8", "made-up-0").await, 401);
    assert_eq!(api.questions(), 5);
}

#[tokio::test]
async fn d03_what_a_provider_that_is_gone_was_never_asked_makes_nobody_a_stranger() {
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let clock = clock();
    let provider = provider(&clock).await;
    provider.script().metadata =
        vec![("introspection_endpoint".to_owned(), json!(format!("http://{nowhere}/introspect")))];
    let application = Application::start(IDENTITY).await;
    let policy = policy(&application.url(), HOST, OPAQUE);
    let gateway = Setup::new(&clock).provider(&provider).policy("app", &policy).settings(FEW).start().await;
    let api = Api { clock, provider, application, gateway };
    for number in 0..8 {
        assert_eq!(api.status_from("192.0.2.7", &format!("new-{number}")).await, 503, "{number}");
    }
}
