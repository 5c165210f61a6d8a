//! `[[rules]]` of a policy.
//!
//! May touch: nothing.

use super::limits::RULE_LIMITS_KEY;
use super::{ANSWERS_AT, HEADERS, MODE, OBSERVE_AT, RULES_AT, SELECTORS_AT};
use crate::reference::key::{Key, Kind, Table, Word};

const RULE_HEADERS_AT: &str = "docs/policy.md#headers-of-a-rule";

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
        Key::optional("query", Kind::Table(&QUERY), "Parameters of the query and the values that match, decoded.")
            .see(SELECTORS_AT)
            .examples(&["{ view = \"print\" }", "{ action = [\"edit\", \"delete\"] }"]),
        Key::optional(
            "hosts",
            Kind::OneOrMore(&Kind::Text("host name")),
            "Those of the application's hosts, any one of which must be asked for.",
        )
        .see(SELECTORS_AT)
        .otherwise("all"),
        Key::optional(
            "networks",
            Kind::OneOrMore(&Kind::Text("network")),
            "Networks or addresses, in any one of which the client must be.",
        )
        .see(SELECTORS_AT)
        .otherwise("everywhere")
        .examples(&["[\"10.0.0.0/8\", \"2001:db8::/32\"]"]),
        Key::optional("from", Kind::Moment, "The first moment at which the rule matches.")
            .see(SELECTORS_AT)
            .examples(&["2026-06-01", "\"2026-06-01T08:00:00+02:00\""]),
        Key::optional("until", Kind::Moment, "The first moment at which it matches no more.")
            .see(SELECTORS_AT)
            .examples(&["2027-01-01"]),
        Key::optional(
            "days",
            Kind::OneOrMore(&Kind::Text("`\"mon\"` to `\"sun\"`")),
            "Days of the week on which it matches.",
        )
        .see(SELECTORS_AT)
        .otherwise("every day")
        .examples(&["[\"mon\", \"tue\"]"]),
        Key::optional(
            "hours",
            Kind::OneOrMore(&Kind::Text("`\"HH:MM-HH:MM\"`")),
            "Times of day at which it matches; the end is not in it.",
        )
        .see(SELECTORS_AT)
        .otherwise("the whole day")
        .examples(&["\"08:00-18:00\"", "[\"22:00-06:00\"]"]),
        Key::optional("zone", Kind::Text("time zone"), "The time zone of dates, days and hours without one.")
            .see(SELECTORS_AT)
            .otherwise("`\"UTC\"`")
            .examples(&["\"Europe/Vienna\""]),
        Key::optional("mode", MODE, "Whether the rule decides, or is only [tried](#observe-mode).")
            .by_default("\"enforce\"")
            .see(OBSERVE_AT),
        Key::optional(
            "access",
            Kind::Words(&[
                Word::new("public", "everybody, without sign-in"),
                Word::new("optional", "everybody, and the application is told who it is when somebody is signed in"),
                Word::new("session", "whoever is signed in"),
            ]),
            "For whom the rule is.",
        )
        .otherwise("`\"session\"`; `\"public\"` for `redirect` and `respond` alone"),
        Key::optional("deny", Kind::EXPRESSION, "What must not be true of the signed-in person; asked before `allow`.")
            .examples(&["\"user.suspended == true\""]),
        Key::optional("allow", Kind::EXPRESSION, "What must be true of the signed-in person.")
            .examples(&["\"'staff' in user.groups\""]),
        Key::optional("step_up", Kind::Table(&STEP_UP), "What the sign-in must be: `acr`, `max_age` or both.")
            .examples(&["{ acr = [\"phr\"], max_age = \"10m\" }"]),
        Key::optional("headers", Kind::Table(&HEADERS), "What the application is told over what it is told anyway.")
            .see(RULE_HEADERS_AT)
            .examples(&["{ X-Role = \"ADMIN\" }"]),
        Key::optional("headers_from", Kind::OneOrMore(&Kind::TEXT), "[Header sets](#header-sets) that are sent too.")
            .see(RULE_HEADERS_AT)
            .examples(&["[\"payroll\"]"]),
        RULE_LIMITS_KEY,
        Key::optional(
            "redirect",
            Kind::Either(&[Kind::Text("address"), Kind::Table(&REDIRECT)]),
            "Where the gateway sends the client, in place of asking the application.",
        )
        .see(ANSWERS_AT)
        .examples(&["\"/new\"", "{ to = \"https://other.gmr.example/\", status = 308, keep_query = true }"]),
        Key::optional(
            "respond",
            Kind::Either(&[Kind::Integer(200, 599), Kind::Table(&RESPOND)]),
            "What the gateway answers, in place of asking the application.",
        )
        .see(ANSWERS_AT)
        .examples(&["404", "{ status = 503, body = \"Back at noon.\" }"]),
    ],
);

/// `query = { … }`.
pub static QUERY: Table = Table::new("query", SELECTORS_AT, "Parameters of the query.", &[]).names(
    "NAME",
    Kind::OneOrMore(&Kind::TEXT),
    "The values of the parameter that match.",
);

/// `redirect = { … }`.
pub static REDIRECT: Table = Table::new(
    "redirect",
    ANSWERS_AT,
    "Where the gateway sends the client.",
    &[
        Key::required("to", Kind::Text("address"), "A path of the same host, or a whole `http` or `https` address.")
            .examples(&["\"/new\""]),
        Key::optional("status", Kind::Integer(301, 308), "301, 302, 303, 307 or 308.").by_default("302"),
        Key::optional("keep_query", Kind::Boolean, "Whether the request's query is put behind the address.")
            .by_default("false"),
    ],
);

/// `respond = { … }`.
pub static RESPOND: Table = Table::new(
    "respond",
    ANSWERS_AT,
    "What the gateway answers.",
    &[
        Key::required("status", Kind::Integer(200, 599), "200, or 400 to 599 without 401 and 407.").examples(&["503"]),
        Key::optional("body", Kind::TEXT, "The text of the answer.").otherwise("the status in words"),
        Key::optional("content_type", Kind::Text("media type"), "What the text is.")
            .by_default("\"text/plain; charset=utf-8\""),
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
