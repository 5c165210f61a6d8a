//! A provider that is busy or limits its clients: what is asked again, what is not, and when it is left alone.
//!
//! Specifications: RFC 6585 section 4, RFC 9110 sections 10.2.3 and 15.6.4.

use std::time::Duration;

use lychgate::oidc::{Endpoint, Limits, ProviderSettings, RequestOutcome};
use lychgate::session::{RefreshTicket, SessionId};

use super::Pair;
use crate::harness::keys::Signing;
use crate::harness::provider::{Answer, Script};

fn busy(status: u16, retry_after: Option<&'static str>, times: usize) -> Answer {
    Answer::TurnsAway { status, retry_after, times }
}

#[tokio::test]
async fn r16_what_a_busy_provider_turned_away_is_asked_again_and_no_more_than_twice() {
    let pair = Pair::with(|settings| settings.userinfo = true, |_| {}).await;
    for (status, retry_after) in [(429, None), (503, None), (503, Some("0")), (429, Some("soon"))] {
        pair.play(|s| {
            s.token_answer = busy(status, retry_after, 2);
            s.userinfo_answer = busy(status, retry_after, 1);
        });
        let (tokens, userinfos) = (pair.asked("/token"), pair.asked("/userinfo"));
        assert_eq!(pair.refusal().await, "signed in", "{status} {retry_after:?}");
        assert_eq!((pair.asked("/token") - tokens, pair.asked("/userinfo") - userinfos), (3, 2));
    }
    pair.play(|s| s.token_answer = busy(503, None, 100));
    let before = pair.asked("/token");
    assert_eq!((pair.refusal().await, pair.asked("/token") - before), ("token_endpoint_unreachable", 3));
}

#[tokio::test]
async fn r16_a_request_that_may_have_been_acted_upon_is_not_made_twice() {
    let pair = Pair::new().await;
    for status in [500, 502, 504] {
        pair.play(|s| s.token_answer = busy(status, None, 1));
        let before = pair.asked("/token");
        assert_eq!((pair.refusal().await, pair.asked("/token") - before), ("token_endpoint_malformed", 1), "{status}");
    }
}

#[tokio::test]
async fn r16_a_provider_that_asks_for_time_is_left_alone_for_it() {
    let pair = Pair::new().await;
    pair.play(|s| s.token_answer = busy(429, Some("30"), 1));
    assert_eq!((pair.refusal().await, pair.asked("/token")), ("token_endpoint_unreachable", 1));
    for _ in 0..20 {
        assert_eq!(pair.refusal().await, "token_endpoint_unreachable");
    }
    pair.time.advance(Duration::from_secs(29));
    assert_eq!((pair.refusal().await, pair.asked("/token")), ("token_endpoint_unreachable", 1));
    pair.time.advance(Duration::from_secs(1));
    assert_eq!((pair.refusal().await, pair.asked("/token")), ("signed in", 2));

    // A date, as RFC 9110 allows too; and never longer than ten minutes.
    pair.play(|s| s.token_answer = busy(503, Some("Fri, 15 Jan 2027 08:01:30 GMT"), 1));
    assert_eq!(pair.refusal().await, "token_endpoint_unreachable");
    pair.time.advance(Duration::from_secs(600));
    assert_eq!(pair.refusal().await, "signed in");
    pair.play(|s| s.token_answer = busy(503, Some("86400"), 1));
    assert_eq!(pair.refusal().await, "token_endpoint_unreachable");
    pair.time.advance(Duration::from_secs(600));
    assert_eq!(pair.refusal().await, "signed in");
}

#[tokio::test]
async fn r14_r16_keys_are_asked_for_again_while_the_provider_is_busy_and_known_ones_stay() {
    let pair = Pair::strangers(|_| {}, |s: &mut Script| s.jwks_answer = busy(503, Some("0"), 2)).await;
    pair.provider.discovered_now().await.unwrap();
    assert_eq!((pair.asked("/jwks"), pair.refusal().await), (3, "signed in"));
    pair.play(|s| {
        s.jwks_answer = busy(429, Some("60"), 100);
        s.header = super::header("kid", "nobody");
    });
    for _ in 0..10 {
        assert_eq!(pair.refusal().await, "id_token_unknown_key");
    }
    assert_eq!(pair.asked("/jwks"), 4);
    pair.play(|_| {});
    assert_eq!(pair.refusal().await, "signed in");
}

#[tokio::test]
async fn r03_a_rotated_refresh_token_is_kept_however_long_the_rest_takes() {
    let hurried = |settings: &mut ProviderSettings| {
        settings.userinfo = true;
        settings.limits = Limits { total: Duration::from_millis(1500), ..Limits::default() };
    };
    let pair = Pair::with(hurried, |s| s.refresh_tokens = true).await;
    let signed_in = pair.sign_in().await.ok().unwrap();
    let ticket = RefreshTicket::first(SessionId::new(), "", signed_in.refresh_token.unwrap());
    pair.play(|s| {
        s.refresh_tokens = true;
        s.refresh_answer = busy(503, Some("1"), 1);
        s.userinfo_answer = busy(503, Some("1"), 1);
        s.userinfo_signed = Some(Signing::Stranger);
        s.jwks_answer = Answer::Never;
    });
    // A second for each, and more than the last one for keys that never come.
    let refreshed = pair.provider.refresh(&ticket, &signed_in.subject, &signed_in.claims).await;
    let refreshed = refreshed.unwrap_or_else(|error| panic!("{}", error.code()));
    assert_eq!((refreshed.claims, refreshed.incomplete), (None, true));
    pair.play(|s| s.refresh_tokens = true);
    let ticket = ticket.next(refreshed.token);
    let again = pair.provider.refresh(&ticket, &signed_in.subject, &signed_in.claims).await;
    assert!(again.is_ok_and(|refreshed| !refreshed.incomplete && refreshed.claims.is_some()));
}

#[tokio::test]
async fn requests_to_a_provider_are_counted_by_endpoint_and_outcome() {
    let configure = |settings: &mut ProviderSettings| settings.userinfo = true;
    let pair = Pair::with(configure, |s| s.token_answer = busy(503, Some("0"), 1)).await;
    assert_eq!(pair.refusal().await, "signed in");
    let counted = pair.provider.take_traffic();
    let count = |endpoint, outcome| counted.iter().find(|one| (one.0, one.1) == (endpoint, outcome)).map(|one| one.2);
    assert_eq!(count(Endpoint::Token, RequestOutcome::TurnedAway), Some(1));
    assert_eq!(count(Endpoint::Token, RequestOutcome::Answered), Some(1));
    assert_eq!(count(Endpoint::Metadata, RequestOutcome::Answered), Some(1));
    assert_eq!(count(Endpoint::UserInfo, RequestOutcome::Answered), Some(1));
    assert!(pair.provider.take_traffic().is_empty());
}
