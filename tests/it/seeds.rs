//! The fuzz targets' seeds, replayed: what a fuzzer has found once is looked at in every run.

use std::path::{Path, PathBuf};

#[path = "../../fuzz/entries.rs"]
mod entries;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(fuzz().join(folder)).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn t01_every_seed_of_every_target_holds() {
    let mut failing = Vec::new();
    for (name, entry) in entries::ENTRIES {
        let folder = format!("seeds/{name}");
        let seeds = names(&folder);
        assert!(seeds.len() >= 3, "{name} has {} seeds", seeds.len());
        for seed in seeds {
            let bytes = std::fs::read(fuzz().join(&folder).join(&seed)).unwrap();
            if std::panic::catch_unwind(|| entry(&bytes)).is_err() {
                failing.push(format!("{name}/{seed}"));
            }
        }
    }
    assert!(failing.is_empty(), "{failing:?}");
}

#[test]
fn t01_every_entry_is_a_target_and_every_folder_of_seeds_an_entry() {
    let mut known: Vec<String> = entries::ENTRIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    known.sort();
    assert_eq!(names("seeds"), known);
    let targets: Vec<String> = known.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names("fuzz_targets"), targets);
}

/// The targets of each file that reads what others chose, or why it has none.
fn parsers() -> Vec<(String, String)> {
    let table = std::fs::read_to_string(fuzz().join("PARSERS.md")).unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | "));
    rows.map(|(file, targets)| (file.to_owned(), targets.to_owned())).collect()
}

/// What a file says of its trust boundary, to the next thing that such heads say.
fn trust_boundary(text: &str) -> Option<String> {
    let head: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    let head = head.join(" ");
    let said = head.split_once("Trust boundary:")?.1.trim();
    let end = ["Specification", "May touch:", "Bound"].iter().filter_map(|next| said.find(next)).min();
    Some(said[..end.unwrap_or(said.len())].to_owned())
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn t01_every_file_that_reads_what_others_chose_has_a_target_or_says_why_it_has_none() {
    let (root, parsers) = (Path::new(env!("CARGO_MANIFEST_DIR")), parsers());
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    let (mut missing, mut beyond) = (Vec::new(), 0);
    for file in files {
        let Some(said) = trust_boundary(&std::fs::read_to_string(&file).unwrap()) else { continue };
        let theirs = ["stranger", "client", "browser", "application", "provider", "the wire", "anybody"];
        if said.starts_with("none") || !theirs.iter().any(|word| said.contains(word)) {
            continue;
        }
        beyond += 1;
        let name = file.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if !parsers.iter().any(|(known, _)| *known == name) {
            missing.push(name);
        }
    }
    assert!(missing.is_empty() && beyond > 100, "{beyond}: no row in fuzz/PARSERS.md: {missing:#?}");
    for (file, targets) in parsers {
        assert!(root.join(&file).is_file(), "{file} is gone");
        if targets.strip_prefix("none: ").is_some_and(|why| why.len() > 8) {
            continue;
        }
        let known = |target: &str| entries::ENTRIES.iter().any(|(name, _)| format!("`{name}`") == target);
        assert!(!targets.is_empty() && targets.split(' ').all(known), "{file}: {targets}");
    }
}
