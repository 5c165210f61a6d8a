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
    let divides = Some(separator.trim()).filter(|trimmed| !trimmed.is_empty()).unwrap_or(separator);
    let mut joined = String::with_capacity(length.saturating_sub(separator.len()));
    for (at, item) in items().enumerate() {
        if at > 0 {
            joined.push_str(separator);
        }
        match (contains, ambiguity(item, divides)) {
            (Contains::Percent, _) => joined.push_str(&escape(item, separator)),
            (Contains::Quote, why) if why.is_some() || item.contains(['"', '\\']) => quote(item, &mut joined),
            (Contains::Deny, Some(why)) => return Err(Trouble::Unencodable(why)),
            (Contains::Deny | Contains::Quote, _) => joined.push_str(item),
        }
    }
    Ok(joined)
}

/// Why an element would not arrive as it is, where what `divides` elements does so with or without spaces around.
fn ambiguity(item: &str, divides: &str) -> Option<&'static str> {
    let is_divided = match divides.as_bytes() {
        [byte] => memchr(*byte, item.as_bytes()).is_some(),
        _ => item.contains(divides),
    };
    if item.is_empty() {
        Some("an element is empty")
    } else if is_divided {
        Some("an element contains the separator")
    } else if has_edge_space(item) {
        Some("an element begins or ends with a space")
    } else {
        None
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

    proptest! {
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
