//! What can be written in `[providers.NAME]`; the reader is `config`.
//!
//! May touch: nothing.

use std::time::Duration;

use super::gateway::SECRET;
use super::key::{Key, Kind, Table, Word};

pub(super) const PROVIDERS_AT: &str = "docs/configuration.md#providersname";
const LOGINS_AT: &str = "docs/providers.md#what-a-login-asks-for";
const CLIENT_AT: &str = "docs/providers.md#how-the-gateway-proves-who-it-is";
/// Hosts where people sign in at more than one.
pub const SEVERAL_PROVIDERS_AT: &str = "docs/providers.md#several-providers";

const ALGORITHMS: &[Word] = &[
    Word::new("RS256", ""),
    Word::new("RS384", ""),
    Word::new("RS512", ""),
    Word::new("PS256", ""),
    Word::new("PS384", ""),
    Word::new("PS512", ""),
    Word::new("ES256", ""),
    Word::new("ES384", ""),
    Word::new("ES512", ""),
    Word::new("EdDSA", ""),
];

/// How old a sign-in may be.
const AGE: Kind = Kind::Duration(Duration::from_secs(1), Duration::from_hours(24 * 30));

/// `[providers]`.
pub static PROVIDERS: Table =
    Table::new("providers", PROVIDERS_AT, "The OpenID providers that people sign in at.", &[]).names(
        "NAME",
        Kind::Table(&PROVIDER),
        "One provider. The name is what policies call it: letters, digits, `-`, `_`.",
    );

/// `[providers.NAME]`.
pub static PROVIDER: Table = Table::new(
    "providers.NAME",
    PROVIDERS_AT,
    "One OpenID provider.",
    &[
        Key::required(
            "issuer",
            Kind::Text("URL"),
            "The issuer, exactly as the provider writes it in its tokens: what stands before `/.well-known/openid-configuration`. `https`; `http` only for loopback names, with a warning.",
        )
        .examples(&["\"https://example.okta.com/oauth2/default\""]),
        Key::required("client_id", Kind::TEXT, "What the provider calls this gateway."),
        Key::optional("client_secret", Kind::Table(&SECRET), "The secret that the provider gave this gateway.")
            .otherwise("required unless `client_auth` is `\"private_key_jwt\"` or `\"none\"`")
            .examples(&["{ file = \"okta.secret\" }", "{ env = \"OKTA_SECRET\" }"]),
        Key::optional(
            "client_auth",
            Kind::Words(&[
                Word::new("basic", "the secret in the Authorization header"),
                Word::new("post", "the secret in the form"),
                Word::new("client_secret_jwt", "an assertion signed with the secret"),
                Word::new("private_key_jwt", "an assertion signed with `client_key`"),
                Word::new("none", "a public client"),
            ]),
            "How the gateway proves that it is the client. PKCE is always used.",
        )
        .by_default("\"basic\"")
        .see(CLIENT_AT),
        Key::optional(
            "client_key",
            Kind::Table(&SECRET),
            "For `private_key_jwt`: PEM with a private key of RSA, P-256, P-384, P-521 or Ed25519.",
        )
        .examples(&["{ file = \"okta.pem\" }"])
        .see(CLIENT_AT),
        Key::optional(
            "client_key_id",
            Kind::TEXT,
            "The `kid` of the assertions, by which the provider finds the public key.",
        )
        .see(CLIENT_AT),
        Key::optional(
            "client_key_algorithm",
            Kind::Words(ALGORITHMS),
            "How `client_key` signs; of RSA keys any of RS and PS, the others have one way only.",
        )
        .otherwise("`\"RS256\"`, `\"ES256\"`, `\"ES384\"`, `\"ES512\"` or `\"EdDSA\"`, by the key")
        .see(CLIENT_AT),
        Key::optional(
            "client_assertion_audience",
            Kind::Words(&[
                Word::new("token_endpoint", "its address"),
                Word::new("issuer", "the provider's issuer"),
            ]),
            "Whom assertions are for (`aud`).",
        )
        .by_default("\"token_endpoint\"")
        .see(CLIENT_AT),
        Key::optional(
            "pushed_requests",
            Kind::Boolean,
            "Whether authorization requests are pushed to the provider directly (PAR) also where it does not require it.",
        )
        .by_default("false")
        .see(LOGINS_AT),
        Key::optional(
            "response_mode",
            Kind::Words(&[
                Word::new("query", "in a redirect"),
                Word::new("form_post", "in a form that the browser posts; https only"),
            ]),
            "How responses come back through the browser.",
        )
        .by_default("\"query\"")
        .see(LOGINS_AT),
        Key::optional(
            "callback",
            Kind::Words(&[
                Word::new("shared", "`/.lychgate/callback`"),
                Word::new("own", "`/.lychgate/callback/NAME`"),
            ]),
            "The redirect address on each host. Providers of different issuers must have different ones on a host.",
        )
        .by_default("\"shared\"")
        .see(SEVERAL_PROVIDERS_AT),
        Key::optional(
            "scopes",
            Kind::List(&Kind::Text("scope")),
            "What is asked for; `openid` is added where it is missing.",
        )
        .by_default("[\"openid\", \"profile\", \"email\"]"),
        Key::optional(
            "acr_values",
            Kind::List(&Kind::TEXT),
            "Authentication contexts to ask for where a policy asks for none. A wish: what was reached is not checked. To require one, write `acr` in a policy.",
        )
        .see(LOGINS_AT),
        Key::optional("max_age", AGE, "How old a sign-in at the provider may be when a login here begins; checked.")
            .otherwise("any age")
            .see(LOGINS_AT),
        Key::optional(
            "prompt",
            Kind::Text("words"),
            "What the provider shows in any case: one or more of `login`, `consent`, `select_account`, `create`, with a space between.",
        )
        .examples(&["\"select_account\""])
        .see(LOGINS_AT),
        Key::optional("ui_locales", Kind::List(&Kind::Text("language")), "The languages of its pages, best first.")
            .examples(&["[\"de-AT\", \"de\"]"])
            .see(LOGINS_AT),
        Key::optional(
            "parameters",
            Kind::Table(&PARAMETERS),
            "Further parameters of authorization requests.",
        )
        .examples(&["{ domain_hint = \"gmr.example\" }"])
        .see(LOGINS_AT),
        Key::optional(
            "userinfo",
            Kind::Boolean,
            "Also read the userinfo endpoint after a login, for providers that keep the ID token small.",
        )
        .by_default("false"),
        Key::optional(
            "algorithms",
            Kind::List(&Kind::Words(ALGORITHMS)),
            "With what the provider's tokens may be signed. `none` and shared secrets (HS256 …) are never accepted.",
        )
        .otherwise("all of these that the provider publishes"),
        Key::optional(
            "ca",
            Kind::FILE,
            "PEM with the authorities to trust for this provider, instead of the system's.",
        )
        .otherwise("the system's"),
        Key::optional(
            "clock_skew",
            Kind::Duration(Duration::ZERO, Duration::from_mins(10)),
            "How far the provider's clock may be off.",
        )
        .by_default("\"60s\""),
        Key::optional(
            "events",
            Kind::Table(&EVENTS),
            "Accept security event tokens (SSF, CAEP, RISC) that end sessions, pushed to `/.lychgate/events/set`. `{}` where the provider sends them itself.",
        )
        .see("docs/logout-and-revocation.md#security-event-tokens")
        .examples(&["{}"]),
        Key::optional(
            "okta_hooks",
            Kind::Table(&OKTA_HOOKS),
            "Accept Okta event hooks that end sessions at `/.lychgate/events/okta`.",
        )
        .see("docs/logout-and-revocation.md#okta-event-hooks")
        .examples(&["{ authorization = { file = \"okta-hook.secret\" } }"]),
    ],
);

/// `providers.NAME.events`.
pub static EVENTS: Table = Table::new(
    "providers.NAME.events",
    PROVIDERS_AT,
    "Who sends security event tokens.",
    &[
        Key::optional("issuer", Kind::TEXT, "The transmitter's issuer, exactly as it writes it in its tokens.")
            .otherwise("the provider's `issuer`"),
        Key::optional("audience", Kind::TEXT, "What the transmitter calls this gateway.")
            .otherwise("the provider's `client_id`"),
        Key::optional("jwks_uri", Kind::Text("URL"), "Where the transmitter publishes its keys.")
            .otherwise("the provider's keys"),
        Key::optional(
            "authorization",
            Kind::Table(&SECRET),
            "What the transmitter must send as `Authorization`, whole: `Bearer …`.",
        )
        .otherwise("any; the token's signature is checked all the same")
        .examples(&["{ file = \"events.secret\" }"]),
    ],
);

/// `providers.NAME.okta_hooks`.
pub static OKTA_HOOKS: Table = Table::new(
    "providers.NAME.okta_hooks",
    PROVIDERS_AT,
    "What Okta's event hooks carry.",
    &[Key::required(
        "authorization",
        Kind::Table(&SECRET),
        "The value of the `Authorization` field that is set up for the hook at Okta, whole; at least 16 characters.",
    )
    .examples(&["{ file = \"okta-hook.secret\" }"])],
);

/// `[providers.NAME.parameters]`.
pub static PARAMETERS: Table = Table::new(
    "providers.NAME.parameters",
    LOGINS_AT,
    "Further parameters of authorization requests; none that the gateway sets itself.",
    &[],
)
.names("PARAMETER", Kind::TEXT, "Its value.");
