//! Who sends a request and what vouches for them: a browser's session, or an API client's token.
//!
//! A request that brings a token is the token's: its cookies are not looked at, so that no page can lend a session to a request that it
//! did not make, and a bad token never falls back on whoever happens to be signed in.
//!
//! Trust boundary: none of its own; see `authenticate` and `bearer`.

use std::sync::Arc;

use http::HeaderMap;

use super::Exchange;
use super::authenticate::{Known, authenticate};
use super::bearer::{self, BearerError, TokenHolder};
use crate::clock::Timestamp;
use crate::http::HostName;
use crate::http::authorization::BearerToken;
use crate::policy::Prepared;
use crate::session::NoSession;
use crate::snapshot::Application;
use crate::upstream::Leash;

/// Somebody who is known.
#[derive(Clone)]
pub(super) enum Caller {
    /// By a session.
    Browser(Arc<Known>),
    /// By a token.
    Client(Arc<TokenHolder>),
}

impl From<&Arc<Known>> for Caller {
    fn from(known: &Arc<Known>) -> Self {
        Self::Browser(Arc::clone(known))
    }
}

impl From<&Self> for Caller {
    fn from(caller: &Self) -> Self {
        caller.clone()
    }
}

/// Why nobody is known.
pub(super) enum Nobody {
    /// There is no session.
    Session(NoSession),
    /// There is a token, and it is not accepted.
    Token(BearerError),
}

impl Caller {
    /// Finds out who sends a request with these fields, and with this token if there is one.
    pub(super) async fn find(
        exchange: &Exchange<'_>,
        application: &Arc<Application>,
        host: &HostName,
        headers: &HeaderMap,
        token: Option<&BearerToken>,
        now: Timestamp,
    ) -> Result<Self, Nobody> {
        match token {
            None => authenticate(exchange, application, host, headers, now).map(Self::Browser).map_err(Nobody::Session),
            Some(token) => {
                let found = Box::pin(bearer::authenticate(exchange, application, host, token, now)).await;
                found.map(Self::Client).map_err(Nobody::Token)
            }
        }
    }

    /// The name for logs and pages.
    pub(super) fn who(&self) -> &str {
        match self {
            Self::Browser(known) => known.who(),
            Self::Client(holder) => holder.who(),
        }
    }

    /// The provider that vouches for them, and what they are called there.
    pub(super) fn person(&self) -> (&str, &str) {
        let subject = match self {
            Self::Browser(known) => &known.session().subject,
            Self::Client(holder) => holder.subject(),
        };
        (&self.prepared().subject().session.provider, subject)
    }

    /// The session's short identifier for logs.
    pub(super) fn session_label(&self) -> Option<&str> {
        match self {
            Self::Browser(known) => Some(known.session_label()),
            Self::Client(_) => None,
        }
    }

    /// The client that the token was given to.
    pub(super) fn client(&self) -> Option<&str> {
        match self {
            Self::Browser(_) => None,
            Self::Client(holder) => holder.client(),
        }
    }

    /// The person as the policy sees them.
    pub(super) fn prepared(&self) -> &Prepared {
        match self {
            Self::Browser(known) => known.prepared(),
            Self::Client(holder) => holder.prepared(),
        }
    }

    /// The person as the policy sees them that only observes.
    pub(super) fn shadow(&self) -> Option<&Prepared> {
        match self {
            Self::Browser(known) => known.shadow(),
            Self::Client(holder) => holder.shadow(),
        }
    }

    /// What an answer to them holds by: their session, or their token.
    pub(super) fn leash(&self) -> Arc<dyn Leash> {
        match self {
            Self::Browser(known) => Arc::clone(known) as _,
            Self::Client(holder) => Arc::clone(holder) as _,
        }
    }
}
