//! What can be written in `lychgate.toml`.
//!
//! The meaning of each key as it stands in `docs/configuration.md` and in the schema; the reader is `config`. How a key is
//! added is told in [`super`].
//!
//! May touch: nothing.

use std::time::Duration;

use super::key::{Key, Kind, Table, Word};
use super::provider::PROVIDERS_AT;
pub use super::provider::{EVENTS, OKTA_HOOKS, PARAMETERS, PROVIDER, PROVIDERS};

const LISTENERS_AT: &str = "docs/configuration.md#listeners-at-least-one";
const TLS_AT: &str = "docs/configuration.md#several-certificates";
const CLIENTS_AT: &str = "docs/configuration.md#client-certificates";
const HSTS_AT: &str = "docs/configuration.md#hsts";
const REDIRECT_AT: &str = "docs/configuration.md#from-http-to-https";
const KEYS_AT: &str = "docs/configuration.md#keys";
const IDENTITY_AT: &str = "docs/configuration.md#identity";
const LIMITS_AT: &str = "docs/configuration.md#limits";
const TIMEOUTS_AT: &str = "docs/configuration.md#timeouts";
const ADMIN_AT: &str = "docs/configuration.md#admin";
const LOG_AT: &str = "docs/configuration.md#log";

/// What stands at the top.
pub static FILE: Table = Table::new(
    "",
    "docs/configuration.md#at-the-top",
    "The gateway: where it listens, its keys, the OpenID providers, limits, logs.",
    &[
        Key::required(
            "policies",
            Kind::List(&Kind::Text("file or folder")),
            "The policy files: a file, a folder (its `*.toml`), or a folder with a pattern (one `*` in the last part). A file's name without `.toml` is the application's name, so no two may have the same.",
        )
        .examples(&["[\"policies/*.toml\"]"]),
        Key::optional("workers", Kind::Integer(1, 1024), "How many worker threads serve.").otherwise("one per core"),
        Key::optional(
            "state",
            Kind::Text("folder"),
            "For what must survive a restart: which sessions were ended, and keys that the gateway made. Made when it is needed, readable by its owner only. Each gateway has its own.",
        )
        .examples(&["\"/var/lib/lychgate\""]),
        Key::optional(
            "trusted_proxies",
            Kind::List(&Kind::Text("network or address")),
            "Whose `Forwarded` and `X-Forwarded-For` are believed, of which a [proxy](#behind-a-load-balancer) writes one and removes the other. From everybody else these headers are removed, and the other `X-Forwarded-*` from everybody.",
        )
        .by_default("[]")
        .examples(&["[\"10.0.0.0/8\"]"]),
        Key::required("listeners", Kind::Tables(&LISTENER), "Where clients connect.").see(LISTENERS_AT),
        Key::optional("keys", Kind::Table(&KEYS), "What seals sessions.")
            .otherwise("a key is made in `state`")
            .see(KEYS_AT),
        Key::optional("identity", Kind::Table(&IDENTITY), "What signs the assertions of who asks.")
            .otherwise("a key is made in `state` when a policy needs one")
            .see(IDENTITY_AT),
        Key::optional("providers", Kind::Table(&PROVIDERS), "The OpenID providers that people sign in at.")
            .see(PROVIDERS_AT),
        Key::optional("limits", Kind::Table(&LIMITS), "How much is accepted.").see(LIMITS_AT),
        Key::optional("timeouts", Kind::Table(&TIMEOUTS), "How long is waited for clients.").see(TIMEOUTS_AT),
        Key::optional("admin", Kind::Table(&ADMIN), "The listener for probes and metrics.").see(ADMIN_AT),
        Key::optional("log", Kind::Table(&LOG), "What is logged, and where.").see(LOG_AT),
        Key::optional(
            "reload",
            Kind::Words(&[
                Word::new("watch", "when a file changes, and when it is asked to"),
                Word::new("signal", "only on SIGHUP and `POST /reload`"),
            ]),
            "When the gateway reads its files again: [Reload](#reload).",
        )
        .by_default("\"watch\""),
    ],
);

/// Each of `[[listeners]]`.
pub static LISTENER: Table = Table::new(
    "listeners",
    LISTENERS_AT,
    "One address that clients connect to.",
    &[
        Key::required("address", Kind::Text("IP address and port"), "Port 0 lets the system choose.")
            .examples(&["\"0.0.0.0:443\"", "\"[::]:443\""]),
        Key::optional(
            "tls",
            Kind::Table(&TLS),
            "The certificates, and what is asked of clients: [below](#several-certificates). TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.",
        )
        .examples(&["{ certificate = \"cert.pem\", key = \"key.pem\" }"]),
        Key::optional(
            "scheme",
            Kind::Words(&[
                Word::new("http", "for trying out on loopback names"),
                Word::new("https", "without `tls` it says that a load balancer in front ends TLS"),
            ]),
            "What browsers see.",
        )
        .otherwise("`\"https\"` with `tls`, else `\"http\"`"),
        Key::optional(
            "proxy_protocol",
            Kind::Boolean,
            "`true` when every connection begins with a PROXY header (version 1 or 2) of a load balancer in `trusted_proxies`. Whom it names is the client; everybody else is turned away.",
        )
        .by_default("false"),
        Key::optional(
            "allow",
            Kind::List(&Kind::Text("network or address")),
            "From where clients may connect; others are turned away before anything is read.",
        )
        .otherwise("everywhere")
        .examples(&["[\"10.0.0.0/8\", \"2001:db8::/32\"]"]),
        Key::optional(
            "deny",
            Kind::List(&Kind::Text("network or address")),
            "From where they may not, whatever `allow` says.",
        )
        .by_default("[]")
        .examples(&["[\"10.9.0.0/16\"]"]),
        Key::optional(
            "hsts",
            Kind::Either(&[Kind::Boolean, Kind::Table(&HSTS)]),
            "`Strict-Transport-Security`: browsers come back over https only. A table or `true` replaces what the application says, `false` leaves it alone. Only where browsers see https, and never for loopback names: [HSTS](#hsts).",
        )
        .otherwise("`max-age` of 180 days, where the application says nothing"),
        Key::optional(
            "redirect",
            Kind::Either(&[
                Kind::Words(&[Word::new("https", "to the same host and path, at port 443")]),
                Kind::Table(&REDIRECT),
            ]),
            "Nothing is served here: whoever asks for a host that a policy has is sent to https. Only without `tls`.",
        )
        .examples(&["{ port = 8443 }"]),
    ],
);

/// `listeners.tls`.
pub static TLS: Table = Table::new(
    "listeners.tls",
    TLS_AT,
    "Certificates, and what is asked of clients.",
    &[
        Key::optional("certificate", Kind::FILE, "PEM with the chain, the server's own certificate first."),
        Key::optional("key", Kind::FILE, "PEM with the private key of `certificate`, unencrypted."),
        Key::optional(
            "certificates",
            Kind::List(&Kind::Table(&CERTIFICATE)),
            "Several certificates, in place of `certificate` and `key`. Which one is shown depends on the name that the client asks for; the first is for all names that no other has.",
        )
        .examples(&["[{ certificate = \"a.pem\", key = \"a-key.pem\" }, { certificate = \"b.pem\", key = \"b-key.pem\" }]"]),
        Key::optional("client", Kind::Table(&CLIENT_CERTIFICATES), "What certificates clients show.")
            .otherwise("they are not asked for one")
            .see(CLIENTS_AT),
    ],
)
.one_of(&["certificate", "certificates"]);

/// Each of `listeners.tls.certificates`.
pub static CERTIFICATE: Table = Table::new(
    "listeners.tls.certificates",
    TLS_AT,
    "A certificate and its key.",
    &[
        Key::required("certificate", Kind::FILE, "PEM with the chain, the server's own certificate first."),
        Key::required("key", Kind::FILE, "PEM with the certificate's private key, unencrypted."),
    ],
);

/// `listeners.tls.client`.
pub static CLIENT_CERTIFICATES: Table = Table::new(
    "listeners.tls.client",
    CLIENTS_AT,
    "What certificates clients show.",
    &[
        Key::required("ca", Kind::List(&Kind::FILE), "PEM with the authorities that certify clients, each trusted within its own dates. No other is trusted."),
        Key::required(
            "mode",
            Kind::Words(&[
                Word::new("required", "on this listener a client without a certificate gets no connection; on others it may"),
                Word::new("optional", "it gets one, and `request.tls.client.verified` is false"),
            ]),
            "Whether a client must have a certificate. One that cannot be verified is refused either way.",
        ),
        Key::optional(
            "crl",
            Kind::List(&Kind::FILE),
            "PEM with revocation lists. There must be one for each authority on the way to a client's certificate, and none may be out of date. Of several of one authority the newest counts.",
        )
        .otherwise("nothing is revoked"),
    ],
);

/// `listeners.hsts`.
pub static HSTS: Table = Table::new(
    "listeners.hsts",
    HSTS_AT,
    "What browsers remember about coming over https only.",
    &[
        Key::optional(
            "max_age",
            Kind::Duration(Duration::ZERO, HSTS_MOST),
            "For how long; `\"0s\"` makes them forget it.",
        )
        .by_default("\"180d\""),
        Key::optional("include_subdomains", Kind::Boolean, "Whether it holds for all names below the host, too.")
            .by_default("false"),
        Key::optional(
            "preload",
            Kind::Boolean,
            "Asks for a place in the lists that browsers are shipped with. Needs `include_subdomains` and a year.",
        )
        .by_default("false"),
    ],
);

/// `listeners.redirect` as a table.
pub static REDIRECT: Table = Table::new(
    "listeners.redirect",
    REDIRECT_AT,
    "Where a listener sends everybody.",
    &[
        Key::optional("port", Kind::Integer(1, 65535), "The port at which browsers reach https.").by_default("443"),
        Key::optional(
            "status",
            Kind::Words(&[
                Word::new("308", "the method and the body stay"),
                Word::new("301", "what old programs know; most of them make a GET of it"),
            ]),
            "The status of the answer.",
        )
        .by_default("\"308\""),
    ],
);

/// Two years of 365.25 days, the most that anybody asks for.
const HSTS_MOST: Duration = Duration::from_secs(2 * 31_557_600);

/// `[keys]`.
pub static KEYS: Table = Table::new(
    "keys",
    KEYS_AT,
    "What seals sessions.",
    &[Key::optional(
        "session",
        Kind::List(&Kind::Table(&SECRET)),
        "1 to 16 keys, each 32 bytes in base64, what `lychgate keygen` prints; one that is text, counts or repeats itself is refused. The first seals new sessions, all of them open.",
    )
    .otherwise("made in `state`")
    .examples(&["[{ file = \"keys/2026-11.key\" }, { file = \"keys/2026-05.key\" }]"])],
);

/// `[identity]`.
pub static IDENTITY: Table = Table::new(
    "identity",
    IDENTITY_AT,
    "What signs the assertions of who asks.",
    &[Key::optional(
        "keys",
        Kind::List(&Kind::Table(&SECRET)),
        "1 to 8 private keys in PEM, each an EC key on P-256. The first signs, all of them are published.",
    )
    .otherwise("made in `state`")
    .examples(&["[{ file = \"keys/identity.pem\" }, { file = \"keys/identity-next.pem\" }]"])],
);

/// A secret, named by its source.
pub static SECRET: Table = Table::new(
    "secret",
    "docs/configuration.md#conventions",
    "Where a secret is read: exactly one source.",
    &[
        Key::optional("file", Kind::FILE, "A file that holds nothing else; one line end at its end is not part of it."),
        Key::optional("env", Kind::Text("variable"), "An environment variable that holds it."),
        Key::optional("value", Kind::TEXT, "The secret itself. Accepted with a warning: it can be read with the file."),
    ],
)
.one_of(&["file", "env", "value"]);

/// `[limits]`. The least `header_bytes` is what HTTP/2 needs at the least for a head.
pub static LIMITS: Table = Table::new(
    "limits",
    LIMITS_AT,
    "How much is accepted.",
    &[
        Key::optional("header_bytes", Kind::Size(8 << 10, 1 << 20), "Bytes of a request's head.")
            .by_default("\"32KiB\""),
        Key::optional("header_count", Kind::Integer(10, 1000), "Fields of a request's head.").by_default("100"),
        Key::optional("body", Kind::Size(1, 1 << 44), "Bytes of a request's body.").by_default("\"1GiB\""),
        Key::optional(
            "connections",
            Kind::Integer(1, 10_000_000),
            "Open client connections in all, and no more than half of the [open files](#open-files) that are allowed.",
        )
        .by_default("10000"),
        Key::optional(
            "connections_per_address",
            Kind::Integer(1, 10_000_000),
            "Of those, how many one client may have: one IPv4 address, or one IPv6 network of 64 bits; behind NAT64 (`64:ff9b::/96`) one IPv4 address too. Peers in `trusted_proxies` are not counted.",
        )
        .by_default("1024"),
        Key::optional(
            "strangers",
            Kind::Table(&STRANGERS),
            "What one address may make the gateway do without being known: [Strangers](#strangers).",
        ),
    ],
);

/// `[limits.strangers]`.
pub static STRANGERS: Table = Table::new(
    "limits.strangers",
    LIMITS_AT,
    "What one address may make the gateway do without being known.",
    &[
        Key::optional("requests", Kind::Integer(1, 1_000_000_000), "How many requests.").by_default("1200"),
        Key::optional("every", Kind::TIME, "In which time.").by_default("\"1m\""),
        Key::optional("burst", Kind::Integer(1, 1_000_000_000), "How many of them may come at once.")
            .by_default("3000"),
    ],
);

/// None can be switched off.
const WAIT: Kind = Kind::Duration(Duration::from_millis(10), Duration::from_hours(24));

/// `[timeouts]`.
pub static TIMEOUTS: Table = Table::new(
    "timeouts",
    TIMEOUTS_AT,
    "How long is waited for clients; none can be switched off.",
    &[
        Key::optional("handshake", WAIT, "For the whole TLS handshake.").by_default("\"10s\""),
        Key::optional(
            "first_byte",
            WAIT,
            "From accepting a connection to the first byte of its first request; on HTTP/2 to the end of that request's head.",
        )
        .by_default("\"30s\""),
        Key::optional("header", WAIT, "On HTTP/1.1 from the first byte of a request to the end of its head.")
            .by_default("\"15s\""),
        Key::optional("idle", WAIT, "For the next request on a kept connection.").by_default("\"75s\""),
        Key::optional(
            "body_stall",
            WAIT,
            "Without progress in a request's body, or with a client that takes nothing of an answer. The system tells of what a client takes in steps of 64 KiB and more; on HTTP/2 less than 1 KiB counts as nothing, unless it is the end of a piece, and so does it where a client opens a connection's window by less than 16 KiB in all.",
        )
        .by_default("\"30s\""),
        Key::optional("drain", WAIT, "From SIGTERM to the end of the last request.").by_default("\"30s\""),
    ],
);

/// `[admin]`.
pub static ADMIN: Table = Table::new(
    "admin",
    ADMIN_AT,
    "The listener for probes and metrics.",
    &[
        Key::optional(
            "address",
            Kind::Text("IP address and port"),
            "Where `/livez`, `/readyz`, `/metrics` (Prometheus), `/policies`, `/reload` and `/revocations` are. Not authenticated: keep it away from clients. Where probes come over the network, as in Kubernetes, `\"0.0.0.0:9180\"`.",
        )
        .by_default("\"127.0.0.1:9180\""),
        Key::optional("enabled", Kind::Boolean, "`false` for no admin listener at all.").by_default("true"),
    ],
);

/// `[log]`.
pub static LOG: Table = Table::new(
    "log",
    LOG_AT,
    "What is logged, and where.",
    &[
        Key::optional(
            "access",
            Kind::Either(&[
                Kind::Words(&[Word::new("stdout", ""), Word::new("stderr", ""), Word::new("off", "")]),
                Kind::Table(&LOG_FILE),
            ]),
            "Where the access log goes. One JSON object a line: [access-log.md](access-log.md).",
        )
        .by_default("\"stdout\"")
        .examples(&["{ file = \"access.log\" }"]),
        Key::optional(
            "level",
            Kind::Words(&[
                Word::new("error", ""),
                Word::new("warn", ""),
                Word::new("info", ""),
                Word::new("debug", ""),
                Word::new("trace", ""),
                Word::new("off", ""),
            ]),
            "The least weight of the gateway's own messages on standard error.",
        )
        .by_default("\"info\""),
        Key::optional(
            "replay",
            Kind::Boolean,
            "Also log what rules decide by (the query parameters that a rule names, the claims that conditions read, how the person signed in), so that [`lychgate replay`](commands.md#replay) can decide it again. These are personal data: [access-log.md](access-log.md#replay).",
        )
        .by_default("false"),
    ],
);

/// `log.access` as a table.
pub static LOG_FILE: Table = Table::new(
    "log.access",
    LOG_AT,
    "A file for the access log.",
    &[Key::required("file", Kind::FILE, "The file; lines are added at its end, and its folder must exist.")],
);
