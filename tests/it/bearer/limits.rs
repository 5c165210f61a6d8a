//! Limits of persons where programs speak for them: a person is one, whatever they come with.

use super::*;
use crate::harness::gateway::HOST;

/// Three requests an hour for each person.
const PER_PERSON: &str = "[limits]\nrate = { per = \"person\", requests = 3, every = \"1h\" }\n";

async fn api(tables: &str) -> Api {
    Api::with("", |setup, url| {
        setup.policy("app", &policy(url, HOST, "").replacen("[[rules]]", &format!("{tables}[[rules]]"), 1))
    })
    .await
}

#[tokio::test]
async fn d03_a_persons_tokens_and_sessions_are_counted_together() {
    let api = api(PER_PERSON).await;
    let mut browser = Browser::new();
    let page = browser.open(&api.gateway.url("/")).await;
    assert_eq!(page.status.as_u16(), 200, "{}", page.text());
    // Two tokens of the same person, from different clients.
    let of_person = |client: &str, id: &str| api.token(json!({ "sub": "ada-7", "client_id": client, "jti": id }));
    let mut statuses = Vec::new();
    for token in [of_person("export", "1"), of_person("import", "2"), of_person("import", "3")] {
        statuses.push(api.bearer("/", &token).await.status.as_u16());
    }
    statuses.push(browser.get(&api.gateway.url("/")).await.status.as_u16());
    assert_eq!(statuses, [200, 200, 429, 429]);
    // Somebody else is somebody else.
    assert_eq!(api.bearer("/", &api.token(json!({ "sub": "grace-3" }))).await.status.as_u16(), 200);
}

#[tokio::test]
async fn d03_a_token_without_a_person_counts_for_its_client() {
    let api = api(PER_PERSON).await;
    let of_client = |client: &str, id: &str| api.token(json!({ "sub": client, "client_id": client, "jti": id }));
    let mut statuses = Vec::new();
    for id in ["1", "2", "3", "4"] {
        statuses.push(api.bearer("/", &of_client("export", id)).await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
    assert_eq!(api.bearer("/", &of_client("import", "5")).await.status.as_u16(), 200);
}

#[tokio::test]
async fn d03_a_token_that_is_refused_counts_for_nobody_whom_it_names() {
    let api = api(PER_PERSON).await;
    let forged = api.token(json!({ "iss": "https://elsewhere.example" }));
    for _ in 0..5 {
        assert_ne!(api.bearer("/", &forged).await.status.as_u16(), 200);
    }
    assert_eq!(api.bearer("/", &api.token(json!({}))).await.status.as_u16(), 200);
}
