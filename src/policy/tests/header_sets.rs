//! Headers of rules and header sets: which ones go with a request, and what is shared and scrubbed.

use super::definitions::{HEAD, compiled, sound, told_at};
use super::*;

const SETS: &str = "[header_sets.common]\nX-User = \"${user.sub}\"\nX-Tenant = \"gmr\"\n\
                    [header_sets.payroll]\nX-Number = \"${user.number}\"\nX-Tenant = \"payroll\"\n";

/// The headers for a person at a path, as `name=value`.
fn sent(policy: &Policy, claims: &str, path: &str) -> Vec<String> {
    let prepared = policy.prepare(Arc::new(subject(claims)));
    let path = CanonicalPath::parse(path).unwrap();
    match policy.decide(&facts(policy, &path), Some(&prepared), NOW) {
        Decision::Allow(permit) => {
            let text =
                |(name, value): &(HeaderName, http::HeaderValue)| format!("{name}={}", value.as_bytes().escape_ascii());
            permit.headers().iter().map(text).collect()
        }
        other => panic!("{other:?}"),
    }
}

const ADA: &str = r#"{"sub":"ada","number":"0017","groups":["a"]}"#;

#[test]
fn s01_what_stands_nearer_wins_and_everything_that_any_rule_can_send_is_scrubbed() {
    let text = format!(
        "headers_from = \"common\"\n{HEAD}[headers]\nX-Mine = \"1\"\n{SETS}\
         [[rules]]\npaths = \"/payroll/**\"\nheaders_from = [\"payroll\"]\nheaders = {{ X-Mine = \"2\", X-Only = \"${{user.groups[0]}}\" }}\n\
         [[rules]]\npaths = \"/plain\"\n[[rules]]\npaths = \"/own\"\n[rules.headers]\nX-User = \"fixed\"\n[[rules]]\n"
    );
    let policy = sound(&text, &[]);
    let base = ["x-user=ada", "x-tenant=gmr", "x-mine=1"];
    assert_eq!(sent(&policy, ADA, "/plain"), base);
    assert_eq!(sent(&policy, ADA, "/"), base);
    assert_eq!(
        sent(&policy, ADA, "/payroll/7"),
        ["x-user=ada", "x-tenant=payroll", "x-mine=2", "x-number=0017", "x-only=a"]
    );
    assert_eq!(sent(&policy, ADA, "/own"), ["x-user=fixed", "x-tenant=gmr", "x-mine=1"]);
    let mut emitted: Vec<_> = policy.emitted_headers().map(|name| name.as_str()).collect();
    emitted.sort_unstable();
    assert_eq!(emitted, ["x-mine", "x-number", "x-only", "x-tenant", "x-user"]);
    let read: Vec<_> = policy.claims_read().iter().map(|claim| &**claim).collect();
    assert_eq!(read, ["groups", "number", "sub"], "header sets and headers of rules are readers of claims");
}

#[test]
fn s02_a_header_of_one_rule_is_not_sent_with_the_requests_of_another() {
    let text = format!(
        "{HEAD}[[rules]]\npaths = \"/admin\"\nheaders = {{ X-Role = \"ADMIN\" }}\nallow = \"'a' in user.groups\"\n[[rules]]\n"
    );
    let policy = sound(&text, &[]);
    assert_eq!(sent(&policy, ADA, "/admin"), ["x-role=ADMIN"]);
    assert_eq!(sent(&policy, ADA, "/"), [""; 0]);
    assert_eq!(policy.emitted_headers().map(|name| name.as_str()).collect::<Vec<_>>(), ["x-role"]);
}

#[test]
fn rules_with_the_same_headers_share_one_set_and_its_evaluation() {
    let mut text = format!("headers_from = [\"common\"]\n{HEAD}{SETS}");
    for index in 0..100 {
        let what = match index % 4 {
            0 => "headers_from = \"payroll\"",
            1 => "headers = { X-Role = \"R\", X-Q = { value = \"${user.sub}\" } }",
            2 => "headers_from = [\"common\"]",
            _ => "",
        };
        text.push_str(&format!("[[rules]]\npaths = \"/{index}\"\n{what}\n"));
    }
    let policy = sound(&text, &[]);
    assert_eq!(policy.header_sets.len(), 3);
    let prepared = policy.prepare(Arc::new(subject(ADA)));
    for index in (0..100).step_by(4) {
        let path = CanonicalPath::parse(&format!("/{index}")).unwrap();
        assert!(matches!(policy.decide(&facts(&policy, &path), Some(&prepared), NOW), Decision::Allow(_)));
    }
    assert_eq!(prepared.evaluated_sets(), 1);
}

#[test]
fn tables_that_only_look_alike_are_not_shared() {
    let table = |value: &str| format!("[rules.headers]\n[rules.headers.X-A]\nvalue = \"{value}\"\n");
    let text = format!("{HEAD}[[rules]]\npaths = \"/1\"\n{}[[rules]]\npaths = \"/2\"\n{}", table("one"), table("two"));
    let policy = sound(&text, &[]);
    assert_eq!(sent(&policy, ADA, "/1"), ["x-a=one"]);
    assert_eq!(sent(&policy, ADA, "/2"), ["x-a=two"]);
}

#[test]
fn two_sets_that_give_one_header_need_a_word_on_which_is_meant() {
    let sets = "[header_sets.a]\nX-Name = \"a\"\n[header_sets.b]\nX-Name = \"b\"\n[header_sets.c]\nX_Name = \"c\"\n";
    let found = |top: &str, rest: &str| {
        let (policy, report) = compiled(&format!("{top}{HEAD}{sets}{rest}"), &[]);
        let errors = report.findings().iter().filter(|finding| finding.severity == Severity::Error);
        let errors: Vec<_> = errors.map(|finding| finding.message.clone()).collect();
        assert_eq!(policy.is_some(), errors.is_empty(), "{report}");
        errors
    };
    let rules = "[[rules]]\n";
    assert_eq!(found("headers_from = [\"a\", \"b\"]\n", rules), ["header sets `a` and `b` both give `x-name`"]);
    assert_eq!(found("headers_from = [\"a\", \"c\"]\n", rules), ["header sets `a` and `c` both give `x-name`"]);
    let meant = format!("[headers]\nX-Name = \"meant\"\n{rules}");
    assert_eq!(found("headers_from = [\"a\", \"b\"]\n", &meant), [""; 0]);
    assert_eq!(
        found("headers_from = [\"c\"]\n", &meant),
        ["headers `x-name` and `x_name` are the same to many applications"]
    );
    assert_eq!(
        found("headers_from = [\"a\"]\n", "[[rules]]\nheaders = { X_Name = \"r\" }\n"),
        ["headers `x_name` and `x-name` are the same to many applications"]
    );
    assert_eq!(found("headers_from = [\"a\"]\n", "[[rules]]\nheaders_from = \"b\"\n"), [""; 0]);
}

#[test]
fn a_secret_of_an_included_set_lies_beside_the_file_that_names_it() {
    let shared = "[header_sets.basic]\nAuthorization = { basic = { user = \"${user.sub}\", password = { file = \"app.password\" } } }\n";
    let text = format!("include = \"shared/basic.toml\"\nheaders_from = \"basic\"\n{HEAD}[[rules]]\n");
    let policy = sound(&text, &[("shared/basic.toml", shared)]);
    assert_eq!(sent(&policy, ADA, "/"), ["authorization=Basic YWRhOnMzY3JldA=="]);
    let own = format!("headers_from = \"basic\"\n{HEAD}{shared}[[rules]]\n");
    let policy = sound(&own, &[]);
    assert_ne!(sent(&policy, ADA, "/"), ["authorization=Basic YWRhOnMzY3JldA=="], "beside the policy lies another one");
}

#[test]
fn headers_of_a_rule_under_which_nothing_is_sent_are_found() {
    let text = format!("{HEAD}[[rules]]\npaths = \"/a\"\naccess = \"public\"\nheaders = {{ X = \"1\" }}\n[[rules]]\n");
    let (policy, report) = compiled(&text, &[]);
    assert!(policy.is_some());
    assert_eq!(told_at(&report), ["app.toml:8:11: these headers are never sent: the rule is public"]);
}
