//! The scores of an adapter's layers on a sample of the data.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::optim::GradientsParams;
use burn::tensor::Device;
use indexmap::IndexMap;
use peft_core::lora::{LORA, RSLORA, Scaling};
use peft_core::{
    Adaptable, AdapterSpec, AttachedSite, Observer, ParamNames, Pass, Trainable, gradient,
};
use peft_models::{DecoderClassifier, ModelConfig, ModelKind, SequenceClassifier, Storage};
use peft_prune::{Measured, Sample, ScoreKind, on_sample, stratified, without_data};
use peft_train::TrainError;
use peft_train::data::{BatchPlan, LabelSet, Targets};
use peft_train::task::{CausalTask, Classifier, ClassifierTask, ExampleSet, Task, observe};

use crate::adapter_arg::AdapterArg;
use crate::causal_data::Files;
use crate::companions::Companions;
use crate::data::{self, Input, TextInput};
use crate::device;
use crate::image_data::ImageInput;
use crate::open::{self, Base, OpenClassifier};
use crate::run::ADAPTER;
use crate::settings::DataConfig;
use crate::{Error, LabelError, Result};

/// What is measured, on what.
#[derive(Debug)]
pub struct Measuring {
    /// By what layers are compared.
    pub score: ScoreKind,
    /// Folder of the base model.
    pub model: PathBuf,
    /// What its frozen weights are kept in; absent: as the folder has them.
    pub quantize: Option<Storage>,
    /// Adapter folder.
    pub adapter: PathBuf,
    /// Data file, for the scores that need one.
    pub data: Option<PathBuf>,
    /// How it is read.
    pub read: DataConfig,
    /// Examples of a batch.
    pub batch_size: usize,
    /// Share of the data to measure on, the same of each label.
    pub sample: f64,
    /// Seed of the sample and of random scores.
    pub seed: u64,
    /// Where to compute.
    pub device: String,
}

impl Measuring {
    fn base(&self) -> Base<'_> {
        Base::from(self.model.as_path()).keeping(self.quantize)
    }
}

/// Opens model and adapter, and measures.
///
/// # Errors
/// When one of them or the data cannot be read, or the adapter is not a LoRA.
pub fn measure(args: &Measuring) -> Result<Measured> {
    let kind = ModelKind::of(&ModelConfig::read(&args.model)?);
    let outputs = open::labels_in_adapter(&args.model, &args.adapter)?;
    let named = args.read.tokenizer.as_deref();
    let beside = Companions::new(&args.model, &[&args.adapter], named)?.announced();
    match kind {
        ModelKind::Causal if outputs.is_none() => language(args, &beside),
        ModelKind::Images => {
            let read = |data: &Path| ImageInput::read(&args.read, data, &beside, true);
            classifier(args, read)
        }
        ModelKind::Causal | ModelKind::DecoderTexts => classifier(args, |data: &Path| {
            TextInput::<DecoderClassifier>::read(&args.read, data, &beside)
        }),
        ModelKind::Texts => classifier(args, |data: &Path| {
            TextInput::<SequenceClassifier>::read(&args.read, data, &beside)
        }),
    }
}

/// A model with the adapter that is measured.
struct Adapted<M> {
    model: M,
    names: ParamNames,
    sites: Vec<AttachedSite>,
    scaling: Scaling,
    device: Device,
}

impl<M: Adaptable> Adapted<M> {
    fn new(args: &Measuring, loaded: peft_models::Loaded<M>, device: Device) -> Result<Self> {
        let (loaded, added) = open::add(loaded, &AdapterArg::only(&args.adapter))?;
        Ok(Self {
            scaling: scaling(args, &added.spec)?,
            model: loaded.model,
            names: loaded.names,
            sites: added.report.sites,
            device,
        })
    }

    /// Scores that need no data.
    fn without_data(&self, score: ScoreKind, seed: u64) -> Option<IndexMap<String, f64>> {
        without_data(score, &self.model, ADAPTER, &self.sites, seed)
    }

    fn measured(&self, scores: IndexMap<String, f64>, examples: usize, start: Instant) -> Measured {
        Measured {
            sites: self.sites.clone(),
            scores,
            scaling: self.scaling,
            examples,
            seconds: start.elapsed().as_secs_f64(),
        }
    }
}

/// LoRA alone can be shared as it is: a magnitude or a start from the weight belongs to its layer.
fn scaling(args: &Measuring, spec: &AdapterSpec) -> Result<Scaling> {
    match spec.method.entry().id {
        id if id == LORA.id => Ok(Scaling::Standard),
        id if id == RSLORA.id => Ok(Scaling::RankStabilized),
        other => Err(Error::Usage(format!(
            "{} is an adapter of `{other}`; layers can share a pair of lora or rslora only",
            args.adapter.display()
        ))),
    }
}

/// Gradients need a device with autodiff, everything else does without.
fn device_for(args: &Measuring) -> Result<Device> {
    let device = device::open(&args.device)?;
    Ok(match args.score {
        ScoreKind::Gradient => device.autodiff(),
        _ => device,
    })
}

fn data_of(args: &Measuring) -> Result<&Path> {
    args.data.as_deref().ok_or_else(|| {
        Error::Usage("this score is measured on data; give --data, or --score parameters".into())
    })
}

fn classifier<I: Input>(args: &Measuring, read: impl FnOnce(&Path) -> Result<I>) -> Result<Measured>
where
    I::Model: OpenClassifier,
{
    let start = Instant::now();
    let device = device_for(args)?;
    let outputs = open::labels_in_adapter(&args.model, &args.adapter)?;
    let loaded = open::classifier::<I::Model>(args.base(), outputs, 0, &device)?;
    let adapted = Adapted::new(args, loaded, device)?;
    if let Some(scores) = adapted.without_data(args.score, args.seed) {
        return Ok(adapted.measured(scores, 0, start));
    }
    let data = data_of(args)?;
    let input = read(data)?;
    let labels = match adapted.model.outputs() {
        1 => None,
        outputs => Some(labels(args, &input, outputs)?),
    };
    let (set, _) = input.set(labels.as_ref().map_or(Targets::Values, Targets::Classes))?;
    let sample = data::sample(set.targets(), args.sample, args.seed);
    let task = ClassifierTask::<I::Model> {
        train: set,
        valid: None,
        objective: data::objective(labels.as_ref()),
        metrics: vec![],
        eval_batch_size: args.batch_size,
    };
    let scores = on_data(args, &task, &adapted, &sample)?;
    Ok(adapted.measured(scores, sample.len(), start))
}

/// The labels in the order of the adapter's outputs: those beside it or of the model, or else those of the data where they are as many.
fn labels<I: Input>(args: &Measuring, input: &I, outputs: usize) -> Result<LabelSet> {
    let labels = match open::known_labels(&args.model, &args.adapter, outputs)? {
        Some(labels) => labels,
        None => input.labels()?,
    };
    if labels.len() != outputs {
        return Err(Error::Labels(LabelError::Count {
            outputs,
            labels: labels.len(),
        }));
    }
    Ok(labels)
}

fn language(args: &Measuring, beside: &Companions) -> Result<Measured> {
    let start = Instant::now();
    let device = device_for(args)?;
    let adapted = Adapted::new(args, open::causal(args.base(), &device)?, device)?;
    if let Some(scores) = adapted.without_data(args.score, args.seed) {
        return Ok(adapted.measured(scores, 0, start));
    }
    let data = data_of(args)?;
    let rows = Files::new(beside, &args.read)?
        .rows(data, args.read.limit)?
        .rows;
    let sample = stratified(&vec![0; rows.len()], args.sample, args.seed);
    let task = CausalTask {
        train: rows,
        valid: None,
        eval_batch_size: args.batch_size,
        prompts: None,
    };
    let scores = on_data(args, &task, &adapted, &sample)?;
    Ok(adapted.measured(scores, sample.len(), start))
}

/// Scores that are measured on examples.
fn on_data<T: Task>(
    args: &Measuring,
    task: &T,
    adapted: &Adapted<T::Model>,
    examples: &[usize],
) -> Result<IndexMap<String, f64>> {
    let trained = Trainable::of(&adapted.model, &adapted.names).params;
    let site_of = |name: &str| {
        let mut sites = adapted.sites.iter();
        sites.find(|site| name.starts_with(&format!("{}.lora_", site.path)))
    };
    let factors = trained
        .iter()
        .filter_map(|param| Some((param.id, site_of(&param.name)?.path.clone())))
        .collect();
    let mut sample = TaskSample {
        task,
        adapted,
        examples,
        batch_size: args.batch_size,
    };
    Ok(on_sample(args.score, &mut sample, &factors)?)
}

/// Examples of a task.
struct TaskSample<'a, T: Task> {
    task: &'a T,
    adapted: &'a Adapted<T::Model>,
    examples: &'a [usize],
    batch_size: usize,
}

impl<T: Task> Sample for TaskSample<'_, T> {
    type Error = TrainError;

    fn observe(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let Adapted { model, device, .. } = self.adapted;
        let (examples, size) = (self.examples, self.batch_size);
        observe(self.task, model, examples, size, device, observer)
    }

    fn gradients(&mut self, each: &mut dyn FnMut(&GradientsParams)) -> Result<(), TrainError> {
        let Adapted { model, device, .. } = self.adapted;
        let lengths = self.task.lengths();
        let lengths: Vec<usize> = self.examples.iter().map(|at| lengths[*at]).collect();
        for batch in BatchPlan::evaluation(&lengths, self.batch_size, None)?.batches() {
            let batch: Vec<usize> = batch.iter().map(|at| self.examples[*at]).collect();
            let loss = self.task.loss(model, &batch, device, &mut Pass::eval())?;
            each(&gradient::of(loss.backward(), model));
        }
        Ok(())
    }
}
