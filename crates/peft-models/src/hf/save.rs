//! Complete model folders, written tensor by tensor.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::archive::{TensorArchive, TensorEntry};
use super::config::ModelConfig;
use super::dtype::FloatDtype;
use super::export::{HostTensors, ShapedValues};
use super::spelling::{canonical, is_task_head};
use super::stream::{Planned, write_file, write_safetensors};
use crate::encoder_config::Family;
use crate::error::{Misshaped, ModelError, WeightProblems};

/// Files besides weights and configuration that make a folder usable.
const COMPANIONS: [&str; 12] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
    "generation_config.json",
    "preprocessor_config.json",
];

/// Where a tensor of the output comes from.
enum Source<'a> {
    Base(&'a TensorEntry),
    Given(&'a [f32]),
}

/// What is to be written, by name.
type Output<'a> = BTreeMap<String, (Planned, Source<'a>)>;

/// Writes `dir_out` as a copy of `dir_in` with some tensors replaced or added and `config` as its configuration.
///
/// `replacements` are in Hugging Face names and orientation, with or without the base prefix. When they hold a head,
/// the output is named as the class with that head (base tensors get the prefix) and heads of other tasks are left
/// out. `dtype` converts every float tensor; without it each keeps the type it has in `dir_in`.
///
/// # Errors
/// Equal folders, unreadable or unwritable files, or replacements that do not fit (all listed).
pub fn save_model(
    dir_in: &Path,
    dir_out: &Path,
    config: &ModelConfig,
    replacements: &HostTensors,
    dtype: Option<FloatDtype>,
) -> Result<(), ModelError> {
    fs::create_dir_all(dir_out).map_err(ModelError::io(dir_out, "creating"))?;
    let same = |dir: &Path| fs::canonicalize(dir).map_err(ModelError::io(dir, "resolving"));
    if same(dir_in)? == same(dir_out)? {
        return Err(ModelError::SameFolder {
            dir: dir_in.to_path_buf(),
        });
    }
    let archive = TensorArchive::open(dir_in)?;
    let family = Family::of(config)?;
    let output = plan(&archive, family, replacements, dtype)?;
    let planned = output
        .values()
        .map(|(planned, _)| planned.clone())
        .collect();
    write_safetensors(&dir_out.join("model.safetensors"), planned, |tensor| {
        let (_, source) = &output[&tensor.name];
        content(&archive, tensor, source)
    })?;
    for name in COMPANIONS {
        copy_if_present(&dir_in.join(name), &dir_out.join(name))?;
    }
    let config = match dtype {
        Some(dtype) => with_dtype(config.clone(), dtype),
        None => config.clone(),
    };
    write_json(
        &dir_out.join("config.json"),
        &Value::Object(config.raw().clone()),
    )
}

/// Writes a folder of F32 weights and a configuration; tokenizer files are the caller's.
///
/// # Errors
/// [`ModelError::Io`].
pub fn write_model(
    dir: &Path,
    config: &ModelConfig,
    tensors: &HostTensors,
) -> Result<(), ModelError> {
    fs::create_dir_all(dir).map_err(ModelError::io(dir, "creating"))?;
    let planned = tensors.iter().map(|(name, (shape, _))| Planned {
        name: name.clone(),
        dtype: FloatDtype::F32.in_file(),
        shape: shape.clone(),
    });
    write_safetensors(
        &dir.join("model.safetensors"),
        planned.collect(),
        |tensor| Ok(FloatDtype::F32.encode(&tensors[&tensor.name].1)),
    )?;
    let config = with_dtype(config.clone(), FloatDtype::F32);
    write_json(
        &dir.join("config.json"),
        &Value::Object(config.raw().clone()),
    )
}

/// Every tensor of the output by name, with its source.
fn plan<'a>(
    archive: &'a TensorArchive,
    family: &Family,
    replacements: &'a HostTensors,
    dtype: Option<FloatDtype>,
) -> Result<Output<'a>, ModelError> {
    let prefix = family.prefix;
    let new_head = replacements
        .keys()
        .any(|name| is_task_head(&canonical(name, prefix)));
    let dotted = format!("{prefix}.");
    let prefixed = new_head || archive.entries().any(|(name, _)| name.starts_with(&dotted));
    let mut given = by_canonical_name(archive, prefix, replacements)?;
    let mut output = Output::new();
    let mut problems = WeightProblems::default();
    let added = dtype.unwrap_or_else(|| archive.main_dtype());
    for (stored, entry) in archive.entries() {
        let bare = canonical(stored, prefix);
        let replacement = given.remove(&bare);
        if new_head && replacement.is_none() && is_task_head(&bare) && !belongs(&bare, family) {
            continue;
        }
        let name = output_name(&bare, prefix, prefixed);
        let float = FloatDtype::from_file(entry.dtype());
        let tensor = match replacement {
            Some(tensor) => {
                let expected = if is_task_head(&bare) {
                    &tensor.0
                } else {
                    entry.shape()
                };
                problems.misshaped.extend(misfit(&name, expected, tensor));
                from_memory(&name, tensor, dtype.or(float).unwrap_or(added))
            }
            None => from_base(&name, entry, float.map(|own| dtype.unwrap_or(own))),
        };
        if output.insert(name.clone(), tensor).is_some() {
            return Err(ModelError::DuplicateTensor {
                path: archive.dir().to_path_buf(),
                name,
            });
        }
    }
    for (bare, tensor) in given {
        let name = output_name(&bare, prefix, prefixed);
        if is_task_head(&bare) || bare.starts_with("pooler.") {
            problems.misshaped.extend(misfit(&name, &tensor.0, tensor));
            output.insert(name.clone(), from_memory(&name, tensor, added));
        } else {
            problems.unexpected.push(name);
        }
    }
    if problems.is_empty() {
        return Ok(output);
    }
    Err(ModelError::Weights {
        dir: archive.dir().to_path_buf(),
        problems: Box::new(problems),
    })
}

/// Whether a head tensor is part of the family's classification head.
fn belongs(bare: &str, family: &Family) -> bool {
    let below = |path: &str| {
        bare.strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    below(family.head.dense) || below(family.head.output)
}

/// What is wrong with a replacement: another shape than `expected`, or not as many values as its shape says.
fn misfit(name: &str, expected: &[usize], (shape, values): &ShapedValues) -> Option<Misshaped> {
    let found = if shape != expected {
        shape.clone()
    } else if values.len() != shape.iter().product::<usize>() {
        vec![values.len()]
    } else {
        return None;
    };
    Some(Misshaped {
        name: name.to_owned(),
        expected: expected.to_vec(),
        found,
    })
}

fn from_memory<'a>(
    name: &str,
    tensor: &'a ShapedValues,
    dtype: FloatDtype,
) -> (Planned, Source<'a>) {
    let planned = Planned {
        name: name.to_owned(),
        dtype: dtype.in_file(),
        shape: tensor.0.clone(),
    };
    (planned, Source::Given(&tensor.1))
}

/// A tensor of the input; `dtype` is `None` for integers, which are copied as they are.
fn from_base<'a>(
    name: &str,
    entry: &'a TensorEntry,
    dtype: Option<FloatDtype>,
) -> (Planned, Source<'a>) {
    let planned = Planned {
        name: name.to_owned(),
        dtype: dtype.map_or(entry.dtype(), FloatDtype::in_file),
        shape: entry.shape().to_vec(),
    };
    (planned, Source::Base(entry))
}

fn by_canonical_name<'a>(
    archive: &TensorArchive,
    prefix: &str,
    replacements: &'a HostTensors,
) -> Result<BTreeMap<String, &'a ShapedValues>, ModelError> {
    let mut given = BTreeMap::new();
    for (name, tensor) in replacements {
        if given.insert(canonical(name, prefix), tensor).is_some() {
            return Err(ModelError::DuplicateTensor {
                path: archive.dir().to_path_buf(),
                name: name.clone(),
            });
        }
    }
    Ok(given)
}

fn output_name(bare: &str, prefix: &str, prefixed: bool) -> String {
    if prefixed && !is_task_head(bare) {
        format!("{prefix}.{bare}")
    } else {
        bare.to_owned()
    }
}

/// The bytes of one tensor in the type that was planned for it.
fn content(
    archive: &TensorArchive,
    planned: &Planned,
    source: &Source<'_>,
) -> Result<Vec<u8>, ModelError> {
    let target = FloatDtype::from_file(planned.dtype);
    let decoded;
    let values = match source {
        Source::Given(values) => *values,
        Source::Base(entry) => {
            let bytes = archive.read(entry)?;
            match FloatDtype::from_file(entry.dtype()) {
                Some(own) if Some(own) != target => {
                    decoded = own.decode(&bytes);
                    &decoded
                }
                _ => return Ok(bytes),
            }
        }
    };
    let target = target.unwrap_or(FloatDtype::F32);
    match target.first_overflow(values) {
        Some(value) => Err(ModelError::Overflow {
            name: planned.name.clone(),
            value,
            dtype: target.config_name(),
        }),
        None => Ok(target.encode(values)),
    }
}

fn copy_if_present(from: &Path, to: &Path) -> Result<(), ModelError> {
    if !from.is_file() {
        return Ok(());
    }
    let bytes = fs::read(from).map_err(ModelError::io(from, "reading"))?;
    write_file(to, |out| {
        out.write_all(&bytes).map_err(ModelError::io(to, "writing"))
    })
}

/// Sets the element type under the key the file uses already: `dtype` since transformers 4.56, `torch_dtype` before.
fn with_dtype(config: ModelConfig, dtype: FloatDtype) -> ModelConfig {
    let key = if config.raw().contains_key("dtype") {
        "dtype"
    } else {
        "torch_dtype"
    };
    config.with_field(key, json!(dtype.config_name()))
}

fn write_json(path: &Path, value: &Value) -> Result<(), ModelError> {
    write_file(path, |out| {
        out.write_all(format!("{value:#}\n").as_bytes())
            .map_err(ModelError::io(path, "writing"))
    })
}
