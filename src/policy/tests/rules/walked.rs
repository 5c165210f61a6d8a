//! Random rules: the table finds the one that a walk from the first to the last finds.

use super::*;

/// A rule by its parts, each an index into the lists below.
#[derive(Clone, Debug)]
struct Spec {
    path: usize,
    methods: usize,
    select: usize,
    gate: usize,
    observes: bool,
}

const PATHS: [&str; 6] = ["", "/**", "/a/**", "/A/*", "/a/b", "/**/b"];
const METHODS: [&str; 3] = ["", "GET", "POST"];
const SELECT: [&str; 8] = [
    "",
    "query = { v = \"1\" }",
    "query = { v = [\"1\", \"2\"], w = \"\" }",
    "hosts = \"b.example\"",
    "networks = \"10.0.0.0/8\"",
    "until = 2026-06-01",
    "from = 2026-06-01",
    "days = \"mon\"",
];
const GATES: [&str; 7] = [
    "",
    "access = \"public\"",
    "access = \"optional\"",
    "allow = \"'staff' in user.groups\"",
    "deny = \"request.method == 'POST'\"",
    "respond = 404",
    "step_up = { acr = \"phr\" }",
];

impl Spec {
    fn text(&self, index: usize) -> String {
        let mut lines = vec![format!("[[rules]]\nname = \"r{index}\"")];
        if !PATHS[self.path].is_empty() {
            lines.push(format!("paths = \"{}\"", PATHS[self.path]));
        }
        if !METHODS[self.methods].is_empty() {
            lines.push(format!("methods = \"{}\"", METHODS[self.methods]));
        }
        if self.observes {
            lines.push("mode = \"observe\"".to_owned());
        }
        lines.extend([SELECT[self.select].to_owned(), GATES[self.gate].to_owned(), String::new()]);
        lines.join("\n")
    }

    /// Whether the rule matches, said without any table.
    fn matches(&self, ask: &Ask<'_>, ignores_case: bool) -> bool {
        let (path, query) = ask.target.split_once('?').unwrap_or((ask.target, ""));
        let path = if ignores_case { path.to_ascii_lowercase() } else { path.to_owned() };
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let a = if ignores_case || self.path != 3 { "a" } else { "A" };
        let path_matches = match self.path {
            0 | 1 => true,
            2 => parts.first() == Some(&a),
            3 => parts.len() == 2 && parts[0] == a,
            4 => parts == ["a", "b"],
            _ => parts.last() == Some(&"b"),
        };
        let method_matches = self.methods == 0 || METHODS[self.methods] == ask.method;
        let of = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let selected = match self.select {
            0 => true,
            1 => of("v") == Some("1"),
            2 => matches!(of("v"), Some("1" | "2")) && of("w") == Some(""),
            3 => ask.host == "b.example",
            4 => ask.client.starts_with("10."),
            5 => ask.now < "2026-06-01",
            6 => ask.now >= "2026-06-01",
            // 2026-11-23 is a Monday, 2026-01-01 a Thursday.
            _ => ask.now.starts_with("2026-11-23"),
        };
        path_matches && method_matches && selected
    }
}

fn compiled(specs: &[(usize, Spec)], ignores_case: bool) -> Option<Policy> {
    let head = "[app]\nhosts = [\"app.example\", \"b.example\"]\nupstream = \"http://127.0.0.1:7001\"\n";
    let rules: String = specs.iter().map(|(index, spec)| spec.text(*index)).collect();
    compile_text(&format!("{head}ignore_case = {ignores_case}\n[login]\nacr = \"mfa\"\n{rules}")).ok()
}

/// As many of the rules as make a policy: one that could never match is an error.
fn reachable(specs: Vec<Spec>, ignores_case: bool) -> Vec<(usize, Spec)> {
    let mut kept = Vec::new();
    for (index, spec) in specs.into_iter().enumerate() {
        kept.push((index, spec));
        if compiled(&kept, ignores_case).is_none() {
            kept.pop();
        }
    }
    kept
}

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    let one = (0..PATHS.len(), 0..METHODS.len(), 0..SELECT.len(), 0..GATES.len(), prop::bool::weighted(0.3));
    let one = one.prop_map(|(path, methods, select, gate, observes)| Spec { path, methods, select, gate, observes });
    prop::collection::vec(one, 1..7)
}

fn asks() -> impl Strategy<Value = Ask<'static>> {
    let targets = ["/", "/a", "/A/x", "/a/b", "/a/b?v=1", "/b?v=2&w=", "/c/b?w=&v=1", "/a/c?v=3", "/x?v=1&v=2"];
    (
        prop::sample::select(vec!["GET", "POST"]),
        prop::sample::select(vec!["app.example", "b.example"]),
        prop::sample::select(targets.to_vec()),
        prop::sample::select(vec!["10.0.0.1", "192.0.2.7"]),
        prop::sample::select(vec!["2026-01-01T00:00:00Z", "2026-11-23T12:00:00Z"]),
    )
        .prop_map(|(method, host, target, client, now)| Ask { method, host, target, client, now })
}

/// Nobody, and people whose sign-ins differ.
fn people(policy: &Policy) -> Vec<Option<Prepared>> {
    let with = |acr: &str, claims: &str| {
        let mut one = subject(claims);
        one.session.acr = Some(acr.into());
        Some(policy.prepare(Arc::new(one)))
    };
    let staff = r#"{"groups": ["staff"]}"#;
    vec![None, with("mfa", staff), with("phr", staff), with("pwd", staff), with("mfa", "{}")]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_table_finds_the_rules_that_a_walk_finds(
        specs in specs(), requests in prop::collection::vec(asks(), 1..8), ignores_case: bool,
    ) {
        let specs = reachable(specs, ignores_case);
        prop_assume!(!specs.is_empty());
        let policy = compiled(&specs, ignores_case).unwrap();
        for request in &requests {
            if request.target.contains("v=1&v=2") {
                continue;
            }
            let walk = |observes: bool| {
                specs.iter().position(|(_, spec)| spec.observes == observes && spec.matches(request, ignores_case))
            };
            let (path, query) = request.target.split_once('?').map_or((request.target, None), |(path, query)| (path, Some(query)));
            let facts = RequestFacts {
                method: &Method::from_bytes(request.method.as_bytes()).unwrap(),
                host: &HostName::parse(request.host).unwrap(),
                path: &CanonicalPath::parse(path).unwrap(),
                query,
                client: request.client.parse().unwrap(),
                scheme: Scheme::Https,                tls: None,                headers: no_headers(),                has_content: false,
            };
            let now = Timestamp::from_millis(request.now.parse::<jiff::Timestamp>().unwrap().as_millisecond());
            let found = policy.find(&facts, now);
            prop_assert_eq!(found.decides, walk(false), "{} {:?}", request.target, specs);
            let observes = walk(true).filter(|observing| found.decides.is_none_or(|deciding| *observing < deciding));
            prop_assert_eq!(found.observes, observes, "{} {:?}", request.target, specs);
        }
    }

    #[test]
    fn observing_rules_change_no_decision(specs in specs(), requests in prop::collection::vec(asks(), 1..8)) {
        let specs = reachable(specs, false);
        let bare: Vec<_> = specs.iter().filter(|(_, spec)| !spec.observes).cloned().collect();
        prop_assume!(!bare.is_empty());
        let (with, without) = (compiled(&specs, false).unwrap(), compiled(&bare, false).unwrap());
        let (people, same_people) = (people(&with), people(&without));
        for request in &requests {
            for (one, other) in people.iter().zip(&same_people) {
                let found = ask(&with, one.as_ref(), request);
                prop_assert_eq!(found, ask(&without, other.as_ref(), request), "{} {:?}", request.target, specs);
            }
        }
    }
}
