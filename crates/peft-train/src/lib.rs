//! Training: data sets, batches, schedules, the training loop, checkpoints, metrics and the training log.
#![doc = include_str!("../README.md")]
//!
//! ## Where to begin
//!
//! - [`Session`] runs what a [`Setup`] says: a [`task::Task`], [`TrainOptions`], what is saved ([`Trained`]), procedures, callbacks;
//! - [`task`] has the tasks, [`data`] what they read;
//! - [`metric`] has the scores, [`mod@log`] the log of a run, [`schedule`] the learning rates.

mod accumulate;
mod adamw;
mod callback;
mod checkpoint;
pub mod data;
mod error;
mod group;
mod group_options;
mod head_rate;
pub mod log;
pub mod metric;
mod optimizer;
mod optimizer_kind;
mod options;
mod own_rate;
mod plans;
mod run_error;
pub mod schedule;
mod session;
mod setup;
mod spread;
mod stop;
pub mod synthetic;
pub mod task;
mod trained;

pub use callback::{Callback, Record, ScheduledRate, Step};
pub use checkpoint::{Checkpoints, RunState};
pub use error::TrainError;
pub use group_options::GroupOptions;
pub use head_rate::{HeadRate, NEW_HEAD_RATE, USUAL_WIDTH};
pub use optimizer_kind::OptimizerKind;
pub use options::{Select, TrainOptions};
pub use own_rate::OwnRate;
pub use run_error::RunError;
pub use session::{LOG_FILE, Session, TrainReport};
pub use setup::Setup;
pub use spread::{Spread, device_of};
pub use stop::{Stage, Stop};
pub use trained::{Trained, TrainedAdapter, TrainedWeights, WEIGHTS_FILE};
