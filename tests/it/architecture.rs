//! Rooms are layered and imports go downwards only.
//!
//! The layers are those of the table at the head of `src/lib.rs`; every room stands in it once. A room may name rooms of
//! lower layers; within a layer only the pairs below, each for a reason. Layer 0 is one vocabulary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Who may name whom within a layer.
const SIDEWAYS: &[(&str, &str, &str)] = &[
    ("snapshot", "oidc", "an application holds its provider"),
    ("snapshot", "upstream", "an application holds its targets"),
    ("app", "server", "the composition root puts everything together"),
    ("app", "lifecycle", "the composition root puts everything together"),
    ("cli", "app", "the command line starts the composition root"),
    ("cli", "lifecycle", "the command line waits for signals"),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Each room's layer, read from the table in `src/lib.rs`.
fn layers() -> BTreeMap<String, u32> {
    let text = std::fs::read_to_string(source().join("lib.rs")).unwrap();
    let mut layers = BTreeMap::new();
    for line in text.lines() {
        let mut cells = line.trim_start_matches("//!").split('|').skip(1).map(str::trim);
        let Some(layer) = cells.next().and_then(|cell| cell.parse().ok()) else { continue };
        for room in cells.next().unwrap().split(',') {
            let room = room.trim().trim_start_matches("[`").trim_end_matches("`]").to_owned();
            assert!(layers.insert(room.clone(), layer).is_none(), "{room} stands in two layers");
        }
    }
    layers
}

/// Each Rust file with the room that it belongs to; `lib.rs` and `main.rs` are no rooms.
fn files(folder: &Path, room: Option<&str>, found: &mut Vec<(String, PathBuf)>) {
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let room = room.unwrap_or(&stem);
        if path.is_dir() {
            files(&path, Some(room), found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !["lib", "main"].contains(&room) {
            found.push((room.to_owned(), path));
        }
    }
}

/// The rooms that a file names as `crate::room` or `crate::{room, …}`, outside comments.
fn named(text: &str) -> Vec<String> {
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect();
    let mut rooms = Vec::new();
    for (_, rest) in code.match_indices("crate::").map(|(at, mark)| code.split_at(at + mark.len())) {
        let list = match rest.strip_prefix('{') {
            Some(group) => group.split_once('}').map_or(group, |(group, _)| group),
            None => rest.split(|character: char| !character.is_alphanumeric() && character != '_').next().unwrap(),
        };
        rooms.extend(list.split(',').map(|item| item.trim().split("::").next().unwrap().to_owned()));
    }
    rooms
}

#[test]
fn imports_go_downwards_only() {
    let layers = layers();
    let mut seen = Vec::new();
    files(&source(), None, &mut seen);
    let mut wrong = Vec::new();
    let mut checked = 0;
    for (room, path) in &seen {
        let Some(layer) = layers.get(room) else { panic!("{room} stands in no layer of the table in src/lib.rs") };
        for target in named(&std::fs::read_to_string(path).unwrap()) {
            let Some(below) = layers.get(&target).filter(|_| target != *room) else { continue };
            let sideways =
                below == layer && (*layer == 0 || SIDEWAYS.iter().any(|pair| (pair.0, pair.1) == (room, &target)));
            checked += 1;
            if below >= layer && !sideways {
                wrong.push(format!("{} (layer {layer}) names {target} (layer {below})", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 100, "only {checked} imports were found");
    for room in layers.keys() {
        assert!(seen.iter().any(|(seen, _)| seen == room), "{room} stands in the table and does not exist");
    }
}

#[test]
fn the_reader_of_imports_sees_every_form() {
    let text = "use crate::http::HostName;\n// crate::gateway is a comment\nuse crate::{clock::Clock, crypto};\nlet x = crate::oidc::y();";
    assert_eq!(named(text), ["http", "clock", "crypto", "oidc"]);
}
