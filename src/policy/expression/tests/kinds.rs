//! Values of two kinds are not compared, and `null` is no value.

use super::*;

/// Numbers in forms that providers write them in.
const NUMBERS: &str = r#"{"risk": 1.5, "level": 1.0, "whole": 1, "text": "1", "truth": "true", "yes": true, "mixed": ["a", 1.5],
    "list": [1.0, 2], "inner": {"level": 1.0}, "names": ["a", "b"], "none": null, "deep": {"none": null, "a": "x"}, "holes": [null, "a"]}"#;

fn asked(text: &str) -> Result<bool, Failure> {
    with_view(NUMBERS, |view| compiled(text).test(view))
}

#[test]
fn s06_a_number_that_is_kept_as_text_is_never_silently_unequal() {
    let undecided = [
        "user.level == 1",
        "1 == user.level",
        "user.level != 1",
        "!(user.level == 1)",
        "user.level in [1, 2]",
        "user.inner.level == 1",
        "user.inner == {'level': 1}",
        "user.list == [1, 2]",
        "1 in user.list",
        "hasAny(user.list, [1])",
        "hasAll(user.list, [2, 1])",
        "hasAny([1], user.list)",
        "hasAny(user.level, [1])",
        "user.list.exists(n, n == 1)",
        "user.list.all(n, n != 1)",
        "user.whole == '1'",
        "user.text == 1",
        "user.truth == true",
        "user.yes == 'true'",
        "user.names == 'a'",
        "user.mixed.exists(m, m == 1)",
        "[user.risk] == [double('1.5')]",
        "user.risk == double('1.5')",
    ];
    for text in undecided {
        assert!(
            matches!(asked(text), Err(Failure::Failed(why)) if why.contains("does not take")),
            "{text}: {:?}",
            asked(text)
        );
    }
    let why = asked("user.level == 1").unwrap_err().to_string();
    assert_eq!(why, "`==` does not take string and int");
    assert!(asked("user.level != 1").unwrap_err().to_string().starts_with("`!=`"));
    assert!(asked("user.level in [1]").unwrap_err().to_string().starts_with("`in`"));
}

#[test]
fn values_of_one_kind_are_compared_as_before() {
    let all = [
        "user.risk == '1.5' && double(user.risk) == 1.5 && double(user.level) == 1.0 && double(user.whole) == 1.0",
        "user.whole == 1 && user.whole == 1u && user.whole == 1.0 - 0.0 && user.whole != 2",
        "user.mixed.size() == 2 && 'a' in user.mixed && user.mixed.exists(m, m == 'a')",
        "user.names == ['a', 'b'] && user.names != ['a'] && user.names != ['b', 'a'] && user.names != []",
        "!('x' in user.names) && !hasAny(user.names, ['x']) && !hasAll(user.names, ['a', 'x']) && hasAny(user.mixed, ['a'])",
        "user.holes[0] == null && !('x' in user.holes) && user.names[0] != null",
        "user.inner != {'other': 1} && user.deep == {'a': 'x'} && 2 in user.list && !(user.yes == false)",
        "user.text == 1 || true",
    ];
    for text in all {
        assert_eq!(asked(text), Ok(true), "{text}");
    }
}

#[test]
fn a_literal_that_no_claim_is_equal_to_is_a_mistake() {
    for (text, part) in [
        ("user.risk == 1.5", "double(user.risk)"),
        ("1.5 != user['risk']", "double(user['risk'])"),
        ("user.risk in [1.5, 2.5]", "double(user.risk)"),
        ("user.yes && user.inner.level >= 1.5", "double(user.inner.level)"),
    ] {
        let found = mistakes(text);
        assert!(
            found.iter().any(|mistake| mistake.help.clone().unwrap_or_default().contains(part)),
            "{text}: {found:?}"
        );
    }
    for text in ["user.none == null", "null != user.none", "user.deep.none == null"] {
        let found = mistakes(text);
        assert!(
            found.iter().any(|mistake| mistake.help.clone().unwrap_or_default().contains("has(user.")),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn a_claim_that_is_null_is_absent() {
    let absent = |name: &str| Failure::Absent(name.to_owned());
    for text in
        ["user.none != 'x'", "user.none == 'x'", "!(user.none == 'x')", "'x' in user.none", "user['none'] != 'x'"]
    {
        assert_eq!(asked(text), Err(absent("none")), "{text}");
    }
    assert_eq!(asked("user.deep.none != 'x'"), Err(absent("none")));
    let all =
        ["!has(user.none)", "!('none' in user)", "!has(user.deep.none)", "has(user.deep.a) && user.deep.a == 'x'"];
    for text in all {
        assert_eq!(asked(text), Ok(true), "{text}");
    }
}

#[test]
fn two_kinds_that_are_known_are_a_mistake() {
    for (text, message) in [
        ("request.params.page == 1", "a text is never compared with a number"),
        ("1 == request.params.page", "a number is never compared with a text"),
        ("request.headers['x-version'] != 1", "a text is never compared with a number"),
        ("session.age > '90'", "a number is never compared with a text"),
        ("request.tls.client.verified == 'true'", "true or false is never compared with a text"),
        ("request.path in ['/a', 1]", "a text is never compared with a number"),
        ("session.amr == 'pwd'", "a list is never compared with a text"),
    ] {
        let found = mistakes(text);
        assert!(found.iter().any(|mistake| mistake.message == message), "{text}: {found:?}");
    }
    for text in ["user.x == 1", "request.params.page == '1'", "int(request.params.page) == 1", "session.acr != null"] {
        compiled(text);
    }
}

#[test]
fn p01_a_path_is_compared_with_characters_and_not_with_escapes_of_them() {
    for (text, help) in [
        ("request.path.startsWith('/y/%24metadata')", "write '/y/$metadata'"),
        ("request.path.contains('%2B')", "write '+'"),
        ("request.path.lower().endsWith('%3adelete')", "write ':delete'"),
        ("request.path.matches('^/%40')", "write '^/@'"),
        ("'/a%40b' == request.path", "write '/a@b'"),
        ("request.path in ['/a', '/a%2Cb']", "write '/a,b'"),
        ("request.path == '/p/' + percent.encode(user.email)", "percent.decode(request.path)"),
        ("request.path.endsWith(percent.encode(user.email))", "percent.decode(request.path)"),
    ] {
        let found = mistakes(text);
        let helps = |mistake: &Mistake| mistake.help.as_deref().is_some_and(|text| text.contains(help));
        assert!(found.iter().any(helps), "{text}: {found:?}");
    }
    for text in [
        "request.path == '/a%20b/%C3%BC%2F%25'",
        "percent.decode(request.path) == '/p/' + user.email",
        "user.page == '/a%40b'",
        "request.params.next.startsWith('%40')",
    ] {
        compiled(text);
    }
}
