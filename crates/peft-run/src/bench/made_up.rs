//! What is trained on to be timed: rows of equal length, or images of the model's size, of no meaning.

use peft_models::{
    DecoderClassifier, ImageClassifier, ModelConfig, ModelKind, SequenceClassifier, VitConfig,
};
use peft_train::data::{Encoded, ImageProcessor, Picture, Pixels, Target, TokenRow};
use peft_train::task::{CausalTask, ClassifierTask, ImageSet, Objective, TextSet};
use serde_json::Value;

use crate::open::OpenClassifier;
use crate::run::timing::{self, Times};
use crate::settings::{RunConfig, TaskKind, USUAL_LENGTH};
use crate::{Error, Result};
use crate::{data, device, open};

/// Most words that made-up rows have.
const WORDS: usize = 250;

/// Times so many steps of the run that the settings describe; also gives the tokens of a row, or of an image.
pub(super) fn measure(config: &RunConfig, steps: usize) -> Result<(Times, usize)> {
    let examples = timing::examples(config, steps);
    let model = ModelConfig::read(config.model_dir())?;
    let kind = ModelKind::of(&model);
    if (kind, config.task) == (ModelKind::Images, TaskKind::ImageCls) {
        let set = images(config, &VitConfig::read(&model)?, examples)?;
        let tokens = set.tokens;
        return Ok((classifier::<ImageClassifier>(config, set)?, tokens));
    }
    let tokens = data::fitting(&model, config.data.max_length.or(Some(USUAL_LENGTH)))?;
    let rows = rows(&model, tokens, examples);
    let times = match (kind, config.task) {
        (ModelKind::Texts, TaskKind::SeqCls) => {
            classifier::<SequenceClassifier>(config, texts(rows))
        }
        (ModelKind::Causal | ModelKind::DecoderTexts, TaskKind::SeqCls) => {
            classifier::<DecoderClassifier>(config, texts(rows))
        }
        (ModelKind::Causal, TaskKind::CausalLm) => language_model(config, rows),
        _ => Err(Error::Usage(format!(
            "{} with this task cannot be timed; expected --task seq-cls, causal-lm or image-cls and a model for it",
            config.model.display()
        ))),
    };
    Ok((times?, tokens))
}

fn classifier<M: OpenClassifier>(config: &RunConfig, set: M::Set) -> Result<Times> {
    let device = device::open(&config.device)?.autodiff();
    let seed = config.train.seed;
    let loaded = open::classifier::<M>(config.base(), Some(2), seed, &device)?;
    let task = ClassifierTask::<M> {
        train: set,
        valid: None,
        objective: Objective::Classes(2),
        metrics: vec![],
        eval_batch_size: config.train.eval_batch_size,
    };
    let head_modules = M::head_modules(&loaded);
    timing::steps(config, &task, loaded, &head_modules)
}

fn language_model(config: &RunConfig, rows: impl Iterator<Item = Vec<u32>>) -> Result<Times> {
    let device = device::open(&config.device)?.autodiff();
    let loaded = open::causal(config.base(), &device)?;
    let task = CausalTask {
        train: rows
            .map(|ids| TokenRow {
                segments: vec![1; ids.len()],
                learnt: (0..ids.len()).map(|at| at > 0).collect(),
                ids,
            })
            .collect(),
        valid: None,
        eval_batch_size: config.train.eval_batch_size,
        prompts: None,
    };
    timing::steps(config, &task, loaded, &[])
}

/// Rows of the first words of the model's vocabulary.
fn rows(model: &ModelConfig, tokens: usize, rows: usize) -> impl Iterator<Item = Vec<u32>> {
    let words = model.raw().get("vocab_size").and_then(Value::as_u64);
    let words = words.map_or(WORDS, |words| WORDS.min(words as usize).max(1));
    let token = move |row: usize, column: usize| ((row * 131 + column * 29) % words) as u32;
    (0..rows).map(move |row| (0..tokens).map(|column| token(row, column)).collect())
}

/// Rows of two classes, by turns.
fn texts(rows: impl Iterator<Item = Vec<u32>>) -> TextSet {
    let encoded: Vec<Encoded> = rows
        .map(|ids| Encoded {
            type_ids: vec![0; ids.len()],
            ids,
        })
        .collect();
    TextSet {
        targets: by_turns(encoded.len()),
        encoded,
        pad_id: 0,
    }
}

/// Images of two classes, by turns.
fn images(config: &RunConfig, sizes: &VitConfig, count: usize) -> Result<ImageSet> {
    let (side, channels) = (sizes.image_size, sizes.channels);
    let picture = |image: usize| {
        let value = |at: usize| ((image * 131 + at * 29) % 256) as u8;
        Picture::Pixels(Pixels {
            width: side,
            height: side,
            channels,
            values: (0..side * side * channels).map(value).collect(),
        })
    };
    Ok(ImageSet {
        pictures: (0..count).map(picture).collect(),
        targets: by_turns(count),
        processor: ImageProcessor::load(config.model_dir(), channels, side)?,
        tokens: sizes.tokens(),
    })
}

fn by_turns(examples: usize) -> Vec<Target> {
    (0..examples).map(|at| Target::Class(at % 2)).collect()
}
