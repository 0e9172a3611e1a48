//! What a run consists of, before it begins.

use std::path::PathBuf;

use burn::tensor::Device;
use peft_core::tie::TieGroups;
use peft_core::{ParamNames, Procedures, Trainable};

use crate::TrainError;
use crate::callback::Callback;
use crate::checkpoint::Checkpoints;
use crate::options::TrainOptions;
use crate::own_rate::OwnRate;
use crate::stop::Stop;
use crate::task::Task;
use crate::trained::{Trained, TrainedAdapter};

/// A run over one task; [`crate::Session`] takes it up.
pub struct Setup<'a, T: Task> {
    /// What is learnt.
    pub task: &'a T,
    /// How.
    pub options: &'a TrainOptions,
    /// What is saved, and how.
    pub trained: &'a dyn Trained<T::Model>,
    /// Names of the base's parameters.
    pub names: &'a ParamNames,
    /// Names of those that start afresh, as a new output layer's.
    pub fresh: Vec<String>,
    /// Parameters that are one.
    pub ties: TieGroups,
    /// What steers training, in its order.
    pub procedures: Procedures,
    /// Told of every step.
    pub callbacks: Vec<Box<dyn Callback + 'a>>,
    /// Further devices, with autodiff, between which and the model's own each step is dealt out.
    pub devices: Vec<Device>,
    /// Run directory.
    pub dir: PathBuf,
    /// Digest of settings and data, which a resumed run must share; how long the run is does not belong to them.
    pub fingerprint: String,
    /// Ends the run early.
    pub stop: Stop,
}

impl<T: Task> std::fmt::Debug for Setup<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup")
            .field("options", self.options)
            .field("procedures", &self.procedures)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl<'a, T: Task> Setup<'a, T> {
    /// A run of the adapter that was attached to `model`, in the folder `dir`, with nothing beside it: no procedures, nobody told, no
    /// fingerprint by which a resumed run would know its data. The fields can be set afterwards.
    ///
    /// # Errors
    /// [`peft_core::PeftError::Shares`] when a layer is to share with one that it cannot share with.
    pub fn of_adapter(
        task: &'a T,
        options: &'a TrainOptions,
        trained: &'a TrainedAdapter,
        model: &T::Model,
        dir: impl Into<PathBuf>,
    ) -> Result<Self, TrainError> {
        Ok(Self {
            task,
            options,
            trained,
            names: &trained.names,
            fresh: Vec::new(),
            ties: TieGroups::of(model, &trained.name, trained.spec.method.as_ref())?,
            procedures: Procedures::default(),
            callbacks: Vec::new(),
            devices: Vec::new(),
            dir: dir.into(),
            fingerprint: String::new(),
            stop: Stop::default(),
        })
    }
}

impl<T: Task> Setup<'_, T> {
    /// What of the output layer trains at a rate of its own.
    ///
    /// # Errors
    /// As [`OwnRate::of`].
    pub fn own_rate(&self, model: &T::Model) -> Result<Option<OwnRate>, TrainError> {
        OwnRate::of(self.options, model, self.names, &self.fresh)
    }

    /// Refuses settings of low-rank pairs where none train.
    pub(crate) fn need_pairs(&self, trainable: &Trainable) -> Result<(), TrainError> {
        if !trainable.pairs.is_empty() {
            return Ok(());
        }
        let (option, found) = match self.procedures.conditioning() {
            Some(name) => ("preconditioner", name.to_owned()),
            None if (self.options.lora_plus - 1.0).abs() > 0.0 => {
                ("lora_plus", self.options.lora_plus.to_string())
            }
            None => return Ok(()),
        };
        Err(TrainError::Option {
            option,
            expected: "no value where no low-rank pairs train, as there it changes nothing".into(),
            found,
        })
    }

    pub(crate) fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(&self.dir, self.options.keep_checkpoints)
    }
}
