//! The refresh tokens of the development provider: rotated at every use, and a family revoked as soon as one is used twice.

use std::collections::HashMap;

/// All families of tokens.
#[derive(Default)]
pub(crate) struct Grants {
    families: Vec<Family>,
    tokens: HashMap<String, usize>,
}

struct Family {
    /// Of the authorization request.
    parameters: HashMap<String, String>,
    /// The one token that is good.
    current: String,
    revoked: bool,
    auth_time: i64,
}

/// What became of a token that was brought.
pub(crate) struct Exchanged {
    pub(crate) parameters: HashMap<String, String>,
    pub(crate) token: String,
    pub(crate) auth_time: i64,
}

impl Grants {
    /// A new family.
    pub(crate) fn grant(&mut self, parameters: &HashMap<String, String>, auth_time: i64) -> String {
        let family = self.families.len();
        let current = format!("refresh-{family}-0");
        self.tokens.insert(current.clone(), family);
        let parameters = parameters.clone();
        self.families.push(Family { parameters, current: current.clone(), revoked: false, auth_time });
        current
    }

    /// Exchanges a token for the next one; none when it is unknown, or was used before, which revokes its family.
    pub(crate) fn exchange(&mut self, token: &str, rotate: bool) -> Option<Exchanged> {
        let index = *self.tokens.get(token)?;
        let family = &mut self.families[index];
        if family.revoked || family.current != token {
            family.revoked = true;
            return None;
        }
        if rotate {
            let number: u32 = token.rsplit('-').next().unwrap().parse().unwrap();
            family.current = format!("refresh-{index}-{}", number + 1);
            self.tokens.insert(family.current.clone(), index);
        }
        let Family { parameters, current, auth_time, .. } = family;
        Some(Exchanged { parameters: parameters.clone(), token: current.clone(), auth_time: *auth_time })
    }

    /// Revokes everything, as an administrator of the provider does.
    pub(crate) fn revoke(&mut self) {
        self.families.iter_mut().for_each(|family| family.revoked = true);
    }

    /// Whether a token was used twice.
    pub(crate) fn any_revoked(&self) -> bool {
        self.families.iter().any(|family| family.revoked)
    }
}
