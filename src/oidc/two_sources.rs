//! Claims of an ID token and of userinfo become one set, without an address of one that is vouched for by the other (S09).
//!
//! `email_verified` and `phone_number_verified` speak of the address that stands beside them (OpenID Connect Core 5.1). Where the address of the
//! set is another than that of the source which vouches, nobody has vouched for it.
//!
//! May touch: memory only. Trust boundary: both sources are verified; what people may write into either is not.

use crate::claims::Claims;

/// Addresses, and the claims that vouch for them.
const VOUCHED: [(&str, &str); 2] = [("email", "email_verified"), ("phone_number", "phone_number_verified")];

/// Both sets; of claims that both have, those of `upper`.
pub(super) fn joined(lower: Claims, upper: Claims) -> Claims {
    let is_lost = |(address, flag): (&str, &str)| {
        let vouching = if upper.value(flag).is_some() { &upper } else { &lower };
        vouching.value(address) != upper.value(address).or(lower.value(address))
    };
    let lost: Vec<&str> = VOUCHED.into_iter().filter(|pair| is_lost(*pair)).map(|(_, flag)| flag).collect();
    let mut claims = lower;
    claims.merge(upper);
    claims.retain(|name| !lost.contains(&name));
    claims
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(json: &str) -> Claims {
        Claims::from_json(json.as_bytes()).unwrap()
    }

    #[test]
    fn s09_an_address_is_vouched_for_by_its_own_source_only() {
        for (lower, upper, both) in [
            (r#"{"email":"a@x","email_verified":true}"#, r#"{"email":"b@y"}"#, r#"{"email":"b@y"}"#),
            (
                r#"{"email":"a@x","email_verified":true}"#,
                r#"{"email":"a@x"}"#,
                r#"{"email":"a@x","email_verified":true}"#,
            ),
            (
                r#"{"email":"a@x"}"#,
                r#"{"email":"b@y","email_verified":true}"#,
                r#"{"email":"b@y","email_verified":true}"#,
            ),
            (r#"{"email":"a@x"}"#, r#"{"email_verified":true}"#, r#"{"email":"a@x"}"#),
            (r#"{"email_verified":true}"#, r#"{"email":"b@y"}"#, r#"{"email":"b@y"}"#),
            (r#"{"email":"a@x","email_verified":true}"#, r#"{"email_verified":false}"#, r#"{"email":"a@x"}"#),
            (
                r#"{"email":"a@x","email_verified":true}"#,
                r#"{"name":"b"}"#,
                r#"{"email":"a@x","email_verified":true,"name":"b"}"#,
            ),
            (
                r#"{"name":"a"}"#,
                r#"{"email":"b@y","email_verified":true}"#,
                r#"{"name":"a","email":"b@y","email_verified":true}"#,
            ),
            (r#"{"email_verified":true}"#, r#"{"name":"b"}"#, r#"{"email_verified":true,"name":"b"}"#),
            (
                r#"{"phone_number":"+1","phone_number_verified":true}"#,
                r#"{"phone_number":"+2"}"#,
                r#"{"phone_number":"+2"}"#,
            ),
            (r#"{"name":"a"}"#, r#"{"name":"b"}"#, r#"{"name":"b"}"#),
        ] {
            assert_eq!(joined(claims(lower), claims(upper)), claims(both), "{lower} {upper}");
        }
    }
}
