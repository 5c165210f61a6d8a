//! The outcome of policies' tests as JUnit XML, the form that CI servers read.
//!
//! One `testsuite` for each policy, with all attributes and elements that the strictest schema in use asks for (that of Ant's
//! JUnit task), and none that Jenkins' does not know.
//!
//! Trust boundary: names and values come from files of an administrator's; everything is escaped, and what no XML document
//! can hold is replaced.
//! Specification: XML 1.0 sections 2.2 and 2.4.

use std::fmt::Write as _;

use super::tested::{Tested, difference};
use crate::clock::Timestamp;
use crate::policy::TestOutcome;

/// The document; the tests were run at `now`.
pub(in crate::cli) fn document(all: &[Tested], now: Timestamp) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for (id, one) in all.iter().enumerate() {
        suite(id, one, now, &mut out);
    }
    out.push_str("</testsuites>\n");
    out
}

fn suite(id: usize, one: &Tested, now: Timestamp, out: &mut String) {
    let (passed, failed) = one.counts();
    // The schemas want a moment without a zone and without fractions.
    let moment = now.to_string().chars().take("2026-01-01T00:00:00".len()).collect::<String>();
    let _ = writeln!(
        out,
        "  <testsuite id=\"{id}\" name=\"{}\" package=\"policies\" timestamp=\"{moment}\" hostname=\"localhost\" tests=\"{}\" failures=\"{failed}\" errors=\"0\" time=\"0\">",
        escape(&one.policy),
        passed + failed,
    );
    out.push_str("    <properties/>\n");
    one.outcomes.iter().for_each(|outcome| case(one, outcome, out));
    out.push_str("    <system-out/>\n    <system-err/>\n  </testsuite>\n");
}

fn case(one: &Tested, outcome: &TestOutcome, out: &mut String) {
    let (class, name) = (escape(&one.policy), escape(&outcome.name));
    let _ = write!(out, "    <testcase classname=\"{class}\" name=\"{name}\" time=\"0\"");
    if outcome.passed {
        out.push_str("/>\n");
        return;
    }
    let message = escape(outcome.explanation.first().map_or("", |first| first));
    let text = escape(&difference(outcome, &one.file));
    let _ =
        writeln!(out, ">\n      <failure type=\"difference\" message=\"{message}\">{text}</failure>\n    </testcase>");
}

/// Text for an attribute or an element. Line ends are kept; characters that XML does not have become U+FFFD.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(out, "&#{};", u32::from(character));
            }
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_means_something_in_xml_is_escaped_and_what_xml_has_not_is_replaced() {
        assert_eq!(escape("<a b='c' & \"d\">]]>"), "&lt;a b=&apos;c&apos; &amp; &quot;d&quot;&gt;]]&gt;");
        assert_eq!(escape("a\0b\u{1b}\u{ffff}\u{7f}ü\n"), "a\u{fffd}b\u{fffd}\u{fffd}\u{7f}ü&#10;");
    }

    proptest! {
        #[test]
        fn no_text_leaves_its_place(text in "\\PC{0,20}|.{0,20}|[<>&\"'\\]]{0,20}") {
            let escaped = escape(&text);
            prop_assert!(!escaped.contains(['<', '>', '"', '\'']));
            let mut after = escaped.split('&').skip(1);
            let known = ["amp", "lt", "gt", "quot", "apos", "#9", "#10", "#13"];
            let whole = after.all(|rest| rest.split_once(';').is_some_and(|(name, _)| known.contains(&name)));
            prop_assert!(whole);
        }
    }
}
