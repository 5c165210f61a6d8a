//! `[bearer]` of a policy.
//!
//! May touch: nothing.

use std::time::Duration;

use super::BEARER_AT;
use crate::reference::key::{Key, Kind, Table, Word};

const ALGORITHM: Kind = Kind::Words(&[
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
]);

/// `[bearer]`.
pub static BEARER: Table = Table::new(
    "bearer",
    BEARER_AT,
    "API clients that bring an access token in place of a session.",
    &[
        Key::optional(
            "provider",
            Kind::TEXT,
            "Whose tokens are accepted: a name from `[providers]` in `lychgate.toml`.",
        )
        .otherwise("that of `login`, or the only one"),
        Key::optional(
            "tokens",
            Kind::Words(&[
                Word::new("jwt", "signed by the provider, and verified here"),
                Word::new("opaque", "of any form; the provider is asked about each"),
            ]),
            "What the tokens are.",
        )
        .by_default("\"jwt\""),
        Key::required(
            "audience",
            Kind::OneOrMore(&Kind::TEXT),
            "What the provider calls this application in a token's `aud`; any one of these must stand there.",
        )
        .examples(&["\"https://royalty.gmr.example/api\""]),
        Key::optional("scopes", Kind::OneOrMore(&Kind::Text("scope")), "Scopes that a token must have, all of them.")
            .examples(&["[\"royalty.read\"]"]),
        Key::optional(
            "clients",
            Kind::OneOrMore(&Kind::TEXT),
            "The clients whose tokens are accepted, by `client_id`, else `azp`, `cid` or `appid`.",
        )
        .otherwise("every client of the provider")
        .examples(&["[\"statement-export\", \"mobile\"]"]),
        Key::optional(
            "acr",
            Kind::OneOrMore(&Kind::TEXT),
            "Authentication contexts, any one of which a token must vouch for; `[]` asks for none.",
        )
        .otherwise("`login.acr`"),
        Key::optional(
            "type",
            Kind::Words(&[
                Word::new("at+jwt", "what RFC 9068 asks for"),
                Word::new("any", "also `JWT` or none, for providers that do not set it"),
            ]),
            "For `jwt`: the `typ` that a token's header must have.",
        )
        .by_default("\"at+jwt\""),
        Key::optional("algorithms", Kind::OneOrMore(&ALGORITHM), "For `jwt`: how tokens may be signed.")
            .otherwise("all of these")
            .examples(&["[\"ES256\"]"]),
        Key::optional(
            "cache",
            Kind::Duration(Duration::from_secs(1), Duration::from_secs(600)),
            "For `opaque`: how long the provider's word on a token is good, and how late a withdrawn one is noticed.",
        )
        .by_default("\"30s\""),
        Key::optional(
            "forward",
            Kind::Boolean,
            "Whether the application gets the accepted token as `Authorization`. Otherwise it never sees that field.",
        )
        .by_default("false"),
    ],
);
