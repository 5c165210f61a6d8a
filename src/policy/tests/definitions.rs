//! Conditions, groups and included files: what they mean, what they cost, and every mistake in them.

use std::collections::BTreeMap;

use super::*;

/// Compiles a policy with the files that it may include; all findings, too.
pub(super) fn compiled(text: &str, files: &[(&str, &str)]) -> (Option<Policy>, Report) {
    let mut report = Report::default();
    let policy = compile_into(text, files, &[OKTA], &mut report);
    (policy, report)
}

pub(super) fn compile_into(
    text: &str,
    files: &[(&str, &str)],
    providers: &[ProviderFacts<'_>],
    report: &mut Report,
) -> Option<Policy> {
    let files: BTreeMap<_, _> =
        files.iter().map(|(path, text)| (PathBuf::from(path), SourceFile::new(*path, *text))).collect();
    let read = |path: &Path| files.get(path).cloned().ok_or_else(|| format!("there is no {}", path.display()));
    let secrets = |source: &SecretSource| match source {
        SecretSource::File(path) if path == Path::new("shared/app.password") => Ok(Secret::new("s3cret".to_owned())),
        other => secrets(other),
    };
    let identity = Arc::default();
    let environment = Environment { secrets: &secrets, files: &read, providers, identity: Some(&identity) };
    compile("app", &SourceFile::new("app.toml", text), &environment, report)
}

pub(super) const HEAD: &str = "[app]\nhosts = [\"app.example\"]\nupstream = \"http://127.0.0.1:7001\"\n[login]\n";

/// A policy with these files that is without any finding.
pub(super) fn sound(text: &str, files: &[(&str, &str)]) -> Policy {
    let (policy, report) = compiled(text, files);
    assert!(report.findings().is_empty(), "{report}");
    policy.unwrap()
}

/// Every finding as `file:line:column: message`.
pub(super) fn told_at(report: &Report) -> Vec<String> {
    let told = report.findings().iter().map(|finding| {
        let (file, span) = finding.place.as_ref().unwrap();
        let (line, column) = file.line_column(span.start);
        format!("{}:{line}:{column}: {}", file.path().display(), finding.message)
    });
    told.collect()
}

fn mistakes(text: &str, files: &[(&str, &str)]) -> Vec<String> {
    let (policy, report) = compiled(text, files);
    assert!(policy.is_none(), "it compiles");
    told_at(&report)
}

const SHARED: (&str, &str) = (
    "shared/staff.toml",
    "groups_claim = \"user.realm_access.roles\"\n[groups]\nstaff = [\"0f3c-guid\", \"CN=Staff,OU=x\"]\nadmins = \"a-guid\"\n\
     [conditions]\nadult = \"user.age >= 18\"\ninsider = \"memberOf('staff') && !contractor\"\n",
);

/// A policy that shares definitions and has its own; `insider` needs `contractor`, which only the policy defines.
fn sharing() -> String {
    format!(
        "include = \"shared/staff.toml\"\n{HEAD}[conditions]\ncontractor = \"user.kind == 'contractor'\"\n\
         [headers]\nX-Kind = \"${{insider ? 'inside' : 'outside'}}\"\n\
         X-Groups = {{ list = \"${{aliases()}}\", separator = \",\" }}\n\
         [[rules]]\npaths = \"/adults\"\nallow = \"insider && adult\"\n[[rules]]\nallow = \"insider || memberOf('admins')\"\n"
    )
}

#[test]
fn conditions_and_groups_of_included_files_decide_and_stand_in_headers() {
    let policy = sound(&sharing(), &[SHARED]);
    let read: Vec<&str> = policy.claims_read().iter().map(|claim| &**claim).collect();
    assert_eq!(read, ["age", "kind", "realm_access"], "conditions and groups are readers of claims");
    let ada = r#"{"kind":"employee","age":17,"realm_access":{"roles":["x","CN=Staff,OU=x","a-guid"]}}"#;
    let prepared = policy.prepare(Arc::new(subject(ada)));
    assert_eq!(answer(&policy, Some(&prepared), "GET", "/"), "allow #2");
    assert_eq!(answer(&policy, Some(&prepared), "GET", "/adults"), "deny #1 not_allowed");
    let found = headers(&policy, ada).unwrap();
    assert_eq!(found, [("x-kind".into(), "inside".into()), ("x-groups".into(), "staff,admins".into())]);
    let bea = r#"{"kind":"contractor","realm_access":{"roles":["0f3c-guid"]}}"#;
    let prepared = policy.prepare(Arc::new(subject(bea)));
    assert_eq!(answer(&policy, Some(&prepared), "GET", "/"), "deny #2 not_allowed");
}

#[test]
fn a_group_is_exact_text_in_a_list_or_by_itself_and_nothing_is_guessed() {
    let policy =
        sound(&format!("{HEAD}[groups]\nstaff = [\"Staff\", \"7\"]\n[[rules]]\nallow = \"memberOf('staff')\"\n"), &[]);
    let answer = |claims: &str| {
        let prepared = policy.prepare(Arc::new(subject(claims)));
        answer(&policy, Some(&prepared), "GET", "/")
    };
    assert_eq!(answer(r#"{"groups":["x","Staff"]}"#), "allow #1");
    assert_eq!(answer(r#"{"groups":"Staff"}"#), "allow #1");
    assert_eq!(answer(r#"{"groups":[7]}"#), "allow #1");
    for other in [r#"["staff"]"#, r#"["Staff "]"#, r#"["Staffs"]"#, r#""Staff,x""#, "[]", "[7.0]"] {
        assert_eq!(answer(&format!("{{\"groups\":{other}}}")), "deny #1 not_allowed", "{other}");
    }
    for unclear in ["null", "true", r#"{"Staff":1}"#, r#"["Staff",{"name":"Staff"}]"#, r#"["Staff",null]"#] {
        assert_eq!(answer(&format!("{{\"groups\":{unclear}}}")), "deny #1 expression_failed", "{unclear}");
    }
    assert_eq!(answer("{}"), "deny #1 expression_failed");
}

#[test]
fn the_opposite_of_a_group_or_condition_lets_nobody_pass_whose_claim_is_unknown() {
    let text = format!(
        "{HEAD}[groups]\nblocked = \"b\"\n[conditions]\nfine = \"!memberOf('blocked')\"\nold = \"user.age > 60\"\n\
         [[rules]]\npaths = \"/a\"\nallow = \"!memberOf('blocked')\"\n[[rules]]\npaths = \"/b\"\nallow = \"fine\"\n\
         [[rules]]\npaths = \"/c\"\nallow = \"!('blocked' in aliases())\"\n[[rules]]\npaths = \"/d\"\nallow = \"!old || fine\"\n\
         [[rules]]\npaths = \"/e\"\nallow = \"old || !has(user.age)\"\n"
    );
    let policy = sound(&text, &[]);
    let prepared = policy.prepare(Arc::new(subject("{}")));
    for path in ["/a", "/b", "/c", "/d"] {
        assert!(answer(&policy, Some(&prepared), "GET", path).ends_with(" expression_failed"), "{path}");
    }
    assert_eq!(answer(&policy, Some(&prepared), "GET", "/e"), "allow #5", "what does not depend on it has an answer");
    let prepared = policy.prepare(Arc::new(subject(r#"{"groups":["c"]}"#)));
    for (path, rule) in [("/a", 1), ("/b", 2), ("/c", 3), ("/d", 4)] {
        assert_eq!(answer(&policy, Some(&prepared), "GET", path), format!("allow #{rule}"));
    }
}

#[test]
fn why_a_condition_has_no_result_names_the_claim_or_the_condition() {
    let text = format!(
        "{HEAD}[conditions]\nold = \"user.age > 60\"\nwise = \"old\"\n[headers]\nX = \"${{wise}}\"\n\
         [[rules]]\npaths = \"/a\"\nallow = \"wise\"\n[[rules]]\n"
    );
    let policy = sound(&text, &[]);
    let reason = |claims: &str| {
        let prepared = policy.prepare(Arc::new(subject(claims)));
        let path = CanonicalPath::parse("/a").unwrap();
        match policy.decide(&facts(&policy, &path), Some(&prepared), NOW) {
            Decision::Deny(denial) => denial.reason().to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert!(reason("{}").contains("`age` is absent"), "{}", reason("{}"));
    let wrong = reason(r#"{"age":"a"}"#);
    assert!(wrong.contains("condition `wise`: condition `old`: "), "{wrong}");
    assert_eq!(headers(&policy, "{}").unwrap(), [], "an absent claim is a missing value in headers");
}

#[test]
fn what_reads_the_person_is_found_out_once_for_a_session_and_what_reads_the_request_is_not_kept() {
    let text = format!(
        "{HEAD}[groups]\nstaff = \"s\"\n[conditions]\nold = \"user.age > 60\"\nhere = \"request.path == '/a' && old\"\n\
         [[rules]]\npaths = [\"/a\", \"/b\"]\nallow = \"here || memberOf('staff')\"\n[[rules]]\nallow = \"old\"\n"
    );
    let policy = sound(&text, &[]);
    let prepared = policy.prepare(Arc::new(subject(r#"{"age":70,"groups":["x"]}"#)));
    let known = |name: &str| prepared.known(&policy, name);
    assert_eq!((known("old"), known("staff"), known("here")), (None, None, None));
    assert_eq!(answer(&policy, Some(&prepared), "GET", "/a"), "allow #1");
    assert_eq!((known("old"), known("staff"), known("here")), (Some(true), None, None), "`||` ends at the first");
    assert_eq!(answer(&policy, Some(&prepared), "GET", "/b"), "deny #1 not_allowed");
    assert_eq!((known("old"), known("staff"), known("here")), (Some(true), Some(false), None));
    assert_eq!(answer(&policy, Some(&prepared), "GET", "/c"), "allow #2");
}

#[test]
fn a_compiled_condition_tells_its_text_and_what_it_uses() {
    let policy = sound(&sharing(), &[SHARED]);
    let told: Vec<_> = policy.condition_texts().collect();
    let contractor = ("contractor", Some("user.kind == 'contractor'"));
    let insider = ("insider", Some("memberOf('staff') && !contractor"));
    assert_eq!((told[0].rule, told[0].source), ("#1", "insider && adult"));
    assert_eq!(told[0].uses.len(), 4);
    for used in [("staff", None), ("adult", Some("user.age >= 18")), contractor, insider] {
        assert!(told[0].uses.contains(&used), "{used:?} {told:?}");
    }
    assert_eq!(told[1].uses, [("staff", None), ("admins", None), contractor, insider]);
}

#[test]
fn definitions_that_double_each_other_stay_small_and_their_depth_has_a_limit() {
    let chain = |levels: usize, first: &str| {
        let mut text = format!("{HEAD}[conditions]\nc0 = \"{first}\"\n");
        for level in 1..levels {
            let below = level - 1;
            text.push_str(&format!("c{level} = \"c{below} || c{below} || !c{below}\"\n"));
        }
        format!("{text}[[rules]]\nallow = \"c{} || c{}\"\n", levels - 1, levels - 1)
    };
    // Each level asks for the one below three times; what fails is found out once for each evaluation.
    let policy = sound(&chain(7, "user.age > 60"), &[]);
    let prepared = policy.prepare(Arc::new(subject("{}")));
    assert_eq!(answer(&policy, Some(&prepared), "GET", "/"), "deny #1 expression_failed");
    let found = mistakes(&chain(12, "user.age > 60"), &[]);
    let message = "with the conditions that it uses the expression is too deep";
    assert!(found[0].contains(message), "{found:?}");
    assert_eq!(found.len(), 1, "what uses a condition with a mistake is not reported as well: {found:?}");

    let operators = vec!["user.a == 1"; 60].join(" || ");
    let mut text = format!("{HEAD}[conditions]\n");
    (0..12).for_each(|index| text.push_str(&format!("w{index} = \"{operators}\"\n")));
    let all = (0..12).map(|index| format!("w{index}")).collect::<Vec<_>>().join(" || ");
    let found = mistakes(&format!("{text}every = \"{all}\"\n[[rules]]\nallow = \"every\"\n"), &[]);
    assert!(
        found[0].ends_with("with the conditions that it uses the expression has more than 1000 operators"),
        "{found:?}"
    );
}

#[test]
fn the_steps_of_conditions_are_paid_by_the_expression_that_uses_them() {
    // One of them is within the bounds, four together are not.
    let mut text = format!("{HEAD}[conditions]\n");
    for index in 0..4 {
        text.push_str(&format!(
            "c{index} = \"request.path == '/' && user.a.all(x, user.a.all(y, x != {index} && y != {index}))\"\n"
        ));
    }
    text.push_str("[[rules]]\npaths = \"/\"\nallow = \"c0 && c1 && c2 && c3\"\n");
    let policy = sound(&text, &[]);
    let claims = format!("{{\"a\":[{}]}}", vec!["9"; 80].join(","));
    let prepared = policy.prepare(Arc::new(subject(&claims)));
    assert_eq!(answer(&policy, Some(&prepared), "GET", "/"), "deny #1 expression_failed");
    let short = format!("{{\"a\":[{}]}}", vec!["9"; 60].join(","));
    let prepared = policy.prepare(Arc::new(subject(&short)));
    assert_eq!(answer(&policy, Some(&prepared), "GET", "/"), "allow #1");
}

#[test]
fn mistakes_in_an_included_file_stand_in_that_file() {
    let text = format!("include = [\"shared/a.toml\"]\n{HEAD}[[rules]]\nallow = \"fine && broken\"\n");
    let shared = "[conditions]\nfine = \"user.a == 1\"\nbroken = \"usr.b\"\n[rules]\n[header_sets.x]\nHost = \"h\"\n";
    let found = mistakes(&text, &[("shared/a.toml", shared)]);
    assert_eq!(
        found,
        [
            "shared/a.toml:3:11: unknown name `usr`",
            "shared/a.toml:4:2: unknown key `rules`",
            "shared/a.toml:6:1: header `Host` belongs to the client, the gateway or the protocol",
        ]
    );
}

#[test]
fn a_mistake_that_two_policies_include_is_told_once() {
    let text = format!("include = [\"shared/a.toml\"]\n{HEAD}[[rules]]\nallow = \"c\"\n");
    let files = [("shared/a.toml", "[conditions]\nc = \"usr.b\"\n")];
    let mut report = Report::default();
    for _ in 0..2 {
        assert!(compile_into(&text, &files, &[OKTA], &mut report).is_none());
    }
    assert_eq!(told_at(&report), ["shared/a.toml:2:6: unknown name `usr`"]);
}

#[test]
fn a_name_that_is_defined_twice_is_an_error_that_shows_both_places() {
    let text = format!(
        "include = [\"shared/a.toml\", \"shared/b.toml\"]\n{HEAD}[conditions]\nc = \"true\"\n[groups]\nc = \"other kinds of names\"\n\
         [header_sets.s]\nX = \"x\"\n[[rules]]\nallow = \"c && memberOf('c')\"\nheaders_from = \"s\"\n"
    );
    let files = [
        ("shared/a.toml", "[groups]\ng = \"1\"\n[header_sets.s]\nY = \"y\"\n"),
        ("shared/b.toml", "\n[groups]\ng = \"2\"\n[conditions]\nc = \"user.b\"\n"),
    ];
    assert_eq!(
        mistakes(&text, &files),
        [
            "app.toml:7:1: condition `c` is already defined at shared/b.toml:5",
            "app.toml:10:14: header set `s` is already defined at shared/a.toml:3",
            "shared/b.toml:3:1: group `g` is already defined at shared/a.toml:2",
        ]
    );
}

#[test]
fn what_only_the_policy_defines_and_nothing_uses_is_a_warning() {
    let text = format!(
        "include = [\"shared/staff.toml\"]\n{HEAD}[conditions]\ncontractor = \"user.kind == 'contractor'\"\nidle = \"busy\"\n\
         busy = \"true\"\n[groups]\nnobody = \"n\"\n[header_sets.unsent]\nX = \"${{user.name}}\"\n[[rules]]\nallow = \"insider\"\n"
    );
    let (policy, report) = compiled(&text, &[SHARED]);
    assert_eq!(
        told_at(&report),
        [
            "app.toml:8:1: nothing uses condition `idle`",
            "app.toml:9:1: nothing uses condition `busy`",
            "app.toml:11:1: nothing uses group `nobody`",
            "app.toml:12:14: nothing uses header set `unsent`",
        ]
    );
    let read: Vec<_> = policy.as_ref().unwrap().claims_read().iter().map(|claim| &**claim).collect();
    assert_eq!(read, ["kind", "realm_access"], "what nothing uses reads nothing");
    assert_eq!(policy.unwrap().emitted_headers().count(), 0);
}

const SCOPES: &[&str] = &["openid", "profile"];

fn warnings(login: &str, rest: &str, files: &[(&str, &str)], scopes: Option<&[&str]>) -> Vec<String> {
    let scopes: Option<Vec<String>> = scopes.map(|scopes| scopes.iter().map(|scope| (*scope).to_owned()).collect());
    let provider = ProviderFacts { name: "okta", scopes: scopes.as_deref() };
    let text = format!("{}{login}{rest}", HEAD.replace("[app]", "include = [\"shared/x.toml\"]\n[app]"));
    let mut report = Report::default();
    let policy = compile_into(&text, files, &[provider], &mut report);
    assert!(policy.is_some(), "{report}");
    told_at(&report)
}

#[test]
fn a_claim_whose_scope_is_not_asked_for_is_a_warning_at_its_first_place() {
    let rest = "[headers]\nX-A = \"a ${user.email} ${user.email_verified}\"\nX-B = \"${user.email}\"\nX-C = \"${user.name}\"\n\
                [[rules]]\nallow = \"shared && has(user.phone_number) && memberOf('staff')\"\n";
    let shared = "[conditions]\nshared = \"user['address'].city == 'Wien'\"\nunused = \"user.phone_number_verified\"\n[groups]\nstaff = \"s\"\n";
    let files = [("shared/x.toml", shared)];
    let about = |claim: &str, scope: &str, brings: &str| {
        format!("`{claim}` is read, and the scope `{scope}`, {brings}, is not asked of provider `okta`")
    };
    let brings = "that brings it";
    assert_eq!(
        warnings("", rest, &files, Some(SCOPES)),
        [
            format!("app.toml:7:17: {}", about("email", "email", brings)),
            format!("app.toml:7:31: {}", about("email_verified", "email", brings)),
            format!("app.toml:11:29: {}", about("phone_number", "phone", brings)),
            format!("app.toml:11:55: {}", about("groups", "groups", "for which many providers send it")),
            format!("shared/x.toml:2:16: {}", about("address", "address", brings)),
        ]
    );
    let all = ["openid", "profile", "email", "phone", "address", "groups"];
    assert_eq!(warnings("", rest, &files, Some(&all)), [""; 0]);
    assert_eq!(warnings("", rest, &files, None), [""; 0], "nothing is known of the scopes");
    let said = "claims = [\"email\", \"email_verified\", \"phone_number\", \"groups\", \"address\"]\n";
    assert_eq!(warnings(said, rest, &files, Some(SCOPES)), [""; 0]);
}

#[test]
fn a_misspelt_standard_claim_is_a_warning_and_a_claim_of_ones_own_is_not() {
    let rest = "[[rules]]\nallow = \"user.prefered_username == 'ada' && user.famly_name == '' && user['custom'] == 1 && user.mail == ''\"\n";
    let found = warnings("", rest, &[("shared/x.toml", "")], None);
    assert_eq!(
        found,
        [
            "app.toml:7:15: `prefered_username` is no claim that providers usually send",
            "app.toml:7:50: `famly_name` is no claim that providers usually send",
        ]
    );
    assert_eq!(
        warnings("claims = [\"prefered_username\", \"famly_name\"]\n", rest, &[("shared/x.toml", "")], None),
        [""; 0]
    );
}

#[test]
fn s09_a_condition_asks_for_a_verified_address_and_doubt_goes_through_it() {
    let text = format!(
        "{HEAD}[conditions]\nours = \"domainOf(user.email) == 'gmr.example'\"\nprint = \"request.params.view == 'print' && user.id == '7'\"\n\
         [[rules]]\nallow = \"ours && print\"\n"
    );
    let mut report = Report::default();
    let policy = compile_into(&text, &[], &[OKTA], &mut report).unwrap_or_else(|| panic!("{report}"));
    assert!(policy.claims_read().contains("email_verified"));
    let said = |verified: &str, target: &str| {
        let claims = format!(r#"{{"id": "7", "email": "ada@gmr.example"{verified}}}"#);
        answer(&policy, Some(&policy.prepare(Arc::new(subject(&claims)))), "GET", target)
    };
    let yes = r#", "email_verified": true"#;
    assert_eq!(said(yes, "/?view=print"), "allow #1");
    assert_eq!(said("", "/?view=print"), "deny #1 expression_failed");
    assert_eq!(said(yes, "/?view=print&view=full"), "deny none query_ambiguous");
}
