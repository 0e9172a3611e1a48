//! How much memory a training run holds at most: a forecast, by these formulas.
//!
//! - Weights: what the headers of the model's files say, each matrix in the form in which it is kept. While they are read, a matrix of f32
//!   is there twice for a moment.
//! - With `A` adapter parameters and `T` that train: adapter `4 A`, gradients `4 T`, moments `8 T` with AdamW, `4 T` with momentum.
//! - What the backward pass keeps of the blocks that gradients pass through, counted by tensor ([`block`]), for every token of a batch.
//!   With gradient checkpointing the blocks' inputs are kept and the insides of one.
//! - What is worked on: the gradients inside a block, or the scores of some tokens ([`activations`]).
//! - A checkpoint: the optimizer's memory is there twice while it is written, as it is and as a record.
//! - The program itself, and what its allocator holds beside: [`PROGRAM`], [`SLACK`], [`HOLES`], [`HOLES_ROUNDED`], [`GRADIENTS_LEFT`].
//!
//! The allocator's part was fitted to the peaks of 30 runs on two cores and Linux, which the forecast meets within 7 %: Llamas of 27 and 61 M
//! parameters, SmolLM2-135M and MiniLM; LoRA, DoRA, all parameters; every form of a base; products in f32 and bfloat16; blocks kept and
//! computed again. Gradients grow while what was kept shrinks, so that a step holds the greater of the two. The greatest of reading, step
//! and checkpoint is the total.
//!
//! Not counted: the data, what a method does once when it is attached (PiSSA, OLoRA and SVFit decompose weights), and what devices other
//! than the CPU's `flex` make of the same operations.

mod activations;
mod block;
mod weights;

use std::fmt;

use peft_train::OptimizerKind;
use serde::Serialize;

pub(super) use activations::Activations;
pub(super) use weights::Weights;

use super::alternatives::Alternative;
use super::size::size;
use crate::settings::RunConfig;

/// Bytes of a value.
const F32: u64 = 4;
/// Bytes of a process that has done nothing yet.
const PROGRAM: u64 = 26 << 20;
/// Bytes that the allocator holds beside what is asked of it.
const SLACK: u64 = 8 << 20;
/// Of what comes and goes in a step this share more is held, in holes that nothing fits into.
const HOLES: f64 = 0.03;
/// The share where blocks keep what they need in 16 bits, as measured: rounded tensors do not fit into the room of whole ones.
const HOLES_ROUNDED: f64 = 0.11;
/// While the optimizer is written, so much of the gradients' room is not used by it.
const GRADIENTS_LEFT: f64 = 1.25;

/// Bytes by purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemoryEstimate {
    /// Weights of the base model, as they are kept.
    pub weights: u64,
    /// Weights of the adapter.
    pub adapter: u64,
    /// Gradients of what trains.
    pub gradients: u64,
    /// What the optimizer remembers of what trains: AdamW's two moments.
    pub moments: u64,
    /// What the backward pass keeps.
    pub activations: u64,
    /// What comes and goes in a step, at most.
    pub working: u64,
    /// The program itself.
    pub program: u64,
    /// What the allocator holds beside.
    pub slack: u64,
    /// At most while the model is read.
    pub reading: u64,
    /// At most in a training step.
    pub step: u64,
    /// At most while a checkpoint is written.
    pub saving: u64,
    /// At most: the greatest of reading, step and saving.
    pub total: u64,
    /// Sequences of the batch.
    pub batch_size: usize,
    /// Tokens of its longest sequence.
    pub length: usize,
    /// The figures are an estimate, not a measurement.
    pub estimate: bool,
    /// What the machine has left, where the system tells.
    pub available: Option<u64>,
    /// Settings that make it less, each together with those before it.
    pub alternatives: Vec<Alternative>,
}

/// Values that train, and that an adapter has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameters {
    /// Values of the adapter.
    pub(super) adapter: usize,
    /// Values that train.
    pub(super) trainable: usize,
}

impl MemoryEstimate {
    /// The estimate of the run `config`.
    pub(super) fn new(
        config: &RunConfig,
        weights: Weights,
        parameters: Parameters,
        activations: &Activations,
    ) -> Self {
        let bytes = |count: usize| F32.saturating_mul(count as u64);
        let gradients = bytes(parameters.trainable);
        let adapter = bytes(parameters.adapter);
        let moments = moments(config).saturating_mul(gradients);
        let (kept, working) = (activations.kept(), activations.worked_on());
        let passing = sum(&[kept, working]);
        let holes = match activations.rounded {
            true => HOLES_ROUNDED,
            false => HOLES,
        };
        let slack = sum(&[SLACK, (holes * passing as f64) as u64]);
        let around = sum(&[PROGRAM, slack]);
        let held = sum(&[around, weights.held, adapter, moments]);
        let step = sum(&[held, passing.max(gradients)]);
        let left = (GRADIENTS_LEFT * gradients as f64) as u64;
        let saving = sum(&[held, moments, left]);
        let reading = sum(&[PROGRAM, SLACK, weights.reading]);
        Self {
            weights: weights.held,
            adapter,
            gradients,
            moments,
            activations: kept,
            working,
            program: PROGRAM,
            slack,
            reading,
            step,
            saving,
            total: step.max(reading).max(saving),
            batch_size: activations.batch,
            length: activations.length,
            estimate: true,
            available: None,
            alternatives: Vec::new(),
        }
    }

    /// Whether the machine has that much left, where the system tells.
    #[must_use]
    pub fn fits(&self) -> Option<bool> {
        self.available.map(|available| self.total <= available)
    }
}

/// A sum that cannot overflow.
fn sum(parts: &[u64]) -> u64 {
    parts.iter().copied().fold(0, u64::saturating_add)
}

/// Values that the optimizer remembers of each that trains.
fn moments(config: &RunConfig) -> u64 {
    match config.train.optimizer {
        OptimizerKind::AdamW => 2,
        OptimizerKind::Sgd if config.train.momentum > 0.0 => 1,
        OptimizerKind::Sgd => 0,
    }
}

impl fmt::Display for MemoryEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "memory, estimated for batches of {} x {} tokens:",
            self.batch_size, self.length
        )?;
        let parts = [
            ("weights", self.weights),
            ("adapter", self.adapter),
            ("gradients", self.gradients),
            ("moments", self.moments),
            ("activations", self.activations),
            ("working", self.working),
            ("program", sum(&[self.program, self.slack])),
            ("reading", self.reading),
            ("step", self.step),
            ("checkpoint", self.saving),
            ("at most", self.total),
        ];
        for (name, bytes) in parts {
            writeln!(f, "  {name:<12}{:>10}", size(bytes))?;
        }
        write!(f, "{}", size(self.total))?;
        for other in &self.alternatives {
            write!(f, "; with {} {}", other.name, size(other.total))?;
        }
        match self.available {
            Some(free) if self.fits() == Some(false) => {
                write!(f, "\nwarning: this machine has {} left", size(free))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(method: &str, trainable: usize) -> MemoryEstimate {
        let mut config = RunConfig::default();
        config.adapter.method = method.into();
        let weights = Weights {
            held: 4_000_000,
            reading: 4_005_000,
        };
        let parameters = Parameters {
            adapter: 100,
            trainable,
        };
        MemoryEstimate::new(&config, weights, parameters, &Activations::some(1000))
    }

    #[test]
    fn a_step_is_its_parts() {
        let found = estimate("lora", 110);
        assert_eq!(
            (found.adapter, found.gradients, found.moments),
            (400, 440, 880)
        );
        let passing = found.activations + found.working;
        assert!(passing > 10_000, "{found:?}");
        assert_eq!(found.slack, SLACK + (HOLES * passing as f64) as u64);
        let around = PROGRAM + found.slack;
        assert_eq!(found.step, around + 4_000_000 + 400 + 880 + passing);
        assert_eq!(found.reading, PROGRAM + SLACK + 4_005_000);
        assert_eq!(found.total, found.step);
    }

    #[test]
    fn what_trains_as_a_whole_is_the_largest_while_it_is_written() {
        let found = estimate("full", 1_000_000);
        // Gradients are more than what is kept for them. Two moments more, and a quarter of the gradients.
        assert_eq!(found.saving, found.step + 8_000_000 + 1_000_000);
        assert_eq!(found.total, found.saving);
    }
}
