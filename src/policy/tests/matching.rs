//! Which rule matches: order, methods, paths.

use super::*;

#[test]
fn rules_decide_in_order_and_none_is_passed_over() {
    let policy = policy(THREE_RULES);
    let ada = policy.prepare(Arc::new(subject(r#"{"groups": ["royalty-artists", "admins"]}"#)));
    let bob = policy.prepare(Arc::new(subject(r#"{"groups": ["visitors"]}"#)));
    let cases = [
        (None, "GET", "/static/x.css", "public files"),
        (Some(&ada), "GET", "/static/x.css", "public files"),
        (None, "GET", "/admin/x", "sign-in payouts"),
        (None, "GET", "/nowhere", "deny none no_rule"),
        (Some(&ada), "GET", "/nowhere", "deny none no_rule"),
        (Some(&ada), "GET", "/admin", "step-up payouts phr Some(600s)"),
        (Some(&bob), "GET", "/admin", "deny payouts not_allowed"),
        (Some(&ada), "GET", "/", "allow #4"),
        (Some(&bob), "GET", "/", "deny #4 not_allowed"),
        (Some(&bob), "GET", "/old/x", "allow #3"),
    ];
    for (who, method, target, expected) in cases {
        assert_eq!(answer(&policy, who, method, target), expected, "{method} {target}");
    }
}

#[test]
fn p06_unknown_methods_are_denied_unless_named() {
    let policy = policy(THREE_RULES);
    let ada = policy.prepare(Arc::new(subject(r#"{"groups": ["royalty-artists"]}"#)));
    let cases = [
        ("HEAD", "/old/x", "allow #3"),
        ("PROPFIND", "/old/x", "allow #3"),
        ("POST", "/old/x", "deny none no_rule"),
        ("PROPFIND", "/", "deny none no_rule"),
        ("TRACE", "/static/x", "deny none no_rule"),
        ("get", "/", "deny none no_rule"),
        ("DELETE", "/", "allow #4"),
    ];
    for (method, target, expected) in cases {
        assert_eq!(answer(&policy, Some(&ada), method, target), expected, "{method} {target}");
    }
}

#[test]
fn p03_a_rule_covers_the_path_with_and_without_a_last_slash() {
    let policy = policy(THREE_RULES);
    for target in ["/admin", "/admin/", "//admin", "/x/../admin", "/%61dmin", "/admin/x/"] {
        assert_eq!(answer(&policy, None, "GET", target), "sign-in payouts", "{target}");
    }
}

#[test]
fn p04_query_never_matches_a_path_rule() {
    let policy = policy(THREE_RULES);
    for target in ["/nowhere?/static/x", "/nowhere?x=/favicon.ico", "/nowhere?/../static/x"] {
        assert_eq!(answer(&policy, None, "GET", target), "deny none no_rule", "{target}");
    }
    assert_eq!(answer(&policy, None, "GET", "/favicon.ico?v=/admin"), "public files");
}
