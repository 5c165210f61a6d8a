//! Which access tokens of API clients are believed: JWTs verified here, others by asking the provider.
//!
//! The order for a JWT is the point: what the header says, the signature over the exact text, and only then any claim. What the header
//! says about keys (`jwk`, `jku`, `x5c`, `x5u`) is never looked at: keys come from the provider's own set. A token that names an
//! unknown key causes at most one fetch of the set a minute.
//!
//! May touch: the network through `provider` and `introspection`. Trust boundary: the token is a stranger's until
//! [`Provider::accept`] returns. Specifications: RFC 9068 (JWT access tokens), RFC 8725 (JWT best practice), RFC 7515, RFC 7519.

use std::sync::Arc;

use super::introspection::Questioner;
use super::jwt::UnverifiedJwt;
use super::provider::{Discovered, Provider};
use super::token_error::TokenError;
use super::token_terms::{self, TokenFacts, Vouched};
use crate::clock::Timestamp;
use crate::policy::{Bearer, TokenForm};

/// The longest token in bytes.
pub const MAX_TOKEN: usize = 8 * 1024;

/// A token that passed every check; [`Provider::accept`] is the only maker. No `Debug`: it speaks of a person.
pub struct AccessToken {
    facts: TokenFacts,
    good_from: Timestamp,
    good_until: Timestamp,
    /// What it was verified with.
    keys: Option<Arc<Discovered>>,
}

impl AccessToken {
    /// Takes the claims out, to keep some of them.
    pub fn into_facts(self) -> (TokenFacts, Standing) {
        let Self { facts, good_from, good_until, keys } = self;
        let standing = Standing { expires: facts.expires, good_from, good_until, keys };
        (facts, standing)
    }
}

/// For how long the outcome of the checks can be kept.
pub struct Standing {
    expires: Option<Timestamp>,
    /// When the provider said so: before that, the clock was set back, and nobody knows how old its word is.
    good_from: Timestamp,
    good_until: Timestamp,
    keys: Option<Arc<Discovered>>,
}

/// How a token stands that was accepted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// It is good.
    Good,
    /// It is over.
    Expired,
    /// It must be checked anew: the provider has other keys, or its word is old.
    Unknown,
}

impl Standing {
    /// How a token of `provider` stands at `now`. Three comparisons and one atomic load.
    pub fn at(&self, now: Timestamp, provider: &Provider) -> Stands {
        if self.expires.is_some_and(|expires| now >= expires) {
            Stands::Expired
        } else if (self.good_from..self.good_until).contains(&now)
            && self.keys.as_ref().is_none_or(|keys| provider.has_still(keys))
        {
            Stands::Good
        } else {
            Stands::Unknown
        }
    }
}

impl Provider {
    /// Checks a token that `by` brings against what an application asks of it.
    pub async fn accept(&self, text: &str, terms: &Bearer, by: &impl Questioner) -> Result<AccessToken, TokenError> {
        if text.len() > MAX_TOKEN {
            return Err(TokenError::TooLarge);
        }
        match terms.form {
            TokenForm::Jwt => self.accept_jwt(text, terms).await,
            TokenForm::Opaque => self.accept_opaque(text, terms, by).await,
        }
    }

    async fn accept_jwt(&self, text: &str, terms: &Bearer) -> Result<AccessToken, TokenError> {
        let token = UnverifiedJwt::parse(text, &terms.algorithms, terms.any_type)?;
        self.discovered_now().await.map_err(|_| TokenError::Unavailable)?;
        let known = self.discovered().map_err(|_| TokenError::Unavailable)?;
        let verify = |discovered: &Discovered| token.verify(&discovered.keys);
        let is_of_old_keys = |error: &TokenError| {
            matches!(error, TokenError::KeyUnknown | TokenError::KeyAmbiguous | TokenError::Signature)
        };
        let verified = self.with_keys(known, verify, is_of_old_keys).await;
        let (claims, keys) = verified.map_err(|refused| refused.error)?;
        let by = if terms.any_type { Vouched::Signature } else { Vouched::Rfc9068 };
        let facts = token_terms::check(claims, by, terms, self.settings(), self.now())?;
        let good_until = facts.expires.unwrap_or(self.now());
        Ok(AccessToken { facts, good_from: Timestamp::default(), good_until, keys: Some(keys) })
    }

    async fn accept_opaque(&self, text: &str, terms: &Bearer, by: &impl Questioner) -> Result<AccessToken, TokenError> {
        let answer = self.introspect(text, terms.cache, by).await?;
        let claims = answer.claims.ok_or(TokenError::Inactive)?;
        let facts = token_terms::check((*claims).clone(), Vouched::Introspection, terms, self.settings(), self.now())?;
        let end = answer.at.after(terms.cache);
        let good_until = facts.expires.map_or(end, |expires| expires.min(end));
        Ok(AccessToken { facts, good_from: answer.at, good_until, keys: None })
    }
}
