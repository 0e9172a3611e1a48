//! What stands beside the adapters that are combined: names of labels, and the files of tokenizers and templates.

use std::path::Path;

use peft_core::file::input::{CONFIG_LIMIT, read_plain};
use peft_core::file::{FileError, write_atomic};
use peft_recycle::{Heads, Member, Pool};

use crate::companions;
use crate::run::LABELS_FILE;
use crate::{Error, Result};

/// The adapters whose files count: the one whose head is taken, or all.
fn counted<'a>(pool: &'a Pool, heads: &Heads) -> Vec<&'a Member> {
    let members = pool.members().iter();
    match heads {
        Heads::Of(name) => members.filter(|member| member.name() == name).collect(),
        _ => members.collect(),
    }
}

/// The names of the labels that the combined head has, as a file; heads of different labels have no average.
///
/// # Errors
/// Label files that differ, where heads are averaged.
pub(super) fn labels(pool: &Pool, heads: &Heads) -> Result<Option<Vec<u8>>> {
    let mut found: Option<(&Member, Vec<u8>)> = None;
    for member in counted(pool, heads) {
        let path = member.folder().join(LABELS_FILE);
        if !path.is_file() {
            continue;
        }
        let text = read_plain(&path, CONFIG_LIMIT).map_err(FileError::io("read", &path))?;
        match &found {
            Some((first, labels)) if *labels != text && member.carried_keys().next().is_some() => {
                return Err(Error::Usage(format!(
                    "the labels of {} and {} differ ({LABELS_FILE}), so that their heads have no average; say whose are to be taken with \
                     --head {}",
                    first.name(),
                    member.name(),
                    first.name()
                )));
            }
            Some(_) => {}
            None => found = Some((member, text)),
        }
    }
    Ok(found.map(|(_, text)| text))
}

/// Puts the labels and what else the adapters have in common into the combination.
///
/// # Errors
/// Files that cannot be read or written.
pub(super) fn carry(pool: &Pool, heads: &Heads, labels: Option<&[u8]>, out: &Path) -> Result<()> {
    if let Some(labels) = labels {
        write_atomic(&out.join(LABELS_FILE), labels)?;
    }
    let folders: Vec<&Path> = counted(pool, heads)
        .iter()
        .map(|member| member.folder())
        .collect();
    companions::carry_common(&folders, out)
}
