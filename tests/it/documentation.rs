//! The documentation leads where it says: every relative link in a Markdown file names a file of the tree.

use std::path::{Path, PathBuf};

fn markdown_files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in [root.to_owned(), root.join("docs"), root.join("docs/decisions")] {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        let paths = entries.map(|entry| entry.unwrap().path());
        files.extend(paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    files
}

/// The targets of `[text](target)`, without anchors and other sites.
fn relative_links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    let files = targets.map(|target| target.split_once('#').map_or(target, |(file, _)| file));
    files.filter(|file| !file.is_empty() && !file.contains("://")).collect()
}

#[test]
fn every_relative_link_leads_to_a_file() {
    let files = markdown_files();
    assert!(files.len() >= 5, "{files:?}");
    let mut seen = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for link in relative_links(&text) {
            let target = file.parent().unwrap().join(link);
            assert!(target.exists(), "{} links to {link}, which does not exist", file.display());
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} links were found");
}
