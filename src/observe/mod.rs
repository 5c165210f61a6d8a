//! What operators see: the access log, metrics, the program's own log.
//!
//! Layer 2. One event a request, as `docs/access-log.md` promises; counters whose handles are made when an application is loaded.
//! This room may not import a secret type, and its event has no field for a query, a cookie, a token or a body (R17).

mod access_line;
mod access_log;
mod app_counts;
mod decision;
mod durations;
mod labels;
mod log_file;
mod metrics;

pub use access_log::{AccessEvent, AccessLog, AccessLogTarget, LogLane, ObservedEvent};
pub use app_counts::{AppCounts, Tally};
pub use decision::{DECISIONS, Decision};
pub use log_file::Reopen;
pub use metrics::{AppMetrics, InMemory, Metrics, ProviderMetrics, Reloaded, TokenMetrics, TokenOutcome};
