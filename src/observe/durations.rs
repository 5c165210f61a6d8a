//! A histogram of durations on atomics.
//!
//! `prometheus-client`'s own histogram takes a lock that all workers would share on every request; this one costs three relaxed additions.
//! Buckets are fixed: what people notice lies between a millisecond and a minute. Layer 2; no I/O.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{MetricEncoder, NoLabelSet};

/// Upper bounds in microseconds, as text reads them in seconds.
const BOUNDS: [(u64, f64); 10] = [
    (1_000, 0.001),
    (5_000, 0.005),
    (10_000, 0.01),
    (50_000, 0.05),
    (100_000, 0.1),
    (500_000, 0.5),
    (1_000_000, 1.0),
    (5_000_000, 5.0),
    (10_000_000, 10.0),
    (60_000_000, 60.0),
];

/// A histogram.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct Durations {
    micros: AtomicU64,
    /// One for each bound, and one for what is longer.
    buckets: [AtomicU64; BOUNDS.len() + 1],
}

impl Durations {
    /// How many bytes of it there are up to what a duration of ten milliseconds counts.
    #[cfg(test)]
    pub(super) const END_OF_TEN_MILLISECONDS: usize = std::mem::offset_of!(Self, buckets) + 3 * size_of::<AtomicU64>();

    /// Counts one duration.
    pub(super) fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let index = BOUNDS.iter().position(|(bound, _)| micros <= *bound).unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.buckets.get(index) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Writes it as Prometheus reads it.
    pub(super) fn encode(&self, encoder: &mut MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let seconds = BOUNDS.iter().map(|(_, seconds)| *seconds).chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = seconds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_micros(self.micros.load(Ordering::Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Decision, Metrics};
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_the_last_has_everything() {
        let metrics = Metrics::new();
        for micros in [1, 1_000, 1_001, 70_000, 90_000_000] {
            metrics.app("d").count(Decision::Allow, 200, Duration::from_micros(micros));
        }
        let text = metrics.render();
        for line in [
            r#"bucket{le="0.001",app="d"} 2"#,
            r#"bucket{le="0.005",app="d"} 3"#,
            r#"bucket{le="0.1",app="d"} 4"#,
            r#"bucket{le="60.0",app="d"} 4"#,
            r#"bucket{le="+Inf",app="d"} 5"#,
            r#"count{app="d"} 5"#,
            r#"sum{app="d"} 90.072002"#,
        ] {
            assert!(
                text.contains(&format!("lychgate_request_duration_seconds_{line}\n")),
                "{line} is missing in:\n{text}"
            );
        }
    }
}
