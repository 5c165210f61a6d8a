//! The rooms of `src/` and who may know whom, read from the source itself.
//!
//! The layers are those of the table in `src/lib.rs`. A room may use rooms of lower layers; of its own layer only where a
//! line below says so and why.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Uses within a layer: the room, whom it knows, and what for.
const SAME_LAYER: &[(&str, &str, &str)] = &[
    ("snapshot", "oidc", "an application holds its provider"),
    ("snapshot", "upstream", "an application holds its servers"),
    ("app", "server", "the composition root"),
    ("cli", "app", "commands start it"),
    ("cli", "lifecycle", "commands wait for signals"),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every Rust file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(path);
        }
    }
    all
}

/// Room and layer, from the table in `lib.rs`.
fn layers() -> BTreeMap<String, u8> {
    let text = std::fs::read_to_string(source().join("lib.rs")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | ")?.split_once(" | "));
    let rooms = rows.filter_map(|(layer, rooms)| Some((layer.parse::<u8>().ok()?, rooms)));
    rooms
        .flat_map(|(layer, rooms)| {
            let names = rooms.split('`').skip(1).step_by(2);
            names.map(move |name| (name.to_owned(), layer)).collect::<Vec<_>>()
        })
        .collect()
}

/// The room that a file belongs to; none for `lib.rs` and `main.rs`.
fn room(path: &Path) -> Option<String> {
    let relative = path.strip_prefix(source()).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!["lib", "main"].contains(&name)).then(|| name.to_owned())
}

/// The text without comments, so that documentation may point anywhere.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The rooms behind `crate::`, in paths and in lists (`use crate::{a, b::c};`).
fn used(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            Some(list) => rooms.extend(listed(list)),
            None => drop(rooms.insert(name(after))),
        }
    }
    rooms
}

fn name(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// The first names of a list's elements, up to its closing brace.
fn listed(list: &str) -> Vec<String> {
    let (mut depth, mut element, mut names) = (0_u32, String::new(), Vec::new());
    for letter in list.chars() {
        match letter {
            '}' if depth == 0 => break,
            ',' if depth == 0 => names.push(name(std::mem::take(&mut element).trim())),
            _ => {
                depth = depth + u32::from(letter == '{') - u32::from(letter == '}');
                element.push(letter);
            }
        }
    }
    names.push(name(element.trim()));
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn imports_go_downwards_only() {
    let layers = layers();
    let mut wrong = Vec::new();
    let mut known_neighbours = BTreeSet::new();
    for path in files(&source()) {
        let Some(room) = room(&path) else { continue };
        let Some(own) = layers.get(&room) else { panic!("the table in src/lib.rs has no room `{room}`") };
        for other in used(&code(&std::fs::read_to_string(&path).unwrap())) {
            let Some(theirs) = layers.get(&other) else { panic!("{}: `crate::{other}` is no room", path.display()) };
            let neighbours = SAME_LAYER.iter().any(|(from, to, _)| (*from, *to) == (room.as_str(), other.as_str()));
            if other != room && theirs >= own {
                if theirs == own && neighbours {
                    known_neighbours.insert((room.clone(), other));
                } else {
                    wrong.push(format!("{}: layer {own} uses `{other}` of layer {theirs}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (from, to, why) in SAME_LAYER {
        let stands = known_neighbours.contains(&((*from).to_owned(), (*to).to_owned()));
        assert!(stands, "nothing in `{from}` uses `{to}` any more ({why}): take the line away");
    }
}

#[test]
fn the_table_has_every_room_and_no_other() {
    let rooms: BTreeSet<String> = files(&source()).iter().filter_map(|path| room(path)).collect();
    assert_eq!(layers().into_keys().collect::<BTreeSet<_>>(), rooms);
    let declared = std::fs::read_to_string(source().join("lib.rs")).unwrap();
    let declared = declared.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    assert_eq!(declared.map(str::to_owned).collect::<BTreeSet<_>>(), rooms);
}

#[test]
fn r17_the_room_that_logs_knows_no_secret_type() {
    let all = files(&source());
    let logging: Vec<_> = all.iter().filter(|path| room(path).as_deref() == Some("observe")).collect();
    assert!(logging.len() > 1);
    for path in logging {
        let code = code(&std::fs::read_to_string(path).unwrap());
        for forbidden in ["secrecy", "crypto", "Secret", "expose", "zeroize"] {
            assert!(!code.contains(forbidden), "{}: {forbidden}", path.display());
        }
    }
}

#[test]
fn only_the_command_line_prints_or_ends_the_process() {
    for path in files(&source()).iter().filter(|path| room(path).is_some_and(|room| room != "cli")) {
        let code = code(&std::fs::read_to_string(path).unwrap());
        for forbidden in ["println!", "eprint!", "eprintln!", "print!(", "process::exit", "process::abort"] {
            assert!(!code.contains(forbidden), "{}: {forbidden}", path.display());
        }
    }
}

#[test]
fn rooms_without_input_and_output_have_none() {
    for path in files(&source()) {
        let Some(room) = room(&path) else { continue };
        if ["http", "crypto", "claims", "policy", "session", "forward", "pages"].contains(&room.as_str()) {
            let code = code(&std::fs::read_to_string(&path).unwrap());
            let code = code.split("#[cfg(test)]").next().unwrap();
            let of_tests = path.parent().is_some_and(|folder| folder.ends_with("tests"));
            if of_tests || path.file_stem().is_some_and(|stem| stem == "tests") {
                continue;
            }
            for forbidden in ["std::fs", "std::net::Tcp", "tokio::", "std::env"] {
                assert!(!code.contains(forbidden), "{}: {forbidden}", path.display());
            }
        }
    }
}

#[test]
fn t04_there_is_no_unsafe_code_and_no_target_can_have_any() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(
        manifest.contains("[lints.rust]\nunsafe_code = \"forbid\""),
        "the lint holds for every target of the package"
    );
    for folder in ["src", "examples", "benches", "tests"] {
        for path in files(&root.join(folder)) {
            let code = code(&std::fs::read_to_string(&path).unwrap());
            for form in ["fn", "impl", "trait", "extern", "{"] {
                let found = format!("{} {form}", ["un", "safe"].concat());
                assert!(!code.contains(&found), "{}: {found}", path.display());
            }
        }
    }
}

/// The one place where dependencies come from.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn t04_dependencies_have_one_source_and_what_is_ignored_says_why() {
    let deny = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml")).unwrap();
    let deny: toml::Table = deny.parse().unwrap();
    for switch in ["unknown-registry", "unknown-git"] {
        assert_eq!(deny["sources"][switch].as_str(), Some("deny"), "{switch}");
    }
    assert!(
        deny["sources"].as_table().unwrap().keys().all(|key| key.starts_with("unknown-")),
        "no source is let through"
    );
    for lock in ["Cargo.lock", "fuzz/Cargo.lock"] {
        let lock = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(lock)).unwrap();
        let lock: toml::Table = lock.parse().unwrap();
        let packages = lock["package"].as_array().unwrap();
        let sources = packages.iter().filter_map(|package| package.get("source")?.as_str());
        let (ours, theirs) = sources.partition::<Vec<_>, _>(|source| *source == CRATES_IO);
        assert!(theirs.is_empty() && ours.len() > 100, "{theirs:?}");
    }
    for ignored in deny["advisories"]["ignore"].as_array().unwrap() {
        assert!(ignored["reason"].as_str().is_some_and(|reason| reason.len() > 20), "{ignored}");
    }
}

#[test]
fn t04_a_crate_comes_in_one_version_and_an_exception_says_who_brings_it_and_is_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap().parse::<toml::Table>().unwrap();
    let (deny, lock) = (read("deny.toml"), read("Cargo.lock"));
    assert_eq!(deny["bans"]["multiple-versions"].as_str(), Some("deny"));
    assert!(deny["bans"].get("skip-tree").is_none(), "a tree hides what comes into it later");
    for skipped in deny["bans"]["skip"].as_array().unwrap() {
        let (name, version) = skipped["crate"].as_str().and_then(|text| text.split_once('@')).unwrap();
        let locked =
            lock["package"].as_array().unwrap().iter().filter(|package| package["name"].as_str() == Some(name));
        let versions: Vec<_> = locked.map(|package| package["version"].as_str().unwrap()).collect();
        let of_it = |found: &&&str| found.strip_prefix(version).is_some_and(|rest| rest.starts_with('.'));
        assert_eq!(versions.iter().filter(of_it).count(), 1, "{skipped}: {versions:?}");
        assert!(versions.len() > 1, "{skipped} is the only version by now");
        assert!(skipped["reason"].as_str().is_some_and(|reason| reason.len() > 20), "{skipped}");
    }
}

#[test]
fn every_file_says_what_it_is() {
    for path in files(&source()) {
        let text = std::fs::read_to_string(&path).unwrap();
        let head = text.lines().take_while(|line| line.starts_with("//!")).count();
        assert!(head > 0, "{} does not open with //!", path.display());
    }
}

#[test]
fn nothing_is_named_for_being_left_over() {
    for path in files(&source()) {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            !["utils", "util", "helpers", "helper", "common", "manager", "misc"].contains(&stem),
            "{}",
            path.display()
        );
    }
}

#[test]
fn the_reader_of_uses_reads_every_form() {
    let text = "use crate::http::{a, b};\nuse crate::{clock::Clock, crypto::{x, y}, oidc};\nfn f(x: crate::pages::Page) {}\n// crate::cli\n";
    let expected = ["http", "clock", "crypto", "oidc", "pages"].map(str::to_owned);
    assert_eq!(used(&code(text)), BTreeSet::from(expected));
}
