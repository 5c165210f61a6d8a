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
