//! The tables of docs/policy.md, evaluated: every expression has the value beside it, and nothing is left out.

use super::*;
use crate::policy::expression::functions::{FUNCTIONS, Style};
use crate::policy::expression::scope::{REQUEST, SESSION};

/// Friday, 25 December 2026, 18:30 UTC, as the page says.
const NOW: Timestamp = Timestamp::from_seconds(1_798_223_400);

fn page() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policy.md")).unwrap()
}

/// The expressions and values of all tables marked `evaluated`.
fn rows(page: &str) -> Vec<(String, String)> {
    let tables = page.split("<!-- evaluated -->").skip(1).map(|rest| rest.split("<!-- end -->").next().unwrap());
    let lines = tables.flat_map(|table| table.lines().filter(|line| line.starts_with("| `")));
    let cell = |cell: &str| cell.trim().trim_matches('`').to_owned();
    lines
        .map(|line| {
            let mut cells = line.trim_matches('|').split(" | ");
            (cell(cells.next().unwrap()), cell(cells.next().unwrap()))
        })
        .collect()
}

#[test]
fn every_value_in_the_tables_is_what_the_expression_gives() {
    let page = page();
    let claims = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let rows = rows(&page);
    assert!(rows.len() > 80, "{}", rows.len());
    with_view_at(NOW, claims, |view| {
        for (expression, value) in &rows {
            if value == "no result" {
                assert!(compiled(expression).text(view).is_err(), "{expression}");
                continue;
            }
            let equal = compiled(&format!("({expression}) == {value}"));
            assert_eq!(equal.test(view), Ok(true), "{expression} is {:?}", compiled(expression).text(view));
        }
    });
}

#[test]
fn every_function_and_every_field_stands_in_a_table() {
    let rows = rows(&page());
    let stands = |part: &str| rows.iter().any(|(expression, _)| expression.contains(part));
    for function in &FUNCTIONS {
        let called = match function.style {
            Style::After(_) => format!(".{}(", function.name),
            Style::Plain => format!("{}(", function.name),
            Style::In(namespace) => format!("{namespace}.{}(", function.name),
        };
        assert!(stands(&called), "{called}");
    }
    assert!(REQUEST.iter().all(|field| stands(&format!("request.{field}"))));
    assert!(SESSION.iter().all(|field| stands(&format!("session.{field}"))));
}
