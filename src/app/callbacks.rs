//! Redirect addresses on hosts where people sign in at several providers: a response does not always say whose it is, so its address must.
//!
//! With one address for two issuers, whoever runs the one can have people sent on to the other and gets their code (RFC 9700 section 4.4,
//! `docs/decisions/0098-whose-response-it-is-is-said-by-its-address.md`). Two clients of one issuer are not apart: there is one token endpoint.
//!
//! May touch: nothing. Trust boundary: the administrator's files.

use std::collections::BTreeMap;

use crate::config::{Callback, Config, ProviderConfig};
use crate::diagnostic::{Diagnostic, Report};
use crate::doctor;
use crate::policy::Policy;
use crate::reference;

/// For each host, the providers that people sign in at there, each with the first application of it.
type Hosts<'a> = BTreeMap<&'a str, BTreeMap<&'a str, (&'a ProviderConfig, &'a str)>>;

/// Reports every set of providers of different issuers that have one address on a host.
pub(super) fn check(config: &Config, policies: &[Policy], report: &mut Report) {
    let hosts = hosts(config, policies);
    let mut told: BTreeMap<Vec<&str>, (Vec<&ProviderConfig>, Vec<&str>)> = BTreeMap::new();
    for (host, here) in &hosts {
        let mut addresses: BTreeMap<String, Vec<&ProviderConfig>> = BTreeMap::new();
        for (provider, _) in here.values() {
            // To some providers upper and lower case are the same.
            let address = provider.callback.path(&provider.name).to_ascii_lowercase();
            addresses.entry(address).or_default().push(provider);
        }
        for same in addresses.into_values().filter(|same| have_several_issuers(same)) {
            let names = same.iter().map(|provider| &*provider.name).collect();
            told.entry(names).or_insert((same, Vec::new())).1.push(host);
        }
    }
    for (providers, at) in told.values() {
        report.push(finding(config, &hosts, providers, at));
    }
}

fn hosts<'a>(config: &'a Config, policies: &'a [Policy]) -> Hosts<'a> {
    let mut hosts = Hosts::new();
    for policy in policies.iter().filter(|policy| !policy.is_shadow()) {
        let Some(login) = policy.login() else { continue };
        let Some(provider) = config.providers.iter().find(|one| one.name == login.provider) else { continue };
        for host in policy.hosts() {
            let here = hosts.entry(host.as_str()).or_default();
            here.entry(&provider.name).or_insert((provider, &**policy.name()));
        }
    }
    hosts
}

fn have_several_issuers(providers: &[&ProviderConfig]) -> bool {
    providers.windows(2).any(|pair| matches!(pair, [one, other] if one.issuer_text != other.issuer_text))
}

fn finding(config: &Config, hosts: &Hosts<'_>, providers: &[&ProviderConfig], at: &[&str]) -> Diagnostic {
    let host = at.first().copied().unwrap_or_default();
    let more = match at.len() {
        0 | 1 => String::new(),
        len => format!(" (and on {} more)", len - 1),
    };
    let of =
        |provider: &ProviderConfig| hosts.get(host).and_then(|here| here.get(&*provider.name)).map(|(_, app)| *app);
    let who =
        |provider: &&ProviderConfig| format!("`{}` (policy `{}`)", provider.name, of(provider).unwrap_or_default());
    let who: Vec<String> = providers.iter().map(who).collect();
    let message = format!(
        "people sign in on `{host}`{more} at {}, and the responses of these providers come to one address: whoever runs one of them could sign in as anybody of another",
        who.join(" and ")
    );
    let own = |provider: &ProviderConfig| provider.callback == Callback::Own;
    let help = if providers.iter().any(|provider| own(provider)) {
        "give them names that do not differ in upper and lower case alone".to_owned()
    } else {
        let register: Vec<String> = providers.iter().map(|provider| addresses(config, hosts, provider)).collect();
        format!(
            "write callback = \"own\" in all of these but one, and register first what each of them needs: {}",
            register.join("; ")
        )
    };
    Diagnostic::error(message).help(help).docs(reference::SEVERAL_PROVIDERS_AT)
}

/// What is to be registered at a provider that has addresses of its own: one for each host where people sign in at it.
fn addresses(config: &Config, hosts: &Hosts<'_>, provider: &ProviderConfig) -> String {
    let path = Callback::Own.path(&provider.name);
    let at = hosts.iter().filter(|(_, here)| here.contains_key(&*provider.name));
    let all: Vec<String> = at.map(|(host, _)| format!("{}{path}", doctor::origin(config, host))).collect();
    format!("[providers.{}] {}", provider.name, all.join(" "))
}
