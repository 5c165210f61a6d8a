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
    for (name, entry) in entries::ENTRIES {
        let folder = format!("seeds/{name}");
        let seeds = names(&folder);
        assert!(seeds.len() >= 3, "{name} has {} seeds", seeds.len());
        for seed in seeds {
            entry(&std::fs::read(fuzz().join(&folder).join(seed)).unwrap());
        }
    }
}

#[test]
fn t01_every_entry_is_a_target_and_every_folder_of_seeds_an_entry() {
    let mut known: Vec<String> = entries::ENTRIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    known.sort();
    assert_eq!(names("seeds"), known);
    let targets: Vec<String> = known.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names("fuzz_targets"), targets);
}
