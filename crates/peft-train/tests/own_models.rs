//! Sessions on models of one's own, in both hosts: a run that breaks off and goes on ends in the bytes of an unbroken one.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::path::Path;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData, activation};
use peft_core::{
    Adaptable, AdaptedLinear, AdapterSpec, Hosted, ParamNames, Pass, attach, hosted, named,
};
use peft_train::metric::{Measure, Metric};
use peft_train::task::{Scores, Task};
use peft_train::{
    Callback, Session, Setup, Spread, Step, Stop, TrainError, TrainOptions, TrainReport,
    TrainedAdapter,
};

#[derive(Module, Debug)]
struct Plain {
    up: Linear,
    down: Linear,
}

#[derive(Module, Adaptable, Debug)]
struct Own {
    up: AdaptedLinear,
    down: AdaptedLinear,
}

impl Plain {
    fn new(device: &Device) -> Self {
        device.seed(3);
        Self {
            up: LinearConfig::new(4, 9).init(device),
            down: LinearConfig::new(9, 2).init(device),
        }
    }
}

trait Answers: Adaptable + Sized {
    fn fresh(device: &Device) -> (Self, ParamNames);
    fn answer(&self, x: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2>;
}

impl Answers for Own {
    fn fresh(device: &Device) -> (Self, ParamNames) {
        let Plain { up, down } = Plain::new(device);
        named(Self {
            up: up.into(),
            down: down.into(),
        })
        .unwrap()
    }
    fn answer(&self, x: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let hidden = activation::tanh(self.up.forward(x, pass));
        self.down.forward(hidden, pass)
    }
}

impl Answers for Hosted<Plain> {
    fn fresh(device: &Device) -> (Self, ParamNames) {
        hosted(Plain::new(device)).unwrap()
    }
    fn answer(&self, x: Tensor<2>, _pass: &mut Pass<'_>) -> Tensor<2> {
        let module = self.module();
        module.down.forward(activation::tanh(module.up.forward(x)))
    }
}

/// Values of a function of four numbers.
struct Fit<M>(std::marker::PhantomData<fn() -> M>);

impl<M: Answers> Fit<M> {
    fn mean_loss(model: &M, examples: &[usize], device: &Device, pass: &mut Pass<'_>) -> Tensor<1> {
        let values = |width: usize, frequency: f32| {
            let at = |at: usize| (0..width).map(move |i| (at * width + i) as f32 * frequency);
            let values = examples.iter().copied().flat_map(at);
            let values = values.map(f32::sin).collect();
            Tensor::<2>::from_data(TensorData::new(values, [examples.len(), width]), device)
        };
        let answers = model.answer(values(4, 0.7), pass);
        (answers - values(2, 0.3)).powi_scalar(2).mean()
    }
}

impl<M: Answers> Task for Fit<M> {
    type Model = M;

    fn lengths(&self) -> Vec<usize> {
        vec![1; 40]
    }
    fn loss(
        &self,
        model: &M,
        examples: &[usize],
        device: &Device,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor<1>, TrainError> {
        Ok(Self::mean_loss(model, examples, device, pass))
    }
    fn evaluate(&self, spread: &Spread<M>, _stop: &Stop) -> Result<Option<Scores>, TrainError> {
        let examples: Vec<usize> = (40..60).collect();
        let device = Device::flex();
        let loss = Self::mean_loss(spread.model(), &examples, &device, &mut Pass::eval());
        Ok(Some(Scores {
            loss: f64::from(loss.into_scalar::<f32>()),
            ..Scores::default()
        }))
    }
    fn headline(&self) -> Measure {
        Metric::Pearson.into()
    }
}

/// Ends the process's run at one step, as a kill would.
struct Kill(usize);

impl Callback for Kill {
    fn step_end(&mut self, step: &Step) {
        assert!(step.index < self.0, "killed");
    }
}

fn run<M: Answers>(dir: &Path, resume: bool, kill: Option<usize>) -> TrainReport {
    let device = Device::default().autodiff();
    let (model, names) = M::fresh(&device);
    let spec = AdapterSpec::default();
    let (model, _) = attach(model, &names, "default", &spec, 1).unwrap();
    let options = TrainOptions {
        batch_size: 8,
        lr: 2e-2,
        save_every: Some(4),
        ..TrainOptions::default()
    };
    let trained = TrainedAdapter {
        names,
        spec,
        name: "default".into(),
    };
    let task = Fit::<M>(std::marker::PhantomData);
    let mut setup = Setup::of_adapter(&task, &options, &trained, &model, dir).unwrap();
    setup
        .callbacks
        .extend(kill.map(|at| Box::new(Kill(at)) as Box<dyn Callback>));
    let session = Session::new(setup, model, resume).unwrap();
    session.run().unwrap().1
}

fn resumes<M: Answers>() -> (Vec<u8>, f64) {
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [unbroken, broken] = [0, 1].map(|at: usize| dirs[at].path());
    let report = run::<M>(unbroken, false, None);
    for (resume, at) in [(false, 6), (true, 11)] {
        let killed = std::panic::catch_unwind(|| run::<M>(broken, resume, Some(at)));
        assert!(killed.is_err(), "the run went past step {at}");
    }
    let resumed = run::<M>(broken, true, None);
    assert_eq!(report.scores, resumed.scores);
    let adapter = |dir: &Path| std::fs::read(dir.join("adapter_model.safetensors")).unwrap();
    assert_eq!(adapter(unbroken), adapter(broken));
    (adapter(unbroken), report.scores.unwrap().loss)
}

#[test]
fn a_resumed_run_ends_in_the_same_bytes_in_both_hosts() {
    let (own, loss) = resumes::<Own>();
    let (hosted, same) = resumes::<Hosted<Plain>>();
    assert_eq!(own.len(), hosted.len());
    assert!((loss / same - 1.0).abs() < 1e-3, "{loss} {same}");
}
