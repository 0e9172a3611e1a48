//! The settings of the preconditioner.

use anyhow::{Result, bail};
use peft_core::Procedures;
use peft_moe::{Order, Riemannian};
use serde::{Deserialize, Serialize};

/// Which preconditioner there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PreconditionKind {
    /// The gradients as they are.
    #[default]
    None,
    /// Each factor's by the inverse of the other's Gram matrix.
    Riemannian,
}

/// What gradients of low-rank pairs become before the optimizer takes them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PreconditionConfig {
    /// Which preconditioner.
    pub kind: PreconditionKind,
    /// Which values of the first factor condition the gradient of the second.
    pub order: Order,
    /// What is added to the diagonals of the Gram matrices.
    pub damping: f64,
}

impl Default for PreconditionConfig {
    fn default() -> Self {
        let Riemannian { damping, order } = Riemannian::default();
        Self {
            kind: PreconditionKind::None,
            order,
            damping,
        }
    }
}

impl PreconditionConfig {
    /// Refuses what makes no sense, before anything is loaded.
    ///
    /// # Errors
    /// The setting, what it may be and what it is.
    pub fn check(&self) -> Result<()> {
        let without = Self {
            kind: PreconditionKind::None,
            ..self.clone()
        };
        if self.kind == PreconditionKind::None && without != Self::default() {
            bail!(crate::Usage(
                "precondition.order, precondition.damping: nothing is preconditioned; give --precondition riemannian".into()
            ));
        }
        if self.damping.is_finite() && self.damping > 0.0 {
            return Ok(());
        }
        bail!(crate::Usage(format!(
            "precondition.damping: expected a positive number, found {}; a factor of zero, where training starts, has no inverse without",
            self.damping
        )))
    }

    /// The preconditioner that is asked for.
    pub fn build(&self) -> Procedures {
        match self.kind {
            PreconditionKind::None => Procedures::default(),
            PreconditionKind::Riemannian => Procedures(vec![Box::new(Riemannian {
                damping: self.damping,
                order: self.order,
            })]),
        }
    }
}
