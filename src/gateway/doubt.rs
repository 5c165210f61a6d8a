//! What an application has a say in before anything else is looked at: doubtful paths and forged headers.
//!
//! A path that is in doubt for most applications is let through for one that wants it kept (P01), as long as both of its
//! readings lead to that application. Forged headers are always taken out (S01); an application can have the whole request refused.
//! Addresses of the gateway's own take no doubtful path, and refuse forged headers where any application of their host does.
//!
//! Trust boundary: path and fields are a stranger's. A request without either costs one branch.

use std::sync::Arc;

use http::HeaderMap;
use http::header::HeaderName;

use super::account::Account;
use super::refusal::Refusal;
use super::{Exchange, is_reserved};
use crate::forward::ScrubSet;
use crate::http::{CanonicalPath, HeadError, PathError, PathSwitches};
use crate::policy::ForgedHeaders;
use crate::snapshot::Route;

/// Refuses what the application of a request, or its host for a reserved address, does not want.
pub(super) fn refuse(
    exchange: &Exchange<'_>,
    route: &Route<'_>,
    reserved: bool,
    headers: &HeaderMap,
    account: &mut Account,
) -> Result<(), Refusal> {
    let forged = forged_header(route, reserved, headers, exchange.snapshot.scrub_set());
    let refusal = match (forged, refused_path(route, &exchange.head.path)) {
        (None, None) => return Ok(()),
        (Some(_), _) => Refusal::ForgedHeader,
        (None, Some(error)) => Refusal::Head(HeadError::Path(error)),
    };
    if let Some(application) = route.application.filter(|_| !reserved) {
        account.routed(application);
    }
    Err(refusal)
}

/// Why a path is refused that was let through for another application of the host.
pub fn refused_path(route: &Route<'_>, path: &CanonicalPath) -> Option<PathError> {
    if path.is_plain() {
        return None;
    }
    let application = route.application.filter(|_| !is_reserved(path));
    let wanted = application.map(|application| application.policy().path_switches()).unwrap_or_default();
    let PathSwitches { encoded_slash, parameters } = path.needs();
    if parameters && !wanted.parameters {
        return Some(PathError::PathParameter);
    }
    let leads_elsewhere = |other: &CanonicalPath| {
        let there = route.application_at(other);
        is_reserved(other) || there.map(Arc::as_ptr) != application.map(Arc::as_ptr)
    };
    let astray = path.other_reading().is_some_and(|other| leads_elsewhere(&other));
    (encoded_slash && (astray || !wanted.encoded_slash)).then_some(PathError::EncodedSlash)
}

/// The field for which the request is refused; `reserved` where its address is the gateway's own.
pub fn forged_header<'h>(
    route: &Route<'_>,
    reserved: bool,
    headers: &'h HeaderMap,
    set: &ScrubSet,
) -> Option<&'h HeaderName> {
    let rejects = match route.application.filter(|_| !reserved) {
        Some(application) => application.policy().forged_headers() == ForgedHeaders::Reject,
        None => route.neighbours.iter().any(|one| one.policy().forged_headers() == ForgedHeaders::Reject),
    };
    if rejects { set.forged(headers) } else { None }
}
