//! Reads a policy file's tables by hand, so that every mistake in it is reported and none hides another.
//!
//! serde stops at the first error; here each value is asked for by name and kind, a wrong one is reported where it
//! stands and reading goes on. [`Section::finish`] reports the keys that nobody asked for, with the nearest known name.
//! Every section is read against its table in [`reference`](crate::reference): a key that has no row there cannot be
//! read, and each finding gets the link into the docs that stands there for the place where it was made.
//!
//! May touch: the text that it is given. Trust boundary: the text is an administrator's, with all mistakes that a person
//! can make in it. Specification: TOML 1.1.

mod section;

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(super) use self::section::Section;
use super::expression::Named;
use crate::diagnostic::{Diagnostic, Links, Report, Severity, SourceFile, nearest, unparsed};
use crate::reference::{self, Table};

/// One value of the file and where it stands.
pub(super) type Value<'d> = Spanned<DeValue<'d>>;

/// The file being read and what was found wrong with it so far.
pub(super) struct Reading<'r> {
    file: &'r Arc<SourceFile>,
    findings: Vec<Diagnostic>,
    /// Where each place of the file is documented.
    links: Links,
    /// Lines that hold a secret in plain text, which no finding may show.
    secret: Vec<Range<usize>>,
    /// What expressions can use by name.
    named: Arc<Named>,
    /// What is being read, where that is a definition.
    owner: Option<Owner>,
    /// Which claims are named where.
    claims: Vec<ClaimNote>,
}

/// A definition that counts only when something uses it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    /// The condition with this name.
    Condition(Box<str>),
    /// The header set with this name.
    HeaderSet(Box<str>),
}

/// A claim that is named in an expression.
pub(super) struct ClaimNote {
    /// The claim.
    pub(super) claim: Box<str>,
    /// The bytes of the file.
    pub(super) span: Range<usize>,
    /// The definition in which it stands.
    pub(super) owner: Option<Owner>,
}

/// A string of the file and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Text<'d> {
    /// The string, unescaped.
    pub(super) text: &'d str,
    /// The bytes of the file that hold it, quotes included.
    pub(super) span: Range<usize>,
}

impl<'r> Reading<'r> {
    /// Begins with nothing found.
    pub(super) fn new(file: &'r Arc<SourceFile>) -> Self {
        Self {
            file,
            findings: Vec::new(),
            links: Links::default(),
            secret: Vec::new(),
            named: Arc::default(),
            owner: None,
            claims: Vec::new(),
        }
    }

    /// What expressions can use by name.
    pub(super) fn named(&self) -> Arc<Named> {
        Arc::clone(&self.named)
    }

    /// Lets expressions use what is `named` from now on.
    pub(super) fn know(&mut self, named: &Arc<Named>) {
        self.named = Arc::clone(named);
    }

    /// Says what is being read from now on.
    pub(super) fn own(&mut self, owner: Option<Owner>) {
        self.owner = owner;
    }

    /// Notes the claims that are named in the string `text`.
    pub(super) fn note_claims<'c>(&mut self, text: &Text<'_>, places: impl Iterator<Item = (&'c str, Range<usize>)>) {
        for (claim, place) in places {
            let span = self.inside(text, place);
            self.claims.push(ClaimNote { claim: claim.into(), span, owner: self.owner.clone() });
        }
    }

    /// The claims that were noted.
    pub(super) fn claims(&self) -> &[ClaimNote] {
        &self.claims
    }

    /// The file that is being read.
    pub(super) fn file(&self) -> &'r Arc<SourceFile> {
        self.file
    }

    /// Everything that was found, in the order of the file.
    pub(super) fn into_report(mut self) -> Report {
        let start = |finding: &Diagnostic| finding.place.as_ref().map_or(0, |(_, span)| span.start);
        self.findings.sort_by_key(start);
        let mut report = Report::default();
        for mut finding in std::mem::take(&mut self.findings) {
            self.links.add_to(&mut finding);
            self.redact(&mut finding);
            report.push(finding);
        }
        report
    }

    /// Keeps the line of a finding hidden when there is a secret on it.
    fn redact(&self, finding: &mut Diagnostic) {
        let Some((_, span)) = &finding.place else { return };
        finding.secret |= self.secret.iter().any(|line| line.start <= span.end && span.start <= line.end);
    }

    /// Keeps the lines that `span` touches out of everything that is shown.
    pub(super) fn hide(&mut self, span: Range<usize>) {
        let text = self.file.text();
        let before = text.get(..span.start).unwrap_or_default();
        let after = text.get(span.end..).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let end = after.find('\n').map_or(text.len(), |at| span.end + at);
        self.secret.push(start..end);
    }

    /// Adds a finding about the bytes `span`.
    pub(super) fn push(&mut self, finding: Diagnostic, span: Range<usize>) {
        self.findings.push(finding.at(self.file, span));
    }

    /// Adds what keeps the file from being TOML.
    pub(super) fn no_toml(&mut self, errors: &[toml::de::Error]) {
        let known = reference::policy::FILE.all_names();
        self.findings.extend(unparsed::findings(self.file.path(), self.file.text(), errors, &known));
    }

    /// Adds an error about the bytes `span`.
    pub(super) fn error(&mut self, message: impl Into<String>, span: Range<usize>, help: impl Into<String>) {
        self.push(Diagnostic::error(message).help(help), span);
    }

    /// Whether anything forbids using the file.
    pub(super) fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// The line, from 1, on which `offset` stands.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.file.line_column(offset).0
    }

    /// The bytes of the file that hold `part` of a string; the whole string where escapes make that unclear.
    pub(super) fn inside(&self, text: &Text<'_>, part: Range<usize>) -> Range<usize> {
        let raw = self.file.text().get(text.span.clone()).unwrap_or_default();
        match raw.find(text.text) {
            Some(quote) if !text.text.is_empty() => {
                let start = text.span.start + quote;
                start + part.start.min(text.text.len())..start + part.end.min(text.text.len())
            }
            _ => text.span.clone(),
        }
    }

    /// The string in `value`, or an error that says what `of` must be.
    pub(super) fn text<'d>(&mut self, value: &'d Value<'d>, of: &str) -> Option<Text<'d>> {
        match value.get_ref() {
            DeValue::String(text) => Some(Text { text, span: value.span() }),
            other => self.wrong_kind(of, "a string", other, value.span()),
        }
    }

    /// The strings in `value`, which is one string or a list of them.
    pub(super) fn texts<'d>(&mut self, value: &'d Value<'d>, of: &str) -> Option<Vec<Text<'d>>> {
        match value.get_ref() {
            DeValue::String(text) => Some(vec![Text { text, span: value.span() }]),
            DeValue::Array(items) => {
                let texts: Vec<_> = items.iter().filter_map(|item| self.text(item, of)).collect();
                Some(texts)
            }
            other => self.wrong_kind(of, "a string or a list of strings", other, value.span()),
        }
    }

    /// A section over `table` with these `keys`, called `name` in messages.
    pub(super) fn open<'d>(
        &mut self,
        name: &str,
        keys: &'static Table,
        table: &'d DeTable<'d>,
        span: Range<usize>,
    ) -> Section<'d> {
        self.links.push(self.file, span.clone(), keys.docs);
        for (key, value) in table {
            let docs = keys.docs_of(key.get_ref());
            self.links.push(self.file, key.span().start..value.span().end.max(key.span().end), docs);
        }
        Section::new(name, span, keys, table)
    }

    /// The table in `value` as a section with these `keys`, called `name` in messages.
    pub(super) fn section<'d>(
        &mut self,
        value: &'d Value<'d>,
        name: &str,
        keys: &'static Table,
    ) -> Option<Section<'d>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(self.open(name, keys, table, value.span())),
            other => self.wrong_kind(name, "a table", other, value.span()),
        }
    }

    /// The tables of a `[[name]]`.
    fn sections<'d>(&mut self, value: &'d Value<'d>, name: &str, keys: &'static Table) -> Vec<Section<'d>> {
        match value.get_ref() {
            DeValue::Array(items) => items.iter().filter_map(|item| self.section(item, name, keys)).collect(),
            other => {
                let expected = format!("a list of tables, each headed `[[{name}]]`");
                self.wrong_kind::<()>(name, &expected, other, value.span());
                Vec::new()
            }
        }
    }

    /// Reports a value of the wrong kind; always `None`.
    pub(super) fn wrong_kind<T>(
        &mut self,
        of: &str,
        expected: &str,
        found: &DeValue<'_>,
        span: Range<usize>,
    ) -> Option<T> {
        let message = format!("`{of}` is {}", kind_of(found));
        self.push(Diagnostic::error(message).label(format!("expected {expected}")), span);
        None
    }
}

/// Reports a name that is none of `allowed`, with the nearest of them.
pub(super) fn unknown_name(
    reading: &mut Reading<'_>,
    message: &str,
    found: &str,
    span: Range<usize>,
    allowed: &[&str],
) {
    let mut finding = Diagnostic::error(message).label(format!("allowed: {}", allowed.join(", ")));
    if let Some(near) = nearest(found, allowed.iter().copied()) {
        finding = finding.help(format!("did you mean `{near}`?"));
    }
    reading.push(finding, span);
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
