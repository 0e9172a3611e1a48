//! The settings that the methods here have in common with LoRA: dropout and the factor of the product.

use peft_core::PeftError;
use peft_core::file::PeftConfig;
use peft_core::lora::{LoraInit, Scaling};
use peft_core::options::{check_dropout, check_format_version, refuse_untyped};
use serde_json::{Map, Value, json};

/// Dropout and scaling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Basics {
    pub(crate) dropout: f64,
    pub(crate) scaling: Scaling,
}

impl Default for Basics {
    fn default() -> Self {
        Self {
            dropout: 0.0,
            scaling: Scaling::Standard,
        }
    }
}

impl Basics {
    /// What a folder of this project's own type says of them.
    pub(crate) fn of(method: &'static str, config: &PeftConfig) -> Result<Self, PeftError> {
        check_format_version(method, config)?;
        refuse_untyped(config)?;
        let basics = Self {
            dropout: config.lora_dropout,
            scaling: Scaling::of(config),
        };
        basics.checked(method)
    }

    /// # Errors
    /// A dropout that is no probability.
    pub(crate) fn checked(self, method: &'static str) -> Result<Self, PeftError> {
        check_dropout(method, self.dropout)?;
        Ok(self)
    }

    /// The fields of such a folder, with `own` beside them.
    pub(crate) fn fields(self, peft_type: &str, own: Map<String, Value>) -> Map<String, Value> {
        let fields = json!({
            "peft_type": peft_type,
            "format_version": 1,
            "lora_dropout": self.dropout,
            "use_rslora": self.scaling == Scaling::RankStabilized,
        });
        let mut fields = fields.as_object().cloned().unwrap_or_default();
        fields.extend(own);
        fields
    }
}

/// Refuses a start of LoRA's that needs both factors of a layer, and their plain product.
///
/// # Errors
/// [`PeftError::Option`].
pub(crate) fn refuse_orthogonal(method: &'static str, init: LoraInit) -> Result<(), PeftError> {
    if init != LoraInit::Orthogonal {
        return Ok(());
    }
    Err(PeftError::Option {
        method,
        option: "init".into(),
        problem: "expected kaiming or gaussian, found orthogonal, whose factors belong together in one layer".into(),
    })
}
