//! `[headers]` of a policy: the forms of a value and their options.
//!
//! A form is a table of its own, known by its first key; a row that several forms share is a constant.
//!
//! May touch: nothing.

use super::HEADERS_AT;
use crate::reference::key::{Key, Kind, Table, Word};

const MISSING_AT: &str = "docs/policy.md#when-there-is-no-value";
const ENCODING_AT: &str = "docs/policy.md#encoding";
const LISTS_AT: &str = "docs/policy.md#lists";
const BASIC_AT: &str = "docs/policy.md#basic-credentials";

/// `[headers]`.
pub static HEADERS: Table = Table::new("headers", HEADERS_AT, "What the application is told.", &[]).names(
    "NAME",
    Kind::Either(&[Kind::TEMPLATE, Kind::Table(&HEADER_TEXT), Kind::Table(&HEADER_LIST), Kind::Table(&HEADER_BASIC)]),
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

const VALUE: Key = Key::required("value", Kind::TEMPLATE, "The text with the values in it.");

const LIST: Key = Key::required("list", Kind::TEMPLATE, "One `${expression}` that gives a list.")
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
