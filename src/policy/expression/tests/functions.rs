//! What the functions give, what they refuse when a policy is compiled, and where they have no result.

use super::*;

/// Whether each is true of Ada.
fn all_true(expressions: &[&str]) {
    for expression in expressions {
        assert_eq!(test(expression), Ok(true), "{expression}");
    }
}

/// None has a result, and the reason holds the text beside it.
fn none_has_a_result(cases: &[(&str, &str)]) {
    for (expression, why) in cases {
        let failure = text(expression).unwrap_err().to_string();
        assert!(failure.contains(why), "{expression}: {failure}");
        assert!(!failure.contains("Ada") && !failure.contains("Zoë"), "{expression}: {failure}");
    }
}

/// Each is a mistake at the part beside it, whose message and help hold the last.
fn mistaken(cases: &[(&str, &str, &str)]) {
    for (expression, part, said) in cases {
        let found = mistakes(expression);
        let first = found.first().unwrap();
        let told = format!("{} {}", first.message, first.help.clone().unwrap_or_default());
        assert!(told.contains(said), "{expression}: {found:?}");
        assert_eq!(expression.get(first.range.clone()), Some(*part), "{expression}: {found:?}");
    }
}

#[test]
fn texts_are_taken_apart_by_characters() {
    all_true(&[
        "user.name.substring(4) == '名前' && user.name.substring(0, 3) == 'Zoë' && 'ab'.substring(2) == ''",
        "'名前'.charAt(1) == '前' && 'ab'.charAt(2) == ''",
        "user.name.indexOf('名') == 4 && user.name.indexOf('x') == -1 && 'abcabc'.indexOf('b', 2) == 4",
        "'名前名'.lastIndexOf('名') == 2 && ''.lastIndexOf('x') == -1",
        "'a-b-c'.replace('-', '+') == 'a+b+c' && 'a-b-c'.replace('-', '+', 1) == 'a+b-c'",
        "'ab'.replace('', '.') == '.a.b.' && 'ab'.replace('b', '') == 'a'",
        "'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'a,b'.split(',', 0) == [] && 'a,b'.split(',', -1).size() == 2",
        "'\u{212a}A\u{130}\u{212b}B'.lower() == '\u{212a}a\u{130}åb' && 'ΑΣ\u{212a}'.lower() == 'ας\u{212a}'",
        "'aßı\u{17f}\u{fb01}é'.upper() == 'Aßı\u{17f}\u{fb01}É' && ''.lower() == '' && '\u{212a}'.lower() == '\u{212a}'",
        "'ÄB'.lowerAscii() == 'Äb' && 'äb'.upperAscii() == 'äB' && 'äb'.upper() == 'ÄB'",
    ]);
    none_has_a_result(&[
        ("'ab'.substring(3)", "position"),
        ("'ab'.substring(-1)", "position"),
        ("'ab'.substring(2, 1)", "position"),
        ("'ab'.substring(0, 3)", "position"),
        ("'ab'.charAt(3)", "position"),
        ("'ab'.indexOf('b', 3)", "position"),
        ("user.groups.substring(0)", "does not take"),
        ("'ab'.substring(user.email)", "does not take"),
    ]);
}

#[test]
fn patterns_are_compiled_with_the_policy_and_run_in_linear_time() {
    all_true(&[
        "user.email.matches('^[A-Z].*@Example[.]org$') && !user.email.matches('^ada')",
        "user.name.matches('(?i)zOË') && ''.matches('^$')",
    ]);
    let long = "a".repeat(30_000);
    let claims = format!(r#"{{"s": "{long}!"}}"#);
    with_view(&claims, |view| assert_eq!(compiled("user.s.matches('^(a|aa|a*)*$')").test(view), Ok(false)));
    mistaken(&[
        ("'x'.matches('(')", "'", "unclosed group"),
        ("'x'.matches('(?=a)')", "'", "look-around"),
        (r"'x'.matches('(a)\\1')", "'", "backreferences"),
        ("'x'.matches('(((a{99}){99}){99}){99}')", "'", "too large"),
        ("'x'.matches(user.email)", "email", "must be a literal"),
        ("matches('x', 'y')", "matches", "value.matches("),
    ]);
}

#[test]
fn lists_have_ends_and_are_compared() {
    all_true(&[
        "user.groups.first() == 'staff' && user.groups.last() == 'royalty-admins' && [1].first() == 1",
        "hasAny(user.groups, ['x', 'staff']) && !hasAny(user.groups, ['x']) && hasAny(user.groups, user.groups)",
        "hasAll(user.groups, ['staff', 'royalty-admins']) && !hasAll(user.groups, ['staff', 'x'])",
        "hasAny(user.email, ['Ada@Example.org']) && hasAny(user.groups, 'staff') && hasAny([1, 'a'], [1])",
        "!hasAny(user.empty, user.groups) && hasAll(user.groups, user.empty)",
        "user.groups.exists(g, g == 'staff') && user.groups.exists(g, 'staff' == g) && !user.empty.exists(g, g == 'x')",
    ]);
    none_has_a_result(&[
        ("user.empty.first()", "first element"),
        ("user.empty.last()", "last element"),
        ("hasAny(user.missing, ['x'])", "`missing` is absent"),
        ("hasAny(user.address, ['x'])", "does not take"),
        ("[1].join()", "no text"),
        ("[user.email, user.groups].join()", "no text"),
    ]);
    mistaken(&[
        ("hasAny(user.groups, [])", "[", "says nothing"),
        ("hasAll(1, user.groups)", "1", "needs a list"),
        ("hasAny(user.groups)", "hasAny", "takes 2 arguments, not 1"),
        ("hasSome(user.groups, ['a'])", "hasSome", "functions are"),
        ("user.groups.hasAny(['x'])", "hasAny", "hasAny(value)"),
        ("user.groups.frst()", "frst", "`.first`"),
    ]);
}

#[test]
fn addresses_are_found_in_networks() {
    all_true(&[
        "inCidr(request.client, '192.0.2.0/24') && inCidr(request.client, ['10.0.0.0/8', '192.0.2.7'])",
        "!inCidr(request.client, '2001:db8::/32') && inCidr('2001:db8::1', '2001:db8::/32')",
        "inCidr('::ffff:10.1.2.3', '10.0.0.0/8')",
    ]);
    none_has_a_result(&[("inCidr(user.email, '10.0.0.0/8')", "no address"), ("inCidr(user.small, '::/0')", "take")]);
    mistaken(&[
        ("inCidr(request.client, '10.0.0.1/8')", "'", "10.0.0.0/8"),
        ("inCidr(request.client, ['10.0.0.0/8', 'x'])", "[", "`x` is no network"),
        ("inCidr(request.client, '::ffff:10.0.0.0/104')", "'", "could never match"),
        ("inCidr(request.client, [])", "[", "no network"),
        ("inCidr(request.client, user.nets)", "nets", "literals"),
        ("inCidr(1, '10.0.0.0/8')", "1", "needs a text"),
    ]);
}

/// What the domain of `email` is, told by a provider that says `verified` of it.
fn domain(expression: &str, email: &str, verified: &str) -> Result<String, Failure> {
    let claims = format!(r#"{{"email": "{email}", "upn": "ada@upn.example" {verified}}}"#);
    with_view(&claims, |view| compiled(expression).text(view).map(Cow::into_owned))
}

#[test]
fn s09_an_address_of_several_parts_or_unverified_has_no_domain() {
    let yes = r#", "email_verified": true"#;
    assert_eq!(domain("domainOf(user.email)", "Ada@GMR.Example", yes).as_deref(), Ok("gmr.example"));
    let as_text = r#", "email_verified": "true""#;
    assert_eq!(domain("domainOf(user.email)", "ada@gmr.example", as_text).as_deref(), Ok("gmr.example"));
    let forms = [
        "domainOf(user.email)",
        "domainOf(user['email'])",
        "domainOf(user.email.lower())",
        "domainOf(true ? user.email : 'a@b')",
        "[user.email].map(e, domainOf(e)).first()",
        "[user.email].map(e, [e].map(f, domainOf(f + '')).first()).first()",
    ];
    for form in forms {
        assert!(compiled(form).claims().contains("email_verified"), "{form}");
        for unverified in
            ["", r#", "email_verified": false"#, r#", "email_verified": "yes""#, r#", "email_verified": null"#]
        {
            let found = domain(form, "ada@gmr.example", unverified);
            assert_eq!(found, Err(Failure::Absent("a verified e-mail address".to_owned())), "{form} {unverified}");
        }
        assert_eq!(domain(form, "ada@gmr.example", yes).as_deref(), Ok("gmr.example"), "{form}");
    }
    let several = [
        "ada@evil.example@gmr.example",
        "ada",
        "@gmr.example",
        "ada@",
        "",
        "ada@gmr.example ",
        "ada@gmr.example,x",
        "a@b\\u0000",
        "ada@gmr.example>",
        "ada@[192.0.2.1]",
    ];
    for email in several {
        assert!(matches!(domain("domainOf(user.email)", email, yes), Err(Failure::Absent(_))), "{email}");
        assert!(matches!(domain("unverifiedDomainOf(user.email)", email, yes), Err(Failure::Absent(_))), "{email}");
    }
    assert_eq!(domain("unverifiedDomainOf(user.email)", "ada@gmr.example", "").as_deref(), Ok("gmr.example"));
    assert_eq!(domain("domainOf(user.upn)", "ada@gmr.example", "").as_deref(), Ok("upn.example"));
    assert_ne!(domain("domainOf(user.email)", "ada@\\u212Aiosk.example", yes).as_deref(), Ok("kiosk.example"));
}

#[test]
fn a_pattern_may_lie_as_deep_around_a_class_as_around_a_letter() {
    let nested =
        |depth: usize, inner: &str| format!("'a'.matches(r'{}{inner}{}')", "(".repeat(depth), ")".repeat(depth));
    for inner in ["a", r"\w", r"[^\D]"] {
        let deepest =
            (1..40).rev().find(|depth| Expression::compile(&nested(*depth, inner), &Named::default()).is_ok()).unwrap();
        assert!(deepest >= 30, "{inner}: {deepest}");
    }
    assert!(["a", r"\w"].iter().all(|inner| Expression::compile(&nested(33, inner), &Named::default()).is_err()));
}

#[test]
fn s09_a_domain_rule_by_hand_is_warned_of() {
    for text in [
        "user.email.endsWith('@gmr.example')",
        "user.email.lower().contains('@gmr.')",
        "user.email.matches('@gmr\\\\.example$')",
        "user.email.matches('gmr\\\\.example$')",
        "user.email.lower().matches(r'\\.example\\z')",
        "user.email.split('@').last() == 'gmr.example'",
        "user.email.split('@')[1] == 'gmr.example'",
        "'gmr.example' in user.email.lower().split('@')",
        "user.email.substring(user.email.indexOf('@')) == '@gmr.example'",
        "user['email'].substring(user.email.lastIndexOf('@')) == '@gmr.example'",
        "user.groups.exists(g, user.email.endsWith('@x'))",
        "user.groups.exists(g, user.email.endsWith(g))",
        "user.email.endsWith('gmr.example')",
        "user.email.lower().endsWith('.org')",
        "user.email.split('.')[0].endsWith('x')",
        "user.email.split('@').last().endsWith('x')",
        "user.email.split('@', 1)[0].endsWith('x.example')",
    ] {
        let compiled = compiled(text);
        let warning = compiled.warnings().first().unwrap();
        assert!(warning.help.as_ref().unwrap().contains("domainOf(user.email)"), "{warning:?}");
    }
    for text in [
        "user.upn.endsWith('@x')",
        "domainOf(user.email) == 'x'",
        "user.email.matches('^svc-')",
        "user.email.matches('^svc-.*\\\\$')",
        "user.email.startsWith('ada@')",
        "user.email == 'ada@gmr.example'",
        "user.email.split('@').first() == 'ada'",
        "user.email.split('@')[0] == 'ada'",
        "user.email.split('.').last() == 'ada'",
        "user.upn.matches('@x$')",
        "domainOf(user.email).endsWith('.gmr.example')",
        "unverifiedDomainOf(user.email).endsWith('.gmr.example')",
        "domainOf(user.email).matches(r'\\.gmr\\.example$')",
        "user.email.split('@').first().endsWith('-svc')",
        "user.email.lower().split('@')[0].matches('-svc$')",
    ] {
        assert!(compiled(text).warnings().is_empty(), "{text}");
    }
}

#[test]
fn texts_are_encoded_and_decoded() {
    all_true(&[
        "base64.encode('Zoë') == 'Wm/Dqw==' && base64.decode('Wm/Dqw==') == 'Zoë' && base64.decode('Wm/Dqw') == 'Zoë'",
        "percent.encode('a b/ë-~') == 'a%20b%2F%C3%AB-~' && percent.decode('a%20b%C3%AB+') == 'a bë+'",
    ]);
    none_has_a_result(&[
        ("base64.decode('Zo*')", "no Base64"),
        ("base64.decode('/w==')", "no text"),
        ("percent.decode('%')", "broken"),
        ("percent.decode('%4')", "broken"),
        ("percent.decode('%zz')", "broken"),
        ("percent.decode('%ff')", "no text"),
        ("base64.encode(user.groups)", "does not take"),
    ]);
    mistaken(&[
        ("base64.encod('x')", "encod", "base64.encode"),
        ("base64('x')", "base64", "base64.encode(…)"),
        ("user.groups.exists(percent, percent.lower() == 'x')", "exists", "already has a meaning"),
        ("percent.encode(1)", "1", "needs a text"),
        ("base64.encode()", "encode", "takes 1 arguments, not 0"),
    ]);
}

#[test]
fn moments_have_dates_and_hours_in_a_zone() {
    // 1090 seconds into 1970, a Thursday; in Vienna it was 01:18:10.
    all_true(&[
        "now.getFullYear() == 1970 && now.getMonth() == 0 && now.getDate() == 1 && now.getDayOfMonth() == 0",
        "now.getDayOfYear() == 0 && now.getDayOfWeek() == 4 && now.getHours() == 0 && now.getMinutes() == 18",
        "now.getSeconds() == 10 && now.getMilliseconds() == 0 && now.getHours('Europe/Vienna') == 1",
        "now.getDate('America/New_York') == 31 && now.getDayOfWeek('America/New_York') == 3",
        "now < date('2026-12-31', 'Europe/Vienna') && date('1970-01-02') == 86400",
        "now < date('9999-12-31', 'Europe/Vienna') && now < timestamp('9999-12-31T23:59:59Z') && now < date('9999-12-30')",
        "date('1970-01-01', 'Europe/Vienna') == -3600 && timestamp('1970-01-01T01:00:00+01:00') == 0",
        "timestamp('1970-01-01T01:00:00', 'Europe/Vienna') == 0 && timestamp('1970-01-01T00:00:01Z') == 1",
        "date('1970-01-02', 'Europe/Vienna').getHours('Europe/Vienna') == 0 && hasAny([date('1970-01-02')], [86400])",
        "session.age < duration('10m') && duration('1h 30m') == 5400 && session.authenticated_at.getMinutes() == 16",
    ]);
    let until =
        |until: &str| with_view(&format!(r#"{{"u": "{until}"}}"#), |view| compiled("now < date(user.u)").test(view));
    assert_eq!((until("1970-01-01"), until("1970-01-02")), (Ok(false), Ok(true)));
    for bad in ["", "1970-13-01", "tomorrow", "1970-01-01T00:00:00Z"] {
        assert!(matches!(until(bad), Err(Failure::Failed(_))), "{bad}");
    }
    none_has_a_result(&[
        ("(user.small * 9000000000000).getHours()", "no moment"),
        ("user.email.getHours()", "does not take"),
        ("user.staff_number.getHours()", "does not take"),
    ]);
    mistaken(&[
        ("now.getHours('Europe/Wien')", "'", "unknown time zone"),
        ("now.getHours('Europe/Viena')", "'", "Europe/Vienna"),
        ("now.getHours(user.zone)", "zone", "must be a literal"),
        ("now < date('2026-02-30')", "'", "no date"),
        ("now < date('2026-12-31T00:00:00Z')", "'", "no date"),
        ("now < timestamp('2026-12-31')", "'", "no moment"),
        ("session.age < duration('soon')", "'", "no length of time"),
        ("date(2026) < now", "2026", "needs a text"),
        ("'x'.getHours() == 1", "getHours", "needs a number"),
    ]);
}

#[test]
fn parameters_and_headers_are_read_by_name() {
    all_true(&[
        "request.params.x == '1' && request.params['view'] == 'full page' && request.params.view.size() == 9",
        "'view' in request.params && !('other' in request.params) && has(request.params.x) && !has(request.params.y)",
        "request.headers['accept-language'].startsWith('de') && request.headers['X-Requested-With'] == 'XMLHttpRequest'",
        "'accept-language' in request.headers && !('dnt' in request.headers)",
        "request.scheme == 'https' && request.tls.version == '1.3'",
        "request.tls.client.verified && request.tls.client.common_name == 'laptop-7'",
        "request.tls.client.subject == 'CN=laptop-7,O=Garnet Records' && request.tls.client.issuer == 'CN=Devices'",
        "request.tls.client.serial == 'e501' && request.tls.client.fingerprint.startsWith('abab')",
        "'laptop-7.gmr.example' in request.tls.client.dns_names && request.tls.client.emails.exists(e, e == 'ada@gmr.example')",
        "request.tls.client.uris == ['spiffe://gmr.example/ada'] && size(request.tls.client.addresses) == 1",
        "request.tls.client.expires == 2000000000",
    ]);
    assert_eq!(test("request.params.nothing == ''"), Err(Failure::Absent("request.params['nothing']".to_owned())));
    assert_eq!(test("request.headers['dnt'] == '1'"), Err(Failure::Absent("request.headers['dnt']".to_owned())));
    let reads = compiled("request.params.a == request.headers['X-B'] && has(request.params.c)").reads().clone();
    assert_eq!(reads.parameters.into_iter().collect::<Vec<_>>(), ["a".into(), "c".into()]);
    assert_eq!(reads.headers.into_iter().collect::<Vec<_>>(), ["x-b".into()]);
    assert!(reads.request);
    mistaken(&[
        ("request.params == 'x'", "params", "as a whole"),
        ("request.headers.size() == 1", "headers", "as a whole"),
        ("request.params[user.x] == 'x'", "[", "named by a literal"),
        ("request.headers['cookie'] == 'x'", "[", "cannot be read"),
        ("request.headers['X-Forwarded-For'] == 'x'", "[", "removed before"),
        ("request.headers['a b'] == 'x'", "[", "no header name"),
        ("request.params[''] == 'x'", "[", "no name"),
        ("request.tls == 'x'", "tls", "request.tls.version"),
        ("request.tls.versoin == 'x'", "versoin", "request.tls.version"),
        ("request.tls.client == 'x'", "client", "request.tls.client.subject"),
        ("request.tls.client", "client", "request.tls.client.subject"),
        ("request.tls.client.subjekt == 'x'", "subjekt", "request.tls.client.subject"),
        ("has(request.tls.client.subject)", "has", "always there"),
        ("request.tls.client.subject.x == 'x'", "x", ""),
        ("request.param.x == 'x'", "param", "request.params"),
    ]);
}

#[test]
fn s08_what_only_clients_say_is_known() {
    let alone = |text: &str| compiled(text).reads().only_what_clients_say();
    assert!(alone("request.headers['user-agent'].contains('Mozilla')"));
    assert!(alone("'x-app' in request.headers && request.path != '/'"));
    assert!(!alone("'x-app' in request.headers && 'staff' in user.groups"));
    assert!(!alone("'x-app' in request.headers && inCidr(request.client, '10.0.0.0/8')"));
    assert!(!alone("request.path == '/x'"));
    assert!(!alone("request.tls.client.verified && request.headers['x-a'] == 'b'"));
    assert!(alone("request.tls.version == '1.3' && request.headers['x-a'] == 'b'"));
}

#[test]
fn no_function_runs_long_or_builds_much() {
    let many: Vec<String> = (0..2000).map(|number| format!("\"group-{number}\"")).collect();
    let claims = format!(r#"{{"groups": [{}], "s": "{}"}}"#, many.join(","), "x".repeat(16_000));
    let too_much = [
        "user.s.replace('x', user.s) == ''",
        "user.groups.map(g, user.s).size() == 1",
        "user.groups.map(g, user.s.upper()).size() == 1",
        "user.groups.exists(g, !(g in user.groups))",
        "user.groups.exists(g, user.groups != user.groups)",
        "user.groups.exists(g, user.s.contains('y'))",
        "user.groups.exists(g, user.s.matches('y'))",
        "user.groups.all(g, !hasAny(user.groups, ['y']))",
        "user.groups.all(g, user.s.indexOf('y') < 0)",
        "user.groups.all(g, percent.encode(user.s) != '')",
        "(user.s + user.s + user.s + user.s + user.s) == ''",
        "user.groups.map(g, g.split('', 1)) == []",
    ];
    for text in too_much {
        let outcome = with_view(&claims, |view| compiled(text).test(view));
        let why = outcome.unwrap_err().to_string();
        assert!(why.contains("too") || why.contains("separator"), "{text}: {why}");
    }
    with_view(&claims, |view| assert_eq!(compiled("hasAny(user.groups, ['group-1999'])").test(view), Ok(true)));
}
