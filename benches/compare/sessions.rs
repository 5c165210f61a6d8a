//! Every request another of a hundred thousand sessions: none is in the worker's cache when it comes, so each is opened.

use crate::peers::{self, lychgate};
use crate::rounds::{Contender, in_turn};
use crate::{Bench, Result, load, sealed, table};

const SESSIONS: usize = 100_000;

pub(crate) fn measure(bench: &Bench) -> Result<()> {
    let (site, provider) = (&bench.site, &bench.provider);
    let nginx = (peers::nginx::PEER.start)(site, provider)?;
    let started = lychgate::start_as(site, provider, &lychgate::USUAL)?;
    let host = |port: u16| format!("localhost:{port}");
    let all = (0..SESSIONS).map(|_| {
        let cookie = sealed::cookie(&started.keys, provider, "localhost", lychgate::POLICY)?;
        Ok((host(started.running.clear), peers::padded(&cookie)))
    });
    let many = sealed::script(site, "sessions", all)?;
    let one = std::iter::once(Ok((host(started.running.clear), started.running.clear_cookie.clone())));
    let one = sealed::script(site, "session", one)?;
    let send = |port: u16, script: String| {
        let url = format!("http://localhost:{port}/1k");
        move |seconds| load::wrk_script(&url, "", &script, seconds)
    };
    let contenders = [
        Contender {
            name: "nginx".to_owned(),
            process: &nginx.process,
            send: Box::new(send(nginx.clear, many.clone())),
        },
        Contender {
            name: "Lychgate, one session".to_owned(),
            process: &started.running.process,
            send: Box::new(send(started.running.clear, one)),
        },
        Contender {
            name: "Lychgate, all of them".to_owned(),
            process: &started.running.process,
            send: Box::new(send(started.running.clear, many)),
        },
    ];
    let title = "Each request of another session of 100,000; HTTP/1.1 in clear, 64 connections, 1 kB answers";
    print!("{}", table::print(title, &in_turn(bench.pace, &contenders)));
    Ok(())
}
