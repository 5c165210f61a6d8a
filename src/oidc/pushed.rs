//! Pushed authorization requests: what is asked for goes to the provider directly, and the browser carries a reference to it.
//!
//! Nobody at the browser can read or change a request that was pushed, and the provider knows the client before it asks the person.
//!
//! May touch: the network through `endpoint`. Trust boundary: the answer; its reference goes into a URL, encoded, and nowhere else.
//! Specification: RFC 9126 sections 2 and 4.

use http::StatusCode;
use serde::Deserialize;

use super::endpoint::Endpoint;
use super::error::{LoginError, TokenEndpointError};
use super::http_client::HttpResponse;
use super::object;
use super::provider::{Discovered, Provider};
use super::token;

/// The longest reference in bytes.
const MAX_REFERENCE: usize = 2048;

#[derive(Deserialize)]
struct Pushed {
    request_uri: String,
}

impl Provider {
    /// Pushes a request; answers with the parameters that are left for the browser: `client_id` and `request_uri` (R12).
    pub(super) async fn push(
        &self,
        discovered: &Discovered,
        parameters: &[(String, String)],
    ) -> Result<Vec<(String, String)>, LoginError> {
        let form: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let response = self.ask_as_client(discovered, Endpoint::PushedRequests, &form).await;
        let response = response.map_err(|error| LoginError::PushedRequest(TokenEndpointError::Fetch(error)))?;
        let request_uri = reference(&response).map_err(LoginError::PushedRequest)?;
        let client = self.settings().client_id.clone();
        Ok(vec![("client_id".to_owned(), client), ("request_uri".to_owned(), request_uri)])
    }
}

/// The reference in an answer. 2.2: 201; some providers say 200.
pub(super) fn reference(response: &HttpResponse) -> Result<String, TokenEndpointError> {
    if ![StatusCode::CREATED, StatusCode::OK].contains(&response.status()) {
        return Err(token::refusal(response));
    }
    let pushed: Option<Pushed> = object::read_answer(response.body()).ok();
    let sound = |one: &Pushed| (1..=MAX_REFERENCE).contains(&one.request_uri.len());
    pushed.filter(sound).map(|one| one.request_uri).ok_or(TokenEndpointError::Malformed)
}
