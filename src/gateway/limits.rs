//! Limits on the way of a request: from where, how often, how many at once.
//!
//! What costs least is asked first. [`at_the_door`], before anything is opened: the client's network, then the application's rates per
//! address. [`of_person`], once it is known who asks and before a provider is: its rates per person. [`of_rule`], once a rule has decided,
//! whatever it decided: the rule's own. [`enter`], before a request goes out: how many are in the application. [`stranger`] holds for the
//! whole gateway, where somebody unknown makes it work: logins that begin and come back, forms that are kept, addresses of nothing; and
//! [`Stranger`] where they make a provider work: questions about tokens that are not good.
//!
//! Whoever is over a limit of their own gets 429 and is told when to come again; where the application is full, everybody gets 503
//! (decision 0049). A limit that observes is counted like others and refuses nobody. An application without limits costs one branch each time.
//!
//! May touch: counters in memory. Bounds and what a stranger can do: `limit`. Trust boundary: the client's address is established before.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::account::Account;
use super::addresses;
use super::caller::Caller;
use super::refusal::Refusal;
use super::{Exchange, Gateway};
use crate::http::CanonicalPath;
use crate::limit::{CrowdPlace, Moment, Place, Who};
use crate::observe::Decision;
use crate::oidc::Questioner;
use crate::policy::Per;
use crate::snapshot::{Application, Limiter, Route};

/// What a request holds while it is in the application.
pub(super) struct Held(#[expect(dead_code, reason = "dropping them gives them back")] Vec<HeldPlace>);

/// One place.
enum HeldPlace {
    Whole(#[expect(dead_code, reason = "dropping it gives it back")] Place),
    Person(#[expect(dead_code, reason = "dropping it gives it back")] CrowdPlace),
}

/// What stands in the way of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// Too many requests in the time; when to come again.
    Rate(Duration),
    /// Too many requests of this person are in the application.
    Person,
    /// Too many requests of anybody are in the application.
    Full,
}

impl Over {
    /// The reason code for the log.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Rate(_) => "rate_limited",
            Self::Person => "too_many_of_one",
            Self::Full => "too_many_in_flight",
        }
    }

    /// The seconds after which trying again can help.
    pub(super) fn wait(self) -> u64 {
        match self {
            Self::Rate(wait) => wait.as_secs() + u64::from(wait.subsec_nanos() > 0),
            // Nobody knows when a request ends.
            Self::Person | Self::Full => 1,
        }
    }
}

/// Whether a client at `address` may come to this path at all.
pub fn admits(route: &Route<'_>, path: &CanonicalPath, address: IpAddr) -> bool {
    match route.application {
        _ if addresses::is_reserved(path) => addresses::is_for_programs(path) || route.admits(address),
        Some(application) => application.admits(address),
        None => true,
    }
}

/// Refuses a client that may not come to this host and application at all.
pub(super) fn admitted(exchange: &Exchange<'_>, route: &Route<'_>, account: &mut Account) -> Result<(), Refusal> {
    if admits(route, &exchange.head.path, exchange.origin.client) {
        return Ok(());
    }
    if let Some(application) = route.application {
        account.routed(application);
    }
    account.decided(Decision::Deny, None, None);
    Err(Refusal::NetworkDenied)
}

/// Counts a request by its address, before anything is opened.
pub(super) fn at_the_door(
    exchange: &Exchange<'_>,
    application: &Application,
    account: &mut Account,
) -> Result<(), Refusal> {
    let Some(limiter) = application.guard().and_then(|guard| guard.whole()) else { return Ok(()) };
    let over = rate(limiter, &[(Per::Address, Who::at(exchange.origin.client))], exchange.gateway);
    hold(over, limiter, None, account)
}

/// Counts a request by who makes it.
pub(super) fn of_person(
    exchange: &Exchange<'_>,
    application: &Application,
    who: Option<&Caller>,
    account: &mut Account,
) -> Result<(), Refusal> {
    let Some(limiter) = application.guard().and_then(|guard| guard.whole()) else { return Ok(()) };
    let over = rate(limiter, &[(Per::Person, counted(exchange, who))], exchange.gateway);
    let held = hold(over, limiter, None, account);
    if let (Err(_), Some(who)) = (&held, who) {
        account.recognised(who);
    }
    held
}

/// Counts a request by the rule that has decided it.
pub(super) fn of_rule(
    exchange: &Exchange<'_>,
    application: &Application,
    rule: Option<&str>,
    who: Option<&Caller>,
    account: &mut Account,
) -> Result<(), Refusal> {
    let limiter = application.guard().zip(rule).and_then(|(guard, rule)| guard.of_rule(rule));
    let Some(limiter) = limiter else { return Ok(()) };
    let both = [(Per::Address, Who::at(exchange.origin.client)), (Per::Person, counted(exchange, who))];
    let over = rate(limiter, &both, exchange.gateway);
    hold(over, limiter, rule, account)
}

/// Takes the places of a request that goes to the application.
pub(super) fn enter(
    exchange: &Exchange<'_>,
    application: &Application,
    rule: &str,
    account: &mut Account,
) -> Result<Option<Held>, Refusal> {
    let Some(guard) = application.guard() else { return Ok(None) };
    let mut held = Vec::new();
    for (limiter, rule) in [(guard.whole(), None), (guard.of_rule(rule), Some(rule))] {
        let Some(limiter) = limiter else { continue };
        let over = places(limiter, counted(exchange, account.known()), &mut held);
        hold(over, limiter, rule, account)?;
    }
    Ok((!held.is_empty()).then_some(Held(held)))
}

/// Counts what a stranger makes the gateway do.
pub(super) fn stranger(exchange: &Exchange<'_>) -> Result<(), Refusal> {
    Stranger(exchange).asks().map_err(|wait| Refusal::Over(Over::Rate(wait)))
}

/// Whoever sends a request, as long as nobody knows who they are.
pub(super) struct Stranger<'a>(pub(super) &'a Exchange<'a>);

impl Questioner for Stranger<'_> {
    fn asks(&self) -> Result<(), Duration> {
        let Exchange { gateway, origin, .. } = self.0;
        gateway.common.strangers.take(Who::at(origin.client), moment(gateway))
    }

    fn asked_for_nothing(&self) {
        let Exchange { gateway, origin, .. } = self.0;
        gateway.common.strangers.give_back(Who::at(origin.client), moment(gateway));
    }
}

/// Whose request it is, for limits that count people.
fn counted<'a>(exchange: &Exchange<'_>, who: Option<&'a Caller>) -> Who<'a> {
    match who.map(Caller::person) {
        Some((provider, subject)) => Who::Person { provider, subject },
        None => Who::at(exchange.origin.client),
    }
}

/// The longest wait of all rates that are counted so. What one of them refuses counts towards none: else whoever is over a rate of their own
/// would use up that of the address, which others have too.
fn rate(limiter: &Limiter, counted: &[(Per, Who<'_>)], gateway: &Arc<Gateway>) -> Option<Over> {
    let now = moment(gateway);
    let (mut longest, mut refused_by) = (None, 0_u64);
    let counters = || counted.iter().flat_map(|(per, who)| limiter.rates(*per).map(move |counter| (counter, *who)));
    for (index, (counter, who)) in counters().enumerate() {
        if let Err(wait) = counter.take(who, now) {
            longest = longest.max(Some(wait));
            refused_by |= 1 << index;
        }
    }
    if longest.is_some() {
        let passed = counters().enumerate().filter(|(index, _)| refused_by & (1 << index) == 0);
        passed.for_each(|(_, (counter, who))| counter.give_back(who, now));
    }
    longest.map(Over::Rate)
}

fn places(limiter: &Limiter, who: Who<'_>, held: &mut Vec<HeldPlace>) -> Option<Over> {
    let (limits, mut over) = (limiter.limits(), None);
    if let Some(most) = limits.concurrency_per_person {
        match limiter.crowd().take(who, most) {
            Some(place) => held.push(HeldPlace::Person(place)),
            None if !limits.observes => return Some(Over::Person),
            None => over = Some(Over::Person),
        }
    }
    if let Some(most) = limits.concurrency {
        match limiter.places().take(most) {
            Some(place) => held.push(HeldPlace::Whole(place)),
            None => over = Some(Over::Full),
        }
    }
    over
}

/// Refuses what is over a limit, or notes that it would be.
fn hold(over: Option<Over>, limiter: &Limiter, rule: Option<&str>, account: &mut Account) -> Result<(), Refusal> {
    let Some(over) = over else { return Ok(()) };
    if limiter.limits().observes {
        account.observed_over(over, rule);
        return Ok(());
    }
    account.decided(Decision::Refused, rule, None);
    Err(Refusal::Over(over))
}

fn moment(gateway: &Arc<Gateway>) -> Moment {
    Moment::from_millis(gateway.now().millis())
}
