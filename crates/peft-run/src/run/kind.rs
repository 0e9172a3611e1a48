//! Whether a model can do the task of a run.

use peft_models::{ModelConfig, ModelKind};

use crate::settings::{RunConfig, TaskKind};
use crate::{Error, Result};

/// The kind of the model that a run starts from, if it can do the task.
///
/// # Errors
/// [`Error::Usage`] when it cannot.
pub fn kind(config: &RunConfig) -> Result<ModelKind> {
    let kind = ModelKind::of(&ModelConfig::read(config.model_dir())?);
    if (kind == ModelKind::Images) != (config.task == TaskKind::ImageCls) {
        let (what, task) = match kind {
            ModelKind::Images => ("images", "image-cls"),
            _ => ("texts", "seq-cls, regression or causal-lm"),
        };
        return Err(Error::Usage(format!(
            "{} is a model of {what}; give --task {task}",
            config.model.display()
        )));
    }
    Ok(kind)
}
