//! The text of a file that is no TOML, as far as it may be shown.
//!
//! Nobody can tell there what is a secret: a quote that is missing makes a value of a key, and the lines of a list or of a text begin anywhere.
//! So nothing is shown by its form. What is shown of a line are the names of keys that the gateway knows, and the brackets, dots and commas
//! between them, up to the first equals sign, quote or number sign.
//!
//! May touch: nothing but memory. Trust boundary: none; the text is the administrator's, who reads the message elsewhere (a log, a page).

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use super::{Diagnostic, SourceFile};

/// The most lines whose mistakes are told: a page of HTML that was saved as a policy has one in each of its lines.
const MOST: usize = 20;
/// What is said beside it.
const HELP: &str = "only known keys are shown: in a file that is no TOML nobody can tell what is secret";

/// What keeps a file from being TOML: the first mistake of each line, as what follows on a line comes from its first. The findings share one
/// copy of the text, of which only names that are `known` can be read, and are at most 21; the last counts the lines that are left out.
pub fn findings(path: &Path, text: &str, errors: &[toml::de::Error], known: &BTreeSet<&str>) -> Vec<Diagnostic> {
    let shown = SourceFile::new(path, known_alone(text, known));
    let firsts = first_of_each_line(text, errors);
    let mut told: Vec<_> =
        firsts.iter().take(MOST).map(|(span, error)| (span, error.message().replace('\n', ", "))).collect();
    if let Some((span, _)) = firsts.get(MOST) {
        told.push((span, format!("further lines with a mistake: {}", firsts.len() - MOST)));
    }
    let finding = |(span, what): (&Range<usize>, String)| {
        Diagnostic::error(format!("the file is no TOML: {what}"))
            .help(HELP)
            .at(&shown, shown_at(text, span.start)..shown_at(text, span.end))
    };
    told.into_iter().map(finding).collect()
}

/// The parser tells first what it notices first, wherever on the line that is.
fn first_of_each_line<'e>(text: &str, errors: &'e [toml::de::Error]) -> Vec<(Range<usize>, &'e toml::de::Error)> {
    let mut sorted: Vec<_> = errors.iter().map(|error| (error.span().unwrap_or_default(), error)).enumerate().collect();
    sorted.sort_by_key(|(_, (span, _))| span.start);
    let (mut firsts, mut before): (Vec<(usize, _)>, usize) = (Vec::new(), 0);
    for (order, (span, error)) in sorted {
        let between = text.as_bytes().get(before..span.start).unwrap_or_default();
        before = span.start;
        match firsts.last_mut().filter(|_| !between.contains(&b'\n')) {
            Some(first) if first.0 < order => {}
            Some(first) => *first = (order, (span, error)),
            None => firsts.push((order, (span, error))),
        }
    }
    firsts.into_iter().map(|(_, first)| first).collect()
}

/// Where a byte of the text stands in what is shown of it, which is ASCII: one byte for each character.
fn shown_at(text: &str, offset: usize) -> usize {
    text.char_indices().take_while(|(at, _)| *at < offset).count()
}

/// The text with an asterisk for every character but line ends, known keys, and what stands between those.
fn known_alone(text: &str, known: &BTreeSet<&str>) -> String {
    let mut shown = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (keys, rest) = line.split_at_checked(keys(line, known)).unwrap_or(("", line));
        for part in keys.split_inclusive(|character| !is_name(character)) {
            let name = part.trim_end_matches(|character| !is_name(character));
            let behind = part.strip_prefix(name).unwrap_or_default();
            if known.contains(name) {
                shown.push_str(name)
            } else {
                shown.extend(name.chars().map(|_| '*'))
            }
            shown.push_str(behind);
        }
        shown.extend(rest.chars().map(|character| if matches!(character, '\n' | '\r') { character } else { '*' }));
    }
    shown
}

/// How many bytes of the line are keys, the name of a table, or brackets; none unless the first name is known.
fn keys(line: &str, known: &BTreeSet<&str>) -> usize {
    let cut = line.find(['=', '"', '\'', '#']).unwrap_or(line.trim_end().len());
    let (before, rest) = line.split_at_checked(cut).unwrap_or(("", line));
    let plain = before.chars().all(|one| is_name(one) || matches!(one, ' ' | '\t' | '.' | '[' | ']' | '{' | '}' | ','));
    let first = before.split(|character| !is_name(character)).find(|name| !name.is_empty());
    if !plain || first.is_some_and(|name| !known.contains(name)) {
        return 0;
    }
    match rest.as_bytes().first() {
        Some(b'=') => cut + 1,
        // No key: a table's name, or what opens and closes.
        _ if first.is_none() || before.trim_start().starts_with('[') => cut,
        _ => 0,
    }
}

fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r17_of_a_file_that_is_no_toml_known_keys_are_shown_and_nothing_else() {
        let known = ["issuer", "providers", "rules", "session", "value", "workers"].into();
        for (line, shown) in [
            ("issuer = \"https://idp.example", "issuer =*********************"),
            ("[providers.okta]  # was hunter2", "[providers.****]  *************"),
            ("[[rules]", "[[rules]"),
            ("  ]", "  ]"),
            ("session = [", "session =**"),
            ("session", "*******"),
            ("[providers, hunter2", "[providers, *******"),
            ("  \"5GLxWnunfw=,", "  *************"),
            ("  5GLxWnunfw=,", "**************"),
            ("c2VjcmV0==", "**********"),
            ("hunter2 = 1", "***********"),
            ("[hunter2]", "*********"),
            ("[hunter2,", "*********"),
            ("value =", "value ="),
            ("workers = = 2", "workers =****"),
            ("workers.hunter2=abc", "workers.*******=***"),
            ("\"a key\" = 1", "***********"),
            ("schl\u{fc}ssel = 1", "*************"),
            ("value = \"\"\"\nhunter2 = x\r\n", "value =****\n***********\r\n"),
        ] {
            assert_eq!(known_alone(line, &known), shown, "{line}");
        }
    }
}
