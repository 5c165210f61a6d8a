//! What can be written in a policy file.
//!
//! The meaning of each key as it stands in `docs/policy.md` and in the schema; the reader is `policy`. How a key is added
//! is told in [`super`].
//!
//! May touch: nothing.

use super::key::{Key, Kind, Table, Word};

const APP_AT: &str = "docs/policy.md#app";
const LOGIN_AT: &str = "docs/policy.md#login-and-session";
const HEADERS_AT: &str = "docs/policy.md#headers";
const MISSING_AT: &str = "docs/policy.md#when-there-is-no-value";
const ENCODING_AT: &str = "docs/policy.md#encoding";
const LISTS_AT: &str = "docs/policy.md#lists";
const BASIC_AT: &str = "docs/policy.md#basic-credentials";
const RULES_AT: &str = "docs/policy.md#rules";
const SELECTORS_AT: &str = "docs/policy.md#query-hosts-networks-and-times";
const ANSWERS_AT: &str = "docs/policy.md#redirect-and-respond";
const OBSERVE_AT: &str = "docs/policy.md#observe-mode";
const TESTS_AT: &str = "docs/policy.md#tests";

const EXPRESSION: Kind = Kind::Text("expression");
const TEMPLATE: Kind = Kind::Text("text with `${expression}`");

const MODE: Kind = Kind::Words(&[
    Word::new("enforce", "it decides"),
    Word::new("observe", "what it would have decided is logged, and nothing else"),
]);

/// What stands at the top.
pub static FILE: Table = Table::new(
    "",
    "docs/policy.md#a-whole-file",
    "One application: where it is, how people sign in, who may do what, and what it is told about them.",
    &[
        Key::optional(
            "mode",
            MODE,
            "Whether the file decides, or is only [tried](#observe-mode) beside the one that does.",
        )
        .by_default("\"enforce\"")
        .see(OBSERVE_AT),
        Key::required("app", Kind::Table(&APP), "Where the application is found, and where it runs.").see(APP_AT),
        Key::optional("login", Kind::Table(&LOGIN), "How people sign in. Without it every rule must be public.")
            .see(LOGIN_AT),
        Key::optional("session", Kind::Table(&SESSION), "How long a session lasts.").see(LOGIN_AT),
        Key::optional("headers", Kind::Table(&HEADERS), "What the application is told.").see(HEADERS_AT),
        Key::required("rules", Kind::Tables(&RULE), "Who may do what; the first rule that matches decides.")
            .see(RULES_AT),
        Key::optional("tests", Kind::Tables(&TEST), "What the file says that it does.").see(TESTS_AT),
    ],
);

/// `[app]`.
pub static APP: Table = Table::new(
    "app",
    APP_AT,
    "Where the application is found, and where it runs.",
    &[
        Key::required(
            "hosts",
            Kind::OneOrMore(&Kind::Text("host name")),
            "The names that the application is asked for by, exact, without port.",
        )
        .examples(&["[\"royalty.gmr.example\"]"]),
        Key::optional(
            "path",
            Kind::Text("path"),
            "The path below which it lies; several applications can share a host.",
        )
        .by_default("\"/\"")
        .examples(&["\"/archives\""]),
        Key::required(
            "upstream",
            Kind::OneOrMore(&Kind::Text("address")),
            "Where it runs: `http://host:port` or `https://host:port`, without a path.",
        )
        .examples(&["\"http://10.20.0.11:7001\"", "[\"http://10.20.0.11:7001\", \"http://10.20.0.12:7001\"]"]),
        Key::optional(
            "ignore_case",
            Kind::Boolean,
            "Whether path patterns match regardless of the case of ASCII letters.",
        )
        .by_default("false"),
        Key::optional(
            "host",
            Kind::Text("`\"keep\"`, `\"upstream\"` or host name"),
            "What it sees as `Host`: `\"keep\"` what the browser asked for, `\"upstream\"` its own address, or any name.",
        )
        .by_default("\"keep\"")
        .examples(&["\"upstream\"", "\"archives.internal\""]),
        Key::optional(
            "ca",
            Kind::FILE,
            "For `https` upstreams: PEM with the certificates to trust instead of the system's.",
        )
        .otherwise("the system's"),
        Key::optional("timeouts", Kind::Table(&APP_TIMEOUTS), "How long is waited for the application."),
    ],
);

/// `[app.timeouts]`.
pub static APP_TIMEOUTS: Table = Table::new(
    "app.timeouts",
    APP_AT,
    "How long is waited for the application.",
    &[
        Key::optional("connect", Kind::TIME, "To connect, TLS included.").by_default("\"5s\""),
        Key::optional("first_byte", Kind::TIME, "From the request to the head of the answer.").by_default("\"60s\""),
        Key::optional("stall", Kind::TIME, "Silence within an answer.").by_default("\"5m\""),
    ],
);

/// `[login]`.
pub static LOGIN: Table = Table::new(
    "login",
    LOGIN_AT,
    "How people sign in.",
    &[
        Key::optional("provider", Kind::TEXT, "A name from `[providers]` in `lychgate.toml`.")
            .otherwise("the only one"),
        Key::optional(
            "acr",
            Kind::OneOrMore(&Kind::TEXT),
            "Authentication contexts, any one of which is required for every request that is not public.",
        )
        .examples(&["[\"urn:okta:loa:2fa:any\"]"]),
    ],
);

/// `[session]`.
pub static SESSION: Table = Table::new(
    "session",
    LOGIN_AT,
    "How long a session lasts.",
    &[
        Key::optional("idle", Kind::TIME, "A session without a request ends after this.").by_default("\"1h\""),
        Key::optional("max", Kind::TIME, "Every session ends after this.").by_default("\"12h\""),
    ],
);

/// `[headers]`.
pub static HEADERS: Table = Table::new("headers", HEADERS_AT, "What the application is told.", &[]).names(
    "NAME",
    Kind::Either(&[TEMPLATE, Kind::Table(&HEADER_TEXT), Kind::Table(&HEADER_LIST), Kind::Table(&HEADER_BASIC)]),
    "The header's value: a text, or a table with `value`, `list` or `basic`.",
);

/// The keys of all forms together, for a table that has none or several of them.
pub static HEADER: Table = Table::new(
    "header",
    HEADERS_AT,
    "A header.",
    &[VALUE, LIST, BASIC_FORM, SEPARATOR, CONTAINS, MISSING, DEFAULT, ENCODING, UNENCODABLE],
)
.one_of(&["value", "list", "basic"]);

/// Each form of a header that is a table, and the key by which it is known.
pub static HEADER_FORMS: &[(&str, &Table)] =
    &[("value", &HEADER_TEXT), ("list", &HEADER_LIST), ("basic", &HEADER_BASIC)];

const VALUE: Key = Key::required("value", TEMPLATE, "The text with the values in it.");

const LIST: Key = Key::required("list", TEMPLATE, "One `${expression}` that gives a list.")
    .see(LISTS_AT)
    .examples(&["\"${user.groups}\""]);

const SEPARATOR: Key = Key::optional("separator", Kind::TEXT, "What stands between the elements: 1 to 8 bytes.")
    .by_default("\",\"")
    .see(LISTS_AT);

const CONTAINS: Key = Key::optional(
    "contains",
    Kind::Words(&[Word::new("deny", "the request is denied"), Word::new("percent", "the element is percent-encoded")]),
    "What happens to an element that contains the separator.",
)
.by_default("\"deny\"")
.see(LISTS_AT);

const BASIC_FORM: Key =
    Key::required("basic", Kind::Table(&BASIC), "The person's name and a shared password.").see(BASIC_AT);

const MISSING: Key = Key::optional(
    "missing",
    Kind::Words(&[
        Word::new("omit", "the header is not sent"),
        Word::new("empty", "it is sent empty"),
        Word::new("deny", "the request is denied"),
    ]),
    "What happens when there is no value.",
)
.by_default("\"omit\"")
.see(MISSING_AT);

const DEFAULT: Key =
    Key::optional("default", Kind::TEXT, "What is sent when there is no value; instead of `missing`.").see(MISSING_AT);

const ENCODING: Key = Key::optional(
    "encoding",
    Kind::Words(&[
        Word::new("utf-8", "the text's UTF-8"),
        Word::new("latin1", "one byte a character"),
        Word::new("percent", "`%XX` for all but printable ASCII"),
        Word::new("base64", "Base64 of the UTF-8"),
    ]),
    "How the value becomes bytes.",
)
.by_default("\"utf-8\"")
.see(ENCODING_AT);

const UNENCODABLE: Key = Key::optional(
    "unencodable",
    Kind::Words(&[
        Word::new("deny", "the request is denied"),
        Word::new("percent", "the whole value is percent-encoded"),
        Word::new("omit", "the header is not sent"),
    ]),
    "What happens to a value that `encoding` cannot write.",
)
.by_default("\"deny\"")
.see(ENCODING_AT);

/// A header that is a text.
pub static HEADER_TEXT: Table = Table::new(
    "header.value",
    HEADERS_AT,
    "A header that is a text.",
    &[VALUE, MISSING, DEFAULT, ENCODING, UNENCODABLE],
);

/// A header that is a list.
pub static HEADER_LIST: Table = Table::new(
    "header.list",
    HEADERS_AT,
    "A header that is a list.",
    &[LIST, SEPARATOR, CONTAINS, MISSING, DEFAULT, ENCODING, UNENCODABLE],
);

/// A header that is `Basic` credentials.
pub static HEADER_BASIC: Table =
    Table::new("header.basic", HEADERS_AT, "A header that is HTTP Basic credentials.", &[BASIC_FORM, MISSING]);

/// `basic = { … }`.
pub static BASIC: Table = Table::new(
    "basic",
    BASIC_AT,
    "HTTP Basic credentials.",
    &[
        Key::required("user", TEMPLATE, "The person's name.").examples(&["\"${user.preferred_username}\""]),
        Key::required("password", Kind::Table(&SECRET), "The password that the gateway shares with the application.")
            .examples(&["{ file = \"app.password\" }"]),
    ],
);

/// A secret of a policy, named by its source.
pub static SECRET: Table = Table::new(
    "secret",
    BASIC_AT,
    "Where a secret is read: exactly one source.",
    &[
        Key::optional("file", Kind::FILE, "A file, relative to the policy file."),
        Key::optional("env", Kind::Text("variable"), "An environment variable."),
    ],
)
.one_of(&["file", "env"]);

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
        Key::optional("deny", EXPRESSION, "What must not be true of the signed-in person; asked before `allow`.")
            .examples(&["\"user.suspended == true\""]),
        Key::optional("allow", EXPRESSION, "What must be true of the signed-in person.")
            .examples(&["\"'staff' in user.groups\""]),
        Key::optional("step_up", Kind::Table(&STEP_UP), "What the sign-in must be: `acr`, `max_age` or both.")
            .examples(&["{ acr = [\"phr\"], max_age = \"10m\" }"]),
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

/// Each of `[[tests]]`.
pub static TEST: Table = Table::new(
    "tests",
    TESTS_AT,
    "A person, a request and what is expected.",
    &[
        Key::optional("name", Kind::TEXT, "What the test shows.").otherwise("the request"),
        Key::optional("user", Kind::Claims, "The claims of who is signed in; without it nobody is.")
            .otherwise("nobody")
            .examples(&["{ preferred_username = \"ada\", groups = [\"royalty-artists\"] }"]),
        Key::optional("session", Kind::Table(&TEST_SESSION), "What the sign-in was."),
        Key::required("request", Kind::Text("request"), "`\"METHOD /path?query\"`; without a method, `GET`.")
            .examples(&["\"GET /admin/payouts\""]),
        Key::required(
            "expect",
            Kind::Either(&[DECISION, Kind::Table(&EXPECT)]),
            "What must happen: a decision, or a table.",
        )
        .examples(&["{ decision = \"allow\", rule = \"staff\" }"]),
    ],
);

/// `session = { … }` of a test.
pub static TEST_SESSION: Table = Table::new(
    "tests.session",
    TESTS_AT,
    "What the sign-in of a test was.",
    &[
        Key::optional("acr", Kind::TEXT, "The authentication context.").otherwise("the first of `login.acr`"),
        Key::optional("amr", Kind::OneOrMore(&Kind::TEXT), "The authentication methods."),
        Key::optional("age", Kind::TIME, "How long ago it was.").otherwise("just now"),
    ],
);

const DECISION: Kind = Kind::Words(&[
    Word::new("allow", "the request passes, signed in or by a public rule"),
    Word::new("public", "it passes by a public rule"),
    Word::new("deny", "it does not pass"),
    Word::new("sign-in", "the person must sign in first"),
    Word::new("step-up", "the person must prove more"),
    Word::new("redirect", "the gateway redirects"),
    Word::new("respond", "the gateway answers itself"),
]);

/// `expect = { … }` of a test.
pub static EXPECT: Table = Table::new(
    "expect",
    TESTS_AT,
    "What must happen.",
    &[
        Key::required("decision", DECISION, "The decision."),
        Key::optional("rule", Kind::TEXT, "The name of the rule that decides.").otherwise("not looked at"),
        Key::optional(
            "headers",
            Kind::Table(&EXPECT_HEADERS),
            "Headers and their exact values; others may be there too.",
        )
        .otherwise("not looked at"),
        Key::optional("absent", Kind::OneOrMore(&Kind::TEXT), "Headers that must not be there.")
            .otherwise("not looked at"),
        Key::optional("location", Kind::Text("address"), "Where a redirect leads.").otherwise("not looked at"),
        Key::optional("status", Kind::Integer(200, 599), "The status of the gateway's own answer.")
            .otherwise("not looked at"),
    ],
);

/// `headers = { … }` of an expectation.
pub static EXPECT_HEADERS: Table = Table::new("expect.headers", TESTS_AT, "Headers that must be there.", &[]).names(
    "NAME",
    Kind::TEXT,
    "The header's exact value.",
);
