//! What is wrong with a file, where, and what to do: the one shape of every configuration and policy error.
//!
//! A [`Report`] collects all findings of all files, so that they are shown at once; each names its file, line and column,
//! what was found, what is allowed and, where one is near, the name that was probably meant.
//!
//! May touch: nothing but memory; printing is the command line's. Never put a secret's text into a message or label;
//! the source line of a span is shown, so a span must not cover a secret value.

pub mod credentials;
pub mod unparsed;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// A file that was read, kept for showing its lines.
#[derive(Debug)]
pub struct SourceFile {
    path: PathBuf,
    text: String,
}

impl SourceFile {
    /// Keeps `text` as the contents of `path`.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { path: path.into(), text: text.into() })
    }

    /// Where the file lies, as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line and column, both from 1 and the column in characters, of a byte offset.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = self.text.get(..end).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        (line, column)
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The files cannot be used.
    Error,
    /// The files can be used, but probably not as meant.
    Warning,
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What was found, in lower case without a full stop.
    pub message: String,
    /// The file and the bytes in it that are meant.
    pub place: Option<(Arc<SourceFile>, Range<usize>)>,
    /// What was expected there; stands under the line.
    pub label: Option<String>,
    /// What to do next.
    pub help: Option<String>,
    /// Where it is documented: a page and an anchor.
    pub docs: Option<&'static str>,
    /// Whether the line holds a secret: it is named, and not shown.
    pub secret: bool,
}

impl Diagnostic {
    /// An error with no place yet. Of addresses in what is said here and below no user name or password is kept.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: credentials::without(message.into()),
            place: None,
            label: None,
            help: None,
            docs: None,
            secret: false,
        }
    }

    /// A warning with no place yet.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, file: &Arc<SourceFile>, span: Range<usize>) -> Self {
        self.place = Some((Arc::clone(file), span));
        self
    }

    /// Says what was expected.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(credentials::without(label.into()));
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(credentials::without(help.into()));
        self
    }

    /// Says where it is documented.
    #[must_use]
    pub fn docs(mut self, docs: &'static str) -> Self {
        self.docs = Some(docs);
        self
    }

    fn render(&self, renderer: &Renderer) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = match self.place.as_ref().filter(|_| self.secret) {
            Some((file, span)) => {
                let (line, column) = file.line_column(span.start);
                let expected = self.label.iter().map(|label| format!(", {label}")).collect::<String>();
                format!("{}{expected} ({}:{line}:{column})", self.message, file.path().display())
            }
            None => self.message.clone(),
        };
        let mut group = Group::with_title(level.primary_title(title));
        let path = self.place.as_ref().map(|(file, _)| file.path().display().to_string()).unwrap_or_default();
        if let Some((file, span)) = self.place.as_ref().filter(|_| !self.secret) {
            let length = file.text().len();
            let (start, end) = (span.start.min(length), span.end.min(length));
            let mut annotation = AnnotationKind::Primary.span(start..end.max(start));
            if let Some(label) = &self.label {
                annotation = annotation.label(label.as_str());
            }
            group = group.element(Snippet::source(file.text()).path(path.as_str()).annotation(annotation));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let docs = self.docs.map(|docs| format!("see {docs}"));
        if let Some(docs) = &docs {
            group = group.element(Level::NOTE.message(docs.as_str()));
        }
        renderer.render(&[group])
    }
}

/// Which places of files are documented where.
#[derive(Default)]
pub struct Links(Vec<(Arc<SourceFile>, Range<usize>, &'static str)>);

impl Links {
    /// Notes that the bytes `span` of `file` are documented at `docs`.
    pub fn push(&mut self, file: &Arc<SourceFile>, span: Range<usize>, docs: &'static str) {
        self.0.push((Arc::clone(file), span, docs));
    }

    /// Gives a finding that has a place but no link the link of the narrowest noted place around it.
    pub fn add_to(&self, finding: &mut Diagnostic) {
        let Some((file, Range { start, .. })) = finding.place.as_ref().filter(|_| finding.docs.is_none()) else {
            return;
        };
        let around = self
            .0
            .iter()
            .filter(|(other, span, _)| Arc::ptr_eq(file, other) && (span.start == *start || span.contains(start)));
        finding.docs = around.min_by_key(|(_, span, _)| span.len()).map(|(.., docs)| *docs);
    }
}

/// All findings of one reading.
#[derive(Clone, Debug, Default)]
pub struct Report {
    findings: Vec<Diagnostic>,
}

impl Report {
    /// Adds a finding.
    pub fn push(&mut self, finding: Diagnostic) {
        self.findings.push(finding);
    }

    /// Adds a finding, unless the same is there at the same place: a file that several others share is read several times.
    pub fn push_once(&mut self, finding: Diagnostic) {
        let place =
            |finding: &Diagnostic| finding.place.as_ref().map(|(file, span)| (file.path().to_owned(), span.clone()));
        let same = |other: &&Diagnostic| other.message == finding.message && place(other) == place(&finding);
        if !self.findings.iter().any(|other| same(&other)) {
            self.findings.push(finding);
        }
    }

    /// Takes over all findings of another report.
    pub fn append(&mut self, other: Report) {
        self.findings.extend(other.findings);
    }

    /// Whether anything forbids using the files.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// All findings in the order in which they were made.
    pub fn findings(&self) -> &[Diagnostic] {
        &self.findings
    }

    /// All findings, to be changed.
    pub fn into_findings(self) -> Vec<Diagnostic> {
        self.findings
    }

    /// The text for people: every finding with its line underlined, without colours.
    pub fn render(&self) -> String {
        let renderer = Renderer::plain();
        let mut text = String::new();
        for finding in &self.findings {
            text.push_str(&finding.render(&renderer));
            text.push_str("\n\n");
        }
        text
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render())
    }
}

impl std::error::Error for Report {}

/// The candidate nearest to `found`, where one is near enough to be a slip of the finger.
pub fn nearest<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (found.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (edits(&found.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many slips of the finger lie between two words: a character too many, too few or wrong, or two neighbours swapped (optimal string
/// alignment).
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(to) && b.get(j - 1) == Some(from);
            let mut least = at(&row, j) + usize::from(from != to);
            least = least.min(at(&next, j) + 1).min(at(&row, j + 1) + 1);
            if swapped {
                least = least.min(at(&before, j - 1) + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_shows_its_line_and_what_to_do() {
        let file = SourceFile::new("policies/x.toml", "[app]\nhots = [\"a\"]\n");
        let mut report = Report::default();
        report.push(
            Diagnostic::error("unknown key `hots`")
                .at(&file, 6..10)
                .label("allowed: hosts")
                .help("did you mean `hosts`?"),
        );
        let text = report.render();
        for part in ["error: unknown key `hots`", "policies/x.toml:2:1", "^^^^ allowed: hosts", "did you mean `hosts`?"]
        {
            assert!(text.contains(part), "{part} missing in:\n{text}");
        }
        assert!(report.has_errors());
    }

    #[test]
    fn a_line_with_a_secret_is_named_and_not_shown() {
        let file = SourceFile::new("policies/x.toml", "a = 1\npassword = \"hunter2\"\n");
        let error = Diagnostic::error("no password here").at(&file, 17..26).label("expected a file");
        let finding = Diagnostic { secret: true, ..error };
        let mut report = Report::default();
        report.push(finding.docs("docs/policy.md#headers"));
        let text = report.render();
        assert!(text.contains("error: no password here, expected a file (policies/x.toml:2:12)"), "{text}");
        assert!(text.contains("see docs/policy.md#headers") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_finding_gets_the_link_of_the_narrowest_place_around_it() {
        let (file, other) = (SourceFile::new("x", "0123456789"), SourceFile::new("y", "0123456789"));
        let mut links = Links::default();
        links.push(&file, 0..10, "wide");
        links.push(&file, 2..5, "narrow");
        links.push(&other, 2..3, "elsewhere");
        let link = |finding: Diagnostic| {
            let mut finding = finding;
            links.add_to(&mut finding);
            finding.docs
        };
        let at = |span| Diagnostic::error("x").at(&file, span);
        assert_eq!(link(at(3..4)), Some("narrow"));
        assert_eq!(link(at(5..6)), Some("wide"));
        assert_eq!(link(at(3..4).docs("own")), Some("own"));
        assert_eq!(link(Diagnostic::error("x")), None);
    }

    #[test]
    fn lines_and_columns_count_characters() {
        let file = SourceFile::new("x", "aé\nüb");
        assert_eq!(file.line_column(0), (1, 1));
        assert_eq!(file.line_column(6), (2, 2));
        assert_eq!(file.line_column(999), (2, 3));
    }

    #[test]
    fn the_nearest_name_is_suggested_only_when_it_is_near() {
        assert_eq!(nearest("upsteam", ["hosts", "upstream"]), Some("upstream"));
        assert_eq!(nearest("colour", ["hosts", "upstream"]), None);
    }
}
