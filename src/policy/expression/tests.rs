//! What expressions mean, what they refuse, and that nothing makes them panic or run away.

mod bounded;
mod documented;
mod functions;
mod kinds;
mod parsers;
mod plain;

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;

use super::*;
use crate::certificate::Certificate;
use crate::claims::Claims;
use crate::clock::Timestamp;
use crate::http::{CanonicalPath, HostName, Scheme};
use crate::policy::decision::{RequestFacts, SessionFacts, SessionKind, TlsFacts, TlsVersion};

const ADA: &str = r#"{
    "email": "Ada@Example.org", "name": "Zoë 名前", "groups": ["staff", "royalty-admins"], "empty": [], "none": null,
    "staff_number": 10000000000000000001, "big": 98765432109876543210, "rate": 1.50, "small": -7, "yes": true,
    "address": {"city": "Wien", "floor": 3}, "https://x/roles": ["r1"], "https://x/rank": 5
}"#;

fn with_view<T>(claims: &str, look: impl FnOnce(&View<'_>) -> T) -> T {
    with_view_at(Timestamp::from_seconds(1090), claims, look)
}

fn with_view_at<T>(now: Timestamp, claims: &str, look: impl FnOnce(&View<'_>) -> T) -> T {
    let claims = Claims::from_json(claims.as_bytes()).unwrap();
    let claims_read = claims.iter().map(|(name, _)| name.into()).collect();
    let bound = BoundClaims::default();
    let session = SessionFacts {
        kind: SessionKind::Browser,
        provider: "okta".into(),
        acr: Some("phr".into()),
        amr: vec!["pwd".into(), "otp".into()],
        authenticated_at: now.before(std::time::Duration::from_secs(90)),
    };
    let (host, path) = (HostName::parse("app.example").unwrap(), CanonicalPath::parse("/a/b").unwrap());
    let mut headers = HeaderMap::new();
    headers.insert("accept-language", HeaderValue::from_static("de-AT, en"));
    headers.insert("x-requested-with", HeaderValue::from_static("XMLHttpRequest"));
    let client = Some(Arc::new(Certificate {
        subject: "CN=laptop-7,O=Garnet Records".to_owned(),
        issuer: "CN=Devices".to_owned(),
        common_name: "laptop-7".to_owned(),
        serial: "e501".to_owned(),
        fingerprint: "ab".repeat(32),
        dns_names: vec!["laptop-7.gmr.example".to_owned()],
        emails: vec!["ada@gmr.example".to_owned()],
        uris: vec!["spiffe://gmr.example/ada".to_owned()],
        addresses: vec!["192.0.2.7".to_owned()],
        not_before: 1,
        not_after: 2_000_000_000,
        authority: false,
    }));
    let tls = TlsFacts { version: TlsVersion::V1_3, client };
    let request = RequestFacts {
        method: &Method::POST,
        host: &host,
        path: &path,
        query: Some("x=1&view=full%20page"),
        client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        scheme: Scheme::Https,
        tls: Some(&tls),
        headers: &headers,
        has_content: false,
    };
    let (named, truths) = (Named::default(), Truths::unknown(0));
    let definitions = Definitions { named: &named, truths: &truths };
    let request = Some(&request);
    let (claims, claims_read, bound, app) = (&claims, &claims_read, &bound, "royalty");
    look(&View { claims, bound, claims_read, session: &session, request, now, app, definitions })
}

fn test(text: &str) -> Result<bool, Failure> {
    with_view(ADA, |view| compiled(text).test(view))
}

fn text(text: &str) -> Result<String, Failure> {
    with_view(ADA, |view| compiled(text).text(view).map(Cow::into_owned))
}

fn compiled(text: &str) -> Expression {
    Expression::compile(text, &Named::default()).unwrap_or_else(|mistakes| panic!("{text}: {mistakes:?}"))
}

fn mistakes(text: &str) -> Vec<Mistake> {
    Expression::compile(text, &Named::default()).map(|_| panic!("{text} compiles")).unwrap_or_else(|mistakes| mistakes)
}

#[test]
fn conditions_read_everything_that_is_there() {
    let all = [
        "'staff' in user.groups",
        "user.groups.exists(g, g.startsWith('royalty-'))",
        "user.groups.all(g, g.size() > 2) && size(user.groups) == 2",
        "user.groups.exists_one(g, g.contains('admin'))",
        "user.groups.filter(g, g.endsWith('s')).map(g, g.upper()) == ['ROYALTY-ADMINS']",
        "['staff', 'royalty-admins'] == user.groups && user.groups == ['staff', 'royalty-admins']",
        "user.groups.exists(g, ['staff', 'x'].exists(h, g == h))",
        "user.email.lower() == 'ada@example.org'",
        "' a '.trim() == 'a' && 'a,b'.split(',').join('-') == 'a-b' && user.groups.join() == 'staffroyalty-admins'",
        "user.staff_number == 10000000000000000001u && user.big == '98765432109876543210' && user.small == -7",
        "user.rate == '1.50' && double(user.rate) > 1.4",
        "user.yes && user.address.city == 'Wien' && user['address']['floor'] == 3",
        "'r1' in user['https://x/roles']",
        "has(user.email) && !has(user.missing) && 'email' in user && !('missing' in user)",
        "user.missing == 'x' || true",
        "request.method == 'POST' && request.path.startsWith('/a/') && request.host == 'app.example'",
        "request.query == 'x=1&view=full%20page' && request.client == '192.0.2.7'",
        "session.provider == 'okta' && session.acr == 'phr' && 'otp' in session.amr && session.age == 90",
        "session.authenticated_at == 1000 && now == 1090 && app == 'royalty'",
        "user.name == 'Zoë 名前' && user.name.contains('名')",
        "(user.small < 0 ? 'a' : 'b') + string(1 + 2) == 'a3'",
    ];
    for expression in all {
        assert_eq!(test(expression), Ok(true), "{expression}");
    }
}

#[test]
fn s06_texts_keep_what_the_provider_wrote() {
    let cases = [
        ("user.staff_number", "10000000000000000001"),
        ("user['big']", "98765432109876543210"),
        ("user.rate", "1.50"),
        ("user.address.floor", "3"),
        ("user['address'].city", "Wien"),
        ("user.yes", "true"),
        ("user.name", "Zoë 名前"),
        ("user.staff_number + 0u", "10000000000000000001"),
        ("'x' + user.big", "x98765432109876543210"),
        ("1.5 + 1.0", "2.5"),
    ];
    for (expression, expected) in cases {
        assert_eq!(text(expression).as_deref(), Ok(expected), "{expression}");
    }
    let list_of = |claims: &str, text: &str| {
        let owned = |items: Vec<Cow<'_, str>>| items.into_iter().map(Cow::into_owned).collect::<Vec<_>>();
        with_view(claims, |view| compiled(text).list(view).map(owned))
    };
    let list = |text: &str| list_of(ADA, text);
    assert_eq!(list("user.groups"), Ok(vec!["staff".into(), "royalty-admins".into()]));
    assert_eq!(list("user.groups.map(g, g.size())"), Ok(vec!["5".into(), "14".into()]));
    assert_eq!(list("user.email"), Ok(vec!["Ada@Example.org".into()]));
    let exact = list_of(r#"{"n": [1.50, 98765432109876543210]}"#, "user.n");
    assert_eq!(exact, Ok(vec!["1.50".into(), "98765432109876543210".into()]));
}

#[test]
fn what_is_absent_is_told_apart_from_what_fails() {
    let absent = |name: &str| Failure::Absent(name.to_owned());
    assert_eq!(test("user.missing == 'x'"), Err(absent("missing")));
    assert_eq!(test("'staff' in user.missing"), Err(absent("missing")));
    assert_eq!(test("!(user.missing == 'x')"), Err(absent("missing")));
    assert_eq!(test("user.missing.exists(g, g == 'x')"), Err(absent("missing")));
    assert_eq!(text("user.missing"), Err(absent("missing")));
    assert_eq!(text("user.address.street"), Err(absent("address.street")));
    assert_eq!(text("user.none"), Err(absent("none")));
    assert_eq!(text("user.groups[7]"), Err(absent("an element")));
    for expression in ["user.email > 5", "user.email", "1 / 0 == 1", "user.groups == 1 || user.yes > 1"] {
        assert!(matches!(test(expression), Err(Failure::Failed(_))), "{expression}: {:?}", test(expression));
    }
    for expression in ["user.groups", "user.address", "user.groups.map(g, g)"] {
        assert!(matches!(text(expression), Err(Failure::Failed(_))), "{expression}");
    }
}

#[test]
fn failures_never_hold_a_claims_value() {
    for expression in
        ["user.email > 5", "user.email + 1 == 2", "user.groups < user.groups", "user.email.split('') == []"]
    {
        let told = format!("{:?}", test(expression));
        assert!(!told.contains("Ada") && !told.contains("staff"), "{expression}: {told}");
    }
}

#[test]
fn what_an_expression_reads_is_known() {
    let read = |text: &str| compiled(text).claims().iter().map(|name| name.to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(read("user.b == 'x' && has(user.a) && user['c d'] == 1 && 'e' in user"), "a b c d e");
    assert_eq!(read("user.groups.exists(g, g == user.email && g.x == 1)"), "email groups");
    assert_eq!(read("user.address.city == ''"), "address");
    for text in ["request.path == ''", "now > 1", "session.age < 5", "user.a.exists(g, request.query.contains(g))"] {
        assert!(compiled(text).is_per_request(), "{text}");
    }
    for text in ["user.a == 'x'", "session.acr == 'x'", "session.authenticated_at > 1", "app == 'x'"] {
        assert!(!compiled(text).is_per_request(), "{text}");
    }
}

#[test]
fn mistakes_are_found_when_compiling() {
    let cases = [
        ("usr.email == 'x'", "unknown name `usr`", "did you mean `user`?"),
        ("user.email == ada", "unknown name `ada`", "'ada'"),
        ("request.pth == 'x'", "`request` has no field `pth`", "did you mean `request.path`?"),
        ("session.foo == 'x'", "`session` has no field `foo`", "authenticated_at"),
        ("user == user", "`user` as a whole cannot be used", "name the claim"),
        ("user[request.path] == 1", "a claim must be named by a literal", "quotes"),
        ("user.exists(k, true)", "`user` as a whole cannot be used", "name the claim"),
        ("user.email.startWith('x')", "unknown function `.startWith()`", "did you mean `.startsWith`?"),
        ("lower(user.email) == 'x'", "unknown function `lower()`", "value.lower("),
        ("user.email.matchs('x')", "unknown function `.matchs()`", "did you mean `.matches`?"),
        ("'x'.lower == 'x'", "a text has no member `lower`", "write `.lower()`"),
        ("user.email.lower(1) == 'x'", "`.lower()` takes 0 arguments, not 1", ""),
        ("'x' && true", "a condition is needed, this is a text", ""),
        ("user.groups.exists(user, true)", "`user` already has a meaning", "another name"),
        ("'a' in 'abc'", "`in` needs a list, this is a text", "contains"),
        ("[1].join().exists(g, true)", "a list is needed, this is a text", ""),
        ("has(request.path)", "`has` asks for a claim of `user` only", ""),
        ("user.g.all(a, user.g.all(b, user.g.all(c, a == c)))", "nest deeper than 2", ""),
        ("user.email = 'x'", "`=` cannot stand here", "`==`"),
        ("user.a == 'x' and user.b == 'y'", "`and` cannot stand here", "&&"),
        ("'unclosed", "a text in quotes is not closed", ""),
        ("(user.a", "ends too early", ""),
        ("user.staff == 99999999999999999999", "int literal", "a number this large is a text"),
        ("[1].exists(g)", "`.exists()` takes a name and an expression", ""),
        ("has(user)", "has()", "has(user.email)"),
        ("", "the expression is empty", ""),
        ("user.?email == 1", "cannot be read", ""),
        ("Foo{a: 1} == 1", "no structures", ""),
    ];
    for (text, message, help) in cases {
        let found = mistakes(text);
        let fits = |mistake: &Mistake| {
            mistake.message.contains(message) && mistake.help.clone().unwrap_or_default().contains(help)
        };
        assert!(found.iter().any(fits), "{text}: {found:#?}");
        assert!(found.iter().all(|mistake| mistake.range.end <= text.len()), "{text}: {found:#?}");
    }
}

#[test]
fn mistakes_have_their_place() {
    for (text, part) in [
        ("user.a == 'x' && usr.b == 'y'", "usr"),
        ("user.email.startWith('x')", "startWith"),
        ("user.a == 'x' ||\n  nobody", "nobody"),
        ("'ä' == usr.x", "usr"),
        ("'ä' = user.x", "="),
        ("user.x ==\n 'ä' + = 'x'", "="),
        ("'ä' == user.a.lowr()", "lowr"),
        ("lowr(user.a)", "lowr"),
        ("request.pth == 'x'", "pth"),
        ("user.a.exists(user, true)", "exists"),
        ("user.a == 'x' and true", "and"),
        ("user.a ==", ""),
    ] {
        let found = mistakes(text);
        let range = found.first().unwrap().range.clone();
        assert_eq!(text.get(range.clone()).unwrap_or_default(), part, "{text}: {range:?} {found:?}");
    }
}

#[test]
fn large_and_deep_expressions_are_refused_and_not_parsed() {
    let cases = [
        "(".repeat(4000),
        "[".repeat(30) + "1" + &"]".repeat(30),
        "!".repeat(4000) + "true",
        "-".repeat(4000) + "1",
        "user".to_owned() + &".a".repeat(2000),
        "1".to_owned() + &"+1".repeat(2000),
        "true".to_owned() + &"?true:true".repeat(400),
        "user.x".to_owned() + &".map(b, b + b)".repeat(40),
        "a".repeat(5000),
        "1".to_owned() + &"<1".repeat(1000),
    ];
    for text in cases {
        assert!(Expression::compile(&text, &Named::default()).is_err(), "{text}");
    }
}

#[test]
fn the_largest_expressions_work_on_a_small_stack() {
    let deep = [
        "(".repeat(8) + "true" + &")".repeat(8),
        "user".to_owned() + &".a".repeat(37) + " == 1",
        "1".to_owned() + &"+1".repeat(37) + " == 38",
        "false ? false : ".repeat(37) + "true",
        "[".repeat(8) + &"]".repeat(8) + " != []",
        "true && true ? true : (".repeat(8) + "true" + &")".repeat(8),
        "1 < 2 * int(true ? ".repeat(4) + "3" + &" : 1)".repeat(4),
        vec!["'x' in user.groups"; 150].join(" || ") + " || true",
    ];
    let small = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    let run = move || deep.iter().map(|text| (text.clone(), test(text))).collect::<Vec<_>>();
    for (text, outcome) in small.spawn(run).unwrap().join().unwrap() {
        let absent = Err(Failure::Absent("a".to_owned()));
        let wrong_type = matches!(&outcome, Err(Failure::Failed(why)) if why.contains("does not take"));
        assert!(outcome.is_ok() || outcome == absent || wrong_type, "{text}: {outcome:?}");
    }
}

#[test]
fn evaluation_is_bounded() {
    let many: Vec<String> = (0..1000).map(|number| format!("\"group-{number}\"")).collect();
    let claims = format!(r#"{{"groups": [{}], "s": "{}"}}"#, many.join(","), "x".repeat(1000));
    let run = |text: &str| with_view(&claims, |view| compiled(text).test(view));
    assert_eq!(run("user.groups.exists(g, g == 'group-999')"), Ok(true));
    let too_much = [
        "user.groups.exists(g, user.groups.exists(h, h == 'none'))",
        "[user.s].map(a, a+a+a+a).map(a, a+a+a+a).map(a, a+a+a+a).map(a, a+a+a+a).size() == 1",
        "(user.groups + user.groups + user.groups + user.groups + user.groups).size() == 1",
    ];
    for text in too_much {
        assert!(matches!(run(text), Err(Failure::Failed(why)) if why.contains("too")), "{text}: {:?}", run(text));
    }
}

#[test]
fn what_a_client_sends_is_bounded_like_everything_else_that_is_added() {
    let many: Vec<String> = (0..1000).map(|number| format!("\"group-{number}\"")).collect();
    let (whole, half) = ("x".repeat(65_530), "x".repeat(30_000));
    let claims = format!(r#"{{"groups": [{}], "s": "{whole}", "h": "{half}"}}"#, many.join(","));
    let run = |text: &str| with_view(&claims, |view| compiled(text).test(view));
    let too_much = [
        "(request.params.view + user.s).size() > 1",
        "(request.headers['x-requested-with'] + user.s).size() > 1",
        "user.groups.exists(g, request.params.view + user.h == g)",
        "user.groups.exists(g, request.headers['accept-language'] + user.h == g)",
        "user.groups.map(g, request.params.view + user.h).size() > 1",
    ];
    for text in too_much {
        assert!(matches!(run(text), Err(Failure::Failed(why)) if why.contains("too")), "{text}: {:?}", run(text));
    }
    assert_eq!(run("user.groups.map(g, request.params.view + g).size() == 1000"), Ok(true));
    assert_eq!(run("request.params.view + '!' == 'full page!'"), Ok(true));
}

#[test]
fn brackets_behind_every_form_of_text_are_counted() {
    let deep = |before: &str, after: &str| format!("{before}{}1{}{after}", "(".repeat(9), ")".repeat(9));
    for text in [
        deep(r"r'\' == ", ""),
        deep(r#"R"\" == "#, ""),
        deep(r"user.x + r'\' + string(", ")"),
        deep(r"br'\' == ", ""),
        deep("1 // it's\n == ", ""),
        deep("''' ' ''' == ", ""),
        deep(r#"r""" " """ == "#, ""),
        deep(r"x in'\'' == ", ""),
        deep("x.`a-b` == ", ""),
        format!("{}1", "(a]".repeat(9)),
    ] {
        let found = mistakes(&text);
        assert!(found.iter().any(|mistake| mistake.message.contains("nest deeper than 8")), "{text}: {found:?}");
    }
    let hidden = "(((((((((";
    for text in [
        format!("r'{hidden}' == '{hidden}' // {hidden}"),
        format!("'''{hidden}'{hidden}''' == \"\"\"\"{hidden}\"\"\""),
        format!(r"r'\' == '{hidden}'"),
        format!(r"'\'{hidden}\u00e4\x41\101' in['{hidden}']"),
        format!("'b' + '{hidden}' == 'r' + '{hidden}'"),
    ] {
        compiled(&text);
    }
}

#[test]
fn texts_that_two_readers_could_end_at_different_places_are_refused_unparsed() {
    for (text, message) in [
        (r"'\d(' == 'x'", r"`\d` is no escape"),
        (r"'a\u12' == 'x'", r"`\u` is no escape"),
        ("\"a\nb\" == 'x'", "a text in quotes is not closed"),
        ("'''a'", "a text in quotes is not closed"),
        (r"rb'\' == 1", "`'` cannot stand here"),
        (r"0x1Fr'\' == 1", "`'` cannot stand here"),
        ("user.a & 'x' == 'y'", "`&` cannot stand here"),
        ("user.a | true", "`|` cannot stand here"),
        ("`a'b` == 1", "` cannot stand here"),
    ] {
        let found = mistakes(text);
        assert!(found.iter().any(|mistake| mistake.message.contains(message)), "{text}: {found:?}");
    }
}

/// Pieces that make most random sequences nearly an expression.
fn pieces() -> impl Strategy<Value = String> {
    let known = "user user.groups user['a'] request.path session.acr now app g x 'a' \"b\" 1 2u 1.5 true null . .a + - * / % == != < > \
        <= && || ! ? : ( ) [ ] { } , in has( size( .exists(g, .all(x, .map(g, .filter(g, .exists_one(g, .lower() .split(',') \
        .join('-') .size() .startsWith( .substring( .replace('a', domainOf( hasAny( base64.encode( .matches('a') request.params.x date( ' \" \\ $ @ # ä \u{0} r' b' .?a [? 0x1f 1e999 // \n";
    let known: Vec<_> = known.split(' ').filter(|piece| !piece.is_empty()).map(str::to_owned).collect();
    prop::collection::vec(prop::sample::select(known), 0..40).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_text_makes_the_parser_or_the_evaluator_panic(text in pieces()) {
        match Expression::compile(&text, &Named::default()) {
            Ok(expression) => with_view(ADA, |view| {
                let outcomes = [expression.test(view).err(), expression.text(view).err(), expression.list(view).err()];
                assert!(!outcomes.iter().flatten().any(|failure| failure.to_string().contains("panicked")), "{text}");
            }),
            Err(mistakes) => {
                prop_assert!(!mistakes.is_empty());
                for mistake in mistakes {
                    prop_assert!(text.get(mistake.range.clone()).is_some(), "{:?} {:?}", mistake, text);
                    prop_assert!(!mistake.message.contains("panicked"), "{:?} {:?}", mistake, text);
                }
            }
        }
    }
}
