//! `[[tests]]` of a policy.
//!
//! May touch: nothing.

use super::TESTS_AT;
use crate::reference::key::{Key, Kind, Table, Word};

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
        Key::optional("host", Kind::Text("host name"), "Which of the application's hosts is asked.")
            .otherwise("the first"),
        Key::optional("client", Kind::Text("address"), "The client's address.").otherwise("`127.0.0.1`"),
        Key::optional("time", Kind::Moment, "When it happens; in UTC where it has no offset.")
            .otherwise("`2026-01-01`"),
        Key::optional("headers", Kind::Table(&TEST_HEADERS), "The fields of the request's head that rules look at."),
        Key::optional("tls", Kind::Table(&TEST_TLS), "The client's TLS connection."),
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
        Key::optional(
            "kind",
            Kind::Words(&[
                Word::new("browser", "a person with a session"),
                Word::new("bearer", "an API client with a token"),
            ]),
            "Who it was that signed in.",
        )
        .by_default("\"browser\""),
        Key::optional("acr", Kind::TEXT, "The authentication context.")
            .otherwise("the first of `login.acr`, or of `bearer.acr`"),
        Key::optional("amr", Kind::OneOrMore(&Kind::TEXT), "The authentication methods."),
        Key::optional("age", Kind::TIME, "How long ago it was.").otherwise("just now"),
    ],
);

/// `headers = { … }` of a test.
pub static TEST_HEADERS: Table = Table::new("tests.headers", TESTS_AT, "The fields of a test's request.", &[]).names(
    "NAME",
    Kind::OneOrMore(&Kind::TEXT),
    "The field's value; a list for a field that stands there several times.",
);

/// `tls = { … }` of a test.
pub static TEST_TLS: Table = Table::new(
    "tests.tls",
    TESTS_AT,
    "The client's TLS connection in a test.",
    &[
        Key::optional("version", Kind::Words(&[Word::new("1.2", ""), Word::new("1.3", "")]), "The version.")
            .by_default("\"1.3\""),
        Key::optional(
            "client",
            Kind::Table(&TEST_CERTIFICATE),
            "The certificate that the client shows; `{}` for one that says nothing.",
        )
        .otherwise("none")
        .examples(&["{ common_name = \"laptop-7\" }"]),
    ],
);

/// `tls.client = { … }` of a test.
pub static TEST_CERTIFICATE: Table = Table::new(
    "tests.tls.client",
    TESTS_AT,
    "The certificate that the client shows: what rules read as `request.tls.client`.",
    &[
        Key::optional("subject", Kind::TEXT, "Whom it is for.").examples(&["\"CN=ada,O=Garnet Records\""]),
        Key::optional("issuer", Kind::TEXT, "Who signed it."),
        Key::optional("common_name", Kind::TEXT, "The subject's common name."),
        Key::optional("serial", Kind::TEXT, "The serial number in hexadecimal."),
        Key::optional("fingerprint", Kind::TEXT, "SHA-256 of the certificate in hexadecimal."),
        Key::optional("dns_names", Kind::OneOrMore(&Kind::TEXT), "Its host names."),
        Key::optional("emails", Kind::OneOrMore(&Kind::TEXT), "Its mail addresses."),
        Key::optional("uris", Kind::OneOrMore(&Kind::TEXT), "Its URIs."),
        Key::optional("addresses", Kind::OneOrMore(&Kind::TEXT), "Its IP addresses."),
        Key::optional("expires", Kind::Moment, "The last second in which it is valid."),
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
