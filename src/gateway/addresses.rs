//! The gateway's own addresses on every application's host.

use crate::config;
use crate::http::CanonicalPath;

const PREFIX: &str = "/.lychgate";
/// Where providers send people back to, or below it by the provider's name; registered there as the redirect URI.
pub(super) const CALLBACK: &str = config::CALLBACK;
/// Where people sign out.
pub(super) const LOGOUT: &str = "/.lychgate/logout";
/// Where the provider sends people after its own logout; registered there as the post-logout redirect URI.
pub(super) const SIGNED_OUT: &str = "/.lychgate/signed-out";

/// Where the keys of the identity assertions are published.
pub(super) const JWKS: &str = "/.lychgate/jwks";
/// Where a kept form is sent from its page.
pub(super) const RESEND: &str = "/.lychgate/resend";
/// Where people sign in beside a form that waits in another tab.
pub(super) const SIGN_IN: &str = "/.lychgate/sign-in";
/// Where people see who the gateway thinks they are.
pub(super) const ME: &str = "/.lychgate/me";
/// Where providers send logout tokens.
pub(super) const BACKCHANNEL_LOGOUT: &str = "/.lychgate/backchannel-logout";
/// What providers show in a frame of their own page when somebody signs out there.
pub(super) const FRONTCHANNEL_LOGOUT: &str = "/.lychgate/frontchannel-logout";
/// Where security event tokens are sent.
pub(super) const EVENTS_SET: &str = "/.lychgate/events/set";
/// Where Okta's event hooks are sent.
pub(super) const EVENTS_OKTA: &str = "/.lychgate/events/okta";

/// Whether a reserved address is for servers and not for people: those that providers send messages to, and the keys that applications read.
pub(super) fn is_for_programs(path: &CanonicalPath) -> bool {
    [BACKCHANNEL_LOGOUT, EVENTS_SET, EVENTS_OKTA, JWKS].contains(&path.as_str())
}

/// Whether a path is the gateway's, whatever stands behind the prefix. Applications that ignore case must not get it in another spelling.
pub fn is_reserved(path: &CanonicalPath) -> bool {
    let head = path.as_str().get(..PREFIX.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(PREFIX))
        && matches!(path.as_str().as_bytes().get(PREFIX.len()), None | Some(b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s02_no_spelling_of_the_reserved_prefix_reaches_an_application() {
        for path in [
            "/.lychgate",
            "/.lychgate/",
            "/.lychgate/x",
            "/.LychGate/callback",
            "/a/../.lychgate/x",
            "/%2elychgate/x",
            "//.lychgate/x",
        ] {
            assert!(is_reserved(&CanonicalPath::parse(path).unwrap()), "{path}");
        }
        for path in ["/", "/.lychgates", "/lychgate/", "/a/.lychgate/x"] {
            assert!(!is_reserved(&CanonicalPath::parse(path).unwrap()), "{path}");
        }
    }
}
