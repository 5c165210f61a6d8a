//! `[headers]`, `[cookies]` and `[response]` of a policy: the forms of a value and their options.
//!
//! A form is a table of its own, known by its first key; a row that several forms share is a constant.
//!
//! May touch: nothing.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::HEADERS_AT;
use crate::reference::key::{Key, Kind, Table, Word};

const MISSING_AT: &str = "docs/policy.md#when-there-is-no-value";
const ENCODING_AT: &str = "docs/policy.md#encoding";
const LISTS_AT: &str = "docs/policy.md#lists";
const BASIC_AT: &str = "docs/policy.md#basic-credentials";

const JSON_AT: &str = "docs/policy.md#json";
const SECRETS_AT: &str = "docs/policy.md#shared-secrets";
const JWT_AT: &str = "docs/policy.md#signed-assertions";
const MAX_AT: &str = "docs/policy.md#size";
const COOKIES_AT: &str = "docs/policy.md#cookies";
const RESPONSE_AT: &str = "docs/policy.md#response";

/// How long an assertion may live.
pub const TTL: RangeInclusive<Duration> = TTL_LEAST..=TTL_MOST;
const TTL_LEAST: Duration = Duration::from_secs(10);
const TTL_MOST: Duration = Duration::from_secs(60 * 60);

/// `[headers]`.
pub static HEADERS: Table = Table::new("headers", HEADERS_AT, "What the application is told.", &[]).names(
    "NAME",
    Kind::Either(&[
        Kind::TEMPLATE,
        Kind::Table(&HEADER_TEXT),
        Kind::Table(&HEADER_LIST),
        Kind::Table(&HEADER_JSON),
        Kind::Table(&HEADER_BASIC),
        Kind::Table(&HEADER_BEARER),
        Kind::Table(&HEADER_SECRET),
        Kind::Table(&HEADER_JWT),
    ]),
    "The header's value: a text, or a table with `value`, `list`, `json`, `basic`, `bearer`, `secret` or `jwt`.",
);

/// `[cookies]`.
pub static COOKIES: Table = Table::new("cookies", COOKIES_AT, "What the application is told in cookies.", &[]).names(
    "NAME",
    Kind::Either(&[
        Kind::TEMPLATE,
        Kind::Table(&HEADER_TEXT),
        Kind::Table(&HEADER_LIST),
        Kind::Table(&HEADER_JSON),
        Kind::Table(&HEADER_SECRET),
        Kind::Table(&HEADER_JWT),
    ]),
    "The cookie's value: a text, or a table with `value`, `list`, `json`, `secret` or `jwt`.",
);

/// The keys of all forms together, for a table that has none or several of them.
pub static HEADER: Table = Table::new(
    "header",
    HEADERS_AT,
    "A header.",
    &[
        VALUE,
        LIST,
        JSON,
        BASIC_FORM,
        BEARER,
        SHARED,
        JWT_FORM,
        SEPARATOR,
        CONTAINS,
        MISSING,
        DEFAULT,
        ENCODING,
        UNENCODABLE,
        MAX,
        TOO_LONG,
    ],
)
.one_of(&["value", "list", "json", "basic", "bearer", "secret", "jwt"]);

/// The same for a cookie.
pub static COOKIE: Table = Table::new(
    "cookie",
    COOKIES_AT,
    "A cookie.",
    &[VALUE, LIST, JSON, SHARED, JWT_FORM, SEPARATOR, CONTAINS, MISSING, DEFAULT, ENCODING, UNENCODABLE, MAX, TOO_LONG],
)
.one_of(&["value", "list", "json", "secret", "jwt"]);

/// Each form of a header that is a table, and the key by which it is known.
pub static HEADER_FORMS: &[(&str, &Table)] = &[
    ("value", &HEADER_TEXT),
    ("list", &HEADER_LIST),
    ("json", &HEADER_JSON),
    ("basic", &HEADER_BASIC),
    ("bearer", &HEADER_BEARER),
    ("secret", &HEADER_SECRET),
    ("jwt", &HEADER_JWT),
];

/// Each form of a cookie that is a table.
pub static COOKIE_FORMS: &[(&str, &Table)] = &[
    ("value", &HEADER_TEXT),
    ("list", &HEADER_LIST),
    ("json", &HEADER_JSON),
    ("secret", &HEADER_SECRET),
    ("jwt", &HEADER_JWT),
];

const VALUE: Key = Key::required("value", Kind::TEMPLATE, "The text with the values in it.");

const LIST: Key = Key::required("list", Kind::TEMPLATE, "One `${expression}` that gives a list.")
    .see(LISTS_AT)
    .examples(&["\"${user.groups}\""]);

const SEPARATOR: Key = Key::optional("separator", Kind::TEXT, "What stands between the elements: 1 to 8 bytes.")
    .by_default("\",\"")
    .see(LISTS_AT);

const CONTAINS: Key = Key::optional(
    "contains",
    Kind::Words(&[
        Word::new("deny", "the request is denied"),
        Word::new("percent", "it is percent-encoded"),
        Word::new("quote", "it is put in quotes"),
    ]),
    "What happens to an element that contains the separator or could move it, is empty, or has a space at an end.",
)
.by_default("\"deny\"")
.see(LISTS_AT);

const JSON: Key = Key::required("json", Kind::TEMPLATE, "One `${expression}` of any sort, sent as JSON in ASCII.")
    .see(JSON_AT)
    .examples(&["\"${user.address}\""]);

const BEARER: Key =
    Key::required("bearer", Kind::Table(&SECRET), "A token; sent as `Bearer …` with a signed-in person's requests.")
        .see(SECRETS_AT)
        .examples(&["{ file = \"app.token\" }"]);

const SHARED: Key = Key::required(
    "secret",
    Kind::Table(&SECRET),
    "A proof that the request came through the gateway; sent with every request.",
)
.see(SECRETS_AT)
.examples(&["{ env = \"APP_SECRET\" }"]);

const JWT_FORM: Key =
    Key::required("jwt", Kind::Table(&JWT), "A signed statement of who asks, for one application.").see(JWT_AT);

const MAX: Key = Key::optional("max", Kind::Size(1, 32 << 10), "The most bytes that the value may have as it is sent.")
    .by_default("\"8KiB\"")
    .see(MAX_AT);

const TOO_LONG: Key = Key::optional(
    "too_long",
    Kind::Words(&[Word::new("deny", "the request is denied"), Word::new("omit", "it is not sent")]),
    "What happens to a value above `max`.",
)
.by_default("\"deny\"")
.see(MAX_AT);

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
        Word::new("utf-8-percent", "ASCII stays, all else and `%` is `%XX`"),
        Word::new("percent", "`%XX` for space, `%` and all but printable ASCII"),
        Word::new("base64", "Base64 of the UTF-8"),
        Word::new("rfc2047", "encoded-words as in mail"),
    ]),
    "How the value becomes bytes.",
)
.otherwise("`\"utf-8\"`; in `[cookies]` `\"percent\"`")
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
    &[VALUE, MISSING, DEFAULT, ENCODING, UNENCODABLE, MAX, TOO_LONG],
);

/// A header that is a list.
pub static HEADER_LIST: Table = Table::new(
    "header.list",
    HEADERS_AT,
    "A header that is a list.",
    &[LIST, SEPARATOR, CONTAINS, MISSING, DEFAULT, ENCODING, UNENCODABLE, MAX, TOO_LONG],
);

/// A header that is JSON.
pub static HEADER_JSON: Table = Table::new(
    "header.json",
    HEADERS_AT,
    "A header that is JSON.",
    &[JSON, MISSING, DEFAULT, ENCODING, UNENCODABLE, MAX, TOO_LONG],
);

/// A header that is a bearer token.
pub static HEADER_BEARER: Table =
    Table::new("header.bearer", HEADERS_AT, "A header that is a bearer token.", &[BEARER]);

/// A header that is a shared secret.
pub static HEADER_SECRET: Table =
    Table::new("header.secret", HEADERS_AT, "A header that is a shared secret.", &[SHARED]);

/// A header that is a signed assertion.
pub static HEADER_JWT: Table =
    Table::new("header.jwt", HEADERS_AT, "A header that is a signed assertion.", &[JWT_FORM, MISSING, MAX, TOO_LONG]);

/// `jwt = { … }`.
pub static JWT: Table = Table::new(
    "jwt",
    JWT_AT,
    "A signed assertion.",
    &[
        Key::required("audience", Kind::OneOrMore(&Kind::TEXT), "`aud`: the application, or several names of it.")
            .examples(&["\"royalty\""]),
        Key::optional(
            "claims",
            Kind::OneOrMore(&Kind::TEXT),
            "Claims of the person that go into it under their own names, where they are there.",
        )
        .otherwise("none")
        .examples(&["[\"email\", \"groups\"]"]),
        Key::optional("subject", Kind::TEMPLATE, "`sub`: who it is about.")
            .otherwise("the provider's `sub`")
            .examples(&["\"${user.preferred_username}\""]),
        Key::optional("issuer", Kind::TEXT, "`iss`: who says so.").otherwise("`https://` and the host asked for"),
        Key::optional("ttl", Kind::Duration(TTL_LEAST, TTL_MOST), "How long it is good; made anew at half of it.")
            .by_default("\"2m\""),
    ],
);

/// `[response]`.
pub static RESPONSE: Table = Table::new(
    "response",
    RESPONSE_AT,
    "What is changed on the application's answers.",
    &[
        Key::optional("remove", Kind::OneOrMore(&Kind::Text("header name")), "Headers that are taken away.")
            .examples(&["[\"Server\", \"X-Powered-By\"]"]),
        Key::optional(
            "set",
            Kind::Table(&RESPONSE_SET),
            "Headers that stand there once, whatever the application sends.",
        ),
        Key::optional("add", Kind::Table(&RESPONSE_ADD), "Headers that stand beside what the application sends."),
    ],
);

/// `[response.set]`.
pub static RESPONSE_SET: Table = Table::new("response.set", RESPONSE_AT, "Headers that stand in an answer once.", &[])
    .names("NAME", Kind::TEXT, "The header's value.");

/// `[response.add]`.
pub static RESPONSE_ADD: Table = Table::new("response.add", RESPONSE_AT, "Headers that are added to an answer.", &[])
    .names("NAME", Kind::OneOrMore(&Kind::TEXT), "The header's value, or several.");

/// A header that is `Basic` credentials.
pub static HEADER_BASIC: Table =
    Table::new("header.basic", HEADERS_AT, "A header that is HTTP Basic credentials.", &[BASIC_FORM, MISSING]);

/// `basic = { … }`.
pub static BASIC: Table = Table::new(
    "basic",
    BASIC_AT,
    "HTTP Basic credentials.",
    &[
        Key::required("user", Kind::TEMPLATE, "The person's name.").examples(&["\"${user.preferred_username}\""]),
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
