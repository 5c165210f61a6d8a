//! A small OpenID provider that signs one person in without asking.
//!
//! The measurement is about signed-in requests, so the sessions must come from a real login: discovery, a redirect with
//! state and nonce, a code, a signed ID token. Who the person is does not matter; there is no login page and the
//! provider checks neither secret nor verifier. It is therefore no model for anything and never leaves this program.
//!
//! Listens on loopback only; ID tokens are signed with ES256 (RFC 7518 3.4) by a key made at the start.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lychgate::clock::Clock;
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use serde_json::{Value, json};
use url::Url;
use url::form_urlencoded::{self, Serializer};

use crate::Result;

/// Name and secret of a relying party.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) id: &'static str,
    pub(crate) secret: &'static str,
}

/// The provider's address and what proxies need to know of it.
#[derive(Clone)]
pub(crate) struct Provider {
    /// The issuer, without a slash at the end.
    pub(crate) issuer: String,
    /// Lychgate's registration.
    pub(crate) first_client: Client,
    /// mod_auth_openidc's registration.
    pub(crate) second_client: Client,
    /// Envoy's registration.
    pub(crate) third_client: Client,
    /// The `preferred_username` of the person who is signed in.
    pub(crate) person: &'static str,
    /// One of the person's groups.
    pub(crate) group: &'static str,
    desk: Arc<Desk>,
}

const PERSON: &str = "ada";
const GROUP: &str = "royalty-artists";

impl Provider {
    /// Starts the provider in a thread that lasts as long as the program.
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let issuer = format!("http://{}", listener.local_addr()?);
        let (grants, numbers) = (Mutex::default(), AtomicU64::new(0));
        let desk = Arc::new(Desk { issuer: issuer.clone(), key: KeyPair::generate()?, grants, numbers });
        let serving = Arc::clone(&desk);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serving.serve(&stream); // a client that goes away is its own loss
            }
        });
        Ok(Self {
            issuer,
            first_client: Client { id: "lychgate", secret: "the-first-secret-of-the-measurement" },
            second_client: Client { id: "apache", secret: "the-second-secret-of-the-measurement" },
            third_client: Client { id: "envoy", secret: "the-third-secret-of-the-measurement" },
            person: PERSON,
            group: GROUP,
            desk,
        })
    }

    /// Signs the person in who was sent here; the address that the browser is sent back to.
    pub(crate) fn sign_in(&self, authorize: &Url) -> String {
        self.desk.grant(authorize.query_pairs().into_owned().collect())
    }

    /// A logout token for some login of the first client (OpenID Connect Back-Channel Logout 2.4).
    pub(crate) fn logout_token(&self) -> Result<String> {
        let (now, number) = (Clock::system().now().seconds(), self.desk.number());
        let claims = json!({
            "iss": self.issuer, "aud": self.first_client.id, "iat": now, "exp": now + 120,
            "jti": format!("logout-{number}"), "sid": format!("login-{number}"),
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        self.desk.sign("logout+jwt", &claims)
    }
}

type Parameters = HashMap<String, String>;

/// Key, and codes that wait for being redeemed.
struct Desk {
    issuer: String,
    key: KeyPair,
    grants: Mutex<HashMap<String, Parameters>>,
    numbers: AtomicU64,
}

impl Desk {
    fn serve(&self, mut stream: &TcpStream) -> Result<()> {
        let (path, parameters) = read_request(stream)?;
        let (status, extra, body) = match path.as_str() {
            "/.well-known/openid-configuration" => ("200 OK", String::new(), self.metadata()),
            "/jwks" => ("200 OK", String::new(), self.jwks()),
            "/authorize" => ("302 Found", format!("Location: {}\r\n", self.grant(parameters)), Value::Null),
            "/token" => self.redeem(&parameters)?,
            _ => ("404 Not Found", String::new(), Value::Null),
        };
        let body = body.to_string();
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nConnection: close\r\nCache-Control: no-store\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n{extra}\r\n{body}"
        )?;
        Ok(())
    }

    fn metadata(&self) -> Value {
        let issuer = &self.issuer;
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
        })
    }

    fn jwks(&self) -> Value {
        let point = self.key.der_bytes(); // 4, then x and y of 32 bytes each
        let (x, y) = point.get(1..).unwrap_or_default().split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        json!({"keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "one", "x": x, "y": y,
        }]})
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes a grant and makes the address that leads back with its code.
    fn grant(&self, parameters: Parameters) -> String {
        let code = format!("code-{}", self.number());
        let state = parameters.get("state").map_or("", String::as_str);
        let back = parameters.get("redirect_uri").map_or("", String::as_str);
        let query = Serializer::new(String::new()).append_pair("code", &code).append_pair("state", state).finish();
        let address = format!("{back}?{query}");
        self.grants.lock().unwrap_or_else(PoisonError::into_inner).insert(code, parameters);
        address
    }

    fn redeem(&self, parameters: &Parameters) -> Result<(&'static str, String, Value)> {
        let code = parameters.get("code").map_or("", String::as_str);
        let Some(grant) = self.grants.lock().unwrap_or_else(PoisonError::into_inner).remove(code) else {
            let refusal = json!({"error": "invalid_grant"});
            return Ok(("400 Bad Request", String::new(), refusal));
        };
        let answer = json!({
            "access_token": "unused", "token_type": "Bearer", "expires_in": 3600,
            "id_token": self.sign("JWT", &self.claims(&grant))?,
        });
        Ok(("200 OK", String::new(), answer))
    }

    fn claims(&self, grant: &Parameters) -> Value {
        let now = Clock::system().now().seconds();
        json!({
            "iss": self.issuer, "sub": "00u-ada", "aud": grant.get("client_id"), "nonce": grant.get("nonce"),
            "iat": now, "exp": now + 36_000, "auth_time": now, "sid": format!("login-{}", self.number()),
            "preferred_username": PERSON, "name": "Ada Example", "email": "ada@gmr.example",
            "email_verified": true,
            "groups": [GROUP, "royalty-readers", "archive-readers", "staff", "everyone"],
        })
    }

    fn sign(&self, kind: &str, claims: &Value) -> Result<String> {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": "ES256", "typ": kind, "kid": "one"}).to_string());
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = fixed_signature(&self.key.sign(signed.as_bytes())?);
        let signature = signature.ok_or("the signature has an unknown shape")?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// Rewrites an ASN.1 ECDSA signature, a sequence of two integers, as two numbers of 32 bytes (RFC 7518 3.4).
fn fixed_signature(der: &[u8]) -> Option<[u8; 64]> {
    let mut fixed = [0; 64];
    let mut rest = der.get(2..)?;
    for half in fixed.chunks_exact_mut(32) {
        let length = usize::from(*rest.get(1)?);
        let number = rest.get(2..2 + length)?;
        rest = rest.get(2 + length..)?;
        let digits = number.iter().rev().zip(half.iter_mut().rev());
        digits.for_each(|(from, to)| *to = *from);
    }
    Some(fixed)
}

/// Reads one request: its path, and the parameters of its query or form.
fn read_request(stream: &TcpStream) -> Result<(String, Parameters)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut length = 0;
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line)?;
        if let Some(("content-length", value)) = line.to_ascii_lowercase().split_once(": ") {
            length = value.trim().parse()?;
        }
    }
    let mut body = String::new();
    reader.take(length).read_to_string(&mut body)?;
    let (path, query) = target.split_once('?').unwrap_or((&target, &body));
    let parameters = form_urlencoded::parse(query.as_bytes()).into_owned();
    Ok((path.to_owned(), parameters.collect()))
}
