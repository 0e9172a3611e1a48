//! A model of Burn's layers only, attention included: read upright digits first, then learn rotated ones in the second host.

use anyhow::{Result, ensure};
use burn::module::{Module, Param};
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor, activation};
use peft_core::lora::LORA;
use peft_core::merge::merge;
use peft_core::target::TargetRules;
use peft_core::{AdapterSpec, Hosted, Pass, attach, folder, hosted};
use peft_train::metric::{Measure, Metric};
use peft_train::task::{ExampleSet, Scores, Task};
use peft_train::{Session, Setup, Spread, Stop, TrainError, TrainOptions, TrainedAdapter};

use crate::Report;
use crate::digits::{Digits, SIDE};
use crate::pretrain::{Reader, accuracy, difference, pretrain};

/// Patches of two by two pixels attend to each other.
#[derive(Module, Debug)]
pub struct Attentive {
    patches: Conv2d,
    positions: Param<Tensor<2>>,
    norm: LayerNorm,
    attention: MultiHeadAttention,
    head: Linear,
}

const WIDTH: usize = 16;
const PATCHES: usize = SIDE * SIDE / 4;

impl Attentive {
    fn new(device: &Device) -> Self {
        let patches = Conv2dConfig::new([1, WIDTH], [2, 2]).with_stride([2, 2]);
        let attention = MultiHeadAttentionConfig::new(WIDTH, 2).with_dropout(0.0);
        Self {
            patches: patches.init(device),
            positions: Initializer::Normal {
                mean: 0.0,
                std: 0.1,
            }
            .init([PATCHES, WIDTH], device),
            norm: LayerNormConfig::new(WIDTH).init(device),
            attention: attention.init(device),
            head: LinearConfig::new(PATCHES * WIDTH, 10).init(device),
        }
    }
}

impl Reader for Attentive {
    fn read(&self, pixels: Tensor<2>) -> Tensor<2> {
        let [examples, _] = pixels.dims();
        let patches = self
            .patches
            .forward(pixels.reshape([examples, 1, SIDE, SIDE]));
        let patches = patches.reshape([examples, WIDTH, PATCHES]).swap_dims(1, 2);
        let x = activation::relu(patches) + self.positions.val().unsqueeze();
        let attended = self
            .attention
            .forward(MhaInput::self_attn(self.norm.forward(x.clone())));
        self.head
            .forward((x + attended.context).reshape([examples, PATCHES * WIDTH]))
    }
}

/// What a session asks of any task: a loss, and scores where there are some.
struct Rotated(Digits);

impl Task for Rotated {
    type Model = Hosted<Attentive>;

    fn lengths(&self) -> Vec<usize> {
        self.0.lengths()
    }

    fn loss(
        &self,
        model: &Self::Model,
        examples: &[usize],
        device: &Device,
        _pass: &mut Pass<'_>,
    ) -> Result<Tensor<1>, TrainError> {
        let logits = model.module().read(self.0.pixels(examples, device));
        let loss = CrossEntropyLossConfig::new().init(device);
        Ok(loss.forward(logits, self.0.classes(examples, device)))
    }

    fn evaluate(&self, _: &Spread<Self::Model>, _: &Stop) -> Result<Option<Scores>, TrainError> {
        Ok(None) // nothing is judged on the way
    }

    fn headline(&self) -> Measure {
        Metric::Accuracy.into()
    }
}

/// Pretrains, adapts, saves, loads and merges.
///
/// # Errors
/// Whatever goes wrong, and answers that are not what this example claims.
pub fn run(pretraining: usize, adapting: usize) -> Result<Report> {
    let device = Device::default().autodiff();
    device.seed(1);
    let pretrained = pretrain(
        Attentive::new(&device),
        &Digits::upright(1, 1000),
        pretraining,
    );
    let (model, names) = hosted(pretrained.clone())?;

    let spec = AdapterSpec {
        targets: TargetRules::list(["query", "key", "value", "output"]),
        modules_to_save: vec!["head".into()],
        ..AdapterSpec::default()
    };
    let (model, _) = attach(model, &names, "rotated", &spec, 0)?;
    let task = Rotated(Digits::rotated(2, 1000));
    let options = TrainOptions {
        max_steps: Some(adapting),
        batch_size: 50,
        lr: 1e-2,
        ..TrainOptions::default()
    };
    let dir = tempfile::tempdir()?; // any folder that exists
    let trained = TrainedAdapter {
        names,
        spec,
        name: "rotated".into(),
    };
    let setup = Setup::of_adapter(&task, &options, &trained, &model, dir.path())?;
    let (model, _) = Session::new(setup, model, false)?.run()?;

    let (model, digits) = (model.valid(), Digits::rotated(4, 500));
    let pixels = digits.pixels(&digits.all(), &Device::default());
    let adapted = model.module().read(pixels.clone());
    let before = pretrained.valid().read(pixels.clone());

    // The folder of the run on a fresh base gives the same answers.
    let (fresh, names) = hosted(pretrained.valid())?;
    let loaded = folder::load(fresh, &names, "again", &[&LORA], dir.path())?.model;
    ensure!(difference(loaded.module().read(pixels.clone()), adapted.clone()) == 0.0);

    let merged: Attentive = merge(model)?.into_model().module(); // a Burn module as it was, with other weights
    let report = Report {
        before: accuracy(before, &digits),
        after: accuracy(adapted.clone(), &digits),
        merging: difference(merged.read(pixels), adapted),
    };
    report.proven()
}
