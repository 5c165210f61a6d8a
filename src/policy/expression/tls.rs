//! `request.tls` in expressions: the version, and the certificate that the client has shown.
//!
//! Every field is always there: without a certificate texts are empty, lists have no element, `verified` is false and `expires` is 0. So
//! no rule passes because something is missing, as long as it compares with something that is not empty.
//!
//! May touch: nothing but memory. Trust boundary: the certificate was verified; what it says is whoever's an authority has signed.

use cel::IdedExpr;
use cel::common::ast::Expr;
use cel::common::types::CelList;
use cel::common::value::CowVal;

use super::Kind;
use super::check::is_name;
use super::scope::{number, text, texts, truth};
use crate::certificate::Certificate;
use crate::policy::decision::TlsFacts;

/// The fields of `request.tls`.
pub(super) const TLS: [&str; 2] = ["client", "version"];
/// The fields of `request.tls.client`.
pub(super) const CLIENT: [&str; 11] = [
    "addresses",
    "common_name",
    "dns_names",
    "emails",
    "expires",
    "fingerprint",
    "issuer",
    "serial",
    "subject",
    "uris",
    "verified",
];

/// Whether a node is `request.tls`.
pub(super) fn is_tls(node: &IdedExpr) -> bool {
    matches!(&node.expr, Expr::Select(select) if !select.test && select.field == "tls" && is_name(&select.operand, "request"))
}

/// Whether a node is `request.tls.client`.
pub(super) fn is_client(node: &IdedExpr) -> bool {
    matches!(&node.expr, Expr::Select(select) if !select.test && select.field == "client" && is_tls(&select.operand))
}

/// What a field of `request.tls.client` holds.
pub(super) fn kind(field: &str) -> Kind {
    match field {
        "verified" => Kind::Bool,
        "expires" => Kind::Number,
        "addresses" | "dns_names" | "emails" | "uris" => Kind::List,
        _ => Kind::Text,
    }
}

/// The value of a field of `request.tls`, with dots: `client.subject`.
pub(super) fn value<'a>(facts: Option<&'a TlsFacts>, field: &str) -> Option<CowVal<'a, 'a>> {
    match field.split_once('.') {
        None if field == "version" => Some(text(facts.map_or("", |tls| tls.version.as_str()))),
        Some(("client", field)) => of_client(facts.and_then(|tls| tls.client.as_deref()), field),
        _ => None,
    }
}

fn of_client<'a>(certificate: Option<&'a Certificate>, field: &str) -> Option<CowVal<'a, 'a>> {
    let word = |pick: fn(&Certificate) -> &String| text(certificate.map_or("", |one| pick(one).as_str()));
    let list = |pick: fn(&Certificate) -> &Vec<String>| {
        CowVal::owned(CelList::from(texts(certificate.map_or(&[], |one| pick(one).as_slice()))))
    };
    Some(match field {
        "verified" => truth(certificate.is_some()),
        "expires" => number(certificate.map_or(0, |one| one.not_after)),
        "subject" => word(|one| &one.subject),
        "issuer" => word(|one| &one.issuer),
        "common_name" => word(|one| &one.common_name),
        "serial" => word(|one| &one.serial),
        "fingerprint" => word(|one| &one.fingerprint),
        "dns_names" => list(|one| &one.dns_names),
        "emails" => list(|one| &one.emails),
        "uris" => list(|one| &one.uris),
        "addresses" => list(|one| &one.addresses),
        _ => return None,
    })
}
