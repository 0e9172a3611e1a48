//! The description of an adapter: its method, its size and where it goes.

use std::path::PathBuf;

use indexmap::IndexMap;
use peft_format::Ranks;

use crate::base_params::BiasTraining;
use crate::file::PeftConfig;
use crate::lora::Lora;
use crate::method::{Method, Surveyed};
use crate::names::Naming;
use crate::target::{Target, TargetRules};

/// What to attach: a method, its size and where.
#[derive(Debug)]
pub struct AdapterSpec {
    /// The method with its options.
    pub method: Box<dyn Method>,
    /// Rank where no pattern says otherwise.
    pub rank: usize,
    /// Alpha where no pattern says otherwise.
    pub alpha: f64,
    /// Which sites.
    pub targets: TargetRules,
    /// Path pattern to rank; the first that matches wins.
    pub rank_pattern: IndexMap<String, usize>,
    /// Path pattern to alpha; the first that matches wins.
    pub alpha_pattern: IndexMap<String, f64>,
    /// Modules trained and saved as a whole, such as a classification head.
    pub modules_to_save: Vec<String>,
    /// Paths of other modules that are saved as a whole: what a folder holds though its `modules_to_save` does not name it, such as the
    /// tables of a resized vocabulary.
    pub copied_modules: Vec<String>,
    /// How the adapter's folder calls the layers.
    pub naming: Naming,
    /// Biases of the base that train along.
    pub bias: BiasTraining,
    /// PEFT's task type, for example `SEQ_CLS`.
    pub task_type: Option<String>,
    /// Name or path of the base model, written to files.
    pub base_model: Option<String>,
    /// Revision of the base model, where it is a repository of a hub.
    pub revision: Option<String>,
    /// Folder where methods keep what they compute from frozen weights, such as decompositions, for the next time. It can be deleted
    /// at any time. Without one everything is computed each time.
    pub cache: Option<PathBuf>,
}

impl Default for AdapterSpec {
    /// LoRA of rank 8 and alpha 16 on every linear layer.
    fn default() -> Self {
        Self {
            method: Box::new(Lora::default()),
            rank: 8,
            alpha: 16.0,
            targets: TargetRules::new(Target::AllLinear),
            rank_pattern: IndexMap::new(),
            alpha_pattern: IndexMap::new(),
            modules_to_save: vec![],
            copied_modules: vec![],
            naming: Naming::default(),
            bias: BiasTraining::None,
            task_type: None,
            base_model: None,
            revision: None,
            cache: None,
        }
    }
}

impl Clone for AdapterSpec {
    fn clone(&self) -> Self {
        Self {
            method: self.method.boxed(),
            rank: self.rank,
            alpha: self.alpha,
            targets: self.targets.clone(),
            rank_pattern: self.rank_pattern.clone(),
            alpha_pattern: self.alpha_pattern.clone(),
            modules_to_save: self.modules_to_save.clone(),
            copied_modules: self.copied_modules.clone(),
            naming: self.naming,
            bias: self.bias,
            task_type: self.task_type.clone(),
            base_model: self.base_model.clone(),
            revision: self.revision.clone(),
            cache: self.cache.clone(),
        }
    }
}

impl AdapterSpec {
    /// Rank and alpha of every layer.
    #[must_use]
    pub fn ranks(&self) -> Ranks {
        Ranks {
            rank: self.rank,
            alpha: self.alpha,
            rank_pattern: self.rank_pattern.clone(),
            alpha_pattern: self.alpha_pattern.clone(),
        }
    }

    /// The same with other ranks and alphas.
    #[must_use]
    pub fn with_ranks(self, ranks: Ranks) -> Self {
        Self {
            rank: ranks.rank,
            alpha: ranks.alpha,
            rank_pattern: ranks.rank_pattern,
            alpha_pattern: ranks.alpha_pattern,
            ..self
        }
    }

    /// The same by what a survey found: its method, at its sites alone, with their ranks and alphas.
    #[must_use]
    pub fn surveyed(self, found: Surveyed) -> Self {
        let sites = found.sites.iter();
        let sites = sites.map(|site| (site.path.as_str(), site.rank, site.alpha));
        let paths = found.sites.iter().map(|site| site.path.clone()).collect();
        Self {
            method: found.method,
            targets: TargetRules::new(Target::List(paths)),
            ..self.with_ranks(Ranks::of_sites(sites))
        }
    }

    /// The same at the layers and with the ranks of a folder that it was written to.
    #[must_use]
    pub fn sized_as(self, folder: &PeftConfig) -> Self {
        let (rank_factor, alpha_factor) = match self.method.stored() {
            Some(stored) => (stored.rank_factor, stored.alpha_factor),
            None => (1, 1.0),
        };
        let ranks = folder.rank_pattern.iter();
        let alphas = folder.alpha_pattern.iter();
        let ranks = Ranks {
            rank: folder.r / rank_factor,
            alpha: folder.lora_alpha / alpha_factor,
            rank_pattern: ranks
                .map(|(key, rank)| (key.clone(), rank / rank_factor))
                .collect(),
            alpha_pattern: alphas
                .map(|(key, alpha)| (key.clone(), alpha / alpha_factor))
                .collect(),
        };
        let targets = folder.target_rules();
        Self {
            targets: targets.unwrap_or_else(|| self.targets.clone()),
            ..self.with_ranks(ranks)
        }
    }

    /// What the folder of this adapter says: the same, unless its method is stored as another one.
    pub(crate) fn stored(&self) -> Self {
        let Some(stored) = self.method.stored() else {
            return self.clone();
        };
        let ranks = (self.ranks()).times(stored.rank_factor, stored.alpha_factor);
        Self {
            method: stored.method,
            ..self.clone().with_ranks(ranks)
        }
    }
}
