//! RP-initiated logout: the address at which the provider ends its own session.
//!
//! The gateway has ended its session before anybody is sent there; coming back proves nothing and needs no proof (R04).
//!
//! May touch: nothing but memory. Trust boundary: the endpoint is from checked metadata; the hint is our own ID token.
//! Specification: OpenID Connect RP-Initiated Logout 1.0 sections 2 and 3.

use super::provider::Provider;

impl Provider {
    /// The origins of the provider's own pages, from which it signs people out.
    pub fn origins(&self) -> Vec<String> {
        let issuer = url::Url::parse(self.issuer()).ok();
        let endpoint = self.discovered().ok().and_then(|known| known.metadata.end_session_endpoint.clone());
        issuer.into_iter().chain(endpoint).map(|url| url.origin().ascii_serialization()).collect()
    }

    /// Where to send the browser, or none when the provider is unknown or offers no logout. Long hints are left out: the
    /// address must stay below what servers accept.
    pub fn end_session_url(
        &self,
        id_token_hint: Option<&str>,
        post_logout_redirect_uri: &str,
        state: Option<&str>,
    ) -> Option<String> {
        const MAX_HINT: usize = 6 * 1024;
        let discovered = self.discovered().ok()?;
        let mut url = discovered.metadata.end_session_endpoint.clone()?;
        let mut query = url.query_pairs_mut();
        if let Some(hint) = id_token_hint.filter(|hint| hint.len() <= MAX_HINT) {
            query.append_pair("id_token_hint", hint);
        }
        query.append_pair("client_id", &self.settings().client_id);
        query.append_pair("post_logout_redirect_uri", post_logout_redirect_uri);
        if let Some(state) = state {
            query.append_pair("state", state);
        }
        drop(query);
        Some(url.into())
    }
}
