//! Images to classes.

use burn::tensor::{Device, Tensor, TensorData};
use peft_core::Pass;
use peft_models::ImageClassifier;
use rayon::prelude::*;

use super::classifier::{Classifier, ExampleSet};
use crate::TrainError;
use crate::data::{ImageProcessor, Picture, Target};

/// Images with their targets; decoded batch by batch.
#[derive(Debug, Clone)]
pub struct ImageSet {
    /// The images.
    pub pictures: Vec<Picture>,
    /// What the model should say about each.
    pub targets: Vec<Target>,
    /// How an image becomes numbers.
    pub processor: ImageProcessor,
    /// What an image counts as, in tokens: its patches and the class token.
    pub tokens: usize,
}

impl ImageSet {
    /// Some of the images, in this order.
    #[must_use]
    pub fn subset(&self, images: &[usize]) -> Self {
        Self {
            pictures: images.iter().map(|i| self.pictures[*i].clone()).collect(),
            targets: images.iter().map(|i| self.targets[*i]).collect(),
            processor: self.processor.clone(),
            tokens: self.tokens,
        }
    }
}

impl ExampleSet for ImageSet {
    fn lengths(&self) -> Vec<usize> {
        vec![self.tokens; self.pictures.len()]
    }

    fn targets(&self) -> &[Target] {
        &self.targets
    }
}

impl Classifier for ImageClassifier {
    type Set = ImageSet;

    fn answer(
        &self,
        set: &ImageSet,
        examples: &[usize],
        device: &Device,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor<2>, TrainError> {
        let images = examples
            .par_iter()
            .map(|at| set.processor.values(&set.pictures[*at]));
        let images: Vec<Vec<f32>> = images.collect::<Result<_, _>>()?;
        let (channels, side) = (self.config().channels, self.config().image_size);
        let pixels = TensorData::new(images.concat(), [examples.len(), channels, side, side]);
        Ok(self.logits(Tensor::from_data(pixels, device), pass))
    }

    fn outputs(&self) -> usize {
        self.head.site().d_out
    }
}
