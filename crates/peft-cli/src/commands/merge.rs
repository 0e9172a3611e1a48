//! `peft merge`: a model folder with an adapter folded into its weights.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use burn::tensor::Device;
use clap::{Args, ValueEnum};
use peft_core::merge::{MergedSite, merge};
use peft_core::param_id;
use peft_core::values::named_tensors;
use peft_models::hf::{FloatDtype, save_model};
use serde::Serialize;

use crate::adapter_arg::AdapterArg;
use crate::{any_model, device, open, out_folder};

/// What to do about an output folder that holds something.
const OVERWRITE: &str = "use --overwrite to write there all the same";

/// Number type of the written weights.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum DtypeArg {
    /// 32 bits.
    F32,
    /// Brain float, 16 bits.
    Bf16,
    /// Half precision, 16 bits.
    F16,
}

/// What to merge, and where to.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Folder of the base model in the Hugging Face layout.
    #[arg(long)]
    pub model: PathBuf,
    /// Adapter folder, or a repository of the hub.
    #[arg(long)]
    pub adapter: PathBuf,
    /// Model folder to write.
    #[arg(long)]
    out: PathBuf,
    /// Number type of the written weights; that of the base when absent.
    #[arg(long, value_enum)]
    dtype: Option<DtypeArg>,
    /// Write into a directory that is not empty.
    #[arg(long)]
    overwrite: bool,
    /// auto, flex, ndarray, wgpu, vulkan, metal or cuda (cuda:1 for the second).
    #[arg(long, default_value = "auto")]
    device: String,
}

/// What a merge did.
#[derive(Debug, Serialize)]
pub struct MergeResult {
    /// Folder that was written.
    pub out: PathBuf,
    /// Largest output difference of a merged layer, relative to its largest output.
    pub largest_output_error: f32,
    /// Largest change of a weight.
    pub largest_change: f32,
    /// Each merged layer.
    pub sites: Vec<MergedSite>,
}

/// Runs the verb.
pub fn run(args: &MergeArgs, json: bool) -> Result<()> {
    let _claim = out_folder::claim(&args.out, args.overwrite, OVERWRITE)?;
    let dtype = args.dtype.map(|dtype| match dtype {
        DtypeArg::F32 => FloatDtype::F32,
        DtypeArg::Bf16 => FloatDtype::Bf16,
        DtypeArg::F16 => FloatDtype::F16,
    });
    let device = device::open(&args.device)?;
    let result = merge_folder(&args.model, &args.adapter, &args.out, dtype, &device)?;
    if json {
        return super::print_json(&result);
    }
    println!(
        "{} layers merged into {}",
        result.sites.len(),
        result.out.display()
    );
    println!("largest change of a weight: {:.3e}", result.largest_change);
    println!(
        "largest output difference: {:.3e} of the largest output",
        result.largest_output_error
    );
    Ok(())
}

/// Merges the adapter folder `adapter` into `model` and writes the model folder `out`.
///
/// # Errors
/// When a folder cannot be read or written, or the adapter does not fit the model.
pub fn merge_folder(
    model: &Path,
    adapter: &Path,
    out: &Path,
    dtype: Option<FloatDtype>,
    device: &Device,
) -> Result<MergeResult> {
    let base = model;
    let adapter = AdapterArg::only(adapter);
    let outputs = open::labels_in_adapter(base, &adapter.dir)?;
    let loaded = any_model::open(base, outputs, None, 0, device)?.loaded;
    let (adapted, report) = open::add(loaded.model, &loaded.names, &loaded.fresh, &adapter)?;
    let labels = open::read_labels(&adapter.dir)?.filter(|labels| outputs == Some(labels.len()));
    let config = match labels {
        Some(labels) => {
            let names: Vec<String> = labels.names().map(str::to_owned).collect();
            loaded.config.with_labels(&names)
        }
        None => loaded.config,
    };
    let merged = merge(adapted)?;
    let sites = merged.sites.clone();
    let model = merged.into_model();
    // The base is read again from its folder and only what changed is replaced, so that nothing else is touched.
    let changed = sites
        .iter()
        .flat_map(|site| ["weight", "bias"].map(|tensor| format!("{}.{tensor}", site.path)));
    let own = report.saved.iter().chain(&report.changed);
    let mut keep: HashSet<_> = own
        .chain(&loaded.fresh)
        .map(|name| param_id(name))
        .collect();
    keep.extend(changed.map(|name| param_id(&name)));
    let tensors = named_tensors(&model, &loaded.names, |id| keep.contains(&id));
    save_model(base, out, &config, &tensors, dtype)?;
    let largest = |value: fn(&MergedSite) -> f32| sites.iter().map(value).fold(0.0f32, f32::max);
    Ok(MergeResult {
        out: out.to_path_buf(),
        largest_output_error: largest(|site| site.output_error),
        largest_change: largest(|site| site.max_change),
        sites,
    })
}
