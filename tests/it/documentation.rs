//! The documentation says what is so: its links lead somewhere, its log codes exist, its open points are named.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

fn files(folder: &Path, extension: &str, deep: bool, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() && deep {
            files(&path, extension, deep, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

fn source_text(folders: &[&str]) -> String {
    let mut found = Vec::new();
    folders.iter().for_each(|folder| files(&root().join(folder), "rs", true, &mut found));
    found.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// The targets of `[text](target)`, without anchors and other sites.
fn relative_links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    let files = targets.map(|target| target.split_once('#').map_or(target, |(file, _)| file));
    files.filter(|file| !file.is_empty() && !file.contains("://")).collect()
}

#[test]
fn every_relative_link_leads_to_a_file() {
    let mut pages = Vec::new();
    files(root(), "md", false, &mut pages);
    ["docs", "policies"].iter().for_each(|folder| files(&root().join(folder), "md", true, &mut pages));
    let mut seen = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in relative_links(&text) {
            let target = page.parent().unwrap().join(link);
            assert!(target.exists(), "{} links to {link}, which does not exist", page.display());
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} links were found");
}

#[test]
fn every_reason_in_the_log_page_is_a_code_of_the_gateway() {
    let page = read("docs/access-log.md");
    let table = page.split_once("| `reason` | |").unwrap().1.split_once("\n\n").unwrap().0;
    let codes: Vec<&str> = table
        .lines()
        .filter_map(|line| line.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert!(codes.len() > 30, "{codes:?}");
    let source = source_text(&["src"]);
    for code in codes {
        assert!(source.contains(&format!("\"{code}\"")), "`{code}` is not in the source");
    }
}

/// The ids of behaviours in a text: one of the checklist's letters and two digits.
fn ids(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric());
    let is_id = |word: &&str| {
        word.len() == 3
            && word.starts_with(['R', 'L', 'H', 'S', 'P', 'O', 'C', 'D', 'T'])
            && word.bytes().skip(1).all(|byte| byte.is_ascii_digit())
    };
    words.filter(is_id).map(str::to_owned).collect()
}

#[test]
fn every_id_in_the_threat_model_is_in_a_test_or_said_to_be_open() {
    let page = read("docs/threat-model.md");
    let (answered, open) = page.split_once("## Open").unwrap();
    let open = ids(open);
    let tests = source_text(&["src", "tests", "examples"]);
    for id in ids(answered) {
        let name = format!("fn {}_", id.to_lowercase());
        assert!(tests.contains(&name) || open.contains(&id), "{id} has no test and is not said to be open");
    }
}

/// The cells of a line of a table.
fn cells(line: &str) -> Vec<&str> {
    let inner = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')).unwrap_or_default();
    inner.split('|').map(str::trim).collect()
}

/// The rows of all tables whose last column is headed `column`: first cell and last cell.
fn rows_with<'a>(page: &'a str, column: &str) -> Vec<(&'a str, &'a str)> {
    let (mut rows, mut width) = (Vec::new(), 0);
    for line in page.lines() {
        let cells = cells(line);
        match (cells.as_slice(), width) {
            ([_, .., last], _) if *last == column => width = cells.len(),
            (_, 0) | ([_], _) => width = 0,
            ([first, ..], _) if first.starts_with("---") => {}
            ([first, .., last], _) => {
                assert_eq!(cells.len(), width, "this row has another number of cells: {line}");
                rows.push((*first, *last));
            }
            _ => width = 0,
        }
    }
    rows
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_row_of_the_threat_model_names_a_test_that_exists() {
    let page = read("docs/threat-model.md");
    let tests = source_text(&["src", "tests", "examples"]);
    let rows = rows_with(&page, "shown by");
    assert!(rows.len() > 60, "{} rows", rows.len());
    for (threat, shown) in rows {
        assert!(quoted(shown).count() > 0, "no test is named for: {threat}");
        for name in quoted(shown) {
            assert!(tests.contains(&format!("fn {name}(")), "`{name}`, named for: {threat}, is no test");
        }
    }
}

#[test]
fn every_table_of_threats_has_tests_and_every_boundary_a_section() {
    let page = read("docs/threat-model.md");
    let heads: Vec<&str> = page.lines().filter(|line| line.starts_with("| threat |")).collect();
    assert!(heads.len() >= 6 && heads.iter().all(|head| head.ends_with("| shown by |")), "{heads:?}");
    let boundaries = page.split_once("| boundary |").unwrap().1.split_once("\n\n").unwrap().0;
    for boundary in boundaries.lines().skip(2).map(|line| cells(line)[0]) {
        let title = boundary[..1].to_uppercase() + &boundary[1..];
        assert!(page.contains(&format!("\n## {title}\n")), "{boundary} has no section");
    }
}
