//! Sessions made without logins: sealed with the gateway's own key, as its callback would.
//!
//! A hundred thousand logins would take longer than everything else here. What the gateway opens is the same.

use std::fs::File;
use std::io::{BufWriter, Write};

use http::HeaderMap;
use lychgate::claims::Claims;
use lychgate::clock::Clock;
use lychgate::crypto::KeyRing;
use lychgate::session::{CookieNames, Registration, SealedSessions, Session, SessionId};

use crate::Result;
use crate::provider::Provider;
use crate::site::Site;

/// The Cookie header of a fresh session of the provider's person in clear, at the only application of its host.
pub(crate) fn cookie(keys: &KeyRing, provider: &Provider, host: &str, app: &str) -> Result<String> {
    let now = Clock::system().now();
    let claims = serde_json::json!({
        "preferred_username": provider.person,
        "email": "ada@gmr.example",
        "groups": [provider.group, "royalty-readers", "archive-readers", "staff", "everyone"],
    });
    let id = SessionId::new();
    let session = Session {
        id,
        root: id,
        provider: "measured".into(),
        registration: Registration::new(&provider.issuer, provider.first_client.id),
        subject: "00u-ada".into(),
        provider_session: None,
        acr: None,
        amr: Vec::new(),
        authenticated_at: now,
        started_at: now,
        seen_at: now,
        refresh_at: None,
        generation: 0,
        claims: Claims::from_json(claims.to_string().as_bytes()).map_err(|_| "claims that cannot be read")?,
        absent_claims: Vec::new(),
    };
    let scope = format!("{host}/{app}");
    let names = CookieNames::new(false, None);
    let fields = SealedSessions { keys, names: &names, scope: &scope }
        .seal(&session, &HeaderMap::new())
        .map_err(|error| error.to_string())?;
    let field = fields.first().ok_or("a session without a cookie")?.to_str()?;
    Ok(field.split(';').next().unwrap_or_default().to_owned())
}

/// Writes a script that makes wrk send one request after the other, of these hosts and cookies in turn; returns its path.
pub(crate) fn script(
    site: &Site,
    name: &str,
    requests: impl Iterator<Item = Result<(String, String)>>,
) -> Result<String> {
    let list = site.path(&format!("{name}.txt"));
    let mut file = BufWriter::new(File::create(&list)?);
    for request in requests {
        let (host, cookie) = request?;
        writeln!(file, "{host}\t{cookie}")?;
    }
    file.flush()?;
    let script = format!(
        "local requests, at = {{}}, 0
function init()
  for line in io.lines('{list}') do
    local host, cookie = line:match('(.-)\\t(.*)')
    requests[#requests + 1] = 'GET /1k HTTP/1.1\\r\\nHost: ' .. host .. '\\r\\nCookie: ' .. cookie .. '\\r\\n\\r\\n'
  end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
"
    );
    Ok(site.write(&format!("{name}.lua"), &script)?.display().to_string())
}
