//! The composition root: from files to a running gateway.
//!
//! Layer 5. [`Plan::read`] loads and compiles everything and binds nothing; [`Plan::start`] binds, starts the workers and returns. So that no half-started
//! gateway stays behind, everything that can fail is done before the first worker runs.
//!
//! Trust boundary: the administrator's files.

mod beside;
mod built;
mod callbacks;
mod certificates;
mod control;
mod fronts;
mod open_files;
mod out_of_reach;
mod plan;
mod reload;
mod replay;
mod running;
mod start_error;
mod story;
mod watch;

pub use plan::Plan;
pub use replay::{Changed, Replay, Unknown};
pub use running::{LevelSetter, Options, Running};
pub use start_error::StartError;
pub use story::{Decided, Place, Question, Receives, Story, Taken};
