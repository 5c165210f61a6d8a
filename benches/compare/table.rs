//! The figures of all rounds, their medians, and the table that is printed.

use std::fmt::Write;
use std::time::Duration;

/// One round of one proxy under one kind of traffic.
#[derive(Clone, Copy)]
pub(crate) struct Figures {
    /// Processor time of the proxy for one request, in microseconds.
    pub(crate) cpu: f64,
    /// Requests answered a second.
    pub(crate) rate: f64,
    /// Half of the requests took no longer.
    pub(crate) p50: Duration,
    /// All but one of a hundred took no longer.
    pub(crate) p99: Duration,
    /// Memory after the round, in KiB.
    pub(crate) memory: u64,
}

/// One proxy's rounds.
pub(crate) struct Row {
    /// The proxy.
    pub(crate) name: String,
    /// Its rounds, or what kept it from being measured.
    pub(crate) rounds: Result<Vec<Figures>, String>,
}

/// A table of texts: a title, columns, and rows of a name and a text for each column.
pub(crate) fn plain(title: &str, columns: &[&str], rows: &[(String, Vec<String>)]) -> String {
    let line = |name: &str, cells: &mut dyn Iterator<Item = &str>| {
        let cells: String = cells.map(|cell| format!("{cell:>16}")).collect();
        format!("{name:<24}{cells}\n")
    };
    let head = line("", &mut columns.iter().copied());
    let rows = rows.iter().map(|(name, cells)| line(name, &mut cells.iter().map(String::as_str)));
    format!("\n{title}\n{head}{}", rows.collect::<String>())
}

/// Prints medians, with ratios to nginx (of several to the one that costs least), or to the first row where there is none.
pub(crate) fn print(title: &str, rows: &[Row]) -> String {
    let mut text = format!(
        "\n{title}\n{:<24}{:>9}{:>7}{:>15}{:>10}{:>7}{:>10}{:>10}{:>9}\n",
        "", "cpu us", "ratio", "(min-max)", "req/s", "ratio", "p50 ms", "p99 ms", "MiB"
    );
    let nginx = rows.iter().filter(|row| row.name.starts_with("nginx")).filter_map(Row::medians);
    let first = nginx.min_by(|one, other| one.cpu.total_cmp(&other.cpu)).or(rows.first().and_then(Row::medians));
    for row in rows {
        let line = match (row.medians(), &row.rounds) {
            (Some(medians), _) => line(row, medians, first.unwrap_or(medians)),
            (None, Err(why)) => format!("{:<24} not measured: {why}", row.name),
            (None, Ok(_)) => format!("{:<24} not measured", row.name),
        };
        let _ = writeln!(text, "{line}"); // writing to a string cannot fail
    }
    text
}

fn line(row: &Row, medians: Figures, first: Figures) -> String {
    let (low, high) = row.spread();
    format!(
        "{:<24}{:>9.1}{:>7.2}{:>15}{:>10.0}{:>7.2}{:>10.2}{:>10.2}{:>9.1}",
        row.name,
        medians.cpu,
        medians.cpu / first.cpu,
        format!("({low:.1}-{high:.1})"),
        medians.rate,
        medians.rate / first.rate,
        medians.p50.as_secs_f64() * 1e3,
        medians.p99.as_secs_f64() * 1e3,
        medians.memory as f64 / 1024.0,
    )
}

impl Row {
    fn medians(&self) -> Option<Figures> {
        let rounds = self.rounds.as_ref().ok()?;
        Some(Figures {
            cpu: median(rounds, |figures| figures.cpu)?,
            rate: median(rounds, |figures| figures.rate)?,
            p50: median(rounds, |figures| figures.p50)?,
            p99: median(rounds, |figures| figures.p99)?,
            memory: median(rounds, |figures| figures.memory)?,
        })
    }

    /// The least and the most processor time of all rounds.
    fn spread(&self) -> (f64, f64) {
        let rounds = self.rounds.iter().flatten();
        rounds.fold((f64::MAX, 0.0), |(low, high), figures| (low.min(figures.cpu), high.max(figures.cpu)))
    }
}

fn median<T: PartialOrd + Copy>(rounds: &[Figures], of: impl Fn(&Figures) -> T) -> Option<T> {
    let mut values: Vec<T> = rounds.iter().map(of).collect();
    values.sort_by(|one, other| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len() / 2).copied()
}
