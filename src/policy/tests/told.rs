//! What applications are told: kinds, encodings and limits of headers and cookies.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::*;

const CLAIMS: &str = r#"{"sub":"00u1","email":"ada@gmr.example","id":10000000000000000001,"rate":1.50,"on":true,
    "groups":["staff",20000000000000000002,0.10,false],"address":{"city":"名","zip":8010,"n":12345678901234567890.50},"none":null}"#;

fn with(tables: &str) -> Policy {
    policy(&format!("[login]\n{tables}\n[[rules]]\npaths = \"/public/**\"\naccess = \"public\"\n[[rules]]\n"))
}

/// Fields for a person at a moment.
fn at(policy: &Policy, who: Option<&Prepared>, path: &str, now: Timestamp) -> Vec<(String, String)> {
    let path = CanonicalPath::parse(path).unwrap();
    match policy.decide(&facts(policy, &path), who, now) {
        Decision::Allow(permit) => {
            let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            permit.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn prepared(policy: &Policy) -> Prepared {
    policy.prepare(Arc::new(subject(CLAIMS)))
}

/// A token's head and content, its signature verified with the published keys.
fn verified(token: &str, keys: &IdentityKeys, now: Timestamp) -> (Value, String) {
    let parts: Vec<&str> = token.split('.').collect();
    let [head, content, signature] = parts.as_slice() else { panic!("{token}") };
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let head: Value = serde_json::from_slice(&decode(head)).unwrap();
    let set: Value = serde_json::from_str(&keys.published(now.seconds())).unwrap();
    let key = set["keys"].as_array().unwrap().iter().find(|key| key["kid"] == head["kid"]).expect("a published key");
    let part = |name: &str| decode(key[name].as_str().unwrap());
    let point = [vec![4], part("x"), part("y")].concat();
    let signed = token.rsplit_once('.').unwrap().0;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed.as_bytes(), &decode(signature)).unwrap();
    (head, String::from_utf8(decode(content)).unwrap())
}

/// Keys of which one is in use.
fn keys_in_use() -> Arc<IdentityKeys> {
    let text = crate::crypto::SigningKey::generate().unwrap();
    let key = Arc::new(crate::crypto::SigningKey::from_base64(&text).unwrap());
    let keys = IdentityKeys::default();
    keys.replace(crate::crypto::KeySet::configured(&[key]));
    Arc::new(keys)
}

fn signed_policy(jwt: &str, keys: &Arc<IdentityKeys>) -> Policy {
    let text = format!(
        "[app]\nhosts = [\"app.example\"]\nupstream = \"http://127.0.0.1:7001\"\n[login]\n[headers]\nX-Jwt = {{ jwt = {{ {jwt} }} }}\n[[rules]]\n"
    );
    let mut report = Report::default();
    let environment = Environment { identity: Some(keys), ..surroundings(&[OKTA]) };
    compile("app", &SourceFile::new("app.toml", text), &environment, &mut report).unwrap_or_else(|| panic!("{report}"))
}

#[test]
fn s06_numbers_keep_their_exact_text_in_every_kind() {
    for (value, sent) in [
        (r#""${user.id}/${user.rate}/${user.on}""#, "10000000000000000001/1.50/true"),
        (r#"{ list = "${user.groups}" }"#, "staff,20000000000000000002,0.10,false"),
        (r#"{ json = "${user.groups}" }"#, r#"["staff",20000000000000000002,0.10,false]"#),
        (r#"{ json = "${user.address}" }"#, r#"{"city":"\\u540d","n":12345678901234567890.50,"zip":8010}"#),
        (r#"{ json = "${user.id}" }"#, "10000000000000000001"),
        (r#"{ json = "${user.groups.filter(g, string(g) == 'staff')}" }"#, r#"["staff"]"#),
        (r#"{ json = "${{'b': user.on, 'a': [1, 2u, null]}}" }"#, r#"{"a":[1,2,null],"b":true}"#),
    ] {
        // The helper shows a backslash twice.
        let sent = sent.replace('"', "\\\"");
        assert_eq!(header(value, CLAIMS), Ok(Some(sent)), "{value}");
    }
    for value in [r#"{ json = "${user.none}" }"#, r#"{ json = "${user.away.deep}" }"#] {
        assert_eq!(header(value, CLAIMS), Ok(None), "{value}");
    }
}

#[test]
fn s06_json_in_a_header_is_ascii_whatever_it_holds() {
    let claims = r#"{"c":{"line\n":"a\r\nb\u0000","名":["\"","\\","\u0080"]}}"#;
    let made = headers(&with("[headers]\nX = { json = \"${user.c}\" }"), claims).unwrap();
    let text = made[0].1.replace("\\\\", "\\").replace("\\\"", "\"");
    assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{text}");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), serde_json::from_str::<Value>(claims).unwrap()["c"]);
}

#[test]
fn s06_above_max_a_value_denies_or_is_left_out_and_is_never_cut() {
    let claims = r#"{"a":"0123456789"}"#;
    for (options, made) in [
        (r#"max = "10B""#, Ok(Some("0123456789".to_owned()))),
        (r#"max = "9B""#, Err("header_too_long")),
        (r#"max = "9B", too_long = "deny""#, Err("header_too_long")),
        (r#"max = "9B", too_long = "omit""#, Ok(None)),
        (r#"max = "10B", encoding = "base64""#, Err("header_too_long")),
        (r#"max = "16B", encoding = "base64""#, Ok(Some("MDEyMzQ1Njc4OQ==".to_owned()))),
    ] {
        assert_eq!(header(&format!(r#"{{ value = "${{user.a}}", {options} }}"#), claims), made, "{options}");
    }
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(20_000));
    assert_eq!(header(r#""${user.a}""#, &long), Err("header_too_long"));
    assert_eq!(header(r#"{ value = "${user.a}", max = "32KiB" }"#, &long), Ok(Some("x".repeat(20_000))));
}

#[test]
fn a_shared_secret_goes_with_every_request_and_a_bearer_token_only_with_a_persons() {
    let policy = with(
        "[headers]\nX-Proof = { secret = { file = \"app.secret\" } }\nX-User = \"${user.email}\"\nAuthorization = { bearer = { file = \"app.token\" } }\n[cookies]\nproof = { secret = { file = \"app.secret\" } }\nid = \"${user.sub}\"",
    );
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let everybody = [pair("x-proof", "proof"), pair("cookie", "proof=proof")];
    assert_eq!(at(&policy, None, "/public/x", NOW), everybody);
    assert_eq!(at(&policy, Some(&prepared(&policy)), "/public/x", NOW), everybody, "public is public, whoever asks");
    let all = [
        pair("x-proof", "proof"),
        pair("x-user", "ada@gmr.example"),
        pair("authorization", "Bearer t0ken._~+/-=="),
        pair("cookie", "proof=proof; id=00u1"),
    ];
    assert_eq!(at(&policy, Some(&prepared(&policy)), "/", NOW), all);
    let path = CanonicalPath::parse("/").unwrap();
    let who = prepared(&policy);
    let Decision::Allow(permit) = policy.decide(&facts(&policy, &path), Some(&who), NOW) else { panic!() };
    let sensitive: Vec<bool> = permit.headers().iter().map(|(_, value)| value.is_sensitive()).collect();
    assert_eq!(sensitive, [true, false, true, true]);
}

#[test]
fn secrets_alone_are_sent_even_where_every_rule_is_public() {
    let text = "[app]\nhosts = [\"a.example\"]\nupstream = \"http://127.0.0.1:1\"\n\
                [headers]\nX-A = { secret = { file = \"app.secret\" } }\n[[rules]]\naccess = \"public\"\n";
    let mut report = Report::default();
    let policy = compile("a", &SourceFile::new("a.toml", text), &surroundings(&[]), &mut report).unwrap();
    assert!(report.findings().is_empty(), "{report}");
    assert_eq!(at(&policy, None, "/", NOW), [("x-a".to_owned(), "proof".to_owned())]);
}

#[test]
fn an_assertion_says_who_asks_and_verifies_with_the_published_key() {
    let keys = keys_in_use();
    let policy =
        signed_policy(r#"audience = "royalty", claims = ["email", "groups", "id", "rate", "none", "away"]"#, &keys);
    let who = prepared(&policy);
    let token = at(&policy, Some(&who), "/", NOW)[0].1.clone();
    let (head, content) = verified(&token, &keys, NOW);
    assert_eq!((head["alg"].as_str(), head["typ"].as_str()), (Some("ES256"), Some("JWT")));
    let json: Value = serde_json::from_str(&content).unwrap();
    let texts = ["iss", "sub", "aud", "email"].map(|name| json[name].as_str().unwrap());
    assert_eq!(texts, ["https://app.example", "00u1", "royalty", "ada@gmr.example"]);
    assert_eq!((json["iat"].as_i64(), json["exp"].as_i64()), (Some(NOW.seconds()), Some(NOW.seconds() + 120)));
    assert!(json["jti"].as_str().unwrap().len() >= 22);
    assert!(json.get("none").is_none() && json.get("away").is_none(), "{content}");
    let exact = r#""groups":["staff",20000000000000000002,0.10,false],"id":10000000000000000001,"rate":1.50"#;
    assert!(content.contains(exact), "{content}");
    let read: Vec<&str> = policy.claims_read().iter().map(|name| &**name).collect();
    assert_eq!(read, ["away", "email", "groups", "id", "none", "rate", "sub"]);
}

#[test]
fn an_assertion_can_name_issuer_subject_and_several_audiences() {
    let keys = keys_in_use();
    let policy = signed_policy(r#"audience = ["a", "b"], issuer = "https://sso", subject = "${user.email}""#, &keys);
    let token = at(&policy, Some(&prepared(&policy)), "/", NOW)[0].1.clone();
    let json: Value = serde_json::from_str(&verified(&token, &keys, NOW).1).unwrap();
    assert_eq!(json["aud"], serde_json::json!(["a", "b"]));
    assert_eq!((json["iss"].as_str(), json["sub"].as_str()), (Some("https://sso"), Some("ada@gmr.example")));
}

#[test]
fn an_assertion_is_kept_for_half_its_life_and_made_anew_before_it_ends() {
    let keys = keys_in_use();
    let policy = signed_policy(r#"audience = "a", ttl = "2m""#, &keys);
    let who = prepared(&policy);
    let later = |seconds| NOW.after(Duration::from_secs(seconds));
    let token = |now| at(&policy, Some(&who), "/", now)[0].1.clone();
    let first = token(NOW);
    assert_eq!(token(later(59)), first);
    let second = token(later(60));
    assert_ne!(second, first);
    let json: Value = serde_json::from_str(&verified(&second, &keys, later(60)).1).unwrap();
    assert_eq!(json["iat"].as_i64(), Some(NOW.seconds() + 60));
    assert_eq!(token(later(119)), second);
    assert_ne!(token(NOW), second, "a clock that was set back makes another one");
}

#[test]
fn an_assertion_beside_a_header_that_reads_the_request_is_kept_too() {
    let policy = with(
        "[headers]\nX-Jwt = { jwt = { audience = \"a\" } }\nX-Path = \"${request.path}\"\nX-User = \"${user.email}\"",
    );
    let who = prepared(&policy);
    let later = |seconds| NOW.after(Duration::from_secs(seconds));
    let first = at(&policy, Some(&who), "/a", NOW);
    let second = at(&policy, Some(&who), "/b", later(59));
    assert_eq!((first[0].clone(), &*second[1].1, &*second[2].1), (second[0].clone(), "/b", "ada@gmr.example"));
    assert_ne!(at(&policy, Some(&who), "/b", later(60))[0], first[0]);
}

#[test]
fn an_assertion_without_a_subject_does_what_the_policy_says() {
    for (missing, made) in [("omit", Ok(None)), ("empty", Ok(Some(String::new()))), ("deny", Err("header_missing"))] {
        let value = format!("{{ jwt = {{ audience = \"a\" }}, missing = \"{missing}\" }}");
        assert_eq!(header(&value, r#"{"email":"x"}"#), made, "{missing}");
    }
}

#[test]
fn a_policy_that_signs_needs_a_gateway_that_has_a_place_for_keys() {
    let text = "[app]\nhosts = [\"a.example\"]\nupstream = \"http://127.0.0.1:1\"\n[login]\n[headers]\nX = { jwt = { audience = \"a\" } }\n[[rules]]\n";
    let mut report = Report::default();
    let environment = Environment { identity: None, ..surroundings(&[OKTA]) };
    assert!(compile("a", &SourceFile::new("a.toml", text), &environment, &mut report).is_none());
    assert_eq!(errors(&report), ["6:13: there is no key to sign with"]);
}

#[test]
fn s03_cookies_are_one_field_behind_the_headers_in_the_order_of_the_file() {
    let policy = with(
        "[cookies]\nb = \"${user.id}\"\nnone = \"${user.away}\"\na = \"${user.address.city} x;y\"\n[headers]\nX-A = \"1\"",
    );
    let made = at(&policy, Some(&prepared(&policy)), "/", NOW);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(made, [pair("x-a", "1"), pair("cookie", "b=10000000000000000001; a=%E5%90%8D%20x%3By")]);
    assert_eq!(policy.emitted_headers().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-a"]);
    assert_eq!(policy.emitted_cookies().collect::<Vec<_>>(), ["b", "none", "a"]);
    let denied =
        headers(&with("[cookies]\nid = { value = \"${user.away}\", missing = \"deny\" }"), CLAIMS).unwrap_err();
    assert_eq!(
        (denied.code(), denied.to_string().as_str()),
        ("header_missing", "cookie `id` has no value and must have one")
    );
}

#[test]
fn names_are_kept_as_the_policy_spells_them() {
    let policy = with(
        "[headers]\nSM_USER = \"a\"\niv-user = \"b\"\n[response.set]\nX-ETag2 = \"c\"\n[response.add]\nvary = [\"a\", \"b\"]",
    );
    assert_eq!(policy.spelled_headers().collect::<Vec<_>>(), ["SM_USER", "iv-user"]);
    assert_eq!(policy.response().spelled().collect::<Vec<_>>(), ["X-ETag2", "vary", "vary"]);
}

/// Every form of a value with every encoding, of a header and of a cookie, made of one claim.
fn every_form() -> Vec<String> {
    let encodings = ["utf-8", "utf-8-percent", "percent", "latin1", "base64", "rfc2047"];
    let unencodable = ["deny", "percent", "omit"];
    let mut forms = Vec::new();
    for (encoding, unencodable) in encodings.iter().flat_map(|one| unencodable.map(|other| (one, other))) {
        let options = format!("encoding = \"{encoding}\", unencodable = \"{unencodable}\"");
        forms.push(format!("{{ value = \"${{user.c}}\", {options} }}"));
        forms.push(format!("{{ json = \"${{user}}\", {options} }}").replace("${user}", "${[user.c]}"));
        for contains in ["deny", "percent", "quote"] {
            forms.push(format!(
                "{{ list = \"${{[user.c, 'b']}}\", separator = \";\", contains = \"{contains}\", {options} }}"
            ));
        }
    }
    forms.push("{ jwt = { audience = \"a\", subject = \"${user.c}\", claims = \"c\" } }".to_owned());
    forms
}

#[test]
fn why_a_header_is_not_sent_is_told_for_every_form() {
    for (form, why) in [
        ("{ jwt = { audience = \"a\" } }", "`sub` is absent"),
        ("{ jwt = { audience = \"a\", subject = \"${user.gone}\" } }", "`gone` is absent"),
        ("\"a ${user.gone}\"", "`gone` is absent"),
        ("{ json = \"${user.none}\" }", "`none` is absent"),
        ("{ list = \"${user.empty}\" }", "the list is empty"),
        (
            "{ value = \"${user.c}\", max = \"1B\", too_long = \"omit\" }",
            "it is longer than its `max`, and the policy then omits it",
        ),
        (
            "{ value = \"${user.c}\", encoding = \"latin1\", unencodable = \"omit\" }",
            "its value does not fit, and the policy then omits it",
        ),
    ] {
        let policy = with(&format!("[headers]\nX-A = {form}"));
        let who = policy.prepare(Arc::new(subject(r#"{"c": "名前", "none": null, "empty": []}"#)));
        let path = CanonicalPath::parse("/").unwrap();
        let explained = policy.explain(&facts(&policy, &path), Some(&who), NOW);
        let told: Vec<_> =
            explained.headers.iter().map(|header| (header.value.clone(), header.why.as_deref())).collect();
        assert_eq!(told, [(None, Some(why))], "{form}");
    }
}

#[test]
fn s06_no_two_people_have_one_value_where_the_whole_is_percent_encoded() {
    let encodings = ["utf-8", "utf-8-percent", "percent", "latin1", "base64", "rfc2047"];
    let list = "list = \"${[user.c]}\", separator = \";\"";
    let forms = |value: &str| {
        let form = |encoding: &&str| format!("{{ {value}, encoding = \"{encoding}\", unencodable = \"percent\" }}");
        encodings.iter().map(form).collect::<Vec<_>>()
    };
    let texts = [
        "名",
        "%E5%90%8D",
        "a b",
        "a%20b",
        " a",
        "%20a",
        "a ",
        "a%20",
        "50%",
        "50%25",
        "a\u{a0}",
        "a%C2%A0",
        "a,b",
        "a%2Cb",
        "ada",
        "ë",
        "%C3%AB",
        "\u{a0}a",
        "%C2%A0a",
        "\"",
        "%22",
        "=?UTF-8?B?YQ==?=",
        "%3D?",
    ];
    for table in ["headers", "cookies"] {
        for form in [
            forms("value = \"${user.c}\""),
            forms("json = \"${user.c}\""),
            forms(list),
            forms(&format!("{list}, contains = \"percent\"")),
        ]
        .concat()
        {
            let policy = with(&format!("[{table}]\nX = {form}"));
            let mut sent = std::collections::BTreeMap::new();
            for text in texts {
                let claims = serde_json::json!({ "c": text }).to_string();
                let Ok(fields) = headers(&policy, &claims) else { continue };
                let before = sent.insert(fields, text);
                assert_eq!(before, None, "[{table}] {form}: and {text}");
            }
            assert!(sent.len() > 10, "[{table}] {form}: {sent:?}");
        }
    }
    let partly = r#"{ value = "${user.c}", encoding = "latin1", unencodable = "percent" }"#;
    assert_eq!(header(partly, r#"{"c": "50%"}"#), Ok(Some("50%25".to_owned())));
    assert_eq!(header(partly, r#"{"c": "Zo\u00eb a"}"#), Ok(Some("Zo\\xeb a".to_owned())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn t02_s03_s06_through_every_kind_and_encoding_a_field_stands_once_without_control_bytes(text in "\\PC{0,12}|[\\x00-\\x7f]{0,8}|.{0,8}|[\"\\\\,; =%]{0,6}") {
        static POLICIES: std::sync::LazyLock<(Vec<Policy>, Vec<Policy>)> = std::sync::LazyLock::new(|| {
            let headers = every_form().iter().map(|form| with(&format!("[headers]\nX-A = {form}\nX-B = \"b\""))).collect();
            let cookies = every_form().iter().map(|form| with(&format!("[cookies]\na = {form}\nb = \"b\""))).collect();
            (headers, cookies)
        });
        let claims = serde_json::json!({ "c": text }).to_string();
        for policy in &POLICIES.0 {
            let path = CanonicalPath::parse("/").unwrap();
            let who = policy.prepare(Arc::new(subject(&claims)));
            let Decision::Allow(permit) = policy.decide(&facts(policy, &path), Some(&who), NOW) else { continue };
            let names: Vec<_> = permit.headers().iter().map(|(name, _)| name.as_str()).collect();
            prop_assert!(names == ["x-a", "x-b"] || names == ["x-b"], "{:?}", names);
            for (_, value) in permit.headers() {
                prop_assert!(value.as_bytes().iter().all(|byte| *byte >= 0x20 && *byte != 0x7f), "{:?}", value);
                prop_assert!(std::str::from_utf8(value.as_bytes()).map_or(true, |text| !text.chars().any(char::is_control)));
            }
        }
        for policy in &POLICIES.1 {
            let path = CanonicalPath::parse("/").unwrap();
            let who = policy.prepare(Arc::new(subject(&claims)));
            let Decision::Allow(permit) = policy.decide(&facts(policy, &path), Some(&who), NOW) else { continue };
            let [(name, value)] = permit.headers() else { panic!("{:?}", permit.headers()) };
            prop_assert_eq!(name.as_str(), "cookie");
            let line = std::str::from_utf8(value.as_bytes()).unwrap();
            let pairs: Vec<&str> = line.split("; ").collect();
            prop_assert!(pairs.len() <= 2 && pairs.last() == Some(&"b=b"), "{}", line);
            let value = pairs.first().filter(|_| pairs.len() == 2).and_then(|pair| pair.strip_prefix("a=")).unwrap_or_default();
            let octet = |byte: u8| matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e);
            prop_assert!(value.bytes().all(octet), "{}", line);
        }
    }
}
