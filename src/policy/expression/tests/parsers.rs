//! The small parser against the large one (decision 16): what both read is the same tree, and what the small one reads, the
//! large one reads too.

use proptest::prelude::*;

use super::*;

/// A tree without the numbers of its nodes.
fn shape(tree: &cel::IdedExpr) -> String {
    let text = format!("{tree:?}");
    let mut shape = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("id: ") {
        shape.push_str(before);
        rest = after.trim_start_matches(|character: char| character.is_ascii_digit());
    }
    shape + rest
}

fn compare(text: &str) -> Result<(), String> {
    let Some(small) = bounds::parse_quickly(text) else { return Ok(()) };
    match bounds::parse(text) {
        Ok((large, _)) if shape(&large) == shape(&small) => Ok(()),
        Ok((large, _)) => Err(format!("{text}\nsmall {}\nlarge {}", shape(&small), shape(&large))),
        Err(mistakes) => Err(format!("{text}: only the small parser reads it: {mistakes:?}")),
    }
}

/// Every expression in quotes of the policies of the tree; what is none is read by neither.
fn written() -> Vec<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    for folder in ["policies", "policies/templates", "tests/data/policies/good", "fuzz/seeds/policy", "docs"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let Ok(text) = std::fs::read_to_string(entry.unwrap().path()) else { continue };
            texts.extend(text.split('"').map(str::to_owned));
            texts.extend(text.split("${").skip(1).filter_map(|part| part.split('}').next()).map(str::to_owned));
        }
    }
    texts
}

#[test]
fn both_parsers_read_every_expression_of_the_tree_alike() {
    let mut compared = 0;
    for text in written() {
        compare(&text).unwrap();
        compared += usize::from(bounds::parse_quickly(&text).is_some());
    }
    assert!(compared > 200, "{compared}");
}

#[test]
fn both_parsers_read_the_corners_of_the_language_alike() {
    for text in [
        "a && b && c && d && e || f || g || h",
        "-1",
        "- 1",
        "--1",
        "-x",
        "!!x",
        "!!-0x1",
        "!-0x1",
        "-0x1",
        "!-1.5",
        "!!-1",
        "-!x",
        "!-x",
        "!-1",
        "- -1",
        "-(!x)",
        "!(-x)",
        "!x.y(-!z)",
        "-9223372036854775808",
        "9223372036854775807",
        "1.",
        ".5",
        "1e3",
        "0x1F",
        "0x1Fu",
        "7u",
        "'a\\n\\x41\\u00e4\\101'",
        "r'a\\n'",
        "'''a'b'''",
        "\"\"\"a\nb\"\"\"",
        "b'a'",
        "a.b.c[0].d('x')(1)",
        ".a",
        ".a.b()",
        "[1, 2,]",
        "{'a': 1,}",
        "{}",
        "x {}",
        "(x) {}",
        "x.y{a: 1}",
        "x ? y : z ? a : b",
        "a in b in c",
        "a < b < c",
        "a == b != c",
        "1 + 2 * 3 - 4 / 5 % 6",
        "x.exists(a, a > 1)",
        "x.exists_one(a, a)",
        "x.map(a, b, c)",
        "x.filter(a, a)",
        "has(a.b)",
        "x.all(a, true)",
        "has(a['b'])",
        "true // comment",
        "null",
        "in",
        "a.in",
        "`a`",
        "as",
        "const",
        "x.`a-b`",
        "\u{a0}1",
        "a\u{2028}b",
        "' \n r' //",
    ] {
        compare(text).unwrap();
    }
}

/// Texts that follow the grammar but for what stands where: every construct beside and within every other.
fn nearly_right() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "x", "user.a", "1", "-1", "2u", "1.5", "1e3", "0x1f", "-0x1", "'a'", "r'\\'", "b'a'", "true", "null", "[]",
        "{}", ".x", "in", "as",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(5, 24, 3, |inner| {
        let unary = prop::sample::select(vec!["-", "!", "- ", "--", "!!", "-!", ".", "?"]);
        let binary = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "==", "!=", "<", ">", "<=", ">=", "&&", "||", " in ", "in", ",", ".", "?", ":",
            " ", "&", "=",
        ]);
        let call = prop::sample::select(vec![
            "f",
            "has",
            "x.f",
            "x.map",
            "x.all",
            "x.filter",
            "x.exists",
            "x.exists_one",
            "size",
            ".f",
        ]);
        prop_oneof![
            inner.clone().prop_map(|a| format!("({a})")),
            (unary, inner.clone()).prop_map(|(sign, a)| format!("{sign}{a}")),
            (inner.clone(), binary, inner.clone()).prop_map(|(a, between, b)| format!("{a}{between}{b}")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("{a} ? {b} : {c}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            (call.clone(), inner.clone()).prop_map(|(name, a)| format!("{name}({a})")),
            (call, inner.clone(), inner.clone()).prop_map(|(name, a, b)| format!("{name}({a}, {b})")),
            inner.clone().prop_map(|a| format!("{a}.f()")),
            inner.clone().prop_map(|a| format!("[{a}, {a}]")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("{{{a}: {b}}}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn both_parsers_read_random_expressions_alike(text in pieces()) {
        if let Err(why) = compare(&text) {
            prop_assert!(false, "{}", why);
        }
    }

    #[test]
    fn both_parsers_read_nearly_right_expressions_alike(text in nearly_right()) {
        if let Err(why) = compare(&text) {
            prop_assert!(false, "{}", why);
        }
    }
}

/// Brackets that were passed over as a part of a text are none to either parser: 300 levels of them would end the test's stack.
#[test]
fn what_was_not_counted_does_not_nest() {
    let quotes = ["'", "\"", "'''", "\"\"\""];
    let before = [
        "", "r", "R", "b", "br", "rb", "in", "1 in", "x", "0x1r", "1e", "x&", "x|", "x=", "x // ", "`", "#", "ä", "x\n",
    ];
    let inside = ["", "\\", "\\\\", "\\d", "\\x4", "\\u00e4", "'", "\"", "\n", "\r", "`", "//", "&"];
    let mut passed = 0;
    for (before, quote) in before.into_iter().flat_map(|before| quotes.map(|quote| (before, quote))) {
        for (inside, end) in inside.into_iter().flat_map(|inside| ["", quote].map(|end| (inside, end))) {
            for (open, last) in ["(", "["].into_iter().flat_map(|open| ["", "'", "\"", quote].map(|last| (open, last)))
            {
                let text = format!("{before}{quote}{inside}{end}+{}1{last}", open.repeat(300));
                let small = bounds::parse_quickly(&text).is_some();
                let large = bounds::parse(&text);
                assert!(!small || large.is_ok(), "only the small parser reads {text}");
                let counted =
                    matches!(&large, Err(found) if found.iter().any(|one| one.message.contains("nest deeper")));
                passed += usize::from(!counted);
            }
        }
    }
    assert!(passed > 1000, "{passed}");
}
