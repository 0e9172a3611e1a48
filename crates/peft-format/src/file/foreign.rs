//! Folders of other programs that hold an adapter in a form of their own: what they are, and the way out.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::CONFIG_FILE;
use super::input::{CONFIG_LIMIT, read_plain};

/// Name of the tensor file of mlx-lm.
pub const MLX_TENSOR_FILE: &str = "adapters.safetensors";
/// How the names of mlx-lm's checkpoints end; the number of the step stands before.
const MLX_CHECKPOINT_END: &str = "_adapters.safetensors";
/// Tensor file of the first versions of mlx-lm.
const MLX_ARCHIVE: &str = "adapters.npz";

/// Fields of mlx-lm's `adapter_config.json` that no configuration of PEFT has.
const MLX_FIELDS: [&str; 4] = [
    "lora_parameters",
    "fine_tune_type",
    "lora_layers",
    "num_layers",
];

/// A folder of another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// The folder.
    pub folder: PathBuf,
    /// What it is.
    pub kind: ForeignKind,
}

/// What a folder of another program is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForeignKind {
    /// An adapter of mlx-lm.
    Mlx,
    /// Checkpoints of mlx-lm alone, by the names of their files.
    MlxCheckpoints(Vec<String>),
    /// An adapter of the first versions of mlx-lm, and whether its configuration is there.
    MlxArchive {
        /// Whether there is an `adapter_config.json`.
        config: bool,
    },
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        let convert = format!("peft convert {folder} --to peft --out FOLDER");
        match &self.kind {
            ForeignKind::Mlx => write!(
                f,
                "{folder} is an adapter of mlx-lm: `{convert}` makes one of PEFT of it"
            ),
            ForeignKind::MlxCheckpoints(names) => write!(
                f,
                "{folder} holds checkpoints of mlx-lm ({}) and no {MLX_TENSOR_FILE}: copy the one to use to {MLX_TENSOR_FILE}, then \
                 `{convert}`",
                shortened(names)
            ),
            ForeignKind::MlxArchive { config } => {
                let missing = if *config {
                    String::new()
                } else {
                    format!(
                        ", put {CONFIG_FILE} beside it with the rank and the scale of the training (its first versions had scale 20 \
                         unless told), for example {{\"num_layers\": 16, \"lora_parameters\": {{\"rank\": 8, \"scale\": 20.0, \
                         \"dropout\": 0.0}}}}"
                    )
                };
                write!(
                    f,
                    "{folder} holds {MLX_ARCHIVE}, an adapter of the first versions of mlx-lm, which is not read: write it as \
                     {MLX_TENSOR_FILE} in Python, `mx.save_safetensors(\"{MLX_TENSOR_FILE}\", dict(mx.load(\"{MLX_ARCHIVE}\")))`\
                     {missing}, then `{convert}`"
                )
            }
        }
    }
}

impl std::error::Error for Foreign {}

/// What a folder is, if it is one of another program; a folder of PEFT is none, whatever else lies in it.
#[must_use]
pub fn foreign(folder: &Path) -> Option<Foreign> {
    let config = read_plain(&folder.join(CONFIG_FILE), CONFIG_LIMIT).ok();
    let fields = config
        .as_ref()
        .and_then(|bytes| serde_json::from_slice::<Map<String, Value>>(bytes).ok());
    if fields
        .as_ref()
        .is_some_and(|fields| fields.contains_key("peft_type"))
    {
        return None;
    }
    let kind = if folder.join(MLX_TENSOR_FILE).is_file() {
        ForeignKind::Mlx
    } else if let Some(names) = checkpoints(folder) {
        ForeignKind::MlxCheckpoints(names)
    } else if folder.join(MLX_ARCHIVE).is_file() {
        let config = config.is_some();
        ForeignKind::MlxArchive { config }
    } else if fields.is_some_and(|fields| is_mlx_config(&fields)) {
        ForeignKind::Mlx
    } else {
        return None;
    };
    Some(Foreign {
        folder: folder.to_owned(),
        kind,
    })
}

/// Whether these are the fields of a configuration of mlx-lm.
pub(super) fn is_mlx_config(fields: &Map<String, Value>) -> bool {
    MLX_FIELDS.iter().any(|field| fields.contains_key(*field))
}

/// Names of the checkpoints in a folder, in order; `None` where there are none.
fn checkpoints(folder: &Path) -> Option<Vec<String>> {
    let entries = fs::read_dir(folder).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names
        .filter(|name| name.ends_with(MLX_CHECKPOINT_END))
        .collect();
    names.sort();
    (!names.is_empty()).then_some(names)
}

/// The first and the last names of many.
fn shortened(names: &[String]) -> String {
    match names {
        [first, second, .., last] if names.len() > 3 => {
            format!("{first}, {second}, .. {last}")
        }
        few => few.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a folder with these files is called.
    fn said(files: &[(&str, &str)]) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        foreign(dir.path()).map(|found| found.to_string())
    }

    #[test]
    fn folders_of_mlx_lm_of_every_age_are_named_with_the_way_out() {
        let config = (
            CONFIG_FILE,
            r#"{"lora_layers": 4, "lora_parameters": {"rank": 2}}"#,
        );
        let adapter = said(&[config, (MLX_TENSOR_FILE, "")]).unwrap();
        assert!(
            adapter.contains("is an adapter of mlx-lm: `peft convert"),
            "{adapter}"
        );
        assert!(said(&[config]).is_some());
        let numbered: Vec<String> = (1..6)
            .map(|at| format!("000{at}00{MLX_CHECKPOINT_END}"))
            .collect();
        let files: Vec<(&str, &str)> = numbered.iter().map(|name| (name.as_str(), "")).collect();
        let checkpoints = said(&files).unwrap();
        assert!(
            checkpoints.contains("000100_adapters.safetensors, 000200_adapters.safetensors, .. 000500_adapters.safetensors"),
            "{checkpoints}"
        );
        let archive = said(&[(MLX_ARCHIVE, "")]).unwrap();
        assert!(
            archive.contains("mx.load") && archive.contains("\"scale\": 20.0"),
            "{archive}"
        );
        let with_config = said(&[(MLX_ARCHIVE, ""), config]).unwrap();
        assert!(!with_config.contains("scale"), "{with_config}");
    }

    #[test]
    fn a_folder_of_peft_or_of_nobody_is_not_foreign() {
        let peft = (CONFIG_FILE, r#"{"peft_type": "LORA", "num_layers": 2}"#);
        assert_eq!(said(&[peft, (MLX_TENSOR_FILE, "")]), None);
        assert_eq!(said(&[(CONFIG_FILE, r#"{"r": 8}"#)]), None);
        assert_eq!(said(&[("model.safetensors", "")]), None);
    }
}
