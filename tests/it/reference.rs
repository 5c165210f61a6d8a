//! The reference tables, the pages and the schemas that are made of them, and the files that people write by them.
//!
//! `UPDATE_DOCS=1 cargo test --test it reference` writes the schemas and the tables of keys in `docs/` anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use boon::{Compiler, SchemaIndex, Schemas};
use lychgate::reference::{FILES, File, Key, Kind, Need, Table, policy, schema};
use serde_json::Value;

const REGENERATE: &str = "`UPDATE_DOCS=1 cargo test --test it reference` writes it anew";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares a file with what it must hold, or writes it.
fn compare(path: &str, expected: &str) {
    let path = root().join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{} is not what src/reference says: {REGENERATE}", path.display());
}

/// Every TOML file below a folder.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A file as JSON; none when it is no TOML.
fn json(text: &str) -> Option<Value> {
    serde_json::to_value(dates_as_texts(toml::Value::Table(text.parse().ok()?))).ok()
}

/// Dates as editors hand them to a schema.
fn dates_as_texts(value: toml::Value) -> toml::Value {
    match value {
        toml::Value::Datetime(moment) => toml::Value::String(moment.to_string()),
        toml::Value::Array(items) => items.into_iter().map(dates_as_texts).collect::<Vec<_>>().into(),
        toml::Value::Table(members) => {
            members.into_iter().map(|(name, value)| (name, dates_as_texts(value))).collect::<toml::Table>().into()
        }
        other => other,
    }
}

fn file(name: &str) -> &'static File {
    FILES.iter().find(|file| file.name == name).unwrap()
}

/// A compiled schema.
struct Validator {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Validator {
    fn of(file: &File) -> Self {
        let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
        compiler.add_resource(file.schema, schema(file)).unwrap();
        let index = compiler.compile(file.schema, &mut schemas).unwrap_or_else(|error| panic!("{error:#}"));
        Self { schemas, index }
    }

    /// What is wrong with a value.
    fn refuses(&self, value: &Value) -> Option<String> {
        self.schemas.validate(value, self.index).err().map(|error| format!("{error:#}"))
    }
}

#[test]
fn the_schemas_that_are_checked_in_are_those_of_the_reference() {
    for file in FILES {
        compare(&format!("docs/schema/{}", file.schema), &format!("{:#}\n", schema(file)));
    }
}

#[test]
fn every_file_that_can_be_used_is_valid_under_its_schema() {
    let (gateway, policy) = (Validator::of(file("gateway")), Validator::of(file("policy")));
    let definitions = Validator::of(file("definitions"));
    let mut counts = (0, 0);
    for path in ["policies", "examples", "deploy", "tests/data/configs/good", "tests/data/policies/good"]
        .into_iter()
        .flat_map(files)
    {
        let value = json(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let is_gateway = path.ends_with("lychgate.toml") || path.starts_with(root().join("tests/data/configs"));
        let is_shared = path.parent().is_some_and(|folder| folder.ends_with("shared"));
        let validator = if is_gateway {
            &gateway
        } else if is_shared {
            &definitions
        } else {
            &policy
        };
        *(if is_gateway { &mut counts.0 } else { &mut counts.1 }) += 1;
        if let Some(error) = validator.refuses(&value) {
            panic!("{}: {error}", path.display());
        }
    }
    assert!(counts.0 >= 5 && counts.1 >= 8, "{counts:?}");
}

#[test]
fn every_file_with_an_unknown_key_or_a_wrong_kind_is_invalid_under_its_schema() {
    for (name, folder, least) in [("gateway", "tests/data/configs/bad", 12), ("policy", "tests/data/policies/bad", 10)]
    {
        let validator = Validator::of(file(name));
        let mut count = 0;
        for path in files(folder) {
            let text = std::fs::read_to_string(&path).unwrap();
            let Some(value) = json(&text) else { continue };
            let errors: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("# error: ")).collect();
            if errors.iter().any(|error| is_about_form(error)) {
                count += 1;
                assert!(validator.refuses(&value).is_some(), "{} is valid: {errors:#?}", path.display());
            }
        }
        assert!(count >= least, "only {count} files in {folder}");
    }
}

/// Whether an error is one that a schema can see: the key or the kind of a value.
fn is_about_form(error: &str) -> bool {
    let kinds = [
        "a string",
        "a number",
        "a truth value",
        "a list",
        "a table",
        "an integer",
        "a float",
        "a boolean",
        "a date",
        "a fraction",
    ];
    error.contains("unknown key") || kinds.iter().any(|kind| error.ends_with(&format!("is {kind}")))
}

#[test]
fn names_of_tables_tell_them_apart() {
    for file in FILES {
        let mut names = BTreeSet::new();
        for table in file.top.all() {
            assert!(names.insert(table.name), "two tables of {} are called `{}`", file.name, table.name);
            let keys: BTreeSet<&str> = table.key_names().into_iter().collect();
            assert_eq!(keys.len(), table.keys.len(), "`{}` has a key twice", table.name);
        }
    }
}

/// What a heading's anchor is on the common platforms.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars().filter_map(|character| match character {
        ' ' => Some('-'),
        '-' | '_' => Some(character),
        _ if character.is_alphanumeric() => Some(character.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

#[test]
fn every_link_of_the_reference_leads_to_a_heading() {
    let mut seen = BTreeSet::from([policy::EXPRESSIONS_AT]);
    for table in FILES.iter().flat_map(|file| file.top.all()) {
        seen.extend(table.keys.iter().filter_map(|key| key.docs).chain([table.docs]));
    }
    for link in &seen {
        let (page, wanted) = link.split_once('#').unwrap();
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        assert!(text.lines().any(|line| line.starts_with('#') && anchor(line) == wanted), "{link} is no heading");
    }
    assert!(seen.len() > 12, "{seen:?}");
}

const END: &str = "<!-- end of keys -->\n";

/// The page with its tables of keys as the reference has them, and the names of those tables.
fn page(text: &str) -> (String, Vec<&'static Table>) {
    let mut made = String::new();
    let mut shown = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<!-- keys: ") {
        let (mark, after) =
            after.split_once(" -->\n").unwrap_or_else(|| panic!("a mark ends with ` -->`: {after:.40}"));
        let (_, after) = after.split_once(END).unwrap_or_else(|| panic!("`{mark}` has no end"));
        let table = table_named(mark);
        made.push_str(&format!(
            "{before}<!-- keys: {mark} -->\n\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n"
        ));
        rows("", table, &mut made, &mut shown);
        made.push_str(&format!("\n{END}"));
        rest = after;
    }
    made.push_str(rest);
    (made, shown)
}

/// The table that a mark means: `policy app`, `gateway top`.
fn table_named(mark: &str) -> &'static Table {
    let (kind, name) = mark.split_once(' ').unwrap_or_else(|| panic!("`{mark}` is not `KIND TABLE`"));
    let mut tables = file(kind).top.all();
    tables.push(&policy::HEADER);
    let name = if name == "top" { "" } else { name };
    tables.into_iter().find(|table| table.name == name).unwrap_or_else(|| panic!("there is no table `{mark}`"))
}

/// The rows of a table, and below a key the rows of the table that it holds where both are documented in one place.
fn rows(prefix: &str, table: &'static Table, made: &mut String, shown: &mut Vec<&'static Table>) {
    shown.push(table);
    for key in table.keys {
        let name = format!("{prefix}{}", key.name);
        made.push_str(&row(&name, key, table));
        let inner = key.kind.table().filter(|inner| inner.docs == table.docs && !matches!(key.kind, Kind::Tables(_)));
        if let Some(inner) = inner {
            rows(&format!("{name}."), inner, made, shown);
        }
    }
    if let Some(names) = &table.names {
        made.push_str(&format!(
            "| `{prefix}{}` | {} | | {} |\n",
            names.called,
            cell(&names.kind.to_string()),
            cell(names.text)
        ));
    }
}

fn row(name: &str, key: &Key, table: &Table) -> String {
    let default = match key.need {
        _ if table.one_of.contains(&key.name) => " one of these".to_owned(),
        Need::Required => " required".to_owned(),
        Need::Optional => String::new(),
        Need::Default(value) => format!(" `{value}`"),
        Need::Otherwise(words) => format!(" {words}"),
    };
    let words = if let Kind::Words(words) = key.kind { words } else { &[] };
    let words = words.iter().filter(|word| !word.text.is_empty());
    let words: Vec<String> = words.map(|word| format!("`\"{}\"`: {}", word.word, word.text)).collect();
    let words = if words.is_empty() { String::new() } else { format!(" {}.", words.join("; ")) };
    format!("| `{name}` | {} |{} | {}{} |\n", cell(&key.kind.to_string()), cell(&default), cell(key.text), cell(&words))
}

/// A text that does not end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn the_tables_of_keys_in_the_pages_are_those_of_the_reference() {
    let mut all = Vec::new();
    for path in ["docs/configuration.md", "docs/policy.md"] {
        let (made, shown) = page(&std::fs::read_to_string(root().join(path)).unwrap());
        compare(path, &made);
        all.extend(shown);
    }
    for table in FILES.iter().flat_map(|file| file.top.all()) {
        let forms = policy::HEADER_FORMS.iter().any(|(_, form)| std::ptr::eq(*form, table));
        let only_names = table.keys.is_empty();
        let is_shown = all.iter().any(|shown| std::ptr::eq(*shown, table));
        assert!(forms || only_names || is_shown, "no page shows the keys of `{}`", table.name);
    }
}
