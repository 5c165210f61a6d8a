//! What policies share: `[conditions]`, `[groups]` and `[header_sets.NAME]`, in a policy or in a file of their own.
//!
//! May touch: nothing.

use super::HEADERS;
use crate::reference::key::{Key, Kind, Table};

pub(super) const SHARED_AT: &str = "docs/policy.md#shared-definitions";
pub(super) const HEADER_SETS_AT: &str = "docs/policy.md#header-sets";
const CONDITIONS_AT: &str = "docs/policy.md#conditions";
const GROUPS_AT: &str = "docs/policy.md#groups";

pub(super) const CONDITIONS_KEY: Key =
    Key::optional("conditions", Kind::Table(&CONDITIONS), "[Conditions](#conditions) that expressions use by name.")
        .see(CONDITIONS_AT);

pub(super) const GROUPS_KEY: Key =
    Key::optional("groups", Kind::Table(&GROUPS), "Names of one's own for the [groups](#groups) of the provider.")
        .see(GROUPS_AT);

pub(super) const GROUPS_CLAIM_KEY: Key =
    Key::optional("groups_claim", Kind::Text("claim"), "The claim that holds the groups of a person.")
        .otherwise("`\"user.groups\"`")
        .see(GROUPS_AT)
        .examples(&["\"user.roles\"", "\"user.realm_access.roles\""]);

pub(super) const HEADER_SETS_KEY: Key =
    Key::optional("header_sets", Kind::Table(&HEADER_SETS), "[Header sets](#header-sets) for `headers_from`.")
        .see(HEADER_SETS_AT);

/// What stands at the top of a file of definitions.
pub static DEFINITIONS: Table = Table::new(
    "",
    SHARED_AT,
    "Definitions that several applications share.",
    &[CONDITIONS_KEY, GROUPS_KEY, GROUPS_CLAIM_KEY, HEADER_SETS_KEY],
);

/// `[conditions]`.
pub static CONDITIONS: Table = Table::new("conditions", CONDITIONS_AT, "Conditions by name.", &[]).names(
    "NAME",
    Kind::EXPRESSION,
    "An expression that is true or false; the name stands for it in other expressions.",
);

/// `[groups]`.
pub static GROUPS: Table = Table::new("groups", GROUPS_AT, "Names for the groups of the provider.", &[]).names(
    "NAME",
    Kind::OneOrMore(&Kind::Text("group")),
    "The provider's names or ids of the groups, any one of which makes a member.",
);

/// `[header_sets]`.
pub static HEADER_SETS: Table = Table::new("header_sets", HEADER_SETS_AT, "Headers by the name of their set.", &[])
    .names("NAME", Kind::Table(&HEADERS), "Headers, as in `[headers]`.");
