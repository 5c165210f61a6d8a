//! Functions of network and mail addresses.
//!
//! May touch: nothing. Trust boundary: a mail address is a provider's and may be anything that a person typed there; it
//! satisfies a domain rule only when it is one address and the provider vouches for it (S09).
//! Specification: RFC 5322 section 3.4.1, OpenID Connect Core section 5.1 (`email_verified`), RFC 4632.

use std::net::IpAddr;

use cel::ExecutionError;
use cel::common::types::CelBool;

use super::super::constant::Constant;
use super::{Answer, Arguments, Call, give_bool};

/// Whether an address lies in one of the networks.
pub(super) fn in_cidr<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("inCidr", &arguments)?;
    let address: IpAddr = call.text(0)?.parse().map_err(|_| call.failed("this is no address"))?;
    let Some(Constant::Networks(networks)) = call.any(1)?.downcast_ref::<Constant>() else {
        return Err(call.wrong_type());
    };
    call.budget.spend(networks.len())?;
    let address = address.to_canonical();
    give_bool(networks.iter().any(|network| network.contains(&address)))
}

/// The domain of an address that the provider vouches for; `true` as the second argument says that it does.
pub(super) fn domain_of<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("domainOf", &arguments)?;
    let domain = domain(call.text(0)?)?;
    match call.any(1)?.downcast_ref::<CelBool>() {
        Some(verified) if *verified.inner() => call.give(domain),
        _ => Err(ExecutionError::no_such_key("a verified e-mail address")),
    }
}

/// The domain of an address, whoever vouches for it.
pub(super) fn unverified_domain_of<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("unverifiedDomainOf", &arguments)?;
    call.give(domain(call.text(0)?)?)
}

/// What stands behind the only `@`, its ASCII letters in lower case: no other letter becomes one of those by that.
fn domain(address: &str) -> Result<String, ExecutionError> {
    let parts = address.split_once('@').filter(|(local, domain)| {
        let sound = |character: char| character.is_alphanumeric() || matches!(character, '-' | '.');
        !local.is_empty() && !domain.is_empty() && domain.chars().all(sound)
    });
    let (_, domain) = parts.ok_or_else(|| ExecutionError::no_such_key("a single e-mail address"))?;
    Ok(domain.to_ascii_lowercase())
}
