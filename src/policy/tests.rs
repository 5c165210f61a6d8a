//! Whole policies: compiled, prepared and asked.

use std::sync::Arc;

use super::*;
use crate::diagnostic::{Report, SourceFile};

const ROYALTY: &str = r#"
[app]
hosts = ["royalty.gmr.example"]
upstream = "http://127.0.0.1:7001"
[login]
[headers]
X-Remote-User = "${user.preferred_username}"
[[rules]]
paths = ["/static/**"]
access = "public"
[[rules]]
allow = "'staff' in user.groups"
[[tests]]
request = "GET /static/x"
expect = "public"
[[tests]]
user = { preferred_username = "ada", groups = ["staff"] }
request = "GET /"
expect = { decision = "allow", headers = { X-Remote-User = "ada" } }
[[tests]]
user = { preferred_username = "ada" }
request = "GET /"
expect = "deny"
"#;

#[test]
fn a_policy_passes_its_own_tests() {
    let mut report = Report::default();
    let source = SourceFile::new("royalty.toml", ROYALTY);
    let policy = compile("royalty", &source, &|_| Err("no secrets".into()), &["okta"], &mut report);
    let policy = Arc::new(policy.unwrap_or_else(|| panic!("{report}")));
    for outcome in policy.run_tests() {
        assert!(outcome.passed, "{outcome:?}");
    }
}
