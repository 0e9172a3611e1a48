//! Carrying what stands beside an adapter on into the folder that is made of it.

use std::path::Path;

use peft_core::file::input::{TOKENIZER_LIMIT, read_plain};
use peft_core::file::{FileError, disk, remove_file, write_atomic};
use peft_models::hf::COMPANIONS;
use peft_train::data::{ChatTemplate, TOOLS_FILE, TemplateSource};

use super::part::{GENERATION, IMAGES, Part, TOKENIZER_CONFIG};
use super::{Companions, Found};
use crate::{Error, Result};

/// File of the chat template, which comes before one in `tokenizer_config.json`.
const TEMPLATE: &str = "chat_template.jinja";

/// What makes one input of pictures and texts, which is the model's own.
const PROCESSOR: &str = "processor_config.json";

impl Companions {
    /// Puts everything that is not the model's own into a folder, in place of what the model has there: a merged model, or an adapter that
    /// goes on from this one.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn carry(&self, out: &Path) -> Result<()> {
        for (part, folder) in self.foreign() {
            match part {
                Part::Tokenizer => {
                    for name in COMPANIONS.into_iter().filter(|name| is_tokenizer(name)) {
                        replace(&folder.join(name), &out.join(name))?;
                    }
                    if folder.join(TOKENIZER_CONFIG).is_file() {
                        replace(&folder.join(TOKENIZER_CONFIG), &out.join(TOKENIZER_CONFIG))?;
                    }
                }
                Part::Tokens => {
                    replace(&folder.join(TOKENIZER_CONFIG), &out.join(TOKENIZER_CONFIG))?
                }
                Part::Generation => replace(&folder.join(GENERATION), &out.join(GENERATION))?,
                Part::Images => replace(&folder.join(IMAGES), &out.join(IMAGES))?,
                Part::Template => {}
            }
        }
        self.carry_template(out)
    }

    /// The template is a text that two files can hold: what counts is that the folder ends with the one that was used.
    fn carry_template(&self, out: &Path) -> Result<()> {
        let Found::In(folder) = self.found(Part::Template) else {
            return Ok(());
        };
        let changed = self.foreign().next().is_some();
        let texts = |folder| {
            let found = ChatTemplate::source_in(folder)?;
            Ok::<_, Error>(found.map(TemplateSource::texts))
        };
        let Some(wanted) = texts(folder)?.filter(|_| changed) else {
            return Ok(());
        };
        if texts(out)?.as_ref() == Some(&wanted) {
            return Ok(());
        }
        write_atomic(&out.join(TEMPLATE), wanted.0.as_bytes())?;
        let with_tools = out.join(TOOLS_FILE);
        match wanted.1 {
            Some(text) => {
                make_room(&with_tools)?;
                Ok(write_atomic(&with_tools, text.as_bytes())?)
            }
            None => Ok(remove_file(&with_tools)?),
        }
    }
}

/// Copies every file that stands beside an adapter into another folder of that adapter.
///
/// # Errors
/// Files that cannot be read or written.
pub fn carry_all(adapter: &Path, out: &Path) -> Result<()> {
    let there = COMPANIONS
        .into_iter()
        .filter(|name| adapter.join(name).is_file());
    for name in there {
        replace(&adapter.join(name), &out.join(name))?;
    }
    Ok(())
}

/// Copies the files that stand beside adapters into one that is made of all of them, where all say the same; the rest is named on stderr.
///
/// # Errors
/// Files that cannot be read or written.
pub fn carry_common(adapters: &[&Path], out: &Path) -> Result<()> {
    let Some((first, others)) = adapters.split_first() else {
        return Ok(());
    };
    let mut differing = Vec::new();
    for part in Part::ALL {
        let same = others.iter().map(|other| part.same(first, other));
        if same.collect::<Result<Vec<_>>>()?.contains(&false) {
            differing.push(part.noun());
        }
    }
    if differing.is_empty() {
        return carry_all(first, out);
    }
    log::warn!(
        "{} of the adapters differ, and no files beside them are carried on: copy those of one of them into {}",
        differing.join(", "),
        out.display()
    );
    Ok(())
}

/// What stands beside an adapter, as people call it.
pub fn beside(adapter: &Path) -> Vec<&'static str> {
    let parts = Part::ALL.into_iter();
    let there = parts.filter(|part| part.is_in(adapter).unwrap_or(true));
    there.map(Part::noun).collect()
}

/// Whether a file belongs to the tokenizer and to nothing else.
fn is_tokenizer(name: &str) -> bool {
    let others = [
        TEMPLATE,
        TOOLS_FILE,
        TOKENIZER_CONFIG,
        GENERATION,
        IMAGES,
        PROCESSOR,
    ];
    !others.contains(&name)
}

/// Makes the folder of a file.
fn make_room(path: &Path) -> Result<()> {
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    Ok(disk::create_dir_all(folder).map_err(FileError::io("create", folder))?)
}

/// Makes a file the copy of another one, or removes it where that is not there.
fn replace(from: &Path, to: &Path) -> Result<()> {
    if from.is_file() {
        let bytes = read_plain(from, TOKENIZER_LIMIT).map_err(FileError::io("read", from))?;
        make_room(to)?;
        return Ok(write_atomic(to, &bytes)?);
    }
    Ok(remove_file(to)?)
}
