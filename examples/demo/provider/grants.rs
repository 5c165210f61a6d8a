//! Codes and tokens: what a client was granted, and every paper that hangs on it.
//!
//! A code becomes a family of tokens. Refresh tokens rotate: each is good once and names its family. When a
//! code or a refresh token comes a second time somebody has copied it, and the whole family ends.
//! Knows nothing of HTTP; the time comes in as an argument.
//!
//! RFC 6749 sections 4.1.2, 5.1, 6 and 10.5, RFC 9700 sections 2.1.1 and 4.14.2.

use super::people::Scopes;
use super::pkce::Challenge;
use super::sessions::{Authentication, LIFE};
use super::shelf::Shelf;

/// How long a code may be redeemed, in seconds.
const CODE_LIFE: u64 = 60;

/// How long an access token is good, in seconds.
pub(super) const ACCESS_LIFE: u64 = 5 * 60;

/// What a person's sign-in gave to a client.
#[derive(Clone)]
pub(super) struct Grant {
    /// The client's id.
    pub(super) client: String,
    /// What the client may read.
    pub(super) scopes: Scopes,
    /// Who signed in, and how.
    pub(super) authentication: Authentication,
}

/// A code that waits to be redeemed, with everything that it is bound to.
pub(super) struct Code {
    /// What it stands for.
    pub(super) grant: Grant,
    /// The address that it was sent to.
    pub(super) redirect_uri: String,
    /// What its verifier must hash to.
    pub(super) challenge: Challenge,
    /// What the ID token must repeat.
    pub(super) nonce: Option<String>,
}

/// What a client says when it redeems a code.
pub(super) struct Redemption<'a> {
    /// The code.
    pub(super) code: &'a str,
    /// The client that authenticated itself.
    pub(super) client: &'a str,
    /// The address that it says the code was sent to.
    pub(super) redirect_uri: &'a str,
    /// The secret behind the challenge.
    pub(super) verifier: &'a str,
}

/// Tokens fresh from the press.
pub(super) struct Issued {
    /// What they stand for.
    pub(super) grant: Grant,
    /// The nonce for the ID token; only a code brings one.
    pub(super) nonce: Option<String>,
    /// The access token.
    pub(super) access: String,
    /// The refresh token.
    pub(super) refresh: String,
}

/// All codes and tokens.
pub(super) struct Grants {
    codes: Shelf<CodeState>,
    families: Shelf<Grant>,
    access: Shelf<Access>,
    refresh: Shelf<Refresh>,
}

enum CodeState {
    Fresh(Box<Code>),
    Redeemed { family: String },
    Refused,
}

struct Access {
    family: String,
    scopes: Scopes,
}

struct Refresh {
    family: String,
    used: bool,
}

impl Grants {
    /// No codes, no tokens.
    pub(super) fn new() -> Self {
        Self { codes: Shelf::new(), families: Shelf::new(), access: Shelf::new(), refresh: Shelf::new() }
    }

    /// Makes a code.
    pub(super) fn issue_code(&mut self, code: Code, now: u64) -> String {
        self.codes.put(CodeState::Fresh(Box::new(code)), CODE_LIFE, now)
    }

    /// Turns a code into tokens, once; an attempt that fails spends the code too.
    pub(super) fn redeem(&mut self, said: &Redemption<'_>, now: u64) -> Result<Issued, &'static str> {
        let unknown = "the code is unknown or has expired";
        let state = self.codes.find_mut(said.code, now).ok_or(unknown)?;
        let code = match std::mem::replace(state, CodeState::Refused) {
            CodeState::Fresh(code) => code,
            CodeState::Refused => return Err("the code was used before"),
            CodeState::Redeemed { family } => {
                self.families.take(&family, now);
                return Err("the code was used before: its tokens are revoked");
            }
        };
        check(&code, said)?;
        let family = self.families.put(code.grant.clone(), LIFE, now);
        *state = CodeState::Redeemed { family: family.clone() };
        Ok(self.issue(family, code.grant, code.nonce, now))
    }

    /// Turns a refresh token into new tokens, once; the scopes may become fewer, for the new tokens only.
    pub(super) fn refresh(
        &mut self,
        token: &str,
        client: &str,
        fewer: Option<Scopes>,
        now: u64,
    ) -> Result<Issued, RefreshError> {
        let refresh = self.refresh.find_mut(token, now).ok_or(RefreshError::Unknown)?;
        let family = refresh.family.clone();
        let grant = self.families.find(&family, now).ok_or(RefreshError::Unknown)?;
        if grant.client != client {
            return Err(RefreshError::Unknown);
        }
        if refresh.used {
            self.families.take(&family, now);
            return Err(RefreshError::UsedBefore);
        }
        let mut grant = grant.clone();
        if let Some(fewer) = fewer {
            if !fewer.within(grant.scopes) {
                return Err(RefreshError::TooWide);
            }
            grant.scopes = fewer;
        }
        refresh.used = true;
        Ok(self.issue(family, grant, None, now))
    }

    /// What an access token stands for.
    pub(super) fn find_access(&self, token: &str, now: u64) -> Option<Grant> {
        let access = self.access.find(token, now)?;
        let grant = self.families.find(&access.family, now)?.clone();
        Some(Grant { scopes: access.scopes, ..grant })
    }

    fn issue(&mut self, family: String, grant: Grant, nonce: Option<String>, now: u64) -> Issued {
        let access = Access { family: family.clone(), scopes: grant.scopes };
        let refresh = Refresh { family, used: false };
        Issued {
            grant,
            nonce,
            access: self.access.put(access, ACCESS_LIFE, now),
            refresh: self.refresh.put(refresh, LIFE, now),
        }
    }
}

/// Why a refresh token was refused.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum RefreshError {
    /// Nobody has this token: expired, revoked, another client's, or never made.
    Unknown,
    /// It came a second time.
    UsedBefore,
    /// More scopes were asked for than were granted.
    TooWide,
}

fn check(code: &Code, said: &Redemption<'_>) -> Result<(), &'static str> {
    if code.grant.client != said.client {
        return Err("the code was issued to another client");
    }
    if code.redirect_uri != said.redirect_uri {
        return Err("redirect_uri is not the one that the code was sent to");
    }
    if !code.challenge.is_met_by(said.verifier) {
        return Err("code_verifier does not match code_challenge");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::sessions::Level;
    use super::*;

    const SAID: Redemption<'static> = Redemption {
        code: "",
        client: "client",
        redirect_uri: "http://app.localhost/callback",
        verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    };

    fn code() -> Code {
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        Code {
            grant: Grant {
                client: "client".into(),
                scopes: Scopes::granted(|scope| scope != "groups"),
                authentication: Authentication {
                    user: "ada".into(),
                    at: 100,
                    level: Level::Password,
                    sid: "sid".into(),
                },
            },
            redirect_uri: SAID.redirect_uri.into(),
            challenge: Challenge::read(Some(challenge), Some("S256")).unwrap(),
            nonce: Some("nonce".into()),
        }
    }

    fn redeemed(grants: &mut Grants) -> Issued {
        let code = grants.issue_code(code(), 100);
        grants.redeem(&Redemption { code: &code, ..SAID }, 100).ok().unwrap()
    }

    #[test]
    fn a_code_used_again_ends_the_tokens_of_its_first_use() {
        let mut grants = Grants::new();
        let code = grants.issue_code(code(), 100);
        let said = Redemption { code: &code, ..SAID };
        let issued = grants.redeem(&said, 100).ok().unwrap();
        assert_eq!(issued.nonce.as_deref(), Some("nonce"));
        assert!(grants.find_access(&issued.access, 100).is_some());
        assert!(grants.redeem(&said, 101).is_err());
        assert!(grants.find_access(&issued.access, 101).is_none());
        let refreshed = grants.refresh(&issued.refresh, "client", None, 101);
        assert_eq!(refreshed.err(), Some(RefreshError::Unknown));
    }

    #[test]
    fn a_code_is_bound_to_client_address_and_verifier_and_a_miss_spends_it() {
        let verifier = "a".repeat(43);
        let misses = [
            Redemption { client: "other", ..SAID },
            Redemption { redirect_uri: "http://app.localhost/callback/", ..SAID },
            Redemption { verifier: &verifier, ..SAID },
        ];
        for miss in misses {
            let mut grants = Grants::new();
            let code = grants.issue_code(code(), 100);
            assert!(grants.redeem(&Redemption { code: &code, ..miss }, 100).is_err());
            assert!(grants.redeem(&Redemption { code: &code, ..SAID }, 100).is_err());
        }
    }

    #[test]
    fn a_code_expires() {
        let mut grants = Grants::new();
        let code = grants.issue_code(code(), 100);
        assert!(grants.redeem(&Redemption { code: &code, ..SAID }, 100 + CODE_LIFE).is_err());
        assert!(grants.redeem(&Redemption { code: "made up", ..SAID }, 100).is_err());
    }

    #[test]
    fn refresh_tokens_rotate_and_a_second_use_ends_the_family() {
        let mut grants = Grants::new();
        let first = redeemed(&mut grants);
        let second = grants.refresh(&first.refresh, "client", None, 110).ok().unwrap();
        assert_ne!(first.refresh, second.refresh);
        assert_eq!(second.nonce, None);
        let again = grants.refresh(&first.refresh, "client", None, 111);
        assert_eq!(again.err(), Some(RefreshError::UsedBefore));
        let after = grants.refresh(&second.refresh, "client", None, 112);
        assert_eq!(after.err(), Some(RefreshError::Unknown));
        assert!(grants.find_access(&second.access, 112).is_none());
    }

    #[test]
    fn another_client_can_neither_use_nor_spend_a_refresh_token() {
        let mut grants = Grants::new();
        let issued = redeemed(&mut grants);
        let other = grants.refresh(&issued.refresh, "other", None, 110);
        assert_eq!(other.err(), Some(RefreshError::Unknown));
        assert!(grants.refresh(&issued.refresh, "client", None, 110).is_ok());
    }

    #[test]
    fn refreshing_may_narrow_the_scopes_and_not_widen_them() {
        let mut grants = Grants::new();
        let issued = redeemed(&mut grants);
        let wider = Scopes::granted(|_| true);
        let refreshed = grants.refresh(&issued.refresh, "client", Some(wider), 110);
        assert_eq!(refreshed.err(), Some(RefreshError::TooWide));
        let fewer = Scopes::granted(|scope| scope == "email");
        let refreshed = grants.refresh(&issued.refresh, "client", Some(fewer), 110).ok().unwrap();
        let access = grants.find_access(&refreshed.access, 110).unwrap();
        assert_eq!(access.scopes.text(), "openid email");
    }
}
