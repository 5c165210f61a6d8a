//! What a thousand policies of a hundred rules cost: `cargo bench --bench policies`.
//!
//! Loading is reading and compiling all files, their own tests included; deciding is asked of one policy and of a thousand in turn,
//! with one rule and with a hundred.
//!
//! Specification: docs/performance.md, which keeps the figures.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark")]

use std::fmt::Write as _;
use std::sync::Arc;

use divan::{Bencher, black_box};
use http::{HeaderMap, Method};
use lychgate::app::Plan;
use lychgate::claims::Claims;
use lychgate::clock::Timestamp;
use lychgate::diagnostic::{Report, SourceFile};
use lychgate::http::{CanonicalPath, HostName, Scheme};
use lychgate::policy::{
    Decision, Environment, Policy, Prepared, ProviderFacts, RequestFacts, SecretSource, SessionFacts, SessionKind,
    Subject, compile, no_files,
};

// As in the program: where things lie in memory is part of what is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW: Timestamp = Timestamp::from_seconds(1_795_000_060);

fn main() {
    divan::main();
}

/// A policy as an administrator writes them: paths, methods, groups, three headers, a test.
fn text(number: usize, rules: usize) -> String {
    let mut text = format!(
        "[app]\nhosts = [\"app-{number}.gmr.example\"]\nupstream = \"http://10.20.0.11:7001\"\n[login]\n[headers]\n\
         X-Remote-User = \"${{user.preferred_username}}\"\nX-Remote-Email = {{ value = \"${{user.email}}\", missing = \"deny\" }}\n\
         X-Remote-Groups = {{ list = \"${{user.groups.filter(g, g.startsWith('team-'))}}\", separator = \";\" }}\n"
    );
    for rule in 1..rules {
        let (paths, allow) = match rule % 5 {
            0 => (format!("\"/area-{rule}/**\""), format!("'team-{rule}' in user.groups")),
            1 => (
                format!("\"/reports/{rule}/*.pdf\", \"/reports/{rule}\""),
                "user.groups.exists(g, g.startsWith('team-'))".to_owned(),
            ),
            2 => (
                format!("\"/people/*/{rule}\""),
                format!("hasAny(user.groups, ['team-{rule}', 'admins']) && user.email.endsWith('.example')"),
            ),
            3 => (
                format!("\"/api/v1/items-{rule}/**\""),
                format!("user.department == 'D{rule}' || 'admins' in user.groups"),
            ),
            _ => (
                format!("\"/old/{rule}/**\""),
                format!("has(user.level) && user.level >= {rule} && session.acr == 'mfa'"),
            ),
        };
        let methods = if rule % 3 == 0 { "methods = [\"GET\", \"POST\"]\n" } else { "" };
        write!(text, "[[rules]]\nname = \"rule {rule}\"\npaths = [{paths}]\n{methods}allow = \"{allow}\"\n").unwrap();
    }
    text + "[[rules]]\nname = \"all else\"\nallow = \"'staff' in user.groups\"\n[[tests]]\n\
            user = { preferred_username = \"ada\", email = \"ada@gmr.example\", groups = [\"staff\"] }\nrequest = \"/x\"\nexpect = \"allow\"\n"
}

fn compiled(number: usize, source: &Arc<SourceFile>) -> Policy {
    let secrets =
        |_: &SecretSource| Err(lychgate::policy::NoSecret { message: "none".to_owned(), help: String::new() });
    let providers = [ProviderFacts { name: "idp", scopes: None }];
    let environment = Environment { secrets: &secrets, files: &no_files, providers: &providers, identity: None };
    let mut report = Report::default();
    compile(&format!("app-{number}"), source, &environment, &mut report).unwrap_or_else(|| panic!("{report}"))
}

fn sources(policies: usize, rules: usize) -> Vec<Arc<SourceFile>> {
    (0..policies).map(|number| SourceFile::new("app.toml", text(number, rules))).collect()
}

fn load(sources: &[Arc<SourceFile>]) -> Vec<Policy> {
    sources.iter().enumerate().map(|(number, source)| compiled(number, source)).collect()
}

fn ada() -> Arc<Subject> {
    let claims = br#"{"preferred_username":"ada","email":"ada@gmr.example","groups":["staff","team-5","team-7"]}"#;
    let session = SessionFacts {
        kind: SessionKind::Browser,
        provider: "idp".into(),
        acr: Some("mfa".into()),
        amr: Vec::new(),
        authenticated_at: NOW.before(std::time::Duration::from_secs(60)),
    };
    Arc::new(Subject { claims: Claims::from_json(claims).unwrap(), session })
}

/// Loads 1,000 policies of 100 rules.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn load_a_thousand_policies(bencher: Bencher) {
    let sources = sources(1000, 100);
    bencher.bench(|| load(black_box(&sources)));
}

/// Reads them from files as a start, a reload and `check` do, on all cores.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn read_a_thousand_files(bencher: Bencher) {
    let folder = std::env::temp_dir().join(format!("lychgate-policies-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("policies")).unwrap();
    let settings = "policies = [\"policies\"]\nstate = \"state\"\n[[listeners]]\naddress = \"127.0.0.1:8080\"\nscheme = \"https\"\n\
                    [providers.idp]\nissuer = \"https://idp.example\"\nclient_id = \"lychgate\"\nclient_auth = \"none\"\n";
    std::fs::write(folder.join("lychgate.toml"), settings).unwrap();
    for number in 0..1000 {
        std::fs::write(folder.join(format!("policies/app-{number}.toml")), text(number, 100)).unwrap();
    }
    let environment = std::iter::empty::<(String, String)>().collect();
    bencher.bench(|| {
        let (plan, report) = Plan::read(&folder.join("lychgate.toml"), &environment, &[]);
        assert!(plan.is_some(), "{report}");
    });
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Loads them and runs their tests.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn load_and_test_a_thousand_policies(bencher: Bencher) {
    let sources = sources(1000, 100);
    bencher.bench(|| load(black_box(&sources)).iter().flat_map(Policy::run_tests).filter(|test| test.passed).count());
}

/// A decision: what `valgrind --tool=callgrind --toggle-collect='*ask*'` counts.
#[inline(never)]
fn ask(policy: &Policy, facts: &RequestFacts<'_>, prepared: &Prepared) -> bool {
    matches!(policy.decide(facts, Some(prepared), NOW), Decision::Allow(_))
}

/// One decision for a known person, of one of so many policies with so many rules; policies and people are kept as the gateway
/// keeps them, each by itself.
#[divan::bench(args = [(1, 1), (1, 100), (1000, 1), (1000, 100)], sample_size = 1000)]
fn decide(bencher: Bencher, (policies, rules): (usize, usize)) {
    let policies = load(&sources(policies, rules));
    let subject = ada();
    let known: Vec<(Arc<Policy>, Arc<Prepared>)> = policies
        .into_iter()
        .map(|policy| {
            let prepared = policy.prepare(Arc::clone(&subject));
            (Arc::new(policy), Arc::new(prepared))
        })
        .collect();
    let (host, path) =
        (HostName::parse("app-1.gmr.example").unwrap(), CanonicalPath::parse("/statements/2026").unwrap());
    let facts = RequestFacts {
        method: &Method::GET,
        host: &host,
        path: &path,
        query: None,
        client: [127, 0, 0, 1].into(),
        scheme: Scheme::Https,
        tls: None,
        headers: &HeaderMap::new(),
        has_content: false,
    };
    for (policy, prepared) in &known {
        assert!(matches!(policy.decide(&facts, Some(prepared), NOW), Decision::Allow(_)));
    }
    let mut turn = 0;
    bencher.bench_local(|| {
        turn = if turn + 1 == known.len() { 0 } else { turn + 1 };
        known.get(turn).is_some_and(|(policy, prepared)| ask(policy, black_box(&facts), prepared))
    });
}

/// A cache line that tells where the next one is.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Line(usize);

/// What memory costs here by itself: so many loads, each of which needs the one before, at a thousand places in turn. Each place
/// is of so many bytes, over which its loads are scattered.
#[divan::bench(args = [(1, 256 << 10), (3, 256 << 10), (6, 256 << 10), (12, 256 << 10), (3, 1 << 10), (6, 1 << 10)], sample_size = 1000)]
fn wait_for_memory(bencher: Bencher, (loads, bytes): (usize, usize)) {
    let lines_each = bytes / size_of::<Line>();
    let mut lines = vec![Line::default(); 1000 * lines_each];
    // A linear congruential generator: places must be no pattern that the processor could foresee.
    let mut random = 1_u64;
    let mut scattered = |within: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % within
    };
    for place in 0..1000 {
        let mut at = place * lines_each;
        for load in 1..loads {
            let part = lines_each / loads;
            let next = place * lines_each + load * part + scattered(part);
            lines[at] = Line(next);
            at = next;
        }
    }
    let mut turn = 0;
    bencher.bench_local(|| {
        turn = if turn + 1 == 1000 { 0 } else { turn + 1 };
        (0..loads).fold(turn * lines_each, |at, _| black_box(&lines)[at].0)
    });
}
