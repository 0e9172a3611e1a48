//! A merged model as a GGUF file, with a Modelfile for Ollama beside it.

use std::path::Path;

use burn::tensor::Device;
use peft_core::file::{FileError, disk, together, write_atomic};
use peft_gguf::GgmlType;
use peft_models::ModelConfig;
use peft_models::hf::{FloatDtype, unfold_into, write_gguf};

use super::{Merging, answers_of, check, tolerance as of_floats};
use crate::Result;
use crate::companions::Companions;
use crate::end_tokens::EndTokens;
use crate::error::Context;
use crate::out_folder;
use crate::probe::Answers;
use crate::settings::USUAL_LENGTH;

/// The file in the folder that is written.
const FILE: &str = "model.gguf";
/// What Ollama builds a model from.
const MODELFILE: &str = "Modelfile";

/// Largest difference of a whole model's outputs that is written in this format. What block formats lose is a property of the model, and
/// is reported; beyond the largest output itself it is none any more.
fn tolerance(kind: GgmlType) -> f32 {
    match kind {
        GgmlType::F32 => of_floats(FloatDtype::F32),
        GgmlType::F16 => of_floats(FloatDtype::F16),
        GgmlType::BF16 => of_floats(FloatDtype::Bf16),
        _ => 1.0,
    }
}

/// Writes the model of the folder `merged` as a file, compares it with base and adapter, and puts it in its place: the difference, and the
/// one up to which that is done.
pub(super) fn write(
    merging: &Merging<'_>,
    merged: &Path,
    kind: GgmlType,
    outputs: Option<usize>,
    adapted: &Answers,
) -> Result<(f32, f32)> {
    let file = Written::new(merging, merged, kind)?;
    let allowed = merging.tolerance.unwrap_or(tolerance(kind));
    let difference = adapted.difference(&file.answers(outputs, merging.device)?);
    check(difference, allowed)?;
    file.put_in_place(merging.out)?;
    Ok((difference, allowed))
}

/// A file beside its place.
struct Written(tempfile::TempDir);

impl Written {
    /// Writes the model of the folder `merged` as a file.
    fn new(merging: &Merging<'_>, merged: &Path, kind: GgmlType) -> Result<Self> {
        let out = merging.out;
        let folder = disk::folder_aside(out).map_err(FileError::io("create a folder in", out))?;
        write_gguf(merged, merging.model, &folder.path().join(FILE), kind)?;
        let text = modelfile(merged)?;
        write_atomic(&folder.path().join(MODELFILE), text.as_bytes())?;
        Ok(Self(folder))
    }

    /// What the model answers when it is read from the file.
    fn answers(&self, outputs: Option<usize>, device: &Device) -> Result<Answers> {
        let folder = out_folder::temporary()?;
        unfold_into(&self.0.path().join(FILE), folder.path())
            .context("the merged model cannot be read again; nothing was written")?;
        answers_of(folder.path(), outputs, device)
    }

    /// Moves both files to their places.
    fn put_in_place(self, out: &Path) -> Result<()> {
        together(out, || out_folder::exchange(self.0.path(), out))
    }
}

/// Where the model is and what ends its texts. The chat template is in the file, from which Ollama takes it.
fn modelfile(merged: &Path) -> Result<String> {
    let companions = Companions::new(merged, &[], None)?;
    let config = ModelConfig::read(merged)?;
    let tokenizer = companions.tokenizer(&config, USUAL_LENGTH)?;
    let ends = EndTokens::read(&companions, &config, &tokenizer)?;
    let mut text = format!("# ollama create NAME -f {MODELFILE}\nFROM ./{FILE}\n");
    for id in ends.stops {
        if let Some(token) = tokenizer.inner().id_to_token(id) {
            text.push_str(&format!(
                "PARAMETER stop {}\n",
                serde_json::Value::from(token)
            ));
        }
    }
    Ok(text)
}
