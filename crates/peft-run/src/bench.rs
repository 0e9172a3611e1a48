//! How long a training step and a forward pass of a method take, and how much memory, on made-up data.

mod made_up;
mod profile;

use std::path::PathBuf;

use peft_core::ParameterCount;
use serde::Serialize;

pub use profile::{Line, Peaks, Profile};

use crate::Result;
use crate::settings::RunConfig;
use crate::{device, memory};

/// Seconds of several repetitions.
#[derive(Debug, Serialize)]
pub struct Seconds {
    /// The one in the middle.
    pub median: f64,
    /// The least.
    pub fastest: f64,
    /// The most.
    pub slowest: f64,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct BenchResult {
    /// Identifier of the method, `head` or `full`.
    pub method: String,
    /// Folder of the model.
    pub model: PathBuf,
    /// Device by its name.
    pub device: String,
    /// Rows of a step.
    pub rows: usize,
    /// Tokens of a row, or patches of an image.
    pub tokens: usize,
    /// Parameters that train, and all.
    pub parameters: ParameterCount,
    /// Forward, backward, clipping, optimizer.
    pub step: Seconds,
    /// Without gradients.
    pub forward: Seconds,
    /// Of a training step.
    pub tokens_per_second: f64,
    /// Largest resident memory of the process, in MiB, where the system tells.
    pub peak_memory_mib: Option<u64>,
    /// What the device keeps for tensors after these steps, in MiB: the most that they took, where the device has memory of its own.
    pub device_memory_mib: Option<u64>,
    /// What each fused operation takes of a step, where asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
}

impl BenchResult {
    /// Times so many steps and forward passes of a run, after two to warm up; with what each fused operation takes of a step, where asked.
    ///
    /// # Errors
    /// A model that cannot be read, or a task that cannot be timed.
    pub fn of(config: &RunConfig, steps: usize, profiled: bool) -> Result<Self> {
        let measure = || Self::measure(config, steps, profiled);
        config.compute.run(&config.device, measure)
    }

    fn measure(config: &RunConfig, steps: usize, profiled: bool) -> Result<Self> {
        let (times, tokens) = made_up::measure(config, steps)?;
        let peak_memory_mib = memory::peak_mib();
        let device = device::open(&config.device)?;
        let pools = device.memory_pool_usage();
        let profile = profiled.then(|| {
            let count = times.steps.len();
            let mean = times.steps.iter().sum::<f64>() / count as f64;
            let peaks = Peaks::measure(&device);
            Profile::new(times.profile, count, mean, peaks)
        });
        let (step, forward) = (Seconds::of(times.steps), Seconds::of(times.forwards));
        let rows = config.train.batch_size * config.train.accumulation;
        Ok(Self {
            method: config.adapter.method.clone(),
            model: config.model.clone(),
            device: config.device.clone(),
            rows,
            tokens,
            parameters: times.parameters,
            tokens_per_second: (rows * tokens) as f64 / step.median,
            step,
            forward,
            peak_memory_mib,
            device_memory_mib: pools.map(|pools| pools.bytes_reserved >> 20),
            profile,
        })
    }
}

impl Seconds {
    /// Of at least one repetition.
    fn of(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        let at = |at: usize| seconds.get(at).copied().unwrap_or(f64::NAN);
        Self {
            median: at(seconds.len() / 2),
            fastest: at(0),
            slowest: at(seconds.len().saturating_sub(1)),
        }
    }
}

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [median, fastest, slowest] =
            [self.median, self.fastest, self.slowest].map(|seconds| seconds * 1e3);
        write!(f, "{median:.1} ms ({fastest:.1} to {slowest:.1})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        let seconds = Seconds::of(vec![0.3, 0.1, 0.2]);
        assert_eq!(seconds.to_string(), "200.0 ms (100.0 to 300.0)");
    }
}
