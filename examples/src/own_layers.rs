//! A model made of `AdaptedLinear` layers: read upright digits first, then learn rotated ones with a small adapter.

use anyhow::{Result, ensure};
use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, LinearConfig};
use burn::tensor::{Device, Tensor, activation};
use peft_core::lora::{LORA, Lora};
use peft_core::merge::merge;
use peft_core::{
    Adaptable, AdaptedLinear, AdapterSpec, Pass, attach, folder, named, select_adapters,
};
use peft_train::metric::Metric;
use peft_train::task::{Classifier, ClassifierTask, Objective};
use peft_train::{Session, Setup, TrainError, TrainOptions, TrainedAdapter};

use crate::Report;
use crate::digits::{Digits, PIXELS};
use crate::pretrain::{Reader, accuracy, difference, pretrain};

/// Two hidden layers with residual connections.
#[derive(Module, Adaptable, Debug)]
pub struct Mlp {
    input: AdaptedLinear,
    blocks: Vec<Block>,
    #[adaptable(head)]
    head: AdaptedLinear,
}

#[derive(Module, Adaptable, Debug)]
struct Block {
    norm: LayerNorm,
    linear: AdaptedLinear,
}

const WIDTH: usize = 64;

impl Mlp {
    fn new(device: &Device) -> Self {
        let linear = |d_in, d_out| LinearConfig::new(d_in, d_out).init(device).into();
        let block = |_| Block {
            norm: LayerNormConfig::new(WIDTH).init(device),
            linear: linear(WIDTH, WIDTH),
        };
        Self {
            input: linear(PIXELS, WIDTH),
            blocks: (0..2).map(block).collect(),
            head: linear(WIDTH, 10),
        }
    }

    fn forward(&self, pixels: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let mut x = self.input.forward(pixels, pass);
        for block in &self.blocks {
            let hidden = block.linear.forward(block.norm.forward(x.clone()), pass);
            x = x + activation::gelu(hidden);
        }
        self.head.forward(x, pass)
    }
}

impl Reader for Mlp {
    fn read(&self, pixels: Tensor<2>) -> Tensor<2> {
        self.forward(pixels, &mut Pass::eval())
    }
}

/// What a session asks of a model that classifies.
impl Classifier for Mlp {
    type Set = Digits;

    fn answer(
        &self,
        digits: &Digits,
        examples: &[usize],
        device: &Device,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor<2>, TrainError> {
        Ok(self.forward(digits.pixels(examples, device), pass))
    }

    fn outputs(&self) -> usize {
        self.head.site().d_out
    }
}

/// Pretrains, adapts, saves, loads and merges.
///
/// # Errors
/// Whatever goes wrong, and answers that are not what this example claims.
pub fn run(pretraining: usize, adapting: usize) -> Result<Report> {
    let device = Device::default().autodiff();
    device.seed(1);
    let model = pretrain(Mlp::new(&device), &Digits::upright(1, 1000), pretraining);
    let (model, names) = named(model)?;
    let base = model.clone();

    let spec = AdapterSpec {
        method: Box::new(Lora {
            dropout: 0.05,
            ..Lora::default()
        }),
        ..AdapterSpec::default() // rank 8 on every linear layer but the head
    };
    let (model, _) = attach(model, &names, "rotated", &spec, 0)?;
    let task: ClassifierTask<Mlp> = ClassifierTask {
        train: Digits::rotated(2, 1000),
        valid: Some(Digits::rotated(3, 500)),
        objective: Objective::Classes(10),
        metrics: vec![Metric::Accuracy.into()],
        eval_batch_size: 250,
    };
    let options = TrainOptions {
        max_steps: Some(adapting),
        batch_size: 50,
        lr: 1e-2,
        ..TrainOptions::default()
    };
    let dir = tempfile::tempdir()?; // any folder that exists
    let trained = TrainedAdapter {
        names: names.clone(),
        spec,
        name: "rotated".into(),
    };
    let setup = Setup::of_adapter(&task, &options, &trained, &model, dir.path())?;
    let (model, _) = Session::new(setup, model, false)?.run()?;

    let (model, digits) = (model.valid(), Digits::rotated(4, 500));
    let pixels = digits.pixels(&digits.all(), &Device::default());
    let adapted = model.read(pixels.clone());

    // The folder of the run on a fresh base gives the same answers, and without the adapter the model is what it was.
    let loaded = folder::load(base.valid(), &names, "again", &[&LORA], dir.path())?.model;
    ensure!(difference(loaded.read(pixels.clone()), adapted.clone()) == 0.0);
    let without = select_adapters(loaded, &[])?.read(pixels.clone());
    ensure!(difference(without.clone(), base.valid().read(pixels.clone())) == 0.0);

    let merged = merge(model)?;
    let report = Report {
        before: accuracy(without, &digits),
        after: accuracy(adapted.clone(), &digits),
        merging: difference(merged.model().read(pixels), adapted),
    };
    report.proven()
}
