//! `reload`: what makes a running gateway read its files again.
//!
//! The key itself takes effect at the start. May touch: memory only. Trust boundary: the administrator's file.

use super::reader::{Findings, Section};

/// When the files are read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reload {
    /// When one of them changes, on SIGHUP, and when the admin listener is asked to.
    #[default]
    Watch,
    /// Only on SIGHUP, and when the admin listener is asked to.
    Signal,
}

pub(super) fn read(top: &Section<'_>, found: &mut Findings<'_>) -> Reload {
    top.choice("reload", &[("watch", Reload::Watch), ("signal", Reload::Signal)], found).unwrap_or_default()
}
