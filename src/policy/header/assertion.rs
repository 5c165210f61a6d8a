//! A signed statement of who asks: a JSON Web Token for one application, short-lived and made anew before it ends.
//!
//! It says who issued it (the host that is asked for, over https, unless the policy names another), for whom (`aud`),
//! who asks (`sub`, the provider's unless the policy says otherwise), from when to when, and those claims that the policy names;
//! an absent claim is left out. Numbers are written as the provider wrote them. The text is ASCII, whatever the claims hold.
//!
//! May touch: the signing keys. Trust boundary: values come from claims; nothing of a request but its host, which is one of the
//! policy's own. Specification: RFC 7519 (claims), RFC 7515 (compact form), RFC 7518 section 3.4 (ES256).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::claims::{ClaimValue, write_json_text};
use crate::crypto::{IdentityKeys, random};
use crate::policy::expression::{Failure, View};
use crate::policy::template::Template;

/// The claims that the gateway itself sets.
pub(in crate::policy) const OWN_CLAIMS: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// What a token says, and for how long.
pub(in crate::policy) struct Assertion {
    pub(in crate::policy) keys: Arc<IdentityKeys>,
    /// At least one.
    pub(in crate::policy) audience: Vec<Box<str>>,
    pub(in crate::policy) issuer: Option<Box<str>>,
    pub(in crate::policy) subject: Option<Template>,
    pub(in crate::policy) claims: Vec<Box<str>>,
    pub(in crate::policy) ttl: Duration,
}

impl Assertion {
    /// How long a token is used: half its life, so that what is sent is always good for the other half.
    pub(super) fn fresh_for(&self) -> Duration {
        self.ttl / 2
    }

    /// The top-level claims that it reads, besides those in the subject's expressions.
    pub(super) fn claims(&self) -> impl Iterator<Item = &str> {
        let subject = self.subject.is_none().then_some("sub");
        self.claims.iter().map(|name| &**name).chain(subject)
    }

    /// Makes a token.
    pub(super) fn sign(&self, view: &View<'_>) -> Result<String, Failure> {
        let unsigned = || Failure::Failed("the identity could not be signed".to_owned());
        let now = view.now.seconds();
        let key = self.keys.signing(now).ok_or_else(unsigned)?;
        let head = format!(r#"{{"alg":"ES256","typ":"JWT","kid":"{}"}}"#, key.id());
        let content = self.content(now, view)?;
        let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(content));
        let signature = key.sign(token.as_bytes()).ok_or_else(unsigned)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        Ok(token)
    }

    fn content(&self, now: i64, view: &View<'_>) -> Result<String, Failure> {
        let mut json = String::from("{\"iss\":");
        write_json_text(&self.issuer(view), &mut json);
        json.push_str(",\"sub\":");
        write_json_text(&self.subject(view)?, &mut json);
        json.push_str(",\"aud\":");
        match self.audience.as_slice() {
            [one] => write_json_text(one, &mut json),
            several => ClaimValue::List(several.iter().map(|one| ClaimValue::Text((&**one).into())).collect())
                .write_json(&mut json),
        }
        let until = now.saturating_add(i64::try_from(self.ttl.as_secs()).unwrap_or(0));
        let id = URL_SAFE_NO_PAD.encode(random::bytes::<16>());
        json.push_str(&format!(",\"iat\":{now},\"exp\":{until},\"jti\":\"{id}\""));
        for name in &self.claims {
            if let Some(value) = view.claims.value(name).filter(|value| **value != ClaimValue::Null) {
                json.push(',');
                write_json_text(name, &mut json);
                json.push(':');
                value.write_json(&mut json);
            }
        }
        json.push('}');
        Ok(json)
    }

    fn issuer(&self, view: &View<'_>) -> String {
        match (&self.issuer, view.request) {
            (Some(issuer), _) => issuer.to_string(),
            (None, Some(request)) => format!("https://{}", request.host),
            (None, None) => view.app.to_owned(),
        }
    }

    fn subject<'v>(&'v self, view: &View<'v>) -> Result<Cow<'v, str>, Failure> {
        match &self.subject {
            Some(template) => template.render(view),
            None => match view.claims.value("sub") {
                Some(ClaimValue::Text(text) | ClaimValue::Number(text)) => Ok(Cow::Borrowed(text)),
                _ => Err(Failure::Absent("sub".to_owned())),
            },
        }
    }
}
