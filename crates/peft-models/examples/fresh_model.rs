//! A model folder with fresh random weights, from a `config.json`:
//!
//! ```text
//! cargo run --example fresh_model -- CONFIG_JSON OUT [SEED]
//! ```
//!
//! The folder gets a copy of every other file that lies beside the configuration.
#![allow(clippy::print_stdout, reason = "an example says what it did")]

use std::path::PathBuf;

use anyhow::{Context, Result};
use burn::tensor::Device;
use peft_models::hf::{export, write_model};
use peft_models::{ModelConfig, ModelKind, init_causal_lm, init_classifier, init_image_classifier};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let usage = "expected CONFIG_JSON OUT [SEED]";
    let path = PathBuf::from(args.next().context(usage)?);
    let out = PathBuf::from(args.next().context(usage)?);
    let seed = args.next().map_or(Ok(0), |seed| seed.parse())?;
    let config = ModelConfig::parse(&path, &std::fs::read_to_string(&path)?)?;
    let device = Device::default();
    let (tensors, config) = match ModelKind::of(&config) {
        ModelKind::Texts => {
            let loaded = init_classifier(config, seed, &device)?;
            (export(&loaded.model, &loaded.names), loaded.config)
        }
        ModelKind::Causal | ModelKind::DecoderTexts => {
            let loaded = init_causal_lm(config, seed, &device)?;
            (export(&loaded.model, &loaded.names), loaded.config)
        }
        ModelKind::Images => {
            let loaded = init_image_classifier(config, seed, &device)?;
            (export(&loaded.model, &loaded.names), loaded.config)
        }
    };
    write_model(&out, &config, &tensors)?;
    let beside = path.parent().context("a configuration in a folder")?;
    for file in std::fs::read_dir(beside)? {
        let file = file?.path();
        let name = file.file_name().context("a name")?;
        if file.is_file() && file != path {
            std::fs::copy(&file, out.join(name))?;
        }
    }
    println!("{} tensors written to {}", tensors.len(), out.display());
    Ok(())
}
