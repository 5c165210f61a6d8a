//! How the two applications' pages look: one layout, one style sheet, and the headers at the bottom.
//!
//! HTML is written as text; what comes from outside passes through [`escape`]. The style sheet is a file of
//! its own at an address that needs no sign-in, as such applications have them. No script.

use http::HeaderMap;

use super::Link;
use super::told::{self, Told};

/// What every page of one application has in common.
pub(super) struct Frame {
    /// The application's name.
    pub(super) application: &'static str,
    /// The class that gives the application its colour.
    pub(super) class: &'static str,
    /// Links that everybody is shown.
    pub(super) links: Vec<Link>,
}

impl Frame {
    /// A whole page: `own` are links of this person, `body` is HTML.
    pub(super) fn page(
        &self,
        title: &str,
        told: &Told,
        own: &[(&str, &str)],
        body: &str,
        headers: &HeaderMap,
    ) -> String {
        let own = own.iter().map(|(text, target)| link(text, target));
        let shared = self.links.iter().map(|(text, target)| link(text, target));
        let nav: String = own.chain(shared).collect();
        let who = format!("<p class=\"who\">{} <span>({})</span></p>", escape(&told.name), escape(&told.user));
        let head = format!("{who}\n<nav aria-label=\"Main\"><ul>{nav}</ul></nav>");
        self.document(title, &head, body, headers)
    }

    /// The page for a request without a user.
    pub(super) fn nobody(&self, headers: &HeaderMap) -> String {
        let body = "<p class=\"stop\">no user: this application must stand behind a gateway</p>\n\
            <p>It reads the person's name from the header <code>X-Remote-User</code>, and there is none.</p>";
        self.document("No user", "", body, headers)
    }

    fn document(&self, title: &str, head: &str, body: &str, headers: &HeaderMap) -> String {
        format!(
            r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - {application}</title>
<link rel="stylesheet" href="/static/style.css">
</head>
<body class="{class}">
<header>
<p class="house">GMR Records <span>Gramophone Records, established 1926</span></p>
<p class="application">{application}</p>
{head}
</header>
<main>
<h1>{title}</h1>
{body}
</main>
<footer>
{given}
</footer>
</body>
</html>
"#,
            title = escape(title),
            application = self.application,
            class = self.class,
            given = given(headers),
        )
    }
}

/// Text as HTML text, also within quotes.
pub(super) fn escape(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    escaped.replace('"', "&quot;").replace('\'', "&#39;")
}

/// A table of a caption, column heads and rows; the cells are HTML. Columns that start with `#` hold numbers.
pub(super) fn table(caption: &str, columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let class = |column: &str| if column.starts_with('#') { " class=\"number\"" } else { "" };
    let head = columns
        .iter()
        .map(|column| format!("<th scope=\"col\"{}>{}</th>", class(column), escape(column.trim_start_matches('#'))));
    let rows = rows.into_iter().map(|cells| {
        let cells = cells.iter().zip(columns);
        let cells = cells.map(|(cell, column)| format!("<td{}>{cell}</td>", class(column)));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    });
    format!(
        "<div class=\"wide\"><table>\n<caption>{}</caption>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody>\n</table></div>",
        escape(caption),
        head.collect::<String>(),
        rows.collect::<String>(),
    )
}

fn link(text: &str, target: &str) -> String {
    format!("<li><a href=\"{}\">{}</a></li>", escape(target), escape(text))
}

/// The headers that the application was given: those about the person first.
fn given(headers: &HeaderMap) -> String {
    let (identity, other): (Vec<_>, Vec<_>) = told::lines(headers).partition(|(name, _)| told::is_identity(name));
    let row = |(name, value): (&str, String)| vec![format!("<code>{}</code>", escape(name)), escape(&value)];
    let person = match identity.as_slice() {
        [] => "<p class=\"stop\">None about a person.</p>".to_owned(),
        _ => table("About the person", &["Header", "Value"], identity.into_iter().map(row)),
    };
    let rest = table("All others", &["Header", "Value"], other.into_iter().map(row));
    format!("<h2>The headers this application was given</h2>\n{person}\n{rest}")
}

/// The style sheet of both applications.
pub(super) const STYLE: &str = "\
:root { color-scheme: light dark; --ink: #222; --soft: #5b5b5b; --paper: #fff; --ground: #e9e7e1;
  --line: #bdb9ae; --stripe: #f6f4ee; --house: #3b2f2a; --on-house: #f7efe2; --accent: #7a3b12;
  --bad: #8f1d14; --good: #22602e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7e3da; --soft: #aaa498; --paper: #23211e;
  --ground: #171614; --line: #4d4942; --stripe: #2a2824; --house: #100e0d; --accent: #f0b27a;
  --bad: #ff9d92; --good: #96d8a2; } }
.archives { --house: #23373f; --accent: #17596e; }
@media (prefers-color-scheme: dark) { .archives { --house: #0c1417; --accent: #86cbe0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.45 Verdana, 'DejaVu Sans', sans-serif; }
header { background: var(--house); color: #f7efe2; padding: .7rem 1.25rem 0; display: grid;
  grid-template-columns: 1fr auto; gap: 0 1rem; }
header p { margin: 0; }
.house { font: 1.3rem/1.2 Georgia, 'DejaVu Serif', serif; }
.house span { font-size: .8rem; opacity: .8; margin-left: .5rem; white-space: nowrap; }
.who { text-align: right; grid-column: 2; grid-row: 1; }
.who span { opacity: .8; }
.application { font-size: .85rem; opacity: .9; }
nav { grid-column: 1 / -1; margin-top: .7rem; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem; margin: 0; padding: 0; }
nav a { display: block; color: #f7efe2; background: #ffffff1f; padding: .35rem .9rem; text-decoration: none;
  border-radius: 3px 3px 0 0; }
nav a:hover, nav a:focus { background: #ffffff40; }
main, footer { max-width: 60rem; margin: 1.25rem auto; padding: 1rem 1.25rem 1.25rem;
  background: var(--paper); border: 1px solid var(--line); }
footer { font-size: .85rem; }
h1 { font: 1.5rem/1.2 Georgia, 'DejaVu Serif', serif; margin: 0 0 .75rem; }
h2 { font-size: 1rem; margin: 0 0 .5rem; }
a { color: var(--accent); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .75rem 0; }
caption { text-align: left; color: var(--soft); padding-bottom: .3rem; }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
thead th { background: var(--stripe); }
tbody tr:nth-child(even) { background: var(--stripe); }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
footer td { overflow-wrap: anywhere; }
footer td:first-child { width: 14rem; }
td:first-child { white-space: nowrap; }
form { margin: 0; }
input, button { font: inherit; padding: .25rem .6rem; }
.search { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; margin: 0 0 1rem; }
.search input { flex: 1 1 14rem; }
.stop { font-weight: bold; color: var(--bad); }
.done { color: var(--good); }
";

/// A gramophone record, as both applications' icon.
pub(super) const ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\">\
<circle cx=\"8\" cy=\"8\" r=\"7.5\" fill=\"#222\"/><circle cx=\"8\" cy=\"8\" r=\"5\" fill=\"none\" stroke=\"#555\"/>\
<circle cx=\"8\" cy=\"8\" r=\"3\" fill=\"#c8742b\"/><circle cx=\"8\" cy=\"8\" r=\".7\" fill=\"#222\"/></svg>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_cannot_write_markup() {
        let mut headers = HeaderMap::new();
        headers.insert("x-remote-user", "<b onclick='x'>\"&".parse().unwrap());
        let frame = Frame { application: "A", class: "a", links: vec![] };
        let told = Told::read(&headers).unwrap();
        let page = frame.page("T", &told, &[], "", &headers);
        assert!(!page.contains("<b "));
        assert_eq!(page.matches("&lt;b onclick=&#39;x&#39;&gt;&quot;&amp;").count(), 3);
    }
}
