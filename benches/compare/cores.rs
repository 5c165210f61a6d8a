//! Two workers on two cores beside one worker on one: what a request costs must not grow with the workers.
//!
//! The load generator and the upstream share the second core in both cases, so requests a second say little here.

use crate::peers::lychgate::{self, Setup};
use crate::process::{LOAD_CORE, PROXY_CORE};
use crate::rounds::{Contender, in_turn};
use crate::{Bench, Result, load, table};

pub(crate) fn measure(bench: &Bench) -> Result<()> {
    let both = format!("{PROXY_CORE},{LOAD_CORE}");
    let two = Setup { name: "two workers", tag: "lychgate-two", workers: 2, cores: &both, ..lychgate::USUAL };
    let one = Setup { name: "one worker", ..lychgate::USUAL };
    let mut gateways = Vec::new();
    for setup in [one, two] {
        gateways.push(lychgate::start_as(&bench.site, &bench.provider, &setup)?.running);
    }
    let contenders: Vec<Contender<'_>> = gateways
        .iter()
        .map(|gateway| {
            let url = format!("http://localhost:{}/1k", gateway.clear);
            Contender {
                name: gateway.name.to_owned(),
                process: &gateway.process,
                send: Box::new(move |seconds| load::wrk(&url, &gateway.clear_cookie, seconds)),
            }
        })
        .collect();
    let title = "Two workers on two cores; HTTP/1.1 in clear, 64 connections, 1 kB answers";
    print!("{}", table::print(title, &in_turn(bench.pace, &contenders)));
    Ok(())
}
