//! What an application gets, byte by byte.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use http::request::Parts;
use http::{Request, Version};

use super::super::scrub::{ScrubSet, scrub};
use super::*;
use crate::claims::Claims;
use crate::clock::Timestamp;
use crate::diagnostic::{Report, SourceFile};
use crate::http::PathSwitches;
use crate::policy::{
    Decision, Environment, Policy, Prepared, ProviderFacts, RequestFacts, SessionFacts, SessionKind, Subject, compile,
    no_files,
};

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

/// What the application is told of the way.
const WAY: &str = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nForwarded: for=192.0.2.7;host=\"a.example\";proto=https\r\nX-Request-Id: id-1\r\nX-Forwarded-Host: a.example\r\n";

/// An application, and ada who is signed in there.
struct Case {
    policy: Policy,
    person: Prepared,
    host: HostHeader,
    cookies: IdentityCookies,
    spelling: Spelling,
    authorization: Option<HeaderValue>,
    length: BodyLength,
    keep_alive: KeepAlive,
}

impl Case {
    /// The application whose policy has these tables.
    fn new(tables: &str) -> Self {
        let text = format!(
            "[app]\nhosts = [\"a.example\"]\nupstream = \"http://127.0.0.1:7001\"\n[login]\n{tables}\n[[rules]]\n"
        );
        let mut report = Report::default();
        let environment = Environment {
            secrets: &|_| panic!("a secret is asked for"),
            files: &no_files,
            providers: &[ProviderFacts { name: "okta", scopes: None }],
            identity: None,
        };
        let policy = compile("app", &SourceFile::new("app.toml", text), &environment, &mut report);
        let policy = policy.unwrap_or_else(|| panic!("{report}"));
        let session = SessionFacts {
            kind: SessionKind::Browser,
            provider: "okta".into(),
            acr: None,
            amr: Vec::new(),
            authenticated_at: NOW,
        };
        let claims = Claims::from_json(br#"{"sub":"ada","role":"clerk"}"#).unwrap();
        let person = policy.prepare(Arc::new(Subject { claims, session }));
        Self {
            policy,
            person,
            host: HostHeader::Keep,
            cookies: IdentityCookies::default(),
            spelling: Spelling::default(),
            authorization: None,
            length: BodyLength::Nothing,
            keep_alive: KeepAlive::Always,
        }
    }

    fn request(&self, parts: Parts) -> UpstreamRequest<&'static str> {
        self.try_request(parts).unwrap()
    }

    fn try_request(&self, parts: Parts) -> Option<UpstreamRequest<&'static str>> {
        let switches = |_: &_| PathSwitches { parameters: true, ..PathSwitches::default() };
        let head = RequestHead::parse_keeping(&parts, &switches).unwrap();
        let emitted = ["x-user".parse().unwrap(), "x-role".parse().unwrap()];
        let scrubbed = scrub(parts.headers, &ScrubSet::new(&emitted));
        let facts = RequestFacts {
            method: &head.method,
            host: &head.host,
            path: &head.path,
            query: None,
            client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
            scheme: Scheme::Https,
            tls: None,
            headers: scrubbed.headers(),
            has_content: false,
        };
        let decision = self.policy.decide(&facts, Some(&self.person), NOW);
        let Decision::Allow(permit) = decision else { panic!("{decision:?}") };
        let telling = Telling {
            origin: &Origin::find("192.0.2.7:5".parse().unwrap(), &HeaderMap::new(), &[]).unwrap(),
            seen: &Seen::default(),
            scheme: Scheme::Https,
            host: &self.host,
            request_id: b"id-1",
            cookies: &self.cookies,
            spelling: &self.spelling,
            authorization: self.authorization.as_ref(),
            keep_alive: self.keep_alive,
        };
        UpstreamRequest::new(scrubbed, &permit, &head, telling, "body", self.length)
    }

    /// The head that is written for this request.
    fn head(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> String {
        String::from_utf8(self.request(parts(method, target, fields)).into_parts().0).unwrap()
    }
}

fn parts(method: &str, target: &str, fields: &[(&str, &str)]) -> Parts {
    // Only on HTTP/2 the authority stands in the target.
    let version = if target.starts_with('/') { Version::HTTP_11 } else { Version::HTTP_2 };
    let mut request = Request::builder().method(method).uri(target).version(version);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

const HOST: (&str, &str) = ("host", "a.example");

#[test]
fn s03_the_client_s_fields_come_first_then_the_way_then_who_asks_each_once() {
    let case = Case::new("[headers]\nX-User = \"${user.sub}\"\nX-Role = \"${user.role}\"");
    let sent = [
        ("accept", "*/*"),
        HOST,
        ("x-user", "root"),
        ("x_user", "root"),
        ("cookie", "a=1"),
        ("x-forwarded-for", "10.0.0.1"),
        ("accept-language", "de"),
        ("cookie", "__Host-lychgate=x; b=2"),
        ("x-request-id", "mine"),
    ];
    let expected = format!(
        "GET /x?y=1 HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nAccept-Language: de\r\nCookie: a=1; b=2\r\n{WAY}X-User: ada\r\nX-Role: clerk\r\n\r\n"
    );
    assert_eq!(case.head("GET", "/x?y=1", &sent), expected);
}

#[test]
fn h04_what_frames_the_client_s_message_is_not_copied() {
    let case = Case::new("");
    let sent = [HOST, ("content-length", "9"), ("expect", "100-continue"), ("connection", "x-a"), ("x-a", "1")];
    assert_eq!(case.head("GET", "/", &sent), format!("GET / HTTP/1.1\r\nHost: a.example\r\n{WAY}\r\n"));
    let sent = [HOST, ("transfer-encoding", "chunked"), ("te", "trailers"), ("keep-alive", "1")];
    assert_eq!(case.head("GET", "/", &sent), format!("GET / HTTP/1.1\r\nHost: a.example\r\n{WAY}\r\n"));
}

#[test]
fn h04_the_gateway_s_own_framing_is_written() {
    let framing = |method: &str, length: BodyLength| {
        let case = Case { length, ..Case::new("") };
        let head = case.head(method, "/", &[HOST]);
        let start = format!("{method} / HTTP/1.1\r\nHost: a.example\r\n{WAY}");
        let framing = head.strip_prefix(&start).and_then(|rest| rest.strip_suffix("\r\n"));
        framing.unwrap_or_else(|| panic!("{head}")).to_owned()
    };
    for method in ["POST", "PUT", "PATCH"] {
        assert_eq!(framing(method, BodyLength::Nothing), "Content-Length: 0\r\n");
    }
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        assert_eq!(framing(method, BodyLength::Nothing), "", "{method}");
    }
    for (method, alone) in [("GET", "Connection: close\r\n"), ("POST", "")] {
        assert_eq!(framing(method, BodyLength::Known(70_000)), format!("{alone}Content-Length: 70000\r\n"));
        assert_eq!(framing(method, BodyLength::Known(0)), "Content-Length: 0\r\n");
        assert_eq!(framing(method, BodyLength::Chunked), format!("{alone}Transfer-Encoding: chunked\r\n"));
    }
}

#[test]
fn h05_what_an_application_could_take_for_a_request_comes_on_a_connection_that_is_said_to_end() {
    let without = [BodyLength::Nothing, BodyLength::Known(0)];
    let with = [BodyLength::Known(1), BodyLength::Chunked];
    let takers = [
        "POST",
        "PUT",
        "PATCH",
        "QUERY",
        "PROPFIND",
        "PROPPATCH",
        "MKCOL",
        "MKCALENDAR",
        "LOCK",
        "REPORT",
        "SEARCH",
        "ACL",
    ];
    let others = ["GET", "HEAD", "OPTIONS", "DELETE", "PURGE", "COPY"];
    for method in takers.into_iter().chain(others) {
        for (length, is_of_some) in without.map(|one| (one, false)).into_iter().chain(with.map(|one| (one, true))) {
            for (keep_alive, closes) in [
                (KeepAlive::Always, is_of_some && others.contains(&method)),
                (KeepAlive::WithoutBody, is_of_some),
                (KeepAlive::Never, true),
            ] {
                let rule = format!("[[rules]]\nmethods = [\"{method}\"]\n");
                let case = Case { length, keep_alive, ..Case::new(&rule) };
                let request = case.request(parts(method, "/", &[HOST, ("connection", "keep-alive")]));
                assert_eq!(request.has_own_connection(), closes, "{method} {length:?} {keep_alive:?}");
                let head = String::from_utf8(request.into_parts().0).unwrap();
                let said: Vec<_> = head.lines().filter(|line| line.starts_with("Connection")).collect();
                assert_eq!(said, ["Connection: close"].get(..usize::from(closes)).unwrap(), "{head}");
            }
        }
    }
}

#[test]
fn h05_an_upgrade_has_no_body() {
    let upgrading = |length, keep_alive| {
        let case = Case { length, keep_alive, ..Case::new("") };
        case.try_request(parts("GET", "/", &[HOST, ("connection", "Upgrade"), ("upgrade", "websocket")]))
    };
    for keep_alive in [KeepAlive::Always, KeepAlive::WithoutBody, KeepAlive::Never] {
        assert!(upgrading(BodyLength::Known(1), keep_alive).is_none());
        assert!(upgrading(BodyLength::Chunked, keep_alive).is_none());
        let head = String::from_utf8(upgrading(BodyLength::Nothing, keep_alive).unwrap().into_parts().0).unwrap();
        assert!(head.ends_with("\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"), "{head}");
    }
}

#[test]
fn h02_the_host_is_what_the_client_named_or_what_the_policy_says() {
    let way = WAY.replace("a.example", "a.example:8443");
    let keep = Case::new("");
    let replace = Case { host: HostHeader::Replace(HeaderValue::from_static("inner")), ..Case::new("") };
    for (target, fields) in [("/", &[("host", "a.example:8443")][..]), ("https://a.example:8443/", &[])] {
        let kept = keep.head("GET", target, fields);
        assert_eq!(kept, format!("GET / HTTP/1.1\r\nHost: a.example:8443\r\n{way}\r\n"));
        let replaced = replace.head("GET", target, fields);
        assert_eq!(replaced, format!("GET / HTTP/1.1\r\nHost: inner\r\n{way}\r\n"));
    }
}

#[test]
fn p01_the_path_that_was_decided_on_is_forwarded_with_the_query_as_sent() {
    for (sent, forwarded) in [
        ("/a?b=%2F/../c", "/a?b=%2F/../c"),
        ("/a/./b/%7Ec?d=%7e", "/a/b/~c?d=%7e"),
        ("/a/../b", "/b"),
        ("/a/./b;v=1", "/a/b;v=1"),
        ("/a/./b;v=1?c", "/a/b;v=1?c"),
        ("/a?", "/a?"),
        ("/a/.?", "/a/?"),
    ] {
        let head = Case::new("").head("GET", sent, &[HOST]);
        assert_eq!(head.lines().next(), Some(format!("GET {forwarded} HTTP/1.1").as_str()), "{sent}");
    }
}

#[test]
fn s07_of_the_gateway_s_cookies_nothing_is_left_not_even_the_field() {
    let head = Case::new("").head("GET", "/", &[HOST, ("cookie", "__Host-lychgate=x")]);
    assert_eq!(head, format!("GET / HTTP/1.1\r\nHost: a.example\r\n{WAY}\r\n"));
}

#[test]
fn s03_cookies_that_tell_who_asks_stand_once_and_before_a_client_s() {
    let cookies = IdentityCookies::new(["who"]);
    let case = Case { cookies, ..Case::new("[headers]\nX-User = \"${user.sub}\"\n[cookies]\nwho = \"${user.sub}\"") };
    let expected =
        |cookie: &str| format!("GET / HTTP/1.1\r\nHost: a.example\r\nCookie: {cookie}\r\n{WAY}X-User: ada\r\n\r\n");
    assert_eq!(case.head("GET", "/", &[HOST]), expected("who=ada"));
    assert_eq!(case.head("GET", "/", &[HOST, ("cookie", "a=1; who=root")]), expected("who=ada; a=1"));
}

#[test]
fn s03_an_accepted_authorization_is_told_but_where_the_policy_tells_its_own() {
    let authorization = Some(HeaderValue::from_static("Bearer t"));
    let case = Case { authorization: authorization.clone(), ..Case::new("[headers]\nX-User = \"${user.sub}\"") };
    let expected = format!("GET / HTTP/1.1\r\nHost: a.example\r\n{WAY}Authorization: Bearer t\r\nX-User: ada\r\n\r\n");
    assert_eq!(case.head("GET", "/", &[HOST]), expected);
    let case = Case { authorization, ..Case::new("[headers]\nAuthorization = \"Name ${user.sub}\"") };
    let expected = format!("GET / HTTP/1.1\r\nHost: a.example\r\n{WAY}Authorization: Name ada\r\n\r\n");
    assert_eq!(case.head("GET", "/", &[HOST]), expected);
}

#[test]
fn h06_a_switch_of_protocols_is_asked_for_where_the_client_asks() {
    let case = Case::new("");
    let switching = case.request(parts("GET", "/", &[HOST, ("connection", "x, Upgrade"), ("upgrade", "websocket")]));
    assert_eq!(switching.upgrade().unwrap(), "websocket");
    let head = String::from_utf8(switching.into_parts().0).unwrap();
    let expected =
        format!("GET / HTTP/1.1\r\nHost: a.example\r\n{WAY}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(head, expected);
    let plain = case.request(parts("GET", "/", &[HOST, ("upgrade", "websocket")]));
    assert_eq!(plain.upgrade(), None);
}

#[test]
fn names_are_written_in_title_case_or_as_the_policy_spells_them() {
    let spelling = Spelling::of(["X-USER", "accept"]);
    let case = Case { spelling, ..Case::new("[headers]\nX-USER = \"${user.sub}\"\nX-Role = \"${user.role}\"") };
    let sent = [HOST, ("accept", "*/*"), ("x-a--b1-c_d", "1"), ("-e", "2")];
    let expected = format!(
        "GET / HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nX-A--B1-C_d: 1\r\n-E: 2\r\n{WAY}X-USER: ada\r\nX-Role: clerk\r\n\r\n"
    );
    assert_eq!(case.head("GET", "/", &sent), expected);
}

#[test]
fn r17_the_fields_can_be_shown_without_their_secrets() {
    let mut authorization = HeaderValue::from_static("Bearer t");
    authorization.set_sensitive(true);
    let tables = "[headers]\nX-User = \"${user.sub}\"\n[cookies]\nwho = \"${user.sub}\"";
    let case = Case { authorization: Some(authorization), length: BodyLength::Known(4), ..Case::new(tables) };
    let request = case.request(parts("POST", "/a/./b?c", &[HOST, ("accept", "x"), ("empty", "")]));
    assert_eq!((request.line(), request.method()), (&b"POST /a/b?c HTTP/1.1"[..], &Method::POST));
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    let fields: Vec<_> = request.fields().map(|(name, value, secret)| (text(name), text(value), secret)).collect();
    let expected = [
        ("Host", "a.example", false),
        ("Accept", "x", false),
        ("Empty", "", false),
        ("Cookie", "who=ada", true),
        ("X-Forwarded-For", "192.0.2.7", false),
        ("X-Forwarded-Proto", "https", false),
        ("Forwarded", "for=192.0.2.7;host=\"a.example\";proto=https", false),
        ("X-Request-Id", "id-1", false),
        ("X-Forwarded-Host", "a.example", false),
        ("Authorization", "Bearer t", true),
        ("X-User", "ada", false),
        ("Content-Length", "4", false),
    ];
    assert_eq!(fields, expected);
    let (_, body, length) = request.into_parts();
    assert_eq!((body, length), ("body", BodyLength::Known(4)));
}

#[test]
fn h07_who_signs_a_connection_in_gets_one_of_their_own() {
    let case = Case::new("");
    for (fields, own) in [
        (&[("authorization", "NTLM TlRM")][..], true),
        (&[("authorization", "Negotiate YII="), ("accept", "x")], true),
        (&[("authorization", "Basic eDp5"), ("authorization", "NTLM TlRM")], true),
        (&[("authorization", "NTLM TlRM"), ("authorization", "Basic eDp5")], true),
        (&[("authorization", "Basic eDp5")], false),
        (&[("accept", "NTLM TlRM")], false),
        (&[], false),
    ] {
        let request = case.request(parts("GET", "/", &[&[HOST], fields].concat()));
        assert_eq!(request.has_own_connection(), own, "{fields:?}");
    }
}
