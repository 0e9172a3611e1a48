//! Images to a task that can be trained or answered.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use peft_models::{ImageClassifier, ModelConfig, VitConfig};
use peft_train::data::{
    ImageProcessor, LabelSet, Picture, PictureOptions, Pictures, Target, Targets, read_pictures,
};
use peft_train::task::{ClassifierTask, ImageSet};
use sha2::{Digest, Sha256};

use crate::data::{self, Input, PreparedData};
use crate::run_config::{DataConfig, RunConfig};

/// Images and the processor of the model that is to answer them.
#[derive(Debug)]
pub struct ImageInput {
    images: Pictures,
    limit: usize,
    processor: ImageProcessor,
    tokens: usize,
}

impl ImageInput {
    /// Reads a folder or table of images with the processor of the model folder `model`.
    ///
    /// # Errors
    /// When either cannot be read, or the model takes no images.
    pub fn read(data: &DataConfig, images: &Path, model: &Path, labelled: bool) -> Result<Self> {
        let sizes = VitConfig::read(&ModelConfig::read(model)?)?;
        let columns = data
            .columns
            .as_ref()
            .map(|columns| columns.join(",").parse());
        let usual = PictureOptions::default();
        let options = PictureOptions {
            columns: columns.transpose()?,
            label_column: data.roles.target.clone().unwrap_or(usual.label_column),
            labelled,
        };
        Ok(Self {
            images: read_pictures(images, &options)?,
            limit: data.limit.unwrap_or(usize::MAX),
            processor: ImageProcessor::load(model, sizes.channels, sizes.image_size)?,
            tokens: sizes.tokens(),
        })
    }
}

impl Input for ImageInput {
    type Model = ImageClassifier;

    fn labels(&self) -> Result<LabelSet> {
        Ok(self.images.label_set()?)
    }

    fn set(&self, targets: Targets<'_>) -> Result<(ImageSet, usize)> {
        let images = self.images.first(self.limit);
        let targets = match targets {
            Targets::Classes(labels) => images.targets(labels)?,
            Targets::Unknown => vec![Target::None; images.pictures.len()],
            Targets::Values => bail!(crate::Usage(
                "a model of images with one output answers no classes; expected two or more".into()
            )),
        };
        let set = ImageSet {
            pictures: images.pictures,
            targets,
            processor: self.processor.clone(),
            tokens: self.tokens,
        };
        Ok((set, 0))
    }

    fn column(&self, name: &str) -> Result<Vec<(String, String)>> {
        bail!(crate::Usage(format!(
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
    let read = |path: &Path| ImageInput::read(&config.data, path, config.model_dir(), true);
    let train = read(&config.data.train)?;
    let labels = train.labels()?;
    if labels.len() < 2 {
        bail!(
            "{}: expected two classes or more, found {}: is there a folder per class?",
            config.data.train.display(),
            labels.names().collect::<Vec<_>>().join(", ")
        );
    }
    let (mut set, _) = train.set(Targets::Classes(&labels))?;
    if let Some(ratio) = config.data.sample {
        set = set.subset(&data::sample(&set.targets, ratio, config.train.seed));
    }
    let valid = config.data.valid.as_deref().map(|path| -> Result<_> {
        let all = ImageInput {
            limit: usize::MAX,
            ..read(path)?
        };
        Ok(all.set(Targets::Classes(&labels))?.0)
    });
    let mut rows = vec![ImageProcessor::source(config.model_dir())?];
    for (picture, target) in set.pictures.iter().zip(&set.targets) {
        rows.push(format!("{} {target:?}\n", identity(picture)?));
    }
    Ok(PreparedData {
        rows,
        examples: set.pictures.len(),
        truncated: 0,
        task: ClassifierTask {
            train: set,
            valid: valid.transpose()?,
            objective: data::objective(Some(&labels)),
            metrics: data::metrics(&config.metrics, Some(&labels)),
            eval_batch_size: config.train.eval_batch_size,
        },
        labels: Some(labels),
    })
}

/// What tells a picture from another one when a run goes on: a digest of its file, or of its pixels.
fn identity(picture: &Picture) -> Result<String> {
    match picture {
        Picture::File(path) => {
            let bytes =
                std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(format!("{:?}", Sha256::digest(&bytes)))
        }
        Picture::Pixels(pixels) => Ok(format!("{:?}", Sha256::digest(&pixels.values))),
    }
}
