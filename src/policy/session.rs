//! Reads `[session]`: how long a session lasts, when it is refreshed, what becomes of a form that met none, with whom it is shared.
//!
//! May touch: nothing. Trust boundary: the file is an administrator's.

use std::sync::Arc;
use std::time::Duration;

use super::reader::{Reading, Section};

/// The shortest time between two refreshes of one session; what a provider can be asked to bear.
const MIN_REFRESH: Duration = Duration::from_secs(60);

/// What `[session]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// How long it lasts without a request.
    pub idle: Duration,
    /// How long it lasts in all.
    pub max: Duration,
    /// How old its claims may become before the provider is asked for new ones; never when none.
    pub refresh: Option<Duration>,
    /// What becomes of a form that somebody sends without a session.
    pub posts: Posts,
    /// The group of applications that share the sign-in at their provider.
    pub group: Option<Arc<str>>,
}

/// What becomes of a form that meets no session (C13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posts {
    /// It is kept until the person has signed in and confirms it.
    Keep,
    /// It is refused.
    Refuse,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60 * 60),
            max: Duration::from_secs(12 * 60 * 60),
            refresh: None,
            posts: Posts::Keep,
            group: None,
        }
    }
}

/// Reads `[session]`.
pub(super) fn read(mut section: Section<'_>, reading: &mut Reading<'_>) -> SessionSettings {
    let span = section.span();
    let default = SessionSettings::default();
    let (idle, max) = (section.duration("idle", reading), section.duration("max", reading));
    let refresh = section.duration("refresh", reading);
    let posts = section.word("posts", &[("keep", Posts::Keep), ("refuse", Posts::Refuse)], reading);
    let group = section.text("group", reading);
    section.finish(reading);
    let max = max.unwrap_or(default.max);
    if let Some(idle) = idle.filter(|idle| *idle > max) {
        let message = format!("`idle` ({}) is longer than `max`", humantime::format_duration(idle));
        reading.error(message, span.clone(), "a session cannot be idle for longer than it lasts");
    }
    if let Some(refresh) = refresh {
        let found = humantime::format_duration(refresh);
        if refresh < MIN_REFRESH {
            let message = format!("`refresh` ({found}) is shorter than a minute");
            reading.error(message, span, "the provider is asked once for every session and time; write 1m or more");
        } else if refresh >= max {
            let message = format!("`refresh` ({found}) is not shorter than `max`");
            reading.error(message, span, "such a session ends before it would be refreshed");
        }
    }
    if let Some(text) = group.as_ref().filter(|text| !is_group(text.text)) {
        let message = format!("`{}` is no name of a group", text.text.escape_debug());
        reading.error(message, text.span.clone(), "expected 1 to 64 letters, digits, `-` and `_`");
    }
    SessionSettings {
        idle: idle.unwrap_or(default.idle.min(max)),
        max,
        refresh,
        posts: posts.unwrap_or(default.posts),
        group: group.map(|text| text.text.into()),
    }
}

fn is_group(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !name.is_empty() && name.len() <= 64 && name.bytes().all(good)
}
