//! Experts that start as adapters which exist already.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use burn::module::{Param, ParamId};
use burn::tensor::Tensor;
use peft_core::lora::{LORA, RSLORA};
use peft_core::values::set_values;
use peft_core::{Adaptable, AnyAdapter, MethodEntry, PeftError, folder};
use peft_format::file::{HostTensor, read_config};
use peft_format::lora_folder::{LoraFault, LoraFolder};

use crate::mixture::MixtureAdapter;

/// Puts the LoRA of the i-th folder into the i-th expert of every layer that the mixture called `name` and the folder share; other experts
/// and layers stay as they are. Factors of another scale are brought to the mixture's: `B_i <- B_i s_i / s`.
///
/// # Errors
/// What is wrong with a folder; more folders than experts, another rank, or a folder that shares no layer, all in one report.
pub fn start_experts<M: Adaptable>(
    model: M,
    name: &str,
    folders: &[PathBuf],
) -> Result<M, PeftError> {
    let mut values = BTreeMap::new();
    let mut problems = Vec::new();
    for (expert, dir) in folders.iter().enumerate() {
        let (lora, adapted) = read(&model, name, dir)?;
        let mut shared = 0;
        model.visit_linears(&mut |linear| {
            let path = linear.site().path.as_str();
            let adapter = linear.adapter(name).and_then(AnyAdapter::downcast_ref);
            let (Some(adapter), Some(site)) = (adapter, lora.sites().get(path)) else {
                return;
            };
            if !adapted.contains(path) {
                return;
            }
            shared += 1;
            let put = match lora.tensors(path) {
                Ok(Some(pair)) => put(&mut values, adapter, expert, &pair, site.scale),
                Ok(None) => Ok(()),
                Err(fault) => Err(fault.to_string()),
            };
            if let Err(problem) = put {
                problems.push(format!("{}: `{path}`: {problem}", dir.display()));
            }
        });
        if shared == 0 {
            problems.push(format!(
                "{}: it adapts none of the layers of this adapter; give the same targets",
                dir.display()
            ));
        }
    }
    if problems.is_empty() {
        return Ok(set_values(model, values));
    }
    Err(PeftError::Mismatch {
        adapter: name.to_owned(),
        problems,
    })
}

/// The LoRA of a folder, and the layers of the model that it adapts.
fn read<M: Adaptable>(
    model: &M,
    name: &str,
    dir: &Path,
) -> Result<(LoraFolder, HashSet<String>), PeftError> {
    const ENTRIES: [&MethodEntry; 2] = [&LORA, &RSLORA];
    MethodEntry::find(&ENTRIES, &read_config(dir)?)?;
    let lora = LoraFolder::open(dir).map_err(|fault| match fault {
        LoraFault::File(error) => PeftError::File(error),
        LoraFault::Pattern(error) => PeftError::Target(error),
        other => PeftError::Mismatch {
            adapter: name.to_owned(),
            problems: vec![format!("{}: {other}", dir.display())],
        },
    })?;
    lora.check_finite()?;
    let mut config = lora.config().clone();
    config.add_implied_targets(lora.keys().iter().map(String::as_str));
    let spec = folder::spec_of(&ENTRIES, &config)?;
    let plan = spec.plan(&model.sites(), &model.output_heads())?;
    let adapted = plan.sites.into_iter().map(|site| site.path);
    Ok((lora, adapted.collect()))
}

/// Puts `A [rank, d_in]` and `B [d_out, rank]` of a product of some scale into the values of one expert, beside those that the mixture has or got before; the reason where it does not fit.
fn put(
    values: &mut BTreeMap<ParamId, Vec<f32>>,
    adapter: &MixtureAdapter,
    expert: usize,
    [a, b]: &[HostTensor; 2],
    scale: f64,
) -> Result<(), String> {
    let experts = adapter.router.dims()[1];
    let [d_in, width] = adapter.a.dims();
    let [_, d_out] = adapter.b.dims();
    if expert >= experts {
        return Err(format!(
            "expected at most {experts} folders, one per expert"
        ));
    }
    let rank = width / experts;
    for (tensor, expected) in [(a, [rank, d_in]), (b, [d_out, rank])] {
        if tensor.shape != expected {
            return Err(format!(
                "expected a factor of {expected:?}, found {:?}; give the rank of the folder",
                tensor.shape
            ));
        }
    }
    let present = |param: &Param<Tensor<2>>| peft_core::read(param.val()).iter::<f32>().collect();
    let into = values.entry(adapter.a.id);
    let into: &mut Vec<f32> = into.or_insert_with(|| present(&adapter.a));
    for (at, value) in a.data.iter().enumerate() {
        into[at % d_in * width + expert * rank + at / d_in] = *value;
    }
    let scale = (scale / adapter.scale) as f32;
    let into = values.entry(adapter.b.id);
    let into: &mut Vec<f32> = into.or_insert_with(|| present(&adapter.b));
    for (at, value) in b.data.iter().enumerate() {
        into[(expert * rank + at % rank) * d_out + at / rank] = value * scale;
    }
    Ok(())
}
