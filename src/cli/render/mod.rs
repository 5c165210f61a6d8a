//! What commands found out, as text for people and as JSON and XML for programs. Nothing here prints.

pub(super) mod explanation;
pub(super) mod junit;
pub(super) mod replayed;
pub(super) mod tested;
