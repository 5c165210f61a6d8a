//! The demonstration: `cargo run --release --example demo`, with nothing else installed.
//!
//! One process with a development OpenID provider, two legacy applications that know nothing of OpenID, and
//! the gateway with `policies/royalty.toml` and `policies/archives.toml` in front of them, on `*.localhost`
//! names, which every browser takes to loopback. It prints what to open and whom to sign in as, and stops
//! on Ctrl-C or SIGTERM.
//!
//! Everything listens on 127.0.0.1. Ports: `--port` (the gateway), `--provider-port`, `--royalty-port`,
//! `--archives-port`.

mod apps;
mod banner;
mod folder;
mod gateway;
mod options;
mod people;
mod provider;
#[cfg(test)]
mod relying_party;

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use apps::Link;
use banner::Banner;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Parser;
use folder::{Contents, Folder};
use gateway::Gateway;
use options::Options;
use provider::{Algorithm, Client, Provider, ProviderConfig};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The gateway's name at the provider.
const CLIENT_ID: &str = "lychgate";

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("demo: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let told = told_to_stop()?;
    // Every port first: nothing starts unless everything can.
    let provider = bind(options.provider_port, "the provider", "--provider-port").await?;
    let royalty = bind(options.royalty_port, "the royalty system", "--royalty-port").await?;
    let archives = bind(options.archives_port, "the archives", "--archives-port").await?;
    let gateway = free_address(options.port).await?;

    let addresses = Addresses::new(gateway.port(), provider.local_addr()?.port());
    let people = people::people();
    let banner = Banner {
        royalty: &addresses.royalty,
        archives: &addresses.archives,
        issuer: &addresses.issuer,
        unguarded: &format!("http://{}", royalty.local_addr()?),
        people: &people,
    }
    .text();

    let secret = random_text()?;
    let contents = Contents {
        gateway,
        issuer: &addresses.issuer,
        client_id: CLIENT_ID,
        client_secret: &secret,
        royalty: royalty.local_addr()?,
        archives: archives.local_addr()?,
    };
    let folder = Folder::make(&random_text()?, &contents)?;
    let config = ProviderConfig { issuer: addresses.issuer.clone(), clients: vec![addresses.client(secret)], people };
    let identity = Provider::new(config)?;

    let (stop, stopping) = watch::channel(());
    let stopped = || {
        let mut stopping = stopping.clone();
        // The sender is dropped to stop; it never sends.
        async move { while stopping.changed().await.is_ok() {} }
    };
    let servers = [
        tokio::spawn(identity.serve(provider, stopped())),
        tokio::spawn(apps::royalty::serve(royalty, Addresses::links("Archives", &addresses.archives), stopped())),
        tokio::spawn(apps::archives::serve(archives, Addresses::links("Royalties", &addresses.royalty), stopped())),
    ];
    let gateway = Gateway::start(&folder.configuration()).await?;
    say(&banner);
    told.await;
    // The gateway first: what it has accepted still needs the others.
    gateway.stop().await;
    drop(stop);
    for server in servers {
        server.await?;
    }
    say("\nStopped.");
    Ok(())
}

/// Where a browser finds everything.
struct Addresses {
    royalty: String,
    archives: String,
    issuer: String,
}

impl Addresses {
    fn new(gateway: u16, provider: u16) -> Self {
        Self {
            royalty: format!("http://royalty.localhost:{gateway}"),
            archives: format!("http://archives.localhost:{gateway}"),
            issuer: format!("http://login.localhost:{provider}"),
        }
    }

    /// The gateway, as the provider knows it.
    fn client(&self, secret: String) -> Client {
        let at =
            |path: &str| [&self.royalty, &self.archives].map(|origin| format!("{origin}/.lychgate/{path}")).to_vec();
        Client {
            id: CLIENT_ID.into(),
            secret,
            algorithm: Algorithm::Es256,
            redirect_uris: at("callback"),
            post_logout_redirect_uris: at("signed-out"),
        }
    }

    /// What the applications' administrators put into the head of every page: a neighbour, and the way out.
    fn links(neighbour: &str, origin: &str) -> Vec<Link> {
        vec![(neighbour.into(), format!("{origin}/")), ("Sign out".into(), "/.lychgate/logout".into())]
    }
}

async fn bind(port: u16, whose: &str, option: &str) -> io::Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).await.map_err(|error| {
        let text = format!("cannot listen on {address} for {whose}: {error}\nhelp: choose another port with {option}, or 0 for any that is free");
        io::Error::new(error.kind(), text)
    })
}

/// The gateway's address: it binds for itself, so this only finds out that it can.
async fn free_address(port: u16) -> io::Result<SocketAddr> {
    bind(port, "the gateway", "--port").await?.local_addr()
}

fn random_text() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Listens for Ctrl-C and SIGTERM from now on; the future completes when one has come.
fn told_to_stop() -> io::Result<impl Future<Output = ()>> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    })
}

#[expect(clippy::print_stdout, reason = "the demonstration speaks to the person who started it")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "the demonstration speaks to the person who started it")]
fn complain(text: &str) {
    eprintln!("{text}");
}
