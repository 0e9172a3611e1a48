//! Pretraining with `burn-train`'s `Learner` in place of a loop of one's own: the feature `learner`.

use std::sync::Arc;

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataloader::{DataLoader, DataLoaderBuilder};
use burn::data::dataset::InMemDataset;
use burn::module::{Module, ModuleDisplay};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::AdamWConfig;
use burn::tensor::{Device, Int, Tensor};
use burn_train::metric::LossMetric;
use burn_train::{
    ClassificationOutput, InferenceStep, Learner, SupervisedTraining, TrainOutput, TrainStep,
};

use crate::digits::Digits;
use crate::reader::Reader;

type Batch = (Tensor<2>, Tensor<1, Int>);

/// A reader as a `Learner` wants it.
#[derive(Module, Debug)]
struct Learning<M: Module> {
    model: M,
}

impl<M: Reader + ModuleDisplay> Learning<M> {
    fn output(&self, (pixels, classes): Batch) -> ClassificationOutput {
        let logits = self.model.read(pixels);
        let loss = CrossEntropyLossConfig::new().init(&logits.device());
        let loss = loss.forward(logits.clone(), classes.clone());
        ClassificationOutput::new(loss, logits, classes)
    }
}

impl<M: Reader + ModuleDisplay> TrainStep for Learning<M> {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> TrainOutput<ClassificationOutput> {
        let output = self.output(batch);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl<M: Reader + ModuleDisplay> InferenceStep for Learning<M> {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> ClassificationOutput {
        self.output(batch)
    }
}

struct Batches(Arc<Digits>);

impl Batcher<usize, Batch> for Batches {
    fn batch(&self, examples: Vec<usize>, device: &Device) -> Batch {
        let digits = &self.0;
        (
            digits.pixels(&examples, device),
            digits.classes(&examples, device),
        )
    }
}

/// Trains every parameter for so many steps of 50 digits.
///
/// # Panics
/// When no folder can be made for the learner's files.
#[must_use]
pub fn pretrain<M: Reader + ModuleDisplay + 'static>(model: M, digits: &Digits, steps: usize) -> M {
    let loader = |digits: Digits| -> Arc<dyn DataLoader<Batch>> {
        let all = digits.all();
        DataLoaderBuilder::new(Batches(Arc::new(digits)))
            .batch_size(50)
            .build(InMemDataset::new(all))
    };
    let dir = tempfile::tempdir().expect("a folder for the learner");
    let epochs = (steps * 50).div_ceil(digits.all().len());
    let learner = Learner::new(Learning { model }, AdamWConfig::new().init(), 3e-3);
    let training = SupervisedTraining::new(
        dir.path(),
        loader(digits.clone()),
        loader(Digits::upright(9, 200)),
    );
    let training = training
        .metrics((LossMetric::new(),))
        .num_epochs(epochs)
        .with_application_logger(None);
    training.launch(learner).model.model.train()
}
