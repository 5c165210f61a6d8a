//! What is found, where, and what is refused before any parser sees it.

use super::*;

/// The deepest nesting, or the fault and its place.
fn depth(text: &str) -> Result<usize, (Fault, Range<usize>)> {
    let (mut deepest, mut open) = (0, 0usize);
    for piece in Scan::new(text) {
        match piece?.0 {
            Piece::Open => open += 1,
            Piece::Close => open -= 1,
            Piece::Signs(_) => {}
        }
        deepest = deepest.max(open);
    }
    Ok(deepest)
}

fn signs(text: &str) -> usize {
    Scan::new(text)
        .filter_map(Result::ok)
        .map(|(piece, _)| if let Piece::Signs(count) = piece { count } else { 0 })
        .sum()
}

#[test]
fn brackets_behind_every_sign_and_name_are_counted() {
    for before in
        ["1 / ", "x<'a' == ", "x>'a' == ", "x != ", "x.`a-longer-name`+", "b'a' == ", "x ? 1 : ", "1 // a\n/ ", "x in"]
    {
        assert_eq!(depth(&format!("{before}((([1])))")), Ok(4), "{before}");
    }
    assert_eq!(depth(&format!("{}true{}", "!(".repeat(9), ")".repeat(9))), Ok(9));
    assert_eq!(depth("1 // ((((\n(1)"), Ok(1), "a comment ends with its line");
    assert_eq!(depth("(((a]]])))"), Ok(3), "what closes nothing counts as nothing");
    assert_eq!(depth("(a) + (b) + [c] + {d}"), Ok(1));
}

#[test]
fn signs_are_counted_and_what_joins_conditions_is_none() {
    for (text, count) in [
        ("a && b || c", 0),
        ("a + b - c", 2),
        ("!a", 1),
        ("a != b", 2),
        ("a <= b", 2),
        ("a < b", 1),
        ("a == b", 2),
        ("a.b.c", 2),
        ("'a + b' // + + +", 0),
        ("x.`a-b`", 1),
    ] {
        assert_eq!(signs(text), count, "{text}");
    }
}

#[test]
fn what_is_refused_is_refused_where_it_stands() {
    for (text, fault, range) in [
        ("a & b", Fault::Misplaced, 2..3),
        ("a | b", Fault::Misplaced, 2..3),
        ("a = b", Fault::Misplaced, 2..3),
        ("`a'b` == 1", Fault::Misplaced, 0..1),
        ("`` == 1", Fault::Misplaced, 0..1),
        ("x == \"`a\"`a", Fault::Misplaced, 9..10),
        (r"a == rb'x'", Fault::Misplaced, 7..8),
        (r"user.a == r'x", Fault::Unclosed, 11..12),
        ("user.a == 'x", Fault::Unclosed, 10..11),
        ("'a\nb'", Fault::Unclosed, 0..1),
        ("br'a\rb'", Fault::Unclosed, 2..3),
        ("'''a''", Fault::Unclosed, 0..1),
        (r"'a\d'", Fault::Escape, 2..4),
        (r"b'a\x1'", Fault::Escape, 3..5),
        (r"'\U0001F60'", Fault::Escape, 1..3),
        (r"'\478'", Fault::Escape, 1..3),
        ("'\\ä'", Fault::Escape, 1..4),
    ] {
        assert_eq!(depth(text), Err((fault, range)), "{text}");
    }
}

#[test]
fn texts_of_every_form_are_passed_over() {
    for text in [
        r"b'a(' == b'('",
        r"'\U0001F600(' != ''",
        "'''a(\n('b''' != ''",
        "\"\"\"(\"(\"\"\" == ''",
        r"r'(\' == BR'(\'",
        r"'\a\b\f\n\r\t\v\x41\X41\u00e4\101\377\?\`('",
    ] {
        assert_eq!(depth(text), Ok(0), "{text}");
    }
    assert_eq!(Scan::new("'ab' 'c").find_map(Result::err), Some((Fault::Unclosed, 5..6)));
    assert_eq!(Scan::new("= (((").count(), 1, "nothing comes behind a fault");
}
