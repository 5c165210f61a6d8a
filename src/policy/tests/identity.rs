//! Identity headers as the application gets them: one field for each, exact values or none (S03, S06).

use super::*;

#[test]
fn s03_a_public_rule_sends_no_identity() {
    let policy = policy("[login]\n[headers]\nX-User = \"${user.id}\"\n[[rules]]\naccess = \"public\"\n");
    assert_eq!(headers(&policy, r#"{"id": "7"}"#), Ok(Vec::new()));
    assert_eq!(policy.emitted_headers().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-user"]);
}

#[test]
fn s03_one_field_per_header_in_the_order_of_the_file_and_none_when_absent() {
    let text = r#"
[login]
[headers]
X-B = "${user.b}"
X-Path = "${request.path} by ${user.b}"
X-A = "${user.a}"
X-None = "${user.none}"
X-Gone = "before ${user.gone} after"
[[rules]]
"#;
    let made = headers(&policy(text), r#"{"a": "1", "b": "2", "none": null}"#).unwrap();
    let made: Vec<_> = made.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(made, ["x-b: 2", "x-path: /a/b by 2", "x-a: 1"]);
}

#[test]
fn s06_a_value_is_sent_exactly_or_not_at_all() {
    let some = |text: &str| Ok(Some(text.to_owned()));
    let cases = [
        (r#""${user.v}""#, r#""plain""#, some("plain")),
        (r#""${user.v}""#, "10000000000000000001", some("10000000000000000001")),
        (r#""${user.v}""#, "98765432109876543210", some("98765432109876543210")),
        (r#""${user.v}""#, "1.50", some("1.50")),
        (r#""${user.v}""#, "true", some("true")),
        (r#""${user.v}""#, r#""""#, some("")),
        (r#""${user.v}""#, r#""名""#, some(r"\xe5\x90\x8d")),
        (r#""${user.v}""#, r#""a\r\nX-Admin: 1""#, Err("header_unencodable")),
        (r#""${user.v}""#, r#""a\u0000b""#, Err("header_unencodable")),
        (r#""${user.v}""#, r#"" admin""#, Err("header_unencodable")),
        (r#""${user.v}""#, r#"["a"]"#, Err("header_failed")),
        (r#""${user.v}""#, r#"{"a": 1}"#, Err("header_failed")),
        (r#""$${user.v} $5 ${user.v}""#, "1", some("${user.v} $5 1")),
        (r#"'${"}" + user.v + "}"}'"#, r#""x""#, some("}x}")),
        (r#"{ value = "${user.v}", encoding = "latin1" }"#, r#""Zoë""#, some(r"Zo\xeb")),
        (r#"{ value = "${user.v}", encoding = "latin1" }"#, r#""名""#, Err("header_unencodable")),
        (
            r#"{ value = "${user.v}", encoding = "latin1", unencodable = "percent" }"#,
            r#""名 %""#,
            some("%E5%90%8D%20%25"),
        ),
        (r#"{ value = "${user.v}", encoding = "latin1", unencodable = "omit" }"#, r#""名""#, Ok(None)),
        (
            r#"{ value = "${user.v}", encoding = "latin1", unencodable = "percent" }"#,
            r#""a\n""#,
            Err("header_unencodable"),
        ),
        (r#"{ value = "${user.v}", unencodable = "percent" }"#, r#"" admin""#, some("%20admin")),
        (r#"{ value = "${user.v}", encoding = "percent" }"#, r#""Zoë a""#, some("Zo%C3%AB%20a")),
        (r#"{ value = "${user.v}", encoding = "base64" }"#, r#""名""#, some("5ZCN")),
    ];
    for (value, claim, expected) in cases {
        assert_eq!(header(value, &format!("{{\"v\": {claim}}}")), expected, "{value} {claim}");
    }
}

#[test]
fn s06_a_value_that_is_too_long_denies_and_is_never_cut() {
    let claims = |length: usize| format!("{{\"v\": \"{}\"}}", "x".repeat(length));
    assert_eq!(header("\"${user.v}\"", &claims(MAX_HEADER_VALUE)).unwrap().unwrap().len(), MAX_HEADER_VALUE);
    assert_eq!(header("\"${user.v}\"", &claims(MAX_HEADER_VALUE + 1)), Err("header_too_long"));
}

#[test]
fn s06_a_list_is_taken_apart_into_the_same_elements_or_refused() {
    let some = |text: &str| Ok(Some(text.to_owned()));
    let plain = r#"{ list = "${user.v}", separator = ";" }"#;
    let percent = r#"{ list = "${user.v}", separator = "; ", contains = "percent" }"#;
    let cases = [
        (plain, r#"["a", "b,c"]"#, some("a;b,c")),
        (plain, r#"["a", 98765432109876543210, 1.50, true]"#, some("a;98765432109876543210;1.50;true")),
        (plain, r#"["a;admin"]"#, Err("header_unencodable")),
        (plain, r#"["a", ""]"#, Err("header_unencodable")),
        (plain, r#"["a", " b"]"#, Err("header_unencodable")),
        (plain, r#"["a", "b\n"]"#, Err("header_unencodable")),
        (plain, r#"["a", ["b"]]"#, Err("header_failed")),
        (plain, r#"["a", null]"#, Ok(None)),
        (plain, r#""one""#, some("one")),
        (plain, "[]", Ok(None)),
        (plain, "null", Ok(None)),
        (percent, r#"["a;b", "c%3B", "d e", " f "]"#, some("a%3Bb; c%253B; d%20e; %20f%20")),
        (r#"{ list = "${user.v}", separator = ", " }"#, r#"["a,b"]"#, Err("header_unencodable")),
        (r#"{ list = "${user.v}", missing = "deny" }"#, "[]", Err("header_missing")),
        (r#"{ list = "${user.v.filter(g, g.startsWith('r-'))}" }"#, r#"["r-1", "x", "r-2"]"#, some("r-1,r-2")),
        (r#"{ list = "${user.v.filter(g, g.startsWith('r-'))}", default = "none" }"#, r#"["x"]"#, some("none")),
    ];
    for (value, claim, expected) in cases {
        assert_eq!(header(value, &format!("{{\"v\": {claim}}}")), expected, "{value} {claim}");
    }
}

#[test]
fn a_missing_value_does_what_the_policy_says() {
    let some = |text: &str| Ok(Some(text.to_owned()));
    assert_eq!(header("\"${user.v}\"", "{}"), Ok(None));
    assert_eq!(header("{ value = \"${user.v}\", missing = \"omit\" }", "{}"), Ok(None));
    assert_eq!(header("{ value = \"${user.v}\", missing = \"empty\" }", "{}"), some(""));
    assert_eq!(header("{ value = \"${user.v}\", missing = \"deny\" }", "{}"), Err("header_missing"));
    assert_eq!(header("{ value = \"${user.v}\", default = \"guest\" }", "{}"), some("guest"));
    assert_eq!(header("\"${user.v > 5 ? 'a' : 'b'}\"", "{\"v\": \"x\"}"), Err("header_failed"));
}

#[test]
fn basic_credentials_are_sensitive_and_cannot_be_confused() {
    let basic = r#"{ basic = { user = "${user.v}", password = { file = "app.password" } } }"#;
    assert_eq!(header(basic, r#"{"v": "ada"}"#), Ok(Some("Basic YWRhOnMzY3JldDpwYTU1".to_owned())));
    assert_eq!(header(basic, r#"{"v": "a:b"}"#), Err("header_unencodable"));
    assert_eq!(header(basic, r#"{"v": "a\nb"}"#), Err("header_unencodable"));
    assert_eq!(header(basic, "{}"), Ok(None));
    let policy = policy(&format!("[login]\n[headers]\nAuthorization = {basic}\n[[rules]]\n"));
    let who = policy.prepare(Arc::new(subject(r#"{"v": "ada"}"#)));
    let request = CanonicalPath::parse("/").unwrap();
    let request = facts(&policy, &request);
    let Decision::Allow(permit) = policy.decide(&request, Some(&who), NOW) else { panic!("denied") };
    let value = &permit.headers().first().unwrap().1;
    assert!(value.is_sensitive() && !format!("{value:?}").contains("YWRh"));
}
