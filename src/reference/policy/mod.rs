//! What can be written in a policy file.
//!
//! The meaning of each key as it stands in `docs/policy.md` and in the schema; the reader is `policy`. How a key is added
//! is told in [`super`].
//!
//! May touch: nothing.

mod bearer;
mod definitions;
mod header;
mod limits;
mod rule;
mod test;

pub use bearer::BEARER;
pub use definitions::{CONDITIONS, DEFINITIONS, GROUPS, HEADER_SETS};
pub use header::{
    BASIC, COOKIE, COOKIE_FORMS, COOKIES, HEADER, HEADER_BASIC, HEADER_BEARER, HEADER_FORMS, HEADER_JSON, HEADER_JWT,
    HEADER_LIST, HEADER_SECRET, HEADER_TEXT, HEADERS, JWT, RESPONSE, RESPONSE_ADD, RESPONSE_SET, SECRET, TTL,
};
pub use limits::{LIMITS, NETWORKS, RATE};
pub use rule::{QUERY, REDIRECT, RESPOND, RULE, STEP_UP};
pub use test::{EXPECT, EXPECT_HEADERS, TEST, TEST_CERTIFICATE, TEST_HEADERS, TEST_SESSION, TEST_TLS};

use super::key::{Key, Kind, Table, Word};

/// Where expressions are documented.
pub const EXPRESSIONS_AT: &str = "docs/policy.md#expressions";

/// Where it is documented which claims there are.
pub const CLAIMS_AT: &str = "docs/policy.md#claims-that-do-not-come";

const APP_AT: &str = "docs/policy.md#app";
const SPELLINGS_AT: &str = "docs/policy.md#paths-that-servers-read-differently";
const FORGED_AT: &str = "docs/policy.md#headers-that-clients-must-not-send";
const CONNECTIONS_AT: &str = "docs/policy.md#connections-to-the-application";
const LOGIN_AT: &str = "docs/policy.md#login-and-session";
const BEARER_AT: &str = "docs/policy.md#bearer";
const HEADERS_AT: &str = "docs/policy.md#headers";
const RULES_AT: &str = "docs/policy.md#rules";
const SELECTORS_AT: &str = "docs/policy.md#query-hosts-networks-and-times";
const ANSWERS_AT: &str = "docs/policy.md#redirect-and-respond";
const OBSERVE_AT: &str = "docs/policy.md#observe-mode";
const TESTS_AT: &str = "docs/policy.md#tests";

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
        INCLUDE,
        Key::required("app", Kind::Table(&APP), "Where the application is found, and where it runs.").see(APP_AT),
        Key::optional(
            "login",
            Kind::Table(&LOGIN),
            "How people sign in. Without it, and without `bearer`, every rule must be public.",
        )
        .see(LOGIN_AT),
        Key::optional("session", Kind::Table(&SESSION), "How long a session lasts.").see(LOGIN_AT),
        Key::optional("bearer", Kind::Table(&BEARER), "API clients that bring an access token in place of a session.")
            .see(BEARER_AT),
        Key::optional("headers", Kind::Table(&HEADERS), "What the application is told.").see(HEADERS_AT),
        HEADERS_FROM,
        Key::optional("cookies", Kind::Table(&COOKIES), "What the application is told in cookies.")
            .see("docs/policy.md#cookies"),
        Key::optional("response", Kind::Table(&RESPONSE), "What is changed on the application's answers.")
            .see("docs/policy.md#response"),
        limits::NETWORKS_KEY,
        limits::LIMITS_KEY,
        Key::required("rules", Kind::Tables(&RULE), "Who may do what; the first rule that matches decides.")
            .see(RULES_AT),
        Key::optional("tests", Kind::Tables(&TEST), "What the file says that it does.").see(TESTS_AT),
        definitions::CONDITIONS_KEY,
        definitions::GROUPS_KEY,
        definitions::GROUPS_CLAIM_KEY,
        definitions::HEADER_SETS_KEY,
    ],
);

const INCLUDE: Key = Key::optional(
    "include",
    Kind::OneOrMore(&Kind::FILE),
    "Files of [definitions](#shared-definitions) that several policies share, relative to this one.",
)
.see(definitions::SHARED_AT)
.examples(&["[\"shared/groups.toml\"]"]);

const HEADERS_FROM: Key = Key::optional(
    "headers_from",
    Kind::OneOrMore(&Kind::TEXT),
    "[Header sets](#header-sets) whose headers are sent too, unless the table beside it has the same one.",
)
.see(definitions::HEADER_SETS_AT)
.examples(&["[\"common\"]"]);

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
            "title",
            Kind::Text("text"),
            "What people read on the gateway's pages (\"You have been signed out of Royalty statements.\"). Logs, metrics and commands have the file's name.",
        )
        .otherwise("the file's name without `.toml`")
        .examples(&["\"Royalty statements\""]),
        Key::optional(
            "contact",
            Kind::Text("text"),
            "Whom people ask: it stands on pages that tell of a refusal or a failure, above the request id that they should quote.",
        )
        .examples(&["\"the royalty desk, royalty-desk@gmr.example\""]),
        Key::optional(
            "ignore_case",
            Kind::Boolean,
            "Whether path patterns match regardless of the case of ASCII letters.",
        )
        .by_default("false"),
        Key::optional(
            "encoded_slash",
            Kind::Words(&[
                Word::new("refuse", "the request is refused"),
                Word::new("keep", "it is forwarded, and rules must decide alike for both readings"),
            ]),
            "What becomes of `%2F` in a [path](#paths-that-servers-read-differently).",
        )
        .by_default("\"refuse\"")
        .see(SPELLINGS_AT),
        Key::optional(
            "path_parameters",
            Kind::Words(&[
                Word::new("refuse", "the request is refused"),
                Word::new("keep", "they are forwarded, and rules do not see them"),
            ]),
            "What becomes of `;jsessionid=…` and other [parameters](#paths-that-servers-read-differently) at the end of a path.",
        )
        .by_default("\"refuse\"")
        .see(SPELLINGS_AT),
        Key::optional(
            "forged_headers",
            Kind::Words(&[
                Word::new("strip", "the header is taken out"),
                Word::new("reject", "the request is refused"),
            ]),
            "What becomes of a request with a [header that only the gateway may send](#headers-that-clients-must-not-send).",
        )
        .by_default("\"strip\"")
        .see(FORGED_AT),
        Key::optional(
            "keep_alive",
            Kind::Words(&[
                Word::new("always", "all but those with a body that their method has no use for"),
                Word::new("without_body", "those without a body"),
                Word::new("never", "none"),
            ]),
            "Which requests leave their [connection to the application](#connections-to-the-application) for others.",
        )
        .by_default("\"always\"")
        .see(CONNECTIONS_AT),
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
        Key::optional("first_byte", Kind::TIME, "From the last byte of the request to the head of the answer.")
            .by_default("\"60s\""),
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
        Key::optional(
            "claims",
            Kind::OneOrMore(&Kind::TEXT),
            "Claims that the provider sends without being asked by scope: nobody is warned of them.",
        )
        .see(CLAIMS_AT)
        .examples(&["[\"groups\"]"]),
        Key::optional(
            "max_age",
            Kind::TIME,
            "How old a sign-in at the provider may be when a login here begins. For single rules there is `step_up`.",
        )
        .otherwise("what the provider's configuration says"),
        Key::optional(
            "prompt",
            Kind::Text("words"),
            "What the provider shows in any case: one or more of `login`, `consent`, `select_account`, `create`, with a space between.",
        )
        .otherwise("what the provider's configuration says"),
        Key::optional(
            "parameters",
            Kind::Table(&LOGIN_PARAMETERS),
            "Further parameters of authorization requests; they go before those of the provider's configuration.",
        )
        .examples(&["{ domain_hint = \"gmr.example\" }"]),
    ],
);

/// `[login.parameters]`.
pub static LOGIN_PARAMETERS: Table = Table::new(
    "login.parameters",
    LOGIN_AT,
    "Further parameters of authorization requests; none that the gateway sets itself.",
    &[],
)
.names("PARAMETER", Kind::TEXT, "Its value.");

/// `[session]`.
pub static SESSION: Table = Table::new(
    "session",
    LOGIN_AT,
    "How long a session lasts.",
    &[
        Key::optional("idle", Kind::TIME, "A session without a request ends after this.").by_default("\"1h\""),
        Key::optional("max", Kind::TIME, "Every session ends after this.").by_default("\"12h\""),
        Key::optional(
            "refresh",
            Kind::TIME,
            "How old the claims of a session become before the provider is asked for new ones, from `1m`. It needs a provider that gives refresh tokens: [Refresh](sessions.md#refresh).",
        )
        .otherwise("never: the claims are those of the sign-in")
        .examples(&["\"10m\""]),
        Key::optional(
            "posts",
            Kind::Words(&[
                Word::new("keep", "it is kept, sealed, until the person has signed in and confirms it"),
                Word::new("refuse", "it is refused with a page that says so"),
            ]),
            "What becomes of a form that meets no session: [Kept forms](sessions.md#kept-forms).",
        )
        .by_default("\"keep\""),
        Key::optional(
            "group",
            Kind::Text("name"),
            "Applications of one group share the sign-in at their provider: who has a session there gets one here without being shown anything: [Groups](sessions.md#groups).",
        )
        .otherwise("each application by itself")
        .examples(&["\"intranet\""]),
    ],
);
