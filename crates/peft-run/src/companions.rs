//! What stands beside weights and decides what texts and pictures mean: tokenizer, special tokens, chat template, generation settings and
//! image processor.
//!
//! Trainers save them beside an adapter, where they belong to what was learnt: a template or a token that the base does not know. So each
//! is taken from the folder that the user names, else from the adapters, else from the model, and whatever is not the model's is said on
//! stderr and carried on into merged models and into adapters that go on from it.

mod carry;
mod part;
mod vocabulary;

use std::path::{Path, PathBuf};

use peft_models::ModelConfig;
use peft_train::data::{ChatTemplate, TextTokenizer, TokenizeOptions};
use serde_json::{Map, Value};

pub use carry::{beside, carry_all, carry_common};
use part::{GENERATION, Part, TOKENIZER_CONFIG, fields};

use crate::settings::RunConfig;
use crate::{Error, Result};

/// The folders that the files beside a model are taken from.
#[derive(Debug, Clone)]
pub struct Companions {
    model: PathBuf,
    adapters: Vec<PathBuf>,
    found: Vec<(Part, Found)>,
}

/// Where a part is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    /// This folder, which may lack it where it is the model's.
    In(PathBuf),
    /// The adapters say different things, and nobody chose.
    Differ(Vec<PathBuf>),
}

impl Companions {
    /// Those of a model, of the adapters in it, and of the folder that was named.
    ///
    /// # Errors
    /// A named folder without any of them, and files that cannot be read.
    pub fn new(model: &Path, adapters: &[&Path], named: Option<&Path>) -> Result<Self> {
        if let Some(folder) = named {
            let parts = Part::ALL.iter().map(|part| part.is_in(folder));
            if !parts.collect::<Result<Vec<_>>>()?.contains(&true) {
                return Err(Error::Usage(format!(
                    "--tokenizer {}: there is no tokenizer.json, no chat template and none of the other files beside a model",
                    folder.display()
                )));
            }
        }
        let mut found = Vec::with_capacity(Part::ALL.len());
        for part in Part::ALL {
            found.push((part, place(part, model, adapters, named)?));
        }
        Ok(Self {
            model: model.to_path_buf(),
            adapters: adapters.iter().map(|dir| dir.to_path_buf()).collect(),
            found,
        })
    }

    /// Those of a run: of its model, of the adapter that it starts from, and of the folder that it names.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_run(config: &RunConfig) -> Result<Self> {
        let start: Vec<&Path> = config.adapter.start.iter().map(PathBuf::as_path).collect();
        Self::new(config.model_dir(), &start, config.data.tokenizer.as_deref())
    }

    /// The same, once what is not the model's was said on stderr.
    #[must_use]
    pub fn announced(self) -> Self {
        self.announce();
        self
    }

    /// Folder of the model.
    pub fn model(&self) -> &Path {
        &self.model
    }

    /// The tokenizer for texts of so many tokens.
    ///
    /// # Errors
    /// When it is missing or broken, the adapters have different ones, or it has more tokens than the model has rows for.
    pub fn tokenizer(&self, config: &ModelConfig, max_length: usize) -> Result<TextTokenizer> {
        let folder = self.folder(Part::Tokenizer)?;
        let rows = vocabulary::rows(config, &self.adapters)?;
        let options = TokenizeOptions {
            max_length,
            pad_id: None,
            vocab_size: Some(rows),
        };
        let tokenizer = TextTokenizer::load(folder, &options)?;
        if folder != self.model && tokenizer.tokens() > rows {
            return Err(Error::LargerVocabulary {
                folder: folder.to_owned(),
                tokens: tokenizer.tokens(),
                model: self.model.clone(),
                rows,
            });
        }
        Ok(tokenizer)
    }

    /// The chat template with the special tokens that it may name, where there is one.
    ///
    /// # Errors
    /// A template that cannot be read, or adapters that have different ones.
    pub fn template(&self) -> Result<Option<ChatTemplate>> {
        let source = ChatTemplate::source_in(self.folder(Part::Template)?)?;
        let Some(source) = source else {
            return Ok(None);
        };
        let tokens = self.tokens()?;
        Ok(Some(ChatTemplate::of(source, &tokens)))
    }

    /// The fields of `tokenizer_config.json`, which name the special tokens; none where there is no such file.
    ///
    /// # Errors
    /// A file that is no JSON, or adapters that name different tokens.
    pub fn tokens(&self) -> Result<Map<String, Value>> {
        let path = self.folder(Part::Tokens)?.join(TOKENIZER_CONFIG);
        Ok(fields(&path)?.unwrap_or_default())
    }

    /// The fields of `generation_config.json`, and its path.
    ///
    /// # Errors
    /// A file that is no JSON.
    pub fn generation(&self) -> Result<Option<(PathBuf, Map<String, Value>)>> {
        let folder = match self.found(Part::Generation) {
            Found::In(folder) => folder,
            Found::Differ(_) => &self.model,
        };
        let path = folder.join(GENERATION);
        Ok(fields(&path)?.map(|fields| (path, fields)))
    }

    /// Folder of the image processor.
    ///
    /// # Errors
    /// When adapters have different ones.
    pub fn images(&self) -> Result<&Path> {
        self.folder(Part::Images)
    }

    fn found(&self, part: Part) -> &Found {
        &self.found[part as usize].1
    }

    fn folder(&self, part: Part) -> Result<&Path> {
        match self.found(part) {
            Found::In(folder) => Ok(folder),
            Found::Differ(folders) => {
                let folders: Vec<String> = folders
                    .iter()
                    .map(|folder| folder.display().to_string())
                    .collect();
                Err(Error::Usage(format!(
                    "the {} differs between the adapters ({}); give the folder whose files to use with --tokenizer, or one adapter at a time",
                    part.noun(),
                    folders.join(", ")
                )))
            }
        }
    }

    /// The parts that are not the model's own, with their folders.
    fn foreign(&self) -> impl Iterator<Item = (Part, &Path)> {
        self.found.iter().filter_map(|(part, found)| match found {
            Found::In(folder) if *folder != self.model => Some((*part, folder.as_path())),
            _ => None,
        })
    }

    fn announce(&self) {
        if let Found::Differ(_) = self.found(Part::Generation) {
            log::warn!(
                "the adapters come with different generation settings; the model's are used"
            );
        }
        let mut folders: Vec<&Path> = self.foreign().map(|(_, folder)| folder).collect();
        folders.dedup();
        for folder in folders {
            let nouns: Vec<&str> = (self.foreign())
                .filter(|(_, other)| *other == folder)
                .map(|(part, _)| part.noun())
                .collect();
            log::info!(
                "{}: taken from {}, not from the model",
                nouns.join(", "),
                folder.display()
            );
        }
    }
}

/// Where one part is taken from.
fn place(part: Part, model: &Path, adapters: &[&Path], named: Option<&Path>) -> Result<Found> {
    let candidates = match named {
        Some(named) if part.is_in(named)? => vec![named],
        _ => adapters.to_vec(),
    };
    let mut folders: Vec<&Path> = Vec::new();
    for adapter in candidates {
        if part == Part::Tokenizer {
            part::warn_of_slow(adapter);
        }
        let own = if part.is_in(adapter)? { adapter } else { model };
        let known = folders.iter().map(|folder| part.same(folder, own));
        if !known.collect::<Result<Vec<_>>>()?.contains(&true) {
            folders.push(own);
        }
    }
    Ok(match folders.as_slice() {
        [] => Found::In(model.to_path_buf()),
        [one] if part.same(one, model)? => Found::In(model.to_path_buf()),
        [one] => Found::In(one.to_path_buf()),
        several => Found::Differ(several.iter().map(|folder| folder.to_path_buf()).collect()),
    })
}

#[cfg(test)]
mod tests;
