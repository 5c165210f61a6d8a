//! What can be read in two ways denies, whichever rule would match.

use super::*;

/// What a policy decides on a request with this head and query; a denial's code.
fn verdict_on(rules: &str, target: &str, head: &[(&str, &str)]) -> &'static str {
    let policy = policy(rules);
    let ada = policy.prepare(Arc::new(subject(r#"{"groups": ["staff"]}"#)));
    let mut headers = HeaderMap::new();
    for (name, value) in head {
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let path = CanonicalPath::parse(path).unwrap();
    let facts = RequestFacts { query, headers: &headers, ..facts(&policy, &path) };
    match policy.decide(&facts, Some(&ada), NOW) {
        Decision::Allow(_) => "allow",
        decision => decision.reason().unwrap_or("other"),
    }
}

/// Rack, Rails and Express look for parameters in the content of any request.
#[test]
fn what_a_get_brings_along_denies_where_parameters_are_read() {
    let reads = "[login]\n[[rules]]\npaths = [\"/a\"]\nquery = { view = \"print\" }\n[[rules]]\npaths = [\"/b\"]\n";
    let reads_none = "[login]\n[[rules]]\npaths = [\"/a\", \"/b\"]\n";
    let verdict = |rules: &str, method: &Method, target: &str, has_content| {
        let policy = policy(rules);
        let ada = policy.prepare(Arc::new(subject("{}")));
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let path = CanonicalPath::parse(path).unwrap();
        let facts = RequestFacts { method, query, has_content, ..facts(&policy, &path) };
        told(&policy.decide(&facts, Some(&ada), NOW), query)
    };
    for target in ["/a?view=print", "/a", "/b", "/elsewhere"] {
        for method in [Method::GET, Method::HEAD] {
            assert_eq!(verdict(reads, &method, target, true), "deny none content_ambiguous", "{method} {target}");
        }
    }
    assert_eq!(verdict(reads, &Method::GET, "/a?view=print", false), "allow #1");
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        assert_eq!(verdict(reads, &method, "/a?view=print", true), "allow #1", "{method}");
    }
    assert_eq!(verdict(reads_none, &Method::GET, "/a?view=print", true), "allow #1");
}

#[test]
fn a_parameter_or_header_that_can_be_read_in_two_ways_denies() {
    let rules = "[login]\n[headers]\nX-Page = \"${request.params.page}\"\n[[rules]]\npaths = [\"/a\"]\n\
                 allow = \"'staff' in user.groups && request.params.view == 'print' && request.headers['x-app'] == '1'\"\n\
                 [[rules]]\nallow = \"'staff' in user.groups\"\n";
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
    let app = [("x-app", "1")];
    let cases: [Case<'_>; 12] = [
        ("/a?view=print", &app, "allow"),
        ("/a?view=%70rint", &app, "allow"),
        ("/a?view=full", &app, "not_allowed"),
        ("/a", &app, "expression_failed"),
        ("/a?view=print", &[], "expression_failed"),
        ("/a?view=print&view=full", &app, "query_ambiguous"),
        ("/a?view=print&VIEW=full", &app, "query_ambiguous"),
        ("/other?view=1&view=2", &app, "query_ambiguous"),
        ("/other?page=1&page=2", &app, "query_ambiguous"),
        ("/a?view=print", &[("x-app", "1"), ("x-app", "2")], "request_header_ambiguous"),
        ("/other", &[("x_app", "1")], "request_header_ambiguous"),
        ("/other?other=1&other=2", &[("x-other", "1"), ("x-other", "2")], "allow"),
    ];
    for (target, head, expected) in cases {
        assert_eq!(verdict_on(rules, target, head), expected, "{target} {head:?}");
    }
}
