//! The gateway beside the others under the same traffic: what a request costs.

use crate::peers::{self, Peer, Running};
use crate::rounds::{Contender, in_turn};
use crate::workload::{self, Workload};
use crate::{Bench, Result, table};

/// Measures the chosen kinds of traffic, each with the proxies that take part in it.
pub(crate) fn measure(bench: &Bench, wanted: impl Fn(&str) -> bool) -> Result<()> {
    let chosen: Vec<Workload> = workload::ALL.into_iter().filter(|work| wanted(work.name)).collect();
    if chosen.is_empty() {
        return Ok(());
    }
    let proxies = start(bench, &chosen)?;
    for work in chosen {
        let taking_part = proxies.iter().filter(|(peer, _)| peer.takes_part_in(&work));
        let contenders: Vec<Contender<'_>> = taking_part.map(|(_, running)| contender(bench, running, work)).collect();
        print!("{}", table::print(work.title, &in_turn(bench.pace, &contenders)));
    }
    Ok(())
}

fn start(bench: &Bench, works: &[Workload]) -> Result<Vec<(Peer, Running)>> {
    let mut running = Vec::new();
    for peer in peers::ALL.into_iter().filter(|peer| bench.includes(peer.name)) {
        if !works.iter().any(|work| peer.takes_part_in(work)) {
            continue;
        }
        match (peer.missing)() {
            Some(missing) => println!("left out: {}, for want of {missing}", peer.name),
            None => match (peer.start)(&bench.site, &bench.provider) {
                Ok(started) => running.push((peer, started)),
                Err(error) => println!("left out: {}, which did not start: {error}", peer.name),
            },
        }
    }
    Ok(running)
}

fn contender<'a>(bench: &'a Bench, proxy: &'a Running, work: Workload) -> Contender<'a> {
    let send = move |seconds| work.send(&bench.site, proxy, seconds);
    Contender { name: proxy.name.to_owned(), process: &proxy.process, send: Box::new(send) }
}
