//! What the binary brings along: a tiny model, and data in the language that it was pretrained on.

use std::path::{Path, PathBuf};

use peft_core::file::{FileError, FolderClaim, disk, write_atomic};
use peft_train::synthetic::{SentimentData, to_jsonl};

use crate::{Result, out_folder};

/// The files of the model folder, made by `cargo xtask pretrain`.
const MODEL: [(&str, &[u8]); 4] = [
    ("config.json", include_bytes!("../assets/tiny/config.json")),
    (
        "model.safetensors",
        include_bytes!("../assets/tiny/model.safetensors"),
    ),
    (
        "tokenizer.json",
        include_bytes!("../assets/tiny/tokenizer.json"),
    ),
    (
        "tokenizer_config.json",
        include_bytes!("../assets/tiny/tokenizer_config.json"),
    ),
];

/// Seed of the labelled data; the pretraining uses others.
const SEED: u64 = 7;
/// Examples to train on, to choose by and to judge by.
const PARTS: [usize; 3] = [1500, 400, 400];

/// Where everything of a quickstart lies.
#[derive(Debug, Clone)]
pub struct Places {
    /// The base model.
    pub model: PathBuf,
    /// Training data.
    pub train: PathBuf,
    /// Validation data: the curves.
    pub valid: PathBuf,
    /// Test data: the table.
    pub test: PathBuf,
    /// The merged model.
    pub merged: PathBuf,
    out: PathBuf,
}

impl Places {
    /// Below `out`.
    pub fn new(out: &Path) -> Self {
        let data = out.join("data");
        Self {
            model: out.join("model"),
            train: data.join("train.jsonl"),
            valid: data.join("valid.jsonl"),
            test: data.join("test.jsonl"),
            merged: out.join("merged"),
            out: out.to_path_buf(),
        }
    }

    /// Run directory of a method.
    pub fn run(&self, method: &str) -> PathBuf {
        self.out.join(method)
    }

    /// A picture of the accuracies, without extension.
    pub fn picture(&self) -> PathBuf {
        self.out.join("accuracy")
    }

    /// Writes the model and the data; the directory is ours as long as the claim lives.
    ///
    /// # Errors
    /// A directory that holds something, unless `overwrite` is set, or that another process writes to, or a disk that
    /// refuses.
    pub fn unpack(&self, overwrite: bool) -> Result<FolderClaim> {
        let claim = out_folder::claim(&self.out, overwrite, out_folder::OVERWRITE)?;
        let create =
            |folder: &Path| disk::create_dir_all(folder).map_err(FileError::io("create", folder));
        create(&self.model)?;
        for (name, bytes) in MODEL {
            write_atomic(&self.model.join(name), bytes)?;
        }
        create(&self.out.join("data"))?;
        let [train, valid, test] = PARTS;
        let data = SentimentData::generate(SEED, train, valid, test);
        for (path, rows) in [
            (&self.train, &data.train),
            (&self.valid, &data.valid),
            (&self.test, &data.test),
        ] {
            write_atomic(path, to_jsonl(rows).as_bytes())?;
        }
        Ok(claim)
    }
}
