//! How much of something one client may have: rates, and requests under way at once.
//!
//! Layer 0: knows no request, no configuration and no clock; who is counted and when comes from the caller. [`Rate`] is the rule by itself,
//! pure; [`RateCounter`] remembers what each client has used of it; [`Places`] and [`Crowd`] count what is under way.
//!
//! All of it is shared by the workers without a lock: one 64-bit word for each client, changed by compare-and-swap (decision 0048).
//! Trust boundary: addresses are a stranger's, people come from a provider. What a stranger with many addresses can do stands in `slots`.
//! Source: the generic cell rate algorithm, ITU-T I.371 annex A.

mod address;
mod counter;
mod flight;
mod rate;
mod slots;

pub use address::counted_as;
pub use counter::{RateCounter, Who};
pub use flight::{Crowd, CrowdPlace, Place, Places};
pub use rate::{Moment, Rate, RateError};
