//! The authorization endpoint: checks what a client asks for, and lets a signed-in person through.
//!
//! Until client and redirect address are known to belong together nothing is sent anywhere: such a request
//! ends on a page. Every later error goes back to the client.
//! Trust: the browser carries the request, so every parameter may have been changed or made up.
//!
//! OpenID Connect Core section 3.1.2, RFC 6749 section 4.1, RFC 7636, RFC 9207.

use http::{HeaderMap, StatusCode};
use url::Url;

use super::grants::{Code, Grant};
use super::params::{Params, cookie};
use super::people::Scopes;
use super::pkce::Challenge;
use super::reply::{self, Reply};
use super::sessions::{Authentication, Level};
use super::{Client, Provider, SESSION_COOKIE, page, sign_in};

/// A request that a code may answer: everything in it has been checked.
#[derive(Clone)]
pub(super) struct AuthorizationRequest {
    /// Where the answer goes.
    pub(super) return_to: ReturnAddress,
    /// How well the person must show who they are.
    pub(super) level: Level,
    /// The user name to offer.
    pub(super) login_hint: Option<String>,
    scopes: Scopes,
    challenge: Challenge,
    nonce: Option<String>,
    max_age: Option<u64>,
    prompt: Prompt,
    /// The subject that the client believes is signed in.
    expected_subject: Option<String>,
}

/// The one address that an answer goes to, which is registered for the client that asks.
#[derive(Clone)]
pub(super) struct ReturnAddress {
    client: String,
    redirect_uri: String,
    url: Url,
    state: Option<String>,
}

/// An error that goes back to the client: its name and a description.
pub(super) struct Refusal(&'static str, &'static str);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Prompt {
    None,
    Login,
    Unspecified,
}

/// Answers an authorization request.
pub(super) fn authorize(provider: &Provider, params: &Params, headers: &HeaderMap, now: u64) -> Reply {
    let return_to = match ReturnAddress::read(provider, params) {
        Ok(return_to) => return_to,
        Err(reason) => {
            let page = page::notice("This sign-in cannot start", &reason);
            return reply::page(StatusCode::BAD_REQUEST, page);
        }
    };
    let request = match AuthorizationRequest::read(provider, return_to.clone(), params) {
        Ok(request) => request,
        Err(refusal) => return return_to.refuse(provider, &refusal),
    };
    let session =
        cookie(headers, SESSION_COOKIE).and_then(|cookie| provider.state().sessions.find(cookie, now).cloned());
    match request.judge(provider, session, now) {
        Verdict::Answer(authentication) => request.answer(provider, authentication, now),
        Verdict::Refuse(refusal) => return_to.refuse(provider, &refusal),
        Verdict::AskPassword => sign_in::start(provider, request, None, now),
        Verdict::AskCode { user } => sign_in::start(provider, request, Some(user), now),
    }
}

enum Verdict {
    Answer(Authentication),
    AskPassword,
    AskCode { user: String },
    Refuse(Refusal),
}

impl AuthorizationRequest {
    fn read(provider: &Provider, return_to: ReturnAddress, params: &Params) -> Result<Self, Refusal> {
        let invalid = |description| Refusal("invalid_request", description);
        check_shape(params)?;
        let challenge =
            Challenge::read(params.text("code_challenge"), params.text("code_challenge_method")).map_err(invalid)?;
        let max_age = params.text("max_age").map(str::parse).transpose();
        let expected_subject = match params.text("id_token_hint") {
            None => None,
            Some(hint) => Some(
                provider
                    .verified_hint(hint)
                    .map(|hint| hint.subject)
                    .ok_or(invalid("id_token_hint is not an ID token of this provider"))?,
            ),
        };
        Ok(Self {
            return_to,
            level: wanted_level(params),
            login_hint: params.text("login_hint").map(str::to_owned),
            scopes: Scopes::granted(|scope| params.has_word("scope", scope)),
            challenge,
            nonce: params.text("nonce").map(str::to_owned),
            max_age: max_age.map_err(|_| invalid("max_age is not a number of seconds"))?,
            prompt: Prompt::read(params)?,
            expected_subject,
        })
    }

    /// Decides what this request needs of somebody who is signed in, or not, as `session` says.
    fn judge(&self, provider: &Provider, session: Option<Authentication>, now: u64) -> Verdict {
        let fresh = session.filter(|found| self.accepts_session(provider, found, now));
        match fresh {
            Some(session) if session.level >= self.level => Verdict::Answer(session),
            _ if self.prompt == Prompt::None => {
                Verdict::Refuse(Refusal("login_required", "the person has to sign in first"))
            }
            Some(session) => Verdict::AskCode { user: session.user },
            None => Verdict::AskPassword,
        }
    }

    fn accepts_session(&self, provider: &Provider, session: &Authentication, now: u64) -> bool {
        let recent = self.max_age.is_none_or(|most| now.saturating_sub(session.at) < most);
        let expected = self
            .expected_subject
            .as_ref()
            .is_none_or(|subject| provider.person(&session.user).is_some_and(|person| person.subject() == *subject));
        recent && expected && self.prompt != Prompt::Login
    }

    /// Sends a code for this sign-in to the client.
    pub(super) fn answer(self, provider: &Provider, authentication: Authentication, now: u64) -> Reply {
        let code = Code {
            grant: Grant { client: self.return_to.client.clone(), scopes: self.scopes, authentication },
            redirect_uri: self.return_to.redirect_uri.clone(),
            challenge: self.challenge,
            nonce: self.nonce,
        };
        let code = provider.state().grants.issue_code(code, now);
        self.return_to.send(provider, &[("code", &code)])
    }
}

impl ReturnAddress {
    fn read(provider: &Provider, params: &Params) -> Result<Self, String> {
        let id = params.text("client_id").ok_or("The parameter client_id is missing.")?;
        let client = provider.client(id).ok_or_else(|| format!("No client is registered as {id:?}."))?;
        let redirect_uri = params.text("redirect_uri").ok_or("The parameter redirect_uri is missing.")?;
        let registered = Client::lists(&client.redirect_uris, redirect_uri);
        let url = registered
            .then(|| Url::parse(redirect_uri).ok())
            .flatten()
            .ok_or_else(|| format!("{redirect_uri:?} is no address that is registered for {id:?}."))?;
        Ok(Self {
            client: client.id.clone(),
            redirect_uri: redirect_uri.to_owned(),
            url,
            state: params.text("state").map(str::to_owned),
        })
    }

    /// The address without what an answer adds to it.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Sends an error to the client.
    pub(super) fn refuse(&self, provider: &Provider, refusal: &Refusal) -> Reply {
        self.send(provider, &[("error", refusal.0), ("error_description", refusal.1)])
    }

    /// Tells the client that the person does not want to sign in.
    pub(super) fn cancelled(&self, provider: &Provider) -> Reply {
        self.refuse(provider, &Refusal("access_denied", "the person cancelled the sign-in"))
    }

    fn send(&self, provider: &Provider, answer: &[(&str, &str)]) -> Reply {
        let mut url = self.url.clone();
        let mut query = url.query_pairs_mut();
        query.extend_pairs(answer);
        if let Some(state) = &self.state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", &provider.issuer);
        drop(query);
        reply::redirect(url.as_str())
    }
}

impl Prompt {
    fn read(params: &Params) -> Result<Self, Refusal> {
        let mut words: Vec<_> = params.words("prompt").collect();
        // Consent is never asked for here, and there is only one account to select.
        words.retain(|word| !["consent", "select_account"].contains(word));
        match words.as_slice() {
            [] if params.has_word("prompt", "select_account") => Ok(Self::Login),
            [] => Ok(Self::Unspecified),
            ["login"] => Ok(Self::Login),
            ["none"] if params.text("prompt") == Some("none") => Ok(Self::None),
            _ => Err(Refusal("invalid_request", "prompt has an unknown or a contradictory value")),
        }
    }
}

/// Refuses what this provider does not do.
fn check_shape(params: &Params) -> Result<(), Refusal> {
    if params.text("request").is_some() {
        return Err(Refusal("request_not_supported", "request objects are not supported"));
    }
    if params.text("request_uri").is_some() {
        return Err(Refusal("request_uri_not_supported", "request_uri is not supported"));
    }
    match params.text("response_type") {
        Some("code") => {}
        Some(_) => return Err(Refusal("unsupported_response_type", "response_type must be code")),
        None => return Err(Refusal("invalid_request", "response_type is missing")),
    }
    if params.text("response_mode").is_some_and(|mode| mode != "query") {
        return Err(Refusal("invalid_request", "response_mode must be query"));
    }
    if !params.has_word("scope", "openid") {
        return Err(Refusal("invalid_scope", "scope must contain openid"));
    }
    Ok(())
}

/// The level of the first class that is known here; where only others are asked for, the best there is.
///
/// `acr_values` is a wish: the ID token says what was reached, and the client judges that.
fn wanted_level(params: &Params) -> Level {
    let known = |acr| Level::ALL.into_iter().find(|level| level.acr() == acr);
    match params.text("acr_values") {
        None => Level::Password,
        Some(_) => params.words("acr_values").find_map(known).unwrap_or(Level::SecondFactor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::parse(query.as_bytes()).unwrap()
    }

    #[test]
    fn the_first_known_class_is_wanted_and_the_best_when_none_is_known() {
        let level = |values: &str| wanted_level(&params(&format!("acr_values={values}")));
        assert_eq!(level(""), Level::Password);
        assert_eq!(level("urn:lychgate:demo:1fa"), Level::Password);
        assert_eq!(level("urn:lychgate:demo:2fa+urn:lychgate:demo:1fa"), Level::SecondFactor);
        assert_eq!(level("other+urn:lychgate:demo:1fa"), Level::Password);
        assert_eq!(level("phr"), Level::SecondFactor);
    }

    #[test]
    fn prompt_none_stands_alone() {
        let prompt = |value: &str| Prompt::read(&params(&format!("prompt={value}"))).ok();
        assert!(prompt("none") == Some(Prompt::None));
        assert!(prompt("none+login").is_none());
        assert!(prompt("none+consent").is_none());
        assert!(prompt("login+consent") == Some(Prompt::Login));
        assert!(prompt("consent") == Some(Prompt::Unspecified));
        assert!(prompt("create").is_none());
    }

    #[test]
    fn what_the_provider_does_not_do_is_refused_by_name() {
        let error = |query: &str| check_shape(&params(query)).err().map(|refusal| refusal.0);
        assert_eq!(error("response_type=code&scope=openid"), None);
        assert_eq!(error("response_type=token&scope=openid"), Some("unsupported_response_type"));
        assert_eq!(error("scope=openid"), Some("invalid_request"));
        assert_eq!(error("response_type=code&scope=email"), Some("invalid_scope"));
        let form_post = "response_type=code&scope=openid&response_mode=form_post";
        assert_eq!(error(form_post), Some("invalid_request"));
        assert_eq!(error("response_type=code&scope=openid&request=e30"), Some("request_not_supported"));
    }
}
