//! Apache with mod_auth_openidc: the gateway that this project replaces, doing the whole work.
//!
//! One child process of the event MPM with its default session store (shared memory), a real login, a rule about
//! groups, and the claims handed to the application in headers.

use super::{Peer, Running, Under, padded};
use crate::login::{Scheme, sign_in};
use crate::process::{PROXY_CORE, Process};
use crate::provider::Provider;
use crate::site::Site;
use crate::{Result, machine, ports};

/// Apache, one process, all claims in headers.
pub(crate) const PEER: Peer = Peer { name: "mod_auth_openidc", under: Under::Small, missing, start };

const MODULES: &str = "/usr/lib/apache2/modules";
const LOADED: [&str; 12] = [
    "mpm_event",
    "authn_core",
    "authz_core",
    "authz_user",
    "headers",
    "socache_shmcb",
    "ssl",
    "http2",
    "proxy",
    "proxy_http",
    "auth_openidc",
    "unixd",
];

fn missing() -> Option<&'static str> {
    let module = format!("{MODULES}/mod_auth_openidc.so");
    let there = machine::installed("apache2") && std::path::Path::new(&module).is_file();
    (!there).then_some("Debian packages apache2 and libapache2-mod-auth-openidc")
}

fn start(site: &Site, provider: &Provider) -> Result<Running> {
    let (clear, tls) = (ports::free()?, ports::free()?);
    let file = site.write("apache.conf", &configuration(site, provider, clear, tls))?;
    let file = file.display().to_string();
    let log = site.folder.join("apache.log");
    let command = ["apache2", "-DFOREGROUND", "-f", &file];
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

fn configuration(site: &Site, provider: &Provider, clear: u16, tls: u16) -> String {
    let (at, upstream) = (site.folder.display(), site.upstream);
    let (certificate, key) = (site.certificate.display(), site.key.display());
    let (issuer, client) = (&provider.issuer, &provider.second_client);
    let (id, secret) = (&client.id, &client.secret);
    let group = provider.group;
    let built_in = ["unixd"]; // compiled into Debian's binary
    let modules = LOADED.iter().filter(|name| !built_in.contains(name));
    let modules: String = modules.map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n")).collect();
    format!(
        "ServerRoot {at}
ServerName localhost
PidFile {at}/apache.pid
DefaultRuntimeDir {at}
ErrorLog {at}/apache-error.log
{modules}
<IfModule unixd_module>
User www-data
Group www-data
</IfModule>
Listen 127.0.0.1:{clear}
Listen 127.0.0.1:{tls}
ServerLimit 1
StartServers 1
ThreadLimit 128
ThreadsPerChild 128
MaxRequestWorkers 128
MinSpareThreads 1
MaxSpareThreads 128
KeepAlive On
KeepAliveTimeout 60
MaxKeepAliveRequests 0
LogFormat \"%h %l %u %t \\\"%r\\\" %>s %O \\\"%{{Referer}}i\\\" \\\"%{{User-Agent}}i\\\"\" combined
CustomLog {at}/apache-access.log combined
OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration
OIDCClientID {id}
OIDCClientSecret {secret}
OIDCScope \"openid profile email groups\"
OIDCRedirectURI /redirect_uri
OIDCCryptoPassphrase a-passphrase-for-one-measurement
OIDCPassClaimsAs headers
OIDCRemoteUserClaim preferred_username
ProxyPass / http://127.0.0.1:{upstream}/ keepalive=On
ProxyPreserveHost On
<Location />
  AuthType openid-connect
  Require claim groups:{group}
</Location>
<VirtualHost 127.0.0.1:{clear}>
</VirtualHost>
<VirtualHost 127.0.0.1:{tls}>
  Protocols h2 http/1.1
  SSLEngine on
  SSLProtocol TLSv1.3
  SSLCertificateFile {certificate}
  SSLCertificateKeyFile {key}
</VirtualHost>
"
    )
}
