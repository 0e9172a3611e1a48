//! From PEFT to mlx-lm.

use std::collections::BTreeMap;
use std::path::Path;

use peft_format::file::{
    CONFIG_FILE, HostTensor, Staged, StoredDtype, check_finite, claim_folder, encode_tensors,
    to_json,
};

use peft_format::lora_folder::{LoraFault, LoraFolder, LoraSite};

use super::config::MlxConfig;
use super::{MLX_TENSOR_FILE, MlxError, MlxNote, MlxReport, transposed};
use crate::error::MemberProblem;

const MAGNITUDE: &str = ".lora_magnitude_vector";
const PREFIX: &str = "base_model.model.";

/// Converts a PEFT folder of LoRA, rsLoRA or DoRA to an adapter folder of mlx-lm, which must be new or empty.
///
/// # Errors
/// [`MlxError::Member`] for a folder that cannot be read or asks for more than LoRA or DoRA, [`MlxError::Tensors`] with every tensor that
/// mlx-lm has no place for, [`MlxError::File`].
pub fn from_peft(folder: &Path, out: &Path) -> Result<MlxReport, MlxError> {
    let fault = |fault: LoraFault| {
        MlxError::Member(MemberProblem {
            folder: folder.to_owned(),
            fault: fault.into(),
        })
    };
    let lora = LoraFolder::open(folder).map_err(fault)?;
    let magnitudes = magnitudes(folder, &lora, lora.carried().map_err(fault)?)?;
    let config = described(&lora);
    let mut notes = Vec::new();
    let mut tensors = BTreeMap::new();
    for (path, site) in lora.sites() {
        if let Some([a, b]) = lora.tensors(path).map_err(fault)? {
            let [a, b] = fitted(
                [transposed(&a), transposed(&b)],
                path,
                site,
                &config,
                &mut notes,
            );
            tensors.insert(format!("{path}.lora_a"), a);
            tensors.insert(format!("{path}.lora_b"), b);
        }
    }
    let config = MlxConfig {
        scale: decimal(config.scale),
        ..config
    };
    tensors.extend(magnitudes);
    check_finite(&tensors)?;
    let sites: Vec<String> = lora.sites().keys().cloned().collect();
    let path = out.join(MLX_TENSOR_FILE);
    let bytes = encode_tensors(&path, &tensors)?;
    let _claim = claim_folder(out, false)?;
    let tensors = Staged::new(&path, |out| out.write(&bytes))?;
    let text = to_json(&config.to_map(&sites));
    let written = Staged::new(&out.join(CONFIG_FILE), |out| out.write(text.as_bytes()))?;
    Staged::commit_all([tensors, written])?;
    Ok(MlxReport {
        dora: config.dora,
        sites,
        rank: config.rank,
        scale: config.scale,
        notes,
    })
}

/// The largest rank, and the scale that most sites have; of several, that of the first site that has one of them.
fn described(lora: &LoraFolder) -> MlxConfig {
    let sites = || lora.sites().values();
    let count = |scale: f64| sites().filter(|site| site.scale == scale).count();
    // B cannot be divided by a scale of zero.
    let scaled = || sites().filter(|site| site.scale != 0.0);
    let most = scaled().map(|site| count(site.scale)).max();
    let scale = scaled().find(|site| Some(count(site.scale)) == most);
    let config = lora.config();
    MlxConfig {
        dora: config.use_dora,
        rank: sites().map(|site| site.rank).max().unwrap_or(1),
        scale: scale.map_or(0.0, |site| site.scale),
        alpha: None,
        dropout: config.lora_dropout,
        model: config.base_model_name_or_path.clone(),
    }
}

/// The number of 15 digits that a scale is within rounding of, or the scale itself: `alpha / r` of an alpha that is `scale r` with a scale
/// of few digits is often one rounding off.
fn decimal(scale: f64) -> f64 {
    let short: f64 = format!("{scale:.14e}").parse().unwrap_or(scale);
    if (short - scale).abs() <= 2.0 * f64::EPSILON * scale.abs() {
        short
    } else {
        scale
    }
}

/// The tensors `m` of DoRA; anything else that is no factor has no place.
fn magnitudes(
    folder: &Path,
    lora: &LoraFolder,
    carried: BTreeMap<String, HostTensor>,
) -> Result<BTreeMap<String, HostTensor>, MlxError> {
    let mut magnitudes = BTreeMap::new();
    let mut problems = Vec::new();
    for (key, tensor) in carried {
        let path = (key.strip_prefix(PREFIX)).and_then(|key| key.strip_suffix(MAGNITUDE));
        let Some((path, site)) = path.and_then(|path| Some((path, lora.sites().get(path)?))) else {
            problems.push(format!(
                "`{key}` is no part of LoRA or DoRA, and mlx-lm has no place for it: merge the adapter instead"
            ));
            continue;
        };
        // Older files have [1, d_out].
        if tensor.data.len() != site.d_out {
            let (expected, found) = (site.d_out, &tensor.shape);
            problems.push(format!(
                "`{key}`: expected [{expected}] values, found {found:?}"
            ));
            continue;
        }
        let tensor = HostTensor {
            shape: vec![site.d_out],
            ..tensor
        };
        magnitudes.insert(format!("{path}.m"), tensor);
    }
    if problems.is_empty() {
        Ok(magnitudes)
    } else {
        Err(MlxError::Tensors {
            path: folder.to_owned(),
            problems,
        })
    }
}

/// `lora_a [d_in, r]` and `lora_b [r, d_out]` at the rank and the scale of all.
#[allow(
    clippy::cast_possible_truncation,
    reason = "files hold single precision"
)]
fn fitted(
    [mut a, mut b]: [HostTensor; 2],
    path: &str,
    site: &LoraSite,
    config: &MlxConfig,
    notes: &mut Vec<MlxNote>,
) -> [HostTensor; 2] {
    if site.scale != config.scale {
        let (from, to) = (site.scale, config.scale);
        for value in &mut b.data {
            *value = (f64::from(*value) * from / to) as f32;
        }
        b.stored = StoredDtype::F32;
        let site = path.to_owned();
        notes.push(MlxNote::Scaled { site, from, to });
    }
    if site.rank != config.rank {
        let (from, to) = (site.rank, config.rank);
        let rows = a.data.chunks(from);
        let padded = |row: &[f32]| row.iter().copied().chain(vec![0.0; to - from]).collect();
        a.data = rows.flat_map(|row| -> Vec<f32> { padded(row) }).collect();
        a.shape[1] = to;
        b.data.resize(to * site.d_out, 0.0);
        b.shape[0] = to;
        let site = path.to_owned();
        notes.push(MlxNote::Padded { site, from, to });
    }
    [a, b]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_of_few_digits_comes_back_from_alpha_and_others_stay() {
        for rank in 1..200 {
            let rank = f64::from(rank);
            for scale in [20.0, 0.1, 2.7, 1e-7, -0.3, 0.0] {
                assert_eq!(decimal(scale * rank / rank), scale, "{scale} {rank}");
            }
            let scale = 16.0 / rank.sqrt();
            assert!((decimal(scale) - scale).abs() <= 4.0 * f64::EPSILON * scale);
        }
        assert_eq!(decimal(1.0 / 3.0), 1.0 / 3.0);
    }
}
