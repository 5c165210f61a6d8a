//! What applications of one set have in common, kept once.
//!
//! A thousand applications are most often alike in how they are spoken to, and many run on one server. What is the same is one piece of memory
//! that every request reads, so it is near. Kept for each by itself, it is as many pieces, and far.
//!
//! Trust boundary: none; made of checked configuration.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::diagnostic::Diagnostic;
use crate::forward::{HostHeader, Spelling};
use crate::http::cookie::IdentityCookies;
use crate::policy::{self, Policy, UpstreamTarget};
use crate::session::CookieNames;
use crate::upstream::Upstream;

/// How an application is spoken to.
pub(super) struct Manner {
    pub(super) host: HostHeader,
    pub(super) inner_authority: Option<String>,
    pub(super) cookies_told: IdentityCookies,
    pub(super) spelling: Spelling,
    pub(super) answer_spelling: Arc<Spelling>,
}

/// What is shared while a set is built.
pub(super) struct Shared {
    /// Of applications that have nothing special.
    usual: Arc<Manner>,
    /// Of applications that have a host for themselves: with TLS, without.
    cookie_names: [Arc<CookieNames>; 2],
    /// The ways to servers that are spoken to in clear text: by servers and time limits.
    upstreams: RefCell<HashMap<Way, Arc<Upstream>>>,
}

type Way = (Vec<UpstreamTarget>, [Duration; 3]);

impl Default for Shared {
    fn default() -> Self {
        let usual = Manner {
            host: HostHeader::Keep,
            inner_authority: None,
            cookies_told: IdentityCookies::default(),
            spelling: Spelling::default(),
            answer_spelling: Arc::default(),
        };
        Self { usual: Arc::new(usual), cookie_names: names(None), upstreams: RefCell::default() }
    }
}

impl Shared {
    /// How the application of this policy is spoken to.
    pub(super) fn manner(&self, policy: &Policy, host: HostHeader, inner_authority: Option<String>) -> Arc<Manner> {
        let spelling = Spelling::of(policy.spelled_headers());
        let answer_spelling = Arc::new(Spelling::of(policy.response().spelled()));
        let plain = spelling.is_plain() && answer_spelling.is_plain();
        if host == HostHeader::Keep && plain && policy.emitted_cookies().next().is_none() {
            return Arc::clone(&self.usual);
        }
        let cookies_told = IdentityCookies::new(policy.emitted_cookies());
        Arc::new(Manner { host, inner_authority, cookies_told, spelling, answer_spelling })
    }

    /// The names of its session cookies: with TLS, without.
    pub(super) fn cookie_names(&self, policy: &Policy) -> [Arc<CookieNames>; 2] {
        match policy.prefix() {
            "/" => self.cookie_names.clone(),
            _ => names(Some(policy.name())),
        }
    }

    /// The way to these servers: another application's where that is the same and in clear text, as its connections are
    /// (`docs/decisions/0067-no-huge-pages-and-shared-servers.md`); else the one that `make` makes.
    pub(super) fn upstream(
        &self,
        spec: &policy::Upstream,
        make: impl FnOnce() -> Result<Arc<Upstream>, Diagnostic>,
    ) -> Result<Arc<Upstream>, Diagnostic> {
        if spec.targets.iter().any(|target| target.tls) {
            return make();
        }
        let way = (spec.targets.clone(), [spec.connect, spec.first_byte, spec.stall]);
        if let Some(known) = self.upstreams.borrow().get(&way) {
            return Ok(Arc::clone(known));
        }
        let made = make()?;
        self.upstreams.borrow_mut().insert(way, Arc::clone(&made));
        Ok(made)
    }
}

fn names(app: Option<&str>) -> [Arc<CookieNames>; 2] {
    [true, false].map(|secure| Arc::new(CookieNames::new(secure, app)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HostName;
    use crate::policy::HostMode;
    use crate::upstream::TimeLimits;

    fn spec(port: u16, tls: bool, stall: u64) -> policy::Upstream {
        let second = Duration::from_secs(1);
        policy::Upstream {
            targets: vec![UpstreamTarget { tls, host: HostName::parse("a.test").unwrap(), port }],
            host: HostMode::Keep,
            ca: None,
            connect: second,
            first_byte: second,
            stall: Duration::from_secs(stall),
        }
    }

    #[test]
    fn the_way_to_a_server_is_shared_in_clear_text_and_with_the_same_limits_alone() {
        let shared = Shared::default();
        let way = |spec: &policy::Upstream| {
            let limits = TimeLimits { connect: spec.connect, first_byte: spec.first_byte, stall: spec.stall };
            shared.upstream(spec, || Ok(Arc::new(Upstream::new(Vec::new(), limits)))).unwrap_or_else(|_| panic!("made"))
        };
        let first = way(&spec(80, false, 1));
        assert!(Arc::ptr_eq(&first, &way(&spec(80, false, 1))));
        assert!(!Arc::ptr_eq(&first, &way(&spec(81, false, 1))));
        assert!(!Arc::ptr_eq(&first, &way(&spec(80, false, 2))));
        assert!(!Arc::ptr_eq(&way(&spec(443, true, 1)), &way(&spec(443, true, 1))));
    }
}
