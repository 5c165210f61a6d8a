//! `lychgate init`: a configuration, a policy and fresh secrets to start from.
//!
//! Nothing that is there is overwritten. What was written is then read as `run` would read it, and taken away again when it
//! cannot be used: what is left behind works. Secrets are readable for their owner only.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::super::USAGE;
use super::super::arguments::InitOptions;
use super::super::streams;
use crate::app::Plan;
use crate::config::Environment;
use crate::crypto::KeyRing;
use crate::http::HostName;

/// A file to write.
struct Page {
    name: &'static str,
    text: String,
    secret: bool,
}

pub(super) fn run(options: &InitOptions) -> ExitCode {
    let pages = pages(options);
    if let Some(page) = pages.iter().find(|page| options.folder.join(page.name).symlink_metadata().is_ok()) {
        streams::complain(&format!(
            "error: {} is there already\n  = help: name another folder: lychgate init FOLDER; nothing is ever overwritten\n",
            options.folder.join(page.name).display()
        ));
        return ExitCode::FAILURE;
    }
    let mut made = Made::default();
    for page in &pages {
        let path = options.folder.join(page.name);
        if let Err(error) = made.write(&path, page) {
            streams::complain(&format!("error: cannot write {}: {error}\n", path.display()));
            made.take_away();
            return ExitCode::FAILURE;
        }
    }
    let config = options.folder.join("lychgate.toml");
    let (plan, report) = Plan::read(&config, &Environment::of_process(), &[]);
    if plan.is_none() {
        streams::complain(&report.render());
        made.take_away();
        return ExitCode::from(USAGE);
    }
    let mut text: String = made.files.iter().map(|path| format!("wrote {}\n", path.display())).collect();
    text.push_str(&next_steps(options, &config));
    streams::result(&text, ExitCode::SUCCESS)
}

/// What was made so far.
#[derive(Default)]
struct Made {
    files: Vec<PathBuf>,
    /// Folders that were not there before, outer ones first.
    folders: Vec<PathBuf>,
}

impl Made {
    fn write(&mut self, path: &Path, page: &Page) -> io::Result<()> {
        let missing = path.ancestors().skip(1).take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        let missing: Vec<&Path> = missing.collect();
        for folder in missing.into_iter().rev() {
            std::fs::create_dir(folder)?;
            self.folders.push(folder.to_owned());
        }
        // Noted as soon as it is made: one that was written only in part is taken away too, and one that was there is not ours.
        write(path, page, || self.files.push(path.to_owned()))
    }

    /// Takes everything away again; a folder in which somebody put something meanwhile stays.
    fn take_away(&self) {
        for path in &self.files {
            let _ = std::fs::remove_file(path);
        }
        for folder in self.folders.iter().rev() {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

fn write(path: &Path, page: &Page, made: impl FnOnce()) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if page.secret {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let mut file = options.open(path)?;
    made();
    file.write_all(page.text.as_bytes())?;
    file.sync_all()
}

fn pages(options: &InitOptions) -> [Page; 4] {
    let secret = || format!("{}\n", KeyRing::generate_key().expose());
    [
        Page { name: "lychgate.toml", text: configuration(options), secret: false },
        Page { name: "policies/app.toml", text: policy(options), secret: false },
        Page { name: "session.key", text: secret(), secret: true },
        Page { name: "client.secret", text: secret(), secret: true },
    ]
}

fn is_loopback(host: &str) -> bool {
    HostName::parse(host).is_ok_and(|host| host.is_loopback())
}

/// A string of TOML: JSON's are some.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

fn configuration(options: &InitOptions) -> String {
    let (proxies, scheme) = if is_loopback(&options.host) {
        ("", "# Clear text, for trying out on this machine.")
    } else {
        (
            "\n# Who is believed when it says who the client is: the load balancer, here one on this machine. For one elsewhere put its address, and\n# below an `address` at which it can reach the listener.\ntrusted_proxies = [\"127.0.0.1\"]\n",
            "# A load balancer in front ends TLS. Without one: tls = { certificate = \"…\", key = \"…\" }\nscheme = \"https\"",
        )
    };
    format!(
        r#"# Lychgate: every key is documented in docs/configuration.md. `lychgate check` says what is wrong.
policies = ["policies/*.toml"]

# Which sessions were ended is kept here, so that a restart does not forget it.
state = "state"
{proxies}
[[listeners]]
address = "127.0.0.1:8080"
{scheme}

[keys]
session = [{{ file = "session.key" }}]

[providers.idp]
issuer        = {}
client_id     = {}
client_secret = {{ file = "client.secret" }}
"#,
        quoted(&options.issuer),
        quoted(&options.client_id)
    )
}

fn policy(options: &InitOptions) -> String {
    format!(
        r#"# The first application: every key is documented in docs/policy.md. `lychgate test` runs the tests below.
[app]
hosts    = [{}]
upstream = [{}]

[login]
provider = "idp"

# What the application is told. Whatever a client sends under these names is removed.
[headers]
X-Remote-User  = {{ value = "${{user.preferred_username}}", missing = "deny" }}
X-Remote-Email = "${{user.email}}"

# The first rule whose paths match decides; what no rule matches is denied.
[[rules]]
name   = "static files, for everybody"
paths  = ["/static/**", "/favicon.ico"]
access = "public"

[[rules]]
name = "everything else, for whoever is signed in"

[[tests]]
name    = "the style sheet is for everybody"
request = "GET /static/site.css"
expect  = "public"

[[tests]]
name    = "nobody sees the application without signing in"
request = "GET /"
expect  = "sign-in"

[[tests]]
name    = "the application is told who asks"
user    = {{ preferred_username = "ada", email = "ada@gmr.example" }}
request = "GET /"
expect  = {{ decision = "allow", headers = {{ X-Remote-User = "ada", X-Remote-Email = "ada@gmr.example" }} }}
"#,
        quoted(&options.host),
        quoted(&options.upstream)
    )
}

/// A text as one word of a shell.
fn as_a_word(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte)) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn next_steps(options: &InitOptions, config: &Path) -> String {
    // As the gateway will send it: providers compare the whole text.
    let host = HostName::parse(&options.host).map_or_else(|_| options.host.clone(), |host| host.to_string());
    let origin = if is_loopback(&host) { format!("http://{host}:8080") } else { format!("https://{host}") };
    let config = as_a_word(&config.display().to_string());
    format!(
        "\nnext\n  1. register the client `{}` at {} with\n       redirect address      {origin}/.lychgate/callback\n       address after logout  {origin}/.lychgate/signed-out\n  2. put its secret into {} (a fresh one is there, for a provider that takes yours)\n  3. lychgate check --config {config} && lychgate test --config {config} && lychgate run --config {config}\n",
        options.client_id,
        options.issuer,
        options.folder.join("client.secret").display()
    )
}
