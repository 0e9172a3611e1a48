//! Images to a task that can be trained or answered.

use std::path::{Path, PathBuf};

use peft_core::file::FileError;
use peft_core::file::input::{PICTURE_LIMIT, read_plain};
use peft_models::{ImageClassifier, ModelConfig, VitConfig};
use peft_train::data::{
    DataAccount, FileAccount, ImageProcessor, LabelSet, Picture, PictureOptions, Pictures, Target,
    Targets, read_pictures,
};
use peft_train::task::{ClassifierTask, ImageSet};
use sha2::{Digest, Sha256};

use crate::companions::Companions;
use crate::data::{self, Columns, Input, PreparedData};
use crate::open::{self, Numbering};
use crate::settings::{DataConfig, RunConfig};
use crate::{Error, Result};

/// Images and the processor of the model that is to answer them.
#[derive(Debug)]
pub struct ImageInput {
    images: Pictures,
    limit: usize,
    processor: ImageProcessor,
    tokens: usize,
}

impl ImageInput {
    /// Reads a folder or table of images with the processor that stands beside the model.
    ///
    /// # Errors
    /// When either cannot be read, or the model takes no images.
    pub fn read(
        data: &DataConfig,
        images: &Path,
        beside: &Companions,
        labelled: bool,
    ) -> Result<Self> {
        let sizes = VitConfig::read(&ModelConfig::read(beside.model())?)?;
        let columns = Columns::of(data.columns.as_deref())?;
        let renamed = columns.renamed.iter().chain(&data.renamed_in_run);
        let mut labels = renamed.filter(|(name, _)| name.eq_ignore_ascii_case("label"));
        let label_column = labels.next().map(|(_, column)| column.clone());
        let usual = PictureOptions::default();
        let options = PictureOptions {
            columns: columns
                .named
                .map(|named| named.join(",").parse())
                .transpose()?,
            label_column: label_column
                .or_else(|| data.roles.target.clone())
                .unwrap_or(usual.label_column),
            labelled,
        };
        let read = read_pictures(images, &options)?;
        say_skipped(&read);
        Ok(Self {
            images: read,
            limit: data.limit.unwrap_or(usize::MAX),
            processor: ImageProcessor::load(beside.images()?, sizes.channels, sizes.image_size)?,
            tokens: sizes.tokens(),
        })
    }
}

impl Input for ImageInput {
    type Model = ImageClassifier;

    fn labels(&self) -> Result<LabelSet> {
        Ok(self.images.label_set()?)
    }

    fn set(&self, targets: Targets<'_>) -> Result<(ImageSet, FileAccount)> {
        let images = self.images.first(self.limit);
        let asked = targets;
        let targets =
            match targets {
                Targets::Classes(labels) => images.targets(labels)?,
                Targets::Unknown => vec![Target::None; images.pictures.len()],
                Targets::Values => return Err(Error::Usage(
                    "a model of images with one output answers no classes; expected two or more"
                        .into(),
                )),
            };
        let account = FileAccount {
            path: images.path.clone(),
            rows: targets.len(),
            examples: targets.len(),
            labels: data::label_counts(asked, &targets),
            ..FileAccount::default()
        };
        let set = ImageSet {
            pictures: images.pictures,
            targets,
            processor: self.processor.clone(),
            tokens: self.tokens,
        };
        Ok((set, account))
    }

    fn column(&self, name: &str) -> Result<Vec<(String, String)>> {
        Err(Error::Usage(format!(
            "images have no column `{name}`; the adapter of each row can be chosen for tables of texts"
        )))
    }

    fn file(&self, example: usize) -> Option<PathBuf> {
        let file = self.images.pictures.get(example)?.file()?;
        let below = file.strip_prefix(&self.images.path).unwrap_or(file);
        Some(below.to_path_buf())
    }
}

/// Reads the images of a run.
///
/// # Errors
/// Everything that is wrong with a file, with the place.
pub fn prepare(config: &RunConfig) -> Result<PreparedData<ImageClassifier>> {
    let beside = Companions::of_run(config)?.announced();
    let read = |path: &Path| -> Result<ImageInput> {
        let input = ImageInput::read(&config.data, path, &beside, true)?;
        verify(&input.images)?;
        Ok(input)
    };
    let train = read(&config.data.train)?;
    let Numbering { labels, head } = open::number(config, train.labels()?)?;
    let measures = data::measures(&config.metrics, config.positive.as_deref(), Some(&labels))?;
    let targets = Targets::Classes(&labels);
    let (set, mut account) = train.set(targets)?;
    let valid = config.data.valid.as_deref().map(|path| -> Result<_> {
        let all = ImageInput {
            limit: usize::MAX,
            ..read(path)?
        };
        all.set(targets)
    });
    let (valid, valid_account) = valid.transpose()?.unzip();
    let sets = (set, valid);
    let (set, valid) = data::divided(config, targets, sets, &mut account, ImageSet::subset)?;
    let mut rows = vec![ImageProcessor::source(beside.images()?)?];
    for (picture, target) in set.pictures.iter().zip(&set.targets) {
        rows.push(format!("{} {target:?}\n", identity(picture)?));
    }
    Ok(PreparedData {
        rows,
        examples: set.pictures.len(),
        account: DataAccount {
            train: account,
            valid: valid_account,
        },
        task: ClassifierTask {
            train: set,
            valid,
            objective: data::objective(Some(&labels)),
            metrics: measures,
            eval_batch_size: config.train.eval_batch_size,
        },
        labels: Some(labels),
        head,
    })
}

/// Decodes every image once: a broken one is refused now rather than learnt, or found hours later.
fn verify(images: &Pictures) -> Result<()> {
    let verified = images.verify()?;
    if let Some((one, other)) = verified.twins.first() {
        log::warn!(
            "{}: {} image(s) lie in several classes, the first {} and {}",
            images.path.display(),
            verified.twins.len(),
            one.display(),
            other.display()
        );
    }
    Ok(())
}

/// Says what of a folder was skipped.
fn say_skipped(images: &Pictures) {
    if let Some(first) = images.skipped.first() {
        log::info!(
            "{}: {} file(s) or folder(s) that are no data skipped, the first {}",
            images.path.display(),
            images.skipped.len(),
            first.display()
        );
    }
}

/// What tells a picture from another one when a run goes on: a digest of its file, or of its pixels.
fn identity(picture: &Picture) -> Result<String> {
    match picture {
        Picture::File(path) => {
            let bytes = read_plain(path, PICTURE_LIMIT).map_err(FileError::io("read", path))?;
            Ok(format!("{:?}", Sha256::digest(&bytes)))
        }
        Picture::Pixels(pixels) => Ok(format!("{:?}", Sha256::digest(&pixels.values))),
    }
}
