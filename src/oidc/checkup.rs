//! The examination of a provider for `lychgate doctor`: what it publishes, and what it says to requests that change nothing.
//!
//! Each check is a small function of what was fetched once; two ask the provider themselves: an authorization request with
//! `prompt=none`, which no person sees, and a token request with a code that cannot exist.
//!
//! May touch: the network through `endpoint` and `http_client`. Trust boundary: what the provider says; of its words only those on fixed
//! lists are repeated. Specifications: Discovery 1.0, RFC 8414, RFC 6749 sections 4.1.2.1 and 5.2, RFC 9126, RFC 9207.

use std::time::Duration;

use http::header::{ACCEPT, DATE, LOCATION};
use http::{Method, Request, StatusCode};
use url::Url;

use super::availability::FetchError;
use super::endpoint::Endpoint;
use super::error::{LoginError, TokenEndpointError};
use super::http_client::HttpResponse;
use super::login::LoginRequest;
use super::metadata::Metadata;
use super::provider::{Discovered, Provider};
use super::provider_error::ProviderErrorCode;
use super::settings::{ClientAuth, ProviderSettings};
use super::token;
use crate::clock::Timestamp;
use crate::finding::Finding;
use crate::http::ReturnTo;

/// A code that no provider ever gave out.
const NO_CODE: &str = "lychgate-doctor-asks-whether-the-client-is-known";
/// A clock that is further off than this is worth a word.
const NOTABLE_SKEW: Duration = Duration::from_secs(10);

impl Provider {
    /// Examines the provider, each of `redirect_uris` among other things. Ends early where the rest depends on what is missing.
    pub async fn examine(&self, redirect_uris: &[String]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let Some(metadata) = self.examine_metadata(&mut findings).await else { return findings };
        let settings = self.settings();
        findings.extend([
            algorithms(&metadata, self.accepts(&metadata)),
            pkce(&metadata),
            client_methods(&metadata, settings),
            issuer_in_responses(&metadata),
            pushed_requests(&metadata, settings),
            provider_logout(&metadata),
            back_channel_logout(&metadata),
        ]);
        if let Err(error) = self.discovered_now().await {
            findings.push(Finding::problem(
                "keys",
                format!("the key set cannot be used: {}", error.reason),
                KEYS_ADVICE,
            ));
            return findings;
        }
        let Ok(discovered) = self.discovered() else { return findings };
        let keys = match discovered.keys.len() {
            1 => "1 key".to_owned(),
            count => format!("{count} keys"),
        };
        findings.push(Finding::ok("keys", format!("{keys} that tokens may be signed with")));
        findings.push(self.examine_client(&discovered).await);
        for redirect_uri in redirect_uris {
            findings.push(self.examine_redirect(&discovered, redirect_uri).await);
        }
        findings
    }

    fn accepts(&self, metadata: &Metadata) -> Vec<&'static str> {
        let published = &metadata.id_token_signing_alg_values_supported;
        let known = self.configured_algorithms();
        let names = known.iter().map(|one| one.name());
        names.filter(|name| published.is_empty() || published.iter().any(|one| one == name)).collect()
    }

    /// Reachable, TLS, clock, metadata, issuer, endpoints.
    async fn examine_metadata(&self, findings: &mut Vec<Finding>) -> Option<Metadata> {
        let address = Metadata::address(&self.settings().issuer);
        let request = Request::builder().method(Method::GET).uri(&address).header(ACCEPT, "application/json");
        let answer = match request.body(Vec::new()) {
            Ok(request) => self.http().fetch(request).await,
            Err(_) => Err(FetchError::BadUrl),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                findings.push(Finding::problem("reachable", format!("{address}: {error}"), fetch_advice(error)));
                return None;
            }
        };
        findings.push(Finding::ok("reachable", reached(&address)));
        findings.push(clock(&answer, self.now(), self.settings().clock_skew));
        if answer.status() != StatusCode::OK {
            let found = format!("{address} answers {}", answer.status().as_u16());
            findings.push(Finding::problem("metadata", found, status_advice(answer.status())));
            return None;
        }
        let metadata = Metadata::parse(answer.body(), &self.settings().issuer);
        match metadata.and_then(|metadata| metadata.check_for(self.settings()).map(|()| metadata)) {
            Ok(metadata) => {
                let found = format!("the issuer is the configured one, {}", endpoints(&metadata));
                findings.push(Finding::ok("metadata", found));
                Some(metadata)
            }
            Err(error) => {
                findings.push(Finding::problem("metadata", error.to_string(), ISSUER_ADVICE));
                None
            }
        }
    }

    /// A code that does not exist: `invalid_grant` says that the client was believed, `invalid_client` that it was not.
    async fn examine_client(&self, discovered: &Discovered) -> Finding {
        if self.settings().client_auth == ClientAuth::None {
            return Finding::ok("client", "a public client: there is nothing to prove");
        }
        let form = [
            ("grant_type", "authorization_code"),
            ("code", NO_CODE),
            ("redirect_uri", "https://doctor.invalid/"),
            ("code_verifier", "lychgate-doctor-lychgate-doctor-lychgate-doctor"),
        ];
        let answer = match self.ask_as_client(discovered, Endpoint::Token, &form).await {
            Ok(answer) => answer,
            Err(error) => {
                return Finding::problem("client", format!("the token endpoint: {error}"), fetch_advice(error));
            }
        };
        match token::refusal(&answer) {
            TokenEndpointError::InvalidGrant => {
                Finding::ok("client", "the provider believes the client's credentials (it refused a made-up code)")
            }
            TokenEndpointError::InvalidClient => Finding::problem(
                "client",
                "the provider does not believe the client's credentials (invalid_client)",
                "compare client_id, client_secret or client_key, and client_auth with what is registered",
            ),
            _ if answer.status() == StatusCode::UNAUTHORIZED => Finding::problem(
                "client",
                "the token endpoint answers 401",
                "compare client_id, client_secret or client_key, and client_auth with what is registered",
            ),
            _ => Finding::warning(
                "client",
                format!("the token endpoint answers {} and does not say whether it knows the client", answer.status()),
                "sign in once to see whether the client is believed",
            ),
        }
    }

    /// A silent authorization request: a provider that knows the address redirects there, if only with an error.
    async fn examine_redirect(&self, discovered: &Discovered, redirect_uri: &str) -> Finding {
        let request = LoginRequest { prompt: Some("none"), ..LoginRequest::new(redirect_uri, ReturnTo::root()) };
        let begun = match self.begin(request).await {
            Ok(begun) => begun,
            Err(LoginError::PushedRequest(error)) => return refused_push(redirect_uri, error),
            Err(error) => return Finding::problem("redirect_uri", format!("no request can be made: {error}"), ""),
        };
        let address = begun.authorize_url;
        let request = Request::builder().method(Method::GET).uri(&address).header(ACCEPT, "text/html");
        let Ok(request) = request.body(Vec::new()) else {
            return Finding::problem("redirect_uri", "the authorization request is no address", "");
        };
        match self.http().fetch(request).await {
            Ok(answer) => redirected(&answer, redirect_uri, &discovered.metadata.authorization_endpoint),
            Err(error) => {
                Finding::problem("redirect_uri", format!("the authorization endpoint: {error}"), fetch_advice(error))
            }
        }
    }
}

const ISSUER_ADVICE: &str = "compare `issuer` with what the provider's own pages call the issuer, character for character: it is what stands before /.well-known/openid-configuration";
const KEYS_ADVICE: &str = "see what the provider publishes at its jwks_uri";
/// What to do when a provider does not know an address to send people back to.
pub const REGISTER_REDIRECT_URI: &str =
    "register exactly this address as a redirect URI (sign-in redirect, reply URL) of the client";

/// What to do about an answer that is no metadata: one of 5xx is the provider's trouble and says nothing of the address.
fn status_advice(status: StatusCode) -> &'static str {
    match status {
        status if status.is_server_error() => {
            "the provider, or a proxy before it, is in trouble: see its status page and its log, and try again"
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
            "something before the provider turns this machine away: see whether it may ask, and a proxy or firewall in between"
        }
        _ => ISSUER_ADVICE,
    }
}

/// How the endpoints are reached: in clear text is for providers on loopback names only.
fn endpoints(metadata: &Metadata) -> &'static str {
    let asked = [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri];
    match asked.iter().all(|url| url.scheme() == "https") {
        true => "the endpoints are https",
        false => "endpoints are http, which is for trying out on this machine",
    }
}

fn reached(address: &str) -> String {
    if address.starts_with("https:") {
        format!("{address} answers, and its certificate is trusted")
    } else {
        format!("{address} answers, in clear text")
    }
}

fn fetch_advice(error: FetchError) -> &'static str {
    match error {
        FetchError::NameUnknown => "look at the name in `issuer`, and at this machine's resolver",
        FetchError::Connect(_) => "look at address and port, firewalls, and whether a proxy is needed to go out",
        FetchError::Tls(_) => {
            "set `ca` to the authority that signed the provider's certificate; look at this machine's clock"
        }
        FetchError::TimedOut => "something on the way swallows packets, or the provider is very slow",
        FetchError::TurnedAway | FetchError::Resting => "wait, and see what else asks the provider this often",
        FetchError::Protocol | FetchError::TooLarge => "see what answers at this address: it may be no OpenID provider",
        FetchError::BadUrl | FetchError::BadRequest | FetchError::NoEndpoint => "look at the provider's metadata",
    }
}

/// The provider's clock by its `Date`, which is to the second.
fn clock(answer: &HttpResponse, now: Timestamp, tolerated: Duration) -> Finding {
    let date = answer
        .headers()
        .get(DATE)
        .and_then(|date| date.to_str().ok())
        .and_then(|date| httpdate::parse_http_date(date).ok().map(Timestamp::from_system_time));
    let Some(theirs) = date else {
        return Finding::warning(
            "clock",
            "the provider's answer has no readable Date",
            "see that this machine keeps its clock (NTP)",
        );
    };
    let off = now.since(theirs).max(theirs.since(now));
    let seconds = off.as_secs();
    let advice = "set this machine's clock (NTP); `clock_skew` says how much is put up with";
    if off > tolerated + Duration::from_secs(1) {
        Finding::problem("clock", format!("the clocks differ by {seconds} s, more than `clock_skew`"), advice)
    } else if off > NOTABLE_SKEW {
        Finding::warning("clock", format!("the clocks differ by {seconds} s"), advice)
    } else {
        Finding::ok("clock", "the clocks agree")
    }
}

fn algorithms(metadata: &Metadata, accepted: Vec<&'static str>) -> Finding {
    if accepted.is_empty() {
        let advice = "register an asymmetric algorithm for the client at the provider, and see `algorithms`";
        return Finding::problem("algorithms", "no algorithm that the provider publishes is accepted", advice);
    }
    if metadata.id_token_signing_alg_values_supported.is_empty() {
        return Finding::warning(
            "algorithms",
            "the provider does not say how it signs",
            "all known algorithms are accepted; `algorithms` can name those that are used",
        );
    }
    Finding::ok("algorithms", format!("ID tokens may be signed with {}", accepted.join(", ")))
}

/// A provider that says that it lacks S256 is refused with the metadata already.
fn pkce(metadata: &Metadata) -> Finding {
    match &metadata.code_challenge_methods_supported {
        Some(_) => Finding::ok("pkce", "the provider knows PKCE with S256"),
        None => Finding::warning(
            "pkce",
            "the provider does not say whether it knows PKCE",
            "S256 is sent in any case; see that the provider checks it",
        ),
    }
}

fn client_methods(metadata: &Metadata, settings: &ProviderSettings) -> Finding {
    let ours = match settings.client_auth {
        ClientAuth::Basic => "client_secret_basic",
        ClientAuth::Post => "client_secret_post",
        ClientAuth::SecretJwt => "client_secret_jwt",
        ClientAuth::PrivateKeyJwt => "private_key_jwt",
        ClientAuth::None => "none",
    };
    let offered = &metadata.token_endpoint_auth_methods_supported;
    // RFC 8414 section 2: what is not said is client_secret_basic.
    let known = offered.iter().any(|one| one == ours) || (offered.is_empty() && ours == "client_secret_basic");
    if known {
        return Finding::ok("client_auth", format!("the provider offers {ours}"));
    }
    let names = ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"];
    let named: Vec<&str> = names.into_iter().filter(|name| offered.iter().any(|one| one == name)).collect();
    let advice = match named.as_slice() {
        [] => "it names none of those that this gateway knows; sign in once to see whether it is taken all the same"
            .to_owned(),
        some => format!("it offers {}; set `client_auth`", some.join(", ")),
    };
    Finding::warning("client_auth", format!("the provider does not list {ours}"), advice)
}

fn issuer_in_responses(metadata: &Metadata) -> Finding {
    if metadata.authorization_response_iss_parameter_supported {
        Finding::ok("iss", "responses name their issuer (RFC 9207), which is checked")
    } else {
        let found = "responses do not name their issuer (RFC 9207): the address that they come to does";
        Finding::ok("iss", format!("{found}, so register no redirect address of another provider for this client"))
    }
}

fn pushed_requests(metadata: &Metadata, settings: &ProviderSettings) -> Finding {
    let offered = metadata.pushed_authorization_request_endpoint.is_some();
    match (metadata.pushes(settings), offered) {
        (true, _) => Finding::ok("pushed_requests", "authorization requests are pushed (PAR)"),
        (false, true) => {
            Finding::ok("pushed_requests", "PAR is offered and not used; `pushed_requests = true` uses it")
        }
        (false, false) => Finding::ok("pushed_requests", "PAR is not offered"),
    }
}

fn provider_logout(metadata: &Metadata) -> Finding {
    if metadata.end_session_endpoint.is_some() {
        return Finding::ok("logout", "signing out here signs out at the provider too");
    }
    let advice = "people stay signed in at the provider when they sign out here; end sessions there by its own means";
    Finding::warning("logout", "the provider has no end_session_endpoint", advice)
}

fn back_channel_logout(metadata: &Metadata) -> Finding {
    if metadata.backchannel_logout_supported {
        return Finding::ok("backchannel_logout", "the provider can tell when a session ends (back-channel logout)");
    }
    let front = metadata.frontchannel_logout_supported;
    let found = if front { "no back-channel logout, but front-channel logout" } else { "no back-channel logout" };
    Finding::warning(
        "backchannel_logout",
        found,
        "sessions here end by their own limits; keep `[session] max` short where that matters",
    )
}

/// What came of the silent request.
fn redirected(answer: &HttpResponse, redirect_uri: &str, endpoint: &Url) -> Finding {
    let location = answer.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    let location = location.and_then(|location| endpoint.join(location).ok());
    let there = |location: &Url| {
        let mut bare = location.clone();
        bare.set_query(None);
        bare.set_fragment(None);
        bare.as_str() == redirect_uri
    };
    match location {
        Some(location) if answer.status().is_redirection() && there(&location) => came_back(&location, redirect_uri),
        _ if answer.status().is_client_error() => Finding::problem(
            "redirect_uri",
            format!("the provider answers {} and does not redirect to {redirect_uri}", answer.status().as_u16()),
            REGISTER_REDIRECT_URI,
        ),
        // A form that posts itself back (`form_post`) holds the address.
        _ if answer.status() == StatusCode::OK && holds(answer.body(), redirect_uri) => {
            Finding::ok("redirect_uri", format!("the provider posts to {redirect_uri}"))
        }
        _ => Finding::warning(
            "redirect_uri",
            format!("the provider shows a page of its own and does not say whether it knows {redirect_uri}"),
            REGISTER_REDIRECT_URI,
        ),
    }
}

fn came_back(location: &Url, redirect_uri: &str) -> Finding {
    let error =
        location.query_pairs().find(|(name, _)| name == "error").map(|(_, error)| ProviderErrorCode::parse(&error));
    match error {
        Some(
            error @ (ProviderErrorCode::UnauthorizedClient
            | ProviderErrorCode::UnsupportedResponseType
            | ProviderErrorCode::InvalidScope
            | ProviderErrorCode::InvalidRequest),
        ) => Finding::problem(
            "redirect_uri",
            format!("the provider knows {redirect_uri} and refuses the request: {}", error.as_str()),
            "see that the client may use the code flow and the `scopes` that are configured",
        ),
        _ => Finding::ok("redirect_uri", format!("the provider redirects to {redirect_uri}")),
    }
}

fn refused_push(redirect_uri: &str, error: TokenEndpointError) -> Finding {
    let found = match error {
        TokenEndpointError::Fetch(error) => {
            return Finding::problem("redirect_uri", format!("the PAR endpoint: {error}"), fetch_advice(error));
        }
        TokenEndpointError::InvalidClient => "the PAR endpoint does not believe the client's credentials".to_owned(),
        _ => format!("the PAR endpoint refuses a request with {redirect_uri}"),
    };
    Finding::problem("redirect_uri", found, REGISTER_REDIRECT_URI)
}

fn holds(page: &[u8], redirect_uri: &str) -> bool {
    let text = String::from_utf8_lossy(page);
    text.contains(redirect_uri) || text.contains(&redirect_uri.replace('/', "&#x2F;"))
}
