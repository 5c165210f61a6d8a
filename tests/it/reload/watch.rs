//! Changes of files that the gateway notices by itself.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};

use crate::harness::browser::Browser;
use crate::harness::gateway::{HOST, Setup, clock};
use crate::harness::program::Program;
use crate::harness::site::{Site, policy};

/// What `/admin/x` answers once `version` is in use.
async fn admin_page(site: &Site, browser: &mut Browser, version: u64) -> StatusCode {
    site.version(version).await;
    browser.get(&site.url("/admin/x")).await.status
}

#[tokio::test]
async fn files_that_are_written_replaced_added_and_removed_are_noticed() {
    let site = Site::new().await;
    let mut browser = site.signed_in().await;
    // Written in place.
    site.change_policy("'admins' in", "'artists' in");
    assert_eq!(admin_page(&site, &mut browser, 2).await, StatusCode::OK);
    // Replaced by a rename, as editors do.
    let new = site.gateway.write("policies/.app.toml.swp", &policy(&site.application.url()));
    std::fs::rename(&new, new.with_file_name("app.toml")).unwrap();
    assert_eq!(admin_page(&site, &mut browser, 3).await, StatusCode::FORBIDDEN);
    // A bad one is refused, and the next change is tried again.
    site.change_policy("'staff' in", "'staff' inn");
    let refused = async { while site.sample("lychgate_reload_failed").await != Some(1.0) {} };
    crate::harness::soon(refused).await;
    site.change_policy("'admins' in", "'artists' in");
    assert_eq!(admin_page(&site, &mut browser, 4).await, StatusCode::OK);
    // Added and removed.
    site.gateway.write("policies/more.toml", &policy(&site.application.url()).replace(HOST, "more.localhost"));
    site.version(5).await;
    site.gateway.remove("policies/more.toml");
    site.version(6).await;
    // A secret, and the settings.
    site.gateway.write("client.secret", "another");
    site.version(7).await;
    let settings = site.gateway.read("lychgate.toml");
    site.gateway.write("lychgate.toml", &format!("{settings}\n[log]\nlevel = \"warn\"\n"));
    site.version(8).await;
    // The whole folder at once.
    let folder = site.gateway.folder().to_owned();
    std::fs::create_dir(folder.join("new")).unwrap();
    std::fs::write(folder.join("new/app.toml"), policy(&site.application.url())).unwrap();
    std::fs::rename(folder.join("policies"), folder.join("old")).unwrap();
    std::fs::rename(folder.join("new"), folder.join("policies")).unwrap();
    assert_eq!(admin_page(&site, &mut browser, 9).await, StatusCode::FORBIDDEN);
    site.change_policy("'admins' in", "'artists' in");
    assert_eq!(admin_page(&site, &mut browser, 10).await, StatusCode::OK);
}

/// Writes a version of a ConfigMap and puts it in place as Kubernetes does: a link that is renamed over another one.
fn publish(mount: &Path, version: &str, policy: &str) {
    let data = mount.join(format!("..{version}"));
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("app.toml"), policy).unwrap();
    symlink(format!("..{version}"), mount.join("..data_tmp")).unwrap();
    std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
}

#[tokio::test]
async fn a_configmap_that_kubernetes_swaps_is_noticed() {
    let folder = crate::harness::gateway::Folder::new();
    let mount = folder.path().join("mount");
    let text = policy("http://127.0.0.1:9").replace("[login]\nprovider = \"idp\"\n", "");
    let text =
        text.split("[headers]").next().unwrap().to_owned() + "[[rules]]\npaths = [\"/NAME\"]\naccess = \"public\"\n";
    publish(&mount, "1", &text.replace("NAME", "first"));
    symlink("..data/app.toml", mount.join("app.toml")).unwrap();
    let setup = Setup::new(&clock());
    let config = setup.write();
    let settings = std::fs::read_to_string(&config).unwrap();
    let place = format!("policies = [\"{}\"]", mount.join("app.toml").display());
    std::fs::write(&config, settings.replace("policies = [\"policies/*.toml\"]", &place)).unwrap();
    let program = Program::start(&config);
    program.address();
    for version in 2..=4 {
        publish(&mount, &version.to_string(), &text.replace("NAME", &format!("path-{version}")));
        std::fs::remove_dir_all(mount.join(format!("..{}", version - 1))).unwrap();
        program.says(&format!("version={version} new= changed=app removed="));
    }
    program.terminate();
    assert_eq!(program.wait().0, 0);
}

/// The usual policy with a page that is public in a network which is not this one; up to `networks` it is a policy, too, and more open.
fn fenced(upstream: &str) -> String {
    let fenced = "[[rules]]\npaths = [\"/near/**\"]\naccess = \"public\"\nnetworks = [\"192.0.2.0/24\"]\n[[rules]]\n";
    policy(upstream).replacen("[[rules]]\n", fenced, 1)
}

/// For longer than files that do not become quiet were ever waited for: nothing is read.
async fn nothing_is_read(site: &Site) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2500) {
        assert_ne!(Browser::new().get(&site.url("/near/x")).await.status, StatusCode::OK);
        assert_eq!(site.policies().await["last_attempt"], serde_json::Value::Null);
    }
}

#[tokio::test]
async fn a_policy_that_is_still_being_written_is_not_read_before_it_is_closed() {
    let site = Site::with(fenced, |setup| setup).await;
    assert_eq!(Browser::new().get(&site.url("/near/x")).await.status, StatusCode::FOUND);
    let whole = fenced(&site.application.url()) + "# more\n";
    let (beginning, rest) = whole.split_at(whole.find("networks").unwrap());
    // As `generate > policies/app.toml` does, and a copy over a slow line.
    let mut file = File::create(site.gateway.folder().join("policies/app.toml")).unwrap();
    file.write_all(beginning.as_bytes()).unwrap();
    nothing_is_read(&site).await;
    file.write_all(rest.as_bytes()).unwrap();
    drop(file);
    site.version(2).await;
    assert_ne!(Browser::new().get(&site.url("/near/x")).await.status, StatusCode::OK);
    assert_eq!(site.sample(r#"lychgate_reloads_total{outcome="applied"}"#).await, Some(1.0));
    assert_eq!(site.sample(r#"lychgate_reloads_total{outcome="refused"}"#).await, Some(0.0));
}

#[tokio::test]
async fn an_operator_who_asks_for_a_reload_does_not_wait_for_a_file_that_is_open() {
    let site = Site::with(fenced, |setup| setup).await;
    let whole = fenced(&site.application.url()) + "# more\n";
    let (beginning, rest) = whole.split_at(whole.find("hosts").unwrap());
    let mut file = File::create(site.gateway.folder().join("policies/app.toml")).unwrap();
    file.write_all(beginning.as_bytes()).unwrap();
    nothing_is_read(&site).await;
    let asked = Instant::now();
    let reply = Browser::new().fetch(Method::POST, &site.admin_url("/reload")).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["outcome"]), (422, &"refused".into()), "{}", reply.text());
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    file.write_all(rest.as_bytes()).unwrap();
    drop(file);
    site.version(2).await;
}
