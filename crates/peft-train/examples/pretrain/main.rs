//! Pretrains the small model that `peft quickstart` brings along, from nothing but a seed.
//!
//! `cargo xtask pretrain` runs it: masked language modelling (Devlin et al., arXiv 1810.04805) on generated language.
//! The same arguments give the same bytes on the same machine.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

mod masking;
mod task;
mod tokenizer;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use burn::module::Module;
use burn::tensor::Device;
use peft_core::tie::TieGroups;
use peft_core::{ParamNames, Procedures, mark_trainable};
use peft_models::hf::{HostTensors, export, write_model};
use peft_models::{Loaded, ModelConfig, SequenceClassifier, init_classifier};
use peft_train::data::{TextTokenizer, TokenizeOptions};
use peft_train::schedule::{ScheduleKind, Warmup};
use peft_train::synthetic::vocabulary;
use peft_train::task::{Scores, Task};
use peft_train::{Callback, Record, Session, Setup, Spread, Stop, TrainOptions, TrainedWeights};

use crate::masking::{Masked, masked_sentences};
use crate::task::MaskedWords;

/// Sentences of a step.
const BATCH: usize = 64;
/// Sentences that training never sees.
const HELD_OUT: usize = 2000;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: pretrain OUT [STEPS] [SEED]";
    let out = PathBuf::from(arguments.next().context(usage)?);
    let steps: usize = arguments
        .next()
        .map_or(Ok(4000), |text| text.parse())
        .context(usage)?;
    let seed: u64 = arguments
        .next()
        .map_or(Ok(1), |text| text.parse())
        .context(usage)?;
    std::fs::create_dir_all(&out)?;
    tokenizer::write(&out)?;
    let task = sentences(&out, steps, seed)?;
    println!(
        "{} words, {} sentences; guessing the commonest word is right in {:.1} % of cases",
        vocabulary().len(),
        task.train.len(),
        100.0 * commonest(&task)
    );
    let device = Device::flex().autodiff();
    let loaded = init_classifier(config()?, seed, &device)?;
    let started = std::time::Instant::now();
    let (model, scores) = train(&loaded, &task, steps, seed)?;
    write_model(
        &out,
        &config()?,
        &base_tensors(&model.valid(), &loaded.names),
    )?;
    println!(
        "held-out loss {:.4}, accuracy of hidden words {:.2} %, {:.0} s; written to {}",
        scores.loss,
        100.0 * scores.metrics["accuracy"],
        started.elapsed().as_secs_f64(),
        out.display()
    );
    Ok(())
}

/// The tensors of the model without its classifier, named as those of a `BertModel`.
fn base_tensors(model: &SequenceClassifier, names: &ParamNames) -> HostTensors {
    let base = |(name, tensor): (String, _)| Some((name.strip_prefix("bert.")?.to_owned(), tensor));
    export(model, names).into_iter().filter_map(base).collect()
}

/// The architecture, in the words of `transformers`.
fn config() -> Result<ModelConfig> {
    let config = serde_json::json!({
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": vocabulary().len(),
        "hidden_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 256,
        "hidden_act": "gelu",
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.05,
        "pad_token_id": 0,
    });
    Ok(ModelConfig::parse(
        Path::new("config.json"),
        &config.to_string(),
    )?)
}

fn sentences(folder: &Path, steps: usize, seed: u64) -> Result<MaskedWords> {
    let options = TokenizeOptions {
        max_length: 64,
        pad_id: None,
        vocab_size: Some(vocabulary().len()),
    };
    let tokenizer = TextTokenizer::load(folder, &options)?;
    Ok(MaskedWords {
        train: masked_sentences(&tokenizer, seed, steps * BATCH)?,
        held_out: masked_sentences(&tokenizer, seed + 1_000_000, HELD_OUT)?,
        pad_id: tokenizer::special("[PAD]")?,
    })
}

/// Share of the commonest word among the hidden words of the held-out sentences.
fn commonest(task: &MaskedWords) -> f64 {
    let hidden = |sentences: &[Masked]| -> Vec<u32> {
        sentences
            .iter()
            .flat_map(|sentence| &sentence.hidden)
            .map(|(_, word)| *word)
            .collect()
    };
    let mut counts = HashMap::<u32, usize>::new();
    hidden(&task.train)
        .into_iter()
        .for_each(|word| *counts.entry(word).or_default() += 1);
    let word = counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map(|(word, _)| word);
    let held_out = hidden(&task.held_out);
    held_out
        .iter()
        .filter(|found| Some(**found) == word)
        .count() as f64
        / held_out.len() as f64
}

fn train(
    loaded: &Loaded<SequenceClassifier>,
    task: &MaskedWords,
    steps: usize,
    seed: u64,
) -> Result<(SequenceClassifier, Scores)> {
    let base = loaded
        .names
        .iter()
        .filter(|(_, name, _)| name.starts_with("bert."));
    let ids: HashSet<_> = base.map(|(id, _, _)| id).collect();
    let model = mark_trainable(loaded.model.clone(), &ids);
    let folder = tempfile::tempdir()?;
    let options = TrainOptions {
        seed,
        epochs: 1,
        batch_size: BATCH,
        lr: 3e-3,
        schedule: ScheduleKind::Linear,
        warmup: Warmup::Ratio(0.05),
        weight_decay: 0.01,
        eval_every: Some((steps / 8).max(1)),
        save_every: Some(steps),
        log_every: 100,
        ..TrainOptions::default()
    };
    let trained = TrainedWeights {
        names: loaded.names.clone(),
        ids,
    };
    let setup = Setup {
        task,
        options: &options,
        trained: &trained,
        names: &loaded.names,
        ties: TieGroups::default(),
        procedures: Procedures::default(),
        fresh: vec![],
        callbacks: vec![Box::new(Report)],
        devices: Vec::new(),
        dir: folder.path().to_path_buf(),
        fingerprint: String::new(),
        stop: Stop::default(),
    };
    let (model, report) = Session::new(setup, model, false)?.run()?;
    let scores = match report.scores {
        Some(scores) => scores,
        None => task
            .evaluate(&Spread::one(&model.valid()), &Stop::default())?
            .context("the held-out sentences were not scored")?,
    };
    Ok((model, scores))
}

/// Prints how it goes.
struct Report;

impl Callback for Report {
    fn recorded(&mut self, record: &Record) {
        let step = &record.step;
        if (step.index + 1).is_multiple_of(200) {
            println!(
                "step {}/{}  loss {:.4}  lr {:.2e}",
                step.index + 1,
                step.total,
                record.loss,
                step.lr
            );
        }
    }

    fn evaluated(&mut self, step: usize, scores: &Scores) {
        let accuracy = 100.0 * scores.metrics["accuracy"];
        println!(
            "after step {step}: held-out loss {:.4}, accuracy {accuracy:.2} %",
            scores.loss
        );
    }
}
