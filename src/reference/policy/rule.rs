//! `[[rules]]` of a policy.
//!
//! May touch: nothing.

use super::RULES_AT;
use crate::reference::key::{Key, Kind, Table, Word};

/// Each of `[[rules]]`.
pub static RULE: Table = Table::new(
    "rules",
    RULES_AT,
    "For which requests, for whom, and what they must have proved.",
    &[
        Key::optional("name", Kind::TEXT, "For logs and tests; unique.").otherwise("`#1`, `#2`, …"),
        Key::optional(
            "paths",
            Kind::OneOrMore(&Kind::Text("path pattern")),
            "[Patterns](#paths), any one of which must match.",
        )
        .otherwise("every path")
        .examples(&["[\"/static/**\", \"/favicon.ico\"]"]),
        Key::optional(
            "methods",
            Kind::OneOrMore(&Kind::Text("method")),
            "[Methods](#methods), any one of which must match.",
        )
        .otherwise("the usual ones")
        .examples(&["[\"GET\", \"PROPFIND\"]"]),
        Key::optional(
            "access",
            Kind::Words(&[
                Word::new("public", "everybody, without sign-in"),
                Word::new("session", "whoever is signed in"),
            ]),
            "For whom the rule is.",
        )
        .by_default("\"session\""),
        Key::optional("allow", Kind::EXPRESSION, "What must be true of the signed-in person.")
            .examples(&["\"'staff' in user.groups\""]),
        Key::optional("step_up", Kind::Table(&STEP_UP), "What the sign-in must be: `acr`, `max_age` or both.")
            .examples(&["{ acr = [\"phr\"], max_age = \"10m\" }"]),
    ],
);

/// `step_up = { … }`.
pub static STEP_UP: Table = Table::new(
    "step_up",
    RULES_AT,
    "What the sign-in must be.",
    &[
        Key::optional("acr", Kind::OneOrMore(&Kind::TEXT), "Authentication contexts, any one of which it must have."),
        Key::optional("max_age", Kind::TIME, "It must not be longer ago than this."),
    ],
);
