//! The pages of the development provider.
//!
//! Plain HTML and one inline style sheet, dark and light, no script. Typed functions in, text out; whatever
//! comes from outside passes through [`Escaped`], and that is the only way in which it may be written.

use std::fmt::{self, Display, Formatter};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::people::Person;

/// Text from outside, written so that it is text in HTML and in quoted attributes.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => to.write_str("&amp;")?,
                '<' => to.write_str("&lt;")?,
                '>' => to.write_str("&gt;")?,
                '"' => to.write_str("&quot;")?,
                '\'' => to.write_str("&#39;")?,
                other => write!(to, "{other}")?,
            }
        }
        Ok(())
    }
}

/// The source expression that admits the style sheet, without its quotes.
pub(super) fn style_hash() -> &'static str {
    static HASH: LazyLock<String> = LazyLock::new(|| format!("sha256-{}", STANDARD.encode(Sha256::digest(STYLE))));
    &HASH
}

/// What the password page shows.
pub(super) struct PasswordPage<'a> {
    /// The ticket of the sign-in.
    pub(super) ticket: &'a str,
    /// Where the person goes next, as host and port.
    pub(super) target: &'a str,
    /// What to fill in as the user name.
    pub(super) user: &'a str,
    /// What was wrong with the last attempt.
    pub(super) problem: Option<&'a str>,
    /// Whether a code will be asked for next.
    pub(super) code_follows: bool,
    /// Whom to offer.
    pub(super) people: &'a [Person],
}

/// The page that asks for user name and password.
pub(super) fn password(page: &PasswordPage<'_>) -> String {
    let body = format!(
        r#"<h1>Sign in</h1>
<p>to go on to <b>{target}</b></p>
{problem}<form method="post" action="/sign-in/password">
<input type="hidden" name="sign_in" value="{ticket}">
<label for="user">User name</label>
<input id="user" name="user" value="{user}" autocomplete="username" autocapitalize="none" spellcheck="false" required{described}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required{described}>
<button>{button}</button>
</form>
{cancel}{people}"#,
        target = Escaped(page.target),
        problem = problem(page.problem),
        ticket = Escaped(page.ticket),
        user = Escaped(page.user),
        described = described(page.problem),
        button = if page.code_follows { "Next" } else { "Sign in" },
        cancel = cancel(page.ticket),
        people = people(page.people),
    );
    layout(&title("Sign in", page.problem), &body)
}

/// What the page of the second factor shows.
pub(super) struct CodePage<'a> {
    /// The ticket of the sign-in.
    pub(super) ticket: &'a str,
    /// Who has shown a password.
    pub(super) name: &'a str,
    /// The code that is good now.
    pub(super) code: &'a str,
    /// For how many seconds it stays the one to be shown.
    pub(super) seconds_left: u64,
    /// What was wrong with the last attempt.
    pub(super) problem: Option<&'a str>,
}

/// The page that asks for the one-time code, and shows it.
pub(super) fn code(page: &CodePage<'_>) -> String {
    let body = format!(
        r#"<h1>Enter your code</h1>
<p>Hello {name}. One more step: the six digits that your authenticator shows.</p>
{problem}<div class="phone">
<p id="phone">A real authenticator is a phone or a key. This one is the demonstration's:</p>
<p><output id="shown-code" aria-describedby="phone">{code}</output></p>
<p><small>New digits in {seconds_left} seconds; these are accepted for half a minute longer.</small></p>
</div>
<form method="post" action="/sign-in/code">
<input type="hidden" name="sign_in" value="{ticket}">
<label for="code">Six-digit code</label>
<input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="9" required autofocus{described}>
<button>Sign in</button>
</form>
{cancel}"#,
        name = Escaped(page.name),
        problem = problem(page.problem),
        code = Escaped(page.code),
        seconds_left = page.seconds_left,
        ticket = Escaped(page.ticket),
        described = described(page.problem),
        cancel = cancel(page.ticket),
    );
    layout(&title("Enter your code", page.problem), &body)
}

/// What the question whether to sign out carries along.
pub(super) struct SignOutPage<'a> {
    /// Who is signed in.
    pub(super) name: &'a str,
    /// What shows that the form came from this page.
    pub(super) guard: &'a str,
    /// Parameters to be repeated.
    pub(super) carried: &'a [(&'a str, &'a str)],
}

/// The page that asks whether to sign out.
pub(super) fn sign_out(page: &SignOutPage<'_>) -> String {
    let carried = page.carried.iter().map(|(name, value)| {
        format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">\n", Escaped(name), Escaped(value))
    });
    let body = format!(
        r#"<h1>Sign out?</h1>
<p>You are signed in as <b>{name}</b>. Applications that you opened may keep you signed in for a while.</p>
<form method="post" action="/end-session/confirm">
<input type="hidden" name="guard" value="{guard}">
{carried}<button>Sign out</button>
</form>
<p><a href="/">Stay signed in</a></p>"#,
        name = Escaped(page.name),
        guard = Escaped(page.guard),
        carried = carried.collect::<String>(),
    );
    layout("Sign out?", &body)
}

/// The page at the provider's root: `signed_in` is a name and how well it was shown.
pub(super) fn home(signed_in: Option<(&str, &str)>) -> String {
    let body = match signed_in {
        Some((name, acr)) => format!(
            r#"<h1>Signed in</h1>
<p>You are signed in here as <b>{}</b>, with the assurance <code>{}</code>.</p>
<form method="get" action="/end-session"><button>Sign out</button></form>"#,
            Escaped(name),
            Escaped(acr)
        ),
        None => "<h1>Nobody is signed in</h1>\n<p>Open an application: it will send you here.</p>".to_owned(),
    };
    layout("Development provider", &body)
}

/// A page that says one thing.
pub(super) fn notice(heading: &str, text: &str) -> String {
    let body = format!("<h1>{}</h1>\n<p>{}</p>", Escaped(heading), Escaped(text));
    layout(heading, &body)
}

fn layout(title: &str, body: &str) -> String {
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · development provider</title>
<style>{STYLE}</style>
</head>
<body>
<header><b>Development provider</b> <span>not for production</span></header>
<main>
{body}
</main>
</body>
</html>
"#,
        title = Escaped(title),
    )
}

fn title(title: &str, problem: Option<&str>) -> String {
    let error = if problem.is_some() { "Error: " } else { "" };
    format!("{error}{title}")
}

fn problem(problem: Option<&str>) -> String {
    problem.map_or_else(String::new, |text| {
        format!("<p id=\"problem\" class=\"problem\" role=\"alert\">{}</p>\n", Escaped(text))
    })
}

fn described(problem: Option<&str>) -> &'static str {
    match problem {
        Some(_) => r#" aria-invalid="true" aria-describedby="problem""#,
        None => "",
    }
}

fn cancel(ticket: &str) -> String {
    format!(
        r#"<form method="post" action="/sign-in/cancel">
<input type="hidden" name="sign_in" value="{}">
<button class="quiet">Cancel and go back</button>
</form>
"#,
        Escaped(ticket)
    )
}

fn people(people: &[Person]) -> String {
    let rows = people.iter().map(|person| {
        format!(
            "<tr><th scope=\"row\">{}</th><td><code>{}</code></td><td>{}</td></tr>\n",
            Escaped(&person.user),
            Escaped(&person.password),
            Escaped(&person.note)
        )
    });
    format!(
        r#"<details>
<summary>People to sign in as</summary>
<table>
<thead><tr><th scope="col">User name</th><th scope="col">Password</th><th scope="col">Who</th></tr></thead>
<tbody>
{}</tbody>
</table>
</details>"#,
        rows.collect::<String>()
    )
}

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1d2330; --soft: #596275; --paper: #fff; --ground: #eef0f4;
  --line: #c3c9d5; --accent: #2a4fa8; --on-accent: #fff; --bad: #a31621; --bad-ground: #fdecec;
  --warn: #6b4700; --warn-ground: #ffefc9; --phone: #f4f6fb; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9f0; --soft: #a5aec0; --paper: #1c212c;
  --ground: #12151c; --line: #465066; --accent: #9db8ff; --on-accent: #10182c; --bad: #ffb3b3;
  --bad-ground: #3a1a1e; --warn: #ffdc93; --warn-ground: #3a2d10; --phone: #252c3a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; }
header { background: var(--warn-ground); color: var(--warn); padding: .5rem 1rem; text-align: center; }
header span { white-space: nowrap; }
header span::before { content: '\\2013\\a0'; }
main { background: var(--paper); border: 1px solid var(--line); border-radius: .75rem;
  width: min(27rem, calc(100% - 2rem)); margin: 2.5rem auto; padding: 1.75rem 2rem 2rem; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: 0 0 .25rem; }
p { margin: .5rem 0; overflow-wrap: anywhere; }
label { display: block; font-weight: 600; margin: 1.1rem 0 .3rem; }
input { width: 100%; font: inherit; color: inherit; background: var(--paper); padding: .6rem .7rem;
  border: 1px solid var(--soft); border-radius: .4rem; }
input[aria-invalid] { border-color: var(--bad); }
button { width: 100%; margin-top: 1.4rem; padding: .65rem; font: inherit; font-weight: 600;
  border: 1px solid var(--accent); border-radius: .4rem; background: var(--accent);
  color: var(--on-accent); cursor: pointer; }
button.quiet { margin-top: .6rem; background: none; color: var(--accent); border-color: transparent; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
a { color: var(--accent); }
.problem { background: var(--bad-ground); color: var(--bad); padding: .6rem .8rem; border-radius: .4rem;
  margin: 1rem 0 0; }
.phone { background: var(--phone); border: 1px dashed var(--soft); border-radius: .75rem;
  padding: .5rem 1rem; margin: 1rem 0; text-align: center; }
.phone p { margin: .25rem 0; }
output { font: 700 2rem/1.3 ui-monospace, 'DejaVu Sans Mono', monospace; letter-spacing: .15em; }
small { color: var(--soft); }
td code { white-space: nowrap; }
details { margin-top: 1rem; border-top: 1px solid var(--line); padding-top: .9rem; }
summary { cursor: pointer; color: var(--accent); }
table { border-collapse: collapse; width: 100%; margin-top: .6rem; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0;
  border-bottom: 1px solid var(--line); }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_from_outside_is_written_as_text() {
        let hostile = "\"><script>alert('1')</script>&";
        let page = password(&PasswordPage {
            ticket: hostile,
            target: hostile,
            user: hostile,
            problem: Some(hostile),
            code_follows: true,
            people: &[],
        });
        assert!(!page.contains("<script"));
        assert!(!page.contains("\">alert"));
        let escaped = "&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;";
        assert_eq!(Escaped(hostile).to_string(), escaped);
        assert!(page.matches(escaped).count() >= 5, "{page}");
    }

    #[test]
    fn every_input_that_is_seen_has_a_label() {
        let pages = [
            password(&PasswordPage {
                ticket: "t",
                target: "a",
                user: "",
                problem: None,
                code_follows: false,
                people: &[],
            }),
            code(&CodePage { ticket: "t", name: "n", code: "1", seconds_left: 1, problem: None }),
        ];
        for page in pages {
            let inputs = page.split("<input ").skip(1).filter(|rest| !rest.starts_with("type=\"hidden\""));
            for input in inputs {
                let id = input.split('"').nth(1).unwrap();
                assert!(page.contains(&format!("<label for=\"{id}\">")), "{id}");
            }
        }
    }
}
