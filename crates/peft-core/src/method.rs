//! A method: what makes adapters for sites, and how it is registered.

use std::fmt::Debug;
use std::path::Path;

use burn::module::{Param, ParamId};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value};

use crate::adapter::{Adapter, AnyAdapter};
use crate::attached_site::AttachedSite;
use crate::error::PeftError;
use crate::file::{LORA_ALPHA, PeftConfig};
use crate::names::param_id;
use crate::observe::Observer;
use crate::site_layout::{SiteLayout, TensorShape};
use crate::weight::Weight;
use peft_format::{Site, SiteKind};

/// Everything a method needs to know to make an adapter for one site.
#[derive(Debug)]
pub struct Slot<'a> {
    /// The layer.
    pub site: &'a Site,
    /// Its frozen weight, shape `[d_in, d_out]`.
    pub weight: &'a Weight,
    /// Name of the adapter that is being attached.
    pub adapter: &'a str,
    /// Rank after the rank pattern.
    pub rank: usize,
    /// Alpha after the alpha pattern.
    pub alpha: f64,
    /// Seed of the whole attachment.
    pub seed: u64,
    /// Folder for what is computed from the weight alone and can be computed again; see [`crate::AdapterSpec::cache`].
    pub cache: Option<&'a Path>,
    /// The other sites of the adapter.
    pub peers: Peers<'a>,
}

/// The sites that get an adapter together, for methods whose sites have something in common.
#[derive(Debug, Clone, Copy, Default)]
pub struct Peers<'a> {
    /// All of them, in the model's order; none where a site gets its adapter alone.
    pub sites: &'a [AttachedSite],
    /// The adapter of the first of them, for all others: what an adapter has once ([`TensorName::common`](crate::TensorName::common))
    /// is taken from it.
    pub first: Option<&'a AnyAdapter>,
}

impl<'a> Peers<'a> {
    /// The first site's adapter, where that is an `A`.
    #[must_use]
    pub fn first<A: Adapter>(self) -> Option<&'a A> {
        self.first?.downcast_ref()
    }
}

impl Slot<'_> {
    /// A generator that depends on the seed and on the site's path, and on nothing else: the same factors on
    /// every backend and in every order of attachment.
    #[must_use]
    pub fn rng(&self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.seed ^ param_id(&self.site.path).val())
    }

    /// A trainable parameter named `field` with the given values, in f32 whatever the type of the frozen weight, on its device.
    ///
    /// Its id derives from adapter, site and field, so that optimizer states find it again in another process.
    #[must_use]
    pub fn trainable<const D: usize>(&self, field: &str, data: TensorData) -> Param<Tensor<D>> {
        let tensor = Tensor::from_data(data, (&self.device(), DType::F32));
        Param::initialized(self.param_id(field), tensor).set_require_grad(true)
    }

    /// A parameter like [`Self::trainable`] that stays as it is.
    #[must_use]
    pub fn frozen<const D: usize>(&self, field: &str, data: TensorData) -> Param<Tensor<D>> {
        self.trainable(field, data).set_require_grad(false)
    }

    /// A parameter of integers, such as indices, which stays as it is. Files hold them as I64.
    #[must_use]
    pub fn integers<const D: usize>(&self, field: &str, data: TensorData) -> Param<Tensor<D, Int>> {
        let tensor = Tensor::from_data(data, (&self.device(), DType::I64));
        Param::initialized(self.param_id(field), tensor)
    }

    /// A parameter of this site with the values of another site's, which it shares in memory too.
    #[must_use]
    pub fn taken<const D: usize>(&self, field: &str, from: &Param<Tensor<D>>) -> Param<Tensor<D>> {
        let trains = from.is_require_grad();
        let value = from.val().detach();
        Param::initialized(self.param_id(field), value).set_require_grad(trains)
    }

    /// The device of the frozen weight.
    #[must_use]
    pub fn device(&self) -> Device {
        self.weight.device()
    }

    fn param_id(&self, field: &str) -> ParamId {
        param_id(&format!("{}#{}#{field}", self.adapter, self.site.path))
    }
}

/// A parameter-efficient method with its options: the factory of its adapters.
pub trait Method: Debug + Send + Sync {
    /// The method's entry in the registry.
    fn entry(&self) -> &'static MethodEntry;

    /// Makes a fresh adapter for one site.
    ///
    /// # Errors
    /// When the site or its weight does not suit the method.
    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError>;

    /// Whether the method adapts layers of this kind; embeddings only by methods that say so.
    fn adapts(&self, kind: SiteKind) -> bool {
        kind != SiteKind::Embedding
    }

    /// What an adapter of a site of this size and kind consists of, without weights: the tensors that [`Self::create`] makes and files
    /// hold. Where a shape depends on the weight, it is the largest that it can be.
    fn layout(&self, site: &Site, rank: usize, alpha: f64) -> SiteLayout;

    /// How many parameters train at a site of this size: those of the layout, shared or not.
    fn trainable(&self, site: &Site, rank: usize) -> usize {
        self.layout(site, rank, 1.0).trainable()
    }

    /// The tensors that an adapter of these sites has once for all of them; they are not in any site's [`layout`](Self::layout). At least
    /// one site.
    ///
    /// # Errors
    /// When the sites do not suit each other.
    fn common(&self, _sites: &[AttachedSite]) -> Result<Vec<TensorShape>, PeftError> {
        Ok(Vec::new())
    }

    /// Which tensors of which of these sites are those of another one: the two are tied ([`crate::tie`]), counted and saved once.
    fn shares(&self, _sites: &[&Site]) -> Vec<Share> {
        Vec::new()
    }

    /// What it has to see of the data before it makes adapters for these sites.
    fn survey(&self, _sites: &[AttachedSite], _seed: u64) -> Option<Box<dyn Survey>> {
        None
    }

    /// Whether its adapters choose among experts for each token, which [`crate::Observer::routing`] is told of.
    fn routes(&self) -> bool {
        false
    }

    /// The method's own fields of `adapter_config.json`; rank, alpha, targets and patterns are written for it. One that is null has no
    /// place in the method's folders, and an adapter that needs it is refused.
    fn config_fields(&self) -> Map<String, Value>;

    /// What `adapter_config.json` calls alpha.
    fn alpha_field(&self) -> &'static str {
        LORA_ALPHA
    }

    /// [`Self::config_fields`] in a configuration whose fields of every method are those of `config`: for methods that say something
    /// differently where those differ.
    fn fields_beside(&self, _config: &PeftConfig) -> Map<String, Value> {
        self.config_fields()
    }

    /// The options that make this method again through [`MethodEntry::from_options`], all of them.
    fn options(&self) -> Map<String, Value>;

    /// How folders describe this method, where its adapters are stored as those of another one.
    fn stored(&self) -> Option<StoredMethod> {
        None
    }

    /// A copy behind a new box.
    fn boxed(&self) -> Box<dyn Method>;
}

/// Watches batches of the training data for a method whose start or size depends on what goes through the model.
///
/// Whoever holds model and data attaches the adapter as it is, runs batches for the survey until it has seen enough, and attaches what
/// follows ([`AdapterSpec::surveyed`](crate::AdapterSpec::surveyed)) to the model without that adapter.
pub trait Survey: Observer {
    /// After each batch: whether it has seen enough.
    ///
    /// # Errors
    /// What was seen is of no use.
    fn batch_ended(&mut self) -> Result<bool, PeftError>;

    /// What follows.
    ///
    /// # Errors
    /// Not enough was seen.
    fn found(&self) -> Result<Surveyed, PeftError>;
}

/// What follows from a survey.
#[derive(Debug)]
pub struct Surveyed {
    /// The method with what it saw, which [`Method::options`] does not hold: a folder has it as values.
    pub method: Box<dyn Method>,
    /// The sites that get an adapter, with their ranks and alphas.
    pub sites: Vec<AttachedSite>,
}

/// A tensor of a site whose values are another site's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Path of the site.
    pub site: String,
    /// Field of the tensor, for example `a`; the same at both sites.
    pub field: &'static str,
    /// Path of the site that has the values, which shares this field with no third one.
    pub owner: String,
}

/// How a folder describes a method that is stored as another one.
#[derive(Debug)]
pub struct StoredMethod {
    /// The method that reads the folder.
    pub method: Box<dyn Method>,
    /// Its rank over the rank of this one.
    pub rank_factor: usize,
    /// Its alpha over the alpha of this one.
    pub alpha_factor: f64,
}

/// A method, or why it cannot be built.
pub type MethodResult = Result<Box<dyn Method>, PeftError>;

/// One line of a registry: what a method is and how to build it from options or from a file.
#[derive(Debug)]
pub struct MethodEntry {
    /// Identifier on the command line and in run files, for example `lora`.
    pub id: &'static str,
    /// Name as papers write it.
    pub name: &'static str,
    /// Whether its adapters hold low-rank pairs of which both factors train ([`crate::Adapter::pairs`]), as preconditioning and
    /// LoRA+ need them.
    pub pairs: bool,
    /// Whether its update is scaled by alpha.
    pub alpha: bool,
    /// One sentence.
    pub summary: &'static str,
    /// Paper, with its arXiv id.
    pub paper: &'static str,
    /// The options with their defaults.
    pub default_options: fn() -> Map<String, Value>,
    /// Builds the method from options; unknown or wrong ones are errors.
    pub from_options: fn(&Map<String, Value>) -> MethodResult,
    /// Whether a folder's configuration describes this method.
    pub recognises: fn(&PeftConfig) -> bool,
    /// Builds the method from a folder's configuration.
    pub from_config: fn(&PeftConfig) -> MethodResult,
}

impl MethodEntry {
    /// Builds the method that a folder's configuration asks for: the first entry that recognises it and can read it.
    ///
    /// # Errors
    /// [`PeftError::UnknownMethod`] when no entry recognises it, else what the first one that does reports.
    pub fn find(
        entries: &[&'static MethodEntry],
        config: &PeftConfig,
    ) -> Result<Box<dyn Method>, PeftError> {
        let readers = entries.iter().filter(|entry| (entry.recognises)(config));
        let mut built = readers.map(|entry| (entry.from_config)(config));
        match built.next() {
            Some(Ok(method)) => Ok(method),
            Some(Err(first)) => built.find_map(Result::ok).ok_or(first),
            None => Err(PeftError::UnknownMethod {
                peft_type: config.peft_type.clone(),
                detail: format!(
                    "use_dora = {}, use_rslora = {}",
                    config.use_dora, config.use_rslora
                ),
                known: entries
                    .iter()
                    .map(|entry| entry.id)
                    .collect::<Vec<_>>()
                    .join(", "),
            }),
        }
    }

    /// Deserialises a method's options, naming the method and the option that is wrong.
    ///
    /// # Errors
    /// [`PeftError::Option`] with what serde reports.
    pub fn parse<T: serde::de::DeserializeOwned>(
        method: &'static str,
        options: &Map<String, Value>,
    ) -> Result<T, PeftError> {
        serde_json::from_value(Value::Object(options.clone())).map_err(|error| PeftError::Option {
            method,
            option: "(options)".into(),
            problem: error.to_string(),
        })
    }
}
