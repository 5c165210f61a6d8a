//! Cookies as clients and applications write them, and as neither should.

use super::*;
use proptest::prelude::*;

fn request(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap());
    }
    headers
}

fn told(first: &str, lines: &[&str], told: &IdentityCookies) -> String {
    let mut line = format!("Cookie: {first}").into_bytes();
    write_clients(&request(lines), told, &mut line, "Cookie: ".len());
    String::from_utf8_lossy(&line["Cookie: ".len()..]).into_owned()
}

fn after(lines: &[&str]) -> Option<String> {
    Some(told("", lines, &IdentityCookies::default())).filter(|line| !line.is_empty())
}

#[test]
fn s07_our_cookies_never_reach_the_application() {
    assert_eq!(after(&["__Host-lychgate=x"]), None);
    assert_eq!(after(&["a=1; __Host-lychgate=x; b=2"]).as_deref(), Some("a=1; b=2"));
    assert_eq!(after(&["__HOST-Lychgate-1=x;a=1", "lychgate-login-abc=y"]).as_deref(), Some("a=1"));
    assert_eq!(after(&["__Secure-lychgate-hint=x; lychgatekeeper=1"]).as_deref(), Some("lychgatekeeper=1"));
    assert_eq!(after(&[" lychgate = x ; a=1"]).as_deref(), Some("a=1"));
    assert_eq!(after(&["a=1; lychgate; =__Host-lychgate=x; = b; c="]).as_deref(), Some("a=1; = b; c="));
}

#[test]
fn s01_s07_blanks_beyond_ascii_hide_no_name() {
    // A next line or no-break space of Latin-1, an ideographic space of UTF-8, as they stand in a field.
    let raw = |before: &[u8], name: &str, after: &[u8]| {
        let line = [b"a=1; ".as_slice(), before, name.as_bytes(), after, b"=x; b=2"].concat();
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_bytes(&line).unwrap());
        headers
    };
    let names = IdentityCookies::new(["user"]);
    for blank in [&b"\x85"[..], b"\xa0", b"\xa0\x85", "\u{3000}".as_bytes(), b"%A0", b"%C2%A0"] {
        for (before, after) in [(blank, &b""[..]), (b"", blank), (blank, blank)] {
            let ours = if blank.starts_with(b"%") { "user" } else { "lychgate" };
            for name in ["user", ours] {
                let mut line = Vec::new();
                write_clients(&raw(before, name, after), &names, &mut line, 0);
                assert_eq!(line, b"a=1; b=2", "{before:?} {name} {after:?}");
            }
        }
    }
    let mut line = Vec::new();
    write_clients(&raw("gr\u{f6}\u{df}e-".as_bytes(), "users", b""), &names, &mut line, 0);
    assert_eq!(line, "a=1; gr\u{f6}\u{df}e-users=x; b=2".as_bytes());
}

#[test]
fn s07_an_application_cannot_set_our_cookies() {
    let mut headers = HeaderMap::new();
    for line in [
        "__Host-lychgate=evil; Path=/",
        "JSESSIONID=1",
        " lychgate.1 =x",
        "__host-LYCHGATE-login-x=1",
        "b=2",
        // Without a name: browsers send back what stands behind the sign.
        "=lychgate=evil; Path=/",
        " = =lychgate-login-x=evil",
        "lychgate; Path=/",
        "=; Path=/",
        "=c",
    ] {
        headers.append(SET_COOKIE, HeaderValue::from_static(line));
    }
    refuse(&mut headers, &IdentityCookies::default());
    let left: Vec<_> = headers.get_all(SET_COOKIE).iter().collect();
    assert_eq!(left, ["JSESSIONID=1", "b=2", "=; Path=/", "=c"]);
}

#[test]
fn h03_several_cookie_lines_become_one() {
    assert_eq!(after(&["a=1", "b=2; c", "d=4"]).as_deref(), Some("a=1; b=2; c; d=4"));
}

#[test]
fn c06_crafted_cookie_fields_cost_little_and_crash_nothing() {
    let crumbs = vec!["x=y"; 1000];
    assert_eq!(after(&crumbs).unwrap().len(), 1000 * 5 - 2);
    for line in [";;=;", "=", ";", "", "=x", "lychgate", "lychgate-99999999=1", "\u{ff}=\u{fe}", "a==b;;;c"] {
        let headers = request(&[line]);
        let _ = all(&headers).count();
        let _ = after(&[line]);
    }
    assert_eq!(find(&request(&["a=1; a=2", "b=3"]), "a"), Some(&b"1"[..]));
}

#[test]
fn c04_removal_carries_the_same_attributes() {
    let cookie = SetCookie {
        name: "__Host-lychgate",
        value: "abc",
        path: "/",
        secure: true,
        max_age: Some(Duration::from_secs(60)),
    };
    assert_eq!(cookie.header().unwrap(), "__Host-lychgate=abc; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=60");
    assert_eq!(cookie.removal().unwrap(), "__Host-lychgate=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0");
}

#[test]
fn s01_what_an_application_could_take_for_an_identity_cookie_goes() {
    let names = IdentityCookies::new(["user", "remote.id"]);
    for line in [
        "user=x",
        "USER=x",
        "remote_id=x",
        "us%65r=x",
        "user[0]=x",
        " user = x",
        "user",
        "a=1,user=x",
        "a=1 user=x",
        "a=\"b\"user=x",
        "a=1,\tuser =x",
        "=user=x",
        "a=1,=user",
        "x=a]user=y",
        "x=a[user=y",
        "x=a\\user=y",
        "(user=y",
        "a=1,@user=y",
        "/?user=y",
        "+user=y",
        "user%00x=y",
        "%u0075ser=y",
        "a=1,%u0075ser=y",
    ] {
        assert_eq!(told("", &[&format!("a=b; {line}; c=d")], &names), "a=b; c=d", "{line}");
    }
    for line in [
        "users=x",
        "xuser=x",
        "a=user",
        "a=b%20user",
        "last=/user/7",
        "remote=x",
        "a==user",
        "a=50% off",
        "a=b+c:user@example",
    ] {
        assert_eq!(told("", &[line], &names), line);
    }
}

#[test]
fn s03_identity_cookies_are_put_before_a_clients() {
    let none = IdentityCookies::default();
    for (lines, expected) in [
        (&[][..], "user=ada"),
        (&["a=b"], "user=ada; a=b"),
        (&["a=b ;"], "user=ada; a=b ;"),
        (&["", "lychgate=x"], "user=ada"),
        (&[""], "user=ada"),
        (&["a=\"b", "lychgate=x; c=d"], "user=ada; a=\"b; c=d"),
    ] {
        assert_eq!(told("user=ada", lines, &none), expected, "{lines:?}");
    }
}

#[test]
fn s07_ours_is_the_base_name_alone_or_with_a_part_behind_it() {
    for name in ["lychgate", "LYCHGATE", "lychgate-x", "lychgate.1", "__Host-lychgate", "__secure-Lychgate-hint"] {
        assert!(is_ours(name.as_bytes()), "{name}");
    }
    for name in ["", "lychgat", "lychgatex", "lychgate_x", "xlychgate", "__Host-", "__Host-x", "Host-lychgate"] {
        assert!(!is_ours(name.as_bytes()), "{name}");
    }
}

#[test]
fn cookies_are_found_by_their_whole_name() {
    let headers = request(&["a=1; ab=2", "b = 3 ;c;=d"]);
    assert_eq!(find(&headers, "ab"), Some(&b"2"[..]));
    assert_eq!(find(&headers, "b"), Some(&b"3"[..]));
    assert_eq!((find(&headers, "c"), find(&headers, "A")), (None, None));
    let all: Vec<_> = all(&headers).collect();
    assert_eq!(all[3..], [(&b""[..], &b"c"[..]), (b"", b"d")]);
}

#[test]
fn c04_only_a_secure_cookie_goes_across_sites() {
    let cookie = SetCookie { name: "lychgate-login-x", value: "v", path: "/p", secure: true, max_age: None };
    assert_eq!(cookie.header_across_sites().unwrap(), "lychgate-login-x=v; Path=/p; HttpOnly; SameSite=None; Secure");
    let gone = "lychgate-login-x=; Path=/p; HttpOnly; SameSite=None; Secure; Max-Age=0";
    assert_eq!(cookie.removal_across_sites().unwrap(), gone);
    let clear = SetCookie { secure: false, ..cookie };
    assert_eq!(clear.header_across_sites().unwrap(), "lychgate-login-x=v; Path=/p; HttpOnly; SameSite=Lax");
    assert_eq!(clear.header().unwrap(), "lychgate-login-x=v; Path=/p; HttpOnly; SameSite=Lax");
}

#[test]
fn s01_an_escape_in_a_name_of_its_own_takes_no_cookie_away() {
    let user = IdentityCookies::new(["user"]);
    assert_eq!(told("", &["us%20er=1; b%2Fc=2; %41=3; us%65r=root"], &user), "us%20er=1; b%2Fc=2; %41=3");
}

#[test]
fn s07_an_application_cannot_set_what_tells_who_asks() {
    let told = IdentityCookies::new(["user"]);
    let mut headers = HeaderMap::new();
    for line in [
        "user=root; Path=/",
        "USER=root",
        "us%65r=root",
        "=user=root",
        "user",
        "(user=root",
        "%u0075ser=root",
        "users=1",
        "a=user",
    ] {
        headers.append(SET_COOKIE, HeaderValue::from_static(line));
    }
    refuse(&mut headers, &told);
    assert_eq!(headers.get_all(SET_COOKIE).iter().collect::<Vec<_>>(), ["users=1", "a=user"]);
    assert!(IdentityCookies::new([]).0.is_none());
}

proptest! {
    #[test]
    fn s07_no_spelling_of_ours_is_left(line in "[ ;=a-cLl_yYchgateHosST-]{0,60}") {
        for lines in [&[&*line][..], &[&line, "__Host-lychgate=x"], &["__Host-lychgate=x", &line]] {
            let left = request(&[&told("", lines, &IdentityCookies::default())]);
            prop_assert!(all(&left).all(|(name, _)| !is_ours(name)));
        }
    }
}
