//! How long the steps of a run take, without data: every batch is of the same made-up rows.

use std::collections::BTreeMap;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use peft_core::{ParameterCount, Pass, count};
use peft_kernels::profile::{self, Entry};
use peft_models::Loaded;
use peft_train::task::Task;
use peft_train::{Callback, Session, Setup, Step, Stop, TrainError, device_of};

use super::make_trainable;
use crate::settings::RunConfig;
use crate::{Result, out_folder};

/// Steps before the first that is timed: they fill caches and the allocator.
const WARM_UP: usize = 2;

/// What was measured.
#[derive(Debug)]
pub struct Times {
    /// Parameters that train, and all.
    pub parameters: ParameterCount,
    /// Seconds of each training step: forward, backward, clipping, optimizer.
    pub steps: Vec<f64>,
    /// Seconds of each forward pass without gradients.
    pub forwards: Vec<f64>,
    /// What the fused operations took of all the steps.
    pub profile: BTreeMap<&'static str, Entry>,
}

/// Notes when a step begins and when the device is done with it.
struct Clock<'a> {
    device: Device,
    began: Option<Instant>,
    seconds: &'a mut Vec<f64>,
}

impl Callback for Clock<'_> {
    fn step_begin(&mut self, step: &mut Step) {
        if step.index == WARM_UP {
            profile::start();
        }
        self.wait();
        self.began = Some(Instant::now());
    }

    fn step_end(&mut self, step: &Step) {
        self.wait();
        if let Some(began) = self.began.filter(|_| step.index >= WARM_UP) {
            self.seconds.push(began.elapsed().as_secs_f64());
        }
    }
}

impl Clock<'_> {
    /// Until the device has done what it was asked. What fails there fails again where it is read.
    fn wait(&self) {
        let _ = self.device.sync();
    }
}

/// Examples that `steps` timed steps of the settings' batches take.
pub fn examples(config: &RunConfig, steps: usize) -> usize {
    (WARM_UP + steps) * config.train.batch_size * config.train.accumulation
}

/// Trains the settings' method on a task of [`examples`] examples, in a folder that is gone afterwards.
///
/// # Errors
/// When the method does not fit the model, or a step fails.
pub fn steps<T: Task>(
    config: &RunConfig,
    task: &T,
    loaded: Loaded<T::Model>,
    head_modules: &[String],
) -> Result<Times> {
    let (model, part) = make_trainable(config, loaded.model, &loaded.names, head_modules)?;
    let ties = part.ties(&model)?;
    let parameters = count(&model, &ties.followers());
    let dir = out_folder::temporary()?;
    let mut options = config.train.clone();
    // The examples decide how many steps there are.
    options.epochs = 1;
    options.max_steps = None;
    let mut seconds = Vec::new();
    let clock = Clock {
        device: device_of(&model),
        began: None,
        seconds: &mut seconds,
    };
    let setup = Setup {
        task,
        options: &options,
        trained: part.trained(),
        names: &loaded.names,
        ties,
        procedures: config.steering()?,
        fresh: loaded.fresh,
        callbacks: vec![Box::new(clock)],
        devices: Vec::new(),
        dir: dir.path().to_path_buf(),
        fingerprint: String::new(),
        stop: Stop::default(),
    };
    let (model, _) = Session::new(setup, model, false)?.run()?;
    let profile = profile::take();
    let forwards = forwards(task, &model, options.batch_size, seconds.len())?;
    Ok(Times {
        parameters,
        steps: seconds,
        forwards,
        profile,
    })
}

/// Seconds of forward passes over one batch.
fn forwards<T: Task>(
    task: &T,
    model: &T::Model,
    batch_size: usize,
    passes: usize,
) -> Result<Vec<f64>, TrainError> {
    let model = model.valid();
    let device = device_of(&model);
    let batch: Vec<usize> = (0..batch_size).collect();
    (0..WARM_UP + passes)
        .map(|_| {
            let began = Instant::now();
            let loss = task.loss(&model, &batch, &device, &mut Pass::eval())?;
            let _ = peft_core::read(loss);
            Ok(began.elapsed().as_secs_f64())
        })
        .skip(WARM_UP)
        .collect()
}
