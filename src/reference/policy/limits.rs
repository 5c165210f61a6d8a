//! `[limits]` and `[networks]` of a policy, and `limits` of a rule.
//!
//! May touch: nothing.

use super::MODE;
use crate::reference::key::{Key, Kind, Table, Word};

const LIMITS_AT: &str = "docs/policy.md#limits";
const NETWORKS_AT: &str = "docs/policy.md#networks";

/// A time in which requests are counted.
const EVERY: Kind = Kind::TIME;

pub(super) const LIMITS_KEY: Key = Key::optional(
    "limits",
    Kind::Table(&LIMITS),
    "How much one client may ask for, and how much the application takes.",
)
.see(LIMITS_AT);

pub(super) const NETWORKS_KEY: Key =
    Key::optional("networks", Kind::Table(&NETWORKS), "From where the application can be reached at all.")
        .see(NETWORKS_AT);

pub(super) const RULE_LIMITS_KEY: Key = Key::optional(
    "limits",
    Kind::Table(&LIMITS),
    "[Limits](#limits) for the requests that this rule decides, over those of the application.",
)
.see(LIMITS_AT)
.examples(&["{ rate = { per = \"address\", requests = 5, every = \"1m\" } }"]);

/// `[limits]`.
pub static LIMITS: Table = Table::new(
    "limits",
    LIMITS_AT,
    "How much one client may ask for, and how much the application takes.",
    &[
        Key::optional(
            "rate",
            Kind::OneOrMore(&Kind::Table(&RATE)),
            "How many requests in which time. What is over it gets 429 and is told when to come again.",
        )
        .examples(&["{ per = \"person\", requests = 100, every = \"1m\" }"]),
        Key::optional(
            "concurrency",
            Kind::Integer(1, 1_000_000),
            "How many requests may be in the application at once. What is over it gets 503.",
        )
        .examples(&["50"]),
        Key::optional(
            "concurrency_per_person",
            Kind::Integer(1, 1_000_000),
            "How many of one person, or of one address where nobody is known. What is over it gets 429.",
        )
        .examples(&["8"]),
        Key::optional(
            "mode",
            MODE,
            "Whether the limits hold, or what they would refuse is only [logged](#observe-mode).",
        )
        .by_default("\"enforce\""),
    ],
);

/// Each `rate` of `[limits]`.
pub static RATE: Table = Table::new(
    "rate",
    LIMITS_AT,
    "How many requests in which time.",
    &[
        Key::required(
            "per",
            Kind::Words(&[
                Word::new(
                    "address",
                    "each address by itself; IPv6 addresses by their first 64 bits, behind NAT64 (`64:ff9b::/96`) by the IPv4 address",
                ),
                Word::new(
                    "person",
                    "each person, in all their sessions and with all their tokens; where nobody is known, each address",
                ),
            ]),
            "Whose requests are counted together.",
        ),
        Key::required("requests", Kind::Integer(1, 1_000_000_000), "How many requests.").examples(&["100"]),
        Key::required("every", EVERY, "In which time.").examples(&["\"1m\""]),
        Key::optional("burst", Kind::Integer(1, 1_000_000_000), "How many of them may come at once.")
            .otherwise("`requests`")
            .examples(&["20"]),
    ],
);

/// `[networks]`.
pub static NETWORKS: Table = Table::new(
    "networks",
    NETWORKS_AT,
    "From where the application can be reached at all.",
    &[
        Key::optional(
            "allow",
            Kind::OneOrMore(&Kind::Text("network")),
            "Networks or addresses, in any one of which a client must be.",
        )
        .otherwise("everywhere")
        .examples(&["[\"10.0.0.0/8\", \"2001:db8::/32\"]"]),
        Key::optional(
            "deny",
            Kind::OneOrMore(&Kind::Text("network")),
            "Networks or addresses, in none of which it may be; asked before `allow`.",
        )
        .examples(&["\"10.66.0.0/16\""]),
    ],
);
