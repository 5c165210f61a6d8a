// The lists of return addresses, for the unit tests of the type and for the tests of the whole gateway; `tests/system/parts/addresses.mjs` reads
// them in JavaScript.

const HOSTILE: &str = include_str!("return-to-hostile.txt");
const GOOD: &str = include_str!("return-to-good.txt");

fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| !line.starts_with("# ") && !line.is_empty()).map(unescape)
}

/// `\t`, `\n`, `\r`, `\0` and `\u{…}` in the lists stand for the characters themselves; `\\` for a backslash.
fn unescape(line: &str) -> String {
    let (mut out, mut rest) = (String::new(), line);
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let hexadecimal = after.strip_prefix("u{").and_then(|after| after.split_once('}'));
        rest = after.get(1..).unwrap_or_default();
        match (after.chars().next(), hexadecimal) {
            (Some('t'), _) => out.push('\t'),
            (Some('n'), _) => out.push('\n'),
            (Some('r'), _) => out.push('\r'),
            (Some('0'), _) => out.push('\0'),
            (Some('\\'), _) => out.push('\\'),
            (_, Some((digits, after))) => {
                out.push(char::from_u32(u32::from_str_radix(digits, 16).unwrap()).unwrap());
                rest = after;
            }
            _ => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out + rest
}

/// What browsers make of a good address: the URL standard escapes the single quote in queries ("special-query percent-encode set"), and nothing
/// else that may stand in one.
fn as_browsers_write(address: &str) -> String {
    match address.split_once('?') {
        Some((path, query)) => format!("{path}?{}", query.replace('\'', "%27")),
        None => address.to_owned(),
    }
}
