//! Measuring several things in turn, round after round, so that a busy machine hurts all of them alike.

use crate::load::Load;
use crate::process::Process;
use crate::table::{Figures, Row};
use crate::{Pace, Result, cpu};

/// One of the things that are measured beside each other.
pub(crate) struct Contender<'a> {
    /// What the table calls it.
    pub(crate) name: String,
    /// The process whose family is charged.
    pub(crate) process: &'a Process,
    /// Sends traffic for a number of seconds.
    pub(crate) send: Box<dyn Fn(u64) -> Result<Load> + 'a>,
}

/// All rounds: in each, every contender in turn. A second of traffic before them does not count.
pub(crate) fn in_turn(pace: Pace, contenders: &[Contender<'_>]) -> Vec<Row> {
    let mut rows: Vec<Row> = contenders.iter().map(warm).collect();
    for _ in 0..pace.rounds {
        for (row, contender) in rows.iter_mut().zip(contenders) {
            add_round(row, contender, pace.seconds);
        }
    }
    rows
}

fn warm(contender: &Contender<'_>) -> Row {
    let rounds = (contender.send)(1);
    let rounds = rounds.map(|_| Vec::new()).map_err(|error| error.to_string());
    Row { name: contender.name.clone(), rounds }
}

fn add_round(row: &mut Row, contender: &Contender<'_>, seconds: u64) {
    let Ok(rounds) = &mut row.rounds else {
        return;
    };
    match round(contender, seconds) {
        Ok(figures) => rounds.push(figures),
        Err(error) => row.rounds = Err(error.to_string()),
    }
}

fn round(contender: &Contender<'_>, seconds: u64) -> Result<Figures> {
    let family = contender.process.family();
    let before = cpu::time(&family);
    let load = (contender.send)(seconds)?;
    let used = cpu::time(&family).saturating_sub(before);
    Ok(Figures {
        cpu: used.as_secs_f64() * 1e6 / load.requests,
        rate: load.rate,
        p50: load.p50,
        p99: load.p99,
        memory: cpu::memory_kib(&family),
    })
}
