//! Every way in which an access token can fail.
//!
//! May touch: nothing. Trust boundary: none; nothing here holds any part of a token (R17). Specification: RFC 6750 section 3.1.

use std::time::Duration;

/// Why an access token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It is longer than [`MAX_TOKEN`](super::MAX_TOKEN).
    TooLarge,
    /// It is no JWT, a part of it is no JSON object whose names are unique, or its header asks for what is not understood.
    Malformed,
    /// It is an encrypted JWT.
    Encrypted,
    /// The header's `typ` is of something else.
    Type,
    /// It is an ID token, a refresh token or a logout token by what it says.
    NotAccess,
    /// It is not signed, or not as the policy allows.
    Algorithm,
    /// The provider has no such key.
    KeyUnknown,
    /// Several of the provider's keys could be meant.
    KeyAmbiguous,
    /// The signature is wrong.
    Signature,
    /// It is of another issuer.
    Issuer,
    /// It is for others.
    Audience,
    /// It is over, or never says when it is.
    Expired,
    /// It is not good yet.
    NotYetValid,
    /// It was issued in the future, or does not say when.
    IssuedAt,
    /// It speaks of nobody.
    Subject,
    /// It was given to a client that the policy does not name.
    Client,
    /// A claim is missing that RFC 9068 requires.
    ClaimMissing,
    /// The policy reads a claim that the provider left out because it has too many values.
    ClaimLeftOut,
    /// It is bound to a key of the client's, and nothing here checks that the client has it.
    Bound,
    /// The provider says that it is not good.
    Inactive,
    /// Whoever it speaks of was signed out since it was issued.
    Revoked,
    /// It lacks a scope.
    Scope,
    /// The provider cannot be asked, or gives no answer that can be used.
    Unavailable,
    /// The provider is being asked about too many tokens.
    Busy,
    /// Whoever brings it has brought too many that were not good; how long they must wait.
    TooMany(Duration),
}

/// What an error means for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// The token is no good.
    Invalid,
    /// The token is good for less.
    Scope,
    /// Nothing is known of the token.
    Unavailable,
    /// Nothing is known of the token, and its bringer is over a limit.
    TooMany,
}

impl TokenError {
    /// The reason code for logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "token_too_large",
            Self::Malformed => "token_malformed",
            Self::Encrypted => "token_encrypted",
            Self::Type => "token_type",
            Self::NotAccess => "token_not_access",
            Self::Algorithm => "token_algorithm",
            Self::KeyUnknown => "token_unknown_key",
            Self::KeyAmbiguous => "token_ambiguous_key",
            Self::Signature => "token_signature",
            Self::Issuer => "token_issuer",
            Self::Audience => "token_audience",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::IssuedAt => "token_issued_at",
            Self::Subject => "token_subject",
            Self::Client => "token_client",
            Self::ClaimMissing => "token_claim_missing",
            Self::ClaimLeftOut => "token_claim_left_out",
            Self::Bound => "token_bound",
            Self::Inactive => "token_inactive",
            Self::Revoked => "token_revoked",
            Self::Scope => "token_scope",
            Self::Unavailable => "token_provider_unavailable",
            Self::Busy => "token_provider_busy",
            Self::TooMany(_) => "rate_limited",
        }
    }

    /// What it means for the client.
    pub const fn fault(self) -> TokenFault {
        match self {
            Self::Scope => TokenFault::Scope,
            Self::Unavailable | Self::Busy => TokenFault::Unavailable,
            Self::TooMany(_) => TokenFault::TooMany,
            _ => TokenFault::Invalid,
        }
    }
}
