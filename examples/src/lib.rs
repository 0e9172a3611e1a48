//! Models of a Burn user's own: written with Burn, trained with Burn alone, then adapted to another task.
//!
//! [`own_layers`] is made of `AdaptedLinear` layers, [`hosted`] of Burn's layers only. `cargo run --bin own-layers` and `cargo run --bin
//! hosted` run them; with `--features peft-examples/learner` the pretraining is done by `burn-train`'s `Learner`.

pub mod digits;
pub mod hosted;
#[cfg(feature = "learner")]
pub mod learner;
pub mod own_layers;
pub mod pretrain;
mod reader;

/// What an example found; it asserts what it claims as it goes.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// Share of the rotated digits that the pretrained model reads.
    pub before: f64,
    /// The same after adapting.
    pub after: f64,
    /// The largest difference between an output of the adapted model and of the merged one.
    pub merging: f32,
}

impl Report {
    /// Refuses a report that is not what the examples claim: that adapting helps, and that merging changes no answer.
    fn proven(self) -> anyhow::Result<Self> {
        anyhow::ensure!(self.after > self.before && self.merging < 1e-3, "{self}");
        Ok(self)
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "rotated digits read: {:.1} % before adapting, {:.1} % after; largest difference of a merged output: {:.1e}",
            100.0 * self.before,
            100.0 * self.after,
            self.merging
        )
    }
}

/// The examples of the workspace's README, compiled and run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
