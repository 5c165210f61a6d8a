//! Claims that a policy reads and that a provider probably does not send: never asked for by scope, or misspelt.
//!
//! Providers may send what they like, so these are warnings; `login.claims` names what is known to come. Each claim is
//! reported once for each policy, where it is read first.
//!
//! May touch: nothing. Trust boundary: the file is an administrator's. Specification: OpenID Connect Core 1.0 section 5.1
//! (standard claims) and 5.4 (the scopes that bring them).

use std::collections::BTreeSet;
use std::ops::Range;

use super::app::Login;
use super::compile::ProviderFacts;
use super::definitions::Uses;
use super::expression::Named;
use super::reader::{ClaimNote, Reading};
use crate::diagnostic::{Diagnostic, nearest};
use crate::reference;

/// Each scope of section 5.4 and the claims that it brings.
const SCOPES: [(&str, &[&str]); 4] = [
    (
        "profile",
        &[
            "name",
            "family_name",
            "given_name",
            "middle_name",
            "nickname",
            "preferred_username",
            "profile",
            "picture",
            "website",
            "gender",
            "birthdate",
            "zoneinfo",
            "locale",
            "updated_at",
        ],
    ),
    ("email", &["email", "email_verified"]),
    ("address", &["address"]),
    ("phone", &["phone_number", "phone_number_verified"]),
];

/// A claim that many providers send for a scope of the same name, which no specification defines.
const GROUPS: &str = "groups";

/// Claims of common providers that look like slips of the finger.
const KNOWN: [&str; 7] = ["mail", "emails", "group", "role", "roles", "names", "phone"];

/// The shortest name that is long enough to be a slip of the finger.
const SHORTEST: usize = 4;

/// Warns of the claims that are read in these files, as far as something uses what reads them.
pub(super) fn check<'r, 'f: 'r>(
    login: &Login,
    providers: &[ProviderFacts<'_>],
    (uses, named): (&Uses, &Named),
    readings: impl Iterator<Item = &'r mut Reading<'f>>,
) {
    let scopes = providers.iter().find(|provider| *provider.name == *login.provider).and_then(|found| found.scopes);
    let mut seen: BTreeSet<Box<str>> = login.claims.iter().map(|claim| claim.as_str().into()).collect();
    for reading in readings {
        let used = |note: &&ClaimNote| uses.include(note.owner.as_ref(), named);
        let mut notes: Vec<_> = reading.claims().iter().filter(used).collect();
        notes.sort_by_key(|note| note.span.start);
        let first = notes.into_iter().filter(|note| seen.insert(note.claim.clone()));
        let findings: Vec<_> = first
            .filter_map(|note| {
                let finding = finding(&note.claim, &login.provider, scopes)?;
                Some((note.claim.clone(), finding, note.span.clone()))
            })
            .collect();
        for (claim, finding, span) in findings {
            let span = narrowed(reading.file().text(), span, &claim);
            reading.push(finding.docs(reference::policy::CLAIMS_AT), span);
        }
    }
}

/// What stands before a group's name.
const MEMBER: &str = "memberOf(";

/// Where a claim's name stands within an expression, which was read by a parser that tells no places.
fn narrowed(file: &str, span: Range<usize>, claim: &str) -> Range<usize> {
    let Some(text) = file.get(span.clone()) else { return span };
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let named = text.match_indices(claim).map(|(at, _)| at).find(|at| {
        let (before, after) = (text.get(..*at).unwrap_or_default(), text.get(at + claim.len()..).unwrap_or_default());
        before.ends_with("user.") && !after.starts_with(is_part) || before.ends_with(['\'', '"'])
    });
    if let Some(at) = named {
        let quote = usize::from(text.get(..at).unwrap_or_default().ends_with(['\'', '"']));
        return span.start + at - quote..span.start + at + claim.len() + quote;
    }
    // A group's name stands for the claim.
    let group = text.find(MEMBER).map(|at| at + MEMBER.len());
    group.map_or(span.clone(), |at| span.start + at..span.end)
}

/// What is to be said of a claim.
fn finding(claim: &str, provider: &str, scopes: Option<&[String]>) -> Option<Diagnostic> {
    let known = ["iss", "sub", GROUPS].into_iter().chain(SCOPES.iter().flat_map(|(_, claims)| claims.iter().copied()));
    if !known.clone().any(|standard| standard == claim) {
        let near = nearest(claim, known).filter(|_| claim.len() >= SHORTEST && !KNOWN.contains(&claim))?;
        let message = format!("`{claim}` is no claim that providers usually send");
        let help = format!("did you mean `{near}`? If the provider does send it: [login] claims = [\"{claim}\"]");
        return Some(Diagnostic::warning(message).help(help));
    }
    let standard = SCOPES.iter().find(|(_, claims)| claims.contains(&claim)).map(|(scope, _)| *scope);
    let scope = standard.or_else(|| (claim == GROUPS).then_some(GROUPS))?;
    if scopes?.iter().any(|asked| asked == scope) {
        return None;
    }
    let brings = if standard.is_some() { "that brings it" } else { "for which many providers send it" };
    let message =
        format!("`{claim}` is read, and the scope `{scope}`, {brings}, is not asked of provider `{provider}`");
    let help = format!(
        "add \"{scope}\" to `scopes` of [providers.{provider}]; if the claim comes without it: [login] claims = [\"{claim}\"]"
    );
    Some(Diagnostic::warning(message).help(help))
}
