//! From mlx-lm to PEFT.

use std::collections::BTreeMap;
use std::path::Path;

use peft_format::file::{
    FileError, ForeignKind, HostTensor, PeftConfig, check_finite, claim_folder, foreign, key,
    read_tensors, write_folder,
};
use peft_format::target::Target;
use serde_json::Map;

use super::config::MlxConfig;
use super::{MLX_TENSOR_FILE, MlxError, MlxNote, MlxReport, transposed};
use crate::layers::is_embedding;

/// The tensors of one module.
#[derive(Debug, Default)]
struct Module {
    a: Option<HostTensor>,
    b: Option<HostTensor>,
    m: Option<HostTensor>,
}

/// Converts an adapter folder of mlx-lm to a PEFT folder, which must be new or empty.
///
/// # Errors
/// [`MlxError::Config`] and [`MlxError::Tensors`] with everything that is wrong, [`MlxError::File`].
pub fn to_peft(folder: &Path, out: &Path) -> Result<MlxReport, MlxError> {
    if let Some(found) = foreign(folder)
        && found.kind != ForeignKind::Mlx
    {
        return Err(FileError::from(found).into());
    }
    let config = MlxConfig::read(folder)?;
    let path = folder.join(MLX_TENSOR_FILE);
    let tensors = read_tensors(&path)?;
    check_finite(&tensors)?;
    let problems = |problems| MlxError::Tensors { path, problems };
    let modules = modules(tensors, &config).map_err(problems)?;
    let sites: Vec<String> = modules.keys().cloned().collect();
    let mut converted = BTreeMap::new();
    for (site, module) in modules {
        let magnitude = module.m.map(|m| ("lora_magnitude_vector", m));
        let pair = [("lora_A.weight", module.a), ("lora_B.weight", module.b)]
            .into_iter()
            .filter_map(|(name, tensor)| Some((name, transposed(&tensor?))));
        for (name, tensor) in pair.chain(magnitude) {
            converted.insert(key(&site, name), tensor);
        }
    }
    let described = described(&config, &sites);
    let _claim = claim_folder(out, false)?;
    write_folder(out, &described.to_map(&Map::new()), &converted)?;
    Ok(MlxReport {
        dora: config.dora,
        sites,
        rank: config.rank,
        scale: config.scale,
        notes: old_scale(&config).into_iter().collect(),
    })
}

/// What the versions of mlx-lm that knew an alpha made of it, where that is something else.
fn old_scale(config: &MlxConfig) -> Option<MlxNote> {
    let alpha = config.alpha?;
    let (scale, old) = (config.scale, config.scale * alpha / config.rank as f64);
    (old != scale).then_some(MlxNote::Alpha { alpha, scale, old })
}

/// The modules of a file whose tensors fit each other and the configuration.
fn modules(
    tensors: BTreeMap<String, HostTensor>,
    config: &MlxConfig,
) -> Result<BTreeMap<String, Module>, Vec<String>> {
    let mut modules: BTreeMap<String, Module> = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, tensor) in tensors {
        let parts = name.rsplit_once('.').filter(|(site, _)| !site.is_empty());
        let Some((site, part)) = parts else {
            problems.push(format!("`{name}` is no tensor of a module"));
            continue;
        };
        let module = modules.entry(site.to_owned()).or_default();
        match part {
            "lora_a" => module.a = Some(tensor),
            "lora_b" => module.b = Some(tensor),
            "m" if config.dora => module.m = Some(tensor),
            _ => problems.push(format!(
                "`{name}` is no lora_a, lora_b{}",
                if config.dora { " or m" } else { "" }
            )),
        }
    }
    for (site, module) in &modules {
        problems.extend(fault(site, module, config));
    }
    if modules.is_empty() {
        problems.push("it holds no tensors".to_owned());
    }
    if problems.is_empty() {
        Ok(modules)
    } else {
        Err(problems)
    }
}

/// What is wrong with a module.
fn fault(site: &str, module: &Module, config: &MlxConfig) -> Option<String> {
    let (Some(a), Some(b)) = (&module.a, &module.b) else {
        return Some(format!("`{site}`: expected both lora_a and lora_b"));
    };
    if is_embedding(site) {
        return Some(format!(
            "`{site}` is an embedding: only adapters of linear layers are converted"
        ));
    }
    let rank = config.rank;
    let (&[d_in, left], &[right, d_out]) = (&a.shape[..], &b.shape[..]) else {
        return Some(format!(
            "`{site}`: expected two dimensions, found lora_a {:?} and lora_b {:?}: adapters of experts are not converted",
            a.shape, b.shape
        ));
    };
    if [left, right] != [rank; 2] || d_in == 0 || d_out == 0 {
        return Some(format!(
            "`{site}`: expected lora_a [d_in, {rank}] and lora_b [{rank}, d_out] for the rank of the configuration, found {:?} and {:?}",
            a.shape, b.shape
        ));
    }
    let m = module.m.as_ref().map(|m| &m.shape[..]);
    let fits = if config.dora {
        m == Some(&[d_out][..])
    } else {
        m.is_none()
    };
    (!fits).then(|| format!("`{site}`: expected m [{d_out}] of DoRA, found {m:?}"))
}

fn described(config: &MlxConfig, sites: &[String]) -> PeftConfig {
    let mut peft = PeftConfig::new("LORA", Target::List(sites.to_vec()));
    peft.task_type = Some("CAUSAL_LM".to_owned());
    peft.base_model_name_or_path.clone_from(&config.model);
    peft.r = config.rank;
    peft.lora_alpha = config.scale * config.rank as f64;
    peft.lora_dropout = config.dropout;
    peft.use_dora = config.dora;
    peft
}
