//! Metadata and key sets that are not believed: no login begins, and the gateway says so.

use super::case::cases;
use crate::harness::application::Application;
use crate::harness::browser::Browser;
use crate::harness::gateway::{Setup, clock, provider};
use crate::harness::site::{IDENTITY, line_of, policy};

#[tokio::test]
async fn r02_hostile_metadata_and_key_sets_begin_no_login() {
    let cases = cases("metadata");
    assert!(cases.len() >= 50, "{} cases", cases.len());
    let application = Application::start(IDENTITY).await;
    for case in &cases {
        let (name, clock) = (&case.name, clock());
        let provider = provider(&clock).await;
        let issuer = provider.issuer().to_owned();
        *provider.script() = case.script(&issuer);
        let setup = Setup::new(&clock).issuer(&issuer, "userinfo = true\n").policy("app", &policy(&application.url()));
        let gateway = setup.start_unready();
        let reply = Browser::new().get(&gateway.url("/")).await;
        assert_eq!(reply.status, 503, "{name}: {}", reply.text());
        assert_eq!((reply.location(), reply.header("set-cookie")), (None, None), "{name}");
        assert!(!reply.text().contains("evil.example"), "{name} is shown");
        assert!(provider.requests("/token").is_empty() && provider.requests("/authorize").is_empty(), "{name}");
        let log = gateway.stop().await;
        assert_eq!(line_of(&log, &reply)["reason"], "provider_unavailable", "{name} ({})", case.rests_on);
    }
    assert!(application.seen().is_empty());
}
