//! What a written model folder will hold: every tensor by name, with its source.

use std::collections::BTreeMap;

use peft_core::file::HostTensor;

use super::super::archive::{TensorArchive, TensorEntry};
use super::super::dtype::FloatDtype;
use super::super::file_names::FileNames;
use super::super::spelling::{canonical, is_beside, is_task_head};
use super::super::stream::Planned;
use super::HostTensors;
use crate::error::{Misshaped, ModelError, WeightProblems};

/// Where a tensor of the output comes from.
pub(super) enum Source<'a> {
    Base(&'a TensorEntry),
    Given(&'a [f32]),
}

/// What is to be written, by name.
pub(super) type Output<'a> = BTreeMap<String, (Planned, Source<'a>)>;

/// Every tensor of the output by name, with its source.
///
/// # Errors
/// Replacements that do not fit (all listed), or two tensors of one name.
pub(super) fn plan<'a>(
    archive: &'a TensorArchive,
    names: &'a FileNames,
    replacements: &'a HostTensors,
    dtype: Option<FloatDtype>,
) -> Result<Output<'a>, ModelError> {
    let prefix = names.prefix;
    let new_head = replacements
        .keys()
        .any(|name| is_task_head(&canonical(name, prefix)));
    let dotted = format!("{prefix}.");
    let mut given = by_canonical_name(archive, prefix, replacements)?;
    let mut plan = Plan {
        archive,
        names,
        new_head,
        prefixed: new_head || archive.entries().any(|(name, _)| name.starts_with(&dotted)),
        dtype,
        output: Output::new(),
        problems: WeightProblems::default(),
    };
    let mut given_as_head = false;
    let table = names
        .tied
        .as_ref()
        .and_then(|words| given.get(words).copied());
    let holds_table = archive
        .entries()
        .any(|(stored, _)| names.tied.as_deref() == Some(&canonical(stored, prefix)));
    for (stored, entry) in archive.entries() {
        let bare = match &names.tied {
            Some(words) if !holds_table && names.lacks(stored) => words.clone(),
            _ => canonical(stored, prefix),
        };
        let replacement = given.remove(&bare);
        let tied = table.filter(|_| names.is_tied(&bare));
        given_as_head |= tied.is_some();
        plan.keep(&bare, entry, replacement.or(tied))?;
    }
    if given_as_head && let Some(words) = &names.tied {
        given.remove(words);
    }
    for (bare, tensor) in given {
        plan.add(&bare, tensor);
    }
    if plan.problems.is_empty() {
        return Ok(as_stored(archive, plan.output));
    }
    Err(ModelError::Weights {
        dir: archive.dir().to_path_buf(),
        problems: Box::new(plan.problems),
    })
}

/// The output by the names that the files of the input use.
fn as_stored<'a>(archive: &TensorArchive, output: Output<'a>) -> Output<'a> {
    let stored = |(name, (planned, source)): (String, (Planned, Source<'a>))| {
        let name = archive.stored_name(&name);
        let planned = Planned {
            name: name.clone(),
            ..planned
        };
        (name, (planned, source))
    };
    output.into_iter().map(stored).collect()
}

struct Plan<'a> {
    archive: &'a TensorArchive,
    names: &'a FileNames,
    /// Whether the replacements bring a head, which makes heads of other tasks superfluous.
    new_head: bool,
    /// Whether names of the output carry the family's base prefix.
    prefixed: bool,
    /// The type of every float tensor; `None` keeps each as it is.
    dtype: Option<FloatDtype>,
    output: Output<'a>,
    problems: WeightProblems,
}

impl<'a> Plan<'a> {
    /// A tensor of the input, with its replacement if there is one.
    fn keep(
        &mut self,
        bare: &str,
        entry: &'a TensorEntry,
        replacement: Option<&'a HostTensor>,
    ) -> Result<(), ModelError> {
        let head = is_task_head(bare);
        if self.new_head && replacement.is_none() && head && !self.names.owns(bare) {
            return Ok(());
        }
        let name = self.name(bare);
        let float = FloatDtype::from_file(entry.dtype());
        let tensor = match replacement {
            Some(tensor) => {
                let expected = self.expected(bare, head, entry, tensor);
                self.problems
                    .misshaped
                    .extend(misfit(&name, &expected, tensor));
                let dtype = self.dtype.or(float).unwrap_or(self.added());
                from_memory(&name, tensor, dtype)
            }
            None => from_base(&name, entry, float.map(|own| self.dtype.unwrap_or(own))),
        };
        if self.output.insert(name.clone(), tensor).is_some() {
            return Err(ModelError::DuplicateTensor {
                path: self.archive.dir().to_path_buf(),
                name,
            });
        }
        Ok(())
    }

    /// The shape that a replacement must have: heads may have any, the word table any number of tokens, all else that of the input.
    fn expected(
        &self,
        bare: &str,
        head: bool,
        entry: &TensorEntry,
        tensor: &HostTensor,
    ) -> Vec<usize> {
        if head {
            return tensor.shape.clone();
        }
        let mut expected = entry.shape().to_vec();
        if self.is_table(bare)
            && let (Some(rows), Some(given)) = (expected.first_mut(), tensor.shape.first())
        {
            *rows = *given;
        }
        expected
    }

    fn is_table(&self, bare: &str) -> bool {
        self.names.words.as_deref() == Some(bare)
    }

    /// A tensor that the input lacks: part of a head or of a pooler, or the table that was tied to a head; anything else is a mistake.
    fn add(&mut self, bare: &str, tensor: &'a HostTensor) {
        let name = self.name(bare);
        if is_task_head(bare) || bare.starts_with("pooler.") || self.is_table(bare) {
            let misfit = misfit(&name, &tensor.shape, tensor);
            self.problems.misshaped.extend(misfit);
            let tensor = from_memory(&name, tensor, self.added());
            self.output.insert(name, tensor);
        } else {
            self.problems.unexpected.push(name);
        }
    }

    fn name(&self, bare: &str) -> String {
        if self.prefixed && !is_task_head(bare) && !is_beside(bare) {
            format!("{}.{bare}", self.names.prefix)
        } else {
            bare.to_owned()
        }
    }

    /// The type of tensors that the input lacks.
    fn added(&self) -> FloatDtype {
        self.dtype.unwrap_or_else(|| self.archive.main_dtype())
    }
}

/// What is wrong with a replacement: another shape than `expected`, or not as many values as its shape says.
fn misfit(name: &str, expected: &[usize], tensor: &HostTensor) -> Option<Misshaped> {
    let (shape, values) = (&tensor.shape, &tensor.data);
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

fn from_memory<'a>(name: &str, tensor: &'a HostTensor, dtype: FloatDtype) -> (Planned, Source<'a>) {
    let planned = Planned {
        name: name.to_owned(),
        dtype: dtype.in_file(),
        shape: tensor.shape.clone(),
    };
    (planned, Source::Given(&tensor.data))
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
) -> Result<BTreeMap<String, &'a HostTensor>, ModelError> {
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
