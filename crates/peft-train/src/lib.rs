//! Training for `peft`: data sets, batches, schedules, the training loop, checkpoints, metrics and the training log.

mod accumulate;
mod callback;
mod checkpoint;
pub mod data;
mod error;
mod finite;
mod group;
mod head_rate;
pub mod log;
pub mod metric;
mod one_step;
mod optimizer;
mod options;
mod plans;
mod ready;
mod run_error;
pub mod schedule;
mod stop;
pub mod synthetic;
pub mod task;
mod trained;
mod trainer;

pub use callback::{Callback, ScheduledRate, Step};
pub use checkpoint::{Checkpoints, RunState};
pub use error::TrainError;
pub use group::GroupOptions;
pub use head_rate::{HeadRate, NEW_HEAD_RATE, OwnRate, USUAL_WIDTH};
pub use optimizer::OptimizerKind;
pub use options::{Select, TrainOptions};
pub use ready::Ready;
pub use run_error::RunError;
pub use stop::Stop;
pub use trained::{Trained, TrainedAdapter, TrainedWeights, WEIGHTS_FILE};
pub use trainer::{LOG_FILE, TrainReport, Trainer};
