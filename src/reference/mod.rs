//! What can be written in the two kinds of files: every section and every key, with its kind, its default and its meaning.
//!
//! These tables are the one source. The readers of `config` and `policy` take the allowed keys, words and ranges from
//! them; [`schema`] makes the JSON Schema for editors of them; the tables of keys in `docs/` are generated from them; a
//! finding carries the link into the docs that stands here.
//!
//! **To add a key**, add a row to its table in [`gateway`] or [`policy`], then read it where the table is read. A reader
//! that asks for a key without a row fails (in debug builds), and a row that no reader asks for fails a test
//! (`every_key_of_the_reference_is_read` of either room). Then `UPDATE_DOCS=1 cargo test --test it reference` writes the
//! pages and schemas anew. **To add a section**, add a static [`Table`] and a row of kind [`Kind::Table`] (`[name]`) or
//! [`Kind::Tables`] (`[[name]]`) that leads to it; the page that its link names needs a pair of marks around its table,
//! `<!-- keys: policy app -->` and `<!-- end of keys -->`.
//!
//! Layer 0: knows nothing, reads nothing. Specification of the schema: JSON Schema draft 2020-12.

pub mod gateway;
mod key;
pub mod policy;
mod provider;
mod schema;

pub use key::{Key, Kind, Names, Need, Table, Word};
pub use provider::SEVERAL_PROVIDERS_AT;
pub use schema::schema;

#[cfg(test)]
pub(crate) use key::asked;

/// A kind of file.
pub struct File {
    /// What it is called on the command line.
    pub name: &'static str,
    /// The file of `docs/schema/` that holds its schema.
    pub schema: &'static str,
    /// Its title, for people.
    pub title: &'static str,
    /// What stands at the top of it.
    pub top: &'static Table,
}

/// All kinds of files.
pub static FILES: &[File] = &[
    File {
        name: "gateway",
        schema: "lychgate.schema.json",
        title: "Lychgate: the gateway's configuration",
        top: &gateway::FILE,
    },
    File {
        name: "policy",
        schema: "policy.schema.json",
        title: "Lychgate: the policy of one application",
        top: &policy::FILE,
    },
    File {
        name: "definitions",
        schema: "definitions.schema.json",
        title: "Lychgate: definitions that several policies share",
        top: &policy::DEFINITIONS,
    },
];
