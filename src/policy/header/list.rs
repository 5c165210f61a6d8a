//! A list in one value: its elements joined so that the application takes it apart into the same ones.
//!
//! May touch: nothing. Trust boundary: elements come from claims and requests.
//! Specification: RFC 9110 section 5.6.4 (quoted-string).

use memchr::memchr;

use super::Trouble;
use crate::policy::encode::{has_edge_space, percent_with};
use crate::policy::expression::Failure;

/// What happens to an element that the application could take for something else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::policy) enum Contains {
    /// The request is denied.
    #[default]
    Deny,
    /// The separator, `%` and spaces at the ends are percent-encoded in every element.
    Percent,
    /// The element becomes a quoted-string.
    Quote,
}

/// Joins a list's elements. An empty list is a missing value.
pub(super) fn join(items: &[impl AsRef<str>], separator: &str, contains: Contains) -> Result<String, Trouble> {
    if items.is_empty() {
        return Err(Trouble::Failure(Failure::Absent("an element".to_owned())));
    }
    let items = || items.iter().map(AsRef::as_ref);
    let length: usize = items().map(|item: &str| item.len() + separator.len()).sum();
    let mut joined = String::with_capacity(length.saturating_sub(separator.len()));
    for (at, item) in items().enumerate() {
        if at > 0 {
            joined.push_str(separator);
        }
        match (contains, ambiguity(item, separator)) {
            (Contains::Percent, _) => joined.push_str(&escape(item, separator)),
            (Contains::Quote, why) if why.is_some() || item.contains(['"', '\\']) => quote(item, &mut joined),
            (Contains::Deny, Some(why)) => return Err(Trouble::Unencodable(why)),
            (Contains::Deny | Contains::Quote, _) => joined.push_str(item),
        }
    }
    Ok(joined)
}

/// Why an element would not arrive as it is.
fn ambiguity(item: &str, separator: &str) -> Option<&'static str> {
    if item.is_empty() {
        Some("an element is empty")
    } else if moves(item, separator) {
        Some("an element contains the separator, or a part of it at an end")
    } else if has_edge_space(item) {
        Some("an element begins or ends with a space")
    } else {
        None
    }
}

/// Whether the separator is found elsewhere than behind and before the element, by an application that looks from the left or from the
/// right, and for the separator with or without the spaces around it. `||` behind `a|` is found one sign too early.
fn moves(item: &str, separator: &str) -> bool {
    let bare = Some(separator.trim()).filter(|bare| !bare.is_empty()).unwrap_or(separator);
    match bare.as_bytes() {
        [byte] => memchr(*byte, item.as_bytes()).is_some(),
        _ => {
            let spaces = separator.find(bare).unwrap_or_default();
            let from_the_left = format!("{item}{separator}").find(bare);
            let from_the_right = format!("{separator}{item}").rfind(bare);
            from_the_left != Some(item.len() + spaces) || from_the_right != Some(spaces)
        }
    }
}

fn quote(item: &str, out: &mut String) {
    out.push('"');
    for character in item.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
}

/// Percent-encodes the separator, `%` and, at the ends, spaces; other characters are the encoding's matter.
fn escape(item: &str, separator: &str) -> String {
    let mut out = String::with_capacity(item.len());
    let inner = item.trim_matches(' ');
    let mut start = item.len() - item.trim_start_matches(' ').len();
    if inner.is_empty() {
        start = 0;
    }
    for (at, character) in item.char_indices() {
        let edge = character == ' ' && (at < start || at >= start + inner.len());
        if edge || character == '%' || separator.contains(character) {
            let mut buffer = [0; 4];
            out.push_str(&percent_all(character.encode_utf8(&mut buffer)));
        } else {
            out.push(character);
        }
    }
    out
}

fn percent_all(text: &str) -> String {
    percent_with(text, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn joined(items: &[&str], separator: &str, contains: Contains) -> Option<String> {
        let items: Vec<String> = items.iter().map(|item| (*item).to_owned()).collect();
        join(&items, separator, contains).ok()
    }

    /// Takes a list of quoted-strings and plain elements apart.
    fn unquoted(text: &str, separator: char) -> Vec<String> {
        let (mut items, mut quoted, mut escaped) = (vec![String::new()], false, false);
        for character in text.chars() {
            match character {
                _ if escaped => {
                    items.last_mut().unwrap().push(character);
                    escaped = false;
                }
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                _ if character == separator && !quoted => items.push(String::new()),
                _ => items.last_mut().unwrap().push(character),
            }
        }
        items
    }

    /// Takes a list apart whose separator has several characters: at each place a quoted-string, else what comes before the separator.
    fn quoted_parts(text: &str, separator: &str) -> Vec<String> {
        let (mut items, mut rest) = (Vec::new(), text);
        loop {
            let (item, after) = match rest.strip_prefix('"') {
                None => {
                    let end = rest.find(separator).unwrap_or(rest.len());
                    (rest[..end].to_owned(), &rest[end..])
                }
                Some(inner) => {
                    let mut escaped = false;
                    let end = inner.find(|character| {
                        let ends = character == '"' && !escaped;
                        escaped = character == '\\' && !escaped;
                        ends
                    });
                    let end = end.unwrap();
                    (unquoted(&rest[..end + 2], '\0').remove(0), &inner[end + 1..])
                }
            };
            items.push(item);
            match after.strip_prefix(separator) {
                Some(after) => rest = after,
                None => return items,
            }
        }
    }

    #[test]
    fn s06_an_element_is_quoted_where_it_could_be_taken_for_something_else() {
        let quoted = |items: &[&str], separator: &str| joined(items, separator, Contains::Quote).unwrap();
        assert_eq!(quoted(&["a", "b c", "d,e"], ","), r#"a,b c,"d,e""#);
        assert_eq!(quoted(&["a\"b", "c\\d", " e", ""], ", "), r#""a\"b", "c\\d", " e", """#);
        assert_eq!(quoted(&["a;b", "a,b"], ";"), r#""a;b";a,b"#);
        assert_eq!(joined(&[], ",", Contains::Quote), None, "an empty list is a missing value");
        for item in ["a,b", "", " a", "a "] {
            assert_eq!(joined(&["x", item], ",", Contains::Deny), None, "{item:?}");
        }
    }

    #[test]
    fn s06_a_separator_that_an_element_could_move_is_denied_or_quoted() {
        for (separator, items) in [
            ("||", ["admin|", "b"]),
            ("||", ["admin", "|b"]),
            ("::", ["a:", "b"]),
            ("--", ["a", "-b"]),
            (" || ", ["admin|", "b"]),
            ("aba", ["x", "ba"]),
            ("||", ["|", "b"]),
        ] {
            let found = joined(&items, separator, Contains::Deny);
            // Between spaces nothing can be moved.
            assert_eq!(found.is_some(), separator.contains(' '), "{separator:?} {items:?} {found:?}");
        }
        assert_eq!(joined(&["admin|", "b"], "||", Contains::Quote).unwrap(), r#""admin|"||b"#);
        assert_eq!(joined(&["a|b", "c-d"], "||", Contains::Deny).unwrap(), "a|b||c-d");
    }

    /// What applications make of a joined text: parts from the left, parts from the right, with or without the spaces of the separator.
    fn readings<'t>(text: &'t str, separator: &str) -> [Vec<&'t str>; 4] {
        let bare = Some(separator.trim()).filter(|bare| !bare.is_empty()).unwrap_or(separator);
        let trim = |parts: Vec<&'t str>| parts.into_iter().map(|part| part.trim_matches(' ')).collect::<Vec<_>>();
        let backwards = |separator: &str| {
            let mut parts: Vec<&str> = text.rsplit(separator).collect();
            parts.reverse();
            parts
        };
        let forwards = |separator: &str| text.split(separator).collect::<Vec<_>>();
        [forwards(separator), backwards(separator), trim(forwards(bare)), trim(backwards(bare))]
    }

    proptest! {
        #[test]
        fn s06_however_an_application_divides_a_list_it_finds_the_same_elements(
            separator in "[|:a ]{1,3}", items in proptest::collection::vec("[|:ab ]{0,3}", 1..5),
        ) {
            if let Ok(text) = join(&items, &separator, Contains::Deny) {
                for parts in readings(&text, &separator) {
                    prop_assert_eq!(&parts, &items, "{:?} {:?}", separator, text);
                }
            }
        }

        #[test]
        fn s06_a_quoted_list_hides_no_end_of_an_element(
            separator in "[|:a]{1,3}", items in proptest::collection::vec("[|:ab\"]{0,3}", 1..5),
        ) {
            let text = join(&items, &separator, Contains::Quote).ok().unwrap();
            prop_assert_eq!(quoted_parts(&text, &separator), items, "{:?} {:?}", separator, text);
        }

        #[test]
        fn t02_a_joined_list_is_taken_apart_into_the_same_elements(items in proptest::collection::vec("[a-c ,;\"\\\\%]{0,5}|\\PC{0,4}", 1..5)) {
            for separator in [',', ';', ' '] {
                let text = separator.to_string();
                let quoted = join(&items, &text, Contains::Quote).ok().unwrap();
                prop_assert_eq!(unquoted(&quoted, separator), items.clone());
                let escaped = join(&items, &text, Contains::Percent).ok().unwrap();
                let unescaped = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8().unwrap().into_owned();
                prop_assert_eq!(escaped.split(separator).map(unescaped).collect::<Vec<_>>(), items.clone());
                if let Ok(plain) = join(&items, &text, Contains::Deny) {
                    prop_assert_eq!(plain.split(separator).collect::<Vec<_>>(), items.clone());
                }
            }
        }
    }
}
