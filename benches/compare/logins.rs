//! Logins and logouts: what signing a person in costs, from the first page to the session, and what ending a session costs that the
//! provider ends over the back channel.
//!
//! The provider answers from this program, on the load generator's core, and gives each code to whoever asks. It speaks one request a
//! connection, so each login costs the gateway a connection of its own to the provider.

use tokio::net::TcpStream;
use url::Url;

use crate::client::{self, Client};
use crate::closed::{self, Worker};
use crate::peers::{self, Peer, Running};
use crate::provider::Provider;
use crate::rounds::{Contender, in_turn};
use crate::{Bench, Result, table};

/// People who sign in at the same time.
const AT_ONCE: usize = 16;

pub(crate) fn measure(bench: &Bench) -> Result<()> {
    let mut running = Vec::new();
    for peer in [peers::apache::PEER, peers::lychgate::PEER] {
        if taking_part(bench, &peer) {
            running.push((peer.start)(&bench.site, &bench.provider)?);
        }
    }
    let contenders: Vec<Contender<'_>> = running.iter().map(|proxy| contender(bench, proxy, login)).collect();
    let title = "Logins from the first page to the session, 16 people at once (req/s: logins a second on one core)";
    print!("{}", table::print(title, &in_turn(bench.pace, &contenders)));
    let gateways = running.iter().filter(|proxy| proxy.name == peers::lychgate::PEER.name);
    let contenders: Vec<Contender<'_>> = gateways.map(|proxy| contender(bench, proxy, logout)).collect();
    let title = "Back-channel logouts, 16 at once (req/s: logouts a second)";
    print!("{}", table::print(title, &in_turn(bench.pace, &contenders)));
    Ok(())
}

fn taking_part(bench: &Bench, peer: &Peer) -> bool {
    bench.includes(peer.name) && (peer.missing)().is_none()
}

type Send = fn(&Provider, &Running, u64) -> Result<crate::load::Load>;

fn contender<'a>(bench: &'a Bench, proxy: &'a Running, send: Send) -> Contender<'a> {
    let send = move |seconds| send(&bench.provider, proxy, seconds);
    Contender { name: proxy.name.to_owned(), process: &proxy.process, send: Box::new(send) }
}

/// Somebody's browser, and the provider that it is sent to.
struct Person {
    connection: Client<TcpStream>,
    host: String,
    provider: Provider,
}

fn login(provider: &Provider, proxy: &Running, seconds: u64) -> Result<crate::load::Load> {
    let start = async || Ok(Person::at(proxy, provider).await?);
    closed::run(seconds, start, AT_ONCE)
}

impl Person {
    async fn at(proxy: &Running, provider: &Provider) -> Result<Self> {
        let host = format!("localhost:{}", proxy.clear);
        Ok(Self { connection: client::clear(proxy.clear).await?, host, provider: provider.clone() })
    }
}

impl Worker for Person {
    async fn once(&mut self) -> Result<()> {
        let sent_away = self.connection.ask(&client::get("/1k", &self.host, "")).await?.must_be(302)?;
        let to = Url::parse(sent_away.field("location").ok_or("a redirect to nowhere")?)?;
        let cookies: Vec<&str> = sent_away.fields("set-cookie").filter_map(|line| line.split(';').next()).collect();
        let back = Url::parse(&self.provider.sign_in(&to))?;
        let path = format!("{}?{}", back.path(), back.query().unwrap_or_default());
        let request = client::get(&path, &self.host, &cookies.join("; "));
        let done = self.connection.ask(&request).await?.must_be(302)?;
        done.field("set-cookie").map(drop).ok_or_else(|| "a login without a session".into())
    }
}

/// The provider, ending sessions.
struct Ending {
    connection: Client<TcpStream>,
    host: String,
    provider: Provider,
}

fn logout(provider: &Provider, proxy: &Running, seconds: u64) -> Result<crate::load::Load> {
    let start = async || {
        let Person { connection, host, provider } = Person::at(proxy, provider).await?;
        Ok(Ending { connection, host, provider })
    };
    closed::run(seconds, start, AT_ONCE)
}

impl Worker for Ending {
    async fn once(&mut self) -> Result<()> {
        let form = format!("logout_token={}", self.provider.logout_token()?);
        let (host, length) = (&self.host, form.len());
        let request = format!(
            "POST /.lychgate/backchannel-logout HTTP/1.1\r\nHost: {host}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
        );
        self.connection.ask(request.as_bytes()).await?.must_be(200).map(drop)
    }
}
