//! What fine-tuning did to a model, as a LoRA of its base.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use peft_core::target::TargetRules;
use peft_models::{ModelConfig, stores_transposed};
use peft_recycle::{Components, ExtractOptions, Extracted, extract};
use serde::Serialize;

use crate::settings::Names;
use crate::{Error, Result};

/// Two models, and how much of their difference to keep.
#[derive(Debug)]
pub struct Extracting<'a> {
    /// Folder of the base model.
    pub base: &'a Path,
    /// Folder of the fine-tuned model.
    pub tuned: &'a Path,
    /// How much of the difference is kept at each layer.
    pub components: Components,
    /// Layers that the adapter has.
    pub targets: Names,
    /// The files hold weights as `[d_in, d_out]`; needed only for models that are not known here.
    pub fan_in_fan_out: bool,
    /// Adapter folder to write.
    pub out: &'a Path,
}

/// What was extracted.
#[derive(Debug, Serialize)]
pub struct ExtractResult {
    /// Folder that was written.
    pub out: PathBuf,
    /// `||D - B A||_F / ||D||_F` over everything that was compared, D the difference of the models; what is left out is lost whole.
    pub error: f64,
    /// The same over the layers of the adapter.
    pub error_of_layers: f64,
    /// The layers, by path.
    pub sites: IndexMap<String, SiteResult>,
    /// Tensors that changed and are not in the adapter, with how much.
    pub left_out: IndexMap<String, LeftOutResult>,
    /// Tensors that one model lacks or that have other shapes there.
    pub not_compared: Vec<String>,
}

/// One layer of the adapter.
#[derive(Debug, Serialize)]
pub struct SiteResult {
    /// Rank of its pair.
    pub rank: usize,
    /// Numerical rank of the whole difference.
    pub full_rank: usize,
    /// `||D - B A||_F / ||D||_F` of the layer.
    pub error: f64,
}

/// A tensor that changed and is not in the adapter.
#[derive(Debug, Serialize)]
pub struct LeftOutResult {
    /// Its shape in the file.
    pub shape: Vec<usize>,
    /// Norm of its change.
    pub norm: f64,
    /// The same over the norm of the base's tensor.
    pub relative: f64,
}

/// Whether the base's files hold weights as `[d_in, d_out]`: as its configuration says, or else as the flag does.
fn transposed(args: &Extracting<'_>) -> Result<bool> {
    if !args.base.join("config.json").is_file() {
        log::warn!(
            "{} has no config.json: weights are taken as {}",
            args.base.display(),
            if args.fan_in_fan_out {
                "[d_in, d_out]"
            } else {
                "[d_out, d_in]; give --fan-in-fan-out for a GPT-2"
            }
        );
        return Ok(args.fan_in_fan_out);
    }
    let config = ModelConfig::read(args.base)?;
    match stores_transposed(config.model_type()) {
        None => Ok(args.fan_in_fan_out),
        Some(false) if args.fan_in_fan_out => Err(Error::Usage(format!(
            "--fan-in-fan-out: the weights of a `{}` are [d_out, d_in]; leave the flag away",
            config.model_type()
        ))),
        Some(known) => Ok(known),
    }
}

impl ExtractResult {
    /// Compares the models and writes the adapter.
    ///
    /// # Errors
    /// What is wrong with a model, or the disk.
    pub fn of(asked: &Extracting<'_>) -> Result<Self> {
        let options = ExtractOptions {
            target: TargetRules::new(asked.targets.target()),
            fan_in_fan_out: transposed(asked)?,
            ..ExtractOptions::new(asked.components)
        };
        let extracted = extract(asked.base, asked.tuned, &options, asked.out)?;
        for entry in &extracted.unmatched {
            log::warn!("{entry}");
        }
        Ok(Self::new(&extracted, asked.out))
    }

    fn new(extracted: &Extracted, out: &Path) -> Self {
        let sites = extracted.sites.iter().map(|(path, site)| {
            let result = SiteResult {
                rank: site.rank,
                full_rank: site.full_rank,
                error: site.error.relative(),
            };
            (path.clone(), result)
        });
        let left_out = extracted.left_out.iter();
        Self {
            out: out.to_owned(),
            error: extracted.whole.relative(),
            error_of_layers: extracted.error.relative(),
            sites: sites.collect(),
            left_out: left_out
                .map(|tensor| {
                    let lost = LeftOutResult {
                        shape: tensor.shape.clone(),
                        norm: tensor.change.squared_error.sqrt(),
                        relative: tensor.change.relative(),
                    };
                    (tensor.name.clone(), lost)
                })
                .collect(),
            not_compared: extracted.not_compared.clone(),
        }
    }
}
