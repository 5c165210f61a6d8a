//! What `lychgate explain` and `lychgate check` say of limits and networks.

use serde_json::{Value, json};

use crate::harness::gateway::Folder;
use crate::policy_tests::{CONFIGURATION, told};

const POLICY: &str = r#"[app]
hosts = ["royalty.localhost"]
upstream = "http://127.0.0.1:9"

[networks]
allow = "10.0.0.0/8"

[limits]
rate = { per = "address", requests = 100, every = "1m", burst = 20 }

[[rules]]
name = "uploads"
paths = ["/upload"]
access = "public"
limits = { mode = "observe", concurrency = 3 }

[[rules]]
access = "public"
"#;

fn folder(policy: &str) -> Folder {
    let folder = Folder::new();
    folder.write("lychgate.toml", CONFIGURATION);
    folder.write("okta.secret", "s3cret-of-the-client\n");
    folder.write("policies/royalty.toml", policy);
    folder
}

fn explained(folder: &Folder, path: &str, client: &str) -> (String, Value) {
    let question = [path, "--app", "royalty", "--client", client];
    let (code, text, err) = told(folder, "explain", &question);
    assert_eq!(code, 0, "{err}");
    let (_, object, _) = told(folder, "explain", &[&question[..], &["--format", "json"]].concat());
    (text, serde_json::from_str(&object).unwrap())
}

#[test]
fn d03_explain_says_which_limits_a_request_counts_towards() {
    let folder = folder(POLICY);
    let (text, object) = explained(&folder, "/upload", "10.1.2.3");
    let lines = "limits that the request counts towards\n  the application: 100 requests in 1m, 20 at once, per address\n  \
                 `uploads`: 3 at once in the application, which only observes\n";
    assert!(text.contains(lines), "{text}");
    let whole = json!({"limit": "100 requests in 1m, 20 at once, per address", "observes": false});
    let of_rule = json!({"rule": "uploads", "limit": "3 at once in the application", "observes": true});
    assert_eq!(object["limits"], json!([whole, of_rule]));
    assert_eq!(explained(&folder, "/", "10.1.2.3").1["limits"], json!([whole]));
}

#[test]
fn d03_explain_says_that_a_client_is_somewhere_else() {
    let folder = folder(POLICY);
    for (path, decision) in [("/upload", "deny"), ("/.lychgate/me", "refused")] {
        let (text, object) = explained(&folder, path, "192.0.2.7");
        let decided = &object["decision"];
        assert_eq!((&decided["decision"], &decided["reason"]), (&json!(decision), &json!("network_denied")));
        assert!(text.contains("be reached from the client's network"), "{text}");
        assert_eq!(object["limits"], json!([]));
    }
    assert_eq!(explained(&folder, "/.lychgate/jwks", "192.0.2.7").1["decision"]["decision"], "reserved");
    assert_eq!(explained(&folder, "/.lychgate/me", "10.1.2.3").1["decision"]["decision"], "reserved");
}

#[test]
fn d03_explain_asks_in_the_order_of_the_gateway() {
    let folder = folder(&POLICY.replace("[networks]", "forged_headers = \"reject\"\n\n[networks]"));
    let reason = |client| {
        let question =
            ["/", "--app", "royalty", "--header", "X-Remote-User: eve", "--client", client, "--format", "json"];
        let (code, object, err) = told(&folder, "explain", &question);
        assert_eq!(code, 0, "{err}");
        serde_json::from_str::<Value>(&object).unwrap()["decision"]["reason"].clone()
    };
    assert_eq!(reason("192.0.2.7"), "network_denied");
    assert_eq!(reason("10.1.2.3"), "header_forged");
}

#[test]
fn d03_check_warns_of_a_limit_that_never_bites_and_refuses_one_that_nothing_passes() {
    let weaker = "limits = { rate = { per = \"address\", requests = 200, every = \"1m\" } }";
    let weak = POLICY.replace("limits = { mode = \"observe\", concurrency = 3 }", weaker);
    let (code, out, err) = told(&folder(&weak), "check", &[]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(format!("{out}{err}").contains("this rate never refuses anything"), "{out}{err}");
    let (code, out, err) = told(&folder(&POLICY.replace("every = \"1m\"", "every = \"0s\"")), "check", &[]);
    assert!(code != 0 && format!("{out}{err}").contains("`every` is zero"), "{out}{err}");
}
