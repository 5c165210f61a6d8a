//! Lychgate: an access gateway for web applications that cannot be changed.
//!
//! The library holds the whole gateway; `main.rs` only calls [`cli`]. Rooms are layered and imports go downwards only
//! (`tests/it/architecture.rs` reads this tree and fails on an upward one):
//!
//! | layer | rooms |
//! | --- | --- |
//! | 0 | [`http`], [`crypto`], [`clock`], [`claims`], [`certificate`], [`descriptors`], [`diagnostic`], [`finding`], [`limit`], [`network`], [`reference`](mod@reference), [`size`], [`socket`] |
//! | 1 | [`config`], [`policy`], [`session`] |
//! | 2 | [`forward`], [`pages`], [`observe`], [`ledger`] |
//! | 3 | [`oidc`], [`upstream`], [`snapshot`] |
//! | 4 | [`gateway`], [`admin`], [`doctor`] |
//! | 5 | [`server`], [`lifecycle`], [`app`], [`cli`] |
//!
//! `docs/architecture.md` tells the life of a request through them.

pub mod admin;
pub mod app;
pub mod certificate;
pub mod claims;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod descriptors;
pub mod diagnostic;
pub mod doctor;
pub mod finding;
pub mod forward;
pub mod gateway;
pub mod http;
pub mod ledger;
pub mod lifecycle;
pub mod limit;
pub mod network;
pub mod observe;
pub mod oidc;
pub mod pages;
pub mod policy;
pub mod reference;
pub mod server;
pub mod session;
pub mod size;
pub mod snapshot;
pub mod socket;
pub mod upstream;
