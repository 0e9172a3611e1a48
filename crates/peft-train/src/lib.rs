//! Training for `peft`: data sets, batches, schedules, metrics and the training log.

pub mod data;
mod error;
pub mod log;
pub mod metric;
pub mod schedule;

pub use error::TrainError;
