//! One application's counters, in one piece of memory.
//!
//! Every finished request counts three times: by decision and status, by its duration, and that to a sum. With counters apart that was five
//! cache lines in four places; with many applications each is a wait for memory. What most requests count lies in the first line.
//!
//! May touch: atomics. Bound: one piece for each application's name that the configuration ever had, and one for requests that found none.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::decision::{DECISIONS, Decision};
use super::durations::Durations;
use super::labels::{AppLabels, ObservedLabels, RequestLabels};

const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// The place of 2xx among them.
const GOOD: usize = 1;

/// One application's counters. The order is that of memory: with the two counts before it in an `Arc`, all that a good and quick request
/// counts is in one line.
#[repr(C)]
#[derive(Debug, Default)]
pub struct AppCounts {
    /// Public and allowed requests that were answered with 2xx; their places in `requests` are not used.
    good: [AtomicU64; 2],
    durations: Durations,
    requests: [[AtomicU64; STATUS_CLASSES.len()]; DECISIONS.len()],
    observed: [AtomicU64; DECISIONS.len()],
    /// Requests that the application did not answer.
    pub upstream_failures: Tally,
}

/// One count.
#[derive(Debug, Default)]
pub struct Tally(AtomicU64);

impl Tally {
    /// Counts one.
    pub fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl AppCounts {
    /// Counts one finished request.
    pub fn count(&self, decision: Decision, status: u16, duration: Duration) {
        let class = usize::from(status / 100).saturating_sub(1).min(STATUS_CLASSES.len() - 1);
        if let Some(counter) = self.requests(decision, class) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.durations.observe(duration);
    }

    /// Counts what would have been decided.
    pub fn observed(&self, decision: Decision) {
        if let Some(counter) = self.observed.get(decision as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn requests(&self, decision: Decision, class: usize) -> Option<&AtomicU64> {
        let [public, allowed] = &self.good;
        match decision {
            Decision::Public if class == GOOD => Some(public),
            Decision::Allow if class == GOOD => Some(allowed),
            _ => self.requests.get(decision as usize)?.get(class),
        }
    }
}

/// The counters of all applications by name.
#[derive(Debug, Default)]
pub(super) struct Applications(Mutex<BTreeMap<String, Arc<AppCounts>>>);

impl Applications {
    /// The counters of one application, which are the same however often policies are loaded.
    pub(super) fn named(&self, app: &str) -> Arc<AppCounts> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(app) {
            Some(known) => Arc::clone(known),
            None => Arc::clone(all.entry(app.to_owned()).or_default()),
        }
    }
}

impl Collector for Applications {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let help = "Requests by application, decision and status class.";
        let mut requests = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for (app, counts) in &*all {
            for (decision, (class, status)) in DECISIONS
                .into_iter()
                .flat_map(|one| STATUS_CLASSES.into_iter().enumerate().map(move |class| (one, class)))
            {
                let labels = RequestLabels { app: app.clone(), decision: decision.as_str(), status };
                let count = counts.requests(decision, class).map_or(0, |count| count.load(Ordering::Relaxed));
                requests.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        let help = "Decisions of rules and policies that only observe.";
        let mut observed = encoder.encode_descriptor("observed", help, None, MetricType::Counter)?;
        for (app, counts) in &*all {
            for (decision, count) in DECISIONS.into_iter().zip(&counts.observed) {
                let labels = ObservedLabels { app: app.clone(), decision: decision.as_str() };
                let count = count.load(Ordering::Relaxed);
                observed.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        let help = "Time from head to end of the answer.";
        let mut durations = encoder.encode_descriptor("request_duration_seconds", help, None, MetricType::Histogram)?;
        for (app, counts) in &*all {
            counts.durations.encode(&mut durations.encode_family(&AppLabels { app: app.clone() })?)?;
        }
        let help = "Requests that the application did not answer.";
        let mut failures = encoder.encode_descriptor("upstream_failures", help, None, MetricType::Counter)?;
        for (app, counts) in &*all {
            let count = counts.upstream_failures.0.load(Ordering::Relaxed);
            let labels = AppLabels { app: app.clone() };
            failures.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn what_a_good_request_counts_lies_in_one_line() {
        let counts = 2 * size_of::<usize>();
        let last = offset_of!(AppCounts, durations) + Durations::END_OF_TEN_MILLISECONDS;
        assert!(counts + last <= 64, "{last}");
    }

    #[test]
    fn each_decision_and_class_is_counted_by_itself() {
        let counts = AppCounts::default();
        for decision in DECISIONS {
            for status in [101, 204, 302, 404, 502] {
                counts.count(decision, status, Duration::ZERO);
            }
        }
        for decision in DECISIONS {
            for class in 0..STATUS_CLASSES.len() {
                assert_eq!(
                    counts.requests(decision, class).unwrap().load(Ordering::Relaxed),
                    1,
                    "{decision:?} {class}"
                );
            }
        }
    }
}
