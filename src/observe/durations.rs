//! A histogram of durations on atomics.
//!
//! `prometheus-client`'s own histogram takes a lock that all workers would share on every request; this one costs three relaxed additions.
//! Buckets are fixed: what people notice lies between a millisecond and a minute. Layer 2; no I/O.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

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

/// A histogram; clones share their counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Durations(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// One for each bound, and one for what is longer.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Durations {
    /// Counts one duration.
    pub(super) fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let index = BOUNDS.iter().position(|(bound, _)| micros <= *bound).unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.0.buckets.get(index) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.0.micros.fetch_add(micros, Ordering::Relaxed);
    }
}

impl EncodeMetric for Durations {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let seconds = BOUNDS.iter().map(|(_, seconds)| *seconds).chain([f64::INFINITY]);
        let counts = self.0.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = seconds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_micros(self.0.micros.load(Ordering::Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Durations {
    const TYPE: MetricType = MetricType::Histogram;
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    #[test]
    fn buckets_are_cumulative_and_the_last_has_everything() {
        let durations = Durations::default();
        for micros in [1, 1_000, 1_001, 70_000, 90_000_000] {
            durations.observe(Duration::from_micros(micros));
        }
        let mut registry = Registry::default();
        registry.register("d", "durations", durations);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            r#"d_bucket{le="0.001"} 2"#,
            r#"d_bucket{le="0.005"} 3"#,
            r#"d_bucket{le="0.1"} 4"#,
            r#"d_bucket{le="60.0"} 4"#,
            r#"d_bucket{le="+Inf"} 5"#,
            "d_count 5",
            "d_sum 90.072002",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }
}
