//! Experts that start as adapters which exist already.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::{Param, ParamId};
use burn::tensor::Tensor;
use peft_core::file::{HostTensor, TensorKey, check_finite, index_keys, read_folder};
use peft_core::lora::{LORA, RSLORA, Scaling};
use peft_core::values::set_values;
use peft_core::{Adaptable, AnyAdapter, AttachedSite, PeftError, folder};

use crate::mixture::MixtureAdapter;

/// Tensors of a LoRA.
const FACTORS: [&str; 2] = ["lora_A.weight", "lora_B.weight"];

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
        let lora = Loras::read(&model, dir)?;
        let mut shared = 0;
        model.visit_linears(&mut |linear| {
            let path = linear.site().path.as_str();
            let adapter = linear.adapter(name).and_then(AnyAdapter::downcast_ref);
            if let (Some(adapter), Some(pair)) = (adapter, lora.at(path)) {
                shared += 1;
                if let Err(problem) = put(&mut values, adapter, expert, &pair) {
                    problems.push(format!("{}: `{path}`: {problem}", dir.display()));
                }
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

/// The factors of a folder, layer by layer.
struct Loras {
    tensors: BTreeMap<String, HostTensor>,
    keys: BTreeMap<TensorKey, String>,
    /// Path of a layer to the factor of its product.
    scales: Vec<(String, f64)>,
}

/// `A [rank, d_in]`, `B [d_out, rank]` as in files, and the factor of their product.
struct Pair<'a> {
    a: &'a HostTensor,
    b: &'a HostTensor,
    scale: f64,
}

impl Loras {
    fn read<M: Adaptable>(model: &M, dir: &Path) -> Result<Self, PeftError> {
        let folder = read_folder(dir)?;
        check_finite(&folder.tensors)?;
        let spec = folder::spec_of(&[&LORA, &RSLORA], &folder.config)?;
        let scaling = Scaling::of(&folder.config);
        let plan = spec.plan(&model.sites(), &model.output_heads())?;
        let scale =
            |site: &AttachedSite| (site.path.clone(), scaling.factor(site.rank, site.alpha));
        Ok(Self {
            keys: index_keys(folder.tensors.keys().map(String::as_str), &FACTORS)?,
            scales: plan.sites.iter().map(scale).collect(),
            tensors: folder.tensors,
        })
    }

    fn at(&self, path: &str) -> Option<Pair<'_>> {
        let (_, scale) = self.scales.iter().find(|(site, _)| site == path)?;
        let [a, b] = FACTORS.map(|tensor| {
            let key = TensorKey {
                module: path.to_owned(),
                tensor: tensor.to_owned(),
            };
            self.tensors.get(self.keys.get(&key)?)
        });
        Some(Pair {
            a: a?,
            b: b?,
            scale: *scale,
        })
    }
}

/// Puts a pair into the values of one expert, beside those that the mixture has or got before; the reason where it does not fit.
fn put(
    values: &mut BTreeMap<ParamId, Vec<f32>>,
    adapter: &MixtureAdapter,
    expert: usize,
    pair: &Pair<'_>,
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
    for (tensor, expected) in [(pair.a, [rank, d_in]), (pair.b, [d_out, rank])] {
        if tensor.shape != expected {
            return Err(format!(
                "expected a factor of {expected:?}, found {:?}; give the rank of the folder",
                tensor.shape
            ));
        }
    }
    let present = |param: &Param<Tensor<2>>| param.val().into_data().iter::<f32>().collect();
    let a = values.entry(adapter.a.id);
    let a: &mut Vec<f32> = a.or_insert_with(|| present(&adapter.a));
    for (at, value) in pair.a.data.iter().enumerate() {
        a[at % d_in * width + expert * rank + at / d_in] = *value;
    }
    let scale = (pair.scale / adapter.scale) as f32;
    let b = values.entry(adapter.b.id);
    let b: &mut Vec<f32> = b.or_insert_with(|| present(&adapter.b));
    for (at, value) in pair.b.data.iter().enumerate() {
        b[(expert * rank + at % rank) * d_out + at / rank] = value * scale;
    }
    Ok(())
}
