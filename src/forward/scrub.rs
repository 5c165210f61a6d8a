//! Taking out everything a client must not say to the application.
//!
//! A field goes when its name folds (S01) to one that **any** policy emits, to one of the built-in list of names that old applications
//! and agents trust, or to a forwarding field that the gateway writes itself; and every hop-by-hop field goes (H04). That holds for every
//! request, public or not (S02), because nothing but [`scrub`] makes a [`Scrubbed`].
//!
//! Trust boundary: field names are a stranger's bytes; values are not looked at.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::http::fold::FoldedNames;
use crate::http::hop;

/// Names by which applications, agents and frameworks are told who asks, whatever policies are loaded.
const IDENTITIES: &[&str] = &[
    "Auth-Groups",
    "Auth-Mail",
    "Auth-Type",
    "Auth-User",
    "CAS-User",
    "Client-Cert",
    "Client-Cert-Chain",
    "Gap-Auth",
    "Logon-User",
    "OIDC-Claim-Sub",
    "Remote-Email",
    "Remote-Group",
    "Remote-Groups",
    "Remote-Ident",
    "Remote-Name",
    "Remote-User",
    "X-Arr-ClientCert",
    "X-Authenticated-User",
    "X-Client-Cert",
    "X-Forwarded-Access-Token",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-User",
    "X-Proxy-Roles",
    "X-Proxy-User",
    "X-User",
    "X-Username",
];

/// Names by which they are told from where a request comes, where it goes and what it is. Proxies on the way write some of them.
///
/// gunicorn cuts what `SCRIPT_NAME` holds off the path that was decided on, and so does Flask's well-known snippet for `X-Script-Name`;
/// Pyramid puts `X-Vhm-Root` before it.
const WAYS: &[&str] = &[
    "CF-Connecting-Ip",
    "Client-Ip",
    "Fastly-Client-Ip",
    "Forwarded",
    "Forwarded-For",
    "Front-End-Https",
    "Http-Client-Ip",
    "Http-Method-Override",
    "Path-Info",
    "Path-Translated",
    "Proxy",
    "Proxy-Client-Ip",
    "Remote-Addr",
    "Remote-Host",
    "Script-Name",
    "True-Client-Ip",
    "X-Client-Ip",
    "X-Cluster-Client-Ip",
    "X-Forwarded",
    "X-Host",
    "X-Http-Host-Override",
    "X-Http-Method",
    "X-Http-Method-Override",
    "X-Method-Override",
    "X-Original-Host",
    "X-Original-Method",
    "X-Original-Uri",
    "X-Original-Url",
    "X-Real-Ip",
    "X-Request-Id",
    "X-Rewrite-Url",
    "X-Scheme",
    "X-Script-Name",
    "X-Traversal-Path",
    "X-Url-Scheme",
    "X-Vhm-Host",
    "X-Vhm-Root",
];

/// What the names of whole families of such ways begin with, and of what clouds in front of the gateway say of a person without signing it.
const WAY_FAMILIES: &[&str] =
    &["CF-Access-Authenticated-User-", "X-Amzn-Oidc-Identity", "X-Forwarded-", "X-Goog-Authenticated-User-"];

/// What the names of whole families of identities begin with.
const IDENTITY_FAMILIES: &[&str] = &[
    "$WS", // WebSphere's plug-in
    "iv-",
    "Mellon_",
    "OAM_",
    "OIDC_",
    "Ping-",
    "Shib_",
    "SM_",
    "SSL_Client_",
    "WL-Proxy-", // WebLogic's
    "X-Auth-Request-",
    "X-Authentik-",
    "X-Ms-Client-Principal",
    "X-Pomerium-",
    "X-Remote-",
    "X-SSL-Client-",
    "X-Vouch-",
    "X-Webauth-",
];

/// Framing and routing fields: any other spelling of one of these is a trick.
const EXACT_ONLY: &[HeaderName] = &[
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::HOST,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The names to take out, compiled from all policies together.
#[derive(Clone, Debug)]
pub struct ScrubSet {
    names: FoldedNames,
    identities: FoldedNames,
    look_alikes: FoldedNames,
}

impl ScrubSet {
    /// Compiles the union of what all policies emit and the built-in list.
    pub fn new<'a>(emitted: impl IntoIterator<Item = &'a HeaderName>) -> Self {
        let identities: Vec<&str> =
            emitted.into_iter().map(HeaderName::as_str).chain(IDENTITIES.iter().copied()).collect();
        let families = || IDENTITY_FAMILIES.iter().copied();
        Self {
            names: FoldedNames::new(
                identities.iter().chain(WAYS).copied(),
                families().chain(WAY_FAMILIES.iter().copied()),
            ),
            identities: FoldedNames::new(identities, families()),
            look_alikes: FoldedNames::new(EXACT_ONLY.iter().map(HeaderName::as_str), []),
        }
    }

    /// Whether a field of this name is taken out.
    pub fn covers(&self, name: &HeaderName) -> bool {
        self.names.covers(name.as_str()) || self.is_look_alike(name)
    }

    /// The first field by which a client poses as somebody, for applications that refuse such requests: one that folds to an identity
    /// header, or another spelling of a framing or routing field. Those that proxies write are none, and neither are `Authorization`
    /// and `Cookie`, which clients send for reasons of their own.
    pub fn forged<'h>(&self, headers: &'h HeaderMap) -> Option<&'h HeaderName> {
        let poses = |name: &&HeaderName| self.identities.covers(name.as_str()) && !EXACT_ONLY.contains(name);
        headers.keys().find(|name| poses(name) || self.is_look_alike(name))
    }

    /// Whether the name is another spelling of a framing or routing field.
    pub fn is_look_alike(&self, name: &HeaderName) -> bool {
        self.look_alikes.covers(name.as_str()) && !EXACT_ONLY.contains(name)
    }
}

/// A request's fields without anything that a client must not say. Made by [`scrub`] only.
pub struct Scrubbed {
    headers: HeaderMap,
    upgrade: Option<HeaderValue>,
}

impl Scrubbed {
    /// The fields that are left; the gateway's own cookies are still among them, for authentication.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The protocol that the client asks to switch to.
    pub fn upgrade(&self) -> Option<&HeaderValue> {
        self.upgrade.as_ref()
    }

    /// The fields; none stay.
    #[must_use]
    pub fn take(&mut self) -> Self {
        Self { headers: std::mem::take(&mut self.headers), upgrade: self.upgrade.take() }
    }

    pub(super) fn into_parts(self) -> (HeaderMap, Option<HeaderValue>) {
        (self.headers, self.upgrade)
    }
}

/// Takes out everything a client must not say.
pub fn scrub(mut headers: HeaderMap, set: &ScrubSet) -> Scrubbed {
    let upgrade = hop::requested_upgrade(&headers).cloned();
    hop::drop_hop_by_hop(&mut headers);
    let mut covered = Vec::new();
    for name in headers.keys() {
        if set.covers(name) {
            covered.push(name.clone());
        }
    }
    for name in &covered {
        headers.remove(name);
    }
    Scrubbed { headers, upgrade }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(emitted: &[&str], sent: &[&str]) -> Vec<String> {
        let emitted: Vec<HeaderName> = emitted.iter().map(|name| name.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for name in sent {
            headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_static("forged"));
        }
        let scrubbed = scrub(headers, &ScrubSet::new(&emitted));
        let mut left: Vec<String> = scrubbed.headers().keys().map(ToString::to_string).collect();
        left.sort();
        left
    }

    #[test]
    fn s01_names_that_fold_to_an_emitted_one_are_taken_out() {
        let aliases =
            ["x-royalty-role", "x_royalty_role", "x.royalty.role", "x-royalty_role", "X~Royalty'Role", "accept"];
        assert_eq!(left(&["X-Royalty-Role"], &aliases), ["accept"]);
    }

    #[test]
    fn s01_names_of_the_built_in_list_are_taken_out_without_any_policy() {
        let sent = [
            "remote_user",
            "remote-user",
            "sm_user",
            "sm-serversessionid",
            "oam_remote_user",
            "iv-user",
            "iv_groups",
            "$wsru",
            "x-forwarded-user",
            "x_forwarded_email",
            "x-auth-request-user",
            "x-remote-user",
            "x-ssl-client-s-dn",
            "x-real-ip",
            "x-original-url",
            "x-rewrite-url",
            "x-http-method-override",
            "proxy",
            "forwarded",
            "x-request-id",
            "script_name",
            "script-name",
            "path.info",
            "x-script-name",
            "x_vhm_root",
            "client-ip",
            "x-forwarded",
            "client-cert",
            "wl-proxy-client-cert",
            "x-goog-authenticated-user-email",
            "x-pomerium-claim-email",
            "user-agent",
        ];
        assert_eq!(left(&[], &sent), ["user-agent"]);
    }

    #[test]
    fn s01_other_spellings_of_framing_fields_are_taken_out() {
        let sent = [
            "content_length",
            "transfer_encoding",
            "content.type",
            "cookie",
            "authorization",
            "content-type",
            "co0kie",
        ];
        assert_eq!(left(&[], &sent), ["authorization", "co0kie", "content-type", "cookie"]);
    }

    #[test]
    fn s01_a_forged_field_is_found_and_what_proxies_and_clients_send_is_none() {
        let emitted = ["X-Royalty-Role", "Authorization", "Cookie"].map(|name| name.parse::<HeaderName>().unwrap());
        let set = ScrubSet::new(&emitted);
        let forged = |name: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("accept", HeaderValue::from_static("x"));
            headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_static("x"));
            set.forged(&headers).map(ToString::to_string)
        };
        for name in ["x_royalty.role", "remote-user", "sm_user", "x-forwarded-user", "iv-user", "content_type"] {
            assert_eq!(forged(name).as_deref(), Some(name));
        }
        for name in
            ["x-forwarded-for", "x-forwarded-proto", "forwarded", "x-real-ip", "x-request-id", "proxy", "script_name"]
        {
            assert_eq!(forged(name), None, "{name}");
        }
        for name in ["authorization", "cookie", "content-type", "x-royalty-roles", "x-http-method-override"] {
            assert_eq!(forged(name), None, "{name}");
        }
    }

    #[test]
    fn s01_an_authorization_field_that_a_policy_emits_is_taken_from_clients() {
        assert_eq!(left(&["Authorization"], &["authorization", "accept"]), ["accept"]);
    }

    #[test]
    fn s04_connection_cannot_name_what_is_kept_for_the_gateway() {
        let mut headers = HeaderMap::new();
        headers.insert("connection", HeaderValue::from_static("cookie, x-other, upgrade"));
        headers.insert("upgrade", HeaderValue::from_static("websocket"));
        headers.insert("x-other", HeaderValue::from_static("1"));
        let scrubbed = scrub(headers, &ScrubSet::new([]));
        assert!(scrubbed.headers().is_empty());
        assert_eq!(scrubbed.upgrade().unwrap(), "websocket");
    }
}
